"""Rows that real servers wrote, as the backends hand them on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stores.codecs.rows import entry_from_rows, marker_row, value_row
from stores.types import Entry, Kind

FOLDERS = (
    ("stalwart-0.11.8/sqlite", "0.11"),
    ("stalwart-0.11.8/postgres", "0.11"),
    ("stalwart-0.11.8/mysql", "0.11"),
    ("stalwart-0.11.8/rocksdb", "0.11"),
    ("stalwart-0.11.8/foundationdb", "0.11"),
    ("stalwart-0.11.8/redis", "0.11"),
    ("stalwart-0.15.5/sqlite", "0.15"),
    ("stalwart-0.15.5/redis", "0.15"),
    ("stalwart-0.16.18/sqlite", "0.16"),
    ("stalwart-0.16.18/redis-cluster", "0.16"),
)


def store_kind(folder: str) -> str:
    return "redis" if "redis" in folder else "data"


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entry_of(row: dict[str, Any], *, redis: bool) -> Entry:
    """The entry of a neutral row, from its stored bytes where it has them."""
    key = bytes.fromhex(row["key_hex"])
    if redis:
        expires = row.get("expires_unix")
        return Entry(key, Kind.UNKNOWN, bytes.fromhex(row["value_hex"]), None, None if expires is None else int(expires))
    stored = row.get("m_value_hex")
    return entry_from_rows(key, None if stored is None else bytes.fromhex(stored), row.get("counter"))


def rebuilt(row: dict[str, Any]) -> bytes | None:
    """The `m` row from kind, value and expiry alone."""
    if row["kind"] == "counter":
        return None if row["expires_unix"] is None else marker_row(row["expires_unix"])
    return value_row(bytes.fromhex(row["value_hex"]), row["expires_unix"])


def rows_of_database(path: Path) -> Iterator[tuple[bytes, bytes | None, int | None]]:
    """(key, m row, number) of every key of a Stalwart SQLite file, opened read-only."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        values = dict(connection.execute("SELECT k, v FROM m"))
        numbers = dict(connection.execute("SELECT k, v FROM y"))
    finally:
        connection.close()
    for key in sorted(values.keys() | numbers.keys()):
        yield key, values.get(key), numbers.get(key)
