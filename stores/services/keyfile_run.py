"""The run of an import: from the recorded line on, a chunk at a time, every key under what was seen there and read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stores.backends.base import pause_after
from stores.errors import BadConfig, StoreError
from stores.models import ACTIVE_STATES, Run, RunState
from stores.services.actor import Actor
from stores.services.bulk_change import Change, Do
from stores.services.bulk_copy import Putter
from stores.services.bulk_leftovers import Counted, settle_leftovers
from stores.services.bulk_record import Record
from stores.services.keyfile_import import WrongLines, as_held, chunks, secret
from stores.services.keyfile_lines import Format, Line, Wrong, lines
from stores.services.keyfile_spool import open_file, remove, remove_old, renew, size_of
from stores.services.leases import Lease
from stores.services.trash_room import room
from stores.services.writing import Writing, writing
from stores.texts import say
from stores.types import Entry, Kind, Pace, PurgeSlice

CHUNK_SECONDS: Final[dict[Pace, float]] = {Pace.GENTLE: 0.05, Pace.NORMAL: 0.15, Pace.FAST: 0.4}
LARGEST: Final = 1000


def work(lease: Lease, actor: Actor, on_progress: Callable[[Run], None] | None = None) -> None:
    """Do it, from the run's position to the end or to a wish to stop. Raises what file and store say."""
    _Import(lease, actor, on_progress).go()


def tidy_up(run: Run) -> None:
    """Throw the file away when nothing can need it any more: a run that failed or was cancelled may go on for a day."""
    if run.state == RunState.DONE:
        remove(run.params["upload"])
    else:
        renew(run.params["upload"])


def remove_old_files() -> int:
    """Throw away files older than a day, but those that a run still reads; answers how many."""
    active = Run.objects.filter(state__in=ACTIVE_STATES, params__do=Do.IMPORT.value)
    return remove_old(str(params["upload"]) for params in active.values_list("params", flat=True))


class _Import:
    def __init__(self, lease: Lease, actor: Actor, on_progress: Callable[[Run], None] | None) -> None:
        self.lease = lease
        self.run = lease.run
        self.actor = actor
        self.on_progress = on_progress
        self.change = Change.from_params(self.run.params)
        self.wrong = WrongLines(self.run.params["wrong"])
        self.record = Record.of(self.run)
        self.counted = Counted.of(self.run)
        self.size = 25
        self.bytes = max(1, size_of(self.run.params["upload"]))

    def go(self) -> None:
        """Every line from the recorded one on."""
        offset, _, number = self.run.position.partition(":")
        format: Format = "csv" if self.run.params["format"] == "csv" else "jsonl"
        with open_file(self.run.params["upload"]) as file, writing(self.actor, self.lease.store, self.run) as at:
            at.backend.watch(self.lease.look)
            self._began(at)
            putter = Putter(self.lease, at, self.change, self.record, self.counted)
            for chunk in chunks(lines(file, format, self.change.at, int(offset or 0), int(number or 0)), lambda: self.size):
                mark, began = self.record.mark(), time.monotonic()
                done = self._chunk(putter, chunk)
                if self.lease.broken_off:
                    self.record.forget_since(mark)
                    self.counted.forget()
                    self.counted.add(entry.key for entry in done)
                    chunk = []
                self._count(done, chunk, time.monotonic() - began)
                if self.lease.stopped:
                    return
        self._save()

    def _began(self, at: Writing) -> None:
        """The first time: how much can be undone. Later: what a dead worker had done of its last chunk."""
        if "record" in self.run.params:
            self.counted.add(settle_leftovers(self.run, self.record, [at], self.change))
            return
        self.record.undo_left = room() if self.change.undo else 0
        self._save()

    def _chunk(self, putter: Putter, chunk: list[Line]) -> list[Entry]:
        pairs = [(held, held) for line in chunk if (held := self._held(putter.target, line)) is not None]
        done, same = putter.put(pairs, "import")
        putter.count_same(same)
        return done

    def _held(self, at: Writing, line: Line) -> Entry | None:
        """What is to be written, or None after counting why nothing is. Raises BadConfig where a wrong line is to end the run."""
        entry = line.entry
        if isinstance(entry, Wrong):
            self._fail(str(entry))
            return None
        if entry.expired(time.time()):
            self.record.skipped += 1
            return None
        try:
            held = as_held(entry, at)
        except StoreError as error:
            self._fail(str(Wrong(line.number, "", str(error))))
            return None
        if not self.run.params["secrets"] and secret(at, held):
            self.record.left_out += 1
            return None
        return held

    def _fail(self, text: str) -> None:
        if self.wrong is WrongLines.STOP:
            raise BadConfig(text, say("What lies before this line is imported. Mend the line and import the file again."), "file")
        self.record.failed += 1
        place, _, message = text.partition(": ")
        if len(self.record.failures) < 10:
            self.lease.log(text)
        self.record.name_failure(place, message)

    def _count(self, done: list[Entry], chunk: list[Line], took: float) -> None:
        """What is done of these lines; of a chunk that was broken off no line counts as read, and the run goes on before it."""
        self.record.touched(entry.key for entry in done)
        kinds = [entry.kind for entry in done]
        counters, locks = kinds.count(Kind.COUNTER), kinds.count(Kind.LOCK)
        position = f"{chunk[-1].end}:{chunk[-1].last}" if chunk else self.run.position
        step = PurgeSlice(
            scanned=len(chunk),
            values=len(done) - counters - locks,
            counters=counters,
            locks=locks,
            bytes=sum(entry.size for entry in done),
            position=position,
            progress=min(0.999, chunk[-1].end / self.bytes) if chunk else None,
        )
        self.lease.add(step, took * 1000, save=False)
        self._save()
        pace = Pace(self.run.pace)
        self.size = max(1, min(LARGEST, round(self.size * min(2.0, CHUNK_SECONDS[pace] / max(took, 0.001)))))
        if self.on_progress is not None:
            self.on_progress(self.run)
        self.lease.wait(pause_after(pace, took))

    def _save(self) -> None:
        self.record.save_to(self.run)
        self.counted.save_to(self.run)
        self.lease.save(force=True)
