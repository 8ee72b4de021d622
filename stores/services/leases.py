"""A run in the hands of the process that works on it: counts, signs of life, and the wishes of whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from django.utils import timezone

from stores import keyclasses
from stores.errors import Interrupted, StoreError, StoreUnavailable, UnknownStore
from stores.models import Run, RunState, Store
from stores.services.run_curve import Curve
from stores.services.runs import LOG_LINES, MAX_ATTEMPTS
from stores.texts import say
from stores.types import PurgeSlice

SAVE_SECONDS: Final = 0.25
"""At most this much is uncounted after a crash; also how fast a wish to stop is seen."""


class LostRun(Exception):
    """Another worker holds the run now; this one must stop without touching it."""


class Lease:
    """A claimed run. As a context manager it ends the run: done, failed, cancelled, paused, or back in the queue.

    A store that does not answer puts the run back into the queue up to three times, unless `foreground`, or somebody wanted it to stop
    meanwhile. Errors of the store
    end in the run's row; all others are recorded and go on to the caller.
    """

    def __init__(self, run: Run, *, foreground: bool = False) -> None:
        self.run = run
        self.foreground = foreground
        self.cancel = run.cancel_requested
        self.pause = False
        self.late = False
        """Set by work that ends at its deadline."""
        self.broken_off = False
        """Set by work that was stopped in the middle of a chunk."""
        self.until: float | None = None
        """That deadline in Unix seconds, for waits that it is to end."""
        self.curve = Curve(list(run.points))
        self._began = self._saved = time.monotonic()
        self._before = run.seconds
        self._lines: list[list[object]] = []

    @property
    def store(self) -> Store:
        """The run's store. Raises UnknownStore when its definition is gone."""
        if self.run.store is None:
            raise UnknownStore(say("The definition of store %(store_name)s was deleted.", store_name=self.run.store_name))
        return self.run.store

    @property
    def stopped(self) -> bool:
        """Whether somebody asked to cancel or pause, or the deadline has come."""
        return self.cancel or self.pause or self.late

    @property
    def seconds(self) -> float:
        """Working time so far, that of earlier workers included."""
        return self._before + time.monotonic() - self._began

    def add(self, step: PurgeSlice, milliseconds: float, *, save: bool = True) -> None:
        """Count a committed slice; saved now and then, unless the caller does that."""
        run = self.run
        run.scanned += step.scanned
        run.values += step.values
        run.counters += step.counters
        run.locks += step.locks
        run.corrupt += step.corrupt
        run.bytes += step.bytes
        run.position = step.position
        run.longest_ms = max(run.longest_ms, milliseconds)
        if step.progress is not None:
            run.progress = step.progress
        self.note(milliseconds)
        for key in step.corrupt_keys:
            self.log(f"Malformed row, left as it is: {key_text(key, self.store.effective_version)}")
        if save:
            self.save()

    def note(self, milliseconds: float) -> None:
        """Take a step of so many milliseconds into the run's course."""
        self.curve.add(self.seconds, self.run.scanned, milliseconds)
        self.run.points = self.curve.points

    @property
    def due(self) -> bool:
        """Whether the next `save` will write."""
        return time.monotonic() - self._saved >= SAVE_SECONDS

    def save(self, force: bool = False) -> None:
        """Write counts and a sign of life, and read the wishes; at most four times a second. Raises LostRun."""
        now = time.monotonic()
        if not force and now - self._saved < SAVE_SECONDS:
            return
        self._saved = now
        self.run.seconds = self._before + now - self._began
        self._update(heartbeat_at=timezone.now())
        self._read_wishes()

    def _read_wishes(self) -> None:
        wishes = Run.objects.filter(pk=self.run.pk).values_list("cancel_requested", "pause_requested", "pace").first()
        self.cancel, self.pause, self.run.pace = wishes or (True, False, self.run.pace)

    def look(self) -> None:
        """What a store asks while a lock is in its way: a sign of life, and Interrupted when the run is to stop."""
        self.save()
        self.late = self.late or (self.until is not None and time.time() >= self.until)
        if self.stopped:
            raise Interrupted

    def wait(self, seconds: float) -> None:
        """Leave the store alone for a while, seeing wishes meanwhile."""
        until = time.monotonic() + seconds
        while not self.stopped and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, SAVE_SECONDS))
            self.save()

    def log(self, text: str) -> None:
        """Add a line; written with the next save."""
        self._lines.append([int(time.time()), text])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, LostRun):
            return True
        self.run.seconds = self._before + time.monotonic() - self._began
        try:
            self._end(error)
        except LostRun:
            return True
        return error is None or isinstance(error, StoreError)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, StoreUnavailable):
            self._read_wishes()
            if self.stopped:
                self.log(str(error))
                error = None
        if error is None or (isinstance(error, Interrupted) and self.stopped):
            self._end_well()
        elif isinstance(error, StoreUnavailable) and not self.foreground and self.run.attempts < MAX_ATTEMPTS:
            self.log(f"{error} Trying again in a minute.")
            self._update(state=RunState.QUEUED, heartbeat_at=timezone.now(), error=str(error))
        elif isinstance(error, StoreError):
            self._finish(RunState.FAILED, str(error))
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.log("Stopped from the terminal.")
            self._finish(RunState.CANCELLED)
        else:
            self._finish(RunState.FAILED, f"Internal error: {type(error).__name__}. The log of the worker says more.")

    def _end_well(self) -> None:
        if self.cancel:
            self._finish(RunState.CANCELLED)
        elif self.late:
            self._finish(RunState.STOPPED)
        elif self.pause:
            self._update(state=RunState.PAUSED, heartbeat_at=timezone.now())
        else:
            self.run.progress = 1.0
            self._finish(RunState.DONE)

    def _finish(self, state: RunState, error: str = "") -> None:
        self._update(state=state, error=error, finished_at=timezone.now(), active_key=None)

    def _update(self, **changes: object) -> None:
        """Write the counts and these changes, if the run is still ours. Raises LostRun."""
        run = self.run
        for name, value in changes.items():
            setattr(run, name, value)
        counts = {name: getattr(run, name) for name in _COUNTS}
        if self._lines:
            known = Run.objects.filter(pk=run.pk).values_list("log", flat=True).first() or []
            counts["log"] = run.log = [*known, *self._lines][-LOG_LINES:]
            self._lines = []
        mine = Run.objects.filter(pk=run.pk, attempts=run.attempts, state=RunState.RUNNING)
        if not mine.update(**counts, **changes):
            raise LostRun(str(run.pk))


def carry_out(run: Run, work: Callable[[Lease], None], *, foreground: bool = False) -> Run:
    """Do a claimed run and answer it as it ended."""
    with Lease(run, foreground=foreground) as lease:
        work(lease)
    run.refresh_from_db()
    return run


_COUNTS: Final = (
    "scanned",
    "values",
    "counters",
    "locks",
    "corrupt",
    "bytes",
    "position",
    "longest_ms",
    "progress",
    "seconds",
    "params",
    "points",
)


def key_text(key: bytes, version: str) -> str:
    """Hex of a key for a log; nothing of a secret one."""
    slug, _ = keyclasses.classify(key, version)
    if slug is not None and keyclasses.CLASSES[slug].secret:
        return f"a key of class {slug}"
    return key.hex() or "the empty key"
