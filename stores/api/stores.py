"""Definitions, connection tests, counts, purges and schedules of stores."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Router, Schema, Status

from stores.api.base import PROBLEMS, ApiRequest, actor, allowed_store
from stores.errors import KeyNotFound
from stores.models import Run, Store
from stores.services import beatrows, census, definitions, health, purge, schedules, tokens
from stores.types import Pace

router = Router(tags=["stores"])


class StoreOut(Schema):
    id: str
    type: str
    default: bool
    version: str
    purge: str | None
    enabled: bool
    read_only: bool
    supported: bool
    settings: dict[str, str]


class StoreIn(Schema):
    id: str
    type: str
    settings: dict[str, str] = {}
    version: str = ""
    read_only: bool = False
    default: bool = False
    entries: list[tuple[str, str]] = []


class StoreChange(Schema):
    settings: dict[str, str] | None = None
    version: str | None = None
    enabled: bool | None = None
    read_only: bool | None = None
    entries: list[tuple[str, str]] | None = None


class CheckOut(Schema):
    name: str
    state: str
    detail: str
    fix: str


class RunOut(Schema):
    id: str
    store: str
    action: str
    state: str
    started_by: str
    pace: str
    seconds: float
    scanned: int
    values: int
    counters: int
    locks: int
    corrupt: int
    bytes: int
    longest_ms: float
    progress: float | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class PurgeIn(Schema):
    pace: Pace = Pace.GENTLE


class ScheduleIn(Schema):
    frequency: str
    paused: bool = False


class ScheduleOut(Schema):
    frequency: str
    paused: bool
    words: str
    next: list[datetime]
    notes: list[str]
    error: str
    zone: str


def run_out(run: Run) -> dict[str, Any]:
    """A run as the API answers it."""
    return purge.json_run(run) | {
        "action": run.action,
        "started_by": run.started_by,
        "progress": run.progress,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }


@router.get("", response={200: list[StoreOut], **PROBLEMS}, summary="All stores the token may touch")
def list_stores(request: ApiRequest) -> list[dict[str, Any]]:
    tokens.require(request.auth, "read")
    mine = request.auth.stores
    return [info.as_json() for info in definitions.list_stores() if not mine or info.id in mine]


@router.post("", response={201: StoreOut, **PROBLEMS}, summary="Define a store")
def add_store(request: ApiRequest, body: StoreIn) -> Status[dict[str, Any]]:
    tokens.require(request.auth, "admin", body.id)
    store = definitions.create_store(
        actor(request),
        id=body.id,
        type=body.type,
        settings=body.settings,
        version=body.version,
        read_only=body.read_only,
        make_default=body.default,
        entries=tuple(body.entries),
    )
    return Status(201, definitions.info(store).as_json())


@router.get("/{store_id}", response={200: StoreOut, **PROBLEMS}, summary="One definition, secrets masked")
def get_store(request: ApiRequest, store_id: str) -> dict[str, Any]:
    return definitions.info(allowed_store(request, store_id, "read")).as_json()


@router.patch("/{store_id}", response={200: StoreOut, **PROBLEMS}, summary="Change a definition")
def change_store(request: ApiRequest, store_id: str, body: StoreChange) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    changes = {name: value for name, value in body.dict(exclude_unset=True).items() if value is not None}
    return definitions.info(definitions.update_store(actor(request), store, **changes)).as_json()


@router.delete("/{store_id}", response={204: None, **PROBLEMS}, summary="Delete a definition, never the store itself")
def remove_store(request: ApiRequest, store_id: str, new_default: str = "") -> Status[None]:
    definitions.delete_store(actor(request), allowed_store(request, store_id, "admin"), new_default)
    return Status(204, None)


@router.post("/{store_id}/default", response={200: StoreOut, **PROBLEMS}, summary="Make it the default lookup store")
def make_default(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    definitions.set_default(actor(request), store)
    return definitions.info(store).as_json()


@router.post("/{store_id}/test", response={200: list[CheckOut], **PROBLEMS}, summary="Test the connection step by step")
def test_store(request: ApiRequest, store_id: str) -> list[dict[str, Any]]:
    return [asdict(check) | {"state": check.state.value} for check in health.test_store(allowed_store(request, store_id, "read"))]


@router.get("/{store_id}/census", response={200: dict[str, Any], **PROBLEMS}, summary="The last census; 404 when not counted yet")
def last_census(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "read")
    found = census.latest(store)
    if found is None:
        raise KeyNotFound(f"Store {store.id} has not been counted yet.", "Start a census first.")
    return census.json_census(found)


@router.post("/{store_id}/census", response={202: RunOut, **PROBLEMS}, summary="Count the store in the background")
def start_census(request: ApiRequest, store_id: str) -> Status[dict[str, Any]]:
    return Status(202, run_out(census.start(actor(request), allowed_store(request, store_id, "read"))))


@router.post("/{store_id}/purge", response={202: RunOut, **PROBLEMS}, summary="Purge expired rows in the background")
def start_purge(request: ApiRequest, store_id: str, body: PurgeIn) -> Status[dict[str, Any]]:
    return Status(202, run_out(purge.start(actor(request), allowed_store(request, store_id, "purge"), body.pace)))


@router.get("/{store_id}/schedule", response={200: ScheduleOut, **PROBLEMS}, summary="The purge schedule in words, with its next runs")
def get_schedule(request: ApiRequest, store_id: str) -> dict[str, Any]:
    return _schedule(allowed_store(request, store_id, "read"))


@router.put("/{store_id}/schedule", response={200: ScheduleOut, **PROBLEMS}, summary="Set the purge schedule; empty ends it")
def put_schedule(request: ApiRequest, store_id: str, body: ScheduleIn) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    schedules.set_schedule(actor(request), store, body.frequency, paused=body.paused)
    store.refresh_from_db()
    return _schedule(store)


def _schedule(store: Store) -> dict[str, Any]:
    zone = beatrows.server_zone()
    found = schedules.describe(store.purge_frequency, timezone.now(), zone, version=store.effective_version, store=store)
    return {
        "frequency": store.purge_frequency,
        "paused": store.purge_paused,
        "words": found.words,
        "next": [] if store.purge_paused else [run.at for run in found.next_runs],
        "notes": [note.text for note in found.notes],
        "error": found.error,
        "zone": str(zone),
    }
