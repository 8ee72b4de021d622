"""What is particular to a database file: races inside a step, gaps in row ids, the log, cells of the wrong type."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores.backends import sqlite_purge as module
from stores.backends.sql import NO_PARAMS, Execute, LostRace, Params, Row
from stores.backends.sqlite import SQLiteBackend, create_file
from stores.codecs.rows import marker_row, value_row
from stores.errors import CursorLost, StoreUnavailable
from stores.types import Kind, Pace
from tests.contract.harness import NOW, SettableClock

OLD = NOW - 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_file(tmp_path / "store.db")
    return tmp_path / "store.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """The server's own connection."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


class Interrupted(SQLiteBackend):
    """Lets the server write between the look of a step and its delete."""

    server: sqlite3.Connection
    statements: list[tuple[str, tuple[object, ...]]]

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        rows = super()._query(sql, params)
        if sql == module._LOOK:
            for statement in self.statements:
                self.server.execute(*statement)
            self.statements = []
        return rows


@pytest.mark.parametrize("what", ["value", "counter", "gone", "grown"])
def test_what_changes_between_look_and_delete_is_decided_by_the_delete(path: Path, other: sqlite3.Connection, what: str) -> None:
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"v%d" % n, value_row(b"old", OLD)) for n in range(20)])
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"c%d" % n, marker_row(OLD)) for n in range(20)])
    other.executemany("INSERT INTO y VALUES (?, ?)", [(b"c%d" % n, 5) for n in range(20)])
    backend = Interrupted({"path": str(path)}, clock=SettableClock())
    backend.server = other
    changes: dict[str, list[tuple[str, tuple[object, ...]]]] = {
        "value": [("UPDATE m SET v = ? WHERE k = ?", (value_row(b"new", NOW + 60), b"v3"))],
        "counter": [("UPDATE m SET v = ? WHERE k = ?", (marker_row(NOW + 60), b"c3")), ("UPDATE y SET v = v + 1 WHERE k = ?", (b"c3",))],
        "gone": [("DELETE FROM m WHERE k = ?", (b"v3",))],
        "grown": [("UPDATE m SET v = ? WHERE k = ?", (value_row(b"older and longer", OLD - 5), b"v3"))],
    }
    backend.statements = changes[what]
    steps = list(backend.purge(NOW))
    m, y = dict(other.execute("SELECT k, v FROM m")), dict(other.execute("SELECT k, v FROM y"))
    removed = sum(step.values for step in steps), sum(step.counters for step in steps)
    if what == "value":
        assert (m, y, removed) == ({b"v3": value_row(b"new", NOW + 60)}, {}, (19, 20))
    elif what == "counter":
        assert (m, y, removed) == ({b"c3": marker_row(NOW + 60)}, {b"c3": 6}, (20, 19))
    else:
        assert (m, y, removed) == ({}, {}, (19 if what == "gone" else 20, 20))
    backend.close()


def test_row_ids_with_wide_gaps_cost_no_more_steps(path: Path, other: sqlite3.Connection) -> None:
    """A server that replaces its rows for years leaves few rows among billions of ids."""
    ids = [3, 1 << 20, 1 << 40, (1 << 40) + 1, (1 << 62) - 1]
    other.executemany("INSERT INTO m (rowid, k, v) VALUES (?, ?, ?)", [(n, b"k%d" % n, value_row(b"", OLD)) for n in ids])
    with SQLiteBackend({"path": str(path)}) as backend:
        steps = list(backend.purge(NOW))
    assert len(steps) == 1
    assert (steps[0].scanned, steps[0].values) == (5, 5)
    assert other.execute("SELECT count(*) FROM m").fetchone() == (0,)


def test_rows_with_negative_ids_are_reached(path: Path, other: sqlite3.Connection) -> None:
    other.executemany("INSERT INTO m (rowid, k, v) VALUES (?, ?, ?)", [(n, b"k%d" % n, value_row(b"", OLD)) for n in (-5, 0, 7)])
    with SQLiteBackend({"path": str(path)}) as backend:
        assert sum(step.values for step in backend.purge(NOW)) == 3


def test_rows_that_are_written_during_a_purge_do_not_keep_it_running(path: Path, other: sqlite3.Connection) -> None:
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%05d" % n, value_row(b"", OLD)) for n in range(2000)])
    with SQLiteBackend({"path": str(path)}) as backend:
        for turn, step in enumerate(backend.purge(NOW, Pace.GENTLE)):
            other.executemany("INSERT INTO m VALUES (?, ?)", [(b"n%05d-%d" % (turn, n), value_row(b"", OLD)) for n in range(600)])
            assert turn < 20, step
    assert other.execute("SELECT count(*) FROM m WHERE k < x'6e'").fetchone() == (0,)


def test_the_log_is_emptied_whenever_it_has_grown(path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 200_000)
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%06d" % (n * 7919 % 20_000), value_row(b"x" * 40, OLD)) for n in range(20_000)])
    log = path.with_name("store.db-wal")
    sizes = []
    with SQLiteBackend({"path": str(path)}) as backend:
        for _ in backend.purge(NOW, Pace.GENTLE):
            sizes.append(log.stat().st_size)
        assert backend._query("PRAGMA wal_autocheckpoint") == [(1000,)], "as before the purge"
    assert len(sizes) > 5
    assert max(sizes) <= 200_000


def test_a_reader_that_stays_keeps_neither_purge_nor_writers_waiting(
    path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 100_000)
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%06d" % n, value_row(b"x" * 40, OLD)) for n in range(4000)])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM m").fetchone()
    writer = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    with SQLiteBackend({"path": str(path)}) as backend:
        for _ in backend.purge(NOW, Pace.GENTLE):
            writer.execute("INSERT OR REPLACE INTO m VALUES (x'ff', x'ffffffffffffffff')")
    assert reader.execute("SELECT count(*) FROM m").fetchone() == (4000,)
    assert other.execute("SELECT count(*) FROM m").fetchone() == (1,)
    reader.close()
    writer.close()


def test_a_rollback_journal_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
    connection.execute("CREATE TABLE y (k BLOB PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)")
    connection.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%d" % n, value_row(b"", OLD + 20 * (n % 2))) for n in range(100)])
    with SQLiteBackend({"path": str(path)}) as backend:
        assert sum(step.values for step in backend.purge(NOW)) == 50
        backend.key_set(b"k", b"v")
        assert backend.count() == (51, True)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_cells_of_another_type_are_shown_or_left_alone(path: Path, other: sqlite3.Connection) -> None:
    other.execute("INSERT INTO m VALUES (x'61', 'text instead of bytes')")
    other.execute("INSERT INTO m VALUES (x'62', 'short')")
    other.execute("INSERT INTO m VALUES (x'63', 17)")
    other.execute("INSERT INTO y VALUES (x'64', 'no number')")
    other.execute("INSERT INTO y VALUES (x'65', '12')")
    other.execute("INSERT INTO m VALUES ('text key', x'0000000000000001')")
    with SQLiteBackend({"path": str(path)}) as backend:
        found = {entry.key: entry for entry in backend.scan().entries}
        assert set(found) == {b"a", b"b", b"c", b"d", b"e"}
        assert found[b"a"].row == b"text instead of bytes"
        assert found[b"b"].problem
        assert found[b"c"].problem
        assert (found[b"d"].kind, found[b"d"].counter) == (Kind.COUNTER, 0)
        assert found[b"e"].counter == 12
        assert len({row.key for step in backend.census() for row in step.rows}) == 5
        steps = list(backend.purge(NOW))
        assert [(step.values, step.corrupt, step.scanned) for step in steps] == [(0, 2, 4)]
        assert {entry.key for entry in backend.scan().entries} == set(found)


def test_a_position_of_another_engine_is_refused(path: Path, other: sqlite3.Connection) -> None:
    other.execute("INSERT INTO m VALUES (x'61', x'0000000000000001')")
    with SQLiteBackend({"path": str(path)}) as backend, pytest.raises(CursorLost):
        list(backend.purge(NOW, position="17:4"))


def test_a_purge_starts_over_after_a_vacuum(path: Path, other: sqlite3.Connection) -> None:
    """VACUUM numbers the rows anew; going on from an old number would leave rows behind."""
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"live%05d" % n, value_row(b"x" * 40, NOW + 60)) for n in range(3000)])
    other.executemany("INSERT INTO m VALUES (?, ?)", [(b"dead%05d" % n, value_row(b"x" * 40, OLD)) for n in range(3000)])
    with SQLiteBackend({"path": str(path)}) as backend:
        steps = backend.purge(NOW, Pace.GENTLE)
        position = [next(steps).position for _ in range(3)][-1]
        steps.close()  # type: ignore[attr-defined]
        other.execute("DELETE FROM m WHERE k BETWEEN CAST('live00000' AS BLOB) AND CAST('live02899' AS BLOB)")
        other.execute("VACUUM")
        list(backend.purge(NOW, Pace.GENTLE, position))
    assert {key[:4] for (key,) in other.execute("SELECT k FROM m")} == {b"live"}


def test_paths_with_any_character_work(tmp_path: Path) -> None:
    path = tmp_path / "a b?c#d%20e\u00fc.db"
    create_file(path)
    with SQLiteBackend({"path": str(path)}) as backend:
        backend.key_set(b"k", b"v")
        assert backend.key_get(b"k") == b"v"
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize(("lost", "outcome"), [(0, "written"), (3, "written"), (9, "written"), (10, "refused")])
def test_a_lost_race_is_run_again_a_bounded_number_of_times(path: Path, lost: int, outcome: str) -> None:
    """As after a deadlock or a key that has just appeared; the decision is made anew on what is stored then."""
    calls = 0

    class Losing(SQLiteBackend):
        @contextmanager
        def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
            nonlocal calls
            calls += 1
            if calls <= lost:
                raise LostRace
            with super()._transaction(read_seconds) as execute:
                yield execute

    with Losing({"path": str(path)}, clock=SettableClock()) as backend:
        if outcome == "written":
            assert backend.counter_incr(b"k", 2) == 2
            assert calls == lost + 1
        else:
            with pytest.raises(StoreUnavailable, match="keep changing"):
                backend.counter_incr(b"k", 2)
            assert backend.get(b"k") is None
