"""Undoing a whole run: everything it removed or overwrote goes back, never over something newer unless told; a run of its own."""

from __future__ import annotations

import time
from typing import Any, Final

from stores.backends.base import pause_after
from stores.errors import KeyNotFound, NotSupported
from stores.models import Run, RunAction, RunState, TrashEntry
from stores.services import access, runs
from stores.services.actor import Actor
from stores.services.bulk_chunks import AUDITED
from stores.services.bulk_record import Record
from stores.services.leases import Lease, key_text
from stores.services.permissions import Permission, require
from stores.services.trash import restore_many
from stores.texts import say
from stores.types import Pace, PurgeSlice

RESTORE: Final = "restore"
_CHUNK: Final = 200


def restorable(run: Run) -> int:
    """How many keys of a run can still be restored. One count over the run's part of the trash."""
    return TrashEntry.objects.filter(run=run, restored_at=None).count()


def start(actor: Actor, run: Run, overwrite: bool = False) -> Run:
    """Record the undoing of a finished run and hand it to the workers. Raises Busy, ReadOnly, NotSupported, KeyNotFound."""
    if run.store is None:
        raise NotSupported(
            say("The definition of store %(store_name)s was deleted.", store_name=run.store_name), say("Its trash went with it.")
        )
    require(actor, Permission.BULK, run.store)
    if not RunState(run.state).finished:
        raise NotSupported(say("The run has not ended yet."), say("Cancel it first, or wait for its end."))
    count = restorable(run)
    if not count:
        raise KeyNotFound(say("Nothing of this run is in the trash any more."))
    access.require_writable(run.store)
    params = {"do": RESTORE, "of": str(run.pk), "overwrite": overwrite, "before": {"keys": count, "exact": True, "bytes": 0}}
    params |= {"via": actor.via, "address": actor.address, "user_id": actor.user_id}
    undo = runs.create(actor, run.store, RunAction.BULK, pace=Pace.NORMAL, params=params)
    runs.queue(undo)
    return undo


def work(lease: Lease, actor: Actor) -> None:
    """Restore chunk by chunk, the newest first, from the run's position on. What is restored already is not met again."""
    run, params = lease.run, lease.run.params
    record = Record.of(run)
    expected = max(1, int(params["before"]["keys"]))
    while not lease.stopped:
        found = TrashEntry.objects.filter(run=params["of"], restored_at=None).order_by("-pk")
        if run.position:
            found = found.filter(pk__lt=int(run.position))
        chunk = list(found[:_CHUNK])
        if not chunk:
            break
        began = time.monotonic()
        named = record.done < AUDITED
        outcomes = restore_many(actor, [trash.pk for trash in chunk], bool(params["overwrite"]), named=named, on_wait=lease.look)
        took = time.monotonic() - began
        broken_off = any(outcome.state == "stopped" for outcome in outcomes)
        _count(lease, record, chunk, outcomes, only_done=broken_off)
        share = min(0.999, (record.done + record.kept + record.failed) / expected)
        position = run.position if broken_off else str(chunk[-1].pk)
        done = sum(outcome.state == "restored" for outcome in outcomes)
        lease.add(PurgeSlice(scanned=len(chunk), values=done, position=position, progress=share), took * 1000, save=False)
        record.save_to(run)
        lease.save(force=True)
        lease.wait(pause_after(Pace(run.pace), took))


def _count(lease: Lease, record: Record, chunk: list[TrashEntry], outcomes: list[Any], *, only_done: bool) -> None:
    """`only_done`: the others are met again, because the chunk was broken off."""
    for trash, outcome in zip(chunk, outcomes, strict=True):
        if outcome.state == "restored":
            record.touched([bytes(trash.key)])
        if only_done or outcome.state == "restored":
            continue
        text = key_text(bytes(trash.key), lease.store.effective_version)
        record.kept += outcome.state == "conflict"
        record.failed += outcome.state == "failed"
        record.name_failure(text, outcome.message)
        if len(record.failures) <= 10:
            lease.log(say("Left: %(text)s. %(message)s", text=text, message=outcome.message))
