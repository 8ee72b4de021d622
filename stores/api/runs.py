"""Background runs: the list, one live, its log and receipt, cancel, pause, resume, undo."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Router, Schema, Status

from stores.api.base import ApiRequest, Body, Cursor, actor, does
from stores.errors import KeyNotFound, NotSupported
from stores.models import Run, RunAction
from stores.registry import find_store
from stores.services import bulk_undo, purge, run_control, runs, tokens
from stores.services.bulk_receipt import receipt
from stores.types import Pace

router = Router(tags=["runs"])


class RunOut(Schema):
    """`action` is purge, census, bulk or tidy; `state` queued, running, paused, done, cancelled, failed or missed."""

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


class RunsOut(Schema):
    runs: list[RunOut]
    next: str


class LogLine(Schema):
    """`at` is Unix seconds."""

    at: int
    text: str


class PointOut(Schema):
    """After so many seconds, so many keys had been read; the longest step until then in milliseconds."""

    seconds: float
    keys: int
    longest_ms: float


class LogOut(Schema):
    """What was logged, oldest first, and the course of the run."""

    lines: list[LogLine]
    points: list[PointOut]


class PaceIn(Body):
    pace: Literal["gentle", "normal", "fast"] = "gentle"


class RunUndoIn(Body):
    overwrite: bool = False


class ReceiptOut(Schema):
    """What a bulk change did. `checksum` is the same for the same set of keys, in any order."""

    run: str
    store: str
    started_by: str
    state: str
    error: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float
    change: dict[str, Any]
    done: int
    same: int
    skipped: int
    kept: int
    failed: int
    undoable: int
    bytes: int
    checksum: str
    failures: list[dict[str, str]]


def run_out(run: Run) -> dict[str, Any]:
    """A run as the API answers it."""
    return purge.json_run(run) | {
        "action": run.action,
        "started_by": run.started_by,
        "progress": run.progress,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }


@router.get("/runs", **does("read", RunsOut, "Runs, newest first"))
def list_runs(
    request: ApiRequest, store: str = "", action: Literal["", "purge", "census", "bulk", "tidy"] = "", cursor: Cursor = ""
) -> dict[str, Any]:
    tokens.require(request.auth, "read", store)
    found = runs.history(find_store(store) if store else None, action, cursor)
    return {"runs": [run_out(run) for run in found.runs if _mine(request, run)], "next": found.next}


@router.get("/runs/{run_id}", **does("read", RunOut, "One run, live"))
def get_run(request: ApiRequest, run_id: str) -> dict[str, Any]:
    return run_out(_run(request, run_id, "read"))


@router.get("/runs/{run_id}/log", **does("read", LogOut, "What a run has said"))
def get_log(request: ApiRequest, run_id: str) -> dict[str, Any]:
    run = _run(request, run_id, "read")
    points = [{"seconds": seconds, "keys": keys, "longest_ms": worst} for seconds, keys, worst in run.points]
    return {"lines": [{"at": int(at), "text": text} for at, text in run.log], "points": points}


@router.get("/runs/{run_id}/receipt", **does("read", ReceiptOut, "What a bulk change did"))
def get_receipt(request: ApiRequest, run_id: str) -> dict[str, Any]:
    run = _run(request, run_id, "read")
    if run.action != RunAction.BULK:
        raise NotSupported("Only bulk changes have a receipt.")
    return receipt(run)


@router.post("/runs/{run_id}/undo", **does("edit", RunOut, "Put back what a bulk change removed, as a run", 202))
def undo_run(request: ApiRequest, run_id: str, body: RunUndoIn) -> Status[dict[str, Any]]:
    """Never over something newer, unless `overwrite`."""
    run = _run(request, run_id, "edit")
    return Status(202, run_out(bulk_undo.start(actor(request), run, overwrite=body.overwrite)))


@router.post("/runs/{run_id}/pace", **does("purge", RunOut, "Give a run another pace"))
def pace_run(request: ApiRequest, run_id: str, body: PaceIn) -> dict[str, Any]:
    """Bulk changes with the scope edit, purges and counts with purge."""
    return run_out(run_control.change_pace(actor(request), _run(request, run_id, _either(request)), Pace(body.pace)))


@router.post("/runs/{run_id}/{act}", **does("purge", RunOut, "Cancel, pause or resume a run, or go on with one that ended early"))
def act_on_run(request: ApiRequest, run_id: str, act: Literal["cancel", "pause", "resume", "go-on"]) -> dict[str, Any]:
    """Bulk changes with the scope edit, purges and counts with purge."""
    run = _run(request, run_id, _either(request))
    step = {"cancel": runs.request_cancel, "pause": runs.request_pause, "resume": runs.resume, "go-on": run_control.go_on}[act]
    return run_out(step(actor(request), run))


def _either(request: ApiRequest) -> str:
    return "edit" if "edit" in request.auth.scopes else "purge"


def _mine(request: ApiRequest, run: Run) -> bool:
    return not request.auth.stores or run.store_name in request.auth.stores


def _run(request: ApiRequest, run_id: str, scope: str) -> Run:
    tokens.require(request.auth, scope)
    run = runs.find(run_id)
    if not _mine(request, run):
        raise KeyNotFound("There is no such run.")
    return run
