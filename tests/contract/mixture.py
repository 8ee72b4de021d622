"""A mixture of everything that a data store can hold, and what a purge has to make of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from stores.codecs.rows import marker_row, split_row, value_row
from stores.types import Kind
from tests.contract.harness import NOW, Plant

LOCK = b"\x15"


def is_lock(key: bytes) -> bool:
    """The tests' own rule: keys of this class byte are locks."""
    return key.startswith(LOCK)


def mixture(count: int, seed: int = 1, now: int = NOW) -> list[Plant]:
    """`count` distinct keys: values, locks, counters, orphans, expired, live and never, malformed, at the edges of time."""
    source = random.Random(seed)
    moments = [1, now - 1000, now - 1, now, now, now + 1, now + 1000, (1 << 64) - 2]
    rows: dict[bytes, Plant] = {}

    def add(key: bytes, row: bytes | None, number: int | None = None) -> None:
        rows[key] = Plant(key, row, number)

    add(b"", value_row(b"expired empty key", now - 5))
    add(b"\xff" * 11, marker_row(now - 5), 11)
    add(b"\xff" * 30, value_row(b"", now))
    while len(rows) < count:
        key = bytes([source.choice([0x05, 0x10, 0x11, 0x15, 0x61, 0xFF])]) + source.randbytes(source.randrange(1, 24))
        match source.randrange(10):
            case 0 | 1 | 2:
                add(key, value_row(source.randbytes(source.randrange(0, 40)), source.choice([*moments, None])))
            case 3:
                add(LOCK + key, value_row(b"", source.choice(moments)))
            case 4 | 5:
                add(key, marker_row(source.choice(moments)), source.randrange(-5, 1 << 40))
            case 6:
                add(key, None, source.choice([0, 3, -3, 1 << 50]))
            case 7:
                add(key, marker_row(source.choice(moments)), None)
            case 8:
                add(key, value_row(b"zz", source.choice(moments)), 8)
            case _:
                add(key, source.choice([b"", b"\x01", b"1234567", bytes(8), bytes(15), bytes(8) + b"\xff" * 8, bytes(16), b"\xff" * 8]))
    return list(rows.values())


@dataclass
class Sums:
    """What a purge reports, summed over its slices."""

    values: int = 0
    counters: int = 0
    locks: int = 0
    corrupt: int = 0
    bytes: int = 0
    scanned: int = 0


def purged(rows: list[Plant], now: int = NOW) -> tuple[Sums, dict[bytes, bytes], dict[bytes, int]]:
    """The sums and the remaining `m` and `y`, decided row by row from the layout alone."""
    sums = Sums()
    m = {plant.key: plant.row for plant in rows if plant.row is not None}
    y = {plant.key: plant.number for plant in rows if plant.number is not None}
    for key, row in list(m.items()):
        sums.scanned += 1
        kind, expires_at, payload, problem = split_row(row)
        if problem:
            sums.corrupt += 1
        elif expires_at is not None and expires_at <= now:
            sums.bytes += len(key) + len(row)
            del m[key]
            if kind is Kind.COUNTER:
                sums.counters += 1
                sums.bytes += 8 if y.pop(key, None) is not None else 0
            elif payload == b"" and is_lock(key):
                sums.locks += 1
            else:
                sums.values += 1
    return sums, m, y
