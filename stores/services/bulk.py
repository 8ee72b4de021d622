"""Doing one thing to all keys of a filter: counted and sampled first, then done key by key, each conditional on what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from stores.errors import Busy
from stores.models import Run, RunAction, Store
from stores.services import access, runs
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, stream_keys
from stores.services.edit import DeleteOutcome, Target, delete_chunk
from stores.services.leases import Lease, key_text
from stores.services.rows import Row
from stores.services.writing import writing
from stores.types import PurgeSlice

SAMPLES: Final = 20
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Matching:
    """What a filter finds: an exact count at the time of looking, the bytes, and the first rows."""

    keys: int
    bytes: int
    samples: tuple[Row, ...]


def matching(store: Store, filter: KeyFilter) -> Matching:
    """Count the keys of a filter by walking them; memory stays flat. Raises what the store says."""
    keys = size = 0
    samples: list[Row] = []
    for row in stream_keys(store, filter):
        keys += 1
        size += row.entry.size
        if len(samples) < SAMPLES:
            samples.append(row)
    return Matching(keys, size, tuple(samples))


def delete_matching(actor: Actor, store: Store, filter: KeyFilter, on_progress: Callable[[Run], None] | None = None) -> Run:
    """Delete all keys of a filter in this process, through the trash, and answer the finished run.

    A key that somebody changes in between is left and counted in the run's `params["kept"]`. Raises Busy while another bulk
    run on the store is active, ReadOnly and NotSupported before anything is touched.
    """
    with access.open_for_write(store):
        pass
    run = runs.claim(runs.create(actor, store, RunAction.BULK, params={"delete": filter.to_query()}).pk)
    if run is None:
        raise Busy("The run has been taken away.", "Look at it under Runs.")
    kept = 0
    with Lease(run, foreground=True) as lease, writing(actor, store, run) as at:
        for chunk in _chunks(stream_keys(store, filter)):
            began = time.monotonic()
            targets: list[Target] = [(row.entry.key, row.entry) for row in chunk]
            outcomes = delete_chunk(at, targets)
            lease.add(_slice(chunk, outcomes), (time.monotonic() - began) * 1000 / len(chunk))
            kept += _log_kept(lease, outcomes)
            if on_progress is not None:
                on_progress(run)
            if lease.stopped:
                break
        lease.save(force=True)
    run.refresh_from_db()
    if kept:
        run.params = {**run.params, "kept": kept}
        run.save(update_fields=["params"])
    return run


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _slice(rows: list[Row], outcomes: list[DeleteOutcome]) -> PurgeSlice:
    """The chunk's counts, in the columns of a run."""
    gone = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome.state == "deleted"]
    kinds = [row.entry.kind.value for row in gone]
    counters, locks = kinds.count("counter"), kinds.count("lock")
    return PurgeSlice(
        scanned=len(rows),
        values=len(gone) - counters - locks,
        counters=counters,
        locks=locks,
        bytes=sum(row.entry.size for row in gone),
    )


def _log_kept(lease: Lease, outcomes: list[DeleteOutcome]) -> int:
    """Name the keys that are still there, and why; answers how many."""
    kept = [outcome for outcome in outcomes if outcome.state in ("changed", "failed")]
    for outcome in kept[:10]:
        lease.log(f"Left: {key_text(outcome.key, lease.store.effective_version)}. {outcome.message}")
    return len(kept)
