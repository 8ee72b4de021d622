"""Purges that stop at a time, and what is said after large ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from stores.backends.memory import MemoryBackend
from stores.errors import BadConfig, Busy, NotSupported
from stores.models import Run, RunAction, RunState, Store
from stores.services import purge, run_control, runs
from stores.services.actor import Actor
from stores.services.aftercare import aftercare
from stores.services.durations import next_time
from stores.services.run_curve import Curve
from stores.templatetags.kv_runs import run_result
from stores.types import Pace
from tests.services.conftest import everything, new_memory, plant


@pytest.mark.parametrize(
    ("now", "text", "wanted"),
    [
        ("2026-11-24 05:00", "06:00", "2026-11-24 06:00"),
        ("2026-11-24 06:00", "6:00", "2026-11-25 06:00"),
        ("2026-12-31 23:59", "00:00", "2027-01-01 00:00"),
    ],
)
def test_the_next_time_of_the_clock(now: str, text: str, wanted: str) -> None:
    found = next_time(text, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(wanted).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "6", "24:00", "06:60", "6 am", "06:00:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(BadConfig) as refused:
        next_time(text)
    assert refused.value.field == "until"


def test_a_purge_stops_at_its_time_and_the_next_one_does_the_rest(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5000):
        plant(memory, b"k%05d" % number, b"v", int(time.time()) - 10)
    real = MemoryBackend.purge
    clock = [time.time()]

    def late(self: MemoryBackend, *arguments: Any) -> Iterator[Any]:
        for step in real(self, *arguments):
            clock[0] += 4000
            yield step

    monkeypatch.setattr(MemoryBackend, "purge", late)
    monkeypatch.setattr("stores.services.purge.time.time", lambda: clock[0])
    run = purge.run_in_foreground(actor, memory, until=timezone.now() + timedelta(hours=1))
    assert (run.state, run.error, 0 < run.removed < 5000) == (RunState.STOPPED, "", True)
    assert "stopped at its time" in run_result(run)
    assert "Stopped at the time that was set" in str(run.log)
    assert len(everything(memory)) == 5000 - run.removed
    monkeypatch.undo()
    with pytest.raises(NotSupported):
        run_control.go_on(actor, purge.run_in_foreground(actor, new_memory("other")))
    rest = purge.execute(run_control.go_on(actor, run).pk)
    assert rest is not None
    assert (rest.pk, rest.state, rest.removed, rest.error) == (run.pk, RunState.DONE, 5000, "")
    with pytest.raises(NotSupported):
        run_control.go_on(actor, rest)


def test_going_on_waits_for_another_run(memory: Store, actor: Actor) -> None:
    first = purge.start(actor, memory)
    runs.request_cancel(actor, first)
    Run.objects.filter(pk=first.pk).update(started_at=timezone.now())
    purge.start(actor, memory)
    first.refresh_from_db()
    with pytest.raises(Busy):
        run_control.go_on(actor, first)
    first.refresh_from_db()
    assert first.state == RunState.CANCELLED


def test_another_pace_while_it_works(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5000):
        plant(memory, b"k%05d" % number, b"v", int(time.time()) - 10)
    monkeypatch.setattr("stores.services.leases.SAVE_SECONDS", 0.0)
    real, paces = MemoryBackend.purge, []

    def watched(self: MemoryBackend, now: int, pace: Pace, *rest: Any) -> Iterator[Any]:
        paces.append(pace)
        for step in real(self, now, pace, *rest):
            yield step
            if len(paces) == 1:
                run_control.change_pace(actor, run, Pace.FAST)

    monkeypatch.setattr(MemoryBackend, "purge", watched)
    run = purge.start(actor, memory, Pace.GENTLE)
    done = purge.execute(run.pk)
    assert done is not None
    assert (done.state, done.removed, done.pace, paces) == (RunState.DONE, 5000, "fast", [Pace.GENTLE, Pace.FAST])
    assert "changed the pace to fast" in str(done.log)
    with pytest.raises(NotSupported):
        run_control.change_pace(actor, done, Pace.FAST)


def test_the_course_of_a_run_stays_bounded() -> None:
    curve = Curve([])
    for number in range(1, 50_001):
        curve.add(number / 10, number * 1000, float(number % 7))
    assert 40 < len(curve.points) <= 120
    assert [point[0] for point in curve.points] == sorted({point[0] for point in curve.points})
    assert max(point[2] for point in curve.points) == 6.0
    assert curve.points[-1][0] > 4900


@pytest.mark.usefixtures("db")
def test_the_page_and_its_field(memory: Store, django_user_model: Any) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("ana", password="correct horse"))
    refused = client.post("/stores/mem/purge/start/", {"pace": "gentle", "until": "25:00"})
    assert refused.status_code == 422
    assert "not a time of day" in refused.content.decode()
    assert not Run.objects.exists()
    assert client.post("/stores/mem/purge/start/", {"pace": "gentle", "until": "06:00"}).status_code == 303
    assert 0 < Run.objects.get().params["until"] - time.time() <= 86_400


@pytest.mark.parametrize(
    ("type_name", "removed", "word"),
    [
        ("sqlite", 100_000, "VACUUM"),
        ("postgresql", 200_000, "Autovacuum"),
        ("mysql", 100_000, "OPTIMIZE"),
        ("rocksdb", 100_000, "compaction"),
    ],
)
def test_what_the_engine_needs_next(type_name: str, removed: int, word: str) -> None:
    run = Run(store=Store(id="s", type=type_name), action=RunAction.PURGE, values=removed)
    assert word in aftercare(run)
    run.values = 99_999
    assert aftercare(run) == ""
