"""Purge against the bare statements, on the same rows in the same run.

    python -m benchmarks.purge [sqlite] [postgresql] [mysql] [rocksdb] [--rows 1000000] [--repeat 3] [--paces fast,gentle]

The bare side is one transaction of three DELETEs (store-formats d.1), on RocksDB a walk that deletes in batches of 10,000, by the same
library.
The other side is kvadmin's purge at each pace, with the pauses that its service makes. A probe writes a row every 20 ms beside each run:
its p99 and maximum are what the mail server would feel. `tx` is the longest transaction, `log` the largest write-ahead log (SQLite),
`memory` what the client grew by, `cpu` the processor time of client and server together (probe included), which other work on the machine
does not change much.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pymysql
from rocksdict import WriteBatch

from benchmarks.probe import Probe
from benchmarks.stores import STORES, FilledStore, connect_sqlite, open_rocksdb
from stores.backends.base import pause_after
from stores.backends.sql import Execute
from stores.types import Pace

ZERO = bytes(8)
PACES = (Pace.FAST, Pace.NORMAL, Pace.GENTLE)


def bare(engine: str, settings: dict[str, str], now: int) -> int:
    """The three statements in one transaction; returns the rows removed."""
    moment = now.to_bytes(8, "big")
    head, tail = (
        ("substring({}v from 1 for 8)", "substring({}v from 9 for 8)") if engine == "postgresql" else ("substr({}v,1,8)", "substr({}v,9,8)")
    )
    marker = f"length({{}}v)>=16 AND {head}=? AND {tail}<=?"
    value = f"length(v)>=8 AND {head.format('')}>? AND {head.format('')}<=?"
    first = f"DELETE FROM y WHERE k IN (SELECT k FROM m WHERE {marker.format('', '', '')})"
    if engine == "mysql":
        first = f"DELETE y FROM m JOIN y ON y.k = m.k WHERE {marker.format('m.', 'm.', 'm.')}"
    statements = [first, f"DELETE FROM m WHERE {marker.format('', '', '')}", f"DELETE FROM m WHERE {value}"]
    if engine == "rocksdb":
        return bare_rocksdb(settings["path"], moment)
    if engine == "sqlite":
        connection = connect_sqlite(settings["path"])
        connection.execute("BEGIN IMMEDIATE")
        removed = sum(connection.execute(text, (ZERO, moment)).rowcount for text in statements)
        connection.execute("COMMIT")
        connection.close()
        return removed
    login: dict[str, Any] = {**settings, "port": int(settings["port"])}
    database = login.pop("database")
    spelled = [text.replace("?", "%s") for text in statements]
    if engine == "postgresql":
        with psycopg.connect(dbname=database, **login) as postgresql:
            return sum(postgresql.execute(text.encode(), (ZERO, moment)).rowcount for text in spelled)
    with pymysql.connect(database=database, **login) as mysql, mysql.cursor() as cursor:
        removed = sum(cursor.execute(text, (ZERO, moment)) for text in spelled)
        mysql.commit()
        return removed


def bare_rocksdb(path: str, moment: bytes) -> int:
    """Iterate over `m` and delete what has expired, and the counters of its markers; returns the rows removed."""
    database = open_rocksdb(path)
    values = database.get_column_family("m")
    m, y = database.get_column_family_handle("m"), database.get_column_family_handle("y")
    removed = 0
    batch = WriteBatch(raw_mode=True)
    for key, row in values.items():
        marker = row[:8] == ZERO
        if len(row) >= 8 and (row[8:16] if marker else row[:8]) <= moment and (not marker or len(row) >= 16):
            batch.delete(key, m)
            if marker:
                batch.delete(key, y)
            removed += 1 + marker
            if len(batch) >= 10_000:
                database.write(batch)
                batch = WriteBatch(raw_mode=True)
    database.write(batch)
    database.flush_wal(sync=True)
    del values, m, y
    database.close()
    return removed


def kvadmin(engine: str, settings: dict[str, str], now: int, pace: Pace) -> tuple[int, float]:
    """The backend's purge with the service's pauses; returns the rows removed and the longest transaction in seconds."""
    longest = 0.0
    backend_type = STORES[engine].backend

    class Timed(backend_type):  # type: ignore[misc, valid-type]
        @contextmanager
        def _transaction(self, *args: Any) -> Iterator[Execute]:
            nonlocal longest
            with super()._transaction(*args) as execute:
                began = time.perf_counter()
                yield execute
            longest = max(longest, time.perf_counter() - began)

    removed = 0
    with Timed(settings) as backend:
        began = time.perf_counter()
        for step in backend.purge(now, pace, "", lambda key: key[:1] == b"\x15"):
            removed += step.values + step.locks + 2 * step.counters
            time.sleep(pause_after(pace, time.perf_counter() - began))
            began = time.perf_counter()
    return removed, longest


def measured(queue: Any, engine: str, settings: dict[str, str], now: int, pace: str) -> None:
    """In a process of its own: time, rows, longest transaction, growth of memory."""
    if pace == "bare":
        connect_sqlite(":memory:").close()
    before = resident()
    peak = [before]
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(peak, stop))
    watcher.start()
    began, used = time.perf_counter(), time.process_time()
    removed, longest = (bare(engine, settings, now), 0.0) if pace == "bare" else kvadmin(engine, settings, now, Pace(pace))
    seconds, used = time.perf_counter() - began, time.process_time() - used
    stop.set()
    watcher.join()
    queue.put(
        {"seconds": seconds, "cpu": used, "removed": removed, "tx": (longest or seconds) * 1000, "memory": (peak[0] - before) / 2**20}
    )


def watch(peak: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.01):
        peak[0] = max(peak[0], resident())


def resident() -> int:
    """Bytes of memory that this process holds now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - read a hundred times a second
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(store: FilledStore, pace: str) -> dict[str, float]:
    """One measurement on a fresh copy."""
    settings = store.fresh()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    before = store.server_cpu()
    with nullcontext() if store.engine == "rocksdb" else Probe(store.engine, settings) as probe:
        child = context.Process(target=measured, args=(queue, store.engine, settings, store.now, pace))
        child.start()
        log = 0
        while child.is_alive():
            log = max(log, store.log_bytes())
            child.join(0.01)
        result: dict[str, float] = queue.get(timeout=10)
        result["cpu"] += store.server_cpu() - before
    return {**result, "log": log / 2**20, "p99": probe.felt["p99"] if probe else 0.0, "max": probe.felt["max"] if probe else 0.0}


def report(store: FilledStore, repeat: int, paces: Sequence[str]) -> None:
    print(f"\n{store.engine}, {store.count:,} keys")
    titles = {"seconds": 9, "x bare": 20, "cpu": 8, "x": 8, "rows": 10, "tx ms": 8, "p99 ms": 8, "max ms": 8, "log MB": 8, "memory": 8}
    print(" " * 10 + "".join(f"{title:>{width}}" for title, width in titles.items()))
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        for pace in ("bare", *paces):
            results.setdefault(pace, []).append(run(store, pace))
    for pace, found in results.items():
        ratios = sorted(one["seconds"] / base["seconds"] for one, base in zip(found, results["bare"], strict=True))
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        worst = {name: max(one[name] for one in found) for name in found[0]}
        processor = statistics.median(one["cpu"] / base["cpu"] for one, base in zip(found, results["bare"], strict=True))
        words = f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(
            f"{pace:10}{middle['seconds']:9.2f}{words:>20}{middle['cpu']:8.2f}{processor:8.2f}{middle['removed']:10.0f}{worst['tx']:8.0f}{middle['p99']:8.1f}"
            f"{worst['max']:8.0f}{worst['log']:8.0f}{worst['memory']:8.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=" ".join(STORES))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--paces", default=",".join(pace.value for pace in PACES), help="which to measure beside the bare side")
    options = parser.parse_args()
    if unknown := set(options.engines) - set(STORES):
        parser.error(f"unknown engine: {', '.join(sorted(unknown))}")
    for engine in options.engines or list(STORES):
        store = STORES[engine](options.rows, int(time.time()))
        try:
            report(store, options.repeat, options.paces.split(","))
        finally:
            store.close()


if __name__ == "__main__":
    main()
