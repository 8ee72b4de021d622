"""kvadmin's Celery app, whose workers stop in the middle of a shared run and wait to be let go or killed.

celery --app tests.services.celery_gate:app worker

After two steps of a run each worker process writes down who it is and what it has done, and goes on when the file `go` appears.
Limits of size and time are small, so that a small store is shared like a large one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

django.setup()

from celery import signals  # noqa: E402

from kvadmin.celery import app as app  # noqa: E402
from stores.backends.postgresql import PostgreSQLBackend  # noqa: E402
from stores.services import counting, part_rows, purge, purge_parts  # noqa: E402

FOLDER = Path(os.environ["KVADMIN_TEST_GATE"])

part_rows.FAN_OUT_KEYS = -1  # type: ignore[misc]
part_rows.SIGN_OF_LIFE = timedelta(seconds=0.1)  # type: ignore[misc]
purge_parts.SAVE_SECONDS = 0.0  # type: ignore[misc]
counting.SAVE_SECONDS = 0.0  # type: ignore[misc]
purge.FAN_OUT_PARTS = 4  # type: ignore[attr-defined]

doing = {"task": ""}


def let_go() -> bool:
    """Whether the gate is open. Only then are silent workers taken for dead soon: at the gate all of them are silent."""
    found = (FOLDER / "go").exists()
    part_rows.STALE = timedelta(seconds=1 if found else 60)  # type: ignore[misc]
    return found


@signals.task_prerun.connect
def _note_task(task: Any, **_: Any) -> None:
    doing["task"] = task.name.rpartition(".")[2]
    let_go()


def gated(real: Callable[..., Iterator[Any]], counts: Callable[[Any], bool]) -> Callable[..., Iterator[Any]]:
    """Two steps go through; the process is held with the second one done and not yet told."""
    passed = [0]

    def steps(*arguments: Any) -> Iterator[Any]:
        for step in real(*arguments):
            passed[0] += counts(step)
            if passed[0] == 2:
                _hold(step)
            yield step

    return steps


def _hold(step: Any) -> None:
    if let_go():
        return
    told: dict[str, Any] = {"worker": os.getppid(), "pid": os.getpid(), "task": doing["task"]}
    told["removed"] = sum(getattr(step, name, 0) for name in ("values", "counters", "locks"))
    waiting = FOLDER / f"{os.getpid()}.tmp"
    waiting.write_text(json.dumps(told))
    waiting.rename(FOLDER / f"{os.getpid()}.json")
    while not let_go():
        time.sleep(0.01)


PostgreSQLBackend.purge = gated(PostgreSQLBackend.purge, lambda step: True)  # type: ignore[method-assign]
PostgreSQLBackend.survey = gated(PostgreSQLBackend.survey, lambda step: step.position not in ("", "-"))  # type: ignore[method-assign]
