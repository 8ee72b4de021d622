"""Walking over the keys of one server with SCAN: pages of names, and the census.

A SCAN cursor belongs to one running server process (its hash seed is its own), so a position carries the server's run id: after a
restart or a failover the walk raises CursorLost instead of silently leaving keys out. A key that stays is met at least once. It is
met twice only when the table shrinks in between, and then right after its first time; the census remembers its last slices and
counts such a key once.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import redis
from redis.exceptions import NoScriptError, ResponseError

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Link, pipelined
from stores.backends.redis_rows import ask, expiry_command
from stores.backends.redis_scripts import EXPIRY_LUA, Script, learned
from stores.errors import CursorLost, StoreRefused
from stores.types import CensusRow, CensusSlice, Cursor, KeyRange, Kind

LARGEST_COUNT: Final = 1000
"""COUNT of a SCAN for names only: about a millisecond of the server's time."""
STEP_KEYS: Final = 50_000
"""Keys one page call looks at before it returns what it has: about 50 ms of the server's time."""
STEP_SECONDS: Final = 0.25
CENSUS_COUNT: Final = 200
"""COUNT of a census slice, lowered where the server is slower: see `Tempo`."""
SLICE_MICROSECONDS: Final = 1000
"""What a census slice should take at most on the server."""
REMEMBERED_SLICES: Final = 4

CLOCK_LUA: Final = """
local os_clock = (rawget(_G, 'os') or {}).clock
local function micros()
  if os_clock then return os_clock() * 1000000 end
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end
local started = micros()
"""
"""Time inside a script: newer servers freeze TIME there and offer os.clock, older ones the other way round."""

MEASURE_LUA: Final = """
local function measure(out, names, exact)
  for _, key in ipairs(names) do
    local size = redis.pcall('STRLEN', key)
    out[#out + 1] = key
    out[#out + 1] = expiry(key, exact)
    out[#out + 1] = type(size) == 'table' and -1 or size
  end
end
"""
_SLICE: Final = Script(
    EXPIRY_LUA
    + CLOCK_LUA
    + MEASURE_LUA
    + """
local page = redis.call('SCAN', ARGV[2], 'COUNT', ARGV[3])
local out = {0, page[1]}
measure(out, page[2], ARGV[1] == '1')
out[1] = math.floor(micros() - started)
return out
"""
)


class Measured(NamedTuple):
    """What a census asks of a key. `length` is -1 for a key that holds no string."""

    key: bytes
    expires_ms: int
    length: int


class Walk(ABC):
    """An order over all keys of a store. Positions are short URL-safe texts; the empty one is the beginning."""

    @abstractmethod
    def names(self, keys: KeyRange, position: str, want: int, strings: bool = False) -> tuple[list[bytes], str | None]:
        """About `want` names of the range, each once, and where to go on; None at the end. `strings`: leave out other types.

        Bounded by `STEP_KEYS`: a rare prefix gives few names, or none, and a position. Raises CursorLost.
        """

    @abstractmethod
    def census(self, position: str) -> Iterator[CensusSlice]:
        """Every key once in slices of at most about a millisecond of a server's time. Raises CursorLost."""

    @abstractmethod
    def progress(self, position: str) -> float | None:
        """The share of the keys that lies before a position."""


class ScanWalk(Walk):
    """The walk over a single server, or over whichever is primary."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def names(self, keys: KeyRange, position: str, want: int, strings: bool = False) -> tuple[list[bytes], str | None]:
        client = self.link.run(self.link.primaries)[0].client
        return scan_names(self.link, client, keys, split_position(position), want, strings)

    def progress(self, position: str) -> float | None:
        return share_before(split_position(position)[1])

    def census(self, position: str) -> Iterator[CensusSlice]:
        run_id, cursor = split_position(position)
        tempo, recent = Tempo(CENSUS_COUNT), Recent()
        patience: AbstractContextManager[None] = nullcontext()
        while True:
            with patience:
                micros, now_id, cursor, measured = self._slice(cursor, tempo.count)
            run_id, patience = same_server(run_id, now_id), self.link.working()
            tempo.note(micros)
            rows = tuple(census_rows(recent.new(measured)))
            if cursor == 0:
                yield CensusSlice(rows, "", 1.0)
                return
            yield CensusSlice(rows, join_position(run_id, cursor), share_before(cursor))

    def _slice(self, cursor: int, count: int) -> tuple[int, str, int, list[Measured]]:
        """Microseconds, run id, next cursor and what the slice holds: one script call, or two pipelines without scripts."""
        link = self.link
        while link.dialect.read_scripts or link.dialect.scripts:
            client = link.run(link.primaries)[0].client
            exact = "1" if link.dialect.pexpiretime else "0"
            reply, server = link.run(lambda: _script_with_info(link, client, _SLICE, exact, cursor, count))  # noqa: B023
            if reply is not None:
                refuse_part(link, client, server)
                return int(reply[0]), run_id_of(server), int(reply[1]), triples(reply[2:])
        page, server = link.run(lambda: _scan_with_info(link.primaries()[0].client, cursor, count))
        return 0, run_id_of(server), page[0], measure_keyed(link, list(dict.fromkeys(page[1])))


class Tempo:
    """The size of the next slice, from how long the last one took on the server."""

    def __init__(self, most: int, least: int = 20) -> None:
        self.most, self.least, self.count = most, least, most

    def note(self, micros: int) -> None:
        """Shrink at once when a slice took too long, grow slowly when there is room."""
        if micros > SLICE_MICROSECONDS:
            self.count = max(self.least, self.count * SLICE_MICROSECONDS // (micros + 1))
        elif micros < SLICE_MICROSECONDS // 2:
            self.count = min(self.most, self.count + max(1, self.count // 8))


class Recent:
    """Drops keys that one of the last slices had: the only ones SCAN repeats (see the head of this module)."""

    def __init__(self) -> None:
        self._slices: deque[set[bytes]] = deque(maxlen=REMEMBERED_SLICES)

    def new(self, rows: Sequence[Measured]) -> list[Measured]:
        unique = {row.key: row for row in rows}
        for seen in self._slices:
            for key in seen & unique.keys():
                del unique[key]
        self._slices.append(set(unique))
        return list(unique.values())


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
        page, server = link.run(lambda: _scan_with_info(client, cursor, count, *limits))  # noqa: B023
        refuse_part(link, client, server)
        run_id = same_server(run_id, run_id_of(server))
        cursor, scanned = page[0], scanned + count
        found.update(dict.fromkeys(key for key in page[1] if key in keys))
        if cursor == 0:
            return list(found), None
        if len(found) * 10 >= want * 9 or scanned >= STEP_KEYS or time.monotonic() - started > STEP_SECONDS:
            return list(found), join_position(run_id, cursor)
        count = _next_count(len(found), scanned, want)


def _next_count(found: int, scanned: int, want: int) -> int:
    """The COUNT that should just fill the page, by the share of matches so far."""
    ideal = (want - found) * scanned // found if found else scanned * 4
    return min(max(ideal, 10), LARGEST_COUNT)


def _scan_with_info(client: redis.Redis, cursor: int, count: int, *limits: str | bytes) -> tuple[tuple[int, list[bytes]], Any]:
    page, server = pipelined(client, [("SCAN", cursor, *limits, "COUNT", count), ("INFO", "server")])
    if isinstance(page, Exception):
        raise page
    return (int(page[0]), page[1]), server


def _script_with_info(link: Link, client: redis.Redis, script: Script, *arguments: Any) -> tuple[Any, Any]:
    """A script's reply and the server's INFO from the same connection; (None, None) after learning of a better way."""
    suffix = "_RO" if link.dialect.read_scripts else ""
    reply, server = pipelined(client, [(f"EVALSHA{suffix}", script.sha, 0, *arguments), ("INFO", "server")])
    if isinstance(reply, NoScriptError):
        reply, server = pipelined(client, [(f"EVAL{suffix}", script.text, 0, *arguments), ("INFO", "server")])
    if isinstance(reply, ResponseError) and learned(link, reply):
        return None, None
    if isinstance(reply, Exception):
        raise reply
    return reply, server


def measure_keyed(link: Link, names: Sequence[bytes]) -> list[Measured]:
    """Expiry and length of keys by keyed commands: where scripts are forbidden, and for keys on the move."""
    found: list[Measured] = []
    for first in range(0, len(names), 100):
        batch = names[first : first + 100]
        replies = ask(link, lambda: [part for key in batch for part in (expiry_command(link, key), ("STRLEN", key))])  # noqa: B023
        for key, expires, length in zip(batch, replies[::2], replies[1::2], strict=True):
            if isinstance(expires, Exception):
                raise translate(expires, link.config)
            if int(expires) != -2:
                found.append(Measured(key, int(expires), -1 if isinstance(length, Exception) else int(length)))
    return found


def triples(flat: Sequence[Any]) -> list[Measured]:
    """Key, expiry, length, key, expiry, length, ... as a script returns them, without keys that are gone."""
    return [Measured(*row) for row in zip(flat[::3], flat[1::3], flat[2::3], strict=True) if row[1] != -2]


def census_rows(measured: Sequence[Measured]) -> Iterator[CensusRow]:
    for key, expires, length in measured:
        yield CensusRow(key, Kind.UNKNOWN, None if expires < 0 else expires // 1000, len(key), max(length, 0), length < 0)


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
    reverse = int(format(cursor & (1 << 64) - 1, "064b")[::-1], 2)
    return float(reverse / (1 << 64))


def run_id_of(server: Any) -> str:
    """A server's run id shortened to 10 characters; "-" where INFO is forbidden, which gives up noticing a restart."""
    return str(server.get("run_id", "-"))[:10] if isinstance(server, dict) else "-"


def refuse_part(link: Link, client: redis.Redis, server: Any) -> None:
    """Raise StoreRefused when a node of a cluster is used as if it were the whole: its keys are only a part."""
    if link.config.mode == "cluster" or not isinstance(server, dict) or (server.get("redis_mode") or server.get("server_mode")) != "cluster":
        return
    (info,) = link.run(lambda: pipelined(client, [("CLUSTER INFO",)]))
    if not isinstance(info, dict) or int(info.get("cluster_size", 0)) != 1:
        raise StoreRefused(f"Redis at {link.config.where} is only one node of a cluster.", "Set redis-type to cluster.")


def same_server(before: str, now: str) -> str:
    """The run id to go on with. Raises CursorLost when the walk began on another server process."""
    if before not in ("", now):
        raise CursorLost(
            "The Redis server has restarted or another one took over; its list begins anew.", "Start again from the first page."
        )
    return now


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
    return CursorLost("This page link is not of this store.", "Start again from the first page.")


def _fingerprint(owner: str, keys: KeyRange) -> str:
    return blake2b(repr((owner, keys.start, keys.end)).encode(), digest_size=6).hexdigest()
