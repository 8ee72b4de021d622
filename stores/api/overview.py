"""How everything is: the stores as they were last seen and counted, and the installation's own parts."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from ninja import Router, Schema

from stores.api.base import ApiRequest, does
from stores.models import Census
from stores.services import definitions, history, pulse, readiness, runs, tokens

router = Router(tags=["overview"])


class LineOut(Schema):
    """Figures are of the last count, null without one. `state` unknown: the store has not answered within the time."""

    id: str
    type: str
    default: bool
    state: str
    message: str
    milliseconds: float | None
    keys: int | None
    bytes: int | None
    expired: int | None
    counted_at: datetime | None
    running: list[str]


class PartOut(Schema):
    name: str
    ok: bool
    detail: str


@router.get("/overview", **does("read", list[LineOut], "Every store in a line: does it answer, what does it hold, what runs"))
def get_overview(request: ApiRequest) -> list[dict[str, Any]]:
    """Waits 1.5 s at most for stores that are silent."""
    tokens.require(request.auth, "read")
    infos = definitions.list_stores()
    pulses = pulse.ask_all(info.store for info in infos)
    active: dict[str, list[str]] = {}
    for run in runs.active():
        active.setdefault(run.store_name, []).append(run.action)
    return [_line(info, pulses.get(info.id), active.get(info.id, [])) for info in infos]


@router.get("/status", **does("read", list[PartOut], "Database, queue, worker and scheduler"))
def get_status(request: ApiRequest) -> list[dict[str, Any]]:
    tokens.require(request.auth, "read")
    return [asdict(part) for part in readiness.parts()]


def _line(info: definitions.StoreInfo, seen: pulse.Pulse | None, running: list[str]) -> dict[str, Any]:
    census = Census.objects.filter(store=info.store).defer("classes", "details", "steps").first()
    health = seen.health if seen else None
    return {
        "id": info.id,
        "type": info.type,
        "default": info.default,
        "state": health.state if health else "unknown",
        "message": health.message if health else "",
        "milliseconds": health.milliseconds if health else None,
        "keys": history.keys_of(census.total) if census else None,
        "bytes": history.bytes_of(census.total) if census else None,
        "expired": int(census.total["expired"]) if census else None,
        "counted_at": census.at if census else None,
        "running": running,
    }
