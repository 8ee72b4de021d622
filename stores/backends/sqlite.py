"""SQLite: the database file of a Stalwart on the same machine, also while the server runs.

Settings: `path`. The pool settings are Stalwart's; kvadmin opens one connection for a request or a run.
Capabilities: all of a data store; read only where kvadmin's user may not write the file.
Differences from Stalwart: the file is never created and its journal mode never changed; a purge checkpoints the log
whenever it passes 32 MB, because batches multiply it.
Limits: keys of 1 MiB and values of 128 MiB; a page waits 2 s for another writer, a run 30 s or until it is stopped.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from stores.backends.sql import NO_PARAMS, Answer, Execute, Params, Row, before
from stores.backends.sqlite_errors import translate
from stores.backends.sqlite_purge import WAIT_SLICE
from stores.backends.sqlite_tidy import TidyFile
from stores.errors import BadConfig, StoreError, StoreRefused
from stores.texts import counted, joined, say
from stores.types import Capabilities, Check, CheckState, FieldType, Ping, SettingField


class SQLiteBackend(TidyFile):
    """A database file in Stalwart's layout."""

    TYPE = "sqlite"
    LABEL = "SQLite"
    ADVICE = say("The path of the database file, and read and write access to it and to its folder.")
    SETTINGS = (
        SettingField("path", FieldType.PATH, "Database file", required=True, help="As in Stalwart's store.<id>.path."),
        SettingField(
            "pool.max-connections",
            FieldType.INTEGER,
            "Connections",
            advanced=True,
            used=False,
            help="Connections that Stalwart opens; kvadmin opens its own.",
        ),
        SettingField(
            "pool.workers", FieldType.INTEGER, "Workers", advanced=True, used=False, help="Threads that Stalwart gives to the file."
        ),
    )
    DIALECT = "sqlite"
    LOCK_ROWS = ""
    CENSUS_STEP = 20_000

    @property
    def path(self) -> Path:
        """Where the database is. Raises BadConfig without the setting."""
        path = self.settings.get("path", "")
        if not path:
            raise BadConfig(say("An SQLite store needs a path."), say("Give the path of the database file."), "path")
        return Path(path).absolute()

    @property
    def capabilities(self) -> Capabilities:
        """Whether writes are possible is asked of the file system, without opening the database."""
        if self.writable() or _missing(self.path):
            return Capabilities(tidies=True)
        reason = say("kvadmin's user may not write %(path)s and its folder.", path=self.path)
        return Capabilities(
            writes=False,
            purges=False,
            conditional_write=False,
            why=dict.fromkeys(("writes", "purges", "tidies", "conditional_write"), reason),
        )

    def writable(self) -> bool:
        """Write access to the file, and to the folder or to the log files that exist."""
        path = self.path
        logs = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
        return _may(path, os.W_OK) and (_may(path.parent, os.W_OK) or all(_may(log, os.W_OK) for log in logs))

    def ping(self) -> Ping:
        """Reads one page of the file."""
        began = time.perf_counter()
        self._query("SELECT name FROM sqlite_master LIMIT 1")
        return Ping((time.perf_counter() - began) * 1000, f"SQLite {sqlite3.sqlite_version}")

    def size_bytes(self) -> int:
        """Bytes of the file's used pages; in a data store that is more than the lookup tables."""
        pages, free, size = (self._query(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size"))
        return (int(pages) - int(free)) * int(size)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def check_way(self) -> Iterator[Check]:
        """Step File: it is there, it can be read, and the log files that kvadmin makes suit the server."""
        try:
            self._require_file(self.path)
        except StoreError as error:
            yield Check(say("File"), CheckState.FAILED, error.message, error.fix)
            return
        owner = self.path.stat().st_uid
        if os.geteuid() not in (0, owner):
            fix = say("Run kvadmin as that user, or give both users one group that may write the folder and the file.")
            yield Check(
                say("File"),
                CheckState.WARN,
                say("%(path)s belongs to another user; log files made here may be closed to it", path=self.path),
                fix,
            )
        else:
            yield Check(say("File"), CheckState.OK, joined(str(self.path), counted(self.path.stat().st_size, "byte"), between=", "))

    def check_login(self) -> Iterator[Check]:
        """Nothing to log in to; a file that is no database fails here."""
        self._query("SELECT name FROM sqlite_master LIMIT 1")
        return iter(())

    # statements

    def _select(self, table: str, columns: str, end: bytes | None) -> str:
        return f"SELECT * FROM (SELECT {columns} FROM {table} WHERE k >= :start{before(end)} ORDER BY k LIMIT :limit)"

    def _headers(self, start: bytes, limit: int) -> list[Row]:
        """As in the other engines, but read by row id: following the key index one by one costs half as much again."""
        return self._query(
            "SELECT k, substr(v, 1, 16), length(v) FROM m WHERE rowid IN (SELECT rowid FROM m WHERE k >= :start ORDER BY k LIMIT :limit)",
            {"start": start, "limit": limit},
        )

    def table_names(self) -> set[str]:
        return {str(row[0]) for row in self._query("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _expected_rows(self) -> int:
        return sum(int(self._query(f"SELECT count(*) FROM {table}")[0][0]) for table in (self.tables.values, self.tables.counters))

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        return self._again(lambda: self._rows(sql, params))

    def _rows(self, sql: str, params: Params) -> list[Row]:
        with self._translated():
            return self._open().execute(sql, dict(params)).fetchall()

    @contextmanager
    def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
        def execute(sql: str, params: Params = NO_PARAMS) -> Answer:
            cursor = connection.execute(sql, dict(params))
            return Answer(cursor.fetchall(), cursor.rowcount)

        with self._translated():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield execute
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            path = self.path
            self._require_file(path)
            mode = "rw" if self.writable() else "ro"
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}", WAIT_SLICE, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                    connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute("PRAGMA trusted_schema = OFF")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _require_file(self, path: Path) -> None:
        try:
            if path.is_dir():
                raise StoreRefused(
                    say("%(path)s is a folder, not an SQLite database.", path=path),
                    say("Give the path of the database file; a RocksDB is a folder."),
                )
            if _missing(path):
                raise StoreRefused(
                    say("There is no file %(path)s.", path=path), say("Check the path; kvadmin never creates the database of a server.")
                )
        except PermissionError:
            raise StoreRefused(
                say("kvadmin's user may not look into %(folder)s.", folder=path.parent), say("Let it read the folder and the file.")
            ) from None
        if not _may(path, os.R_OK):
            raise StoreRefused(
                say("kvadmin's user may not read %(path)s.", path=path), say("Let it read the file, or run kvadmin as Stalwart's user.")
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path, self.version) from None


def _missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return False


def _may(path: Path, mode: int) -> bool:
    """Whether the user as whom this process works may use the file so."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def create_file(path: Path, version: str = "") -> None:
    """Create a database file with Stalwart's two lookup tables, in WAL mode, for a store of kvadmin's own. Mode 0600; never
    overwrites: raises FileExistsError."""
    from stores.codecs.sqltables import create_statements

    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in create_statements("sqlite", version):
            connection.execute(statement)
    finally:
        connection.close()
