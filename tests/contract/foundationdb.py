"""FoundationDB under contract: always against a stand-in for its client, and against a real cluster when one is named.

KVADMIN_TEST_FDB_CLUSTER_FILE names the cluster file of a scratch cluster. The tables m, y and n of that cluster have to be empty
at first; they are cleared after every test.
"""

from __future__ import annotations

import os
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
            while pairs and len(batch) < ROWS_AT_ONCE and sum(len(value) for _, value in batch[-20:]) < BYTES_AT_ONCE:
                batch.append(pairs.pop())

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
        if any(self._table(letter) for letter in (VALUES, NUMBERS, b"n")):
            raise RuntimeError("The tables m, y and n of this cluster are not empty: name a scratch cluster.")

    def close(self) -> None:
        def clear(transaction: Any, _: bool) -> None:
            for letter in (VALUES, NUMBERS, b"n"):
                transaction.clear_range(letter, bytes([letter[0] + 1]))

        fdbclient.run(self._options, clear)
