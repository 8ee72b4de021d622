"""Data stores that kvadmin makes itself, in Stalwart's own layout (store-formats a.3): the embedded default and the demo's."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from stores.models import Store
from stores.services.actor import Actor
from stores.services.definitions import create_store
from stores.services.schedules import set_schedule

EMBEDDED_ID: Final = "embedded"
LAYOUT_VERSION: Final = "0.11"
LOOKUP_SCHEDULE: Final = "0 5 *"
"""What Stalwart itself assumes for its lookup store when nothing is configured (store-formats d.2)."""

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS m (k BLOB PRIMARY KEY, v BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS y (k BLOB PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)",
)


def make_data_store(path: Path) -> None:
    """An empty SQLite data store with the tables `m` and `y`, in WAL mode as Stalwart keeps it; an existing one stays as it is.

    File and folder are closed to others. Raises OSError and sqlite3.Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        for statement in _TABLES:
            connection.execute(statement)


def create_embedded_store(actor: Actor, path: Path) -> Store:
    """The store a new installation begins with: an empty data store in `path`, the default lookup store."""
    make_data_store(path)
    store = create_store(
        actor,
        id=EMBEDDED_ID,
        type="sqlite",
        settings={"path": str(path)},
        version=LAYOUT_VERSION,
        make_default=True,
        origin="created by the set-up",
    )
    set_schedule(actor, store, LOOKUP_SCHEDULE)
    return store
