"""Schedules: the scheduler's rows, slots across clock changes with the real scheduler's own arithmetic, missed runs, words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import signals
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.tzcrontab import TzAwareCrontab

from kvadmin.celery import app
from stores import cron
from stores.errors import BadConfig, NotSupported
from stores.models import AuditEntry, Run, RunAction, RunState, Store
from stores.services import definitions, purge, schedules
from stores.services.actor import Actor
from tests.services.conftest import ACTOR, new_memory

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
"""A Tuesday at noon."""


def given_schedule(store: Store, frequency: str, at: datetime = NOW) -> None:
    """The schedule as it is after somebody set it at that time."""
    store.purge_frequency = frequency
    store.save()
    schedules.sync(store, at)


def row() -> PeriodicTask:
    return PeriodicTask.objects.get()


class TestRows:
    def test_one_row_a_store(self, memory: Store) -> None:
        given_schedule(memory, "0 3 7")
        task = row()
        assert (task.name, task.task, json.loads(task.args), task.enabled) == ("purge mem", "stores.tasks.scheduled_purge", ["mem"], True)
        crontab = CrontabSchedule.objects.get()
        assert task.crontab == crontab
        assert (crontab.minute, crontab.hour, crontab.day_of_week) == ("0", "3", "0")
        assert (crontab.day_of_month, crontab.month_of_year, str(crontab.timezone)) == ("*", "*", "UTC")
        assert task.start_time == task.last_run_at == NOW
        assert task.expire_seconds == 1800

    def test_a_change_keeps_the_row_and_counts_from_now(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        first = row()
        given_schedule(memory, "30 4 *", NOW + timedelta(hours=1))
        assert row().pk == first.pk
        assert CrontabSchedule.objects.get().hour == "4"
        assert row().start_time == row().last_run_at == NOW + timedelta(hours=1)

    def test_nothing_is_written_when_nothing_changes(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        before = (row().date_changed, PeriodicTasks.last_change())
        schedules.sync(memory, NOW + timedelta(days=1))
        schedules.sync(Store.objects.get(), NOW + timedelta(days=1))
        assert (row().date_changed, PeriodicTasks.last_change()) == before
        assert row().start_time == NOW

    @pytest.mark.parametrize(
        "change", [{"purge_paused": True}, {"enabled": False}, {"type": "redis"}, {"type": "static"}, {"type": "oracle"}]
    )
    def test_switched_off_and_on_again(self, memory: Store, change: dict[str, Any]) -> None:
        given_schedule(memory, "0 3 *")
        kept = {name: getattr(memory, name) for name in change}
        Store.objects.update(**change)
        schedules.sync(Store.objects.get(), NOW + timedelta(hours=1))
        assert not row().enabled
        Store.objects.update(**kept)
        schedules.sync(Store.objects.get(), NOW + timedelta(hours=2))
        assert row().enabled
        assert row().start_time == row().last_run_at == NOW + timedelta(hours=2)

    @pytest.mark.parametrize("frequency", ["", "nonsense", "0 3 8"])
    def test_no_row_without_a_schedule(self, memory: Store, frequency: str) -> None:
        given_schedule(memory, "0 3 *")
        given_schedule(memory, frequency)
        assert not PeriodicTask.objects.exists()
        assert not CrontabSchedule.objects.exists()

    def test_removed_with_the_store(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        schedules.remove("other")
        assert PeriodicTask.objects.exists()
        schedules.remove("mem")
        assert not PeriodicTask.objects.exists()
        assert not CrontabSchedule.objects.exists()

    def test_stores_do_not_share_a_crontab(self, memory: Store) -> None:
        second = new_memory("second")
        given_schedule(memory, "0 3 *")
        given_schedule(second, "0 3 *")
        assert CrontabSchedule.objects.count() == 2
        PeriodicTask.objects.filter(name="purge second").update(crontab=CrontabSchedule.objects.first())
        second.refresh_from_db()
        given_schedule(second, "0 4 *")
        hours = {task.name: task.crontab.hour for task in PeriodicTask.objects.all()}
        assert hours == {"purge mem": "3", "purge second": "4"}

    def test_ids_with_quotes_and_blanks_reach_the_task_whole(self, memory: Store) -> None:
        store = new_memory('odd"id.x')
        given_schedule(store, "0 3 *")
        assert json.loads(row().args) == ['odd"id.x']

    def test_everything_in_step_at_the_start(self, memory: Store, settings: Any) -> None:
        given_schedule(memory, "0 3 *")
        gone = new_memory("gone")
        given_schedule(gone, "0 4 *")
        Store.objects.filter(pk="gone").delete()
        CrontabSchedule.objects.create(minute="59")
        settings.TIME_ZONE = "Europe/Berlin"
        schedules.sync_all()
        assert row().name == "purge mem"
        assert str(CrontabSchedule.objects.get().timezone) == "Europe/Berlin"
        assert row().start_time > NOW - timedelta(days=1)

    def test_beat_brings_everything_in_step_when_it_starts(self, memory: Store) -> None:
        Store.objects.update(purge_frequency="0 3 *")
        signals.beat_init.send(sender=None)
        assert row().name == "purge mem"

    def test_rows_of_others_stay(self, memory: Store) -> None:
        crontab = CrontabSchedule.objects.create(minute="7")
        PeriodicTask.objects.create(name="purge mem 2", task="another.task", crontab=crontab)
        schedules.remove("mem 2")
        schedules.sync_all()
        assert row().task == "another.task"


class TestSetting:
    def test_set_pause_and_remove(self, memory: Store, actor: Actor) -> None:
        meaning = schedules.set_schedule(actor, memory, " 00  03 * ", pace="normal")
        assert (meaning.frequency, meaning.words, len(meaning.next_runs)) == ("0 3 *", "Every day at 03:00", 6)
        memory.refresh_from_db()
        assert (memory.purge_frequency, memory.purge_paused, memory.purge_pace) == ("0 3 *", False, "normal")
        schedules.set_schedule(actor, memory, "0 3 *", paused=True)
        assert not row().enabled and memory.purge_pace == "normal"
        schedules.set_schedule(actor, memory, "0 3 *", paused=True)
        schedules.set_schedule(actor, memory, "")
        assert not PeriodicTask.objects.exists()
        acts = AuditEntry.objects.filter(action="schedule").order_by("id").values_list("after", flat=True)
        assert [(act["frequency"], act["paused"]) for act in acts if act] == [("0 3 *", False), ("0 3 *", True), ("", False)]

    @pytest.mark.parametrize(
        ("frequency", "pace", "field"),
        [("60 3 *", "", "minute"), ("0 3 8", "", "weekday"), ("5", "", "frequency"), ("0 3 *", "brutal", "pace")],
    )
    def test_a_refusal_changes_nothing(self, memory: Store, actor: Actor, frequency: str, pace: str, field: str) -> None:
        with pytest.raises(BadConfig) as caught:
            schedules.set_schedule(actor, memory, frequency, pace=pace)
        assert caught.value.field == field
        memory.refresh_from_db()
        assert (memory.purge_frequency, memory.purge_pace) == ("", "gentle")
        assert not PeriodicTask.objects.exists()
        assert not AuditEntry.objects.filter(action="schedule").exists()

    @pytest.mark.parametrize("type_name", ["static", "redis"])
    def test_stores_that_need_no_purge(self, memory: Store, actor: Actor, type_name: str) -> None:
        store = Store.objects.create(id="other", type=type_name)
        with pytest.raises(NotSupported, match="needs no schedule"):
            schedules.set_schedule(actor, store, "0 3 *")
        schedules.set_schedule(actor, store, "")

    def test_types_that_are_purged(self) -> None:
        assert {name: schedules.purges(name) for name in ("memory", "sqlite", "rocksdb", "redis", "static", "oracle")} == {
            "memory": True,
            "sqlite": True,
            "rocksdb": True,
            "redis": False,
            "static": False,
            "oracle": False,
        }


class TestWords:
    def test_without_a_store(self) -> None:
        meaning = schedules.describe("0 3 1", NOW, ZoneInfo("Europe/Berlin"))
        assert meaning.words == "Every Monday at 03:00"
        assert meaning.zone == "Europe/Berlin"
        assert meaning.next_runs[0].at == datetime(2026, 11, 30, 3, 0, tzinfo=ZoneInfo("Europe/Berlin"))
        assert [(note.kind, note.warning) for note in meaning.notes] == [("misfires", True)]

    def test_what_is_no_schedule(self) -> None:
        meaning = schedules.describe("0 3 8", NOW)
        assert meaning.next_runs == () and meaning.words == ""
        assert "weekday" in meaning.error and "1 to 7" in meaning.error
        assert [note.kind for note in meaning.notes] == ["accepts"]

    @pytest.mark.parametrize(
        ("frequency", "zone", "now", "changes"),
        [
            ("0 3 *", "Europe/Berlin", datetime(2026, 10, 24, 0, tzinfo=UTC), ["", "25 h later: the clocks go back by 1 h", ""]),
            ("0 3 *", "Europe/Berlin", datetime(2026, 3, 28, 0, tzinfo=UTC), ["", "23 h later: the clocks go forward by 1 h", ""]),
            (
                "30 2 *",
                "Europe/Berlin",
                datetime(2026, 3, 28, 12, tzinfo=UTC),
                ["02:30 does not exist that day, the clocks go forward", "", ""],
            ),
            ("10 *", "Australia/Lord_Howe", datetime(2026, 4, 4, 14, 0, tzinfo=UTC), ["", "1.5 h later: the clocks go back by 30 min", ""]),
        ],
    )
    def test_clock_changes(self, frequency: str, zone: str, now: datetime, changes: list[str]) -> None:
        assert [run.change for run in schedules.describe(frequency, now, ZoneInfo(zone), count=3).next_runs] == changes

    def test_other_stores_at_the_same_time(self, memory: Store) -> None:
        for store_id, frequency in (("daily", "0 3 *"), ("hourly", "0 *"), ("sundays", "0 3 7"), ("later", "0 4 *")):
            given_schedule(new_memory(store_id), frequency)
        paused = new_memory("paused")
        paused.purge_paused = True
        given_schedule(paused, "0 3 *")
        given_schedule(memory, "0 3 *")
        together = [run.together for run in schedules.describe("0 3 *", NOW, store=memory).next_runs]
        assert together[:5] == [("daily", "hourly")] * 4 + [("daily", "hourly", "sundays")]

    @pytest.mark.parametrize(
        ("version", "default", "part"),
        [
            ("0.11", True, "Stalwart purges this store too, by its setting purge.frequency or else by its default `0 5 *`"),
            ("0.11", False, "Stalwart never purges this store by itself"),
            ("0.10", False, "Stalwart purges this store too"),
            ("0.16", True, "dataCleanupSchedule"),
        ],
    )
    def test_what_stalwart_does_by_itself(self, memory: Store, version: str, default: bool, part: str) -> None:
        store = memory if default else new_memory("second")
        store.version = version
        store.save()
        assert part in schedules.describe("0 3 *", NOW, store=store).notes[-1].text

    def test_stores_that_stalwart_never_purges(self, memory: Store) -> None:
        store = Store.objects.create(id="r", type="redis")
        assert schedules.describe("0 3 *", NOW, store=store).notes == ()


class TestSlots:
    def test_the_last_slot_since_the_schedule_was_set(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        assert schedules.due_slot(memory, NOW) is None
        assert schedules.due_slot(memory, NOW + timedelta(hours=15, minutes=1)) == datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
        given_schedule(memory, "30 4 *", datetime(2026, 11, 25, 4, 40, tzinfo=UTC))
        assert schedules.due_slot(memory, datetime(2026, 11, 25, 4, 41, tzinfo=UTC)) is None

    @pytest.mark.parametrize("change", [{"purge_paused": True}, {"enabled": False}, {"purge_frequency": ""}, {"purge_frequency": "x"}])
    def test_no_slot(self, memory: Store, change: dict[str, Any]) -> None:
        given_schedule(memory, "0 3 *")
        for name, value in change.items():
            setattr(memory, name, value)
        assert schedules.due_slot(memory, NOW + timedelta(days=1)) is None
        assert schedules.missed_runs(memory, NOW + timedelta(days=3)) == []

    def test_overdue_after_the_scheduler_had_its_time(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        slot = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
        found = [minutes for minutes in (-1, 0, 1, 2, 29, 31) if schedules.overdue(slot + timedelta(minutes=minutes)) == ["mem"]]
        assert found == [2, 29]
        purge.scheduled("mem", slot + timedelta(minutes=2))
        assert schedules.overdue(slot + timedelta(minutes=3)) == []

    def test_missed_runs_are_recorded_once(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        now = datetime(2026, 11, 27, 3, 20, tzinfo=UTC)
        assert [slot.day for slot in schedules.missed_runs(memory, now)] == [25, 26]
        assert schedules.record_missed(now) == 2
        assert schedules.record_missed(now) == 0
        assert schedules.record_missed(now + timedelta(minutes=10)) == 1
        missed = Run.objects.filter(state=RunState.MISSED).order_by("due_at")
        assert [run.due_at.day for run in missed if run.due_at] == [25, 26, 27]
        assert {(run.action, run.started_by, run.store_name, bool(run.finished_at)) for run in missed} == {
            ("purge", "schedule", "mem", True)
        }
        assert "not running" in missed[0].error

    def test_a_slot_between_others_is_missed_too(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        Run.objects.create(
            store=memory, store_name="mem", action=RunAction.PURGE, state=RunState.DONE, due_at=datetime(2026, 11, 26, 3, tzinfo=UTC)
        )
        now = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
        assert [slot.day for slot in schedules.missed_runs(memory, now)] == [25, 27]

    def test_workers_that_come_back_start_the_present_slot_and_record_the_others(self, memory: Store) -> None:
        given_schedule(memory, "0 *")
        purge.catch_up(NOW + timedelta(hours=3, minutes=5))
        found = Run.objects.order_by("due_at").values_list("due_at", "state")
        assert [(at.hour, state) for at, state in found if at] == [(13, "missed"), (14, "missed"), (15, "queued")]
        purge.catch_up(NOW + timedelta(hours=3, minutes=6))
        assert Run.objects.count() == 3

    def test_a_manual_purge_makes_up_for_no_slot(self, memory: Store) -> None:
        given_schedule(memory, "0 3 *")
        Run.objects.create(store=memory, store_name="mem", action=RunAction.PURGE, state=RunState.DONE)
        assert len(schedules.missed_runs(memory, NOW + timedelta(days=1))) == 1

    def test_a_long_absence_is_bounded(self, memory: Store) -> None:
        given_schedule(memory, "5 *")
        found = schedules.missed_runs(memory, NOW + timedelta(days=90))
        assert len(found) == 50
        assert found[-1] == NOW + timedelta(days=90) - timedelta(minutes=55)
        assert schedules.record_missed(NOW + timedelta(days=90)) == 50
        assert schedules.record_missed(NOW + timedelta(days=90)) == 0
        given_schedule(memory, "0 3 *")
        assert len(schedules.missed_runs(memory, NOW + timedelta(days=90))) == 7

    def test_a_slot_has_one_id(self) -> None:
        slot = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
        berlin = slot.astimezone(ZoneInfo("Europe/Berlin"))
        assert schedules.slot_id("a", slot) == schedules.slot_id("a", berlin) != schedules.slot_id("b", slot)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    """The scheduler's clock in one place."""
    hands = [NOW]
    monkeypatch.setattr(TzAwareCrontab, "nowfunc", lambda self: hands[0].astimezone(self.tz))
    monkeypatch.setattr(ModelEntry, "_default_now", lambda self: hands[0])
    yield hands


def live_through(store: Store, hands: list[datetime], begin: datetime, end: datetime, *, sweep: bool = True) -> dict[datetime, timedelta]:
    """Minute by minute: Celery's own entry decides when it fires, the sweep runs beside it. Slot -> delay of its run."""
    hands[0] = begin
    entry = ModelEntry(PeriodicTask.objects.get(name=f"purge {store.pk}"), app=app)
    started: dict[datetime, timedelta] = {}
    while hands[0] < end:
        hands[0] += timedelta(minutes=1)
        fired = []
        if entry.is_due().is_due:
            entry = next(entry)
            fired.append(store.pk)
        for store_id in fired + (schedules.overdue(hands[0]) if sweep else []):
            run = purge.scheduled(store_id, hands[0])
            if run is not None:
                assert run.due_at is not None and run.due_at not in started
                started[run.due_at] = hands[0] - run.due_at
                Run.objects.filter(pk=run.pk).update(state=RunState.DONE, active_key=None)
    return started


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 23, 30, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 30, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 8, 5, 30, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 13, 45, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 13, 15, tzinfo=UTC)),
    ],
    ids=["berlin-spring", "berlin-autumn", "new-york-spring", "new-york-autumn", "lord-howe-spring", "lord-howe-autumn"],
)
@pytest.mark.parametrize("frequency", ["30 2 *", "15 2 *", "45 1 *", "10 *", "45 *"])
def test_every_slot_of_a_night_with_a_clock_change_runs_once(
    memory: Store, settings: Any, clock: list[datetime], zone: str, begin: datetime, frequency: str
) -> None:
    settings.TIME_ZONE = zone
    given_schedule(memory, frequency, begin)
    end = begin + timedelta(hours=5, minutes=9)
    started = live_through(memory, clock, begin, end)
    slots = [slot.astimezone(UTC) for slot in cron.runs_between(cron.parse(frequency), begin, end - timedelta(minutes=3), ZoneInfo(zone))]
    assert list(started) == slots
    assert max(started.values()) <= timedelta(minutes=2)
    assert slots


@pytest.mark.django_db
def test_the_schedulers_own_crontab_is_not_enough(memory: Store, settings: Any, clock: list[datetime]) -> None:
    """Why the sweep is there: alone, Celery is half an hour late in the gap and leaves out the repeated hour."""
    settings.TIME_ZONE = "Europe/Berlin"
    begin = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    given_schedule(memory, "30 2 *", begin)
    assert list(live_through(memory, clock, begin, begin + timedelta(hours=4), sweep=False).values()) == [timedelta(minutes=30)]
    begin = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    given_schedule(memory, "10 *", begin)
    assert len(live_through(memory, clock, begin, begin + timedelta(hours=4), sweep=False)) == 3


def test_a_changed_schedule_does_not_fire_for_the_past(memory: Store, clock: list[datetime]) -> None:
    """Celery computes from the last time it fired: without a new start it would fire at once for 09:00."""
    given_schedule(memory, "0 3 *", datetime(2026, 11, 24, 2, 0, tzinfo=UTC))
    assert len(live_through(memory, clock, datetime(2026, 11, 24, 2, 0, tzinfo=UTC), datetime(2026, 11, 24, 9, 10, tzinfo=UTC))) == 1
    given_schedule(memory, "0 9 *", clock[0])
    assert live_through(memory, clock, clock[0], datetime(2026, 11, 24, 12, 0, tzinfo=UTC)) == {}
    assert not Run.objects.filter(state=RunState.MISSED).exists()


def test_deleting_and_switching_off_through_the_definitions(memory: Store) -> None:
    schedules.set_schedule(ACTOR, memory, "0 3 *")
    definitions.update_store(ACTOR, memory, enabled=False)
    assert not row().enabled
    definitions.update_store(ACTOR, memory, enabled=True)
    assert row().enabled
    definitions.delete_store(ACTOR, memory)
    assert not PeriodicTask.objects.exists()
