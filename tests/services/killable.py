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
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from stores.models import DefaultLookupStore, Run, RunAction, Store, TrashEntry  # noqa: E402
from stores.services import bulk, definitions, purge, runs  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.bulk_change import Do, make_change  # noqa: E402
from stores.services.bulk_preview import Confirmed  # noqa: E402
from stores.services.bulk_record import Record  # noqa: E402
from stores.services.filters import KeyFilter  # noqa: E402
from stores.services.rights import EVERYTHING  # noqa: E402
from stores.types import Pace  # noqa: E402

ACTOR = Actor("ana", "page", rights=EVERYTHING)
runs.queue = lambda run: None  # no broker here: the orders say who works


def begin(kind: str, files: dict[str, str]) -> str:
    """New definitions on these files, and a queued run."""
    DefaultLookupStore.objects.all().delete()
    Store.objects.all().delete()
    stores = {
        name: definitions.create_store(ACTOR, id=name, type="sqlite", settings={"path": path}, version="0.11")
        for name, path in files.items()
    }
    if kind == "purge":
        return str(purge.start(ACTOR, stores["source"], Pace.FAST).pk)
    change = make_change(Do(kind), KeyFilter(prefix=b"user:"), time.time(), to="target" if kind != "delete" else "")
    return str(bulk.start(ACTOR, stores["source"], Confirmed(change, 0, False, 0), Pace.FAST).pk)


def work(run_id: str, die_at: int) -> dict[str, Any]:
    """A child does the run; answers how it ended and how many statements it began."""
    connections.close_all()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = _counting(die_at)
        run = Run.objects.get(pk=run_id)
        (purge.execute if run.action == RunAction.PURGE else bulk.execute)(run_id)
        os.write(writing, str(count[0]).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    told = os.read(reading, 100)
    os.close(reading)
    return {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "statements": int(told or b"0")}


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


def restart(run_id: str) -> None:
    """What the sweeper does a minute after the worker's last sign of life."""
    Run.objects.filter(pk=run_id).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    runs.sweep()


def look(run_id: str) -> dict[str, Any]:
    run = Run.objects.get(pk=run_id)
    trash = TrashEntry.objects.filter(run=run).values_list("key", flat=True)
    return {
        "state": run.state,
        "error": run.error,
        "removed": run.removed,
        "done": Record.of(run).done,
        "trash": sorted(bytes(key).hex() for key in trash),
    }


ORDERS = {"begin": begin, "work": work, "restart": restart, "look": look}

if __name__ == "__main__":
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(ORDERS[name](*arguments)), flush=True)  # type: ignore[operator]
