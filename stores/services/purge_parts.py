"""A purge that several workers share: each takes a part, works on it in the steps of the run's pace, and writes down what it did.

Who holds the run leads: it adds up the parts, tells the pace and the wishes, and ends the run when all parts are done. A part whose
worker dies or fails is gone on with by another one, from where it was saved; what had been removed by then is not there any more.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, cast

from django.utils import timezone

from stores.backends.base import pause_after
from stores.errors import CursorLost, Interrupted
from stores.models import Run, RunAction, RunPart, RunState
from stores.services import runs
from stores.services.leases import Lease, key_text
from stores.services.part_rows import PartRows, packed, seats, unpacked
from stores.texts import say
from stores.types import Pace, PurgeSlice

SAVE_SECONDS: Final = 0.25
"""At most this much of a part is uncounted after its worker died; also how soon a wish to stop is seen."""
DIVIDED: Final = 3
"""How often a store is divided when its rows are moved meanwhile."""

Steps = Callable[[Pace, str], Iterator[PurgeSlice]]
"""The steps of a purge at a pace, from a position on."""


@dataclass(slots=True)
class Sums:
    """What was done so far, by the names of a run's fields."""

    scanned: int = 0
    values: int = 0
    counters: int = 0
    locks: int = 0
    corrupt: int = 0
    bytes: int = 0
    longest_ms: float = 0

    def add(self, other: Sums | PurgeSlice, milliseconds: float) -> None:
        """Take what another part, or a step of so many milliseconds, has done."""
        for name in ("scanned", "values", "counters", "locks", "corrupt", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_ms = max(self.longest_ms, milliseconds)


@dataclass(slots=True)
class Held:
    """A part in the hands of this process."""

    number: int
    position: str
    sums: Sums
    progress: float
    saved: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class PartLine:
    """A part as the page of its run shows it. `progress` 0 to 1; `state` is done, working or waiting."""

    number: int
    state: str
    progress: float
    scanned: int
    removed: int


class PurgeParts(PartRows):
    """The parts of a purge. They stay with the run, so that one that ended early can go on."""

    def known(self) -> bool:
        """Whether the run was divided before."""
        return bool(self.rows().exists())

    def create(self, positions: Iterable[str]) -> None:
        """Divide the run, also anew: all rows are met again then, so that the malformed ones of before do not count any more."""
        super().create(positions)
        for part in self.rows().filter(corrupt__gt=0):
            state = packed(asdict(replace(_sums_of(part), corrupt=0)))
            self.rows().filter(pk=part.pk).update(state=state, corrupt=0)

    def claim(self, most: int = 0) -> Held | None:
        """A part that nobody works on; None without one, and where so many workers are at work already."""
        part = self.take(most)
        return None if part is None else Held(part.number, part.position, _sums_of(part), part.progress)

    def save(self, part: Held, *, force: bool = False) -> bool:
        """Write down where a part stands, a few times a second; False when somebody else has it now."""
        if not force and time.monotonic() - part.saved < SAVE_SECONDS:
            return True
        part.saved = time.monotonic()
        state, seen = packed(asdict(part.sums)), timezone.now()
        changes = {"state": state, "rows": part.sums.scanned, "corrupt": part.sums.corrupt, "progress": part.progress}
        return self.write(part.number, position=part.position, seen_at=seen, **changes)

    def whole(self) -> tuple[Sums, float]:
        """All parts together, and how far they are, 0 to 1."""
        sums, done, parts = Sums(), 0.0, list(self.rows())
        for part in parts:
            own = _sums_of(part)
            sums.add(own, own.longest_ms)
            done += part.progress if part.position else 1.0
        return sums, done / max(1, len(parts))


class Worker(ABC):
    """One process that works on parts."""

    def __init__(self, run: Run, parts: PurgeParts, steps: Steps) -> None:
        self.run, self.parts, self.steps = run, parts, steps

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """Whether to leave off."""

    @abstractmethod
    def took(self, step: PurgeSlice, seconds: float) -> None:
        """After each step, so that wishes are seen and malformed rows are named."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Leave the store alone for a while."""

    def look(self) -> None:
        """What the store asks while a lock is in its way: Interrupted when it is time to leave off."""
        if self.stopped:
            raise Interrupted

    def work(self, part: Held) -> None:
        """One part to its end, or until told to stop; where it stands is saved in any case. Raises what the store says."""
        pace, steps = "", cast(Iterator[PurgeSlice], iter(()))
        try:
            while not self.stopped:
                if self.run.pace != pace:
                    pace = self.run.pace
                    steps = self.steps(Pace(pace), part.position)
                began = time.monotonic()
                step = next(steps, None)
                if step is None:
                    part.position, part.progress = "", 1.0
                    return
                seconds = time.monotonic() - began
                part.position, part.progress = step.position, step.progress or part.progress
                part.sums.add(step, seconds * 1000)
                if not self.parts.save(part):
                    return
                self.took(step, seconds)
                self.wait(pause_after(Pace(pace), seconds))
        except Interrupted:
            return
        finally:
            self.parts.save(part, force=True)


class Leader(Worker):
    """The process that holds the run."""

    def __init__(self, lease: Lease, parts: PurgeParts, steps: Steps, divide: Callable[[], list[str]], late: Callable[[], bool]) -> None:
        super().__init__(lease.run, parts, steps)
        self.lease, self._divide, self._late = lease, divide, late
        self._called = 1

    @property
    def stopped(self) -> bool:
        return self.lease.stopped or self._late()

    def took(self, step: PurgeSlice, seconds: float) -> None:
        for key in step.corrupt_keys:
            self.lease.log(say("Malformed row, left as it is: %(key)s", key=key_text(key, self.lease.store.effective_version)))
        self.lease.note(seconds * 1000)
        self._tell()
        self._call()

    def look(self) -> None:
        self._tell()
        super().look()

    def wait(self, seconds: float) -> None:
        self.lease.wait(seconds)

    def lead(self) -> None:
        """Until all parts are done, here or elsewhere, or until the run shall stop. Raises what the store says."""
        for turn in range(DIVIDED):
            try:
                self._all_parts()
                break
            except CursorLost:
                if turn == DIVIDED - 1:
                    raise
                self.parts.create(self._divide())
            finally:
                self.parts.release()
        while self.stopped and self.parts.held_elsewhere():
            time.sleep(SAVE_SECONDS)
            self._tell()
        self._tell(force=True)

    def _all_parts(self) -> None:
        while not self.stopped:
            self._call()
            part = self.parts.claim()
            if part is not None:
                self.work(part)
            elif self.parts.open():
                self.lease.wait(SAVE_SECONDS)
                self._tell(force=True)
            else:
                return

    def _call(self) -> None:
        """Ask other workers to take part, once for each seat that the pace has now and had not before."""
        wanted = seats(Pace(self.run.pace))
        if wanted > self._called:
            runs.call_assistants(self.run, wanted - self._called)
        self._called = wanted

    def _tell(self, *, force: bool = False) -> None:
        """Put the sums of all parts into the run, when it is time to save it."""
        if not force and not self.lease.due:
            return
        sums, self.run.progress = self.parts.whole()
        for name, value in asdict(sums).items():
            setattr(self.run, name, value)
        self.lease.save(force=True)


class Assistant(Worker):
    """A process that helps the one which holds the run."""

    def __init__(self, run: Run, parts: PurgeParts, steps: Steps) -> None:
        super().__init__(run, parts, steps)
        self._stopped, self._looked = False, 0.0

    @property
    def stopped(self) -> bool:
        """The run's wishes, its deadline, and whether there is a seat at its present pace; asked four times a second."""
        now = time.monotonic()
        if not self._stopped and now - self._looked >= SAVE_SECONDS:
            self._looked = now
            goes_on = Run.objects.filter(pk=self.run.pk, state=RunState.RUNNING, cancel_requested=False, pause_requested=False)
            pace = goes_on.values_list("pace", flat=True).first()
            self.run.pace = pace or self.run.pace
            self._stopped = pace is None or is_late(self.run) or not self.parts.may_stay(seats(Pace(pace)))
        return self._stopped

    def took(self, step: PurgeSlice, seconds: float) -> None:
        version = self.run.store.effective_version if self.run.store else ""
        for key in step.corrupt_keys:
            runs.add_log(self.run.pk, say("Malformed row, left as it is: %(key)s", key=key_text(key, version)))

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def help(self) -> None:
        """Part after part, until none is left to claim. Raises what the store says."""
        try:
            while not self.stopped and (part := self.parts.claim(seats(Pace(self.run.pace)))) is not None:
                self.work(part)
        finally:
            self.parts.release()


def is_late(run: Run) -> bool:
    """Whether a run's deadline has come."""
    until = run.params.get("until")
    return until is not None and time.time() >= until


def part_lines(run: Run) -> list[PartLine]:
    """The parts of a shared run, for its page; none where it was not divided. One query."""
    return [_line(part, run.action == RunAction.PURGE) for part in RunPart.objects.filter(run=run)]


def _line(part: RunPart, purges: bool) -> PartLine:
    sums = _sums_of(part) if purges else Sums()
    state = "done" if not part.position else "working" if part.worker else "waiting"
    return PartLine(part.number, state, part.progress if part.position else 1.0, part.rows, sums.values + sums.counters + sums.locks)


def _sums_of(part: RunPart) -> Sums:
    state: dict[str, Any] | None = unpacked(bytes(part.state))
    return Sums() if state is None else Sums(**state)
