"""When a store's schedule wants a purge, and whether it got one.

Celery's own crontab fires an hour late when the clocks skip a time, and leaves out the second pass of a repeated hour. So the
slots of a schedule are computed by `stores.cron` alone: `due_slot` says whether there is anything to do when the scheduler
fires, and `overdue` finds the slots for which it did not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from stores import cron
from stores.errors import BadConfig
from stores.models import Run, RunAction, RunState, Store
from stores.services import runs
from stores.services.beatrows import LATE, PREFIX, TASK, server_zone
from stores.texts import say

OVERDUE: Final = timedelta(minutes=2)
"""Time that scheduler and workers have before a slot counts as forgotten by them."""
LOOK_BACK: Final = timedelta(days=7)
MOST_MISSED: Final = 50
"""How many of a store's last slots are looked at for runs that were missed."""
_SLOTS: Final = UUID("5f4cbb8e-6f0c-4a8c-9a3e-0a9d3b5f3c11")


def slot_id(store_id: str, slot: datetime) -> UUID:
    """Id of the run of one slot: whoever starts or records it, it is the same run."""
    return uuid5(_SLOTS, f"{store_id} {slot.timestamp():.0f}")


def due_slot(store: Store, now: datetime | None = None) -> datetime | None:
    """The last slot of the store's schedule at or before now, in UTC; None when there is none since the schedule was set.

    It may be long past or have run already: compare with `LATE` and with the runs. One query.
    """
    if not store.purge_frequency or store.purge_paused or not store.enabled:
        return None
    try:
        found = cron.parse(store.purge_frequency)
    except BadConfig:
        return None
    slot = cron.latest_run(found, now or timezone.now(), server_zone()).astimezone(UTC)
    since = in_force_since(store.pk)
    return None if since is not None and slot <= since else slot


def in_force_since(store_id: str) -> datetime | None:
    """When the present schedule of a store was set, switched on or changed; None without a row in the scheduler."""
    found: datetime | None = PeriodicTask.objects.filter(name=PREFIX + store_id).values_list("start_time", flat=True).first()
    return found


def overdue(now: datetime | None = None) -> list[str]:
    """Ids of stores whose present slot has no run although the scheduler had its time, or will never fire for it.

    The second kind are slots off the clock face: after a gap, or in the second pass of a repeated hour. Two queries a store.
    """
    now = now or timezone.now()
    return [store.pk for store in scheduled_stores() if _is_overdue(store, now)]


def _is_overdue(store: Store, now: datetime) -> bool:
    slot = due_slot(store, now)
    if slot is None or now - slot > LATE:
        return False
    off_the_clock = not cron.on_the_clock(cron.parse(store.purge_frequency), slot.astimezone(server_zone()))
    return (off_the_clock or now - slot >= OVERDUE) and not _on_record(store, slot)


def _on_record(store: Store, slot: datetime) -> bool:
    return Run.objects.filter(store=store, action=RunAction.PURGE, due_at=slot).exists()


def missed_runs(store: Store, now: datetime | None = None) -> list[datetime]:
    """Slots in UTC, oldest first, that are past and have no run, since the schedule was set and at most 7 days back.

    Of frequent schedules the last 50 slots are looked at. A slot may still begin within 30 minutes; until then it is not
    missed. Two queries.
    """
    now = now or timezone.now()
    since = in_force_since(store.pk)
    if since is None or not store.purge_frequency or store.purge_paused or not store.enabled:
        return []
    try:
        found = cron.runs_between(cron.parse(store.purge_frequency), max(since, now - LOOK_BACK), now - LATE, server_zone())
    except BadConfig:
        return []
    slots = [slot.astimezone(UTC) for slot in found][-MOST_MISSED:]
    runs_of_slots = Run.objects.filter(store=store, action=RunAction.PURGE, due_at__gte=slots[0]) if slots else Run.objects.none()
    on_record = set(runs_of_slots.values_list("due_at", flat=True))
    return [slot for slot in slots if slot not in on_record]


def record_missed(now: datetime | None = None) -> int:
    """Write a run in the state missed for every slot that nothing started; answers how many. Two queries a store."""
    written = 0
    for store in scheduled_stores():
        for slot in missed_runs(store, now):
            error = say("Nothing started this purge: kvadmin's scheduler or workers were not running.")
            run = runs.record_unstarted(store, RunAction.PURGE, RunState.MISSED, error, slot, slot_id(store.pk, slot))
            written += run is not None
    return written


def scheduled_stores() -> list[Store]:
    """Stores whose row in the scheduler is switched on."""
    names = PeriodicTask.objects.filter(task=TASK, enabled=True).values_list("name", flat=True)
    return list(Store.objects.filter(pk__in=[name.removeprefix(PREFIX) for name in names]))
