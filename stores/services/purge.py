"""Removing what has expired: on request, on schedule, in the foreground; always one at a time for a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.utils import timezone

from stores import keyclasses
from stores.backends.base import Backend, pause_after
from stores.errors import StoreError
from stores.models import Census, Run, RunAction, RunState, Store
from stores.services import access, census, runs
from stores.services.actor import Actor
from stores.services.beatrows import LATE
from stores.services.leases import Lease, carry_out
from stores.services.part_rows import FAN_OUT_PARTS, is_large, seats
from stores.services.permissions import Permission, require
from stores.services.purge_parts import Assistant, Leader, PurgeParts, Steps, is_late
from stores.services.slots import due_slot, overdue, record_missed, slot_id
from stores.texts import say
from stores.types import Pace, PurgeSlice

Progress = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a purge would remove, from a census: exact for that moment. `classes` maps slug (None: user keys) to counts."""

    at: datetime
    seconds: float
    exact: bool
    scanned: int
    values: int
    counters: int
    locks: int
    corrupt: int
    bytes: int
    classes: tuple[dict[str, Any], ...]


def start(actor: Actor, store: Store, pace: Pace = Pace.GENTLE, due_at: datetime | None = None, until: datetime | None = None) -> Run:
    """Record a purge and hand it to the workers. At `until` it stops with its present slice; what is left waits for the next one.

    Raises Busy, ReadOnly, NotSupported (Redis, static), and what the store says.
    """
    require(actor, Permission.PURGE, store)
    require_purges(store)
    run = runs.create(actor, store, RunAction.PURGE, pace=pace, due_at=due_at, params=_deadline(until))
    runs.queue(run)
    return run


def run_in_foreground(
    actor: Actor, store: Store, pace: Pace = Pace.NORMAL, on_progress: Progress | None = None, until: datetime | None = None
) -> Run:
    """Purge in this process and answer the finished run, whatever its state. Raises as `start` before anything is done.

    If this process dies, a worker finishes the run.
    """
    require(actor, Permission.PURGE, store)
    require_purges(store)
    run = runs.claim_here(runs.create(actor, store, RunAction.PURGE, pace=pace, params=_deadline(until)))
    return carry_out(run, partial(_purge, on_progress=on_progress), foreground=True)


def execute(run_id: UUID | str, on_progress: Progress | None = None) -> Run | None:
    """Worker side: claim a queued purge and do it; None when it is not there to be claimed (a repeated message)."""
    run = runs.claim(run_id)
    return None if run is None else carry_out(run, partial(_purge, on_progress=on_progress))


def scheduled(store_id: str, now: datetime | None = None) -> Run | None:
    """Start the purge of the present slot of a store's schedule; None when there is nothing to do.

    The slot's time decides the run's id, so that a beat that fires twice starts it once. A slot that is 30 minutes old is
    recorded as missed; a refusal (another purge still running, store read only) as failed.
    """
    store = Store.objects.filter(pk=store_id).first()
    moment = now or timezone.now()
    due = due_slot(store, moment) if store is not None else None
    if store is None or due is None or Run.objects.filter(store=store, action=RunAction.PURGE, due_at=due).exists():
        return None
    slot = slot_id(store.pk, due)
    unstarted = partial(runs.record_unstarted, store, RunAction.PURGE, due_at=due, id=slot)
    if moment - due > LATE:
        return unstarted(RunState.MISSED, say("kvadmin was not running at that time."))
    try:
        access.require_writable(store)
        run = runs.create(Actor.system(), store, RunAction.PURGE, pace=Pace(store.purge_pace), due_at=due, id=slot)
    except StoreError as error:
        return unstarted(RunState.FAILED, str(error))
    runs.queue(run)
    return run


def catch_up(now: datetime | None = None) -> None:
    """Start slots that the scheduler forgot or never fires for (clock changes), and record those that are past as missed."""
    for store_id in overdue(now):
        scheduled(store_id, now)
    record_missed(now)


def preview(store: Store, actor: Actor) -> Preview:
    """Count the store now and say what a purge would remove; changes nothing there. Costs a census."""
    require(actor, Permission.PURGE, store)
    require_purges(store)
    return preview_of(census.count(store, actor))


def preview_of(counted: Census) -> Preview:
    """What a purge would have removed at the time of a census."""
    total = counted.details["expired"]["total"]
    return Preview(
        at=counted.at,
        seconds=counted.seconds,
        exact=counted.exact,
        scanned=sum(counted.total[name] for name in ("keys", "counters", "locks")),
        values=total["values"],
        counters=total["counters"],
        locks=total["locks"],
        corrupt=counted.corrupt,
        bytes=total["bytes"],
        classes=tuple(counted.details["expired"]["classes"]),
    )


def require_purges(store: Store) -> None:
    """Raise ReadOnly or NotSupported with the reason when this store cannot be purged; opens it to see."""
    access.require_writable(store)
    with access.opened(store) as backend:
        access.require(store, backend, "purges")


def json_run(run: Run) -> dict[str, Any]:
    """What `purge --json` prints; a public interface."""
    return {
        "id": str(run.pk),
        "store": run.store_name,
        "state": run.state,
        "pace": run.pace,
        "seconds": round(run.seconds, 3),
        "scanned": run.scanned,
        "values": run.values,
        "counters": run.counters,
        "locks": run.locks,
        "corrupt": run.corrupt,
        "bytes": run.bytes,
        "longest_ms": round(run.longest_ms, 1),
        "error": run.error or None,
    }


def assist(run_id: UUID | str) -> None:
    """Take part in a purge that another worker leads, until no part is left; a message too late or repeated does nothing.

    What fails here is left to the leader, who goes on with the part from its last position.
    """
    run = Run.objects.select_related("store").filter(pk=run_id, state=RunState.RUNNING).first()
    if run is None or run.store is None:
        return
    parts = PurgeParts(run, leads=False)
    if not parts.open():
        return
    with suppress(StoreError):
        access.require_writable(run.store)
        with access.opened(run.store) as backend:
            access.require(run.store, backend, "purges")
            assistant = Assistant(run, parts, _steps(run, backend))
            backend.watch(assistant.look)
            assistant.help()


def _purge(lease: Lease, on_progress: Progress | None = None) -> None:
    """From the run's position or parts on, slice by slice, until the end or a wish to stop."""
    store = lease.store
    access.require_writable(store)
    with access.opened(store) as backend:
        access.require(store, backend, "purges")
        parts = _parts(lease, backend)
        lease.until = lease.run.params.get("until")
        backend.watch(lease.look)
        if parts is None:
            _alone(lease, _steps(lease.run, backend), on_progress)
        else:
            divide = partial(backend.purge_parts, FAN_OUT_PARTS)
            leader = Leader(lease, parts, _steps(lease.run, backend), divide, partial(_late, lease))
            backend.watch(leader.look)
            leader.lead()
    if not lease.cancel:
        lease.save(force=True)


def _parts(lease: Lease, backend: Backend) -> PurgeParts | None:
    """The parts of a purge that is shared, or shall be: of a large store, from its start, by workers."""
    parts = PurgeParts(lease.run)
    if parts.known():
        return parts
    if lease.run.position or lease.foreground or seats() < 2 or not is_large(lease.store):
        return None
    positions = backend.purge_parts(FAN_OUT_PARTS)
    if len(positions) < 2:
        return None
    parts.create(positions)
    return parts


def _alone(lease: Lease, steps_at: Steps, on_progress: Progress | None) -> None:
    """One pass through the store by this process."""
    run, pace, steps = lease.run, "", cast(Iterator[PurgeSlice], iter(()))
    while not lease.stopped and not _late(lease):
        if run.pace != pace:
            pace = run.pace
            steps = steps_at(Pace(pace), run.position)
        began = time.monotonic()
        step = next(steps, None)
        if step is None:
            break
        took = time.monotonic() - began
        lease.add(step, took * 1000)
        if on_progress is not None:
            on_progress(run)
        lease.wait(pause_after(Pace(pace), took))


def _steps(run: Run, backend: Backend) -> Steps:
    """The steps of this run at a pace, from a position on."""
    version = run.store.effective_version if run.store else ""

    def steps(pace: Pace, position: str) -> Iterator[PurgeSlice]:
        return backend.purge(_began(run), pace, position, lambda key: keyclasses.is_lock(key, version))

    return steps


def _late(lease: Lease) -> bool:
    """Whether the deadline has come; says so in the log, once."""
    if not lease.late and is_late(lease.run):
        lease.late = True
        lease.log(say("Stopped at the time that was set; what is left waits for the next purge."))
    return lease.late


def _deadline(until: datetime | None) -> dict[str, Any]:
    return {} if until is None else {"until": until.timestamp()}


def _began(run: Run) -> int:
    """The moment that decides what has expired: the first start, also after a crash."""
    return int((run.started_at or timezone.now()).timestamp())
