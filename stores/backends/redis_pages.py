"""Pages of names by SCAN, and what positions, cursors and patterns look like."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import redis

from stores.backends.redis_link import Link, pipelined
from stores.backends.redis_server import RAW_INFO, lines_of, refuse_part, run_id_of, same_server
from stores.errors import CursorLost
from stores.texts import say
from stores.types import Cursor, KeyRange

LARGEST_COUNT: Final = 500
"""COUNT of a SCAN for names only: somewhat more than half a millisecond of the server's time."""
STEP_KEYS: Final = 50_000
"""Keys one page call looks at before it returns what it has: about 50 ms of the server's time."""
STEP_SECONDS: Final = 0.25


# one SCAN walk, shared with a cluster's crowded slots


def scan_names(
    link: Link, client: redis.Redis, keys: KeyRange, position: tuple[str, int], want: int, strings: bool = False
) -> tuple[list[bytes], str | None]:
    """Names of the range from one server. COUNT follows the share of matching keys, so that a page is neither huge nor empty."""
    run_id, cursor = position
    count = min(max(want, 10), LARGEST_COUNT)
    limits = (*_match(keys), *(("TYPE", "string") if strings else ()))
    found: dict[bytes, None] = {}
    scanned, started = 0, time.monotonic()
    while True:
        page, server = link.run(lambda: scan_with_info(client, cursor, count, *limits))  # noqa: B023
        refuse_part(link, client, server)
        run_id = same_server(run_id, run_id_of(server))
        cursor, scanned = page[0], scanned + count
        found.update(dict.fromkeys(within(page[1], keys)))
        if cursor == 0:
            return list(found), None
        if len(found) * 10 >= want * 9 or scanned >= STEP_KEYS or time.monotonic() - started > STEP_SECONDS:
            return list(found), join_position(run_id, cursor)
        count = _next_count(len(found), scanned, want)


def within(names: Iterable[bytes], keys: KeyRange) -> list[bytes]:
    """The names that lie in the range, byte for byte."""
    prefix = keys.prefix
    return [name for name in names if name.startswith(prefix)] if prefix is not None else [name for name in names if name in keys]


def _next_count(found: int, scanned: int, want: int) -> int:
    """The COUNT that should just fill the page, by the share of matches so far."""
    ideal = (want - found) * scanned // found if found else scanned * 4
    return min(max(ideal, 10), LARGEST_COUNT)


def scan_with_info(client: redis.Redis, cursor: int, count: int, *limits: str | bytes) -> tuple[tuple[int, list[bytes]], Any]:
    page, server = pipelined(client, [("SCAN", cursor, *limits, "COUNT", count), (RAW_INFO, "server")])
    if isinstance(page, Exception):
        raise page
    return (int(page[0]), page[1]), lines_of(server)


# patterns, positions, cursors

_SPECIAL: Final = re.compile(rb"[*?\[\]\\]")


def glob_escaped(text: bytes) -> bytes:
    """The text as a MATCH pattern that means just itself: each byte with a meaning in patterns gets a backslash."""
    return _SPECIAL.sub(rb"\\\g<0>", text)


def shared_prefix(keys: KeyRange) -> bytes:
    """The longest prefix that all keys of the range have."""
    return keys.prefix if keys.prefix is not None else common_prefix(keys.start, keys.end)


def _match(keys: KeyRange) -> tuple[str | bytes, ...]:
    """The MATCH option for a range; names are checked again byte by byte."""
    prefix = shared_prefix(keys)
    return ("MATCH", glob_escaped(prefix) + b"*") if prefix else ()


def common_prefix(start: bytes, end: bytes | None) -> bytes:
    """The bytes with which every key from `start` to before `end` begins."""
    if end is None:
        return b""
    length = 0
    while length < min(len(start), len(end)) and start[length] == end[length]:
        length += 1
    return start[:length]


def share_before(cursor: int) -> float:
    """The share of the table that SCAN has visited: its cursor counts with the bits in reverse, the highest first."""
    return float(place_of(cursor) / (1 << 64))


def place_of(cursor: int) -> int:
    """Where in the table a cursor stands, 0 to 2^64 - 1: every key has its place there, by the bits of its hash in reverse."""
    return int(format(cursor & (1 << 64) - 1, "064b")[::-1], 2)


def join_position(run_id: str, cursor: int) -> str:
    return f"{run_id}.{cursor}"


def split_position(position: str) -> tuple[str, int]:
    if not position:
        return "", 0
    run_id, _, cursor = position.rpartition(".")
    if not run_id or not (cursor.isascii() and cursor.isdigit()):
        raise lost()
    return run_id, int(cursor)


def make_cursor(owner: str, keys: KeyRange, position: str) -> Cursor:
    """The cursor of a store and range; `owner` tells stores apart."""
    return Cursor(f"r{_fingerprint(owner, keys)}.{position}")


def read_cursor(owner: str, keys: KeyRange, cursor: str | None) -> str:
    """The position in a cursor. Raises CursorLost when it is not of this store and range."""
    if not cursor:
        return ""
    mark, _, position = cursor.partition(".")
    if mark != f"r{_fingerprint(owner, keys)}" or not position:
        raise lost()
    return position


def lost() -> CursorLost:
    return CursorLost(say("This page link is not of this store."), say("Start again from the first page."))


def _fingerprint(owner: str, keys: KeyRange) -> str:
    return blake2b(repr((owner, keys.start, keys.end)).encode(), digest_size=6).hexdigest()
