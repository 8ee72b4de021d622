"""FoundationDB under contract: always against a stand-in for its client, and against a real cluster when one is named.

KVADMIN_TEST_FDB_CLUSTER_FILE names the cluster file of a scratch cluster. Stalwart's layout has no prefix of its own, so the tests use
its real tables: the keys that begin with the letters m, y and n. These have to be empty at first. Then the tests leave a mark (one key,
`kvadmin-contract-tests`), and clear these three letters before and after each test; nothing else is written. One test process at a time
has the cluster.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from stores.backends import fdbclient
from stores.backends.foundationdb import FoundationDBBackend
from stores.codecs.fdblayout import VALUES, assemble, split
from tests.contract.harness import Harness, Plant, SettableClock
from tests.servers.fakefdb import FakeFDB

ROWS_AT_ONCE = 500
BYTES_AT_ONCE = 1_000_000
NUMBERS = b"y"
TABLES = (VALUES, NUMBERS, b"n")
MARK = b"kvadmin-contract-tests"
"""Says that the tables of this cluster belong to the tests. In Stalwart's layout it would be a row of table `k`, which no lookup uses."""


class _FoundationDBHarness(Harness):
    """Rows are written through the client, without the backend."""

    settings: dict[str, str]

    def open(self, clock: SettableClock) -> FoundationDBBackend:
        return FoundationDBBackend(self.settings, version="0.11", clock=clock)

    @property
    def _options(self) -> fdbclient.Options:
        return FoundationDBBackend(self.settings, version="0.11").options

    def plant(self, rows: list[Plant]) -> None:
        pairs: list[tuple[bytes, bytes]] = []
        for row in rows:
            if row.row is not None:
                pairs += [(VALUES + key, value) for key, value in split(row.key, row.row)]
            if row.number is not None:
                pairs.append((NUMBERS + row.key, row.number.to_bytes(8, "little", signed=True)))
        while pairs:
            batch: list[tuple[bytes, bytes]] = []
            size = 0
            while pairs and len(batch) < ROWS_AT_ONCE and size < BYTES_AT_ONCE:
                batch.append(pairs.pop())
                size += len(batch[-1][0]) + len(batch[-1][1])

            def write(transaction: Any, _: bool, batch: list[tuple[bytes, bytes]] = batch) -> None:
                for key, value in batch:
                    transaction.set(key, value)

            fdbclient.run(self._options, write)

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        raw = self._table(VALUES)
        m: dict[bytes, bytes] = {}
        pieces: set[bytes] = set()
        for key in sorted(raw):
            if key not in pieces:
                m[key], own = assemble(key, raw[key], raw.get)
                pieces.update(own)
        return m, {key: int.from_bytes(value, "little", signed=True) for key, value in self._table(NUMBERS).items()}

    def _table(self, letter: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        begin, end = letter, bytes([letter[0] + 1])
        while True:

            def read(transaction: Any, _: bool, begin: bytes = begin) -> list[tuple[bytes, bytes]]:
                return [(pair.key, pair.value) for pair in transaction.snapshot.get_range(begin, end, limit=ROWS_AT_ONCE)]

            page = fdbclient.run(self._options, read)
            found |= {key[1:]: value for key, value in page}
            if len(page) < ROWS_AT_ONCE:
                return found
            begin = page[-1][0] + b"\x00"


class FakeFoundationDBHarness(_FoundationDBHarness):
    """The stand-in: a fresh one a test, cut into shards in the middle of the keys."""

    def __init__(self) -> None:
        fake = FakeFDB()
        fake.cluster("fake").boundaries = [b"m", b"m\x10", b"mk", b"m\xff", b"y\x05", b"yk0"]
        self.settings = {"cluster-file": "fake"}
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(fdbclient, "client", lambda: fake)

    def close(self) -> None:
        self._patch.undo()


class FoundationDBHarness(_FoundationDBHarness):
    """A real cluster that nobody else uses."""

    def __init__(self) -> None:
        file = os.environ.get("KVADMIN_TEST_FDB_CLUSTER_FILE")
        if not file:
            pytest.skip("KVADMIN_TEST_FDB_CLUSTER_FILE names no FoundationDB cluster")
        self.settings = {"cluster-file": file, "transaction.timeout": "10s"}
        self._turn = (Path(tempfile.gettempdir()) / f"kvadmin-fdb-{hashlib.sha256(file.encode()).hexdigest()[:16]}").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            if self._marked():
                self._clear()
            elif any(self._table(letter) for letter in TABLES):
                raise RuntimeError("The tables m, y and n of this cluster are not empty: name a scratch cluster.")
            self._mark()
        except BaseException:
            self._turn.close()
            raise

    def close(self) -> None:
        try:
            self._clear()
        finally:
            self._turn.close()

    def _marked(self) -> bool:
        found: bool = fdbclient.run(self._options, lambda transaction, _: transaction.get(MARK).present())
        return found

    def _mark(self) -> None:
        fdbclient.run(self._options, lambda transaction, _: transaction.set(MARK, b"These tables are cleared by tests."))

    def _clear(self) -> None:
        def clear(transaction: Any, _: bool) -> None:
            for letter in TABLES:
                transaction.clear_range(letter, bytes([letter[0] + 1]))

        fdbclient.run(self._options, clear)
