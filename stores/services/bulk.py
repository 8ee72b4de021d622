"""Doing one thing to all keys of a filter, as a run: counted first, then key by key, each conditional on what was read.

A run goes on from its recorded position after a crash or a pause. What it does twice because of that changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from stores.backends.base import pause_after
from stores.errors import BadConfig, CursorLost
from stores.models import Run, RunAction, RunState, Store
from stores.services import access, audit, bulk_undo, keyfile_import, keyfile_run, runs
from stores.services.actor import SYSTEM, Actor
from stores.services.bulk_change import Change, Do, require_possible
from stores.services.bulk_chunks import Hands
from stores.services.bulk_copy import Copier
from stores.services.bulk_leftovers import Counted, settle_leftovers
from stores.services.bulk_preview import Confirmed, survey
from stores.services.bulk_receipt import receipt
from stores.services.bulk_record import Record
from stores.services.bulk_sweep import END, Sweep, may_sweep
from stores.services.filterwalk import STEP, FilterWalk, Position, Step
from stores.services.leases import Lease
from stores.services.permissions import Permission, require
from stores.services.rights import EVERYTHING
from stores.services.trash_room import room
from stores.services.writing import Writing, writing
from stores.texts import say
from stores.types import Entry, Kind, Pace, PurgeSlice

Progress = Callable[[Run], None]

CHUNK_SECONDS: Final[dict[Pace, float]] = {Pace.GENTLE: 0.05, Pace.NORMAL: 0.15, Pace.FAST: 0.4}
"""How long a chunk may take, record keeping included; the number of its keys follows."""
HEAVIEST: Final = 4 << 20
"""Bytes of keys and rows of a chunk, unless one key alone has more."""
WALKS: Final = 3
"""How often a run may have to look at all keys from the start because the server lost its place."""
LARGEST: Final = 1000
"""Keys of a chunk at most."""
AFTER_SECONDS: Final = 5.0
"""How long the count after a run may take; it says when it could not finish."""


def start(actor: Actor, store: Store, wanted: Confirmed, pace: Pace = Pace.GENTLE) -> Run:
    """Record a confirmed change and hand it to the workers. Raises Busy, ReadOnly, NotSupported, BadConfig."""
    run = _created(actor, store, wanted, pace)
    runs.queue(run)
    return run


def run_in_foreground(actor: Actor, store: Store, wanted: Confirmed, pace: Pace = Pace.NORMAL, on_progress: Progress | None = None) -> Run:
    """Do a change in this process and answer the finished run, whatever its state. Raises as `start` before anything is done.

    If this process dies, a worker finishes the run.
    """
    run = runs.claim_here(_created(actor, store, wanted, pace))
    with Lease(run, foreground=True) as lease:
        _Work(lease, actor, on_progress).go()
    return _closed(run, actor)


def import_in_foreground(
    actor: Actor, store: Store, wanted: keyfile_import.Confirmed, pace: Pace = Pace.NORMAL, on_progress: Progress | None = None
) -> Run:
    """Import a file in this process, as `run_in_foreground`."""
    run = keyfile_import.claimed(actor, store, wanted, pace)
    with Lease(run, foreground=True) as lease:
        keyfile_run.work(lease, actor, on_progress)
    return _closed(run, actor)


def execute(run_id: UUID | str, on_progress: Progress | None = None) -> Run | None:
    """Worker side: claim a queued bulk run and do it; None when it is not there to be claimed (a repeated message)."""
    run = runs.claim(run_id)
    if run is None:
        return None
    actor = _original(run)
    with Lease(run) as lease:
        if run.params.get("do") == bulk_undo.RESTORE:
            bulk_undo.work(lease, actor)
        elif run.params.get("do") == Do.IMPORT:
            keyfile_run.work(lease, actor, on_progress)
        else:
            _Work(lease, actor, on_progress).go()
    return _closed(run, actor)


def _created(actor: Actor, store: Store, wanted: Confirmed, pace: Pace) -> Run:
    require(actor, Permission.BULK, store)
    if wanted.change.to:
        require(actor, Permission.BULK, wanted.change.target)
    require_possible(store, wanted.change)
    before = {"keys": wanted.keys, "exact": wanted.exact, "bytes": wanted.bytes} if wanted.keys else None
    params = {**wanted.change.params(), "before": before, "via": actor.via, "address": actor.address, "user_id": actor.user_id}
    return runs.create(actor, store, RunAction.BULK, pace=pace, params=params)


def _closed(run: Run, actor: Actor) -> Run:
    """The run as it ended; what it did is in the audit in one entry, whatever the number of keys."""
    run.refresh_from_db()
    if RunState(run.state).finished:
        found = receipt(run)
        shown = {name: found[name] for name in ("state", "done", "same", "skipped", "kept", "failed", "checksum")}
        audit.record(actor, f"bulk-{run.params.get('do', 'run')}", run.store or run.store_name, after=shown, run=run)
        if run.params.get("do") == Do.IMPORT:
            keyfile_run.tidy_up(run)
    return run


class _Work:
    """One stretch of work on a run, from its position to the end or to a wish to stop."""

    def __init__(self, lease: Lease, actor: Actor, on_progress: Progress | None = None) -> None:
        self.lease = lease
        self.run = lease.run
        self.change = Change.from_params(self.run.params)
        self.record = Record.of(self.run)
        self.actor = actor
        self.on_progress = on_progress
        self.size = 25
        self.counted = Counted.of(self.run)
        before = self.run.params.get("before") or {}
        self.expected: int | None = before.get("keys")
        self.exact = bool(before.get("exact"))

    def go(self) -> None:
        """Do the chunks one after the other. Raises what the stores say; the lease turns it into the run's end."""
        if self.change.expires_at is not None and self.change.expires_at <= time.time():
            raise BadConfig(say("The expiry that the keys were to get has passed."), say("Start again with a later time."), "expiry")
        with ExitStack() as stack:
            at, other = self._opened(stack)
            if "record" not in self.run.params:
                self.record.undo_left = room() if self.change.undo else 0
                if other:
                    self.run.params = {**self.run.params, "target_before": self._count(other)}
                self._save()
            elif counted := settle_leftovers(self.run, self.record, [at, other] if other else [at], self.change):
                if not self.change.removes:
                    self.counted.add(counted)
                self.lease.log(say("%(count)s keys of the interrupted step had been done already.", count=len(counted)))
            if self.run.position != END:
                self._walk(at, other)
            if self.run.position != END and not self.lease.stopped:
                Sweep(self.lease, at, self.change, self.record, self._require_few).go()
            if not self.lease.stopped:
                after = {"after": self._count(at)} | ({"target_after": self._count(other)} if other else {})
                self.run.params = {**self.run.params, **after}
        self._save()

    def _opened(self, stack: ExitStack) -> tuple[Writing, Writing | None]:
        """The store, and the other one; both ask the lease while a lock is in their way."""
        if self.change.do is Do.COPY:
            at = Writing(self.actor, self.lease.store, stack.enter_context(access.opened(self.lease.store)), self.run)
        else:
            at = stack.enter_context(writing(self.actor, self.lease.store, self.run))
        other = stack.enter_context(writing(self.actor, self.change.target, self.run)) if self.change.to else None
        for place in (at, other):
            if place is not None:
                place.backend.watch(self.lease.look)
        return at, other

    def _walk(self, at: Writing, other: Writing | None) -> None:
        """Chunk by chunk, until what is left can go by name alone."""
        walk = FilterWalk(at.backend, at.version, self.change.filter, self.change.at)
        if may_sweep(at, self.change, self.record):
            return
        act = _actor_of(self, at, other)
        for step in self._steps(walk):
            met = step.scanned
            for chunk in self._chunks(step.entries):
                mark, began = self.record.mark(), time.monotonic()
                done = act(chunk)
                took = time.monotonic() - began
                if self.lease.broken_off:
                    self._break_off(done, mark)
                    return
                position = walk.cursor_of(walk.position_after(chunk[-1].key)) if walk.ordered else self.run.position
                self._count_chunk(done, met, position, took)
                met = 0
                if self.lease.stopped:
                    return
            self._count_chunk([], met, walk.cursor_of(step.after) if step.after else END, 0.0)
            if self.lease.stopped or may_sweep(at, self.change, self.record):
                return

    def _steps(self, walk: FilterWalk) -> Iterator[Step]:
        """From the recorded position on; from the start where the server has forgotten it, for what is done stays done.

        A server forgets when it restarts or fails over, also in the middle; after `WALKS` times CursorLost is raised.
        """
        position: Position | None = walk.position_of(self.run.position)
        for left in reversed(range(WALKS)):
            try:
                yield from walk.steps(position, STEP)
                return
            except CursorLost:
                if not left:
                    raise
                self.lease.log(say("The server has forgotten where the run was; it looks at all keys again."))
                self.record.start_over(self.change.removes)
                self.counted.clear()
                position = Position()

    def _chunks(self, entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """Of so many keys as the pace allows, and of some megabytes at most, but of one key at least."""
        first = 0
        while first < len(entries):
            end, weight, most = first, 0, min(self.size, self._allowed())
            while end < len(entries) and end - first < most and (end == first or weight + entries[end].size <= HEAVIEST):
                weight += entries[end].size
                end += 1
            yield entries[first:end]
            first = end

    def _break_off(self, done: list[Entry], mark: Record) -> None:
        """Count what is done of a chunk; the position stays before it, so that the rest is met when the run goes on."""
        self.record.forget_since(mark)
        self.counted.forget()
        if not self.change.removes:
            self.counted.add(entry.key for entry in done)
        self._count_chunk(done, 0, self.run.position, 0.0)

    def _count_chunk(self, done: list[Entry], scanned: int, position: str, took: float) -> None:
        self.record.touched(entry.key for entry in done)
        kinds = [entry.kind for entry in done]
        counters, locks = kinds.count(Kind.COUNTER), kinds.count(Kind.LOCK)
        step = PurgeSlice(
            scanned=scanned,
            values=len(done) - counters - locks,
            counters=counters,
            locks=locks,
            bytes=sum(entry.size for entry in done),
            position=position,
            progress=self._progress(),
        )
        self.lease.add(step, took * 1000, save=False)
        self._save()
        if took:
            self.size = max(1, min(LARGEST, round(self.size * min(2.0, CHUNK_SECONDS[Pace(self.run.pace)] / max(took, 0.001)))))
            if self.on_progress is not None:
                self.on_progress(self.run)
            self.lease.wait(pause_after(Pace(self.run.pace), took))

    def _progress(self) -> float | None:
        if not self.expected:
            return None
        return min(0.999, self._met() / self.expected)

    def _met(self) -> int:
        record = self.record
        return record.done + record.same + record.skipped + record.kept + record.failed

    def _allowed(self) -> int:
        """How many keys may still be done: hardly more than the administrator has confirmed. Raises BadConfig at the end of that."""
        if not (self.exact and self.expected):
            return self.size
        left = self.expected + max(20, self.expected // 100) - self._met()
        if left <= 0:
            raise BadConfig(
                say(
                    "More keys match than the %(expected)s of the dry run; the run stopped before it went further.", expected=self.expected
                ),
                say("Make a new dry run: the store is changing."),
            )
        return left

    def _wants_to_stop(self) -> bool:
        self.lease.save()
        return self.lease.stopped

    def _require_few(self) -> None:
        self._allowed()

    def _save(self) -> None:
        self.record.save_to(self.run)
        self.counted.save_to(self.run)
        self.lease.save(force=True)

    def _count(self, where: Writing) -> dict[str, Any]:
        """The keys of the filter in a store now, within a few seconds."""
        walk = FilterWalk(where.backend, where.version, replace(self.change.filter), time.time())
        found = survey(walk, time.monotonic() + AFTER_SECONDS, self._wants_to_stop)
        return {"keys": found.keys, "exact": found.exact, "bytes": found.bytes}


def _actor_of(work: _Work, at: Writing, other: Writing | None) -> Callable[[Sequence[Entry]], list[Entry]]:
    """What is done with a chunk; answers the entries that are done."""
    hands = Hands(work.lease, at, work.change, work.record, work.counted)
    if work.change.do is Do.DELETE:
        return hands.delete
    if work.change.do is Do.EXPIRY:
        return hands.set_expiry
    assert other is not None
    copier = Copier(work.lease, at, other, work.change, work.record, work.counted)
    if work.change.do is Do.MOVE:

        def move(chunk: Sequence[Entry]) -> list[Entry]:
            copied, same = copier.copy(chunk)
            return hands.delete([*copied, *same])

        return move

    def copy(chunk: Sequence[Entry]) -> list[Entry]:
        copied, same = copier.copy(chunk)
        copier.count_same(same)
        return copied

    return copy


def _original(run: Run) -> Actor:
    """Whoever started the run, for audit and trash; what it needs was asked for when it was started."""
    params = run.params
    return Actor(run.started_by, params.get("via") or SYSTEM, params.get("user_id"), params.get("address"), EVERYTHING)
