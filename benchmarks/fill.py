"""Fill an SQL store with Stalwart-shaped rows, with plain bulk loads.

    python -m benchmarks.fill sqlite /path/to/store.db --rows 1000000

The mix of one million keys: 30 % rate limits (marker and number), 25 % greylist, 10 % trusted replies, 10 % reputation, 20 % Bayes
weights (numbers without marker), 5 % user keys; half of what expires has expired. So 800,000 rows in `m` and 500,000 in `y`. The rows
come in mixed order, as a server writes them, and are the same for every run with the same `now`.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pymysql

Row = tuple[bytes, bytes | None, int | None]
"""Key, row of `m`, number of `y`."""

NEVER = b"\xff" * 8
_MIX = "rrrrrrgggggtteebbbbu"
"""Twenty keys: rate limit, greylist, trusted reply, rEputation, Bayes, user."""
_WORDS = ("news", "info", "bounce", "sales", "john.smith", "no-reply", "billing", "anna", "team", "list-owner")
_DOMAINS = ("example.com", "example.org", "mail.example.net", "lists.example.org", "shop.example")


def rows(count: int, now: int, seed: int = 1) -> Iterator[Row]:
    """`count` distinct keys in mixed order; about 2 µs each."""
    source = random.Random(seed)
    for number in range(count):
        yield _row(source, _MIX[source.randrange(20)], number, now)


def _row(source: random.Random, kind: str, number: int, now: int) -> Row:
    unique = number.to_bytes(4, "big")
    at = now - 1 - source.randrange(86400) if source.random() < 0.5 else now + 3600 + source.randrange(30 * 86400)
    if kind == "r":
        byte, subject = _subject(source, number)
        key = bytes([byte]) + subject + (at // 3600).to_bytes(8, "big")
        return key, bytes(8) + at.to_bytes(8, "big"), source.randrange(1, 60)
    if kind == "b":
        token = source.randbytes(source.randrange(0, 12)) + unique
        head = b"\x11" if source.random() < 0.7 else b"\x12" + source.randrange(40).to_bytes(4, "big")
        return head + token, None, (source.randrange(400) << 32) + source.randrange(400)
    word, domain = source.choice(_WORDS), source.choice(_DOMAINS)
    if kind == "g":
        return f"\x10{word}{number}@{domain}{source.choice(_WORDS)}@example.com".encode(), at.to_bytes(8, "big"), None
    if kind == "t":
        return b"\x13" + f"{source.getrandbits(64):x}.{number}@{domain}".encode(), at.to_bytes(8, "big"), None
    if kind == "e":
        byte = source.choice((0x0C, 0x0D, 0x0E, 0x0F))
        text = f"{word}{number}@{domain}" if byte == 0x0D else f"{word}{number}.{domain}"
        key = bytes([byte]) + (text.encode() if byte in (0x0D, 0x0E) else unique)
        return key, at.to_bytes(8, "big") + source.randbytes(12), None
    return f"vip/{word}{number}".encode(), NEVER + word.encode(), None


def _subject(source: random.Random, number: int) -> tuple[int, bytes]:
    """Class byte and subject of a rate limit: the hash of an SMTP limit, an IPv4 address, or a login; unique by the number."""
    chance = source.random()
    if chance < 0.4:
        return 0x06, source.randbytes(28) + number.to_bytes(4, "big")
    if chance < 0.9:
        return source.choice((2, 3, 5, 9)), (number * 2_654_435_761 % (1 << 32)).to_bytes(4, "big")
    return source.choice((2, 5)), f"{source.choice(_WORDS)}{number}@{source.choice(_DOMAINS)}".encode()


def fill_sqlite(path: Path, data: Iterable[Row]) -> None:
    """Create the file in Stalwart's layout and load it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE IF NOT EXISTS m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
    connection.execute("CREATE TABLE IF NOT EXISTS y (k BLOB PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)")
    for m, y in _blocks(data, 50_000):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO m VALUES (?, ?)", m)
        connection.executemany("INSERT OR REPLACE INTO y VALUES (?, ?)", y)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgresql(connection: psycopg.Connection[Any], data: Iterable[Row]) -> None:
    """Create the tables and load them by COPY."""
    connection.execute("CREATE TABLE IF NOT EXISTS m (k BYTEA PRIMARY KEY, v BYTEA NOT NULL)")
    connection.execute("CREATE TABLE IF NOT EXISTS y (k BYTEA PRIMARY KEY, v BIGINT NOT NULL DEFAULT 0)")
    for m, y in _blocks(data, 50_000):
        for table, kind, block in (("m", "bytea", m), ("y", "int8", y)):
            with connection.cursor().copy(f"COPY {table} (k, v) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["bytea", kind])
                for row in block:
                    copy.write_row(row)
    connection.execute("VACUUM ANALYZE m")
    connection.execute("VACUUM ANALYZE y")


def fill_mysql(connection: pymysql.Connection[Any], data: Iterable[Row]) -> None:
    """Create the tables and load them by multi-row INSERT."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS m (k TINYBLOB, v MEDIUMBLOB NOT NULL, PRIMARY KEY (k(255))) ENGINE = InnoDB")
        cursor.execute("CREATE TABLE IF NOT EXISTS y (k TINYBLOB, v BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (k(255))) ENGINE = InnoDB")
        cursor.execute("SET unique_checks = 0")
        for m, y in _blocks(data, 50_000):
            cursor.execute("START TRANSACTION")
            for table, block in (("m", sorted(m)), ("y", sorted(y))):
                for start in range(0, len(block), 1000):
                    cursor.executemany(f"INSERT INTO {table} (k, v) VALUES (%s, %s)", block[start : start + 1000])
            cursor.execute("COMMIT")
        cursor.execute("ANALYZE TABLE m, y")
        cursor.fetchall()


def _blocks(data: Iterable[Row], size: int) -> Iterator[tuple[list[tuple[bytes, bytes]], list[tuple[bytes, int]]]]:
    source = iter(data)
    while block := list(islice(source, size)):
        yield (
            [(key, row) for key, row, _ in block if row is not None],
            [(key, number) for key, _, number in block if number is not None],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill an SQLite file with Stalwart-shaped rows.")
    parser.add_argument("engine", choices=["sqlite"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    started = time.monotonic()
    fill_sqlite(options.path, rows(options.rows, int(time.time())))
    print(f"{options.rows} keys in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
