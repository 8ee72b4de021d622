"""The trash: what was deleted or overwritten from here, and putting it back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Field, Router, Schema

from stores.api.base import ApiRequest, Body, Cursor, KeyOut, Serial, actor, does, one_or_all, shown
from stores.services import runs, tokens, trash
from stores.services.filters import KeyFilter

router = Router(tags=["trash"])
MOST_AT_ONCE = 500


class TrashOut(Schema):
    id: int
    store: str
    reason: str
    deleted_at: datetime
    deleted_by: str
    kept_until: datetime
    restored_at: datetime | None
    key: KeyOut


class TrashPageOut(Schema):
    entries: list[TrashOut]
    next: str


class RestoreIn(Body):
    """Over a newer row only with `overwrite`."""

    overwrite: bool = False


class RestoreManyIn(RestoreIn):
    ids: Annotated[list[Serial], Field(min_length=1, max_length=MOST_AT_ONCE)]


class RestoredOut(Schema):
    """`state` is restored, conflict (the key holds something else now) or failed."""

    id: int
    state: str
    message: str


@router.get("/trash", **does("read", TrashPageOut, "What can be restored, newest first"))
def list_trash(
    request: ApiRequest, store: str = "", slug: str = "", run: str = "", restored: bool | None = False, cursor: Cursor = ""
) -> dict[str, Any]:
    """`slug`: of one class; `run`: what one run removed; `restored`: those that were put back already."""
    one_or_all(request, "read", store)
    run_id = str(runs.find(run).pk) if run else ""
    wanted = trash.TrashFilter(store, KeyFilter.from_query({"class": slug}).class_slug, run_id=run_id, restored=restored)
    found = trash.list_trash(wanted, cursor)
    return {"entries": [_entry(item) for item in found.rows], "next": found.next}


@router.post("/trash/restore", **does("edit", list[RestoredOut], "Put several rows back, each by itself"))
def restore_many(request: ApiRequest, body: RestoreManyIn) -> list[dict[str, Any]]:
    tokens.require(request.auth, "edit")
    for trash_id in body.ids if request.auth.stores else ():
        tokens.require(request.auth, "edit", trash.find(trash_id).trash.store_id)
    outcomes = trash.restore_many(actor(request), body.ids, body.overwrite)
    return [{"id": found.trash_id, "state": found.state, "message": found.message} for found in outcomes]


@router.get("/trash/{trash_id}", **does("read", TrashOut, "One thing in the trash"))
def get_trash(request: ApiRequest, trash_id: Serial) -> dict[str, Any]:
    tokens.require(request.auth, "read")
    found = trash.find(trash_id)
    tokens.require(request.auth, "read", found.trash.store_id)
    return _entry(found)


@router.post("/trash/{trash_id}/restore", **does("edit", KeyOut, "Put a row back exactly"))
def restore(request: ApiRequest, trash_id: Serial, body: RestoreIn) -> dict[str, Any]:
    tokens.require(request.auth, "edit")
    tokens.require(request.auth, "edit", trash.find(trash_id).trash.store_id)
    return shown(trash.restore(actor(request), trash_id, body.overwrite))


def _entry(item: trash.TrashRow) -> dict[str, Any]:
    entry = item.trash
    return {
        "id": entry.pk,
        "store": entry.store_id,
        "reason": entry.reason,
        "deleted_at": entry.deleted_at,
        "deleted_by": entry.deleted_by,
        "kept_until": entry.kept_until,
        "restored_at": entry.restored_at,
        "key": shown(item.row),
    }
