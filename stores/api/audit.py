"""Who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Router, Schema

from stores.api.base import ApiRequest, Cursor, does, one_or_all
from stores.errors import BadConfig
from stores.models import AuditEntry

router = Router(tags=["audit"])
PAGE = 100


class AuditOut(Schema):
    """`key` is hex, or a digest where the key itself is a secret; values of secrets are digests too."""

    id: int
    at: datetime
    actor: str
    via: str
    address: str | None
    action: str
    store: str
    class_slug: str
    key: str
    before: Any = None
    after: Any = None
    outcome: str


class AuditPageOut(Schema):
    entries: list[AuditOut]
    next: str


@router.get("/audit", **does("admin", AuditPageOut, "Who did what, newest first"))
def list_audit(
    request: ApiRequest,
    store: str = "",
    actor: str = "",
    outcome: Literal["", "started", "done", "refused", "failed"] = "",
    cursor: Cursor = "",
) -> dict[str, Any]:
    one_or_all(request, "admin", store)
    found = AuditEntry.objects.order_by("-id")
    for name, value in (("store_name", store), ("actor", actor), ("outcome", outcome)):
        if value:
            found = found.filter(**{name: value})
    if cursor:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise BadConfig("This page link is not of the audit.", "Start again from the first page.", "cursor")
        found = found.filter(pk__lt=int(cursor))
    entries = list(found[: PAGE + 1])
    return {"entries": [_entry(entry) for entry in entries[:PAGE]], "next": str(entries[PAGE - 1].pk) if len(entries) > PAGE else ""}


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": entry.at,
        "actor": entry.actor,
        "via": entry.via,
        "address": entry.address,
        "action": entry.action,
        "store": entry.store_name,
        "class_slug": entry.class_slug,
        "key": entry.key_hex,
        "before": entry.before,
        "after": entry.after,
        "outcome": entry.outcome,
    }
