"""What a backend brings to the contract suite: an empty store, a way to open it, and a way to plant rows behind its back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

from stores.backends.base import Backend
from stores.codecs.rows import marker_row, value_row
from stores.types import Entry

NOW = 1_900_000_000
"""The settable clocks of the suite start here (March 2030); stores with native expiry use `harness.now()`."""

Layout = Literal["data", "redis", "static"]


@dataclass
class SettableClock:
    """Unix seconds that move only when told."""

    at: float = NOW

    def __call__(self) -> float:
        return self.at


@dataclass(frozen=True)
class Plant:
    """A row that is put into the store without the backend's help.

    Data stores: `row` goes into `m` as it is, `number` into `y`. Redis: `row` is the string, `expires_at` its native expiry.
    Static: key and row are the configured texts.
    """

    key: bytes
    row: bytes | None = None
    number: int | None = None
    expires_at: int | None = None


class Harness(ABC):
    """One real store, empty at the start of each test; `close` after the test leaves nothing behind."""

    layout: Layout = "data"
    native_time = False
    """True where the server's own clock expires keys (Redis)."""

    @abstractmethod
    def open(self, clock: SettableClock) -> Backend:
        """Another backend on the same store; several are open at once."""

    @abstractmethod
    def plant(self, rows: list[Plant]) -> None:
        """Write rows with the engine's own means, fast for thousands; existing ones are replaced."""

    @abstractmethod
    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        """Everything stored, read without the backend: `m` and `y` (Redis: strings, and nothing)."""

    def now(self) -> int:
        """Unix seconds of the store's own clock, for stores with `native_time`."""
        return int(time.time())

    def close(self) -> None:  # noqa: B027 - not every store leaves something behind
        """Remove the store."""


@dataclass
class StoreUnderTest:
    """What a contract test gets."""

    name: str
    harness: Harness
    backend: Backend
    clock: SettableClock
    opened: list[Backend] = field(default_factory=list)

    def another(self) -> Backend:
        """A second backend on the same store: the concurrent writer."""
        self.opened.append(self.harness.open(self.clock))
        return self.opened[-1]

    @property
    def now(self) -> int:
        return int(self.clock())

    def value(self, key: bytes, payload: bytes = b"", expires_at: int | None = None) -> None:
        """Plant one value (an empty payload looks like a lock)."""
        self.values([(key, payload, expires_at)])

    def values(self, rows: list[tuple[bytes, bytes, int | None]]) -> None:
        """Plant values in the store's own layout."""
        if self.harness.layout == "data":
            self.harness.plant([Plant(key, value_row(payload, expires_at)) for key, payload, expires_at in rows])
        else:
            self.harness.plant([Plant(key, payload, None, expires_at) for key, payload, expires_at in rows])

    def counters(self, rows: list[tuple[bytes, int, int | None]]) -> None:
        """Plant counters with their markers."""
        if self.harness.layout == "data":
            self.harness.plant([Plant(k, None if at is None else marker_row(at), number) for k, number, at in rows])
        else:
            self.harness.plant([Plant(k, str(number).encode(), None, at) for k, number, at in rows])

    def walk(self, limit: int = 100, **where: object) -> list[Entry]:
        """All entries of a scan, page by page; fails when the walk does not end."""
        found: list[Entry] = []
        cursor = None
        for _ in range(100_000):
            page = self.backend.scan(cursor=cursor, limit=limit, **where)  # type: ignore[arg-type]
            found += page.entries
            cursor = page.next
            if cursor is None:
                return found
        raise AssertionError("the walk does not end")
