"""Purge schedules: what they mean in words, and setting them. Rows of the scheduler and slots are in `beatrows` and `slots`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from stores import cron
from stores.errors import BadConfig
from stores.models import DefaultLookupStore, Store
from stores.services import audit
from stores.services.actor import Actor
from stores.services.beatrows import LATE, purges, remove, require_purges, server_zone, sync, sync_all
from stores.services.permissions import Permission, require
from stores.services.slots import due_slot, in_force_since, missed_runs, overdue, record_missed, scheduled_stores, slot_id
from stores.texts import say
from stores.types import Pace

__all__ = [
    "LATE",
    "NextRun",
    "Schedule",
    "ScheduleNote",
    "describe",
    "due_slot",
    "in_force_since",
    "missed_runs",
    "overdue",
    "purges",
    "record_missed",
    "remove",
    "require_purges",
    "server_zone",
    "set_schedule",
    "slot_id",
    "sync",
    "sync_all",
]


@dataclass(frozen=True, slots=True)
class NextRun:
    """One future run, in the server's zone."""

    at: datetime
    change: str = ""
    """What the clocks do between the run before and this one; empty when nothing."""
    together: tuple[str, ...] = ()
    """Ids of other stores that are purged at the same moment."""


@dataclass(frozen=True, slots=True)
class ScheduleNote:
    """One remark. `warning`: Stalwart would do something else than what is done here."""

    text: str
    warning: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule in words, with its next runs, or with the error that makes it none."""

    frequency: str
    """In its plain form; as typed when it is not valid."""
    words: str = ""
    next_runs: tuple[NextRun, ...] = ()
    notes: tuple[ScheduleNote, ...] = ()
    error: str = ""
    zone: str = ""


def describe(
    frequency: str,
    now: datetime | None = None,
    zone: ZoneInfo | None = None,
    *,
    version: str = "0.11",
    store: Store | None = None,
    count: int = 6,
) -> Schedule:
    """What a schedule means; never raises for what somebody typed. With a store also who else is purged then, and by whom.

    Without `store` no query, about 1 ms; with it two queries.
    """
    now, zone = now or timezone.now(), zone or server_zone()
    own = cron.stalwart_notes(frequency, store.effective_version if store else version)
    notes = [ScheduleNote(note.text, note.kind in ("rejects", "misfires", "accepts"), note.kind) for note in own]
    if store is not None:
        notes += _stalwart_purges(store)
    try:
        found = cron.parse(frequency)
    except BadConfig as error:
        return Schedule(frequency, notes=tuple(notes), error=str(error), zone=zone.key)
    others = _other_schedules(store) if store is not None else {}
    moments = cron.next_runs(found, now, zone, count)
    next_runs = tuple(
        NextRun(run, _change(found, before, run, zone), _together(others, run, zone))
        for before, run in pairwise([cron.latest_run(found, now, zone), *moments])
    )
    return Schedule(str(found), cron.words(found), next_runs, tuple(notes), zone=zone.key)


def set_schedule(actor: Actor, store: Store, frequency: str, paused: bool = False, pace: str = "") -> Schedule:
    """Give a store a purge schedule, or none for an empty text; keeps the scheduler's row in step and writes the audit.

    Raises BadConfig (field minute, hour, weekday, frequency or pace) and NotSupported for a store that needs no purge; then
    nothing has changed.
    """
    require(actor, Permission.CONFIGURE, store)
    text = frequency.strip()
    plain = str(cron.parse(text)) if text else ""
    if plain:
        require_purges(store.type)
    chosen = pace or store.purge_pace
    if chosen not in {known.value for known in Pace}:
        raise BadConfig(say('There is no pace "%(chosen)s".', chosen=chosen[:20]), say("Choose gentle, normal or fast."), "pace")
    before = _settings(store)
    store.purge_frequency, store.purge_paused, store.purge_pace = plain, paused, chosen
    with transaction.atomic():
        store.save(update_fields=["purge_frequency", "purge_paused", "purge_pace", "updated_at"])
        sync(store)
        if _settings(store) != before:
            audit.record(actor, "schedule", store, before=before, after=_settings(store))
    return describe(plain, store=store) if plain else Schedule("")


def _other_schedules(store: Store) -> Mapping[str, cron.Cron]:
    found: dict[str, cron.Cron] = {}
    for other in scheduled_stores():
        if other.pk != store.pk:
            found[other.pk] = cron.parse(other.purge_frequency)
    return found


def _together(others: Mapping[str, cron.Cron], run: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    moment = run.astimezone(UTC)
    return tuple(pk for pk, other in others.items() if cron.latest_run(other, run, zone).astimezone(UTC) == moment)


def _change(schedule: cron.Cron, before: datetime, run: datetime, zone: ZoneInfo) -> str:
    shift = cron.clock_change(before, run, zone)
    if shift is None:
        return ""
    hours = (run.astimezone(UTC) - before.astimezone(UTC)) / timedelta(hours=1)
    way = say("forward") if shift > timedelta() else say("back")
    if schedule.hour is not None and not cron.on_the_clock(schedule, run):
        return say(
            "%(hour)s:%(minute)s does not exist that day, the clocks go %(way)s",
            hour=f"{schedule.hour:02}",
            minute=f"{schedule.minute:02}",
            way=way,
        )
    size = (
        say("%(shift)s min", shift=f"{abs(shift) / timedelta(minutes=1):.0f}")
        if shift % timedelta(hours=1)
        else f"{abs(shift) / timedelta(hours=1):.0f} h"
    )
    return say("%(hours)s h later: the clocks go %(way)s by %(size)s", hours=f"{hours:g}", way=way, size=size)


def _stalwart_purges(store: Store) -> list[ScheduleNote]:
    """Whether Stalwart purges this store too."""
    if not purges(store.type):
        return []
    version = store.effective_version
    if version != "0.10" and not DefaultLookupStore.objects.filter(store=store).exists():
        text = say("Stalwart never purges this store by itself: it does that only for its default lookup store.")
    elif version == "0.16":
        text = say("Stalwart purges this store too, daily at 02:00 unless its dataCleanupSchedule says otherwise. Both are safe together.")
    else:
        own = say("by its setting purge.frequency or else by its default `%(stalwart_default)s`", stalwart_default=cron.STALWART_DEFAULT)
        text = say("Stalwart purges this store too, %(own)s. Both are safe together.", own=own)
    return [ScheduleNote(text, kind="own")]


def _settings(store: Store) -> dict[str, Any]:
    return {"frequency": store.purge_frequency, "paused": store.purge_paused, "pace": store.purge_pace}
