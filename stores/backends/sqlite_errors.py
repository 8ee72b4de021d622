"""What SQLite's errors mean for the reader: one typed error each, with what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from stores.backends.sqlchecks import missing_table
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable

_NO_LOG_FILES: Final = frozenset(
    {
        sqlite3.SQLITE_READONLY_CANTINIT,
        sqlite3.SQLITE_READONLY_CANTLOCK,
        sqlite3.SQLITE_READONLY_DIRECTORY,
        sqlite3.SQLITE_READONLY_RECOVERY,
    }
)
"""A file that can be read, but not the log beside it."""
_NO_TABLE: Final = "no such table: "


def translate(error: sqlite3.Error, path: Path, version: str) -> StoreError:
    """The typed error of a driver's error, by SQLite's result code."""
    extended, text = getattr(error, "sqlite_errorcode", None) or 0, str(error)
    code = sqlite3.SQLITE_CANTOPEN if extended in _NO_LOG_FILES else extended & 0xFF
    if text.startswith(_NO_TABLE):
        return missing_table(text.removeprefix(_NO_TABLE), version)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable("The database is locked by another writer.", "Try again in a moment.")
        case sqlite3.SQLITE_READONLY:
            return ReadOnly("The database file cannot be written.", "Let kvadmin's user write the file and its folder.")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreRefused(
                f"SQLite cannot open {path}.",
                "It needs its -wal and -shm files beside the database: let kvadmin's user write the folder, or start Stalwart first.",
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreRefused(
                f"{path} is not a sound SQLite database ({text}).", "Check the path, and the file with PRAGMA integrity_check."
            )
        case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_NOMEM:
            return BadConfig(f"SQLite takes no value of this size ({text}).", "Shorten the value.", "value")
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable("The disk of the database is full; nothing was written.", "Make room on it.")
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(f"The database file cannot be read or written ({text}).", "Check the disk.")
    return StoreRefused(f"SQLite refuses: {text}.", "Check that the file is a store of Stalwart.")
