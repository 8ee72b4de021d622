"""Who did what: the audit, as a file too, and whether it still is what was written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from django.http import HttpResponse, StreamingHttpResponse
from ninja import Field, Query, Router, Schema, Status

from stores.api.base import ApiRequest, Cursor, actor, does, gives_file, one_or_all, whole
from stores.errors import KeyNotFound
from stores.models import AuditEntry
from stores.services import audit_export, audit_search, audit_verify
from stores.services.audit_search import Wanted
from stores.services.durations import LAST_MOMENT
from stores.services.filters import KeyFilter
from stores.services.permissions import Permission, require

router = Router(tags=["audit"])

Moment = Annotated[int, Field(ge=0, le=LAST_MOMENT)]


class AuditFilter(Schema):
    """All parts must hold; those that are empty do not filter. `group`: kinds of acts; `since` and `until` in Unix seconds."""

    store: str = ""
    actor: str = ""
    slug: str = ""
    group: Literal["", "keys", "bulk", "runs", "secrets", "settings", "server", "accounts", "audit"] = ""
    outcome: Literal["", "started", "done", "refused", "failed"] = ""
    since: Moment | None = None
    until: Moment | None = None
    text: Annotated[str, Field(max_length=200)] = ""


class AuditQuery(AuditFilter):
    cursor: Cursor = ""


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
    hash: str


class AuditPageOut(Schema):
    """`partial`: a slow filter has looked at a part only; `next` goes on."""

    entries: list[AuditOut]
    next: str
    partial: bool


class ChainOut(Schema):
    """What the last check of the chain found. `problem` is empty when it is unbroken."""

    at: datetime
    entries: int
    problem: str


@router.get("/audit", **does("admin", AuditPageOut, "Who did what, newest first"))
def list_audit(request: ApiRequest, query: Query[AuditQuery]) -> dict[str, Any]:
    wanted = _wanted(request, query)
    found = audit_search.find(wanted, query.cursor)
    return {"entries": [_entry(entry) for entry in found.entries], "next": found.next, "partial": found.partial}


@router.get(
    "/audit/export", **gives_file("admin", "The audit as JSON Lines with every link of the chain, or CSV", "application/jsonl", "text/csv")
)
def export_audit(request: ApiRequest, query: Query[AuditFilter], format: Literal["jsonl", "csv"] = "jsonl") -> HttpResponse:
    """Streamed, newest first. The export is an entry of the audit itself."""
    pieces = audit_export.export(actor(request), _wanted(request, query), format)
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/jsonl; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="audit.{format}"'}
    return cast(HttpResponse, StreamingHttpResponse(pieces, content_type=kind, headers=headers))


@router.get("/audit/check", **does("admin", ChainOut, "Whether the audit is what was written, as last seen"))
def get_check(request: ApiRequest) -> Any:
    _allowed(request, "")
    found = audit_verify.last_check()
    if found is None:
        raise KeyNotFound("The audit has not been verified yet.", "That happens every hour.")
    return {"at": found.at, "entries": found.entries, "problem": found.problem}


@router.post("/audit/check", **does("admin", None, "Have the whole audit verified in the background", 202))
def start_check(request: ApiRequest) -> Status[None]:
    _allowed(request, "")
    audit_verify.request_check()
    return Status(202, None)


def _allowed(request: ApiRequest, store: str) -> None:
    if store:
        one_or_all(request, "admin", store)
    else:
        whole(request, "admin")
    require(actor(request), Permission.AUDIT)


def _wanted(request: ApiRequest, given: AuditFilter) -> Wanted:
    _allowed(request, given.store)
    slug = KeyFilter.from_query({"class": given.slug}).class_slug
    return Wanted(given.store, given.actor, slug, given.group, given.outcome, _time(given.since), _time(given.until), given.text)


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _entry(entry: AuditEntry) -> dict[str, Any]:
    names = ("at", "actor", "via", "address", "action", "class_slug", "before", "after", "outcome", "hash")
    return {"id": entry.pk, "store": entry.store_name, "key": entry.key_hex, **{name: getattr(entry, name) for name in names}}
