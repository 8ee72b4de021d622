"""Census against a grouped aggregate and a plain client scan, on the same rows in the same run.

    python -m benchmarks.census [sqlite] [postgresql] [mysql] [--rows 1000000] [--repeat 3]

`grouped` is one GROUP BY over the first byte of the key for each table, numbers with a marker left out of the second. `client` reads key,
first 16 bytes and length of every row by the driver and counts in a dictionary; it keeps the keys of all markers in memory. `census` is
kvadmin's count in short statements, one part after the other, every key in its class (`benchmarks.snapshot` is the whole of it, two parts
at once). `memory` is what the client grew by, `cpu` the processor time of client and server, `p99` and `max` what a writer felt that
wrote a row every 20 ms meanwhile.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pymysql.cursors

from benchmarks.probe import Probe
from benchmarks.purge import resident, watch
from benchmarks.stores import STORES, FilledStore, connect_sqlite
from stores.services.tally import Tally

WAYS = ("grouped", "client", "census")


def connection_of(engine: str, settings: dict[str, str]) -> Any:
    """A plain driver connection."""
    if engine == "sqlite":
        return connect_sqlite(settings["path"])
    login: dict[str, Any] = {**settings, "port": int(settings["port"])}
    database = login.pop("database")
    if engine == "postgresql":
        return psycopg.connect(dbname=database, **login)
    return pymysql.connect(database=database, cursorclass=pymysql.cursors.SSCursor, **login)


def grouped(engine: str, settings: dict[str, str], now: int) -> int:
    """Two aggregates; returns the keys counted."""
    first = "substring(k from 1 for 1)" if engine == "postgresql" else "substr(k, 1, 1)"
    mark = "?" if engine == "sqlite" else "%s"
    sums = f"count(*), sum(length(k) + length(v)), sum(CASE WHEN substr(v, 1, 8) <= {mark} THEN 1 ELSE 0 END)"
    with_connection = connection_of(engine, settings)
    cursor = with_connection.cursor()
    total = 0
    cursor.execute(
        f"SELECT {first}, CASE WHEN substr(v, 1, 8) = {mark} THEN 1 ELSE 0 END, {sums} FROM m GROUP BY 1, 2",
        (bytes(8), now.to_bytes(8, "big")),
    )
    total += sum(row[2] for row in cursor.fetchall())
    cursor.execute(f"SELECT {first}, count(*), sum(length(k)) FROM y WHERE NOT EXISTS (SELECT 1 FROM m WHERE m.k = y.k) GROUP BY 1")
    total += sum(row[1] for row in cursor.fetchall())
    with_connection.close()
    return int(total)


def client(engine: str, settings: dict[str, str], now: int) -> int:
    """Every row to the client, markers remembered in a set; returns the keys counted."""
    counts: dict[bytes, int] = {}
    marked: set[bytes] = set()
    zero = bytes(8)
    for key, head, _ in streamed(engine, settings, "SELECT k, substr(v, 1, 16), length(v) FROM m"):
        if head[:8] == zero:
            marked.add(key)
        counts[key[:1]] = counts.get(key[:1], 0) + 1
    for (key,) in streamed(engine, settings, "SELECT k FROM y"):
        if key not in marked:
            counts[key[:1]] = counts.get(key[:1], 0) + 1
    return sum(counts.values())


def streamed(engine: str, settings: dict[str, str], sql: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a statement without holding them all."""
    connection = connection_of(engine, settings)
    cursor = connection.cursor(name="bench", binary=True) if engine == "postgresql" else connection.cursor()
    if engine == "postgresql":
        cursor.itersize = 10_000
    cursor.execute(sql)
    yield from cursor
    connection.close()


def census(engine: str, settings: dict[str, str], now: int) -> int:
    """The parts of a count one after the other, every key under its class."""
    counted = Tally("0.11", now, "data")
    with STORES[engine].backend(settings, version="0.11") as backend:
        for part in backend.census_parts():
            for step in backend.survey(counted.plan(), part):
                counted.take(step)
        counted.settle(lambda key: found.size if (found := backend.get(key)) else None, backend.linked)
    return counted.rows


def measured(queue: Any, engine: str, settings: dict[str, str], now: int, way: str) -> None:
    """In a process of its own: time, keys, growth of memory."""
    work: Callable[[str, dict[str, str], int], int] = {"grouped": grouped, "client": client, "census": census}[way]
    before = resident()
    peak, stop = [before], threading.Event()
    watcher = threading.Thread(target=watch, args=(peak, stop))
    watcher.start()
    began, used = time.perf_counter(), time.process_time()
    keys = work(engine, settings, now)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    stop.set()
    watcher.join()
    queue.put({"seconds": seconds, "cpu": used, "keys": keys, "memory": (peak[0] - before) / 2**20})


def run(store: FilledStore, settings: dict[str, str], way: str) -> dict[str, float]:
    """One measurement."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    before = store.server_cpu()
    with Probe(store.engine, settings) as probe:
        child = context.Process(target=measured, args=(queue, store.engine, settings, store.now, way))
        child.start()
        result: dict[str, float] = queue.get(timeout=600)
        child.join()
    return {**result, "cpu": result["cpu"] + store.server_cpu() - before, "p99": probe.felt["p99"], "max": probe.felt["max"]}


def report(store: FilledStore, repeat: int) -> None:
    print(f"\n{store.engine}, {store.count:,} keys")
    titles = {"seconds": 9, "x the better": 20, "cpu": 8, "keys": 11, "memory": 8, "p99 ms": 8, "max ms": 8}
    print(" " * 10 + "".join(f"{title:>{width}}" for title, width in titles.items()))
    settings = store.fresh()
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        for way in WAYS:
            results.setdefault(way, []).append(run(store, settings, way))
    better = [min(one["seconds"], other["seconds"]) for one, other in zip(results["grouped"], results["client"], strict=True)]
    for way, found in results.items():
        ratios = sorted(one["seconds"] / base for one, base in zip(found, better, strict=True))
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        words = f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(
            f"{way:10}{middle['seconds']:9.2f}{words:>20}{middle['cpu']:8.2f}{middle['keys']:11.0f}"
            f"{max(one['memory'] for one in found):8.0f}{middle['p99']:8.1f}{max(one['max'] for one in found):8.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=" ".join(STORES))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.engines) - set(STORES):
        parser.error(f"unknown engine: {', '.join(sorted(unknown))}")
    for engine in options.engines or list(STORES):
        store = STORES[engine](options.rows, int(time.time()))
        try:
            report(store, options.repeat)
        finally:
            store.close()


if __name__ == "__main__":
    main()
