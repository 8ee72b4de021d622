"""Rows on their way to a census, packed: a few long pieces of bytes instead of an object for each cell.

Engines join what a statement reads, and ordered walks are joined here; `packcount` counts them. Nothing here needs numpy, so that the
process which has a RocksDB database open stays small.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple

Pair = tuple[bytes, bytes]
Ended = Callable[[bytes | None, bytes | None], None]
"""Told the last key of the rows and of the numbers, None where there was none; raises if a walk ended too early."""

HEAD: Final = 16
"""Bytes of a row that tell kind and expiry."""
CHUNK: Final = 256
"""Rows that are objects at a time: more leave the processor's cache, and large values would gather."""
PACKED: Final = 65_536
"""Rows and numbers of a step: some 30 ms of work on either side, so that the system puts the two processes on two processors."""

_head = itemgetter(slice(HEAD))


class Pack(NamedTuple):
    """Rows of `m`. Plain types only."""

    keys: bytes
    """One after the other."""
    lengths: bytes
    """Bytes of each key, as 32-bit numbers of this machine; so are `sizes`."""
    heads: bytes | None
    """The first 16 bytes of each row, fewer of a shorter one; None: each comes before its key in `keys`."""
    sizes: bytes
    """Bytes of each row."""
    numbered: bytes = b""
    """For each row whether `y` has a number under its key; empty: not known, or none has."""


class Numbers(NamedTuple):
    """Numbers without a row in `m`."""

    keys: bytes
    lengths: bytes


class Step(NamedTuple):
    """A stretch of both walks. Plain tuples inside."""

    pack: tuple[bytes, bytes, bytes, bytes, bytes]
    numbers: tuple[bytes, bytes]
    last: bytes | None
    """The last key of both walks so far; None in the middle of a stretch, and at the end."""
    progress: float | None
    done: bool


def packed_walks(values: Iterator[Pair], numbers: Iterator[bytes], expected: int, ended: Ended) -> Iterator[Step]:
    """Every key of two ordered walks once, in steps of about 65,000. `expected`: the engine's estimate of rows, for the progress.

    Memory holds 256 rows as they are, and the packed ones of a step. About 0.2 µs a row above the walks themselves.
    """
    packer, seen = _Packer(numbers), 0
    last_value = None
    while rows := list(islice(values, CHUNK)):
        keys, cells = zip(*rows, strict=True)
        last_value = keys[-1]
        for full in packer.numbers_until(keys):
            seen += full
            yield packer.step(None, _share(seen, expected))
        packer.add(keys, cells)
        if packer.count >= PACKED:
            seen += packer.count
            yield packer.step(last_value, _share(seen, expected))
    for full in packer.numbers_left():
        seen += full
        yield packer.step(None, _share(seen, expected))
    ended(last_value, packer.last)
    yield packer.step(None, 1.0, done=True)


def _share(seen: int, expected: int) -> float | None:
    return min(0.99, seen / expected) if expected else None


class _Packer:
    """Gathers a step."""

    def __init__(self, numbers: Iterator[bytes]) -> None:
        self._walk = numbers
        self._ahead: list[bytes] = []
        """Numbers read beyond the rows."""
        self.last: bytes | None = None
        """The last number read."""
        self._both: set[bytes] = set()
        self._clear()

    def _clear(self) -> None:
        self.count = 0
        self._parts: tuple[list[bytes], list[bytes], list[bytes], list[bytes]] = ([], [], [], [])
        self._lengths, self._sizes, self._alone_lengths = array("I"), array("I"), array("I")

    def add(self, keys: tuple[bytes, ...], cells: tuple[bytes, ...]) -> None:
        """Rows whose numbers `numbers_until` has found."""
        joined, heads, flags, _ = self._parts
        joined.append(b"".join(keys))
        heads.append(b"".join(map(_head, cells)))
        flags.append(bytes(map(self._both.__contains__, keys)) if self._both else bytes(len(keys)))
        self._lengths.extend(map(len, keys))
        self._sizes.extend(map(len, cells))
        self.count += len(keys)

    def numbers_until(self, keys: tuple[bytes, ...]) -> Iterator[int]:
        """Take the numbers up to the last of these keys; comes back with how many rows there are whenever a step is full."""
        self._both = set()
        end = keys[-1]
        if not self._more() or self._ahead[0] > end:
            return
        known = set(keys)
        while self._more():
            at = len(self._ahead) if self._ahead[-1] <= end else bisect_right(self._ahead, end)
            self._take(self._ahead[:at], known)
            self._ahead = self._ahead[at:]
            if self._ahead:
                return
            if self.count >= PACKED:
                yield self.count

    def numbers_left(self) -> Iterator[int]:
        """Take all the others, in the same way."""
        self._both = set()
        while self._more():
            self._take(self._ahead, set())
            self._ahead = []
            if self.count >= PACKED:
                yield self.count

    def _more(self) -> bool:
        if not self._ahead:
            self._ahead = list(islice(self._walk, CHUNK))
            if self._ahead:
                self.last = self._ahead[-1]
        return bool(self._ahead)

    def _take(self, numbers: list[bytes], known: set[bytes]) -> None:
        both = known.intersection(numbers)
        if len(both) < len(numbers):
            alone = [key for key in numbers if key not in both] if both else numbers
            self._parts[3].append(b"".join(alone))
            self._alone_lengths.extend(map(len, alone))
            self.count += len(alone)
        self._both |= both

    def step(self, last: bytes | None, progress: float | None, done: bool = False) -> Step:
        """What has been gathered, which starts anew."""
        joined, heads, flags, alone = map(b"".join, self._parts)
        pack = joined, self._lengths.tobytes(), heads, self._sizes.tobytes(), flags
        step = Step(pack, (alone, self._alone_lengths.tobytes()), last, progress, done)
        self._clear()
        return step
