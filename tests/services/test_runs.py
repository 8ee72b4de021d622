from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from stores.errors import BadConfig, Busy, KeyNotFound, NotSupported, StoreRefused, StoreUnavailable
from stores.models import AuditEntry, Run, RunAction, RunState, Store
from stores.services import runs
from stores.services.actor import Actor
from stores.services.leases import Lease, LostRun
from stores.types import Pace, PurgeSlice
from tests.services.conftest import new_memory

LONG_AGO = timezone.now() - timedelta(minutes=10)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that would have been sent to workers, by id."""
    found: list[str] = []
    monkeypatch.setattr(runs, "_send", lambda run_id, action: found.append(str(run_id)))
    return found


def new(store: Store, actor: Actor, action: RunAction = RunAction.PURGE) -> Run:
    return runs.create(actor, store, action)


def claimed(store: Store, actor: Actor) -> Run:
    run = runs.claim(new(store, actor).pk)
    assert run is not None
    return run


def age(run: Run, **changes: Any) -> None:
    """Make a run look as if nobody had touched it for minutes."""
    Run.objects.filter(pk=run.pk).update(created_at=LONG_AGO, heartbeat_at=LONG_AGO, **changes)


def test_two_active_runs_of_one_store_and_action_cannot_exist(memory: Store, actor: Actor) -> None:
    first = new(memory, actor)
    with pytest.raises(Busy):
        new(memory, actor)
    assert AuditEntry.objects.filter(action="purge-start").count() == 1
    new(memory, actor, RunAction.CENSUS)
    new(new_memory("other"), actor)
    runs.request_cancel(actor, first)
    new(memory, actor)


def test_the_run_is_sent_only_when_its_row_is_committed(
    memory: Store, actor: Actor, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        run = new(memory, actor)
        runs.queue(run)
        assert sent == []
    assert len(callbacks) == 1
    assert sent == [str(run.pk)]


def test_a_silent_broker_loses_nothing(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def apply_async(self) -> None:
            raise OperationalError("amqp://user:password@host refused")

    monkeypatch.setattr(runs, "signature", lambda *_, **__: Deaf())
    run = new(memory, actor)
    runs._send(run.pk, run.action)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert "sent again" in run.log[0][1]
    assert "password" not in str(run.log)


def test_a_run_is_claimed_once(memory: Store, actor: Actor) -> None:
    run = new(memory, actor)
    mine = runs.claim(run.pk)
    assert mine is not None
    assert (mine.state, mine.attempts) == (RunState.RUNNING, 1)
    assert mine.started_at
    assert runs.claim(run.pk) is None
    assert runs.claim(uuid4()) is None


def test_counts_are_summed_and_the_run_ends_done(memory: Store, actor: Actor) -> None:
    run = claimed(memory, actor)
    with Lease(run) as lease:
        lease.add(PurgeSlice(scanned=10, values=3, counters=2, locks=1, bytes=100, position="a", progress=0.5), 12.0)
        lease.add(PurgeSlice(scanned=5, values=1, corrupt=1, corrupt_keys=(b"broken",), bytes=7, position="b"), 8.0)
    run = runs.find(run.pk)
    assert (run.scanned, run.values, run.counters, run.locks, run.corrupt, run.bytes) == (15, 4, 2, 1, 1, 107)
    assert (run.state, run.position, run.progress, run.longest_ms, run.active_key) == (RunState.DONE, "b", 1.0, 12.0, None)
    assert run.finished_at
    assert run.removed == 7
    assert b"broken".hex() in run.log[0][1]


def test_malformed_keys_of_secret_classes_are_not_logged(memory: Store, actor: Actor) -> None:
    with Lease(claimed(memory, actor)) as lease:
        lease.add(PurgeSlice(corrupt=1, corrupt_keys=(b"\x01" + b"A" * 40,)), 1.0)
    assert "41414141" not in str(runs.find(lease.run.pk).log)


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (StoreRefused("Wrong password.", "Set it."), RunState.FAILED, "Wrong password. Set it."),
        (KeyboardInterrupt(), RunState.CANCELLED, ""),
        (ZeroDivisionError("secret words"), RunState.FAILED, "Internal error: ZeroDivisionError. The log of the worker says more."),
    ],
)
def test_how_errors_end_a_run(memory: Store, actor: Actor, error: BaseException, state: RunState, words: str) -> None:
    run = claimed(memory, actor)
    try:
        with Lease(run):
            raise error
    except (KeyboardInterrupt, ZeroDivisionError) as passed:
        assert passed is error
    run = runs.find(run.pk)
    assert (run.state, run.error, run.active_key) == (state, words, None)


def test_an_unreachable_store_is_tried_three_times(memory: Store, actor: Actor, sent: list[str]) -> None:
    run = new(memory, actor)
    for attempt in (1, 2, 3):
        mine = runs.claim(run.pk)
        assert mine is not None
        with Lease(mine):
            raise StoreUnavailable("The server is down.")
        run.refresh_from_db()
        assert run.attempts == attempt
        assert run.state == (RunState.FAILED if attempt == 3 else RunState.QUEUED)
        age(run)
    assert run.error == "The server is down."


def test_in_the_foreground_an_unreachable_store_fails_at_once(memory: Store, actor: Actor) -> None:
    run = claimed(memory, actor)
    with Lease(run, foreground=True):
        raise StoreUnavailable("The server is down.")
    assert runs.find(run.pk).state == RunState.FAILED


def test_cancelling(memory: Store, actor: Actor) -> None:
    waiting = runs.request_cancel(actor, new(memory, actor))
    assert (waiting.state, waiting.active_key) == (RunState.CANCELLED, None)
    run = claimed(memory, actor)
    with Lease(run) as lease:
        assert runs.request_cancel(actor, run).state == RunState.RUNNING
        assert not lease.stopped
        lease.log("A line of the worker.")
        lease.save(force=True)
        assert lease.stopped
    ended = runs.find(run.pk)
    assert (ended.state, ended.active_key) == (RunState.CANCELLED, None)
    assert [text for _, text in ended.log] == ["Cancelled by ana.", "A line of the worker."]
    with pytest.raises(NotSupported):
        runs.request_cancel(actor, ended)


def test_pausing_keeps_the_place_and_the_store_busy(
    memory: Store, actor: Actor, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    run = claimed(memory, actor)
    with Lease(run) as lease:
        lease.add(PurgeSlice(values=5, position="here"), 1.0)
        runs.request_pause(actor, runs.find(run.pk))
        lease.save(force=True)
        assert lease.stopped
    paused = runs.find(run.pk)
    assert (paused.state, paused.position, paused.values) == (RunState.PAUSED, "here", 5)
    with pytest.raises(Busy):
        new(memory, actor)
    with django_capture_on_commit_callbacks(execute=True):
        runs.resume(actor, paused)
    assert sent == [str(run.pk)]
    again = runs.claim(run.pk)
    assert again is not None
    with Lease(again) as lease:
        lease.add(PurgeSlice(values=2, position="there"), 1.0)
    assert (runs.find(run.pk).state, runs.find(run.pk).values) == (RunState.DONE, 7)
    with pytest.raises(NotSupported):
        runs.resume(actor, paused)
    with pytest.raises(NotSupported):
        runs.request_pause(actor, paused)


def test_a_queued_run_that_nobody_took_is_sent_again(
    memory: Store, actor: Actor, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    run = new(memory, actor)
    assert runs.sweep().queued_again == 0
    Run.objects.update(created_at=LONG_AGO)
    with django_capture_on_commit_callbacks(execute=True):
        assert runs.sweep().queued_again == 1
        assert runs.sweep().queued_again == 0
    assert sent == [str(run.pk)]


def test_a_dead_workers_run_goes_on_and_the_dead_worker_cannot_touch_it(
    memory: Store, actor: Actor, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    run = claimed(memory, actor)
    dead = Lease(run)
    dead.add(PurgeSlice(values=5, position="here"), 1.0)
    dead.save(force=True)
    assert runs.sweep().queued_again == 0
    age(run)
    with django_capture_on_commit_callbacks(execute=True):
        assert runs.sweep().queued_again == 1
    assert sent == [str(run.pk)]
    again = runs.claim(run.pk)
    assert again is not None
    assert (again.position, again.values, again.attempts) == ("here", 5, 2)
    assert "disappeared" in again.log[-1][1]
    dead.run.values = 1000
    with pytest.raises(LostRun):
        dead.save(force=True)
    with dead:
        pass
    assert runs.find(run.pk).state == RunState.RUNNING
    with Lease(again):
        pass
    assert (runs.find(run.pk).state, runs.find(run.pk).values) == (RunState.DONE, 5)


def test_after_three_dead_workers_a_run_has_failed(memory: Store, actor: Actor, sent: list[str]) -> None:
    run = new(memory, actor)
    for _ in range(3):
        assert runs.claim(run.pk)
        age(run)
        found = runs.sweep()
    assert found.failed == 1
    run.refresh_from_db()
    assert (run.state, run.active_key) == (RunState.FAILED, None)
    assert "3 times" in run.error


def test_a_dead_workers_run_that_was_to_be_cancelled_is_cancelled(memory: Store, actor: Actor, sent: list[str]) -> None:
    run = claimed(memory, actor)
    runs.request_cancel(actor, run)
    age(run)
    assert runs.sweep().cancelled == 1
    assert runs.find(run.pk).state == RunState.CANCELLED
    assert sent == []


def test_two_sweepers_send_a_run_once(memory: Store, actor: Actor) -> None:
    run = claimed(memory, actor)
    age(run)
    stale = runs.find(run.pk)
    assert runs._step(stale, RunState.RUNNING, {"state": RunState.QUEUED, "heartbeat_at": timezone.now()})
    assert not runs._step(stale, RunState.RUNNING, {"state": RunState.QUEUED, "heartbeat_at": timezone.now()})


def test_the_definition_may_vanish_under_a_run(memory: Store, actor: Actor) -> None:
    run = claimed(memory, actor)
    Run.objects.update(store=None)
    run.refresh_from_db()
    with Lease(run) as lease:
        lease.store.pk  # noqa: B018
    assert runs.find(run.pk).state == RunState.FAILED
    assert "deleted" in runs.find(run.pk).error


def test_history_has_pages(memory: Store, actor: Actor) -> None:
    for number in range(7):
        run = new(memory, actor, RunAction.CENSUS if number % 2 else RunAction.PURGE)
        runs.request_cancel(actor, run)
    found: list[Run] = []
    cursor = ""
    while True:
        page = runs.history(memory, cursor=cursor, limit=3)
        found += page.runs
        cursor = page.next
        if not cursor:
            break
    assert len({run.pk for run in found}) == len(found) == 7
    assert found == sorted(found, key=lambda run: run.created_at, reverse=True)
    assert len(runs.history(action=RunAction.PURGE).runs) == 4
    assert runs.latest(memory, RunAction.PURGE) == found[0]
    with pytest.raises(BadConfig):
        runs.history(cursor="nonsense")


def test_old_runs_go(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 3)
    for _ in range(6):
        runs.request_cancel(actor, new(memory, actor))
    active = new(memory, actor)
    newest = list(Run.objects.exclude(pk=active.pk).order_by("-created_at").values_list("pk", flat=True)[:3])
    assert runs.prune() == 3
    assert set(Run.objects.values_list("pk", flat=True)) == {active.pk, *newest}
    Run.objects.filter(pk=newest[0]).update(created_at=timezone.now() - timedelta(days=500))
    assert runs.prune() == 1


def test_the_log_is_bounded(memory: Store, actor: Actor) -> None:
    run = new(memory, actor)
    for number in range(runs.LOG_LINES + 5):
        runs.add_log(run.pk, str(number))
    run.refresh_from_db()
    assert len(run.log) == runs.LOG_LINES
    assert run.log[-1][1] == str(runs.LOG_LINES + 4)


def test_signs_of_life(memory: Store, actor: Actor) -> None:
    new(memory, actor)
    assert runs.background() == runs.Background(False, None, 1)
    runs.beat()
    runs.beat()
    assert runs.background().alive


def test_unknown_runs(db: None) -> None:
    for wrong in (uuid4(), "x", ""):
        with pytest.raises(KeyNotFound):
            runs.find(wrong)


def test_time_left(memory: Store, actor: Actor) -> None:
    run = claimed(memory, actor)
    assert runs.eta_seconds(run) is None
    run.seconds, run.progress = 30.0, 0.25
    assert runs.eta_seconds(run) == 90.0


def test_pace_is_kept(memory: Store, actor: Actor) -> None:
    assert runs.create(actor, memory, RunAction.PURGE, pace=Pace.FAST).pace == "fast"
