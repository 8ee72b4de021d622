"""The in-memory static store under contract."""

from __future__ import annotations

from stores.backends.static import StaticBackend
from tests.contract.harness import Harness, Plant, SettableClock


class StaticHarness(Harness):
    """Entries that every open backend shares."""

    layout = "static"

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.backends: list[StaticBackend] = []

    def open(self, clock: SettableClock) -> StaticBackend:
        self.backends.append(StaticBackend({}, entries=tuple(self.entries.items()), clock=clock))
        return self.backends[-1]

    def plant(self, rows: list[Plant]) -> None:
        self.entries |= {row.key.decode(): (row.row or b"").decode() for row in rows}
        for backend in self.backends:
            StaticBackend.__init__(backend, {}, entries=tuple(self.entries.items()), clock=backend.clock)

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return {key.encode(): value.encode() for key, value in self.entries.items()}, {}
