"""The mail server's side of a measurement: a process that writes one small row every 20 ms and times each write.

    python -m benchmarks.probe ENGINE '{"path": …}'

It ends when its input is closed and prints what it felt as JSON, in milliseconds. It writes as Stalwart does: SQLite with its
default checkpoints, PostgreSQL and MySQL with one upsert a transaction.
"""

from __future__ import annotations

import json
import select
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pymysql

EVERY = 0.02


def writer(engine: str, settings: dict[str, str]) -> Callable[[bytes, bytes], None]:
    """A function that writes one row."""
    if engine == "sqlite":
        connection = sqlite3.connect(settings["path"], timeout=600, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")

        def write_sqlite(key: bytes, row: bytes) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO m (k, v) VALUES (?, ?)", (key, row))
            connection.execute("COMMIT")

        return write_sqlite
    login: dict[str, Any] = {**settings, "port": int(settings["port"])}
    database = login.pop("database")
    if engine == "postgresql":
        postgresql: psycopg.Connection[Any] = psycopg.connect(dbname=database, autocommit=True, **login)
        upsert = "INSERT INTO m (k, v) VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v"

        def write_postgresql(key: bytes, row: bytes) -> None:
            postgresql.execute(upsert, (key, row))

        return write_postgresql
    mysql: pymysql.Connection[Any] = pymysql.connect(database=database, autocommit=True, **login)

    def write_mysql(key: bytes, row: bytes) -> None:
        with mysql.cursor() as cursor:
            cursor.execute("INSERT INTO m (k, v) VALUES (%s, %s) ON DUPLICATE KEY UPDATE v = VALUES(v)", (key, row))

    return write_mysql


def main() -> None:
    write = writer(sys.argv[1], json.loads(sys.argv[2]))
    row = (int(time.time()) + 86400).to_bytes(8, "big") + b"probe"
    times: list[float] = []
    write(b"probe-0", row)
    print("ready", flush=True)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        began = time.perf_counter()
        write(b"probe-%d" % (len(times) % 50), row)
        times.append((time.perf_counter() - began) * 1000)
        due = max(due + EVERY, time.monotonic())
    times.sort()
    print(json.dumps({"writes": len(times), "median": statistics.median(times), "p99": times[int(len(times) * 0.99)], "max": times[-1]}))


class Probe:
    """Runs the probe beside a measurement."""

    def __init__(self, engine: str, settings: dict[str, str]) -> None:
        self.argv = [sys.executable, "-m", "benchmarks.probe", engine, json.dumps(settings)]
        self.felt: dict[str, float] = {}

    def __enter__(self) -> Probe:
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the probe did not start")
        return self

    def __exit__(self, *reason: object) -> None:
        output, _ = self.process.communicate("", timeout=60)
        self.felt = json.loads(output)


if __name__ == "__main__":
    main()
