"""What SQLite's errors mean for the reader: one typed error each, with what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from stores.backends.sql import LockHeld
from stores.backends.sqlchecks import missing_table
from stores.errors import BadConfig, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say

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
            return LockHeld(say("The database is locked by another writer."), say("Try again in a moment."))
        case sqlite3.SQLITE_READONLY:
            return ReadOnly(say("The database file cannot be written."), say("Let kvadmin's user write the file and its folder."))
        case sqlite3.SQLITE_CANTOPEN:
            return StoreRefused(
                say("SQLite cannot open %(path)s.", path=path),
                say("It needs its -wal and -shm files beside the database: let kvadmin's user write the folder, or start Stalwart first."),
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreRefused(
                say("%(path)s is not a sound SQLite database (%(text)s).", path=path, text=text),
                say("Check the path, and the file with PRAGMA integrity_check."),
            )
        case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_NOMEM:
            return BadConfig(say("SQLite takes no value of this size (%(text)s).", text=text), say("Shorten the value."), "value")
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(say("The disk of the database is full; nothing was written."), say("Make room on it."))
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(say("The database file cannot be read or written (%(text)s).", text=text), say("Check the disk."))
    return StoreRefused(say("SQLite refuses: %(text)s.", text=text), say("Check that the file is a store of Stalwart."))
