"""What a census asks of keys, in slices that fit into a millisecond of the server's time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Link
from stores.backends.redis_rows import ask, expiry_command
from stores.backends.redis_scripts import EXPIRY_LUA, Script
from stores.types import CensusRow, Kind

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
  local call, pcall, filled = redis.call, redis.pcall, #out
  for place = 1, #names do
    local key = names[place]
    local size = pcall('STRLEN', key)
    out[filled + 1], out[filled + 2] = key, exact and call('PEXPIRETIME', key) or expiry(key, exact)
    out[filled + 3] = type(size) == 'table' and -1 or size
    filled = filled + 3
  end
end
"""
SLICE: Final = Script(
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


@dataclass(frozen=True, slots=True)
class Measured:
    """What a census asks of keys, as three lists side by side: a census looks at millions."""

    keys: Sequence[bytes]
    expires_ms: Sequence[int]
    """-1 never, -2 gone meanwhile."""
    lengths: Sequence[int]
    """-1 for a key that holds no string."""

    @classmethod
    def of(cls, flat: Sequence[Any]) -> Measured:
        """From key, expiry, length, key, expiry, length, ... as the scripts return them."""
        return cls(flat[::3], flat[1::3], flat[2::3])

    def rows(self, known: Set[bytes] = frozenset()) -> list[CensusRow]:
        """A row for each key that is still there, once, without the known ones."""
        keys, new, row, kind = self.keys, tuple.__new__, CensusRow, Kind.UNKNOWN
        parts: Iterable[tuple[bytes, int, int]] = zip(keys, self.expires_ms, self.lengths, strict=True)
        if len(set(keys)) < len(keys) or not known.isdisjoint(keys):
            parts = {part[0]: part for part in parts if part[0] not in known}.values()
        return [
            new(row, (key, kind, None if at < 0 else at // 1000, len(key), size if size > 0 else 0, size < 0))
            for key, at, size in parts
            if at != -2
        ]


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

    def new(self, measured: Measured) -> list[CensusRow]:
        rows = measured.rows(set().union(*self._slices))
        self._slices.append(set(measured.keys))
        return rows


def measure_keyed(link: Link, names: Sequence[bytes]) -> Measured:
    """Expiry and length of keys by keyed commands: where scripts are forbidden, and for keys on the move."""
    expires: list[int] = []
    lengths: list[int] = []
    for first in range(0, len(names), 100):
        batch = names[first : first + 100]
        replies = ask(link, lambda: [part for key in batch for part in (expiry_command(link, key), ("STRLEN", key))])  # noqa: B023
        for at, length in zip(replies[::2], replies[1::2], strict=True):
            if isinstance(at, Exception):
                raise translate(at, link.config)
            expires.append(int(at))
            lengths.append(-1 if isinstance(length, Exception) else int(length))
    return Measured(names, expires, lengths)
