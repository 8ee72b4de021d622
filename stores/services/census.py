"""Counting a store exactly, by class: in a worker with progress, or in the foreground; the last count has its age.

Exact means that every key which is there all the while is counted once; keys that come or go meanwhile may be counted or not.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from stores.backends.base import Backend
from stores.errors import CursorLost
from stores.models import Census, Run, RunAction, Store
from stores.services import history, runs
from stores.services.access import opened
from stores.services.actor import Actor
from stores.services.leases import Lease
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


def _counted(store: Store, lease: Lease | None) -> Census | None:
    """A whole walk through the store; None when somebody asked to stop it.

    A server that restarts or fails over in the middle loses its place in the walk: it is counted again from the start, which is
    tried a few times, so that a count is never the sum of two halves.
    """
    for _ in range(WALKS - 1):
        try:
            return _walked(store, lease)
        except CursorLost:
            continue
    return _walked(store, lease)


def _walked(store: Store, lease: Lease | None) -> Census | None:
    began = time.monotonic()
    now = int(time.time())
    with opened(store) as backend:
        tally = Tally(store.effective_version, now, store_kind(backend.capabilities))
        plan = tally.plan()
        parts = backend.census_parts()
        for number, part in enumerate(parts):
            for step in backend.survey(plan, part):
                tally.take(step)
                progress = None if step.progress is None else (number + step.progress) / len(parts)
                if lease is not None and _stopped(lease, tally, progress):
                    return None
        if plan is not None:
            tally.settle(partial(_size, backend), backend.linked)
    return Census(
        store=store,
        at=datetime.fromtimestamp(now, UTC),
        seconds=time.monotonic() - began,
        exact=True,
        corrupt=tally.corrupt,
        total=tally.total(),
        classes=tally.classes(),
        details=tally.details(),
    )


def _size(backend: Backend, key: bytes) -> int | None:
    found = backend.get(key)
    return None if found is None else found.size


def _stopped(lease: Lease, tally: Tally, progress: float | None) -> bool:
    lease.run.scanned = tally.rows
    lease.run.corrupt = tally.corrupt
    lease.run.progress = lease.run.progress if progress is None else progress
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
