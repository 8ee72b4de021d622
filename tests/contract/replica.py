"""A SQL read replica under contract: a SQLite file as primary, and the same file as a replica that never lags."""

from __future__ import annotations

from stores.backends.replica import ReplicaBackend
from tests.contract.harness import SettableClock
from tests.contract.sqlite import SQLiteHarness


class ReplicaHarness(SQLiteHarness):
    """Lists come through the replica, writes through the primary."""

    def open(self, clock: SettableClock) -> ReplicaBackend:  # type: ignore[override]
        return ReplicaBackend({}, members=[super().open(clock), super().open(clock)], clock=clock)
