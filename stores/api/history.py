"""Runs, trash, audit and lookups."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Router, Schema

from stores.api.base import PROBLEMS, ApiRequest, actor, shown
from stores.api.keys import KeyOut
from stores.api.stores import RunOut, run_out
from stores.errors import BadConfig, KeyNotFound
from stores.models import VERSIONS, AuditEntry, Run
from stores.registry import find_store
from stores.services import runs, tokens, trash
from stores.services.console import evaluate_expression
from stores.services.lookup import Lookups

router = Router()


class RunsOut(Schema):
    runs: list[RunOut]
    next: str


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


class RestoreIn(Schema):
    overwrite: bool = False


class EvaluateIn(Schema):
    expression: str
    variables: dict[str, Any] = {}
    version: str = ""
    allow_writes: bool = False


class EvaluateOut(Schema):
    type: str
    result: Any = None
    error: dict[str, Any] | None
    notes: list[str]
    trace: list[dict[str, Any]]


class LookupIn(Schema):
    """One of Stalwart's own verbs. `value` for key_set, `number` for counter_incr, `expires_in` seconds for both."""

    function: Literal["key_get", "key_exists", "key_set", "key_delete", "counter_get", "counter_incr"]
    store: str = ""
    key: str
    value: str = ""
    number: int = 1
    expires_in: int | None = None


class LookupOut(Schema):
    store: str
    result: Any = None


class AuditOut(Schema):
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


@router.get("/runs", response={200: RunsOut, **PROBLEMS}, tags=["runs"], summary="Runs, newest first")
def list_runs(request: ApiRequest, store: str = "", action: str = "", cursor: str = "") -> dict[str, Any]:
    tokens.require(request.auth, "read", store)
    found = runs.history(find_store(store) if store else None, action, cursor)
    return {"runs": [run_out(run) for run in found.runs if _mine(request, run)], "next": found.next}


@router.get("/runs/{run_id}", response={200: RunOut, **PROBLEMS}, tags=["runs"], summary="One run, live")
def get_run(request: ApiRequest, run_id: str) -> dict[str, Any]:
    return run_out(_run(request, run_id, "read"))


@router.post("/runs/{run_id}/{act}", response={200: RunOut, **PROBLEMS}, tags=["runs"], summary="Cancel, pause or resume a run")
def act_on_run(request: ApiRequest, run_id: str, act: Literal["cancel", "pause", "resume"]) -> dict[str, Any]:
    run = _run(request, run_id, "purge")
    step = {"cancel": runs.request_cancel, "pause": runs.request_pause, "resume": runs.resume}[act]
    return run_out(step(actor(request), run))


@router.get("/trash", response={200: TrashPageOut, **PROBLEMS}, by_alias=True, tags=["trash"], summary="What can be restored, newest first")
def list_trash(request: ApiRequest, store: str = "", cursor: str = "") -> dict[str, Any]:
    tokens.require(request.auth, "read", store)
    if request.auth.stores and not store:
        raise BadConfig("This token sees single stores only.", "Name the store.", "store")
    found = trash.list_trash(trash.TrashFilter(store_id=store), cursor)
    return {"entries": [_trash(item) for item in found.rows], "next": found.next}


@router.post(
    "/trash/{trash_id}/restore", response={200: KeyOut, **PROBLEMS}, by_alias=True, tags=["trash"], summary="Put a row back exactly"
)
def restore(request: ApiRequest, trash_id: int, body: RestoreIn) -> dict[str, Any]:
    """Over a newer row only with `overwrite`."""
    tokens.require(request.auth, "edit", trash.find(trash_id).trash.store_id)
    return shown(trash.restore(actor(request), trash_id, body.overwrite))


@router.post("/lookups", response={200: LookupOut, **PROBLEMS}, tags=["lookups"], summary="One lookup as Stalwart answers it")
def look_up(request: ApiRequest, body: LookupIn) -> dict[str, Any]:
    writes = body.function in ("key_set", "key_delete", "counter_incr")
    store = find_store(body.store)
    tokens.require(request.auth, "edit" if writes else "read", store.id)
    with Lookups(actor(request)) as lookups:
        return {"store": store.id, "result": _verb(lookups, store.id, body)}


@router.post("/lookups/evaluate", response={200: EvaluateOut, **PROBLEMS}, tags=["lookups"], summary="Evaluate an expression")
def evaluate(request: ApiRequest, body: EvaluateIn) -> dict[str, Any]:
    """Needs the scope read, with `allow_writes` also edit; a token for single stores may not evaluate, since an expression names any."""
    tokens.require(request.auth, "edit" if body.allow_writes else "read")
    if request.auth.stores:
        raise tokens.NotAllowed("An expression may name any store; this token is for single ones.", "Use a token for all stores.")
    version = body.version or find_store("").effective_version
    if version not in VERSIONS:
        raise BadConfig(f"There is no version {version[:20]}.", f"Use one of {', '.join(VERSIONS)}.", "version")
    with Lookups(actor(request)) as lookups:
        result = evaluate_expression(body.expression, body.variables, lookups, version=version, allow_writes=body.allow_writes)
    trace = [{"function": q.function, "asked": q.asked, "store": q.store, "key": q.key, "hit": q.hit, "note": q.note} for q in result.trace]
    return result.json() | {"notes": list(result.notes), "trace": trace}


@router.get("/audit", response={200: AuditPageOut, **PROBLEMS}, tags=["audit"], summary="Who did what, newest first")
def audit(request: ApiRequest, store: str = "", before: int | None = None) -> dict[str, Any]:
    tokens.require(request.auth, "admin", store)
    if request.auth.stores and not store:
        raise BadConfig("This token sees single stores only.", "Name the store.", "store")
    found = AuditEntry.objects.order_by("-id")
    if store:
        found = found.filter(store_name=store)
    if before is not None:
        found = found.filter(pk__lt=max(0, min(before, 1 << 62)))
    entries = list(found[:101])
    return {"entries": [_audit(entry) for entry in entries[:100]], "next": str(entries[99].pk) if len(entries) > 100 else ""}


def _mine(request: ApiRequest, run: Run) -> bool:
    return not request.auth.stores or run.store_name in request.auth.stores


def _run(request: ApiRequest, run_id: str, scope: str) -> Run:
    tokens.require(request.auth, scope)
    run = runs.find(run_id)
    if not _mine(request, run):
        raise KeyNotFound("There is no such run.")
    return run


def _trash(item: trash.TrashRow) -> dict[str, Any]:
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


def _verb(lookups: Lookups, store: str, body: LookupIn) -> Any:
    key = body.key.encode("utf-8", "replace")
    match body.function:
        case "key_get":
            found = lookups.key_get(store, key)
            return None if found is None else found.decode("utf-8", "replace")
        case "key_exists":
            return lookups.key_exists(store, key)
        case "counter_get":
            return lookups.counter_get(store, key)
        case "counter_incr":
            return lookups.counter_incr(store, key, body.number, body.expires_in)
        case "key_set":
            lookups.key_set(store, key, body.value.encode("utf-8", "replace"), body.expires_in)
        case "key_delete":
            lookups.key_delete(store, key)
    return True


def _audit(entry: AuditEntry) -> dict[str, Any]:
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
