"""An installation whose workers are killed in the middle of shared runs. Prints what happened as JSON.

python -m tests.services.celery_orders '{"settings of a PostgreSQL store": ...}'
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

import stores.tasks  # noqa: E402, F401
from kvadmin.environment import Environment  # noqa: E402
from kvadmin.processes import worker_command  # noqa: E402
from stores.models import Census, Run, RunPart, Store  # noqa: E402
from stores.services import census, definitions, purge, runs  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.rights import EVERYTHING  # noqa: E402
from stores.types import Pace  # noqa: E402

ACTOR = Actor("ana", "page", rights=EVERYTHING)
FOLDER = Path(os.environ["KVADMIN_TEST_GATE"])


def until(met: Callable[[], Any], what: str) -> Any:
    """Poll until it is true."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if found := met():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)


def start_worker(number: int) -> subprocess.Popen[bytes]:
    """The product's own command, on the app that stops midway."""
    command = worker_command(Environment.read())
    command[command.index("--app") + 1] = "tests.services.celery_gate:app"
    command[command.index("--hostname") + 1] = f"worker{number}@test"
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def held() -> list[dict[str, Any]]:
    """Who has stopped in the middle."""
    return [json.loads(file.read_text()) for file in FOLDER.glob("*.json")]


def empty_gate() -> None:
    shutil.rmtree(FOLDER)
    FOLDER.mkdir()


def kill(workers: dict[int, subprocess.Popen[bytes]], one: dict[str, Any]) -> None:
    """The worker, and with it the process that it had forked; both are gone afterwards."""
    worker = workers.pop(one["worker"])
    worker.kill()
    worker.wait(30)
    until(lambda: not is_alive(one["pid"]), "the end of the forked process")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def purge_with_a_death(store: Store, workers: dict[int, subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Three workers stop midway, one that assists is killed, the others are let go."""
    run = purge.start(ACTOR, store, Pace.FAST)
    until(lambda: len(held()) == 3, "three workers")
    victim = next(one for one in held() if one["task"] == "run_purge_parts")
    parts = list(RunPart.objects.filter(run=run).exclude(worker=""))
    kill(workers, victim)
    (FOLDER / "go").touch()
    run = until(lambda: Run.objects.filter(pk=run.pk, finished_at__isnull=False).first(), "the purge")
    return {
        "state": run.state,
        "error": run.error,
        "removed": run.removed,
        "uncounted": victim["removed"],
        "scanned": run.scanned,
        "parts": RunPart.objects.filter(run=run).count(),
        "at_work": len({part.worker for part in parts}),
        "saved": sum(part.rows > 0 and part.position != "" for part in parts),
        "left": RunPart.objects.filter(run=run).exclude(position="").count(),
        "workers": RunPart.objects.filter(run=run).values("worker").distinct().count(),
    }


def census_with_a_death(store: Store, workers: dict[int, subprocess.Popen[bytes]]) -> dict[str, Any]:
    """The worker that leads is killed midway; what the sweeper does a minute later lets another one lead."""
    run = census.start(ACTOR, store)
    leader = until(lambda: next((one for one in held() if one["task"] == "run_census"), None), "a leader in the middle")
    saved = until(lambda: RunPart.objects.filter(run=run, rows__gt=0).count(), "sums")
    kill(workers, leader)
    (FOLDER / "go").touch()
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    swept = runs.sweep()
    run = until(lambda: Run.objects.filter(pk=run.pk, finished_at__isnull=False).first(), "the census")
    counted = Census.objects.filter(run=run).first() or Census(at=timezone.now())
    with mock.patch.object(time, "time", return_value=counted.at.timestamp()):  # what has expired is decided by the moment
        alone = census.count(store, ACTOR)
    return {
        "state": run.state,
        "error": run.error or " ".join(text for _, text in run.log if run.state != "done"),
        "attempts": run.attempts,
        "swept": replace(swept, failed=0).queued_again,
        "saved": saved,
        "same": [getattr(counted, name, None) == getattr(alone, name) for name in ("total", "classes", "corrupt")],
        "largest": counted.details.get("largest") == alone.details["largest"],
        "keys": sum(alone.total[name] for name in ("keys", "counters", "locks")),
        "left": RunPart.objects.filter(run=run).count(),
    }


def main(settings: dict[str, str]) -> None:
    workers = {worker.pid: worker for worker in map(start_worker, range(3))}
    try:
        call_command("migrate", verbosity=0)
        store = definitions.create_store(ACTOR, id="big", type="postgresql", settings=settings, version="0.11")
        before = census.count(store, ACTOR)
        purged = purge_with_a_death(store, workers)
        empty_gate()
        counted = census_with_a_death(store, workers)
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait(30)
    print(json.dumps({"expired": before.total["expired"], "purge": purged, "census": counted}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
