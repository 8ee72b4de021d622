"""Purging a store: what waits, doing it now, and its schedule."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone
from ninja import Router, Schema, Status

from stores.api.base import ApiRequest, Body, Instant, Name, actor, allowed_store, does
from stores.api.runs import RunOut, run_out
from stores.errors import BadConfig, KeyNotFound
from stores.models import Store
from stores.services import beatrows, census, purge, schedules, tidy
from stores.types import Pace

router = Router(tags=["purge"])
PaceName = Literal["gentle", "normal", "fast"]


class PurgeIn(Body):
    """At `until` (Unix seconds) the purge stops with its present slice."""

    pace: PaceName = "gentle"
    until: Instant | None = None


class WaitingOut(Schema):
    """What a purge would have removed at the time of the last census."""

    at: datetime
    exact: bool
    scanned: int
    values: int
    counters: int
    locks: int
    corrupt: int
    bytes: int
    classes: list[dict[str, Any]]


class ScheduleIn(Body):
    """`frequency` is "minute hour weekday" in the server's time, such as `0 3 *`; empty ends the schedule."""

    frequency: Name
    paused: bool = False
    pace: PaceName | None = None


class NextOut(Schema):
    at: datetime
    change: str
    together: list[str]


class ScheduleOut(Schema):
    frequency: str
    paused: bool
    pace: str
    words: str
    next: list[NextOut]
    notes: list[str]
    error: str
    zone: str


@router.get("/stores/{store_id}/purge", **does("read", WaitingOut, "What waits for a purge; 404 when not counted yet"))
def get_waiting(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "read")
    found = census.latest(store)
    if found is None or "expired" not in found.details:
        raise KeyNotFound(f"Store {store.id} has not been counted yet.", "Start a census first.")
    return asdict(purge.preview_of(found))


@router.post("/stores/{store_id}/purge", **does("purge", RunOut, "Purge expired rows in the background", 202))
def start_purge(request: ApiRequest, store_id: str, body: PurgeIn) -> Status[dict[str, Any]]:
    store = allowed_store(request, store_id, "purge")
    return Status(202, run_out(purge.start(actor(request), store, Pace(body.pace), until=_until(body.until))))


@router.get("/stores/{store_id}/schedule", **does("read", ScheduleOut, "The purge schedule with its next runs"))
def get_schedule(request: ApiRequest, store_id: str, frequency: str | None = None) -> dict[str, Any]:
    """With `frequency` that schedule is described instead; nothing is saved."""
    store = allowed_store(request, store_id, "read")
    return _schedule(store, store.purge_frequency if frequency is None else frequency)


@router.put("/stores/{store_id}/schedule", **does("admin", ScheduleOut, "Set the purge schedule; empty ends it"))
def put_schedule(request: ApiRequest, store_id: str, body: ScheduleIn) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    schedules.set_schedule(actor(request), store, body.frequency, paused=body.paused, pace=body.pace or "")
    store.refresh_from_db()
    return _schedule(store, store.purge_frequency)


class TidyWayOut(Schema):
    """`seconds` is a rough guess; `disk`, in bytes as `room`, is null for another machine's. `asks` has to be confirmed by `sure`."""

    name: str
    does: str
    statements: list[str]
    locks: str
    seconds: float
    room: int
    disk: int | None
    asks: str
    refused: str


class TidyOfferOut(Schema):
    """Without ways `why` says why nothing can or need be done. `size` and `free` are bytes."""

    ways: list[TidyWayOut]
    size: int | None
    free: int | None
    why: str


class TidyIn(Body):
    way: Name
    sure: bool = False


@router.get("/stores/{store_id}/tidy", **does("read", TidyOfferOut, "What can be done about the space of removed rows, and its costs"))
def get_tidy(request: ApiRequest, store_id: str) -> dict[str, Any]:
    return asdict(tidy.offer(allowed_store(request, store_id, "read")))


@router.post("/stores/{store_id}/tidy", **does("purge", RunOut, "Give the space of removed rows back in the background", 202))
def start_tidy(request: ApiRequest, store_id: str, body: TidyIn) -> Status[dict[str, Any]]:
    store = allowed_store(request, store_id, "purge")
    return Status(202, run_out(tidy.start(actor(request), store, body.way, sure=body.sure)))


def _until(seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    now = timezone.now()
    if not now.timestamp() < seconds <= now.timestamp() + 31 * 86_400:
        raise BadConfig("The end lies in the past, or more than a month ahead.", "Give Unix seconds of a later time.", "until")
    return datetime.fromtimestamp(seconds, now.tzinfo)


def _schedule(store: Store, frequency: str) -> dict[str, Any]:
    zone = beatrows.server_zone()
    found = schedules.describe(frequency, timezone.now(), zone, version=store.effective_version, store=store)
    return {
        "frequency": frequency,
        "paused": store.purge_paused,
        "pace": store.purge_pace,
        "words": found.words,
        "next": [] if store.purge_paused else [asdict(run) for run in found.next_runs],
        "notes": [note.text for note in found.notes],
        "error": found.error,
        "zone": str(zone),
    }
