"""The stores that hold a configured table under contract: in-memory static, and an HTTP lookup with its copy."""

from __future__ import annotations

from stores.backends.http import HttpBackend
from stores.backends.readonly import ReadOnlyTable
from stores.backends.static import StaticBackend
from stores.types import Clock
from tests.contract.harness import Harness, Plant, SettableClock
from tests.servers.listserver import ListServer, ok


class StaticHarness(Harness):
    """Entries that every open backend shares."""

    layout = "static"

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.backends: list[ReadOnlyTable] = []

    def open(self, clock: SettableClock) -> ReadOnlyTable:
        self.backends.append(self.make(clock))
        return self.backends[-1]

    def make(self, clock: Clock) -> ReadOnlyTable:
        """A backend of the present entries."""
        return StaticBackend({}, entries=tuple(self.entries.items()), clock=clock)

    def plant(self, rows: list[Plant]) -> None:
        """The table is given to the constructor: open backends become what a new one would be."""
        self.entries |= {row.key.decode(): (row.row or b"").decode() for row in rows}
        for backend in self.backends:
            backend.__dict__.update(self.make(backend.clock).__dict__)

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return {key.encode(): value.encode() for key, value in self.entries.items()}, {}


class HttpHarness(StaticHarness):
    """The copy of a list; its URL leads to a server that has it too."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ListServer(ok(b"something\n"))

    def make(self, clock: Clock) -> ReadOnlyTable:
        settings = {"url": self.server.url, "format": "list", "allow-private": "true"}
        return HttpBackend(settings, entries=tuple(self.entries.items()), fetched_at=0.0, clock=clock)

    def close(self) -> None:
        self.server.__exit__(None, None, None)
