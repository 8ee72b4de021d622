"""MySQL 8 and MariaDB 10.5 and newer, through PyMySQL.

Settings: Stalwart's options; `tls.ca-file`, `tls.client-cert` and `tls.client-key` are kvadmin's own.
Capabilities: all of a data store; read only on a server that takes no writes and for a login without rights to write.
Differences from Stalwart: one connection for a request or a run, no pool; statements are prepared by the client.
Limits: keys of 255 bytes (TINYBLOB), values below 16 MiB and half of `max_allowed_packet`; an answer may take 5 s, waiting for a
locked row 2 s, in a run 30 s or until it is stopped.

The primary key is a prefix index, `PRIMARY KEY (k(255))`: with ORDER BY the server sorts the whole table for a page. So rows are read
with FORCE INDEX (PRIMARY) by range and without ORDER BY; they come in key order, because the index is clustered and holds whole
keys. The order is checked here, and asked for if it should ever differ.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor

from stores.backends import mysql_tidy
from stores.backends.mysql_errors import RACES, broken, code_of, translate
from stores.backends.mysql_purge import PurgeByKeys
from stores.backends.mysql_survey import SurveyByKeys
from stores.backends.replication import Replication, of_mysql
from stores.backends.sql import (
    NO_PARAMS,
    Answer,
    Execute,
    LostRace,
    Params,
    Row,
    before,
    percent_spelling,
    split_page,
)
from stores.backends.sql_batch import Pair
from stores.backends.sqlserver import READ_SECONDS, TLS_FIELDS, ServerConfig, way_to
from stores.errors import StoreRefused
from stores.texts import say
from stores.types import (
    Capabilities,
    Check,
    CheckState,
    Clock,
    FieldType,
    Ping,
    SettingField,
    TidyOffer,
    TidyStep,
)

MAX_KEY: Final = 255
MAX_VALUE: Final = (1 << 24) - 1 - 8
"""A MEDIUMBLOB less the expiry header."""


class MySQLBackend(SurveyByKeys, PurgeByKeys):
    """The tables of one database."""

    TYPE = "mysql"
    LABEL = say("MySQL or MariaDB")
    ADVICE = say("Host, database and a login that may read and change the tables m and y; Stalwart's own login has these rights.")
    SETTINGS = (
        SettingField("host", label="Host", required=True, help="Name or address of the server, or the path of its socket."),
        SettingField("port", FieldType.INTEGER, "Port", default="3306", help="TCP port of the server."),
        SettingField("database", label="Database", required=True, help="Name of the database that holds Stalwart's tables."),
        SettingField("user", label="User", help="Account that kvadmin signs in as; an own one with few rights is safer than Stalwart's."),
        SettingField("password", FieldType.PASSWORD, "Password", help="Kept encrypted, never shown again."),
        *TLS_FIELDS,
        SettingField(
            "timeout",
            FieldType.DURATION,
            "Idle timeout of Stalwart's sessions",
            advanced=True,
            used=False,
            help="After so long without a statement the server ends Stalwart's sessions.",
        ),
        SettingField(
            "max-allowed-packet",
            FieldType.INTEGER,
            "Largest packet",
            advanced=True,
            used=False,
            help="In bytes; larger rows are refused by the server.",
        ),
        SettingField(
            "pool.min-connections",
            FieldType.INTEGER,
            "Connections at least",
            advanced=True,
            used=False,
            help="Connections that Stalwart keeps open.",
        ),
        SettingField(
            "pool.max-connections",
            FieldType.INTEGER,
            "Connections at most",
            advanced=True,
            used=False,
            help="Connections that Stalwart opens at most.",
        ),
    )
    DIALECT = "mysql"

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.config = ServerConfig.of(settings, 3306, timeout_connects=False, host_required=True)
        self._connection: pymysql.Connection[Any] | None = None

    @cached_property
    def capabilities(self) -> Capabilities:
        """Asked of the server once: its packet size, whether it takes writes, and the login's rights on both tables."""
        packet, read_only = self._query("SELECT @@max_allowed_packet, @@global.read_only")[0]
        largest = min(MAX_VALUE, int(packet) // 2 - 4096)
        reason = say("This server is read only; it may be a replica.") if int(read_only) else self._missing_rights()
        if not reason:
            return Capabilities(max_key=MAX_KEY, max_value=largest, tidies=True)
        return Capabilities(
            writes=False,
            purges=False,
            conditional_write=False,
            max_key=MAX_KEY,
            max_value=largest,
            why=dict.fromkeys(("writes", "purges", "tidies", "conditional_write"), reason),
        )

    def _missing_rights(self) -> str:
        """What the login may not do; the server checks the rights of a statement that it only explains."""
        for table in (self.tables.values, self.tables.counters):
            for right, statement in _PROBES:
                try:
                    self._query(f"EXPLAIN {statement.format(table)}", {"k": b"", "v": b"0"})
                except StoreRefused as error:
                    if error.code == "refused" and "right" in error.message:
                        return say("The login %(user)s may not %(right)s in %(table)s.", user=self.config.user, right=right, table=table)
        return ""

    def ping(self) -> Ping:
        """One round trip on an open connection."""
        self._query("SELECT 1")
        began = time.perf_counter()
        version = str(self._query("SELECT version()")[0][0])
        product = "MariaDB" if "MariaDB" in version else "MySQL"
        return Ping((time.perf_counter() - began) * 1000, f"{product} {version.split('-')[0]}")

    def size_bytes(self) -> int | None:
        """Bytes of both tables as the server last estimated them; it may be minutes behind."""
        size = self._query(
            "SELECT sum(data_length + index_length) FROM information_schema.tables "
            "WHERE table_schema = database() AND table_name IN (:a, :b)",
            {"a": self.tables.values, "b": self.tables.counters},
        )[0][0]
        return None if size is None else int(size)

    def server_time(self) -> float:
        """Unix seconds of the server's clock."""
        return float(self._query("SELECT unix_timestamp(now(6))")[0][0])

    def replication(self) -> Replication:
        """One statement."""
        return of_mysql(self._named)

    def _named(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement by column name."""
        with self._translated(), self._open().cursor(DictCursor) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            with suppress(pymysql.Error, OSError):
                connection.close()

    # the connection test

    def check_way(self) -> Iterator[Check]:
        """Name and connection."""
        return way_to(self.config)

    def check_login(self) -> Iterator[Check]:
        """TLS as it was agreed on, the login and the database."""
        if self.config.tls:
            words = " ".join(str(self._query(f"SHOW SESSION STATUS LIKE '{name}'")[0][1]) for name in ("Ssl_version", "Ssl_cipher"))
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
            say("as %(user)s to database %(database)s", user=self._query("SELECT current_user()")[0][0], database=self.config.database),
        )

    # statements

    def _select(self, table: str, columns: str, end: bytes | None) -> str:
        return f"(SELECT {columns} FROM {table} FORCE INDEX (PRIMARY) WHERE k >= :start{before(end)} LIMIT :limit)"

    def _ordered(self, table: str, columns: str, start: bytes, end: bytes | None, limit: int) -> list[Row]:
        rows = super()._ordered(table, columns, start, end, limit)
        return rows if ascending(rows) else self._sorted(table, columns, start, end, limit)

    def _page(self, start: bytes, end: bytes | None, limit: int) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        values, numbers = super()._page(start, end, limit)
        if ascending([(key,) for key in values]) and ascending([(key,) for key in numbers]):
            return values, numbers
        return split_page(
            [(key, row, None) for key, row in self._sorted(self.tables.values, "k, v", start, end, limit)]
            + [(key, None, number) for key, number in self._sorted(self.tables.counters, "k, v", start, end, limit)]
        )

    def _sorted(self, table: str, columns: str, start: bytes, end: bytes | None, limit: int) -> list[Row]:
        """The same rows, sorted by the server at the cost of the whole range; only for a server that reads the index out of order."""
        sql = f"SELECT {columns} FROM {table} WHERE k >= :start{before(end)} ORDER BY k LIMIT :limit"
        return self._query(sql, {"start": start, "end": end, "limit": limit})

    def table_names(self) -> set[str]:
        return {str(row[0]) for row in self._query("SELECT table_name FROM information_schema.tables WHERE table_schema = database()")}

    def _expected_rows(self) -> int | None:
        number = self._query(
            "SELECT sum(table_rows) FROM information_schema.tables WHERE table_schema = database() AND table_name IN (:a, :b)",
            {"a": self.tables.values, "b": self.tables.counters},
        )[0][0]
        return int(number) if number else None

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        return self._again(lambda: self._rows(sql, params))

    def _rows(self, sql: str, params: Params) -> list[Row]:
        with self._translated():
            return _run(self._open(), sql, params).rows

    @contextmanager
    def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
        def execute(sql: str, params: Params = NO_PARAMS) -> Answer:
            return _run(connection, sql, params)

        with self._translated():
            connection = self._open()
            connection.begin()
            try:
                yield execute
                connection.commit()
            except BaseException:
                with suppress(pymysql.Error, OSError):
                    connection.rollback()
                raise

    def _open(self) -> pymysql.Connection[Any]:
        if self._connection is None or not self._connection.open:
            self._connection = self._connect(READ_SECONDS)
        return self._connection

    def _connect(self, seconds: float | None) -> pymysql.Connection[Any]:
        """A new connection, on which a statement may take so long; None for as long as it needs."""
        config = self.config
        connection: pymysql.Connection[Any] = pymysql.connect(
            host=config.host,
            port=config.port,
            user=config.user,
            password=config.password,
            database=config.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=max(1, round(config.connect_seconds)),
            read_timeout=seconds,
            write_timeout=seconds,
            program_name="kvadmin",
            client_flag=CLIENT.FOUND_ROWS,
            **({"ssl": self._tls()} if config.tls else {"ssl_disabled": True}),
        )
        mariadb = "MariaDB" in str(connection.get_server_info())  # type: ignore[no-untyped-call]
        try:
            for statement in (*_SESSION, _LIMIT_MARIADB % (seconds or 0) if mariadb else _LIMIT_MYSQL % (1000 * (seconds or 0))):
                _run(connection, statement, {})
        except BaseException:
            connection.close()
            raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.config.ca_file or None)
        if self.config.allow_invalid:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.config.client_cert:
            context.load_cert_chain(self.config.client_cert, self.config.client_key or None)
        return context

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (pymysql.Error, ssl.SSLError) as error:
            connected = self._connection is not None
            if broken(error):
                self.close()
            if connected and code_of(error) in RACES:
                raise LostRace from None
            raise translate(error, self.config, self.version, connected=connected) from None

    # many keys at once; the index is named everywhere, so that no statistics lead to a scan of the table

    def _among(self, columns: str, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        return f"SELECT {columns} FROM {table} FORCE INDEX (PRIMARY) WHERE k IN :keys", {"keys": tuple(keys)}

    def _delete_among(self, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        return f"DELETE {table} FROM {table} FORCE INDEX (PRIMARY) WHERE {table}.k IN :keys", {"keys": tuple(keys)}

    def _update_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        """The rows are there and locked, so an insert of each is an update."""
        names, params = _listed(pairs)
        execute(f"INSERT INTO {table} (k, v) VALUES {names} ON DUPLICATE KEY UPDATE v = VALUES(v)", params)

    def _insert_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        names, params = _listed(pairs)
        execute(f"INSERT INTO {table} (k, v) VALUES {names}", params)

    # space

    def tidy_offer(self) -> TidyOffer:
        """A rebuild of both tables, where InnoDB has them."""
        if not self.capabilities.tidies:
            return super().tidy_offer()
        if "MariaDB" not in str(self._open().get_server_info()):  # type: ignore[no-untyped-call]
            self._query("SET SESSION information_schema_stats_expiry = 0")
        return mysql_tidy.offer(self._query, (self.tables.values, self.tables.counters))

    def tidy(self, way: str) -> Iterator[TidyStep]:
        """As mysql_tidy has it; stopped by KILL QUERY, after which the tables are as they were."""
        self.tidy_way(way)
        with self._translated():
            yield from mysql_tidy.rebuild(self._connect(None), (self.tables.values, self.tables.counters), self._query)


_PROBES: Final = (
    ("INSERT", "INSERT INTO {} (k, v) VALUES (:k, :v)"),
    ("UPDATE", "UPDATE {} SET v = :v WHERE k = :k"),
    ("DELETE", "DELETE FROM {} WHERE k = :k"),
)
_SESSION: Final = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION group_concat_max_len = 8388608",
    "SET SESSION innodb_lock_wait_timeout = 1",
    "SET SESSION lock_wait_timeout = 1",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
)
_LIMIT_MARIADB: Final = "SET SESSION max_statement_time = %f"
_LIMIT_MYSQL: Final = "SET SESSION max_execution_time = %d"


def _listed(pairs: Sequence[Pair]) -> tuple[str, dict[str, object]]:
    params: dict[str, object] = {f"p{number}": pair for number, pair in enumerate(pairs)}
    return ", ".join(f":{name}" for name in params), params


def ascending(rows: list[Row]) -> bool:
    """Whether the keys in the first column strictly ascend."""
    return all(one[0] < other[0] for one, other in pairwise(rows))


def _run(connection: pymysql.Connection[Any], sql: str, params: Params) -> Answer:
    with connection.cursor() as cursor:
        cursor.execute(percent_spelling(sql), dict(params) or None)
        return Answer(list(cursor.fetchall()), cursor.rowcount)
