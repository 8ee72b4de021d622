"""Bulk changes as a run does them, trash and audit included, against the bare statement on the same keys.

    python -m benchmarks.bulk [sqlite] [postgresql] [mysql] [rocksdb] [redis] [--rows 1000000] [--pace fast]

Deletes a class of a quarter of the keys (greylist), once with an undo of everything and once without; gives the rate-limit counters
another expiry; exports everything; imports that file into an empty SQLite store. The bare side of the delete is one statement of the
engine (RocksDB: a walk with batches; Redis: SCAN COUNT 1000 and UNLINK). `p99` and `max` are what a writer of a row every 20 ms felt
meanwhile (Redis: a GET every millisecond), `calls` the longest call that Redis reports and how many took over 2 ms, `memory` what
this process grew by. The count of what is left afterwards, which a run makes for its receipt, is in `seconds`, not in the rate.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

FOLDER = Path(tempfile.mkdtemp(prefix="kvadmin-bulk-"))
for _name in [name for name in os.environ if name.startswith("KVADMIN_")]:
    del os.environ[_name]
os.environ |= {"KVADMIN_DATA_DIR": str(FOLDER / "data"), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}

import django  # noqa: E402

django.setup()

import psycopg  # noqa: E402
import pymysql  # noqa: E402
from django.core.management import call_command  # noqa: E402

from benchmarks import redis_census  # noqa: E402
from benchmarks.probe import Probe  # noqa: E402
from benchmarks.purge import resident, watch  # noqa: E402
from benchmarks.stores import STORES, connect_sqlite, open_rocksdb  # noqa: E402
from stores.backends.sqlite import create_file  # noqa: E402
from stores.models import Store, TrashEntry  # noqa: E402
from stores.services import bulk, definitions, keyfile_import  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.bulk_change import Change, Do, make_change  # noqa: E402
from stores.services.bulk_export import export  # noqa: E402
from stores.services.bulk_preview import Confirmed  # noqa: E402
from stores.services.bulk_record import Record  # noqa: E402
from stores.services.filters import KeyFilter  # noqa: E402
from stores.types import Pace  # noqa: E402
from tests.servers.redis import RedisServer  # noqa: E402

CLASS, PREFIX = "greylist", b"\x10"
COUNTERS = "rate-auth"
ACTOR = Actor.command_line()
NOW = int(time.time())


class RedisStore:
    """The keys of `redis_census` on a server of its own."""

    engine = "redis"

    def __init__(self, count: int, now: int) -> None:
        self.count, self.server = count, RedisServer("redis")

    def fresh(self) -> dict[str, str]:
        redis_census.fill_server(self.server, self.count)
        return {"urls": self.server.url}

    def close(self) -> None:
        self.server.kill()


def bare(store: Any, settings: dict[str, str]) -> int:
    """The class in one go; answers how many keys went."""
    first, end = PREFIX, bytes([PREFIX[0] + 1])
    if store.engine == "redis":
        return redis_census.bare_delete(store.server)
    if store.engine == "rocksdb":
        database = open_rocksdb(settings["path"])
        values = database.get_column_family("m")
        names = [key for key in values.keys(from_key=first) if isinstance(key, bytes) and first <= key < end]
        for name in names:
            del values[name]
        del values
        database.close()
        return len(names)
    if store.engine == "sqlite":
        connection = connect_sqlite(settings["path"])
        return connection.execute("DELETE FROM m WHERE k >= ? AND k < ?", (first, end)).rowcount
    login: dict[str, Any] = {**settings, "port": int(settings["port"])}
    name = login.pop("database")
    if store.engine == "postgresql":
        with psycopg.connect(dbname=name, **login) as postgresql:
            return postgresql.execute("DELETE FROM m WHERE k >= %s AND k < %s", (first, end)).rowcount
    with pymysql.connect(database=name, autocommit=True, **login) as mysql, mysql.cursor() as cursor:
        return int(cursor.execute("DELETE FROM m WHERE k >= %s AND k < %s", (first, end)))


@contextmanager
def felt(store: Any, settings: dict[str, str]) -> Iterator[dict[str, float]]:
    """What the mail server feels meanwhile, and what this process grows by."""
    found: dict[str, float] = {}
    peak, stop, before = [resident()], threading.Event(), resident()
    watcher = threading.Thread(target=watch, args=(peak, stop))
    watcher.start()
    if store.engine == "redis":
        with redis_census.watched(store.server) as watched:
            yield found
        found |= {"p99": watched["GET p99"], "max": watched["GET max"], "worst": watched["worst"], "over": watched["over 2 ms"]}
    else:
        with nullcontext() if store.engine == "rocksdb" else Probe(store.engine, settings) as probe:
            yield found
        if probe is not None:
            found |= {name: probe.felt[name] for name in ("p99", "max")}
    stop.set()
    watcher.join()
    found["memory"] = (peak[0] - before) / 2**20


def measure(name: str, store: Any, settings: dict[str, str], work: Callable[[], tuple[int, float]]) -> float:
    """Do it and print one line; answers keys a second."""
    with felt(store, settings) as found:
        began = time.perf_counter()
        count, seconds = work()
        whole = time.perf_counter() - began
    rate = count / max(seconds, 0.001)
    calls = f"  calls {found['worst']:.1f} ms, {found['over']:.0f} over 2 ms" if "worst" in found else ""
    waits = f"  p99 {found['p99']:.1f} max {found['max']:.1f} ms" if "p99" in found else ""
    print(f"{name:28}{count:10,} keys {whole:8.2f} s {rate:10,.0f} keys/s{waits}{calls}  memory +{found['memory']:.0f} MB", flush=True)
    return rate


def changed(store: Store, change: Change, pace: Pace) -> tuple[int, float]:
    """One bulk run; its keys, and its seconds without the count at its end."""
    counted = 0.0
    real = bulk._Work._count

    def timed(self: Any, where: Any) -> Any:
        nonlocal counted
        began = time.perf_counter()
        answer = real(self, where)
        counted += time.perf_counter() - began
        return answer

    bulk._Work._count = timed  # type: ignore[method-assign]
    began = time.perf_counter()
    run = bulk.run_in_foreground(ACTOR, store, Confirmed(change, 0, False, 0), pace)
    bulk._Work._count = real  # type: ignore[method-assign]
    if run.error:
        sys.exit(run.error)
    return Record.of(run).done, time.perf_counter() - began - counted


def export_and_import(store: Store, pace: Pace) -> None:
    """Everything as a file, and that file into an empty store."""
    path = FOLDER / "all.jsonl"

    def exported() -> tuple[int, float]:
        began = time.perf_counter()
        with path.open("wb") as file:
            for piece in export(ACTOR, store, KeyFilter(), "jsonl", secrets=True):
                file.write(piece)
        seconds = time.perf_counter() - began
        with path.open("rb") as file:
            return sum(1 for _ in file), seconds

    def imported() -> tuple[int, float]:
        with path.open("rb") as file:
            upload = keyfile_import.accept(iter(lambda: file.read(1 << 20), b""))
        options = keyfile_import.Options(at=time.time(), undo=False, format="jsonl")
        began = time.perf_counter()
        run = bulk.import_in_foreground(ACTOR, target, keyfile_import.Confirmed(upload, options, 0, False, 0), pace)
        return Record.of(run).done, time.perf_counter() - began

    target_path = FOLDER / f"{store.pk}.db"
    create_file(target_path)
    target = definitions.create_store(ACTOR, id=f"to-{store.pk}", type="sqlite", settings={"path": str(target_path)}, version="0.11")
    quiet: Any = type("Quiet", (), {"engine": "rocksdb"})
    measure("export", quiet, {}, exported)
    measure("import into SQLite", quiet, {}, imported)


def report(engine: str, rows: int, pace: Pace) -> None:
    """All measurements of one engine."""
    filled: Any = RedisStore(rows, NOW) if engine == "redis" else STORES[engine](rows, NOW)
    print(f"\n{engine}, {rows:,} keys, pace {pace.value}")
    try:
        settings = filled.fresh()

        def alone() -> tuple[int, float]:
            began = time.perf_counter()
            return bare(filled, settings), time.perf_counter() - began

        rate = measure("bare delete of a class", filled, settings, alone)
        for undo in (False, True):
            settings = filled.fresh()
            store = definitions.create_store(ACTOR, id=f"{engine}-{int(undo)}", type=engine, settings=settings, version="0.11")
            delete = make_change(Do.DELETE, KeyFilter(class_slug=CLASS), time.time(), undo=undo)
            words = "delete, all can be undone" if undo else "delete, no undo"
            own = measure(words, filled, settings, lambda: changed(store, delete, pace))  # noqa: B023
            print(f"{'':28}{own / rate:.2f} of the bare rate")
            if undo:
                expiry = make_change(Do.EXPIRY, KeyFilter(class_slug=COUNTERS), time.time(), expiry="3 days")
                measure("another expiry, with undo", filled, settings, lambda: changed(store, expiry, pace))  # noqa: B023
                export_and_import(store, pace)
            TrashEntry.objects.all()._raw_delete("default")
    finally:
        filled.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="sqlite postgresql mysql rocksdb redis")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pace", choices=[pace.value for pace in Pace], default=Pace.FAST.value)
    options = parser.parse_args()
    try:
        call_command("migrate", verbosity=0)
        for engine in options.engines or [*STORES, "redis"]:
            report(engine, options.rows, Pace(options.pace))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
