"""Addresses, logins, domains and the like: every trace of one, what holds it back, who is limited now, and putting it right."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema

from stores.api.base import ApiRequest, Body, Cursor, KeyOut, KeyToken, Name, StoreId, actor, asked_stores, does, masked, shown
from stores.errors import StoreError
from stores.models import Store
from stores.services import find, limited, relief, tokens
from stores.services.keytokens import key_of
from stores.services.limited import Window
from stores.services.relief import Target
from stores.services.verdict import judge

router = Router(tags=["subjects"])

Subject = Annotated[str, Field(max_length=1000)]
RateClass = Literal[
    "rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-smtp", "rate-contact", "rate-http-authenticated", "rate-http-anonymous"
]  # fmt: skip
ActionName = Literal["reset", "allow", "neutral", "release", "revoke", "forget"]


class TraceOut(KeyOut):
    store: str
    why: str


class SearchedOut(Schema):
    """With an `error` nothing is known of the store. `complete`: everything in it has been looked at."""

    store: str
    found: int
    scanned: int
    complete: bool
    error: str | None


class FoundOut(Schema):
    """`next` goes on with the walks that are not finished; empty when all are."""

    subject: str
    readings: list[dict[str, Any]]
    traces: list[TraceOut]
    stores: list[SearchedOut]
    next: str


class WindowOut(KeyOut):
    """A running rate window. `limit` null: not known."""

    store: str
    subject: str
    count: int
    limit: int | None
    rule: str | None
    window_end: int
    full: bool | None


class LimitedOut(Schema):
    windows: list[WindowOut]
    running: int
    stores: list[SearchedOut]
    next: str


class TargetOut(Schema):
    store: str
    key: str
    etag: str


class ProposalOut(Schema):
    action: str
    label: str
    targets: list[TargetOut]


class VerdictOut(Schema):
    """What holds the subject back. `level` is bad (now), warn (soon, or partly) or ok; `complete`: all stores were read to the end."""

    subject: str
    level: str
    title: str
    until: int | None
    lines: list[str]
    windows: list[WindowOut]
    traces: list[TraceOut]
    bans: list[dict[str, str]]
    proposals: list[ProposalOut]
    stores: list[SearchedOut]
    complete: bool


class TargetIn(Body):
    """A key as it was seen: `etag` empty where there was none."""

    store: StoreId
    key: KeyToken
    etag: Name = ""


class ActIn(Body):
    action: ActionName
    targets: Annotated[list[TargetIn], Field(min_length=1, max_length=relief.MOST_TARGETS)]


class PlannedOut(Schema):
    """`now` is what is stored now; `refused` says why nothing can be done with it."""

    store: str
    now: KeyOut | None
    changed: bool
    refused: str


class PlanOut(Schema):
    action: str
    effect: str
    keys: list[PlannedOut]


class ResultOut(Schema):
    """`state` is done, gone, changed or failed."""

    store: str
    state: str
    message: str
    now: KeyOut | None


class DoneOut(Schema):
    """`undo` takes it back, empty where there is nothing to take back."""

    action: str
    done: int
    results: list[ResultOut]
    undo: str


class UndoIn(Body):
    undo: Annotated[str, Field(min_length=1, max_length=1 << 20)]


class UndoneOut(Schema):
    store: str
    done: bool
    message: str


@router.get("/find", **does("read", FoundOut, "Every trace of a subject in all stores"))
def find_subject(request: ApiRequest, q: Subject, store: str = "", cursor: Cursor = "") -> dict[str, Any]:
    """An address, login, domain, AS number, Message-ID or queue id. Look-ups always finish, walks take a second a call."""
    found = find.search(q, asked_stores(request, store), cursor)
    return {
        "subject": found.subject,
        "readings": [{"sort": each.sort, "text": each.text} for each in found.meanings],
        "traces": [_trace(each) for each in found.findings],
        "stores": [_searched(each.store_id, len(each.findings), each.scanned, each.complete, each.error) for each in found.stores],
        "next": found.next,
    }


@router.get("/limited", **does("read", LimitedOut, "Who is limited now: the running rate windows, the fullest first"))
def list_limited(request: ApiRequest, slug: RateClass | None = None, store: str = "", cursor: Cursor = "") -> dict[str, Any]:
    found = limited.limited(asked_stores(request, store), slug or "", cursor)
    counted = [
        _searched(each.store_id, len(each.windows), each.scanned, each.error is None and each.position is None, each.error)
        for each in found.stores
    ]
    return {"windows": [_window(each) for each in found.windows], "running": found.running, "stores": counted, "next": found.next}


@router.get("/verdict", **does("read", VerdictOut, "What holds a subject back, and what can be done about it"))
def get_verdict(request: ApiRequest, q: Subject, store: str = "") -> dict[str, Any]:
    """The answer of the 3 a.m. page. Nothing is changed; `POST /acts` does what is proposed."""
    found = find.search(q, asked_stores(request, store))
    verdict = judge(found, Store.objects.in_bulk([searched.store_id for searched in found.stores]))
    proposals = [
        {"action": each.action, "label": each.label, "targets": [target_out(target) for target in each.targets]}
        for each in verdict.proposals
    ]
    return {
        "subject": found.subject,
        "level": verdict.level,
        "title": verdict.title,
        "until": verdict.until,
        "lines": list(verdict.lines),
        "windows": [_window(each) for each in verdict.windows],
        "traces": [_trace(each) for each in found.findings],
        "bans": [{"store": ban.store_id, "setting": ban.setting, "network": ban.network} for ban in verdict.bans],
        "proposals": proposals,
        "stores": [_searched(each.store_id, len(each.findings), each.scanned, each.complete, each.error) for each in found.stores],
        "complete": not found.next and not found.failed,
    }


@router.post("/acts/plan", **does("read", PlanOut, "What an act would do, key by key"))
def plan_act(request: ApiRequest, body: ActIn) -> dict[str, Any]:
    action = relief.action_of(body.action)
    planned = relief.plan(action, _targets(request, body, "read"))
    keys = [
        {"store": each.target.store_id, "now": each.row and shown(each.row), "changed": each.changed, "refused": each.refused}
        for each in planned
    ]
    return {"action": action.name, "effect": action.effect, "keys": keys}


@router.post("/acts", **does("edit", DoneOut, "Reset, allow, release, revoke or forget keys that are as they were seen"))
def carry_out(request: ApiRequest, body: ActIn) -> dict[str, Any]:
    """Keys that changed meanwhile are reported and left alone."""
    outcome = relief.carry_out(actor(request), relief.action_of(body.action), _targets(request, body, "edit"))
    results = [
        {"store": each.target.store_id, "state": each.state, "message": each.message, "now": each.after and shown(each.after)}
        for each in outcome.results
    ]
    return {"action": outcome.action.name, "done": outcome.done, "results": results, "undo": outcome.undo}


@router.post("/acts/undo", **does("edit", list[UndoneOut], "Take an act back"))
def undo_act(request: ApiRequest, body: UndoIn) -> list[dict[str, Any]]:
    tokens.require(request.auth, "edit")
    return [{"store": store, "done": done, "message": message} for store, done, message in relief.undo(actor(request), body.undo)]


def _targets(request: ApiRequest, body: ActIn, scope: str) -> list[Target]:
    tokens.require(request.auth, scope)
    for store_id in {target.store for target in body.targets}:
        tokens.require(request.auth, scope, store_id)
    return [Target(target.store, key_of(target.key), target.etag) for target in body.targets]


def target_out(target: Target) -> dict[str, Any]:
    """A key of an act as the API answers it."""
    store, _, rest = target.pick.partition("/")
    key, _, etag = rest.rpartition(":")
    return {"store": store, "key": key, "etag": etag}


def _trace(found: find.Finding) -> dict[str, Any]:
    return shown(found.row) | {"store": found.store_id, "why": found.why}


def _window(window: Window) -> dict[str, Any]:
    extra = {"value_label": window.row.decoded.value_label, "etag": window.row.entry.etag}
    return masked(limited.json_window(window), window.row) | extra


def _searched(store_id: str, found: int, scanned: int, complete: bool, error: StoreError | None) -> dict[str, Any]:
    return {"store": store_id, "found": found, "scanned": scanned, "complete": complete, "error": str(error) if error else None}
