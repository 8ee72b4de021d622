"""A process that works on runs in forked children, which end by SIGKILL at the n-th SQL statement they begin. Orders come as JSON lines.

Statements on the store and on kvadmin's own database are counted alike, so that a child dies between any two of its steps.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import django
import psycopg
import pymysql
import redis

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from stores.backends import mysql_purge, postgresql_purge, rocksdb, sqlite_purge  # noqa: E402
from stores.backends.pacing import Feedback  # noqa: E402
from stores.backends.rocksdb import RocksDBBackend  # noqa: E402
from stores.models import Run, RunAction, Store, TrashEntry  # noqa: E402
from stores.services import bulk, definitions, keyfile_import, purge, runs  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.bulk_change import Do, make_change  # noqa: E402
from stores.services.bulk_preview import Confirmed  # noqa: E402
from stores.services.bulk_record import Record  # noqa: E402
from stores.services.filters import KeyFilter  # noqa: E402
from stores.services.rights import EVERYTHING  # noqa: E402
from stores.types import Pace  # noqa: E402

ACTOR = Actor("ana", "page", rights=EVERYTHING)
runs.queue = lambda run: None  # no broker here: the orders say who works


def begin(kind: str, definitions_of: dict[str, dict[str, Any]], file: str) -> str:
    """Definitions of these stores, and a queued run."""
    stores = {name: _defined(name, **wanted) for name, wanted in definitions_of.items()}
    source = stores["source"]
    if kind == "purge":
        return str(purge.start(ACTOR, source, Pace.FAST).pk)
    if kind == "import":
        upload = keyfile_import.accept([Path(file).read_bytes()])
        options = keyfile_import.Options(at=time.time(), format="jsonl")
        return str(keyfile_import.start(ACTOR, source, keyfile_import.Confirmed(upload, options, 30, False, 0), Pace.FAST).pk)
    to = stores["target"].pk if kind in ("copy", "move") else ""
    change = make_change(Do(kind), KeyFilter(prefix=b"user:"), time.time(), to=to, expiry="never")
    return str(bulk.start(ACTOR, source, Confirmed(change, 0, False, 0), Pace.FAST).pk)


def _defined(name: str, type: str, settings: dict[str, str]) -> Store:
    """The definition of that name and type, with these settings."""
    found = Store.objects.filter(pk=f"{name}-{type}").first()
    if found is None:
        return definitions.create_store(ACTOR, id=f"{name}-{type}", type=type, settings=settings, version="0.11")
    if found.settings != settings:
        found.settings = settings
        found.save(update_fields=["settings"])
    return found


def work(run_id: str, die_at: int) -> dict[str, Any]:
    """A child does the run; answers how it ended and how many statements it began."""
    connections.close_all()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = _counting(die_at)
        _take_small_steps()
        run = Run.objects.get(pk=run_id)
        _count_servers(count, die_at)
        (purge.execute if run.action == RunAction.PURGE else bulk.execute)(run_id)
        os.write(writing, str(count[0]).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    told = os.read(reading, 100)
    os.close(reading)
    return {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "statements": int(told or b"0")}


def _take_small_steps() -> None:
    """Purges in steps of a page, or of a few rows, so that a child dies between any two of many."""
    for module, size in ((sqlite_purge, 40), (mysql_purge, 40), (postgresql_purge, 1)):
        vars(module)["Feedback"] = partial(_fixed, size)
    rocksdb.ROWS_OF_STEP = dict.fromkeys(Pace, 40)  # type: ignore[misc]


def _fixed(size: int, budget: float, *sizes: int) -> Feedback:
    return Feedback(budget, size, size, size)


def _counting(die_at: int) -> list[int]:
    count = [0]
    real = sqlite3.connect

    def counted(statement: str) -> None:
        count[0] += 1
        if count[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **options)
        connection.set_trace_callback(counted)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[assignment]
    return count


def _count_servers(count: list[int], die_at: int) -> None:
    """The same for what is said to servers, and for the calls that change a RocksDB."""

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    places: list[tuple[Any, str]] = [(psycopg.Connection, "execute"), (pymysql.cursors.Cursor, "execute")]
    places += [(redis.connection.AbstractConnection, "send_packed_command")]
    places += [(RocksDBBackend, name) for name in ("delete_each", "put_each", "get_each", "_altering")]
    for owner, name in places:
        setattr(owner, name, counted(getattr(owner, name)))


def restart(run_id: str) -> None:
    """What the sweeper does a minute after the worker's last sign of life."""
    Run.objects.filter(pk=run_id).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    runs.sweep()


def look(run_id: str) -> dict[str, Any]:
    run = Run.objects.get(pk=run_id)
    trash = TrashEntry.objects.filter(run=run).order_by("pk")
    return {
        "state": run.state,
        "error": run.error,
        "removed": run.removed,
        "done": Record.of(run).done,
        "trash": [[bytes(entry.key).hex(), entry.reason, entry.replaced_by] for entry in trash],
    }


ORDERS = {"begin": begin, "work": work, "restart": restart, "look": look}

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(ORDERS[name](*arguments)), flush=True)  # type: ignore[operator]
