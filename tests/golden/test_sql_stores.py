"""The captured SQL stores on real engines: every row is listed as the server wrote it, a purge leaves exactly what lives."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.sql import SQLBackend
from stores.backends.sqlite import SQLiteBackend
from stores.keyclasses import classify, is_lock
from stores.types import Entry, Kind, Pace
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.golden.captured import entry_of, read_lines
from tests.servers import mariadb, postgresql

pytestmark = needs_fixtures

KINDS = {"key": Kind.VALUE, "counter": Kind.COUNTER, "lock": Kind.LOCK}
SQLITE = [
    ("stalwart-0.11.8/sqlite", "memstore-live.db", "rows-live.jsonl", "0.11"),
    ("stalwart-0.11.8/sqlite", "memstore-final.db", "rows-final.jsonl", "0.11"),
    ("stalwart-0.11.8/sqlite", "memstore-extras.db", "rows-extras.jsonl", "0.11"),
    ("stalwart-0.15.5/sqlite", "memstore-live.db", "rows-live.jsonl", "0.15"),
    ("stalwart-0.15.5/sqlite", "memstore-final.db", "rows-final.jsonl", "0.15"),
    ("stalwart-0.16.18/sqlite", "data-live.db", "rows-live.jsonl", "0.16"),
    ("stalwart-0.16.18/sqlite", "data-final.db", "rows-final.jsonl", "0.16"),
    ("stalwart-0.16.18/sqlite", "memstore-my-only-final.db", "rows-final.jsonl", "0.16"),
]
DUMPS = ["postgres", "mysql"]
CAPTURED = 1_795_510_200
"""Just after the captures of 0.11.8: the short phase has expired, the long one lives until 2034 and later."""

Opener = Callable[[], Any]


@pytest.fixture(params=[*(f"{folder}/{file}" for folder, file, _, _ in SQLITE), *DUMPS])
def captured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SQLBackend, list[dict[str, Any]], str]]:
    """An open backend on a copy of a captured store, the rows it has to hold, and its version."""
    if request.param == "postgres":
        with postgres_dump() as settings, PostgreSQLBackend(settings, version="0.11") as backend:
            yield backend, read_lines(FIXTURES / "stalwart-0.11.8/postgres/rows-final.jsonl"), "0.11"
    elif request.param == "mysql":
        with mysql_dump() as settings, MySQLBackend(settings, version="0.11") as other:
            yield other, read_lines(FIXTURES / "stalwart-0.11.8/mysql/rows-final.jsonl"), "0.11"
    else:
        folder, file, rows, version = next(line for line in SQLITE if f"{line[0]}/{line[1]}" == request.param)
        shutil.copy(FIXTURES / folder / file, tmp_path / file)
        (tmp_path / file).chmod(0o644)
        with SQLiteBackend({"path": str(tmp_path / file)}, version=version) as third:
            yield third, read_lines(FIXTURES / folder / rows), version


@contextmanager
def postgres_dump() -> Iterator[dict[str, str]]:
    server = postgresql.server()
    database = server.create_database()
    try:
        with closing(server.connect(database, "postgres")) as connection:
            for name in ("schema-m-y.sql", "data-m-y.inserts.sql"):
                text = (FIXTURES / "stalwart-0.11.8/postgres" / name).read_text()
                connection.execute("\n".join(line for line in text.splitlines() if not line.startswith("\\")).encode())
        yield server.settings(database)
    finally:
        server.drop_database(database)


@contextmanager
def mysql_dump() -> Iterator[dict[str, str]]:
    server = mariadb.server()
    database = server.create_database()
    try:
        text = (FIXTURES / "stalwart-0.11.8/mysql/m-y.dump.sql").read_text()
        with closing(server.connect(database)) as connection, connection.cursor() as cursor:
            for statement in text.split(";\n"):
                if statement.strip() and not statement.strip().startswith("/*M!"):
                    cursor.execute(statement)
                elif statement.strip():
                    cursor.execute(statement.split("*/", 1)[1])
        yield server.settings(database)
    finally:
        server.drop_database(database)


def test_every_row_is_listed_as_the_server_wrote_it(captured: tuple[SQLBackend, list[dict[str, Any]], str]) -> None:
    backend, rows, version = captured
    wanted = {bytes.fromhex(row["key_hex"]): row for row in rows}
    listed: dict[bytes, Entry] = {}
    cursor = None
    while True:
        page = backend.scan(cursor=cursor, limit=37)
        listed |= {entry.key: entry for entry in page.entries}
        cursor = page.next
        if cursor is None:
            break
    assert list(listed) == sorted(wanted)
    for key, row in wanted.items():
        entry = listed[key]
        assert classify(key, version, entry.kind)[1] is KINDS[row["kind"]]
        assert entry.expires_at == row["expires_unix"]
        assert entry.problem == ""
        assert entry.row == (bytes.fromhex(row["m_value_hex"]) if row.get("m_value_hex") is not None else None)
        if row["kind"] == "counter":
            assert entry.counter == row["counter"]
            assert entry.value is None
        else:
            assert entry.value == bytes.fromhex(row["value_hex"])
        assert backend.get(key) == entry


def test_a_census_counts_what_was_captured(captured: tuple[SQLBackend, list[dict[str, Any]], str]) -> None:
    backend, rows, _ = captured
    counted = {row.key: row for step in backend.census() for row in step.rows}
    entries = {entry.key: entry for entry in (entry_of(row, redis=False) for row in rows)}
    assert counted.keys() == entries.keys()
    for key, row in counted.items():
        entry = entries[key]
        assert (row.kind, row.expires_at, row.key_bytes + row.value_bytes, row.corrupt) == (entry.kind, entry.expires_at, entry.size, False)


@pytest.mark.parametrize("pace", [Pace.GENTLE, Pace.FAST])
def test_a_purge_leaves_exactly_what_lives(captured: tuple[SQLBackend, list[dict[str, Any]], str], pace: Pace) -> None:
    backend, rows, version = captured
    now = CAPTURED if version == "0.11" else max(filter(None, (row["expires_unix"] for row in rows if _short(row))), default=CAPTURED)
    dead = [row for row in rows if row["expires_unix"] is not None and row["expires_unix"] <= now]
    assert dead, "the short phase has expired"
    steps = list(backend.purge(now, pace, "", lambda key: is_lock(key, version)))
    left = {entry.key: entry for entry in _walk(backend)}
    assert left.keys() == {bytes.fromhex(row["key_hex"]) for row in rows} - {bytes.fromhex(row["key_hex"]) for row in dead}
    for row in rows:
        key = bytes.fromhex(row["key_hex"])
        if key in left:
            assert left[key].row == entry_of(row, redis=False).row
            assert left[key].counter == row.get("counter")
    removed = {kind: sum(row["kind"] == kind for row in dead) for kind in KINDS}
    assert sum(step.values for step in steps) == removed["key"]
    assert sum(step.counters for step in steps) == removed["counter"]
    assert sum(step.locks for step in steps) == removed["lock"]
    assert sum(step.bytes for step in steps) == sum(entry_of(row, redis=False).size for row in dead)
    assert sum(step.corrupt for step in steps) == 0


def test_deleting_and_restoring_every_row_leaves_the_store_as_it_was(captured: tuple[SQLBackend, list[dict[str, Any]], str]) -> None:
    backend, _, _ = captured
    before = _walk(backend)
    for entry in before:
        assert backend.delete(entry.key, entry) == entry
    assert _walk(backend) == []
    for entry in before:
        backend.put(entry)
    assert _walk(backend) == before


@pytest.mark.parametrize(
    ("folder", "file", "version"),
    [
        ("stalwart-0.15.5/sqlite", "memstore-final.db", ""),
        ("stalwart-0.16.18/sqlite", "data-final.db", "0.16"),
        ("stalwart-0.16.18/sqlite", "storelookup-other.db", ""),
        ("stalwart-0.11.8/sqlite", "memstore-my-only.db", ""),
    ],
)
def test_the_version_is_told_only_where_the_tables_tell_it(folder: str, file: str, version: str, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / folder / file, tmp_path / file)
    with SQLiteBackend({"path": str(tmp_path / file)}) as backend:
        assert backend.detect_version() == version


def test_a_captured_file_stays_in_its_journal_mode(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "stalwart-0.11.8/sqlite/memstore-final.db", path)
    path.chmod(0o644)
    with SQLiteBackend({"path": str(path)}) as backend:
        backend.key_set(b"k", b"v")
        list(backend.purge(CAPTURED))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def _short(row: dict[str, Any]) -> bool:
    """Rows that had expired when the store was captured: those of the first phase."""
    return row["expires_unix"] is not None and row["expires_unix"] < 1_800_000_000


def _walk(backend: SQLBackend) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = backend.scan(cursor=cursor, limit=500)
        found += page.entries
        cursor = page.next
        if cursor is None:
            return found
