"""Counting a store exactly, by class: in a worker with progress, or in the foreground; the last count has its age.

Exact means that every key which is there all the while is counted once; keys that come or go meanwhile may be counted or not.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from stores.backends.base import Backend
from stores.errors import CursorLost, StoreError
from stores.models import Census, Run, RunAction, RunState, Store
from stores.registry import OWN_ROWS
from stores.services import history, runs
from stores.services.access import opened
from stores.services.actor import Actor
from stores.services.census_parts import RunParts
from stores.services.counting import AT_ONCE, OwnParts, Parts, Work, count_parts
from stores.services.leases import Lease
from stores.services.part_rows import FAN_OUT_PARTS, is_large, seats
from stores.services.permissions import Permission, require
from stores.services.rows import store_kind
from stores.services.tally import Tally

WALKS: Final = 3
"""How often a count starts when the server keeps losing its place."""

DETAILED: Final = 20
"""Censuses of a store that keep their details; which censuses are kept at all says `history.TIERS`."""


def start(actor: Actor, store: Store) -> Run:
    """Record a census and hand it to the workers. Raises Busy while one of this store is active."""
    require(actor, Permission.PURGE, store)
    run = runs.create(actor, store, RunAction.CENSUS)
    runs.queue(run)
    return run


def execute(run_id: UUID | str) -> Run | None:
    """Worker side: claim a queued census and do it; None when it is not there to be claimed."""
    run = runs.claim(run_id)
    if run is None:
        return None
    with Lease(run) as lease:
        counted = _counted(lease.store, lease)
        if counted is not None:
            _save(counted, run)
    RunParts(run).forget_ended()
    run.refresh_from_db()
    return run


def count(store: Store, actor: Actor) -> Census:
    """Count now, in this process, and keep the result. Memory is flat whatever the store's size. Raises what the store says."""
    require(actor, Permission.PURGE, store)
    counted = _counted(store, None)
    assert counted is not None
    _save(counted, None)
    return counted


def latest(store: Store) -> Census | None:
    """The last census of a store; None when it was never counted."""
    return Census.objects.filter(store=store).first()


def json_census(census: Census) -> dict[str, Any]:
    """What `census STORE --json` prints; a public interface.

    `at` is Unix seconds. `keys` counts values; a row is counted once (a counter with its marker is one counter); rows whose
    kind the store does not know (user keys on Redis) count as values. `value_bytes` are stored bytes, a number is 8.
    """
    return {
        "store": census.store_id,
        "at": int(census.at.timestamp()),
        "seconds": round(census.seconds, 3),
        "exact": census.exact,
        "corrupt": census.corrupt,
        "total": census.total,
        "classes": census.classes,
    }


def assist(run_id: UUID | str) -> None:
    """Take part in a census that another worker leads: count parts until none is left to claim.

    What fails here is left to the leader, who counts the part again from its last position.
    """
    run = Run.objects.select_related("store").filter(pk=run_id, state=RunState.RUNNING).first()
    if run is None or run.store is None or "moment" not in run.params:
        return
    parts = RunParts(run, leads=False)
    with suppress(StoreError):
        count_parts(_work(run.store, run.params["moment"], persist=True), parts, parts.watch, wait=False)
    parts.release()


def _counted(store: Store, lease: Lease | None) -> Census | None:
    """A whole walk through the store; None when somebody asked to stop it.

    A server that restarts or fails over in the middle loses its place in the walk: it is counted again from the start, which is
    tried a few times, so that a count is never the sum of two halves.
    """
    for _ in range(WALKS - 1):
        try:
            return _walked(store, lease)
        except CursorLost:
            if lease is not None:
                RunParts(lease.run).forget()
    return _walked(store, lease)


def _walked(store: Store, lease: Lease | None) -> Census | None:
    began = time.monotonic()
    moment, parts = _parts(store, lease)
    work = _work(store, moment, persist=lease is not None)
    if not count_parts(work, parts, partial(_stopped, lease, parts)):
        return None
    tally = parts.whole(work.empty)
    if tally.plan() is not None:
        with opened(store) as backend:
            tally.settle(partial(_size, backend), backend.linked)
    return Census(
        store=store,
        at=datetime.fromtimestamp(moment, UTC),
        seconds=time.monotonic() - began if lease is None else lease.seconds,
        exact=True,
        corrupt=tally.corrupt,
        total=tally.total(),
        classes=tally.classes(),
        details=tally.details(),
    )


def _parts(store: Store, lease: Lease | None) -> tuple[int, Parts]:
    """The moment that decides what has expired, and the parts to count: those of a worker that died, or new ones."""
    if lease is None:
        with opened(store) as backend:
            return int(time.time()), OwnParts(backend.census_parts(AT_ONCE))
    parts = RunParts(lease.run)
    large = is_large(store)
    if not parts.known():
        with opened(store) as backend:
            lease.run.params = {**lease.run.params, "moment": int(time.time())}
            parts.create(backend.census_parts(FAN_OUT_PARTS if large else AT_ONCE))
        lease.save(force=True)
    if large:
        runs.call_assistants(lease.run, seats() - 1)
    return int(lease.run.params["moment"]), parts


def _work(store: Store, moment: int, *, persist: bool) -> Work:
    with opened(store) as backend:
        kind, at_once = store_kind(backend.capabilities), backend.census_at_once()
    empty = partial(Tally, store.effective_version, moment, kind)
    return Work(partial(opened, store), empty, threads=store.type not in OWN_ROWS, persist=persist, at_once=at_once)


def _size(backend: Backend, key: bytes) -> int | None:
    found = backend.get(key)
    return None if found is None else found.size


def _stopped(lease: Lease | None, parts: Parts, at_work: dict[int, tuple[int, float]]) -> bool:
    """Tell how far the run is, and whether somebody wants it to stop."""
    if lease is None or not isinstance(parts, RunParts):
        return False
    lease.run.scanned, lease.run.corrupt, lease.run.progress = parts.sums(at_work)
    lease.save()
    return lease.stopped


def _save(census: Census, run: Run | None) -> None:
    """Keep it with the steps it shows, and drop what is too much for its age."""
    census.run = run
    census.steps = history.json_steps(history.steps([*history.week(census.store, census.at), census]))
    with transaction.atomic():
        census.save(force_insert=True)
        history.thin(census.store, census.at)
        detailed = list(Census.objects.filter(store=census.store).order_by("-at").values_list("pk", flat=True)[: DETAILED + 5])
        Census.objects.filter(pk__in=detailed[DETAILED:]).update(details={})
