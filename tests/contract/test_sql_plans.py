"""Every statement on keys goes by an index or by row address: no sort, no temporary table, no scan of a whole table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.sql import NO_PARAMS, Execute, Params, Row, SQLBackend
from stores.backends.sqlite import SQLiteBackend
from stores.types import ABSENT, ALL_KEYS, KEEP, Entry, KeyRange, Pace
from tests.contract.harness import NOW, Harness, SettableClock
from tests.contract.mixture import is_lock, mixture
from tests.contract.mysql import MariaDBHarness
from tests.contract.postgresql import PackagedPostgreSQLHarness, PostgreSQLHarness
from tests.contract.sqlite import SQLiteHarness

Statement = tuple[str, tuple[tuple[str, object], ...]]

PROGRESS_ONLY = re.compile(r"SELECT count\(\*\) FROM [my]")
"""What SQLite counts before a census, so that it can show progress: reads one index, once a census, never in a page."""
FIRST_ROW = re.compile(r"SELECT v FROM [my] LIMIT 1")
"""Whether the table can be read at all (connection test)."""


class Recorder(SQLBackend):
    """Keeps every statement with its parameters."""

    seen: dict[str, Params]

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        self.seen[sql] = params
        return super()._query(sql, params)  # type: ignore[safe-super]

    @contextmanager
    def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
        with super()._transaction(read_seconds) as execute:  # type: ignore[safe-super]

            def recorded(sql: str, params: Params = NO_PARAMS) -> Any:
                self.seen[sql] = params
                return execute(sql, params)

            yield recorded


class RecordedSQLite(Recorder, SQLiteBackend):
    pass


class RecordedPostgreSQL(Recorder, PostgreSQLBackend):
    pass


class RecordedMySQL(Recorder, MySQLBackend):
    pass


def exercise(backend: SQLBackend) -> None:
    """Use every verb, on keys in the middle of the store and on new ones."""
    page = backend.scan(ALL_KEYS, None, 50)
    page = backend.scan(ALL_KEYS, page.next, 50)
    some = page.entries[-1].key
    backend.scan(KeyRange.of_prefix(b"\x05"), None, 100)
    backend.scan(KeyRange.of_prefix(b"\xff\xff"), None, 100)
    for keys in (ALL_KEYS, KeyRange.of_prefix(b"\x10")):
        backend.count(keys, 100)
    backend.get(some)
    backend.key_get(b"new")
    backend.key_set(b"new", b"v")
    backend.key_set(b"new", b"w", KEEP)
    backend.set_expiry(b"new", NOW + 5)
    backend.counter_incr(b"number", 1, NOW + 5)
    backend.counter_incr(b"number", 1)
    backend.counter_set(b"number", 5)
    removed = backend.delete(b"number")
    assert removed is not None
    backend.put(removed)
    backend.key_delete(b"new")
    backend.counter_delete(b"number")
    batches(backend)
    backend.check()
    backend.size_bytes()
    steps = backend.census()
    position = next(steps).position
    next(backend.census(position), None)
    list(backend.purge(NOW, Pace.FAST, "", is_lock))


def batches(backend: SQLBackend) -> None:
    """What bulk changes, copies, imports and restores do with many keys at once, two tables, new keys among them."""
    entries = backend.scan(ALL_KEYS, None, 120).entries
    found = backend.get_each([entry.key for entry in entries] + [b"missing %d" % number for number in range(80)])
    seen = [entry for entry in found if entry is not None]
    backend.set_expiry_each(seen, NOW + 5)
    now = [entry for entry in backend.get_each([entry.key for entry in seen]) if entry is not None]
    gone = [entry for entry in backend.delete_each(now) if isinstance(entry, Entry)]
    backend.put_each([(entry, ABSENT) for entry in gone])


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "postgresql-packaged"])
def recorded(request: pytest.FixtureRequest) -> Iterator[tuple[SQLBackend, Harness]]:
    harness: Harness
    backend: Recorder
    if request.param == "sqlite":
        harness = SQLiteHarness()
        backend = RecordedSQLite({"path": str(harness.path)}, clock=SettableClock())
    elif request.param == "mariadb":
        harness = MariaDBHarness()
        backend = RecordedMySQL(harness.server.settings(harness.database), clock=SettableClock())
    else:
        harness = PackagedPostgreSQLHarness() if "packaged" in request.param else PostgreSQLHarness()
        backend = RecordedPostgreSQL(harness.server.settings(harness.database), clock=SettableClock())
    backend.seen = {}
    harness.plant(mixture(12_000))
    try:
        yield backend, harness
    finally:
        backend.close()
        harness.close()


def test_every_statement_on_keys_has_a_good_plan(recorded: tuple[SQLBackend, Harness]) -> None:
    backend, harness = recorded
    assert isinstance(backend, Recorder)
    exercise(backend)
    statements = {
        sql: params
        for sql, params in backend.seen.items()
        if re.search(r"\b(FROM|INTO|UPDATE|JOIN) [my]\b", sql) and not sql.startswith("EXPLAIN") and not PROGRESS_ONLY.fullmatch(sql)
    }
    assert len(statements) >= 15, "the verbs went through the recorder"
    harness.plant(mixture(12_000, seed=2))
    bad = {}
    for sql, params in statements.items():
        if FIRST_ROW.fullmatch(sql):
            continue
        problems = complaints(backend, sql, params)
        if problems:
            bad[sql] = problems
    assert bad == {}


def complaints(backend: SQLBackend, sql: str, params: Params) -> list[str]:
    if isinstance(backend, SQLiteBackend):
        plan = [str(row[3]) for row in backend._query(f"EXPLAIN QUERY PLAN {sql}", params)]
        return [line for line in plan if re.match(r"SCAN (m|y)\b", line) or "TEMP B-TREE" in line]
    if isinstance(backend, MySQLBackend):
        return mysql_complaints(backend, sql, params)
    with backend._transaction() as execute:
        answer: Any = execute(f"EXPLAIN (FORMAT JSON) {sql}", params).rows[0][0]
    return [str(node) for node in nodes(answer[0]["Plan"]) if node["Node Type"] in BAD_NODES and node.get("Sort Key") != OWN_SORT]


OWN_SORT = ["gone_1.k"]
"""The keys that one step of a purge has just removed, a few thousand in memory."""
BAD_NODES = {"Seq Scan", "Sort", "Incremental Sort", "Hash", "Hash Join", "Merge Join", "Materialize", "Bitmap Heap Scan"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in plan.items() if name in ("Node Type", "Relation Name", "Sort Key")}
    for child in plan.get("Plans", []):
        yield from nodes(child)


def mysql_complaints(backend: MySQLBackend, sql: str, params: Params) -> list[str]:
    found = []
    for row in backend._query(f"EXPLAIN {sql}", params):
        table, kind, extra = row[2], row[3], str(row[-1])
        if table is None or "UNION RESULT" in str(row[1]):
            found += [str(row)] if "temporary" in extra else []
        elif sql.startswith("INSERT") and kind == "ALL":
            continue
        elif kind not in ("range", "ref", "eq_ref", "const", None) or re.search("filesort|temporary", extra):
            found.append(str(row))
    return found


@pytest.mark.parametrize("name", ["mariadb"])
def test_rows_that_come_out_of_order_are_sorted_all_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that reads the index backwards: pages, counts and the census still come in order and complete."""
    harness = MariaDBHarness()
    try:
        harness.plant(mixture(500))
        backend = harness.open(SettableClock())
        right = [entry.key for entry in backend.scan(ALL_KEYS, None, 500).entries]
        ordinary = MySQLBackend._select

        def backwards(self: MySQLBackend, table: str, columns: str, end: bytes | None) -> str:
            return ordinary(self, table, columns, end).replace(" LIMIT", " ORDER BY k DESC LIMIT")

        monkeypatch.setattr(MySQLBackend, "_select", backwards)
        found: list[bytes] = []
        cursor = None
        while True:
            page = backend.scan(ALL_KEYS, cursor, 40)
            found += [entry.key for entry in page.entries]
            if page.next is None:
                break
            cursor = page.next
        assert found == right
        assert sorted(row.key for step in backend.census() for row in step.rows) == right
        backend.close()
    finally:
        harness.close()
