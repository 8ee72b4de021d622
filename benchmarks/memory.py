"""Peak memory of exports, imports, copies and bulk changes over the idle process, at several sizes of a store: it has to stay flat.

    python -m benchmarks.memory [export csv import dry-run copy delete expiry] [--engine sqlite] [--rows 100000,1000000]

Each is done by a process of its own, which has everything loaded and has read a page of the store before its idle memory is taken.
`peak` is what the operating system says of the most that was resident at any moment (VmHWM), `over idle` how much of it the work added.
Copies and imports go into an empty SQLite store; deletions and other expiries are kept for an undo as far as the trash has room.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WORKS = ("export", "csv", "import", "dry-run", "copy", "delete", "expiry")


def status(name: str) -> int:
    """A figure of this process in bytes: VmRSS, VmHWM."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def child(work: str, engine: str, settings: dict[str, str], file: Path) -> dict[str, float]:
    """One work in this process, on a data folder of its own."""
    import django

    django.setup()

    from django.core.management import call_command

    from stores.backends.sqlite import create_file
    from stores.services import bulk, bulk_preview, definitions, keyfile_import
    from stores.services.actor import Actor
    from stores.services.bulk_change import Do, make_change
    from stores.services.bulk_export import export
    from stores.services.bulk_record import Record
    from stores.services.filters import KeyFilter
    from stores.services.keyfile_lines import Format
    from stores.types import Pace

    call_command("migrate", verbosity=0)
    actor, every, now = Actor.command_line(), KeyFilter(), time.time()
    data = Path(os.environ["KVADMIN_DATA_DIR"])
    store = definitions.create_store(actor, id="store", type=engine, settings=settings, version="0.11")
    create_file(data / "target.db")
    target = definitions.create_store(actor, id="target", type="sqlite", settings={"path": str(data / "target.db")}, version="0.11")
    options = keyfile_import.Options(at=now, undo=False, format="jsonl")

    def exported(format: Format) -> int:
        with file.open("wb") as out:
            for piece in export(actor, store, every, format, secrets=True):
                out.write(piece)
        with file.open("rb") as back:
            return sum(1 for _ in back)

    def accepted() -> str:
        with file.open("rb") as source:
            return keyfile_import.accept(iter(lambda: source.read(1 << 20), b""))

    def imported() -> int:
        wanted = keyfile_import.Confirmed(accepted(), options, 0, False, 0)
        return Record.of(bulk.import_in_foreground(actor, target, wanted, Pace.FAST)).done

    def looked() -> int:
        found = keyfile_import.preview(actor, target, accepted(), options, None).found
        return found.rows + found.expired

    def changed(do: Do) -> int:
        change = make_change(do, every, now, to="target" if do is Do.COPY else "", expiry="2 days")
        found = bulk_preview.preview(store, change, None).found
        wanted = bulk_preview.Confirmed(change, found.keys, True, found.bytes)
        run = bulk.run_in_foreground(actor, store, wanted, Pace.FAST)
        if run.error:
            sys.exit(run.error)
        return run.scanned

    works: dict[str, Callable[[], int]] = {
        "export": lambda: exported("jsonl"),
        "csv": lambda: exported("csv"),
        "import": imported,
        "dry-run": looked,
        "copy": lambda: changed(Do.COPY),
        "delete": lambda: changed(Do.DELETE),
        "expiry": lambda: changed(Do.EXPIRY),
    }
    bulk_preview.look(store, make_change(Do.DELETE, every, now), 0.0)
    idle = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    keys = works[work]()
    return {"keys": keys, "seconds": time.perf_counter() - began, "idle": idle, "peak": status("VmHWM")}


def measured(work: str, engine: str, settings: dict[str, str], folder: Path) -> dict[str, float]:
    """What the child says."""
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    keep = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_")}
    environment = {**keep, "KVADMIN_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}
    arguments = [sys.executable, "-m", "benchmarks.memory", "--child", json.dumps([work, engine, settings, str(folder / "all.jsonl")])]
    answer = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def report(engine: str, rows: int, works: list[str]) -> None:
    """All works at one size; what imports read is exported first."""
    from benchmarks.stores import STORES

    folder = Path(tempfile.mkdtemp(prefix="kvadmin-memory-"))
    filled = STORES[engine](rows, int(time.time()))
    try:
        settings = filled.fresh()
        if {"import", "dry-run"} & set(works) and works[0] != "export":
            measured("export", engine, settings, folder)
        for work in works:
            if work in ("delete", "expiry"):
                settings = filled.fresh()
            found = measured(work, engine, settings, folder)
            if work == "csv":
                (folder / "all.jsonl").unlink()
                if "import" in works:
                    measured("export", engine, settings, folder)
            idle, peak = found["idle"] / 2**20, found["peak"] / 2**20
            rate = found["keys"] / found["seconds"]
            print(
                f"{work:10}{int(found['keys']):12,} keys {found['seconds']:8.1f} s {rate:9,.0f} keys/s   "
                f"idle {idle:5.0f} MB   peak {peak:5.0f} MB   over idle {peak - idle:5.0f} MB",
                flush=True,
            )
    finally:
        filled.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("works", nargs="*", metavar="WORK", help=" ".join(WORKS))
    parser.add_argument("--engine", default="sqlite", choices=["sqlite", "postgresql", "mysql", "rocksdb"])
    parser.add_argument("--rows", default="100000,1000000", help="sizes, separated by commas")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        work, engine, settings, file = json.loads(options.child)
        print(json.dumps(child(work, engine, settings, Path(file))))
        return
    works = [work for work in WORKS if work in options.works] if options.works else list(WORKS)
    for rows in map(int, options.rows.split(",")):
        print(f"\n{options.engine}, {rows:,} keys")
        report(options.engine, rows, works)


if __name__ == "__main__":
    main()
