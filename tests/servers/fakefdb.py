"""A small stand-in for FoundationDB's client, in memory: not the real thing, but its rules as the tests need them.

Serializable transactions with conflict detection, the limits of key, value and transaction size, retryable errors through
`on_error`, futures for reads. What it does not imitate: time limits of transactions, the network, shards that move.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

RETRYABLE = frozenset({1007, 1009, 1020, 1021, 1037, 1039})
STATUS = b'{"cluster": {"processes": {"a": {"version": "7.3.69"}}}}'


class FDBError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        self.description = b"error %d of the stand-in" % code


class Found:
    """A future of a read."""

    def __init__(self, value: bytes | None) -> None:
        self._value = value

    def present(self) -> bool:
        return self._value is not None

    def wait(self) -> Found:
        return self

    def __bytes__(self) -> bytes:
        assert self._value is not None
        return self._value


class Done:
    """A future of anything else."""

    def __init__(self, value: object = None) -> None:
        self._value = value

    def wait(self) -> object:
        return self._value


class Cluster:
    """What all transactions share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 1
        self.rows: dict[bytes, bytes] = {}
        self.order: list[bytes] | None = []
        self.writes: list[tuple[int, frozenset[bytes]]] = []
        self.boundaries: list[bytes] = []
        self.errors: list[tuple[str, int]] = []
        """What goes wrong next: ("read" | "commit" | "commit, done", code)."""
        self.commits = 0

    def sorted_keys(self) -> list[bytes]:
        if self.order is None:
            self.order = sorted(self.rows)
        return self.order

    def fail(self, place: str) -> int | None:
        if self.errors and self.errors[0][0] == place:
            return self.errors.pop(0)[1]
        return None


class Reads:
    """The reading half of a transaction; `conflicts` None for a snapshot."""

    def __init__(self, cluster: Cluster, transaction: Transaction, conflicts: set[bytes] | None) -> None:
        self._cluster = cluster
        self._transaction = transaction
        self._conflicts = conflicts

    def get(self, key: bytes) -> Found:
        if key == b"\xff\xff/status/json":
            return Found(STATUS)
        _legal(key)
        code = self._cluster.fail("read")
        if code is not None:
            raise FDBError(code)
        if self._conflicts is not None:
            self._conflicts.add(key)
        rows, _, changed = self._transaction.view()
        return Found(changed[key] if key in changed else rows.get(key))

    def get_range(self, begin: bytes, end: bytes, limit: int = 0, streaming_mode: int = 0) -> Iterator[Any]:
        assert self._conflicts is None, "ranges are read as snapshots here"
        code = self._cluster.fail("read")
        if code is not None:
            raise FDBError(code)
        rows, order, changed = self._transaction.view()
        assert not changed, "no range is read after a write here"
        first, last = bisect_left(order, begin), bisect_left(order, min(end, b"\xff"))
        if limit:
            last = min(last, first + limit)
        return iter([SimpleNamespace(key=key, value=rows[key]) for key in order[first:last]])

    def get_read_version(self) -> Done:
        return Done(self._transaction.view() and 1)

    def get_estimated_range_size_bytes(self, begin: bytes, end: bytes) -> Done:
        rows, order, _ = self._transaction.view()
        return Done(sum(len(key) + len(rows[key]) for key in order[bisect_left(order, begin) : bisect_left(order, end)]))


class Transaction(Reads):
    def __init__(self, cluster: Cluster) -> None:
        self._read_conflicts: set[bytes] = set()
        super().__init__(cluster, self, self._read_conflicts)
        self.snapshot = Reads(cluster, self, None)
        self.options = SimpleNamespace(set_timeout=self._timeout, set_retry_limit=self._retries, set_max_retry_delay=self._ignore)
        self.timeout: int | None = None
        self.retries_left = 1 << 30
        self._seen: tuple[int, dict[bytes, bytes], list[bytes]] | None = None
        self._changed: dict[bytes, bytes | None] = {}

    def _timeout(self, milliseconds: int) -> None:
        self.timeout = milliseconds

    def _retries(self, count: int) -> None:
        self.retries_left = count

    def _ignore(self, value: int) -> None:
        assert value >= 0

    def view(self) -> tuple[dict[bytes, bytes], list[bytes], dict[bytes, bytes | None]]:
        """Rows as of the first read, their order, and what this transaction has changed."""
        assert self.timeout, "every transaction has a timeout"
        if self._seen is None:
            with self._cluster.lock:
                self._seen = self._cluster.version, self._cluster.rows, self._cluster.sorted_keys()
        return self._seen[1], self._seen[2], self._changed

    def set(self, key: bytes, value: bytes) -> None:
        _legal(key)
        if len(value) > 100_000:
            raise FDBError(2103)
        self.view()
        self._changed[key] = value

    def clear(self, key: bytes) -> None:
        _legal(key)
        self.view()
        self._changed[key] = None

    def commit(self) -> Done:
        if not self._changed:
            return Done()
        size = sum(2 * len(key) + len(value or b"") for key, value in self._changed.items()) + sum(map(len, self._read_conflicts))
        if size > 10_000_000:
            raise FDBError(2101)
        with self._cluster.lock:
            code = self._cluster.fail("commit")
            if code is not None:
                raise FDBError(code)
            assert self._seen is not None
            for version, keys in reversed(self._cluster.writes):
                if version <= self._seen[0]:
                    break
                if keys & self._read_conflicts:
                    raise FDBError(1020)
            self._apply()
            code = self._cluster.fail("commit, done")
            if code is not None:
                raise FDBError(code)
        return Done()

    def _apply(self) -> None:
        cluster = self._cluster
        rows = dict(cluster.rows)
        for key, value in self._changed.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        cluster.version += 1
        cluster.rows, cluster.order = rows, None
        cluster.writes.append((cluster.version, frozenset(self._changed)))
        cluster.commits += 1

    def on_error(self, code: int) -> Done:
        if code not in RETRYABLE or self.retries_left == 0:
            raise FDBError(code)
        self.retries_left -= 1
        self._read_conflicts.clear()
        self._seen, self._changed = None, {}
        return Done()


def _legal(key: bytes) -> None:
    if len(key) > 10_000:
        raise FDBError(2102)
    if key >= b"\xff":
        raise FDBError(2004)


class FakeFDB:
    """The module, with one cluster a cluster file."""

    FDBError = FDBError
    StreamingMode = SimpleNamespace(want_all=-1)

    def __init__(self) -> None:
        self.clusters: dict[str | None, Cluster] = {}
        self.ids: list[tuple[str, str]] = []
        self.locality = SimpleNamespace(get_boundary_keys=self._boundaries)

    def cluster(self, file: str | None) -> Cluster:
        return self.clusters.setdefault(file, Cluster())

    def open(self, file: str | None) -> Any:
        if file is not None and "missing" in file:
            raise FDBError(1515)
        cluster = self.cluster(file)
        return SimpleNamespace(
            create_transaction=lambda: Transaction(cluster),
            cluster=cluster,
            options=SimpleNamespace(
                set_transaction_timeout=lambda milliseconds: None,
                set_machine_id=lambda text: self.ids.append(("machine", text)),
                set_datacenter_id=lambda text: self.ids.append(("datacenter", text)),
            ),
        )

    def _boundaries(self, handle: Any, begin: bytes, end: bytes) -> Iterator[bytes]:
        return iter([key for key in handle.cluster.boundaries if begin <= key < end])
