"""Fetching a list for an HTTP lookup: bounded in size, time and reach while it streams.

Size: at most `limits.size` bytes of the answer and as many after unpacking. Time: one deadline for the whole exchange, redirects
and slow senders included. Reach: the machine that is connected to is checked, not the name; every redirect is checked again.
Addresses of this machine, of private and of link-local networks are refused unless `allow-private` is on.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from stores.codecs.httplists import HttpOptions, parse
from stores.errors import BadConfig, StoreError, StoreRefused, StoreUnavailable

REDIRECTS: Final = 5
PIECE: Final = 65_536
USER_AGENT: Final = "kvadmin"


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
    url = options.url
    for _ in range(REDIRECTS + 1):
        parts = _checked(url)
        with _exchange(parts, options, deadline, etag, _login(options.url, parts)) as response:
            if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                url = urljoin(url, response.getheader("Location") or "")
                continue
            if response.status == 304 and etag:
                return Fetched(None, False, 0, time.monotonic() - began, etag)
            if not 200 <= response.status < 300:
                raise StoreRefused(f"{_shown(parts)} answered {response.status} {response.reason}.", "Check the URL.")
            body = _Body(response, options, parts)
            entries, cut = parse(body.pieces(), options)
            return Fetched(tuple(entries.items()), cut, body.read, time.monotonic() - began, response.getheader("ETag") or "")
    raise StoreRefused(f"{_shown(urlsplit(options.url))} redirects more than {REDIRECTS} times.", "Give the final URL.")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadConfig("The URL cannot be read.", "Write https://host/path.", "url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadConfig("The URL, or where it redirects to, is not one of http or https.", "Write https://host/path.", "url")
    return parts


def _login(url: str, parts: SplitResult) -> SplitResult | None:
    """The URL whose user and password may be sent to these parts: never to another host, never from https to http."""
    first = urlsplit(url)
    same = parts.netloc.rpartition("@")[2] == first.netloc.rpartition("@")[2]
    return first if same and (first.scheme, parts.scheme) != ("https", "http") else None


def _shown(parts: SplitResult) -> str:
    """The URL without user, password and query."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def _exchange(
    parts: SplitResult, options: HttpOptions, deadline: float, etag: str, login: SplitResult | None
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request; the connection is cut when the deadline passes, whatever it is doing."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise _too_slow(parts, options)
    with closing(_connection(parts, options, remaining)) as connection:
        wire, expired = connection.sock, threading.Event()

        def cut() -> None:
            expired.set()
            with suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            connection.request("GET", _target(parts), headers=_headers(etag, login))
            yield connection.getresponse()
        except (OSError, http.client.HTTPException, zlib.error) as error:
            if expired.is_set() or isinstance(error, TimeoutError):
                raise _too_slow(parts, options) from None
            raise _translated(error, parts) from None
        finally:
            timer.cancel()
        if expired.is_set():
            raise _too_slow(parts, options)


def _target(parts: SplitResult) -> str:
    safe = "/%:@!$&'()*+,;=-._~?[]"
    return (quote(parts.path, safe) or "/") + (f"?{quote(parts.query, safe)}" if parts.query else "")


def _headers(etag: str, login: SplitResult | None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    if etag:
        headers["If-None-Match"] = etag
    if login is not None and login.username is not None:
        pair = f"{unquote(login.username)}:{unquote(login.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers


def _connection(parts: SplitResult, options: HttpOptions, timeout: float) -> http.client.HTTPConnection:
    """A connection to an address that may be reached; the name is used for the certificate and the Host line only."""
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    addresses = _addresses(parts, port, options)
    context = ssl.create_default_context() if secure else None
    connection = (
        http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context)
        if secure
        else http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    )
    began = time.monotonic()
    for number, address in enumerate(addresses):
        try:
            plain = socket.create_connection((address, port), max(0.1, timeout - (time.monotonic() - began)))
            connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname) if context is not None else plain
            return connection
        except OSError as error:
            if number == len(addresses) - 1:
                raise _translated(error, parts) from None
    raise AssertionError


def _addresses(parts: SplitResult, port: int, options: HttpOptions) -> list[str]:
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise StoreUnavailable(f"The name {parts.hostname} is not known.", "Check the URL and this machine's name server.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        why = forbidden(address, options.allow_private)
        if why:
            raise StoreRefused(
                f"{parts.hostname} leads to {address}, {why}.",
                "Switch allow-private on for this lookup if that is meant." if not options.allow_private else "Give another URL.",
            )
    return addresses


def forbidden(address: str, allow_private: bool) -> str:
    """Why an address must not be fetched from, in words; empty when it may.

    Addresses that carry an IPv4 address inside (mapped, 6to4, Teredo, NAT64) are judged by that one.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = _inner(parsed)
    if inner is not None:
        return forbidden(str(inner), allow_private)
    if parsed.is_multicast or parsed.is_unspecified:
        return "which is no address of a machine"
    if allow_private or (parsed.is_global and not parsed.is_reserved):
        return ""
    if parsed.is_loopback:
        return "an address of this machine"
    return "an address of a link-local network" if parsed.is_link_local else "an address of a private network"


def _inner(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class _Body:
    """The body in pieces, unpacked, within the limits."""

    def __init__(self, response: http.client.HTTPResponse, options: HttpOptions, parts: SplitResult) -> None:
        self.response = response
        self.options = options
        self.shown = _shown(parts)
        self.read = 0
        self._unpacked = 0

    def pieces(self) -> Iterator[bytes]:
        packed = self.options.gzipped or (self.response.getheader("Content-Encoding") or "").lower() == "gzip"
        yield from self._unpack(self._raw()) if packed else self._raw()

    def _raw(self) -> Iterator[bytes]:
        while piece := self.response.read1(PIECE):
            self.read += len(piece)
            if self.read > self.options.max_size:
                raise self._too_large("bytes")
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
                    raise self._too_large("bytes after unpacking")
                if found:
                    yield found
                piece = unpacker.unconsumed_tail
                if unpacker.eof:
                    piece, unpacker, begun = unpacker.unused_data, zlib.decompressobj(wbits=31), False
        if begun:
            raise self._ended_early()

    def _ended_early(self) -> StoreError:
        return StoreUnavailable(f"{self.shown} ended before all of it was sent.", "Try again.")

    def _too_large(self, what: str) -> StoreError:
        return StoreRefused(
            f"{self.shown} has more than {self.options.max_size} {what}.", "Raise limits.size if the list is meant to be that large."
        )


def _too_slow(parts: SplitResult, options: HttpOptions) -> StoreError:
    return StoreUnavailable(f"{_shown(parts)} was not read within {options.timeout:g} s.", "Try later, or raise the timeout.")


def _translated(error: Exception, parts: SplitResult) -> StoreError:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"The certificate of {parts.hostname} is not trusted: {error.verify_message}."
        return StoreRefused(said, "Use a URL whose certificate is.")
    if isinstance(error, zlib.error):
        return StoreRefused(f"{_shown(parts)} is not packed with gzip.", "Switch gzipped off.")
    if isinstance(error, ConnectionRefusedError):
        return StoreUnavailable(f"{parts.netloc.rpartition('@')[2]} refuses connections.", "Check host and port.")
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"{parts.netloc.rpartition('@')[2]} does not answer.", "Try later, or raise the timeout.")
    return StoreUnavailable(f"{_shown(parts)} could not be read: {type(error).__name__}.", "Try later.")
