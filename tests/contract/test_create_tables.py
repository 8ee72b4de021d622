"""Tables that nobody has created: made exactly as the server makes them, on real servers, and never over what is there."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from stores.codecs.rows import split_row
from stores.errors import Forbidden, NotSupported, ReadOnly, StoreRefused
from stores.models import AuditEntry, Store
from stores.registry import open_store
from stores.services import definitions, table_setup
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from stores.types import CheckState, Entry, Kind
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.golden.captured import read_lines
from tests.golden.test_sql_stores import mysql_dump, postgres_dump
from tests.servers import mariadb, postgresql
from tests.views.pages import assert_sound, text_of

pytestmark = pytest.mark.django_db

ACTOR = Actor("ana", "page", rights=EVERYTHING)
ENGINES = ("sqlite", "postgresql", "mysql")
COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = {schema} AND table_name IN ('m', 'y') ORDER BY 1, 2"
)
KEYS = "SELECT table_name, column_name, seq_in_index, sub_part FROM information_schema.statistics WHERE table_schema = database()"
ENGINE = "SELECT engine FROM information_schema.tables WHERE table_schema = database() AND table_name IN ('m', 'y')"


@pytest.fixture(params=ENGINES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A definition of 0.16 on a database without any table."""
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "other.db").close()
        (tmp_path / "other.db").touch()
        yield define("sqlite", {"path": str(tmp_path / "other.db")})
        return
    server = postgresql.server() if request.param == "postgresql" else mariadb.server()
    database = server.create_database()
    try:
        yield define(request.param, server.settings(database))
    finally:
        server.drop_database(database)


def define(kind: str, settings: dict[str, str]) -> Store:
    return definitions.create_store(ACTOR, id="other", type=kind, settings=settings, version="0.16")


def layout(store: Store) -> list[Any]:
    """Columns, types, defaults and keys of both tables as the engine tells them."""
    settings = store.settings
    if store.type == "sqlite":
        with closing(sqlite3.connect(settings["path"])) as file:
            return [file.execute(f"PRAGMA table_info({name})").fetchall() for name in ("m", "y")]
    if store.type == "postgresql":
        with closing(postgresql.server().connect(settings["database"])) as connection:
            keys = "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname IN ('m_pkey', 'y_pkey') ORDER BY 1"
            return [connection.execute(sql.encode()).fetchall() for sql in (COLUMNS.format(schema="'public'"), keys)]
    with closing(mariadb.server().connect(settings["database"])) as other, other.cursor() as cursor:
        found: list[Any] = []
        for sql in (COLUMNS.format(schema="database()"), KEYS, ENGINE):
            cursor.execute(sql)
            found.append(sorted(set(cursor.fetchall())))
        return found


@needs_fixtures
def test_the_tables_are_those_of_a_real_server_and_hold_its_rows(empty: Store, tmp_path: Path) -> None:
    assert table_setup.is_offered(empty) and table_setup.look(empty).others == 0
    checks = definitions.test_store(empty)
    assert checks[-1].state is CheckState.FAILED and "store-create-tables" in checks[-1].fix
    assert table_setup.create(ACTOR, empty) == ("m", "y")
    assert all(check.state is not CheckState.FAILED for check in definitions.test_store(empty)) and not table_setup.is_offered(empty)
    real, rows = captured(empty.type, tmp_path)
    with real as settings:
        twin = Store(id="twin", type=empty.type)
        twin.settings = settings
        assert layout(empty) == layout(twin)
    with open_store(empty) as backend:
        for row in rows:
            header = bytes.fromhex(row["m_value_hex"]) if row.get("m_value_hex") is not None else None
            backend.put(entry(row, header))
        assert backend.count() == (len(rows), True)
    entries = AuditEntry.objects.filter(action="create-tables")
    assert [each.outcome for each in entries] == ["done"] and entries[0].after == {"tables": ["m", "y"]}


def captured(kind: str, tmp_path: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Settings of a captured store, as a context, and some of its rows."""
    if kind == "postgresql":
        return postgres_dump(), read_lines(FIXTURES / "stalwart-0.11.8/postgres/rows-final.jsonl")[:50]
    if kind == "mysql":
        return mysql_dump(), read_lines(FIXTURES / "stalwart-0.11.8/mysql/rows-final.jsonl")[:50]
    shutil.copy(FIXTURES / "stalwart-0.16.18/sqlite/memstore-my-only-final.db", tmp_path / "real.db")

    class Copy:
        def __enter__(self) -> dict[str, str]:
            return {"path": str(tmp_path / "real.db")}

        def __exit__(self, *error: object) -> None:
            return None

    return Copy(), read_lines(FIXTURES / "stalwart-0.16.18/sqlite/rows-final.jsonl")[:50]


def entry(row: dict[str, Any], header: bytes | None) -> Entry:
    number = row.get("counter")
    key = bytes.fromhex(row["key_hex"])
    if header is None:
        return Entry(key, Kind.COUNTER, counter=number)
    kind, expires_at, value, _problem = split_row(header)
    return Entry(key, kind, value, number, expires_at, header)


def test_tables_that_are_there_stay_as_they_are(empty: Store) -> None:
    table_setup.create(ACTOR, empty)
    with open_store(empty) as backend:
        backend.key_set(b"k", b"v")
        assert table_setup.create(ACTOR, empty) == ()
        drop(empty, "y")
        assert table_setup.look(empty).missing == ("y",)
        assert table_setup.create(ACTOR, empty) == ("y",)
        assert backend.key_get(b"k") == b"v"


def drop(store: Store, table: str) -> None:
    settings = store.settings
    if store.type == "sqlite":
        with closing(sqlite3.connect(settings["path"])) as file:
            file.execute(f"DROP TABLE {table}")
    elif store.type == "postgresql":
        with closing(postgresql.server().connect(settings["database"])) as connection:
            connection.execute(f"DROP TABLE {table}".encode())
    else:
        with closing(mariadb.server().connect(settings["database"])) as other, other.cursor() as cursor:
            cursor.execute(f"DROP TABLE {table}")


def test_without_the_right_to_create_the_error_holds_the_statements(empty: Store) -> None:
    if empty.type == "sqlite":
        no_file_is_ever_created(empty)
        return
    restrict(empty)
    with pytest.raises(StoreRefused) as refused:
        table_setup.create(ACTOR, empty)
    assert "CREATE TABLE IF NOT EXISTS m" in refused.value.fix and "could not be created" in refused.value.message
    assert "s3cret-reader" not in str(refused.value)
    assert AuditEntry.objects.filter(action="create-tables").latest("pk").outcome in ("failed", "refused")
    assert table_setup.look(empty).missing == ("m", "y")


def no_file_is_ever_created(store: Store) -> None:
    Path(store.settings["path"]).unlink()
    with pytest.raises(StoreRefused, match="There is no file"):
        table_setup.create(ACTOR, store)
    assert not Path(store.settings["path"]).exists()


def restrict(store: Store) -> None:
    """Let the login of the definition only read."""
    database = store.settings["database"]
    if store.type == "postgresql":
        with closing(postgresql.server().connect(database, "postgres")) as connection:
            connection.execute(
                b"DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 's3cret-reader'; EXCEPTION WHEN duplicate_object THEN END $$"
            )
            connection.execute(b"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    else:
        with closing(mariadb.server().connect(database, "root", "")) as other, other.cursor() as cursor:
            cursor.execute("CREATE OR REPLACE USER 'reader'@'%' IDENTIFIED BY 's3cret-reader'")
            cursor.execute(f"GRANT SELECT ON {database}.* TO 'reader'@'%'")
    definitions.update_store(ACTOR, store, settings={**store.settings, "user": "reader", "password": "s3cret-reader"})


def test_who_may_and_where_not(empty: Store, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        table_setup.create(Actor("bob", "page"), empty)
    definitions.update_store(ACTOR, empty, read_only=True)
    with pytest.raises(ReadOnly):
        table_setup.create(ACTOR, empty)
    old = definitions.update_store(ACTOR, empty, read_only=False, version="0.10")
    with pytest.raises(NotSupported, match="creates its tables itself"):
        table_setup.create(ACTOR, old)
    redis = definitions.create_store(ACTOR, id="r", type="redis", settings={"urls": "redis://127.0.0.1:1"})
    with pytest.raises(NotSupported):
        table_setup.look(redis)


def test_the_page_and_the_command(empty: Store, tmp_path: Path, django_user_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("ana", password="correct horse"))
    assert "Create the missing tables" in text_of(client.get("/stores/other/?checks=1"))
    page = client.get("/stores/other/create-tables/")
    assert_sound(page)
    assert "CREATE TABLE IF NOT EXISTS m" in text_of(page)
    unsure = client.post("/stores/other/create-tables/")
    assert unsure.status_code == 422 and table_setup.look(empty).missing
    call_command("store-create-tables", "other", dry_run=True, json=True)
    assert json.loads(capsys.readouterr().out)["created"] == [] and table_setup.look(empty).missing
    with pytest.raises(CommandError):
        call_command("store-create-tables", "other")
    done = client.post("/stores/other/create-tables/", {"sure": "on"})
    assert done.status_code == 303 and not table_setup.look(empty).missing
    drop(empty, "m")
    call_command("store-create-tables", "other", yes=True, json=True)
    assert json.loads(capsys.readouterr().out)["created"] == ["m"]
    assert "nothing to create" in text_of(client.get("/stores/other/create-tables/"))
