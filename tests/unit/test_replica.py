"""SQL read replica: where reads and writes go, and what happens when a replica fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stores.backends.base import Backend
from stores.backends.memory import MemoryBackend
from stores.backends.replica import ReplicaBackend
from stores.backends.sqlite import SQLiteBackend
from stores.codecs.rows import value_row
from stores.codecs.sqltables import create_statements
from stores.errors import BadConfig, CursorLost, StoreError, StoreUnavailable
from stores.services.tally import Tally
from stores.types import ABSENT, CensusPlan, CensusRow, CensusSlice, Entry, Kind

NOW = 1_900_000_000


def database(path: Path, rows: dict[bytes, bytes]) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in create_statements("sqlite"):
            connection.execute(statement)
        connection.executemany("INSERT INTO m (k, v) VALUES (?, ?)", rows.items())
    connection.close()
    return path


def sqlite(path: Path) -> SQLiteBackend:
    return SQLiteBackend({"path": str(path)}, version="0.11", clock=lambda: NOW)


@pytest.fixture
def primary(tmp_path: Path) -> Path:
    return database(tmp_path / "primary.db", {b"k": value_row(b"new", None), b"old": value_row(b"x", NOW - 1)})


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    return database(tmp_path / "replica.db", {b"k": value_row(b"lags", None)})


def combined(*paths: Path) -> ReplicaBackend:
    return ReplicaBackend({}, members=[sqlite(path) for path in paths], version="0.11", clock=lambda: NOW)


def values(entries: tuple[Entry, ...]) -> dict[bytes, bytes | None]:
    return {entry.key: entry.value for entry in entries}


def test_lists_may_come_from_a_replica_and_everything_else_from_the_primary(primary: Path, replica: Path) -> None:
    with combined(primary, replica) as store:
        assert values(store.scan().entries) == {b"k": b"lags"}
        assert store.count() == (1, True)
        assert [row.key for step in store.census() for row in step.rows] == [b"k"]
        read = store.get(b"k")
        assert read is not None
        assert (read.value, store.key_get(b"k"), store.key_exists(b"k")) == (b"new", b"new", True)
        assert store.counter_get(b"k") == 0
        assert store.ping().server


def test_writes_and_purges_reach_the_primary_alone(primary: Path, replica: Path) -> None:
    before = replica.read_bytes()
    with combined(primary, replica) as store:
        seen = store.get(b"k")
        assert seen is not None
        store.key_set(b"k", b"mine", None, seen)
        store.set_expiry(b"k", NOW + 9)
        store.counter_set(b"c", 1)
        assert store.counter_incr(b"c", 2) == 3
        store.put(Entry(b"p", Kind.VALUE, b"p", row=value_row(b"p", None)), ABSENT)
        store.delete(b"p")
        store.key_set(b"gone", b"")
        store.key_delete(b"gone")
        store.counter_set(b"gone", 1)
        store.counter_delete(b"gone")
        assert sum(step.values for step in store.purge(NOW)) == 1
        assert store.capabilities.writes
    with sqlite(primary) as alone:
        assert values(alone.scan().entries) == {b"k": b"mine", b"c": None}
    with sqlite(replica) as alone:
        assert values(alone.scan().entries) == {b"k": b"lags"}
    assert replica.read_bytes() == before


def test_a_replica_that_fails_is_left_out_and_named(primary: Path, replica: Path, tmp_path: Path) -> None:
    with combined(primary, tmp_path / "missing.db", replica) as store:
        assert values(store.scan().entries) == {b"k": b"lags"}
        assert len(store.replicas) == 1
    with combined(primary, tmp_path / "missing.db") as store:
        assert set(values(store.scan().entries)) == {b"k", b"old"}
        assert store.replicas == []
    with combined(primary, tmp_path / "missing.db", replica) as store:
        checks = {check.name: check for check in store.check()}
    assert all(check.state in ("ok", "skipped") for name, check in checks.items() if name.startswith("Primary: "))
    assert (checks["Replica 1"].state, checks["Replica 2"].state) == ("warn", "ok")
    assert checks["Replica 1"].detail


def test_a_census_goes_on_with_the_primary_when_the_replica_fails_on_the_way(primary: Path) -> None:
    class Failing(SQLiteBackend):
        def census(self, position: str = "") -> object:  # type: ignore[override]
            steps = super().census(position)
            yield next(steps)
            raise StoreUnavailable("The replica is gone.")

    with sqlite3.connect(primary) as connection:
        connection.executemany("INSERT INTO m (k, v) VALUES (?, ?)", [(b"n%05d" % n, value_row(b"", None)) for n in range(30_000)])
    connection.close()
    failing = Failing({"path": str(primary)}, version="0.11", clock=lambda: NOW)
    with ReplicaBackend({}, members=[sqlite(primary), failing], version="0.11") as store:
        keys = [row.key for step in store.census() for row in step.rows]
    assert len(keys) == len(set(keys)) == 30_002


def test_a_count_goes_by_the_ways_of_the_server_that_is_counted(primary: Path, replica: Path) -> None:
    plan = Tally("0.11", NOW, "data").plan()
    with combined(primary, replica) as store:
        parts = store.census_parts()
        assert parts == [f"1.{part}" for part in store.replicas[0].census_parts()]
        tally = Tally("0.11", NOW, "data")
        for part in parts:
            for step in store.survey(plan, part):
                assert step.position in ("", "-") or step.position.startswith("1.")
                tally.take(step)
        assert tally.rows == 1
        with pytest.raises(CursorLost):
            next(store.survey(plan, "7.m:0:5"))


def test_a_count_starts_again_on_the_primary_when_the_replica_fails_on_the_way(primary: Path, replica: Path) -> None:
    class Failing(SQLiteBackend):
        def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
            yield next(super().survey(plan, part))
            raise StoreUnavailable("The replica is gone.")

        def linked(self, first: int, numbered: bool) -> Iterator[CensusRow]:
            raise StoreUnavailable("The replica is gone.")

    plan = Tally("0.11", NOW, "data").plan()
    failing = Failing({"path": str(replica)}, version="0.11", clock=lambda: NOW)
    with ReplicaBackend({}, members=[sqlite(primary), failing], version="0.11") as store:
        with pytest.raises(CursorLost):
            list(store.survey(plan, store.census_parts()[0]))
        assert [part[:2] for part in store.census_parts()] == ["0."] * len(sqlite(primary).census_parts())
    with ReplicaBackend({}, members=[sqlite(primary), failing], version="0.11") as store:
        store.replicas = [failing]
        with pytest.raises(CursorLost):
            list(store.linked(0x05, True))


def test_an_outage_of_the_primary_is_an_error(replica: Path, tmp_path: Path) -> None:
    with combined(tmp_path / "missing.db", replica) as store:
        attempts: list[Callable[[], object]] = [
            lambda: store.get(b"k"),
            lambda: store.key_set(b"k", b"v"),
            store.ping,
            lambda: list(store.purge(NOW)),
        ]
        for attempt in attempts:
            with pytest.raises(StoreError):
                attempt()
        assert any(check.state == "failed" for check in store.check())


def test_only_sql_stores_can_be_members(primary: Path) -> None:
    cases: list[tuple[list[Backend], str]] = [
        ([], "primary"),
        ([MemoryBackend({})], "primary"),
        ([sqlite(primary), MemoryBackend({})], "replicas"),
    ]
    for members, field in cases:
        with pytest.raises(BadConfig) as caught:
            ReplicaBackend({}, members=members)
        assert caught.value.field == field
