"""What goes wrong with an SQL store has a typed error of its own, with a fix, and never a password in it."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.sql import SQLBackend
from stores.backends.sqlite import SQLiteBackend, create_file
from stores.codecs.sqltables import create_statements
from stores.errors import BadConfig, NotSupported, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.types import CheckState
from tests.servers import mariadb, postgresql
from tests.servers.process import free_port
from tests.servers.relay import Relay

Server = postgresql.PostgreSQLServer | mariadb.MariaDBServer
Open = Callable[..., SQLBackend]


@pytest.fixture(params=["postgresql", "mysql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(engine: str) -> Server:
    return postgresql.server() if engine == "postgresql" else mariadb.server()


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    name = server.create_database()
    yield name
    server.drop_database(name)


@pytest.fixture
def open_store(engine: str, server: Server, database: str) -> Iterator[Open]:
    opened: list[SQLBackend] = []

    def opener(**changes: str) -> SQLBackend:
        settings = {**server.settings(database), **{name.replace("_", "-"): value for name, value in changes.items()}}
        opened.append(PostgreSQLBackend(settings) if engine == "postgresql" else MySQLBackend(settings))
        return opened[-1]

    yield opener
    for backend in opened:
        backend.close()


def statement(server: Server, database: str, text: str, admin: bool = True) -> None:
    if isinstance(server, postgresql.PostgreSQLServer):
        with server.connect(database, "postgres" if admin else postgresql.USER) as connection:
            connection.execute(text.encode())
    else:
        login = ("root", "") if admin else (mariadb.USER, mariadb.PASSWORD)
        with server.connect(database, *login) as other, other.cursor() as cursor:
            cursor.execute(text)


def create_tables(server: Server, database: str) -> None:
    for text in create_statements("postgresql" if isinstance(server, postgresql.PostgreSQLServer) else "mysql"):
        statement(server, database, text, admin=False)


def refused_with(backend: SQLBackend, kind: type[StoreError], *words: str, step: str = "") -> StoreError:
    """Every way in answers the same typed error; the connection test stops at the named step."""
    errors: list[StoreError] = []
    for use in (
        lambda: backend.scan(),
        lambda: backend.get(b"k"),
        lambda: backend.count(),
        lambda: backend.key_set(b"k", b"v"),
        lambda: next(backend.purge(1)),
        lambda: next(backend.census()),
    ):
        with pytest.raises(kind) as raised:
            use()
        errors.append(raised.value)
    for error in errors:
        text = str(error)
        assert error.fix, text
        assert "s3cret" not in text
        for word in words:
            assert word in text
    checks = backend.check()
    assert checks[-1].state is CheckState.FAILED
    assert checks[-1].fix
    assert "s3cret" not in repr(checks)
    assert [check for check in checks[:-1] if check.state is CheckState.FAILED] == []
    if step:
        assert checks[-1].name == step, checks
    return errors[0]


def test_a_wrong_password(open_store: Open) -> None:
    refused_with(open_store(password="s3cret-but-wrong"), StoreRefused, "login stalwart", step="Login")


def test_an_unknown_user(open_store: Open) -> None:
    refused_with(open_store(user="nobody-here"), StoreRefused, "login nobody-here", step="Login")


def test_a_wrong_database(open_store: Open) -> None:
    error = refused_with(open_store(database="no_such_db"), StoreRefused, "no_such_db", step="Database")
    assert "password" not in str(error)


def test_the_server_is_down(open_store: Open) -> None:
    refused_with(open_store(port=str(free_port())), StoreUnavailable, "cannot be reached", step="Connection")


def test_the_host_does_not_exist(open_store: Open) -> None:
    refused_with(open_store(host="no-such-host.invalid"), StoreUnavailable, step="Name")


def test_missing_tables(open_store: Open) -> None:
    refused_with(open_store(), StoreRefused, "no table m", step="Tables")


def test_the_table_of_counters_is_missing(open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    statement(server, database, "DROP TABLE y")
    backend = open_store()
    with pytest.raises(StoreRefused, match="no table y"):
        backend.scan()
    with pytest.raises(StoreRefused, match="no table y"):
        backend.key_set(b"k", b"v")
    assert backend.check()[-1].name == "Tables"


def test_a_server_that_never_answers(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepts the connection and then says nothing, as behind a firewall or in front of a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = open_store(port=str(silent.getsockname()[1]))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as raised:
            backend.scan()
        assert time.monotonic() - began < 8
        assert raised.value.fix


def test_a_network_that_falls_silent(engine: str, open_store: Open, server: Server, database: str) -> None:
    """The answer to a statement never comes: an error within the limit, and the next call connects anew."""
    create_tables(server, database)
    with Relay(server.port) as relay:
        backend = open_store(port=str(relay.port))
        assert backend.scan().entries == ()
        relay.silent = True
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            backend.scan()
        assert time.monotonic() - began < 8
        relay.silent = False
        assert backend.scan().entries == ()


def test_a_server_that_goes_away_and_comes_back(engine: str, open_store: Open, server: Server, database: str) -> None:
    """Open connections are cut: one typed error, and then it works again without a new backend."""
    create_tables(server, database)
    with Relay(server.port) as relay:
        backend = open_store(port=str(relay.port))
        backend.key_set(b"k", b"v")
        relay.cut()
        with pytest.raises(StoreUnavailable, match="broke"):
            backend.get(b"k")
        read = backend.get(b"k")
        assert read is not None
        assert read.value == b"v"


def test_a_locked_row_is_not_waited_for_long(engine: str, open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    backend = open_store()
    backend.key_set(b"k", b"v")
    with hold_row(server, database):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="holds this row"):
            backend.key_set(b"k", b"w")
        assert 1 < time.monotonic() - began < 6
        assert backend.key_get(b"k") == b"v", "reading does not wait"
    assert backend.key_set(b"k", b"w").value == b"w"


def test_a_login_that_may_only_read(engine: str, open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    reader_of(server, database, "SELECT")
    backend = open_store(user="reader", password="s3cret-reader")
    capabilities = backend.capabilities
    assert not capabilities.writes
    assert not capabilities.purges
    assert "may not" in capabilities.why["writes"]
    assert backend.scan().entries == ()
    with pytest.raises(ReadOnly):
        backend.key_set(b"k", b"v")
    with pytest.raises(ReadOnly):
        backend.purge(1)
    checks = {check.name: check for check in backend.check()}
    assert checks["Reading"].state is CheckState.OK
    assert checks["Writing"].state is CheckState.WARN
    assert "GRANT" in checks["Writing"].fix.upper()


def test_a_login_without_rights_on_the_tables(engine: str, open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    if engine == "mysql":
        statement(server, database, "CREATE TABLE other (k INT)", admin=False)
        reader_of(server, database, "SELECT", table="other")
    else:
        reader_of(server, database, "")
    backend = open_store(user="reader", password="s3cret-reader")
    with pytest.raises(StoreRefused) as raised:
        backend.scan()
    assert "right" in raised.value.message
    assert "GRANT" in raised.value.fix


def test_tls_on_a_server_without_it() -> None:
    server = postgresql.packaged_server()
    assert not server.offers_tls
    with PostgreSQLBackend({**server.settings("postgres"), "tls.enable": "true"}) as backend:
        refused_with(backend, StoreRefused, "ncrypted", step="TLS")


def test_tls_with_the_right_authority(open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    ca = str(server.certificates.ca)
    backend = open_store(**{"tls.enable": "true", "tls.ca-file": ca})
    backend.key_set(b"k", b"v")
    checks = {check.name: check for check in backend.check()}
    assert checks["TLS"].state is CheckState.OK
    assert "TLS" in checks["TLS"].detail
    assert "verified" in checks["TLS"].detail


def test_tls_with_a_client_certificate(open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    files = server.certificates.settings()
    Path(files["tls.client-key"]).chmod(0o600)
    assert open_store(**{"tls.enable": "true", **files}).scan().entries == ()


def test_tls_with_an_unknown_authority(open_store: Open) -> None:
    refused_with(open_store(**{"tls.enable": "true"}), StoreRefused, "ncrypted", "certificate", step="TLS")


def test_tls_with_the_name_of_another_host(open_store: Open, server: Server) -> None:
    changes = {"tls.enable": "true", "tls.ca-file": str(server.certificates.ca), "host": "localhost"}
    refused_with(open_store(**changes), StoreRefused, "ncrypted", "localhost", step="TLS")


def test_tls_that_accepts_any_certificate_says_so(open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    backend = open_store(**{"tls.enable": "true", "tls.allow-invalid-certs": "true"})
    assert backend.scan().entries == ()
    checks = {check.name: check for check in backend.check()}
    assert checks["TLS"].state is CheckState.WARN
    assert checks["TLS"].fix


@pytest.mark.parametrize("change", [{"port": "none"}, {"port": "0"}, {"tls.enable": "maybe"}, {"database": ""}])
def test_a_bad_setting_is_named(open_store: Open, change: dict[str, str]) -> None:
    with pytest.raises(BadConfig) as raised:
        open_store(**change)
    assert raised.value.field == next(iter(change))
    assert raised.value.fix


def test_the_files_of_tls_are_checked_before_connecting(open_store: Open) -> None:
    with pytest.raises(BadConfig) as raised:
        open_store(**{"tls.enable": "true", "tls.ca-file": "/nonexistent/ca.pem"})
    assert raised.value.field == "tls.ca-file"


def test_the_connection_test_of_a_good_store(engine: str, open_store: Open, server: Server, database: str) -> None:
    create_tables(server, database)
    checks = {check.name: check for check in open_store().check()}
    assert list(checks) == ["Name", "Connection", "Login", "Server", "Tables", "Reading", "Writing", "Stalwart", "Clock"]
    assert all(check.state in (CheckState.OK, CheckState.SKIPPED) for check in checks.values()), checks
    assert ("PostgreSQL" if engine == "postgresql" else "MariaDB") in checks["Server"].detail


def test_a_clock_that_is_off_is_told(engine: str, server: Server, database: str) -> None:
    create_tables(server, database)
    kind = PostgreSQLBackend if engine == "postgresql" else MySQLBackend
    with kind(server.settings(database), clock=lambda: time.time() + 90) as backend:
        clock = backend.check()[-1]
    assert clock.name == "Clock"
    assert clock.state is CheckState.WARN
    assert "90" in clock.detail
    assert clock.fix


# SQLite


def test_a_missing_file_is_refused_and_not_created(tmp_path: Path) -> None:
    path = tmp_path / "not-there.db"
    refused_with(SQLiteBackend({"path": str(path)}), StoreRefused, "no file", step="File")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused_with(SQLiteBackend({"path": str(tmp_path)}), StoreRefused, "folder", step="File")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear administrator, " * 200)
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="not a sound SQLite database"):
        SQLiteBackend({"path": str(path)}).scan()
    checks = SQLiteBackend({"path": str(path)}).check()
    assert checks[-1].state is CheckState.FAILED
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["empty file", "other tables", "values only"])
def test_a_database_without_the_tables(tmp_path: Path, content: str) -> None:
    path = tmp_path / "store.db"
    path.touch()
    if content != "empty file":
        connection = sqlite3.connect(path)
        connection.execute(
            "CREATE TABLE other (k BLOB)" if content == "other tables" else "CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)"
        )
        connection.close()
    backend = SQLiteBackend({"path": str(path)})
    with pytest.raises(StoreRefused, match="no table y" if content == "values only" else "no table [my]"):
        backend.scan()
    assert backend.check()[-1].name == "Tables"
    assert backend.check()[-1].state is CheckState.FAILED
    backend.close()


def test_a_database_that_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    create_file(path)
    backend = SQLiteBackend({"path": str(path)})
    backend.key_set(b"k", b"v")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="locked"):
        backend.key_set(b"k", b"w")
    assert 1.5 < time.monotonic() - began < 4
    assert backend.key_get(b"k") == b"v", "reading does not wait"
    other.execute("ROLLBACK")
    assert backend.key_set(b"k", b"w").value == b"w"
    other.close()
    backend.close()


def test_a_file_that_cannot_be_written_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    create_file(path)
    with SQLiteBackend({"path": str(path)}) as backend:
        backend.key_set(b"k", b"v")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with as_nobody(tmp_path):
            backend = SQLiteBackend({"path": str(path)})
            assert not backend.capabilities.writes
            with pytest.raises(ReadOnly):
                backend.key_set(b"k", b"w")
            with pytest.raises(NotSupported):
                backend.purge(1)
            with pytest.raises(StoreRefused, match="-shm"):
                backend.scan()
            backend.close()
    finally:
        tmp_path.chmod(0o755)


def test_a_file_that_cannot_be_written_beside_a_running_server_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    create_file(path)
    server = sqlite3.connect(path, isolation_level=None)
    server.execute("INSERT INTO m VALUES (x'6b', x'ffffffffffffffff76')")
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    try:
        with as_nobody(tmp_path):
            backend = SQLiteBackend({"path": str(path)})
            assert not backend.capabilities.writes
            assert [entry.value for entry in backend.scan().entries] == [b"v"]
            assert backend.check()[-1].state is not CheckState.FAILED
            backend.close()
    finally:
        server.close()


def test_a_path_is_needed() -> None:
    with pytest.raises(BadConfig) as raised:
        SQLiteBackend({}).scan()
    assert raised.value.field == "path"


def test_create_file_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    create_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        create_file(path)


# helpers


class as_nobody:
    """Work as another user for a moment, where the tests run as root; the folder has to be reachable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self.was = os.geteuid()
        if self.was == 0:
            for parent in (self.folder, *self.folder.parents):
                if parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
            os.seteuid(65534)

    def __exit__(self, *reason: object) -> None:
        if self.was == 0:
            os.seteuid(0)


class hold_row:
    """Another transaction that has changed the row `k` and does not end."""

    def __init__(self, server: Server, database: str) -> None:
        self.server, self.database = server, database
        self.connection: Any = None

    def __enter__(self) -> None:
        if isinstance(self.server, postgresql.PostgreSQLServer):
            self.connection = self.server.connect(self.database)
            self.connection.execute("BEGIN")
            self.connection.execute("UPDATE m SET v = v WHERE k = 'k'::bytea")
        else:
            self.connection = self.server.connect(self.database)
            with self.connection.cursor() as cursor:
                cursor.execute("START TRANSACTION")
                cursor.execute("SELECT v FROM m WHERE k = 'k' FOR UPDATE")

    def __exit__(self, *reason: object) -> None:
        self.connection.rollback()
        self.connection.close()


def reader_of(server: Server, database: str, rights: str, table: str = "*") -> None:
    if isinstance(server, postgresql.PostgreSQLServer):
        statement(
            server, "postgres", "DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 's3cret-reader'; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        if rights:
            statement(server, database, f"GRANT {rights} ON m, y TO reader")
    else:
        statement(server, database, "CREATE OR REPLACE USER 'reader'@'%' IDENTIFIED BY 's3cret-reader'")
        statement(server, database, f"GRANT {rights} ON {database}.{table} TO 'reader'@'%'")
