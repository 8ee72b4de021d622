"""One row of Celery's scheduler for each store with a purge schedule, kept in step with its definition."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from stores import cron
from stores.backends.base import Backend
from stores.backends.readonly import ReadOnlyTable
from stores.errors import BadConfig, NotSupported
from stores.models import Store
from stores.registry import backend_class
from stores.texts import say

TASK: Final = "stores.tasks.scheduled_purge"
PREFIX: Final = "purge "
"""Name of a store's row in the scheduler: this and its id."""
LATE: Final = timedelta(minutes=30)
"""A purge that cannot begin within this time of its slot is left out and recorded as missed."""


def server_zone() -> ZoneInfo:
    """The zone of all schedules: the server's, or the one it was told (KVADMIN_TIME_ZONE)."""
    zone = timezone.get_default_timezone()
    assert isinstance(zone, ZoneInfo)
    return zone


def require_purges(type_name: str) -> None:
    """Raise NotSupported with the reason when stores of this type are never purged, or not supported."""
    if backend_class(type_name).purge in (Backend.purge, ReadOnlyTable.purge):
        raise NotSupported(
            say("A %(label)s store expires its keys by itself or has none that expire.", label=backend_class(type_name).LABEL),
            say("It needs no schedule."),
        )


def purges(type_name: str) -> bool:
    """Whether stores of this type can be purged from here."""
    try:
        require_purges(type_name)
    except NotSupported:
        return False
    return True


def sync(store: Store, now: datetime | None = None) -> None:
    """Bring the scheduler's row of a store in step with its definition: exactly one with a schedule, none without.

    A row that is new or changes in any way counts from now on: what lies before was not missed. Call it after every change
    of a definition. Two to five queries.
    """
    try:
        wanted = cron.parse(store.purge_frequency) if store.purge_frequency else None
    except BadConfig:
        wanted = None
    if wanted is None:
        remove(store.pk)
        return
    with transaction.atomic():
        Store.objects.select_for_update().filter(pk=store.pk).first()
        task = PeriodicTask.objects.filter(name=PREFIX + store.pk).first()
        task = task or PeriodicTask(name=PREFIX + store.pk, task=TASK)
        _bring_in_step(task, store, wanted, now or timezone.now())


def _bring_in_step(task: PeriodicTask, store: Store, wanted: cron.Cron, now: datetime) -> None:
    crontab, moved = _crontab(task, wanted)
    enabled = store.enabled and not store.purge_paused and purges(store.type)
    fields: dict[str, Any] = {
        "task": TASK,
        "args": json.dumps([store.pk]),
        "crontab": crontab,
        "interval": None,
        "solar": None,
        "clocked": None,
        "expire_seconds": int(LATE.total_seconds()),
        "enabled": enabled,
        "description": f"Purge of {store.pk}, {cron.words(wanted)[0].lower()}{cron.words(wanted)[1:]}",
    }
    changed = {name for name, value in fields.items() if getattr(task, name) != value}
    if task.pk is not None and not changed and not moved:
        return
    for name, value in fields.items():
        setattr(task, name, value)
    if task.pk is None or moved or "enabled" in changed:
        task.start_time = now
        task.last_run_at = now
    task.save()


def _crontab(task: PeriodicTask, wanted: cron.Cron) -> tuple[CrontabSchedule, bool]:
    """The task's own crontab row with the wanted fields, and whether it is another time than before."""
    fields = {**cron.celery_fields(wanted), "timezone": server_zone()}
    crontab = task.crontab
    if crontab is None or crontab.periodictask_set.exclude(pk=task.pk).exists():
        return CrontabSchedule.objects.create(**fields), True
    if all(str(getattr(crontab, name)) == str(value) for name, value in fields.items()):
        return crontab, False
    for name, value in fields.items():
        setattr(crontab, name, value)
    crontab.save()
    return crontab, True


def remove(store_id: str) -> None:
    """Take a store's row out of the scheduler; call it when a definition goes."""
    for task in PeriodicTask.objects.select_related("crontab").filter(name=PREFIX + store_id, task=TASK):
        _drop(task)


def _drop(task: PeriodicTask) -> None:
    crontab = task.crontab
    with transaction.atomic():
        task.delete()
        if crontab is not None and not crontab.periodictask_set.exists():
            crontab.delete()


def sync_all() -> None:
    """All stores in step, rows of stores that are gone removed, and crontabs that nothing uses; call it at every start."""
    stores = {store.pk: store for store in Store.objects.all()}
    for task in PeriodicTask.objects.filter(task=TASK):
        if task.name.removeprefix(PREFIX) not in stores:
            _drop(task)
    for store in stores.values():
        sync(store)
    CrontabSchedule.objects.filter(periodictask__isnull=True).delete()
