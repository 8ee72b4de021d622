"""SQLite under contract: a database file in Stalwart's layout."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from stores.backends.sqlite import SQLiteBackend
from stores.codecs.sqltables import create_statements
from tests.contract.harness import Harness, Plant, SettableClock


class SQLiteHarness(Harness):
    """A file of its own in WAL mode, as a running server has it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kvadmin-sqlite-"))
        self.path = self.folder / "store.db"
        self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        for statement in create_statements("sqlite"):
            self.connection.execute(statement)

    def open(self, clock: SettableClock) -> SQLiteBackend:
        return SQLiteBackend({"path": str(self.path)}, clock=clock)

    def plant(self, rows: list[Plant]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT OR REPLACE INTO m VALUES (?, ?)", [(p.key, p.row) for p in rows if p.row is not None])
        self.connection.executemany("INSERT OR REPLACE INTO y VALUES (?, ?)", [(p.key, p.number) for p in rows if p.number is not None])
        self.connection.execute("COMMIT")

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return dict(self.connection.execute("SELECT k, v FROM m")), dict(self.connection.execute("SELECT k, v FROM y"))

    def close(self) -> None:
        self.connection.close()
        shutil.rmtree(self.folder)
