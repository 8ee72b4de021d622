"""Filled stores for the measurements: one source, and a fresh copy of it for each run."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict, WriteBatch

from benchmarks import fill
from stores.backends.base import Backend
from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.rocksdb import RocksDBBackend
from stores.backends.sqlite import SQLiteBackend
from stores.codecs.numbers import put_i64_le
from tests.servers import mariadb, postgresql
from tests.servers.process import Child

Bare = Callable[[str, tuple[object, ...]], int]
"""Runs a statement and returns how many rows it changed."""


class FilledStore(ABC):
    """A store of `count` keys, half of what expires expired at `now`."""

    engine: str
    backend: type[Backend]

    def __init__(self, count: int, now: int) -> None:
        self.count, self.now = count, now

    @abstractmethod
    def fresh(self) -> dict[str, str]:
        """Settings of a new copy of the filled store."""

    @abstractmethod
    def close(self) -> None:
        """Remove everything."""

    def log_bytes(self) -> int:
        """Bytes of the write-ahead log now, where it is a file of its own."""
        return 0

    def server_cpu(self) -> float:
        """Seconds of processor time that the server's processes have used so far."""
        return 0.0


class SQLiteStore(FilledStore):
    engine, backend = "sqlite", SQLiteBackend

    def __init__(self, count: int, now: int) -> None:
        super().__init__(count, now)
        self.folder = Path(tempfile.mkdtemp(prefix="kvadmin-bench-"))
        fill.fill_sqlite(self.folder / "source.db", fill.rows(count, now))

    def fresh(self) -> dict[str, str]:
        for path in self.folder.glob("copy.db*"):
            path.unlink()
        shutil.copy(self.folder / "source.db", self.folder / "copy.db")
        os.sync()
        return {"path": str(self.folder / "copy.db")}

    def log_bytes(self) -> int:
        log = self.folder / "copy.db-wal"
        return log.stat().st_size if log.exists() else 0

    def close(self) -> None:
        shutil.rmtree(self.folder)


class PostgreSQLStore(FilledStore):
    engine, backend = "postgresql", PostgreSQLBackend

    def __init__(self, count: int, now: int) -> None:
        super().__init__(count, now)
        self.server = postgresql.server(durable=True)
        self.source = self.server.create_database()
        self.copy = ""
        with self.server.connect(self.source) as connection:
            fill.fill_postgresql(connection, fill.rows(count, now))

    def fresh(self) -> dict[str, str]:
        if self.copy:
            self.server.drop_database(self.copy)
        self.copy = f"copy_{time.monotonic_ns()}"
        with self.server.connect("postgres", "postgres") as connection:
            connection.execute(f"CREATE DATABASE {self.copy} OWNER {postgresql.USER} TEMPLATE {self.source} STRATEGY file_copy".encode())
            connection.execute("CHECKPOINT")
        return self.server.settings(self.copy)

    def server_cpu(self) -> float:
        return cpu_of(self.server.child)

    def close(self) -> None:
        self.server.drop_database(self.source)
        if self.copy:
            self.server.drop_database(self.copy)


class MariaDBStore(FilledStore):
    engine, backend = "mysql", MySQLBackend

    def __init__(self, count: int, now: int) -> None:
        super().__init__(count, now)
        self.server = mariadb.server(durable=True)
        self.source = self.server.create_database()
        self.copy = ""
        with self.server.connect(self.source) as connection:
            fill.fill_mysql(connection, fill.rows(count, now))

    def fresh(self) -> dict[str, str]:
        if self.copy:
            self.server.drop_database(self.copy)
        self.copy = self.server.create_database()
        with self.server.connect(None, "root", "") as connection, connection.cursor() as cursor:
            for table in ("m", "y"):
                cursor.execute(f"CREATE TABLE {self.copy}.{table} LIKE {self.source}.{table}")
                cursor.execute(f"INSERT INTO {self.copy}.{table} SELECT * FROM {self.source}.{table}")
            cursor.execute(f"ANALYZE TABLE {self.copy}.m, {self.copy}.y")
            wait_for_quiet(cursor)
        return self.server.settings(self.copy)

    def server_cpu(self) -> float:
        return cpu_of(self.server.child)

    def close(self) -> None:
        self.server.drop_database(self.source)
        if self.copy:
            self.server.drop_database(self.copy)


class RocksDBStore(FilledStore):
    engine, backend = "rocksdb", RocksDBBackend

    def __init__(self, count: int, now: int) -> None:
        super().__init__(count, now)
        self.folder = Path(tempfile.mkdtemp(prefix="kvadmin-bench-"))
        fill_rocksdb(self.folder / "source", fill.rows(count, now))

    def fresh(self) -> dict[str, str]:
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / "source", self.folder / "copy")
        os.sync()
        return {"path": str(self.folder / "copy")}

    def close(self) -> None:
        shutil.rmtree(self.folder)


def open_rocksdb(path: str) -> Rdict:
    """A database with column families as the server has them, opened alone."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    return Rdict(path, options, {name: Options(raw_mode=True) for name in ("default", "m", "y")})


def fill_rocksdb(path: Path, data: Iterable[fill.Row]) -> None:
    database = open_rocksdb(str(path))
    handles = {name: database.get_column_family_handle(name) for name in ("m", "y")}
    batch = WriteBatch(raw_mode=True)
    for key, row, number in data:
        if row is not None:
            batch.put(key, row, handles["m"])
        if number is not None:
            batch.put(key, put_i64_le(number), handles["y"])
        if len(batch) >= 10_000:
            database.write(batch)
            batch = WriteBatch(raw_mode=True)
    database.write(batch)
    handles.clear()
    for name in ("m", "y"):
        database.get_column_family(name).flush()
    database.close()


def cpu_of(child: Child | None) -> float:
    """Processor time of a server: its own, of its children that have ended, and of those that run."""
    assert child is not None
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == child.pid:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == child.pid:
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(cursor: Any) -> None:
    """Let InnoDB write out what the copy left behind, so that the run that follows does not pay for it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
        dirty = int(cursor.fetchone()[1])
        cursor.execute("SHOW ENGINE INNODB STATUS")
        history = re.search(r"History list length (\d+)", cursor.fetchone()[2])
        if dirty < 500 and history is not None and int(history[1]) < 1000:
            return
        cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct = 0")
        time.sleep(0.2)


def connect_sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


STORES: dict[str, type[FilledStore]] = {
    "sqlite": SQLiteStore,
    "postgresql": PostgreSQLStore,
    "mysql": MariaDBStore,
    "rocksdb": RocksDBStore,
}
