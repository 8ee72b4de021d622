"""The lag of replicas, on real pairs of servers: as the primary tells it, as the replica does, and when replication stands still."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.backends import replication
from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.redis import RedisBackend
from stores.backends.replica import ReplicaBackend
from stores.backends.sql import SQLBackend
from stores.backends.sqlcreate import create_tables
from stores.errors import StoreError
from stores.types import Check, CheckState
from tests.servers import mariadb, postgresql
from tests.servers.process import Child, free_port, own_folder, run
from tests.servers.redis import FLAVOURS, RedisServer, wait_for


def step(backend: SQLBackend | ReplicaBackend, name: str) -> Check | None:
    return next((check for check in backend.check() if check.name == name), None)


# PostgreSQL


@pytest.fixture(scope="module")
def standby() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Settings of a primary and of its streaming standby."""
    server = postgresql.server()
    database = server.create_database()
    with PostgreSQLBackend(server.settings(database)) as backend:
        create_tables(backend)
    folder, port = own_folder("kvadmin-standby-"), free_port()
    with closing(server.connect("postgres", "postgres")) as connection:
        connection.execute(b"GRANT pg_monitor TO stalwart")
        hba = Path(str(connection.execute("SHOW hba_file").fetchone()[0]))  # type: ignore[index]
        hba.write_text(hba.read_text() + "\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    link = f"host=127.0.0.1 port={server.port} user=postgres password={postgresql.PASSWORD}"
    run([server.binaries / "pg_basebackup", "-D", folder / "data", "-d", link, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"])
    argv: list[str | Path] = [server.binaries / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    argv += ["-c", f"unix_socket_directories={folder}", "-c", "max_connections=60", "-c", "ssl=off", "-c", "shared_buffers=32MB"]
    child = Child(argv, folder / "log", end_with=signal.SIGINT)

    def answers() -> bool:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=postgres password={postgresql.PASSWORD} dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    child.wait_until(answers)
    settings = server.settings(database)
    yield settings, {**settings, "port": str(port)}
    child.stop()
    with closing(server.connect("postgres", "postgres")) as connection:
        connection.execute(b"REVOKE pg_monitor FROM stalwart")
    server.drop_database(database)


def as_admin(settings: dict[str, str], statement: str) -> Any:
    with psycopg.connect(
        host="127.0.0.1", port=settings["port"], user="postgres", password=postgresql.PASSWORD, dbname="postgres", autocommit=True
    ) as connection:
        found = connection.execute(statement.encode())
        return found.fetchone() if found.description else None


def test_postgresql_tells_the_lag_on_both_sides(standby: tuple[dict[str, str], dict[str, str]]) -> None:
    primary, replica = PostgreSQLBackend(standby[0]), PostgreSQLBackend(standby[1])
    pair = ReplicaBackend({"primary": "one", "replicas": "two"}, members=[PostgreSQLBackend(standby[0]), PostgreSQLBackend(standby[1])])
    with primary, replica, pair:
        primary.key_set(b"k", b"v")
        wait_for(lambda: replica.key_get(b"k") == b"v", what="the standby")
        wait_for(lambda: bool(primary.replication().followers), what="the primary to see it")
        seen = step(primary, "Replication")
        assert seen is not None and seen.state is CheckState.OK and "bytes behind" in seen.detail and "walreceiver" in seen.detail
        own = step(replica, "Replication")
        assert own is not None and own.state is CheckState.OK and own.detail == "a replica, 0.0 s behind"
        line = step(pair, "Replica 1")
        assert line is not None and (line.state, line.detail) == (CheckState.OK, "answers, 0.0 s behind")
        as_admin(standby[1], "SELECT pg_wal_replay_pause()")
        try:
            primary.key_set(b"k2", b"v")
            wait_for(lambda: (replica.replication().seconds or 0) > 0, what="the lag")
            paused = step(replica, "Replication")
            assert paused is not None and paused.state is CheckState.WARN and "replay is paused" in paused.detail
            line = step(pair, "Replica 1")
            assert line is not None and line.state is CheckState.WARN and line.fix
        finally:
            as_admin(standby[1], "SELECT pg_wal_replay_resume()")
        wait_for(lambda: replica.replication().seconds == 0, what="the standby to catch up")


def test_postgresql_hides_replicas_from_a_login_without_the_right(standby: tuple[dict[str, str], dict[str, str]]) -> None:
    as_admin(standby[0], "REVOKE pg_monitor FROM stalwart")
    try:
        with PostgreSQLBackend(standby[0]) as primary:
            found = step(primary, "Replication")
            assert found is not None and found.state is CheckState.SKIPPED and "GRANT pg_monitor" in found.detail
    finally:
        as_admin(standby[0], "GRANT pg_monitor TO stalwart")


# MariaDB


@pytest.fixture(scope="module")
def mirror() -> Iterator[tuple[mariadb.MariaDBServer, dict[str, str]]]:
    """A MariaDB that follows another one, and the settings of a store on it."""
    first, second = mariadb.own_server("--log-bin", "--server-id=1"), mariadb.own_server("--server-id=2", "--read-only=1")
    database, same = first.create_database(), second.create_database()
    assert database == same
    with closing(first.connect(None, "root", "")) as connection, connection.cursor() as cursor:
        cursor.execute(f"GRANT REPLICATION SLAVE ON *.* TO '{mariadb.USER}'@'%'")
        cursor.execute("SELECT @@gtid_current_pos")
        ((position,),) = cursor.fetchall()
    with closing(second.connect(None, "root", "")) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET GLOBAL gtid_slave_pos = '{position}'")
        cursor.execute(
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={first.port}, master_user='{mariadb.USER}', "
            f"master_password='{mariadb.PASSWORD}', master_use_gtid=slave_pos"
        )
        cursor.execute("START SLAVE")
    with MySQLBackend(first.settings(database)) as backend:
        create_tables(backend)
    settings = second.settings(database)
    wait_for(lambda: has_tables(settings), what="the replica")
    yield second, settings
    second.stop()
    first.stop()


def has_tables(settings: dict[str, str]) -> bool:
    try:
        with MySQLBackend(settings) as backend:
            return {"m", "y"} <= backend.table_names()
    except StoreError:
        return False


def test_mariadb_tells_the_lag_of_a_replica(mirror: tuple[mariadb.MariaDBServer, dict[str, str]]) -> None:
    server, settings = mirror
    with MySQLBackend(settings) as backend:
        hidden = step(backend, "Replication")
        assert hidden is not None and hidden.state is CheckState.SKIPPED and "REPLICA MONITOR" in hidden.detail
    execute(server, f"GRANT REPLICA MONITOR ON *.* TO '{mariadb.USER}'@'%'")
    with MySQLBackend(settings) as backend:
        wait_for(lambda: backend.replication().seconds == 0, what="the replica to catch up")
        found = step(backend, "Replication")
        assert found is not None and (found.state, found.detail) == (CheckState.OK, "a replica, 0.0 s behind")
        execute(server, "STOP SLAVE SQL_THREAD")
        stopped = step(backend, "Replication")
        assert stopped is not None and stopped.state is CheckState.WARN and "SQL thread does not run" in stopped.detail
        execute(server, "START SLAVE SQL_THREAD")


def execute(server: mariadb.MariaDBServer, statement: str) -> None:
    with closing(server.connect(None, "root", "")) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_server_alone_says_nothing_of_replication() -> None:
    server = mariadb.server()
    database = server.create_database()
    with MySQLBackend(server.settings(database)) as backend:
        create_tables(backend)
        found = step(backend, "Replication")
        assert found is None
    server.drop_database(database)


LATE = replication.Follower("a", 12.5, 7, "streaming")


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        (replication.Replication(True, 11.0), CheckState.WARN, "11.0 s behind"),
        (replication.Replication(True, None), CheckState.OK, "lag unknown"),
        (
            replication.Replication(followers=(replication.Follower("a", 12.5, 7, "streaming"),)),
            CheckState.WARN,
            "a: 12.5 s, 7 bytes behind",
        ),
        (replication.Replication(followers=(replication.Follower("a", None, 0, "catchup"),)), CheckState.WARN, "catchup"),
    ],
)
def test_what_is_said_of_a_lag(found: replication.Replication, state: CheckState, words: str) -> None:
    check = replication.check_of(found)
    assert check is not None and check.state is state and words in check.detail and bool(check.fix) is (state is CheckState.WARN)


# Redis


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_redis_tells_the_lag_on_both_sides(flavour: str) -> None:
    primary = RedisServer(flavour, "--repl-diskless-sync-delay", "0")
    replica = RedisServer(flavour, "--replicaof", f"127.0.0.1 {primary.port}")
    try:
        with RedisBackend({"urls": primary.url}) as backend, RedisBackend({"urls": replica.url}) as other:
            with replica.client() as client:
                wait_for(lambda: client.info("replication")["master_link_status"] == "up", what="the replica")
            (role,) = [check for check in backend.check() if check.name == "Role"]
            assert role.state is CheckState.OK and "1 replica, at most" in role.detail
            (role,) = [check for check in other.check() if check.name == "Role"]
            assert role.state is CheckState.WARN and f"of 127.0.0.1:{primary.port}" in role.detail and "0 bytes to apply" in role.detail
            primary.stop()
            with replica.client() as client:
                wait_for(lambda: client.info("replication")["master_link_status"] == "down", what="the link to end")
            (role,) = [check for check in other.check() if check.name == "Role"]
            assert "has had no connection to its primary" in role.detail
    finally:
        replica.stop()
