"""RocksDB: census and purge against the plainest loop of the engine's binding, on the same rows in the same run.

    python -m benchmarks.rocksdb [--rows 1000000] [--repeat 3]

`walk` iterates both column families and does nothing; `census` is kvadmin's row by row, `tally` its count with every key put into its
class, all three from opening the database on (`benchmarks.snapshot rocksdb` is the whole count in a worker that has it open). `bare`
iterates and deletes what has expired, 5000 rows a batch; `purge` is kvadmin's without the pauses of its service. `cpu` is the processor
time of this process and of the one that has the database open, which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rocksdict import AccessType, Options, Rdict, WriteBatch

from benchmarks import fill
from stores.backends import rocksprocess
from stores.backends.rocksdb import RocksDBBackend
from stores.services.tally import Tally
from stores.types import Pace

FAMILIES = ("default", "m", "y")
STEP = 5000


def options() -> dict[str, Options]:
    return {name: Options(raw_mode=True) for name in FAMILIES}


def create(folder: Path, count: int, now: int) -> None:
    """A database in Stalwart's layout, its rows in files."""
    settings = Options(raw_mode=True)
    settings.create_if_missing(True)
    database = Rdict(str(folder), settings)
    for name in FAMILIES[1:]:
        database.create_column_family(name, Options(raw_mode=True)).close()
    handles = [database.get_column_family_handle(name) for name in FAMILIES[1:]]
    batch = WriteBatch(raw_mode=True)
    for key, row, number in fill.rows(count, now):
        if row is not None:
            batch.put(key, row, handles[0])
        if number is not None:
            batch.put(key, number.to_bytes(8, "little", signed=True), handles[1])
        if len(batch) >= STEP:
            database.write(batch)
            batch = WriteBatch(raw_mode=True)
    database.write(batch)
    del handles
    for name in FAMILIES[1:]:
        database.get_column_family(name).flush()
    database.close()


def walk(folder: Path, now: int) -> int:
    database = Rdict(str(folder), Options(raw_mode=True), options(), AccessType.read_only(False))
    rows = sum(1 for name in FAMILIES[1:] for _ in database.get_column_family(name).items())
    database.close()
    return rows


def census(folder: Path, now: int) -> int:
    with RocksDBBackend({"path": str(folder)}) as backend:
        return sum(len(step.rows) for step in backend.census())


def tally(folder: Path, now: int) -> int:
    counted = Tally("0.11", now, "data")
    with RocksDBBackend({"path": str(folder)}) as backend:
        for step in backend.survey(counted.plan()):
            counted.take(step)
    return counted.rows


def bare(folder: Path, now: int) -> int:
    database = Rdict(str(folder), Options(raw_mode=True), options())
    values, numbers = (database.get_column_family_handle(name) for name in FAMILIES[1:])
    batch, removed = WriteBatch(raw_mode=True), 0
    for looked_at, (key, row) in enumerate(database.get_column_family("m").items(), 1):
        first, *second = struct.unpack_from(">QQ" if len(row) >= 16 else ">Q", row)
        if (first or second[0]) <= now:
            removed += 1
            batch.delete(key, values)
            if not first:
                batch.delete(key, numbers)
        if looked_at % STEP == 0:
            database.write(batch)
            batch = WriteBatch(raw_mode=True)
    database.write(batch)
    database.flush_wal(sync=True)
    del values, numbers
    database.close()
    return removed


def purge(folder: Path, now: int) -> int:
    with RocksDBBackend({"path": str(folder)}) as backend:
        steps = backend.purge(now, Pace.NORMAL, "", lambda key: key[:1] == b"\x15")
        return sum(step.values + step.locks + step.counters for step in steps)


def measured(work: Callable[[Path, int], int], folder: Path, now: int) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and what the work answers."""
    began, used = time.perf_counter(), processor_time()
    answer = work(folder, now)
    seconds = time.perf_counter() - began
    rocksprocess.close_idle()
    return seconds, processor_time() - used, answer


def processor_time() -> float:
    """Of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def report(source: Path, now: int, repeat: int) -> None:
    found: dict[str, list[tuple[float, float, int]]] = {}
    for _ in range(repeat):
        for work in (walk, census, tally, bare, purge):
            copy = source.with_name("copy")
            shutil.copytree(source, copy)
            found.setdefault(work.__name__, []).append(measured(work, copy, now))
            shutil.rmtree(copy)
    print(f"{'':8}{'seconds':>9}{'x':>7}{'cpu':>8}{'x':>7}{'answer':>11}")
    for name, runs in found.items():
        base = found["bare" if name in ("bare", "purge") else "walk"]
        seconds, used, answer = (statistics.median(run[place] for run in runs) for place in range(3))
        times, ratio = (statistics.median(run[place] / one[place] for run, one in zip(runs, base, strict=True)) for place in range(2))
        print(f"{name:8}{seconds:9.2f}{times:7.2f}{used:8.2f}{ratio:7.2f}{answer:11.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    now = int(time.time())
    with tempfile.TemporaryDirectory(prefix="kvadmin-bench-") as folder:
        create(Path(folder) / "source", chosen.rows, now)
        report(Path(folder) / "source", now, chosen.repeat)


if __name__ == "__main__":
    main()
