"""Giving the space of removed rows back: what an engine needs after large purges, offered where it is safe, one run at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, cast
from uuid import UUID

from stores.errors import BadConfig, Busy, StoreError
from stores.models import Run, RunAction, Store
from stores.services import access, runs
from stores.services.actor import Actor
from stores.services.leases import Lease, carry_out
from stores.services.permissions import Permission, require
from stores.texts import say
from stores.types import TidyOffer, TidyStep, TidyWay

Progress = Callable[[Run], None]


def offer(store: Store) -> TidyOffer:
    """What could be done with the store, and what each way costs; a few quick questions. Raises what opening raises.

    Stores that are read only here offer nothing and say so.
    """
    try:
        access.require_writable(store)
    except StoreError as error:
        return TidyOffer(why=error.message)
    with access.opened(store) as backend:
        return backend.tidy_offer()


def start(actor: Actor, store: Store, way: str, *, sure: bool = False) -> Run:
    """Record the run and hand it to the workers. `sure`: what the way asks for is confirmed.

    Raises Forbidden, ReadOnly, NotSupported, StoreRefused, BadConfig(field="sure"), and Busy beside a purge or bulk change.
    """
    run = _create(actor, store, way, sure)
    runs.queue(run)
    return run


def run_in_foreground(actor: Actor, store: Store, way: str, *, sure: bool = False, on_progress: Progress | None = None) -> Run:
    """Do it in this process and answer the finished run, whatever its state. Raises as `start` before anything is done."""
    run = runs.claim_here(_create(actor, store, way, sure))
    return carry_out(run, partial(_tidy, on_progress=on_progress), foreground=True)


def execute(run_id: UUID | str) -> Run | None:
    """Worker side: claim a queued run and do it; None when it is not there to be claimed (a repeated message)."""
    run = runs.claim(run_id)
    return None if run is None else carry_out(run, _tidy)


def json_run(run: Run) -> dict[str, Any]:
    """What `tidy --json` prints; a public interface."""
    return {
        "id": str(run.pk),
        "store": run.store_name,
        "state": run.state,
        "way": run.params.get("way", ""),
        "seconds": round(run.seconds, 3),
        "before": run.params.get("before"),
        "after": run.params.get("after"),
        "bytes": run.bytes,
        "error": run.error or None,
    }


def _create(actor: Actor, store: Store, name: str, sure: bool) -> Run:
    require(actor, Permission.PURGE, store)
    access.require_writable(store)
    with access.opened(store) as backend:
        way = backend.tidy_way(name)
    if way.asks and not sure:
        raise BadConfig(say("Confirm first: %(what)s.", what=way.asks), say("Tick the box, or say so with sure."), "sure")
    _require_quiet(store)
    return runs.create(actor, store, RunAction.TIDY, params=_params(way))


def _params(way: TidyWay) -> dict[str, Any]:
    return {"way": way.name, "statements": list(way.statements)}


def _require_quiet(store: Store) -> None:
    """A purge or bulk change would wait for it, or it for them. Raises Busy."""
    if any(run.action in (RunAction.PURGE, RunAction.BULK) for run in runs.active(store)):
        raise Busy(
            say("A purge or bulk change of store %(store_id)s is under way.", store_id=store.id), say("Wait for its end, then tidy.")
        )


def _tidy(lease: Lease, on_progress: Progress | None = None) -> None:
    """Step by step, until the end or a wish to stop; sizes before and after go into the run."""
    store, run = lease.store, lease.run
    access.require_writable(store)
    with access.opened(store) as backend:
        backend.watch(lease.look)
        before = backend.tidy_offer().size
        run.params = {**run.params, "before": run.params.get("before", before)}
        with closing(cast("Generator[TidyStep, None, None]", backend.tidy(run.params["way"]))) as steps:
            for step in steps:
                if step.progress is not None:
                    run.progress = step.progress
                lease.save()
                if on_progress is not None:
                    on_progress(run)
                if lease.stopped:
                    break
        after = backend.tidy_offer().size
    run.params = {**run.params, "after": after}
    run.bytes = max(0, (run.params["before"] or 0) - (after or 0))
    if not lease.cancel:
        lease.save(force=True)
