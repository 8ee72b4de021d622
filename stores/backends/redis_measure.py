"""What a census asks of keys, in slices that fit into a millisecond of the server's time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Set
from typing import Final

from stores.backends.redis_errors import translate
from stores.backends.redis_link import Link
from stores.backends.redis_rows import ask, expiry_command
from stores.backends.redis_scripts import EXPIRY_LUA, Script
from stores.types import CensusColumns, CensusRow, Kind

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
local function measure(names, exact)
  local call, pcall, times, sizes = redis.call, redis.pcall, {}, {}
  for place = 1, #names do
    local key = names[place]
    times[place] = exact and call('PEXPIRETIME', key) or expiry(key, exact)
    local size = pcall('STRLEN', key)
    sizes[place] = type(size) == 'table' and -1 or size
  end
  return times, sizes
end
"""
SLICE: Final = Script(
    EXPIRY_LUA
    + CLOCK_LUA
    + MEASURE_LUA
    + """
local page = redis.call('SCAN', ARGV[2], 'COUNT', ARGV[3])
local times, sizes = measure(page[2], ARGV[1] == '1')
return {math.floor(micros() - started), page[1], page[2], times, sizes}
"""
)


def rows_of(columns: CensusColumns) -> list[CensusRow]:
    """A row for each key that is still there."""
    new, row, kind = tuple.__new__, CensusRow, Kind.UNKNOWN
    return [
        new(row, (key, kind, None if at < 0 else at // 1000, len(key), size if size > 0 else 0, size < 0))
        for key, at, size in zip(*columns, strict=True)
        if at != -2
    ]


def only(columns: CensusColumns, wanted: Callable[[bytes], bool]) -> CensusColumns:
    """The columns without the keys that are not wanted."""
    kept = [part for part in zip(*columns, strict=True) if wanted(part[0])]
    return CensusColumns([key for key, _, _ in kept], [at for _, at, _ in kept], [size for _, _, size in kept])


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
        self._slices: deque[set[bytes]] = deque()
        self._known: set[bytes] = set()
        """All of the slices, which have no key in common."""

    def new(self, columns: CensusColumns) -> CensusColumns:
        """The keys that are new, each once."""
        names = set(columns.keys)
        if len(names) < len(columns.keys) or not self._known.isdisjoint(names):
            columns = only(columns, _Once(self._known))
            for before in self._slices:
                before -= names
        self._slices.append(names)
        self._known |= names
        if len(self._slices) > REMEMBERED_SLICES:
            self._known -= self._slices.popleft()
        return columns


class _Once:
    """Says yes to a key when it comes for the first time and is none of the known ones."""

    def __init__(self, known: Set[bytes]) -> None:
        self._met = set(known)

    def __call__(self, key: bytes) -> bool:
        if key in self._met:
            return False
        self._met.add(key)
        return True


def measure_keyed(link: Link, names: Sequence[bytes]) -> CensusColumns:
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
    return CensusColumns(names, expires, lengths)
