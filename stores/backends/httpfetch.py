"""Fetching a list for an HTTP lookup: bounded in size, time and reach while it streams.

Size: at most `limits.size` bytes of the answer and as many after unpacking. Time: one deadline for the whole exchange, redirects
and slow senders included. Reach: the machine that is connected to is checked, not the name; every redirect is checked again.
Addresses of this machine, of private and of link-local networks are refused unless `allow-private` is on.
"""

from __future__ import annotations

import base64
import http.client
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from stores.backends.httpwire import Limits, checked, exchange, shown
from stores.codecs.httplists import HttpOptions, parse
from stores.errors import StoreError, StoreRefused, StoreUnavailable
from stores.texts import figure, say

REDIRECTS: Final = 5
PIECE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a fetch. `entries` None: the list has not changed since the copy with this ETag."""

    entries: tuple[tuple[str, str], ...] | None
    """Key and value in order of the source; an empty value means 1."""
    cut: bool
    """Whether `limits.entries` ended the reading."""
    bytes: int
    """Bytes of the answer that were read."""
    seconds: float
    etag: str


def fetch(options: HttpOptions, etag: str = "") -> Fetched:
    """Get the list now. Blocks up to `timeout` and the time that name servers take; meant for background work.

    Raises StoreUnavailable (no answer, too slow, too large), StoreRefused (status, forbidden address), BadConfig (URL).
    No message shows a password or the query of the URL.
    """
    began = time.monotonic()
    deadline = began + options.timeout
    limits = Limits(options.timeout, options.allow_private, say("Switch allow-private on for this lookup if that is meant."))
    url = options.url
    for _ in range(REDIRECTS + 1):
        parts = checked(url)
        with exchange(parts, limits, deadline, _headers(etag, _login(options.url, parts))) as response:
            if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                url = urljoin(url, response.getheader("Location") or "")
                continue
            if response.status == 304 and etag:
                return Fetched(None, False, 0, time.monotonic() - began, etag)
            if not 200 <= response.status < 300:
                raise StoreRefused(
                    say("%(shown)s answered %(status)s %(reason)s.", shown=shown(parts), status=response.status, reason=response.reason),
                    say("Check the URL."),
                )
            body = _Body(response, options, parts)
            entries, cut = parse(body.pieces(), options)
            return Fetched(tuple(entries.items()), cut, body.read, time.monotonic() - began, response.getheader("ETag") or "")
    raise StoreRefused(
        say("%(shown)s redirects more than %(redirects)s times.", shown=shown(urlsplit(options.url)), redirects=REDIRECTS),
        say("Give the final URL."),
    )


def _login(url: str, parts: SplitResult) -> SplitResult | None:
    """The URL whose user and password may be sent to these parts: never to another host, never from https to http."""
    first = urlsplit(url)
    same = parts.netloc.rpartition("@")[2] == first.netloc.rpartition("@")[2]
    return first if same and (first.scheme, parts.scheme) != ("https", "http") else None


def _headers(etag: str, login: SplitResult | None) -> dict[str, str]:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    if etag:
        headers["If-None-Match"] = etag
    if login is not None and login.username is not None:
        pair = f"{unquote(login.username)}:{unquote(login.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers


class _Body:
    """The body in pieces, unpacked, within the limits."""

    def __init__(self, response: http.client.HTTPResponse, options: HttpOptions, parts: SplitResult) -> None:
        self.response = response
        self.options = options
        self.shown = shown(parts)
        self.read = 0
        self._unpacked = 0

    def pieces(self) -> Iterator[bytes]:
        packed = self.options.gzipped or (self.response.getheader("Content-Encoding") or "").lower() == "gzip"
        yield from self._unpack(self._raw()) if packed else self._raw()

    def _raw(self) -> Iterator[bytes]:
        while piece := self.response.read1(PIECE):
            self.read += len(piece)
            if self.read > self.options.max_size:
                raise self._too_large(say("bytes"))
            yield piece
        if self.response.length:
            raise self._ended_early()

    def _unpack(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip members one after another, never more than a piece at once."""
        unpacker, begun = zlib.decompressobj(wbits=31), False
        for piece in pieces:
            while piece:
                begun = True
                found = unpacker.decompress(piece, PIECE)
                self._unpacked += len(found)
                if self._unpacked > self.options.max_size:
                    raise self._too_large(say("bytes after unpacking"))
                if found:
                    yield found
                piece = unpacker.unconsumed_tail
                if unpacker.eof:
                    piece, unpacker, begun = unpacker.unused_data, zlib.decompressobj(wbits=31), False
        if begun:
            raise self._ended_early()

    def _ended_early(self) -> StoreError:
        return StoreUnavailable(say("%(shown)s ended before all of it was sent.", shown=self.shown), say("Try again."))

    def _too_large(self, what: str) -> StoreError:
        return StoreRefused(
            say("%(shown)s has more than %(max_size)s %(what)s.", shown=self.shown, max_size=figure(self.options.max_size), what=what),
            say("Raise limits.size if the list is meant to be that large."),
        )
