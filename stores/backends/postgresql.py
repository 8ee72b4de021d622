"""PostgreSQL 12 and newer, through psycopg 3.

Settings: Stalwart's options; `tls.ca-file`, `tls.client-cert` and `tls.client-key` are kvadmin's own. `timeout` is the connect timeout.
Capabilities: all of a data store; read only on a standby and for a login without rights to write.
Differences from Stalwart: one connection for a request or a run, no pool. Session settings hold for one transaction only, so nothing
leaks into the server's own sessions behind a connection pooler.
Limits: new keys of 2,692 bytes (a B-tree row; existing ones may be longer where the server could pack them), values of 128 MiB; a
statement may take 5 s, waiting for a locked row 2 s,
in a run 30 s or until it is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

import psycopg
from psycopg import errors, pq

from stores.backends import postgresql_tidy
from stores.backends.postgresql_errors import translate
from stores.backends.postgresql_purge import PurgeByPages
from stores.backends.postgresql_survey import SurveyByPages
from stores.backends.replication import Replication, of_postgresql
from stores.backends.sql import (
    NO_PARAMS,
    Answer,
    Execute,
    LostRace,
    Params,
    Row,
    percent_spelling,
)
from stores.backends.sql_batch import Pair
from stores.backends.sqlserver import READ_SECONDS, TLS_FIELDS, WAIT_SLICE, ServerConfig, way_to
from stores.texts import say
from stores.types import Capabilities, Check, CheckState, Clock, FieldType, Ping, SettingField, TidyOffer, TidyStep

SOCKET_FOLDERS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - where the server puts its sockets
MAX_KEY: Final = 2692
_PLAN: Final = (
    "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)
"""Every statement here has one good plan, by key index or row address; statistics that are out of date must not lead to another."""


class _Connection(psycopg.Connection[Row]):
    """A connection on which waiting for an answer ends, also when the network has gone silent."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, timeout or READ_SECONDS + 1)


class PostgreSQLBackend(SurveyByPages, PurgeByPages):
    """The tables of one database."""

    TYPE = "postgresql"
    LABEL = "PostgreSQL"
    ADVICE = say("Host, database and a login that may read and change the tables m and y; Stalwart's own login has these rights.")
    SETTINGS = (
        SettingField("host", label="Host", help="Empty: the local socket."),
        SettingField("port", FieldType.INTEGER, "Port", default="5432", help="TCP port of the server."),
        SettingField("database", label="Database", required=True, help="Name of the database that holds Stalwart's tables."),
        SettingField("user", label="User", help="Role that kvadmin signs in as; an own one with few rights is safer than Stalwart's."),
        SettingField("password", FieldType.PASSWORD, "Password", help="Kept encrypted, never shown again."),
        *TLS_FIELDS,
        SettingField("timeout", FieldType.DURATION, "Connect timeout", advanced=True, help="Such as 10s; 2s when empty."),
        SettingField("options", label="Options of libpq", advanced=True, help="Such as -c search_path=mail."),
        SettingField(
            "pool.max-connections",
            FieldType.INTEGER,
            "Connections",
            advanced=True,
            used=False,
            help="Connections that Stalwart opens at most.",
        ),
    )
    DIALECT = "postgresql"
    INSERT_TAIL = " ON CONFLICT (k) DO NOTHING"

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.config = ServerConfig.of(settings, 5432, timeout_connects=True, host_required=False)
        self._connection: _Connection | None = None

    @cached_property
    def capabilities(self) -> Capabilities:
        """Asked of the server once: whether it is a standby, and the login's rights on both tables."""
        reason = self._why_read_only()
        if not reason:
            return Capabilities(max_key=MAX_KEY, tidies=True)
        return Capabilities(
            writes=False,
            purges=False,
            conditional_write=False,
            max_key=MAX_KEY,
            why=dict.fromkeys(("writes", "purges", "tidies", "conditional_write"), reason),
        )

    def _why_read_only(self) -> str:
        names = [self.tables.values, self.tables.counters]
        standby, *allowed = self._query(
            "SELECT pg_is_in_recovery(), "
            + ", ".join(f"coalesce(bool_and(has_table_privilege(c, '{right}')), true)" for right in ("INSERT", "UPDATE", "DELETE"))
            + " FROM (SELECT to_regclass(t) AS c FROM unnest(CAST(:names AS text[])) AS t) AS tables WHERE c IS NOT NULL",
            {"names": names},
        )[0]
        if standby:
            return say("This server is a standby; it takes no writes.")
        missing = [right for right, has in zip(("INSERT", "UPDATE", "DELETE"), allowed, strict=True) if not has]
        return (
            say(
                "The login %(user)s may not %(right)s in %(table)s.",
                user=self.config.user,
                right=", ".join(missing),
                table=", ".join(names),
            )
            if missing
            else ""
        )

    def ping(self) -> Ping:
        """One round trip on an open connection."""
        self._query("SELECT 1")
        began = time.perf_counter()
        version = str(self._query("SHOW server_version")[0][0])
        return Ping((time.perf_counter() - began) * 1000, f"PostgreSQL {version.split(' ')[0]}")

    def size_bytes(self) -> int:
        """Bytes of both tables with their indexes and large values."""
        sizes = self._query(
            "SELECT coalesce(sum(pg_total_relation_size(to_regclass(t))), 0) FROM unnest(CAST(:names AS text[])) AS t",
            {"names": [self.tables.values, self.tables.counters]},
        )
        return int(sizes[0][0])

    def server_time(self) -> float:
        """Unix seconds of the server's clock."""
        return float(self._query("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def replication(self) -> Replication:
        """Two queries."""
        return of_postgresql(self._query)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # the connection test

    def check_way(self) -> Iterator[Check]:
        """Name and connection, or the local socket."""
        return way_to(self.config, tuple(f"{folder}/.s.PGSQL.{self.config.port}" for folder in SOCKET_FOLDERS))

    def check_login(self) -> Iterator[Check]:
        """TLS as it was agreed on, the login and the database."""
        secure = self._query("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
        if self.config.tls:
            words = " ".join(map(str, secure[0]))
            if self.config.allow_invalid:
                yield Check(
                    say("TLS"),
                    CheckState.WARN,
                    say("%(words)s; the certificate is not verified", words=words),
                    say("Switch off TLS: accept any certificate."),
                )
            else:
                yield Check(say("TLS"), CheckState.OK, say("%(words)s, certificate verified", words=words))
        yield Check(
            say("Login"),
            CheckState.OK,
            say("as %(user)s to database %(database)s", user=self._query("SELECT current_user")[0][0], database=self.config.database),
        )

    # statements

    def table_names(self) -> set[str]:
        return {str(row[0]) for row in self._query("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)")}

    def _expected_rows(self) -> int | None:
        number = self._query(
            "SELECT sum(greatest(reltuples, 0))::bigint FROM pg_class "
            "WHERE oid IN (SELECT to_regclass(t) FROM unnest(CAST(:names AS text[])) AS t)",
            {"names": [self.tables.values, self.tables.counters]},
        )[0][0]
        return int(number) if number else None

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        return self._again(lambda: self._rows(sql, params))

    def _rows(self, sql: str, params: Params) -> list[Row]:
        with self._transaction(READ_SECONDS) as execute:
            return execute(sql, params).rows

    @contextmanager
    def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
        def execute(sql: str, params: Params = NO_PARAMS) -> Answer:
            cursor = connection.execute(percent_spelling(sql), dict(params) or None, binary=True)
            return Answer(cursor.fetchall() if cursor.description else [], cursor.rowcount)

        with self._translated():
            connection = self._open()
            connection.execute(self._begin(read_only=read_seconds is not None))
            try:
                yield execute
                connection.execute("COMMIT")
            finally:
                if connection.pgconn.transaction_status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR):
                    connection.execute("ROLLBACK")

    @staticmethod
    def _begin(read_only: bool) -> str:
        mode = "READ ONLY" if read_only else "READ WRITE"
        return (
            f"BEGIN ISOLATION LEVEL READ COMMITTED {mode}; SET LOCAL statement_timeout = {int(READ_SECONDS * 1000)}; "
            f"SET LOCAL lock_timeout = {int(WAIT_SLICE * 1000)}; {_PLAN}"
        )

    def _open(self) -> _Connection:
        if self._connection is None or self._connection.closed:
            connection = _Connection.connect(autocommit=True, prepare_threshold=None, **self._arguments())
            assert isinstance(connection, _Connection)
            self._connection = connection
        return self._connection

    def _arguments(self) -> dict[str, Any]:
        config = self.config
        arguments: dict[str, Any] = {
            "host": config.host or ",".join(SOCKET_FOLDERS),
            "port": str(config.port) if config.host else ",".join([str(config.port)] * len(SOCKET_FOLDERS)),
            "dbname": config.database,
            "user": config.user or None,
            "password": config.password or None,
            "options": self.settings.get("options") or None,
            "connect_timeout": max(2, round(config.connect_seconds)),
            "application_name": "kvadmin",
            "client_encoding": "UTF8",
            "keepalives_idle": 10,
            "sslmode": "disable",
        }
        if config.tls:
            arguments |= {
                "sslmode": "require" if config.allow_invalid else "verify-full",
                "sslrootcert": None if config.allow_invalid else config.trusted_file(),
                "sslcert": config.client_cert or None,
                "sslkey": config.client_key or None,
            }
        return arguments

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation):
            raise LostRace from None
        except psycopg.Error as error:
            if isinstance(error, errors._WaitTimeout):
                self.close()
            raise translate(error, self.config, self.version, connected=self._connection is not None) from None
        finally:
            if self._connection is not None and self._connection.broken:
                self._connection = None

    # many keys at once

    def _among(self, columns: str, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        return f"SELECT {columns} FROM {table} WHERE k = ANY (CAST(:keys AS bytea[]))", {"keys": list(keys)}

    def _delete_among(self, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        return f"DELETE FROM {table} WHERE k = ANY (CAST(:keys AS bytea[]))", {"keys": list(keys)}

    def _update_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        new = f"unnest(CAST(:keys AS bytea[]), CAST(:news AS {self._type_of(table)}[])) AS new (k, v)"
        execute(f"UPDATE {table} AS old SET v = new.v FROM {new} WHERE old.k = new.k", _columns(pairs))

    def _insert_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        new = f"unnest(CAST(:keys AS bytea[]), CAST(:news AS {self._type_of(table)}[]))"
        if execute(f"INSERT INTO {table} (k, v) SELECT * FROM {new}{self.INSERT_TAIL}", _columns(pairs)).changed != len(pairs):
            raise LostRace

    def _type_of(self, table: str) -> str:
        return "bytea" if table == self.tables.values else "bigint"

    # purge and space

    def _old_server(self) -> bool:
        return self._open().info.server_version < 140_000

    def tidy_offer(self) -> TidyOffer:
        """VACUUM, where the login may."""
        if not self.capabilities.tidies:
            return super().tidy_offer()
        server_version = self._open().info.server_version
        return postgresql_tidy.offer(self._query, (self.tables.values, self.tables.counters), server_version)

    def tidy(self, way: str) -> Iterator[TidyStep]:
        """As postgresql_tidy has it; stopped by a cancel request to the server."""
        self.tidy_way(way)
        with self._translated():
            yield from postgresql_tidy.vacuum(self._arguments(), (self.tables.values, self.tables.counters), self._query)


def _columns(pairs: Sequence[Pair]) -> dict[str, object]:
    return {"keys": [key for key, _ in pairs], "news": [new for _, new in pairs]}
