"""Counts of a store: the last one, earlier ones, curves and what changed between two, and how often a store is counted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema, Status

from stores.api.base import WHOLE, ApiRequest, Body, Cursor, Serial, actor, allowed_store, does
from stores.api.runs import RunOut, run_out
from stores.errors import BadConfig, KeyNotFound
from stores.models import Census, Store
from stores.services import census, census_schedule, history
from stores.services.filters import CUSTOM, KeyFilter

router = Router(tags=["counts"])
PAGE = 100


class CensusOut(Schema):
    """`at` is Unix seconds. A counter with its marker is one counter; `total` and each of `classes` have the same sums."""

    store: str
    at: int
    seconds: float
    exact: bool
    corrupt: int
    total: dict[str, Any]
    classes: list[dict[str, Any]]


class CountOut(Schema):
    """One earlier count, all classes together."""

    id: int
    at: datetime
    seconds: float
    keys: int
    expired: int
    bytes: int


class CountPage(Schema):
    counts: list[CountOut]
    next: str


class GrowthOut(Schema):
    id: int
    at: datetime
    keys: int
    expired: int
    bytes: int


class ChangeOut(Schema):
    """One class in two counts; null is what belongs to no class."""

    slug: str
    before: int
    after: int
    change: int
    expired: int
    bytes: int


class DiffOut(Schema):
    before: CountOut
    after: CountOut
    classes: list[ChangeOut]


class IntervalIn(Body):
    minutes: Annotated[Literal[0, 15, 60, 180, 720, 1440, 10080], WHOLE]


class IntervalOut(Schema):
    """0: counted only on request."""

    minutes: int
    choices: list[int]


@router.get("/stores/{store_id}/census", **does("read", CensusOut, "The last census; 404 when not counted yet"))
def last_census(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "read")
    found = census.latest(store)
    if found is None:
        raise KeyNotFound(f"Store {store.id} has not been counted yet.", "Start a census first.")
    return census.json_census(found)


@router.post("/stores/{store_id}/census", **does("purge", RunOut, "Count the store in the background", 202))
def start_census(request: ApiRequest, store_id: str) -> Status[dict[str, Any]]:
    return Status(202, run_out(census.start(actor(request), allowed_store(request, store_id, "purge"))))


@router.get("/stores/{store_id}/counts", **does("read", CountPage, "Earlier counts, newest first"))
def list_counts(request: ApiRequest, store_id: str, cursor: Cursor = "") -> dict[str, Any]:
    found = Census.objects.filter(store=allowed_store(request, store_id, "read")).order_by("-at", "-id")
    if cursor:
        found = found.filter(at__lt=_moment(cursor))
    rows = list(found.defer("classes", "details", "steps")[: PAGE + 1])
    following = rows[PAGE - 1].at.isoformat() if len(rows) > PAGE else ""
    return {"counts": [_count(row) for row in rows[:PAGE]], "next": following}


@router.get("/stores/{store_id}/counts/{count_id}", **does("read", CensusOut, "One earlier count, by class"))
def get_count(request: ApiRequest, store_id: str, count_id: Serial) -> dict[str, Any]:
    return census.json_census(_find(allowed_store(request, store_id, "read"), count_id))


@router.get("/stores/{store_id}/growth", **does("read", list[GrowthOut], "Keys over time, of all or of one class"))
def get_growth(
    request: ApiRequest, store_id: str, range: Literal["1h", "1d", "7d", "30d", "1y"] = "7d", slug: str = ""
) -> list[dict[str, Any]]:
    """`slug`: a class, or `custom` for keys of no class; empty: all together. At most about 120 points, oldest first."""
    store = allowed_store(request, store_id, "read")
    wanted = KeyFilter.from_query({"class": slug}).class_slug
    return [asdict(point) for point in history.curve(store, range, False if not wanted else None if wanted == CUSTOM else wanted)]


@router.get("/stores/{store_id}/diff", **does("read", DiffOut, "Two counts by class"))
def get_diff(request: ApiRequest, store_id: str, before: Serial, after: Serial) -> dict[str, Any]:
    """`before` and `after` are ids of counts, in either order; the largest change first."""
    store = allowed_store(request, store_id, "read")
    earlier, later = sorted((_find(store, before), _find(store, after)), key=lambda found: found.at)
    changes = [asdict(each) | {"change": each.change} for each in history.changes(earlier, later)]
    return {"before": _count(earlier), "after": _count(later), "classes": changes}


@router.get("/stores/{store_id}/census/interval", **does("read", IntervalOut, "How often the store is counted by itself"))
def get_interval(request: ApiRequest, store_id: str) -> dict[str, Any]:
    return _interval(allowed_store(request, store_id, "read"))


@router.put("/stores/{store_id}/census/interval", **does("admin", IntervalOut, "Set how often; 0 is only on request"))
def put_interval(request: ApiRequest, store_id: str, body: IntervalIn) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    census_schedule.set_interval(actor(request), store, body.minutes)
    return _interval(store)


def _interval(store: Store) -> dict[str, Any]:
    return {"minutes": store.census_minutes, "choices": [minutes for minutes, _ in census_schedule.INTERVALS]}


def _find(store: Store, count_id: int) -> Census:
    found = Census.objects.filter(store=store, pk=count_id).defer("details").first()
    if found is None:
        raise KeyNotFound("That count is not kept any more.", "Counts are kept further apart as they grow old.")
    return found


def _count(found: Census) -> dict[str, Any]:
    return {
        "id": found.pk,
        "at": found.at,
        "seconds": round(found.seconds, 3),
        "keys": history.keys_of(found.total),
        "expired": int(found.total["expired"]),
        "bytes": history.bytes_of(found.total),
    }


def _moment(cursor: str) -> datetime:
    try:
        at = datetime.fromisoformat(cursor)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadConfig("This page link is not of the counts.", "Start again from the first page.", "cursor")
    return at
