"""A whole count as the worker does it, its snapshot stored, against the better of a grouped aggregate and a plain client scan.

    python -m benchmarks.snapshot [sqlite] [postgresql] [mysql] [rocksdb] [--rows 1000000] [--repeat 3]

On RocksDB the bare side is `walk`, an iteration over both column families in a process that has the database open, as kvadmin has.
`stored` is kvadmin's count from opening the store to the committed snapshot: every key in its class, expiry histogram, largest rows,
subjects, left-overs, steps, thinning of older counts (a year of them is there). `memory` is what the process grew by. `write p99` and
`read p99` are what a writer (one row every 20 ms) and a reader (one key every 5 ms) felt meanwhile; `idle` is the same without any
work. `cpu` are the seconds of processor time of client and server, which say more than the clock on a busy machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import select
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from rocksdict import AccessType, Options, Rdict

from benchmarks.probe import Probe
from benchmarks.stores import STORES, FilledStore, connect_sqlite

WAYS = ("idle", "grouped", "client", "stored")
ROCKSDB_WAYS = ("walk", "stored")
"""Nobody writes or reads beside them: the mail server's process is the only one that can."""
IDLE_SECONDS = 5.0
READ_EVERY = 0.005


def connection_of(engine: str, settings: dict[str, str]) -> Any:
    """A plain driver connection; rows of MySQL unbuffered."""
    if engine == "sqlite":
        return connect_sqlite(settings["path"])
    login: dict[str, Any] = {**settings, "port": int(settings["port"])}
    database = login.pop("database")
    if engine == "postgresql":
        return psycopg.connect(dbname=database, **login)
    return pymysql.connect(database=database, cursorclass=pymysql.cursors.SSCursor, **login)


def grouped(engine: str, settings: dict[str, str], now: int) -> int:
    """One aggregate a table, grouped by the first byte; numbers with a marker left out."""
    first = "substring(k from 1 for 1)" if engine == "postgresql" else "substr(k, 1, 1)"
    mark = "?" if engine == "sqlite" else "%s"
    sums = f"count(*), sum(length(k) + length(v)), sum(CASE WHEN substr(v, 1, 8) <= {mark} THEN 1 ELSE 0 END)"
    connection = connection_of(engine, settings)
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT {first}, CASE WHEN substr(v, 1, 8) = {mark} THEN 1 ELSE 0 END, {sums} FROM m GROUP BY 1, 2",
        (bytes(8), now.to_bytes(8, "big")),
    )
    total = sum(row[2] for row in cursor.fetchall())
    cursor.execute(f"SELECT {first}, count(*), sum(length(k)) FROM y WHERE NOT EXISTS (SELECT 1 FROM m WHERE m.k = y.k) GROUP BY 1")
    total += sum(row[1] for row in cursor.fetchall())
    connection.close()
    return int(total)


def client(engine: str, settings: dict[str, str], now: int) -> int:
    """Every row to the client, markers remembered in a set."""
    counts: dict[bytes, int] = {}
    marked: set[bytes] = set()
    for key, head, _ in streamed(engine, settings, "SELECT k, substr(v, 1, 16), length(v) FROM m"):
        if head[:8] == bytes(8):
            marked.add(key)
        counts[key[:1]] = counts.get(key[:1], 0) + 1
    for (key,) in streamed(engine, settings, "SELECT k FROM y"):
        if key not in marked:
            counts[key[:1]] = counts.get(key[:1], 0) + 1
    return sum(counts.values())


def streamed(engine: str, settings: dict[str, str], sql: str) -> Any:
    connection = connection_of(engine, settings)
    cursor = connection.cursor(name="bench", binary=True) if engine == "postgresql" else connection.cursor()
    if engine == "postgresql":
        cursor.itersize = 10_000
    cursor.execute(sql)
    yield from cursor
    connection.close()


def walk(settings: dict[str, str]) -> Callable[[], int]:
    """An open database, to be iterated over."""
    options = {name: Options(raw_mode=True) for name in ("default", "m", "y")}
    database = Rdict(settings["path"], Options(raw_mode=True), options, AccessType.read_only(False))
    return lambda: sum(1 for name in ("m", "y") for _ in database.get_column_family(name).items())


def prepare(engine: str, settings: dict[str, str]) -> Callable[[], int]:
    """kvadmin with a database of its own, the store defined and a year of older counts; returns the count to be measured."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "kvadmin.settings_test"
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from stores.models import Census
    from stores.services import access, census, definitions
    from stores.services.actor import Actor

    call_command("migrate", verbosity=0)
    actor = Actor.command_line()
    store = definitions.create_store(actor, id="bench", type=engine, settings=settings, version="0.11")
    row = {"class": None, "byte": None, "keys": 1, "counters": 0, "locks": 0, "key_bytes": 1, "value_bytes": 1, "never": 1, "expired": 0}
    total = {name: value for name, value in row.items() if name not in ("class", "byte")}
    ages = [*range(1, 192), *range(192, 768, 6), *range(768, 9000, 24)]
    now = timezone.now()
    Census.objects.bulk_create(
        Census(store=store, at=now - timedelta(hours=age), seconds=1, total=total, classes=[{**row, "class": None}] * 20) for age in ages
    )

    importlib.import_module("stores.backends.packcount")  # a worker loads it once
    with access.opened(store) as backend:
        backend.ping()

    def stored() -> int:
        counted = census.count(store, actor)
        return int(sum(counted.total[name] for name in ("keys", "counters", "locks")))

    return stored


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_time() -> float:
    """Of this process and the children that it has."""
    own = sum(os.times()[:4])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    own += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return own


def rest() -> int:
    """Nothing at all, for the idle figures."""
    time.sleep(IDLE_SECONDS)
    return 0


def measured(queue: Any, go: Any, engine: str, settings: dict[str, str], now: int, way: str) -> None:
    """In a process of its own: seconds, keys, growth of memory."""
    work: Callable[[], int]
    if way == "stored":
        work = prepare(engine, settings)
    elif way == "idle":
        work = rest
    elif way == "walk":
        work = walk(settings)
    else:
        work = lambda: {"grouped": grouped, "client": client}[way](engine, settings, now)  # noqa: E731
    queue.put("ready")
    go.wait()
    before = resident()
    peak, stop = [before], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, used = time.perf_counter(), processor_time()
    keys = work()
    seconds, used = time.perf_counter() - began, processor_time() - used
    stop.set()
    watcher.join()
    queue.put({"seconds": seconds, "cpu": used, "keys": keys, "memory": (peak[0] - before) / 2**20})


def read(engine: str, settings: dict[str, str]) -> None:
    """Look up one key every 5 ms until the input closes; print the 99th percentile in milliseconds."""
    connection = connection_of(engine, settings)
    if engine == "postgresql":
        connection.autocommit = True
    mark = "?" if engine == "sqlite" else "%s"
    cursor = connection.cursor()
    cursor.execute("SELECT k FROM m LIMIT 2000")
    keys = [row[0] for row in cursor.fetchall()]
    source, times = random.Random(1), []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], READ_EVERY)[0]:
        began = time.perf_counter()
        cursor.execute(f"SELECT v FROM m WHERE k = {mark}", (source.choice(keys),))
        cursor.fetchall()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    print(json.dumps(times[int(len(times) * 0.99)] if times else 0.0))


def run(store: FilledStore, settings: dict[str, str], way: str) -> dict[str, float]:
    """One measurement, with a writer and a reader beside it unless only the mail server could be that."""
    context = multiprocessing.get_context("spawn")
    queue, go = context.Queue(), context.Event()
    child = context.Process(target=measured, args=(queue, go, store.engine, settings, store.now, way))
    child.start()
    queue.get(timeout=120)
    before = store.server_cpu()
    if store.engine == "rocksdb":
        go.set()
        alone: dict[str, float] = queue.get(timeout=600)
        child.join()
        return {**alone, "write": 0.0, "read": 0.0}
    argv = [sys.executable, "-m", "benchmarks.snapshot", "--read", store.engine, json.dumps(settings)]
    reader = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    reader.stdout.readline()
    with Probe(store.engine, settings) as probe:
        go.set()
        result: dict[str, float] = queue.get(timeout=600)
    output, _ = reader.communicate("", timeout=60)
    child.join()
    return {**result, "cpu": result["cpu"] + store.server_cpu() - before, "write": probe.felt["p99"], "read": json.loads(output)}


def report(store: FilledStore, repeat: int) -> None:
    print(f"\n{store.engine}, {store.count:,} keys")
    titles = {"seconds": 9, "x the better": 22, "cpu s": 8, "keys": 11, "memory MB": 11, "write p99 ms": 14, "read p99 ms": 13}
    print(" " * 9 + "".join(f"{title:>{width}}" for title, width in titles.items()))
    settings = store.fresh()
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        for way in ROCKSDB_WAYS if store.engine == "rocksdb" else WAYS:
            results.setdefault(way, []).append(run(store, settings, way))
    bare = [found for way, found in results.items() if way in ("grouped", "client", "walk")]
    better = [min(one["seconds"] for one in runs) for runs in zip(*bare, strict=True)]
    for way, found in results.items():
        ratios = sorted(one["seconds"] / base for one, base in zip(found, better, strict=True))
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        words = "" if way == "idle" else f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(
            f"{way:9}{middle['seconds']:9.2f}{words:>22}{middle['cpu']:8.2f}{middle['keys']:11.0f}"
            f"{max(one['memory'] for one in found):11.0f}{middle['write']:14.1f}{middle['read']:13.2f}",
            flush=True,
        )


def main() -> None:
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("engines", nargs="*", default=[])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for engine in options.engines or list(STORES):
        store = STORES[engine](options.rows, int(time.time()))
        try:
            report(store, options.repeat)
        finally:
            store.close()


if __name__ == "__main__":
    main()
