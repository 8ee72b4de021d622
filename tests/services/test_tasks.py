"""What beat fires has to exist, and to end in the right service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.utils import timezone

from stores import tasks
from stores.models import Heartbeat, Run, RunState, Store, TrashEntry
from stores.services import edit, errands, purge, runs
from stores.services.actor import Actor
from tests.services.conftest import everything, plant, soon


def test_every_task_that_beat_or_a_run_names_exists() -> None:
    named = (
        {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
        | set(runs.TASKS.values())
        | set(runs.ASSIST.values())
        | {"stores.tasks.scheduled_purge", errands.TASK}
    )
    assert named <= set(current_app.tasks)
    ours = {name for name in current_app.tasks if name.startswith("stores.tasks.")}
    assert named == ours


def test_signs_of_life(db: None) -> None:
    tasks.heartbeat()
    assert Heartbeat.objects.get().at > timezone.now() - timedelta(seconds=5)


def test_the_sweeper_sends_a_forgotten_run(memory: Store, actor: Actor, django_capture_on_commit_callbacks: Any) -> None:
    plant(memory, b"gone", b"x", soon(-5))
    run = purge.start(actor, memory)
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    with django_capture_on_commit_callbacks(execute=True):
        tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == RunState.DONE
    assert everything(memory) == {}


def test_beat_starts_a_scheduled_purge(memory: Store, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> None:
    plant(memory, b"gone", b"x", soon(-5))
    Store.objects.update(purge_frequency=f"{(timezone.now() - timedelta(minutes=1)).minute} * *")
    with django_capture_on_commit_callbacks(execute=True):
        tasks.scheduled_purge("mem")
        tasks.scheduled_purge("mem")
    run = Run.objects.get()
    assert (run.state, run.started_by) == (RunState.DONE, "schedule")
    assert everything(memory) == {}


def test_tidying_empties_old_trash(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"x")
    edit.delete_key(actor, memory, b"k")
    tasks.tidy()
    assert TrashEntry.objects.count() == 1
    TrashEntry.objects.update(kept_until=timezone.now())
    tasks.tidy()
    assert TrashEntry.objects.count() == 0
