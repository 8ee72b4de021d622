"""Counting every store now and then by itself, so that figures have an age of an hour at most and a history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from stores.errors import BadConfig, StoreError
from stores.models import Census, Run, RunAction, Store
from stores.registry import backend_class
from stores.services import audit, census
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.texts import say

INTERVALS: Final = (
    (0, say("Only on request")),
    (15, say("Every 15 minutes")),
    (60, say("Every hour")),
    (180, say("Every 3 hours")),
    (720, say("Every 12 hours")),
    (1440, say("Every day")),
    (10080, say("Every week")),
)
"""Minutes, and what to call them."""
LEAST_REST: Final = 20
"""A count that took so long rests at least 20 times as long: counting takes at most about 5 % of the time."""


def set_interval(actor: Actor, store: Store, minutes: int) -> None:
    """Count a store this often by itself, 0 for only on request; writes the audit. Raises BadConfig(field="minutes")."""
    require(actor, Permission.CONFIGURE, store)
    if minutes not in dict(INTERVALS):
        raise BadConfig(say("%(minutes)s minutes is no interval of counts.", minutes=minutes), say("Choose one of the list."), "minutes")
    if minutes == store.census_minutes:
        return
    before, store.census_minutes = store.census_minutes, minutes
    with transaction.atomic():
        store.save(update_fields=["census_minutes", "updated_at"])
        audit.record(actor, "census-interval", store, before={"minutes": before}, after={"minutes": minutes})


def start_due(now: datetime | None = None) -> list[Run]:
    """Start the counts whose time has come; every minute. A store that cannot be counted now has its turn later."""
    moment = now or timezone.now()
    started = []
    for store in Store.objects.filter(enabled=True, census_minutes__gt=0):
        if not is_due(store, moment):
            continue
        try:
            backend_class(store.type)
            started.append(census.start(Actor.system(), store))
        except StoreError:
            continue
    return started


def is_due(store: Store, now: datetime) -> bool:
    """Whether a store was neither counted nor tried for its interval. Two queries."""
    return now >= next_after(store, Census.objects.filter(store=store).defer("classes", "details").first(), now)


def next_after(store: Store, last: Census | None, now: datetime) -> datetime:
    """When the next count by itself is due, after the last census. One query."""
    tried = Run.objects.filter(store=store, action=RunAction.CENSUS).order_by("-created_at").values_list("created_at", flat=True).first()
    known = [moment for moment in (last.at if last else None, tried) if moment is not None]
    if not known:
        return now
    rest = timedelta(seconds=LEAST_REST * last.seconds) if last else timedelta()
    return max(known) + max(timedelta(minutes=store.census_minutes), rest)
