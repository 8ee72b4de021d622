"""Several processes count one store together, and some of them end by SIGKILL midway. Prints what happened as JSON.

python -m tests.services.census_workers STORE.db
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import django

django.setup()

from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from stores.backends import sqlite_survey  # noqa: E402
from stores.backends.packcount import PackCounter  # noqa: E402
from stores.backends.sqlite_survey import SurveyByRowId  # noqa: E402
from stores.models import Census, Run, RunPart  # noqa: E402
from stores.services import census, counting, definitions, part_rows, runs  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.rights import EVERYTHING  # noqa: E402
from stores.types import CensusSlice  # noqa: E402

ACTOR = Actor("ana", "page", rights=EVERYTHING)
read_window = SurveyByRowId._between
gate = Path(f"{sys.argv[-1]}.go")
windows: dict[int, int] = {}
parent = os.getpid()


def held_window(self: SurveyByRowId, counter: PackCounter, start: int, until: int, joinable: bool) -> CensusSlice:
    """Two windows of a walk go through; the next one waits until the workers that are to die are dead."""
    read = windows[id(self)] = windows.get(id(self), 0) + 1
    while read > 2 and not gate.exists() and os.getppid() == parent:
        time.sleep(0.01)
    return read_window(self, counter, start, until, joinable)


def hurried() -> None:
    """Make a small store behave like a large one."""
    runs.queue = lambda run: None
    runs.call_assistants = lambda run, number: None
    part_rows.FAN_OUT_KEYS = -1  # type: ignore[misc]
    counting.SAVE_SECONDS = 0.0  # type: ignore[misc]
    part_rows.STALE = timedelta(seconds=1)  # type: ignore[misc]
    part_rows.SIGN_OF_LIFE = timedelta(seconds=0.1)  # type: ignore[misc]
    SurveyByRowId._between = held_window  # type: ignore[method-assign]
    sqlite_survey.STEP = 1000  # type: ignore[misc]


def worker(work: Callable[[str], object], run_id: str) -> int:
    """A process that does some of it."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        work(run_id)
        os._exit(0)
    return child


def until(met: Callable[[], Any], what: str) -> Any:
    """Poll until it is true."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := met():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)


def saved_by_two(run_id: str) -> bool:
    parts = list(RunPart.objects.filter(run_id=run_id))
    return len({part.worker for part in parts if part.rows and part.position}) >= 2


def main(path: str) -> None:
    store = definitions.create_store(ACTOR, id="big", type="sqlite", settings={"path": path}, version="0.11")
    hurried()
    run_id = str(census.start(ACTOR, store).pk)
    leader = worker(census.execute, run_id)
    until(lambda: RunPart.objects.filter(run_id=run_id).count() > 2, "parts")
    others = [worker(census.assist, run_id) for _ in range(2)]
    until(lambda: saved_by_two(run_id), "two workers")
    before = {part.number: part.rows for part in RunPart.objects.filter(run_id=run_id)}
    for child in (leader, others[0]):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    gate.touch()
    Run.objects.filter(pk=run_id).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    swept = runs.sweep()
    again = worker(census.execute, run_id)
    for child in (again, others[1]):
        os.waitpid(child, 0)
    run, counted = Run.objects.get(pk=run_id), Census.objects.filter(run_id=run_id).first() or Census(at=timezone.now())
    left = RunPart.objects.count()
    with mock.patch.object(time, "time", return_value=counted.at.timestamp()):  # what has expired is decided by the moment
        alone = census.count(store, ACTOR)
    print(
        json.dumps(
            {
                "state": run.state,
                "error": run.error,
                "swept": swept.queued_again,
                "saved": sum(before.values()),
                "same": (counted.total, counted.classes) == (alone.total, alone.classes),
                "scanned": run.scanned,
                "left": left,
                "keys": sum(alone.total[name] for name in ("keys", "counters", "locks")),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
