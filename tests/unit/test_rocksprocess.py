"""RocksDB is open in a process of its own: this one never stands still, what dies is replaced, nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from rocksdict import Options, Rdict, WriteBatch

from stores.backends import rocksfiles, rocksprocess
from stores.backends.rocksdb import RocksDBBackend
from stores.backends.rockslocal import LocalDatabase
from stores.codecs.rows import value_row
from stores.errors import Busy, StoreUnavailable
from tests.contract.rocksdb import create, put_rows, read_rows
from tests.servers.rocksdb import ROOT

LOGGED = 400_000
"""Rows in the write-ahead log: opening reads them all."""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Links and logs under the test's own folder, and no process left."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield
    rocksprocess.close_idle()
    assert views() == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one row."""
    create(tmp_path / "database")
    put_rows(tmp_path / "database", {b"row": value_row(b"v", None)}, {})
    return tmp_path / "database"


def backend(path: Path) -> RocksDBBackend:
    return RocksDBBackend({"path": str(path)}, version="0.11", clock=lambda: 1_800_000_000)


def views() -> list[Path]:
    return list(rocksfiles.work_folder().glob("view-*"))


def dies_over_the_next_question(store: RocksDBBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process reads no more, and is killed once it has been asked: however busy the machine is."""
    receive = rocksprocess.Child._receive
    process = process_of(store)
    process.send_signal(signal.SIGSTOP)

    def killed(child: rocksprocess.Child, until: float) -> tuple[bool, Any]:
        if child.process is process:
            process.kill()
        return receive(child, until)

    monkeypatch.setattr(rocksprocess.Child, "_receive", killed)


def process_of(store: RocksDBBackend) -> subprocess.Popen[bytes]:
    child = store.shared._child
    assert child is not None
    return child.process


def keys(store: RocksDBBackend) -> list[bytes]:
    return [entry.key for entry in store.scan().entries]


def wait_for(ready: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def log_rows(path: Path, count: int) -> None:
    """Rows that are only in the write-ahead log, as a busy server leaves them."""
    database = Rdict(str(path), Options(raw_mode=True), {name: Options(raw_mode=True) for name in Rdict.list_cf(str(path))})
    handle = database.get_column_family_handle("y")
    for first in range(0, count, 10_000):
        batch = WriteBatch(raw_mode=True)
        for number in range(first, first + 10_000):
            batch.put(number.to_bytes(8, "big"), bytes(8), handle)
        database.write(batch)
    del handle
    database.close()


class Ticking:
    """A thread that looks at the clock all the time: the longest time that it could not."""

    def __enter__(self) -> Ticking:
        self.gap, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.002):
            now = time.monotonic()
            self.gap, last = max(self.gap, now - last), now


def test_the_rest_of_the_process_goes_on_while_a_large_log_is_read(path: Path) -> None:
    log_rows(path, LOGGED)
    began = time.monotonic()
    with Ticking() as standing, closing(LocalDatabase(path, "0.11")) as local:
        assert local.page(b"", None, 1, True)
    opening = time.monotonic() - began
    assert standing.gap > opening / 3, "opened in this process it stands still"

    with backend(path) as store:
        store.shared.ask("families")
        began = time.monotonic()
        with Ticking() as going:
            assert len(store.scan(limit=5).entries) == 5
        took = time.monotonic() - began
        assert took > opening / 10, "the log was read now"
        assert going.gap < took / 2, "this process went on meanwhile"


def test_a_page_does_not_wait_for_ever_and_the_next_one_finds_it_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_rows(path, LOGGED)
    with backend(path) as store:
        store.shared.ask("families")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"not answered within 0.05 s.*try again"):
            store.shared.ask("rows", [b"row"], True, seconds=0.05)
        assert time.monotonic() - began < 1
        assert store.get(b"row") is not None
        assert store.shared.generation == 1, "the same process"


def test_a_process_that_is_killed_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with backend(path) as store:
        assert keys(store) == [b"row"]
        process_of(store).kill()
        assert keys(store) == [b"row"], "a page does not even notice"
        process_of(store).kill()
        process_of(store).wait(20)
        assert store.key_set(b"new", b"v").value == b"v"
        dies_over_the_next_question(store, monkeypatch)
        with pytest.raises(StoreUnavailable, match="look first whether it was made"):
            store.shared.ask("change", [(b"new", None, None, b"x", None)], again=False)
        assert store.key_set(b"newer", b"v").value == b"v", "and the LOCK is taken again"
    rocksprocess.close_idle()
    assert set(read_rows(path)[0]) == {b"row", b"new", b"newer"}


def test_a_census_whose_process_is_killed_goes_on_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_rows(path, {b"k%05d" % number: value_row(b"", None) for number in range(20_000)}, {})
    with backend(path) as store:
        steps = store.census()
        seen = [next(steps), next(steps)]
        dies_over_the_next_question(store, monkeypatch)
        with pytest.raises(StoreUnavailable):
            for step in steps:
                seen.append(step)
        seen += store.census(seen[-1].position)
        found = [row.key for step in seen for row in step.rows]
        assert len(found) == len(set(found)) == 20_001


def test_a_purge_whose_process_is_killed_loses_and_repeats_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_rows(path, {b"k%05d" % number: value_row(b"", 1000 + number % 2) for number in range(20_000)}, {})
    with backend(path) as store:
        steps = store.purge(1000)
        seen = [next(steps)]
        dies_over_the_next_question(store, monkeypatch)
        with pytest.raises(StoreUnavailable):
            next(steps)
        seen += store.purge(1000, position=seen[-1].position)
    rocksprocess.close_idle()
    left = read_rows(path)[0]
    assert set(left) == {b"row", *(b"k%05d" % number for number in range(1, 20_000, 2))}
    assert sum(step.values for step in seen) == 10_000


def test_processes_are_shared_and_ended_when_idle(path: Path) -> None:
    before = set(path.iterdir())
    with backend(path) as one, backend(path) as two:
        one.scan()
        two.scan()
        assert one.shared is two.shared
        assert len(views()) == 1
        rocksprocess.close_idle()
        process = process_of(one)
        assert process.poll() is None, "in use"
    rocksprocess.close_idle(older_than=60)
    assert process.poll() is None, "used just now"
    rocksprocess.close_idle()
    assert process.returncode == 0
    assert views() == []
    assert set(path.iterdir()) == before


_OWNER = """
import sys, tempfile
tempfile.tempdir = sys.argv[2]
from stores.backends.rocksdb import RocksDBBackend
store = RocksDBBackend({"path": sys.argv[1]}, version="0.11")
store.key_set(b"mine", b"v")
print(store.shared._child.process.pid, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_ends_with_the_one_that_started_it(path: Path, with_signal: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(path), str(rocksfiles.work_folder().parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    owner.send_signal(with_signal)
    owner.wait(20)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    with backend(path) as store:
        assert store.capabilities.writes, "the LOCK is free"
        assert keys(store) == [b"mine", b"row"]


def test_a_forked_child_has_a_process_of_its_own_and_the_parents_ends_with_the_parent(path: Path) -> None:
    """As a worker forked from one that had a store open: it reads and writes like any other process of kvadmin."""
    with backend(path) as store:
        assert keys(store) == [b"row"]
        pid = process_of(store).pid
        child = os.fork()
        if child == 0:
            answer = 1
            try:
                with backend(path) as own:
                    own.key_set(b"child", b"v")
                    answer = 2 if keys(own) == [b"child", b"row"] and process_of(own).pid != pid else 3
                rocksprocess.close_idle()
                answer += 40
            finally:
                os._exit(answer)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 42
        assert process_of(store).pid == pid, "the parent's goes on"
        assert store.key_set(b"parent", b"v").value == b"v"


def test_many_threads_share_one_process(path: Path) -> None:
    put_rows(path, {}, {b"c": bytes(8)})

    def add() -> None:
        with backend(path) as store:
            for _ in range(10):
                store.counter_incr(b"c", 1)
                assert store.scan().entries

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with backend(path) as store:
        assert store.counter_get(b"c") == 40


class Compacting:
    """A table whose compaction lasts until it is told how to end."""

    def __init__(self, table: Rdict) -> None:
        self.table, self.ends, self.fault = table, threading.Event(), ""

    def compact_range(self, begin: None, end: None) -> None:
        assert self.ends.wait(20)
        if self.fault:
            raise Exception(self.fault)

    def __getattr__(self, name: str) -> object:
        return getattr(self.table, name)


def begun(store: LocalDatabase) -> Compacting:
    """A compaction of `m` that has begun."""
    store.hold(1)
    writer = store._writer
    assert writer is not None
    values = Compacting(writer.tables.values)
    writer.tables.values = cast(Any, values)
    store.compact_begin(False)
    return values


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_everything_else_is_answered_while_a_table_is_compacted(path: Path) -> None:
    with closing(LocalDatabase(path, "0.11")) as store:
        values = begun(store)
        assert not store.compacted()
        assert store.rows([b"row"], True) == [(value_row(b"v", None), None)]
        assert store.change([(b"new", None, None, value_row(b"n", None), None)])
        assert store.count(b"", None, 10, True) == 2
        with pytest.raises(Busy, match="compaction"):
            store.compact_begin(True)
        assert not store.compacted(), "the first one goes on, and its end is told to who began it"
        values.ends.set()
        until(store.compacted)
        with pytest.raises(StoreUnavailable):
            store.compacted()
        values.fault = "IO error: No space left on device"
        store.compact_begin(False)
        with pytest.raises(StoreUnavailable, match="full"):
            until(store.compacted)


def test_closing_waits_for_a_compaction(path: Path) -> None:
    with closing(LocalDatabase(path, "0.11")) as store:
        values = begun(store)
        closing_it = threading.Thread(target=store.let_go, args=[1])
        closing_it.start()
        closing_it.join(0.05)
        assert closing_it.is_alive()
        values.ends.set()
        closing_it.join(20)
        assert not closing_it.is_alive()
    assert read_rows(path)
