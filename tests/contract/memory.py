"""The memory backend under contract."""

from __future__ import annotations

from itertools import count

from stores.backends import memory
from stores.backends.datastore import Stored
from tests.contract.harness import Harness, Plant, SettableClock

_numbers = count()


class MemoryHarness(Harness):
    """A named set of rows in this process."""

    def __init__(self) -> None:
        self.name = f"contract-{next(_numbers)}"

    def open(self, clock: SettableClock) -> memory.MemoryBackend:
        return memory.MemoryBackend({"name": self.name}, clock=clock)

    def plant(self, rows: list[Plant]) -> None:
        data = memory._DATA.setdefault(self.name, memory.MemoryData())
        for row in rows:
            data.write(row.key, Stored(row.row, row.number))

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        data = memory._DATA[self.name]
        return dict(data.m), dict(data.y)

    def close(self) -> None:
        memory._DATA.pop(self.name, None)
