"""Stalwart 0.10: lookup counters share table `n` with other counters of the server, which stay untouched and unlisted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.sql import SQLBackend
from stores.backends.sqlite import SQLiteBackend
from stores.codecs.rows import marker_row, value_row
from stores.codecs.sqltables import create_statements
from stores.errors import BadConfig, StoreRefused
from stores.types import Entry, Kind
from tests.contract.harness import NOW, SettableClock
from tests.servers import mariadb, postgresql

WINDOW = (NOW // 3600).to_bytes(8, "big")
FOREIGN = [b"\x00\x00\x00\x2a\x01\x02\x00\x00\x00%c" % number for number in range(200)]
"""Numbers of IMAP mailboxes: account, collection, field, document."""
RATE = b"b:john" + WINDOW
BAYES = b"\x9a\xff\x00\x11" * 4
TEXT = b"greetings"
MARKED = b"\x00\x01\x02"
"""No shape of a lookup key, but it has a marker in `m`."""

Raw = tuple[dict[bytes, bytes], dict[bytes, int]]


class Old:
    """A 0.10 store on one engine."""

    def __init__(self, backend: SQLBackend, run: object, mark: str) -> None:
        self.backend, self._run, self._mark = backend, run, mark

    def run(self, sql: str, rows: list[tuple[object, ...]] | None = None) -> list[tuple[object, ...]]:
        return self._run(sql.replace("?", self._mark), rows)  # type: ignore[operator, no-any-return]

    def raw(self) -> Raw:
        return dict(self.run("SELECT k, v FROM m")), dict(self.run("SELECT k, v FROM n"))  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    clock = SettableClock()
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as file:

            def run_sqlite(sql: str, rows: list[tuple[object, ...]] | None) -> list[tuple[object, ...]]:
                return file.executemany(sql, rows).fetchall() if rows else file.execute(sql).fetchall()

            yield from _planted(
                Old(SQLiteBackend({"path": str(tmp_path / "old.db")}, version="0.10", clock=clock), run_sqlite, "?"), "sqlite"
            )
    elif request.param == "postgresql":
        server = postgresql.server()
        database = server.create_database()
        with closing(server.connect(database)) as connection:

            def run_postgresql(sql: str, rows: list[tuple[object, ...]] | None) -> list[tuple[object, ...]]:
                cursor = connection.cursor()
                if rows:
                    cursor.executemany(sql.encode(), rows)
                else:
                    cursor.execute(sql.encode())
                return cursor.fetchall() if cursor.description else []

            backend = PostgreSQLBackend(server.settings(database), version="0.10", clock=clock)
            yield from _planted(Old(backend, run_postgresql, "%s"), "postgresql")
        server.drop_database(database)
    else:
        other = mariadb.server()
        database = other.create_database()
        with closing(other.connect(database)) as connection2:

            def run_mariadb(sql: str, rows: list[tuple[object, ...]] | None) -> list[tuple[object, ...]]:
                with connection2.cursor() as cursor:
                    if rows:
                        cursor.executemany(sql, rows)
                    else:
                        cursor.execute(sql)
                    return list(cursor.fetchall())

            yield from _planted(Old(MySQLBackend(other.settings(database), version="0.10", clock=clock), run_mariadb, "%s"), "mysql")
        other.drop_database(database)


def _planted(store: Old, dialect: str) -> Iterator[Old]:
    for statement in create_statements(dialect, "0.10"):  # type: ignore[arg-type]
        store.run(statement)
    store.run("INSERT INTO n (k, v) VALUES (?, ?)", [(key, number) for number, key in enumerate(FOREIGN)])
    store.run("INSERT INTO n (k, v) VALUES (?, ?)", [(RATE, 5), (BAYES, 1 << 33), (TEXT, 7), (MARKED, 9)])
    markers = [(RATE, marker_row(NOW - 1)), (MARKED, marker_row(NOW + 60)), (FOREIGN[3], value_row(b"a value of this name", NOW - 1))]
    store.run("INSERT INTO m (k, v) VALUES (?, ?)", [*markers, (b"v", value_row(b"x", None))])
    yield store
    store.backend.close()


def test_only_lookup_counters_are_listed(old: Old) -> None:
    found: dict[bytes, Entry] = {}
    cursor = None
    while True:
        page = old.backend.scan(cursor=cursor, limit=20)
        found |= {entry.key: entry for entry in page.entries}
        cursor = page.next
        if cursor is None:
            break
    assert set(found) == {RATE, BAYES, TEXT, MARKED, FOREIGN[3], b"v"}
    assert (found[RATE].kind, found[RATE].counter, found[RATE].expires_at) == (Kind.COUNTER, 5, NOW - 1)
    assert (found[MARKED].kind, found[MARKED].counter) == (Kind.COUNTER, 9)
    assert (found[FOREIGN[3]].kind, found[FOREIGN[3]].counter) == (Kind.VALUE, None), "the number of this name is not the lookup's"
    for key, entry in found.items():
        assert old.backend.get(key) == entry
    assert old.backend.get(FOREIGN[5]) is None
    assert old.backend.count() == (6, True)
    counted = {row.key: row for step in old.backend.census() for row in step.rows}
    assert set(counted) == set(found)
    assert {key: row.key_bytes + row.value_bytes for key, row in counted.items()} == {key: entry.size for key, entry in found.items()}


def test_a_purge_leaves_foreign_numbers(old: Old) -> None:
    steps = list(old.backend.purge(NOW))
    assert (sum(step.counters for step in steps), sum(step.values for step in steps)) == (1, 1)
    m, n = old.raw()
    assert set(m) == {MARKED, b"v"}
    assert set(n) == {*FOREIGN, BAYES, TEXT, MARKED}


def test_writes_never_touch_a_foreign_number(old: Old) -> None:
    before = old.raw()
    for attempt in (
        lambda: old.backend.counter_set(FOREIGN[5], 1),
        lambda: old.backend.counter_incr(FOREIGN[5], 1),
        lambda: old.backend.counter_incr(FOREIGN[3], 1, NOW + 60),
    ):
        with pytest.raises(BadConfig) as refused:
            attempt()
        assert refused.value.field == "key"
    assert old.backend.delete(FOREIGN[5]) is None
    old.backend.counter_delete(FOREIGN[6])
    assert old.raw() == before
    removed = old.backend.delete(FOREIGN[3])
    assert removed is not None
    m, n = old.raw()
    assert FOREIGN[3] not in m
    assert n == before[1]
    old.backend.put(removed)
    assert old.raw() == before


def test_lookup_counters_are_edited_in_their_table(old: Old) -> None:
    assert old.backend.counter_incr(RATE, 1, NOW + 9) == 6
    assert old.backend.counter_incr(MARKED, 1) == 10
    assert old.backend.counter_set(b"new counter", 3, NOW + 5).counter == 3
    assert old.backend.delete(TEXT) is not None
    m, n = old.raw()
    assert (n[RATE], n[MARKED], n[b"new counter"]) == (6, 10, 3)
    assert (m[RATE], m[b"new counter"]) == (marker_row(NOW + 9), marker_row(NOW + 5))
    assert TEXT not in n


def test_a_newer_version_misses_its_table_and_says_what_to_do(old: Old) -> None:
    kind = type(old.backend)
    with kind(old.backend.settings, version="0.11") as newer:
        assert newer.detect_version() == "0.10"
        with pytest.raises(StoreRefused, match="no table y") as refused:
            newer.scan()
        assert "0.10" in refused.value.fix
