"""The network, or the server behind it, falls silent: every call ends within the default limits, and works again afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stores.backends import rocksprocess
from stores.backends.base import Backend
from stores.backends.rocksdb import RocksDBBackend
from stores.backends.sqlite import SQLiteBackend, create_file
from stores.errors import StoreError, StoreUnavailable
from tests.contract.rocksdb import create
from tests.faults.conftest import place_of, presentable, recovered
from tests.faults.places import KINDS, SECRET

CONNECT_AND_READ = 2.0 + 5.0
"""Seconds that a call may take by default."""
GRACE = 4.0
"""What a busy machine may add."""

CALLS: dict[str, Callable[[Backend], object]] = {
    "get": lambda backend: backend.get(b"k"),
    "page": lambda backend: backend.scan(),
    "count": lambda backend: list(backend.census()),
    "edit": lambda backend: backend.key_set(b"k", b"w"),
    "a first connection": lambda backend: backend.scan(),
}


class Call(threading.Thread):
    """One call on a store of its own, which was used before the network fell silent unless it is about the first connection."""

    def __init__(self, kind: str, name: str, backend: Backend) -> None:
        super().__init__(daemon=True)
        self.kind, self.verb, self.backend = kind, name, backend
        self.seconds = 0.0
        self.error: StoreError | None = None
        self.answer: object = None
        if name != "a first connection":
            backend.get(b"k")

    def run(self) -> None:
        began = time.monotonic()
        try:
            self.answer = CALLS[self.verb](self.backend)
        except StoreError as error:
            self.error = error
        self.seconds = time.monotonic() - began


def test_every_server_falls_silent() -> None:
    """All at once, because each call takes its full time."""
    places = {kind: place_of(kind) for kind in KINDS}
    with ExitStack() as stack:
        calls = []
        for kind, place in places.items():
            for name in CALLS:
                if name == "count" and kind in ("cluster", "sentinel"):
                    continue  # background work waits half a minute for a new primary
                backend = stack.enter_context(place.open(place.stalling))
                if name == "get":
                    backend.key_set(b"k", b"v")
                calls.append(Call(kind, name, backend))
        for place in places.values():
            place.stall()
        try:
            for call in calls:
                call.start()
            for call in calls:
                call.join(40)
        finally:
            for place in places.values():
                place.resume()
        for call in calls:
            where = f"{call.kind}, {call.verb}: {call.seconds:.1f} s, {call.error or call.answer}"
            assert isinstance(call.error, StoreUnavailable), where
            assert call.seconds < CONNECT_AND_READ + GRACE, where
            presentable(call.error, SECRET)
        for call in calls:
            found = recovered(call.backend).get(b"k")
            assert found is not None
            assert found.value in (b"v", b"w")


@pytest.fixture
def rocksdb(tmp_path: Path) -> Iterator[RocksDBBackend]:
    create(tmp_path / "database")
    with RocksDBBackend({"path": str(tmp_path / "database")}) as backend:
        yield backend
    rocksprocess.close_idle()


def test_the_process_of_a_rocksdb_stands_still(rocksdb: RocksDBBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    rocksdb.key_set(b"k", b"v")
    child = rocksdb.shared._child
    assert child is not None
    os.kill(child.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="not answered within 5 s") as caught:
            rocksdb.get(b"k")
        assert 4.5 < time.monotonic() - began < 7
        presentable(caught.value, SECRET)
    finally:
        os.kill(child.process.pid, signal.SIGCONT)
    assert rocksdb.key_get(b"k") == b"v"
    assert rocksdb.key_set(b"k", b"w").value == b"w"


def test_another_program_holds_an_sqlite_file(tmp_path: Path) -> None:
    create_file(tmp_path / "store.db")
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    with SQLiteBackend({"path": str(tmp_path / "store.db")}) as backend:
        backend.key_set(b"k", b"v", 1)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked") as caught:
            backend.key_set(b"k", b"w")
        assert time.monotonic() - began < CONNECT_AND_READ
        presentable(caught.value, SECRET)
        assert [entry.key for entry in backend.scan().entries] == [b"k"], "reading goes on"
        other.execute("ROLLBACK")
        assert sum(step.values for step in backend.purge(2)) == 1
    other.close()
