from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stores.backends.base import IsLock
from stores.backends.memory import MemoryBackend
from stores.errors import Busy, NotSupported, ReadOnly, StoreUnavailable
from stores.models import AuditEntry, Census, Run, RunAction, RunState, Store
from stores.services import census, definitions, purge, runs
from stores.services.actor import Actor
from stores.types import Pace, PurgeSlice
from tests.services.conftest import everything, new_memory, plant, plant_counter, plant_raw, soon

WINDOW = (7).to_bytes(8, "big")
LOCK = b"\x15" + bytes(8)


def fill(store: Store) -> set[bytes]:
    """Rows of every sort; answers the keys that a purge must leave."""
    kept = {b"live", b"never", b"counter", b"broken", b"\x05\x01\x01\x01\x01" + WINDOW}
    plant(store, b"live", b"x", soon())
    plant(store, b"never", b"x")
    plant_counter(store, b"counter", 5)
    plant_raw(store, b"broken", b"abc")
    plant_counter(store, b"\x05\x01\x01\x01\x01" + WINDOW, 5, soon())
    plant(store, b"", b"expired", soon(-5))
    plant(store, b"\xff" * 12, b"expired", soon(-5))
    for number in range(1200):
        plant(store, b"gone%04d" % number, b"x", soon(-5))
    for number in range(10):
        plant_counter(store, b"\x05\x02\x02\x02" + bytes([number]) + WINDOW, 5, soon(-5))
    plant(store, LOCK, b"", soon(-5))
    return kept


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save after every slice, so that wishes are seen at once."""
    monkeypatch.setattr("stores.services.leases.SAVE_SECONDS", 0.0)


def test_a_purge_removes_what_has_expired_and_nothing_else(memory: Store, actor: Actor) -> None:
    kept = fill(memory)
    run = purge.run_in_foreground(actor, memory, Pace.FAST)
    assert set(everything(memory)) == kept
    assert (run.state, run.values, run.counters, run.locks, run.corrupt) == (RunState.DONE, 1202, 10, 1, 1)
    assert run.bytes > 1202 * 16
    assert run.seconds > 0
    assert run.longest_ms > 0
    assert run.progress == 1.0
    assert run.started_by == "ana"
    assert b"broken".hex() in str(run.log)
    assert purge.json_run(run) | {"id": "", "seconds": 0, "longest_ms": 0, "bytes": 0, "scanned": 0} == {
        "id": "", "store": "mem", "state": "done", "pace": "fast", "seconds": 0, "scanned": 0, "values": 1202, "counters": 10,
        "locks": 1, "corrupt": 1, "bytes": 0, "longest_ms": 0, "error": None,
    }  # fmt: skip


def test_started_from_a_page_it_runs_in_a_worker(memory: Store, actor: Actor, django_capture_on_commit_callbacks: Any) -> None:
    kept = fill(memory)
    with django_capture_on_commit_callbacks(execute=True):
        run = purge.start(actor, memory)
        assert Run.objects.get().state == RunState.QUEUED
    run.refresh_from_db()
    assert run.state == RunState.DONE
    assert set(everything(memory)) == kept
    assert AuditEntry.objects.filter(action="purge-start", outcome="done").count() == 1


def test_a_repeated_message_does_nothing(memory: Store, actor: Actor) -> None:
    run = purge.start(actor, memory)
    assert purge.execute(run.pk)
    plant(memory, b"k", b"x", soon(-5))
    assert purge.execute(run.pk) is None
    assert set(everything(memory)) == {b"k"}


def test_one_purge_of_a_store_at_a_time_and_two_stores_side_by_side(memory: Store, actor: Actor) -> None:
    other = new_memory("other")
    plant(other, b"k", b"x", soon(-5))
    first = purge.start(actor, memory)
    with pytest.raises(Busy):
        purge.start(actor, memory)
    with pytest.raises(Busy):
        purge.run_in_foreground(actor, memory)
    assert purge.run_in_foreground(actor, other).state == RunState.DONE
    assert purge.execute(first.pk)
    purge.start(actor, memory)


def test_stores_that_expire_by_themselves_or_are_read_only_are_not_purged(memory: Store, actor: Actor) -> None:
    static = definitions.create_store(actor, id="vip", type="static", settings={}, entries=[("a", "1")])
    for attempt in (
        lambda: purge.start(actor, static),
        lambda: purge.run_in_foreground(actor, static),
        lambda: purge.preview(static, actor),
    ):
        with pytest.raises(NotSupported):
            attempt()
    definitions.update_store(actor, memory, read_only=True)
    with pytest.raises(ReadOnly):
        purge.start(actor, memory)
    assert not Run.objects.exists()


def test_a_store_that_becomes_read_only_while_the_run_waits_is_not_purged(memory: Store, actor: Actor) -> None:
    fill(memory)
    before = everything(memory)
    run = purge.start(actor, memory)
    definitions.update_store(actor, memory, read_only=True)
    ended = purge.execute(run.pk)
    assert ended is not None
    assert ended.state == RunState.FAILED
    assert everything(memory) == before


@pytest.mark.usefixtures("hasty")
def test_cancelling_stops_between_slices_and_says_what_was_done(memory: Store, actor: Actor) -> None:
    fill(memory)
    before = len(everything(memory))

    def watch(run: Run) -> None:
        if not run.cancel_requested:
            runs.request_cancel(actor, Run.objects.get(pk=run.pk))

    run = purge.run_in_foreground(actor, memory, Pace.FAST, watch)
    assert run.state == RunState.CANCELLED
    assert 0 < run.removed < 1213
    assert len(everything(memory)) == before - run.removed
    assert purge.run_in_foreground(actor, memory).state == RunState.DONE


@pytest.mark.usefixtures("hasty")
def test_a_crash_in_the_middle_is_made_good_by_another_worker(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fill(memory)
    real = MemoryBackend.purge

    def dying(
        self: MemoryBackend, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False
    ) -> Iterator[PurgeSlice]:
        steps = real(self, now, pace, position, is_lock)
        yield next(steps)
        raise MemoryError

    run = purge.start(actor, memory)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBackend, "purge", dying)
        patch.setattr("stores.services.leases.Lease._end", lambda *_: None)  # the process is gone before it can say so
        with pytest.raises(MemoryError):
            purge.execute(run.pk)
    half = runs.find(run.pk)
    assert half.state == RunState.RUNNING
    assert half.position
    removed = half.removed
    assert 0 < removed < 1213
    Run.objects.update(heartbeat_at=datetime.now(UTC) - timedelta(minutes=5))
    assert runs.sweep().queued_again == 1
    ended = purge.execute(run.pk)
    assert ended is not None
    assert (ended.state, ended.removed, ended.attempts) == (RunState.DONE, 1213, 2)
    assert set(everything(memory)) == kept


def test_a_store_that_goes_down_puts_the_run_back_into_the_queue(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fill(memory)
    run = purge.start(actor, memory)

    def down(*_: object) -> Iterator[PurgeSlice]:
        raise StoreUnavailable("The server is down.")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBackend, "purge", down)
        waiting = purge.execute(run.pk)
    assert waiting is not None
    assert (waiting.state, waiting.error) == (RunState.QUEUED, "The server is down.")
    ended = purge.execute(run.pk)
    assert ended is not None
    assert (ended.state, ended.error) == (RunState.DONE, "")
    assert set(everything(memory)) == kept


def test_what_expires_during_the_run_is_left_for_the_next(memory: Store, actor: Actor) -> None:
    run = purge.start(actor, memory)
    Run.objects.update(started_at=datetime.now(UTC) - timedelta(hours=1))
    plant(memory, b"later", b"x", soon(-5))
    plant(memory, b"before", b"x", soon(-4000))
    purge.execute(run.pk)
    assert set(everything(memory)) == {b"later"}


def test_pauses_follow_the_pace(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory)
    waits: dict[str, list[float]] = {"fast": [], "gentle": []}
    for pace in (Pace.GENTLE, Pace.FAST):
        monkeypatch.setattr("stores.services.leases.Lease.wait", lambda self, seconds, pace=pace: waits[pace].append(seconds))
        purge.run_in_foreground(actor, memory, pace)
    assert len(waits["gentle"]) >= 2
    assert all(seconds > 0 for seconds in waits["gentle"])
    assert not any(waits["fast"])


def test_a_preview_says_what_a_purge_will_remove_and_changes_nothing(memory: Store, actor: Actor) -> None:
    fill(memory)
    before = everything(memory)
    shown = purge.preview(memory, actor)
    assert everything(memory) == before
    run = purge.run_in_foreground(actor, memory, Pace.FAST)
    assert (shown.values, shown.counters, shown.locks, shown.corrupt, shown.bytes) == (
        run.values, run.counters, run.locks, run.corrupt, run.bytes,
    )  # fmt: skip
    assert {row["class"]: (row["values"], row["counters"], row["locks"]) for row in shown.classes} == {
        None: (1202, 0, 0),
        "rate-auth": (0, 10, 0),
        "lock-queue-message": (0, 0, 1),
    }
    assert shown.exact


# schedules

DUE = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.fixture
def nightly(memory: Store) -> Store:
    Store.objects.update(purge_frequency="0 3 *")
    return Store.objects.get()


def test_a_slot_runs_once_however_often_beat_fires(nightly: Store, actor: Actor) -> None:
    run = purge.scheduled("mem", DUE + timedelta(seconds=2))
    assert run is not None
    assert (run.due_at, run.started_by, run.state) == (DUE, "schedule", RunState.QUEUED)
    assert purge.scheduled("mem", DUE + timedelta(seconds=3)) is None
    purge.execute(run.pk)
    assert purge.scheduled("mem", DUE + timedelta(minutes=5)) is None
    assert purge.scheduled("mem", DUE + timedelta(days=1, seconds=1)) is not None
    assert Run.objects.count() == 2


def test_two_beats_at_the_same_moment_start_one_run(nightly: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either has written: the slot's id decides."""
    run = purge.scheduled("mem", DUE)
    assert run is not None
    purge.execute(run.pk)
    Run.objects.update(due_at=None)
    assert purge.scheduled("mem", DUE) is None
    assert Run.objects.count() == 1


def test_a_slot_that_meets_a_running_purge_is_recorded_as_failed(nightly: Store, actor: Actor) -> None:
    purge.start(actor, nightly)
    run = purge.scheduled("mem", DUE)
    assert run is not None
    assert (run.state, run.due_at) == (RunState.FAILED, DUE)
    assert "already under way" in run.error
    assert purge.scheduled("mem", DUE) is None


def test_a_slot_long_past_is_missed_instead_of_run_in_working_hours(nightly: Store) -> None:
    run = purge.scheduled("mem", DUE + timedelta(hours=5))
    assert run is not None
    assert (run.state, run.due_at) == (RunState.MISSED, DUE)


@pytest.mark.parametrize("changes", [{"purge_paused": True}, {"enabled": False}, {"purge_frequency": ""}, {"purge_frequency": "nonsense"}])
def test_schedules_that_do_nothing(nightly: Store, changes: dict[str, Any]) -> None:
    Store.objects.update(**changes)
    assert purge.scheduled("mem", DUE) is None
    assert purge.scheduled("nowhere", DUE) is None
    assert not Run.objects.exists()


def test_a_read_only_store_with_a_schedule_is_recorded_as_failed(nightly: Store) -> None:
    Store.objects.update(read_only=True)
    run = purge.scheduled("mem", DUE)
    assert run is not None
    assert run.state == RunState.FAILED
    assert "read only" in run.error


def test_any_store_is_purged_on_its_schedule_not_only_the_default(nightly: Store) -> None:
    new_memory("second")
    Store.objects.filter(pk="second").update(purge_frequency="30 * *")
    run = purge.scheduled("second", DUE + timedelta(minutes=31))
    assert run is not None
    assert run.due_at == DUE + timedelta(minutes=30)


# census in a worker


def test_a_census_in_a_worker(memory: Store, actor: Actor, django_capture_on_commit_callbacks: Any) -> None:
    fill(memory)
    with django_capture_on_commit_callbacks(execute=True):
        run = census.start(actor, memory)
    run.refresh_from_db()
    assert (run.state, run.scanned, run.corrupt, run.action) == (RunState.DONE, 1218, 1, RunAction.CENSUS)
    found = census.latest(memory)
    assert found is not None
    assert found.run == run


@pytest.mark.usefixtures("hasty")
def test_a_cancelled_census_leaves_no_figures(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory)
    run = census.start(actor, memory)
    real = MemoryBackend.census

    def watched(self: MemoryBackend, position: str = "") -> Iterator[Any]:
        for step in real(self, position):
            Run.objects.update(cancel_requested=True)
            yield step

    monkeypatch.setattr(MemoryBackend, "census", watched)
    ended = census.execute(run.pk)
    assert ended is not None
    assert ended.state == RunState.CANCELLED
    assert not Census.objects.exists()
