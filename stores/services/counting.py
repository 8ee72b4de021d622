"""Counting the parts of a store side by side: threads read and add up, the caller writes down how far they are.

Engines count while Python waits, so two parts at once take about as long as the longer one. Threads never touch kvadmin's database.
"""

from __future__ import annotations

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

from stores.backends.base import Backend
from stores.services.tally import Tally

AT_ONCE: Final = 2
"""Parts that a store which does not say otherwise is divided into."""
SAVE_SECONDS: Final = 3.0
"""How often a part's sums are handed over: what has to be counted again after a crash."""
LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Held:
    """A part in the hands of this process."""

    number: int
    position: str
    state: dict[str, Any] | None = None
    """What it has counted before, as `Tally.dump` gave it."""


@dataclass(slots=True)
class Reached:
    """How far a part is. `tally` only when it is done."""

    number: int
    position: str
    rows: int
    corrupt: int
    progress: float
    state: dict[str, Any] = field(default_factory=dict)
    tally: Tally | None = None


class Parts(ABC):
    """Where parts come from and what has become of them is written."""

    @abstractmethod
    def claim(self) -> Held | None:
        """A part that nobody works on, None when there is none now."""

    @abstractmethod
    def reached(self, part: Reached) -> bool:
        """Write down where a part stands; False when somebody else has it now."""

    @abstractmethod
    def open(self) -> bool:
        """Whether some part is not done, here or elsewhere."""

    @abstractmethod
    def whole(self, empty: Callable[[], Tally]) -> Tally:
        """All parts together."""


class OwnParts(Parts):
    """Parts of a count that this process does alone, in memory."""

    def __init__(self, positions: list[str]) -> None:
        self._waiting = [Held(number, position) for number, position in enumerate(positions)]
        self._left = len(positions)
        self._done: list[Tally] = []

    def claim(self) -> Held | None:
        return self._waiting.pop(0) if self._waiting else None

    def reached(self, part: Reached) -> bool:
        if part.tally is not None:
            self._left -= 1
            self._done.append(part.tally)
        return True

    def open(self) -> bool:
        return self._left > 0

    def whole(self, empty: Callable[[], Tally]) -> Tally:
        found = empty()
        for tally in self._done:
            found.merge(tally)
        return found


class Counter(Thread):
    """One part being counted on a connection of its own."""

    def __init__(self, part: Held, work: Work, told: queue.Queue[Reached | BaseException]) -> None:
        super().__init__(daemon=True)
        self._part, self._told, self._persist, self._aside = part, told, work.persist, work.threads
        self._backend, self._tally = work.open(), work.empty()
        self.progress, self.rows = 0.0, 0
        self.stop = Event()

    def begin(self) -> None:
        """In a thread of its own, or at once where the store reads kvadmin's own database."""
        self.start() if self._aside else self.run()

    def end(self) -> None:
        """Wait for the thread."""
        if self._aside:
            self.join()

    def run(self) -> None:
        """Until the end, an error, or until told to stop."""
        try:
            with self._backend:
                self._count()
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it again
            self._told.put(error)

    def _count(self) -> None:
        tally, saved = self._tally, time.monotonic()
        if self._part.state is not None:
            tally.load(self._part.state)
        for step in self._backend.survey(tally.plan(), self._part.position):
            tally.take(step)
            self.progress, self.rows = step.progress or self.progress, tally.rows
            if self.stop.is_set():
                return
            if self._persist and step.position not in ("", "-") and time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                self._told.put(self._reached(step.position))
        self._told.put(self._reached("", done=True))

    def _reached(self, position: str, done: bool = False) -> Reached:
        state = self._tally.dump() if self._persist else {}
        tally = self._tally if done else None
        progress = 1.0 if done else self.progress
        return Reached(self._part.number, position, self._tally.rows, self._tally.corrupt, progress, state, tally)


Watch = Callable[[dict[int, tuple[int, float]]], bool]
"""Is told rows and progress of the parts at work, and says whether to stop."""


@dataclass(frozen=True, slots=True)
class Work:
    """How parts of a store are counted: an open store and an empty tally for each, in threads unless the store reads our database."""

    open: Callable[[], Backend]
    empty: Callable[[], Tally]
    threads: bool = True
    persist: bool = False
    """Hand over sums now and then, so that others can go on with them."""
    at_once: int = AT_ONCE
    """Parts that this process counts at once."""


def count_parts(work: Work, parts: Parts, watch: Watch, *, wait: bool = True) -> bool:
    """Work until all parts are done; False when `watch` wanted to stop. Raises what the store says.

    Without `wait` it ends when there is nothing left to claim, though others may still be at work.
    """
    told: queue.Queue[Reached | BaseException] = queue.Queue()
    at_work: dict[int, Counter] = {}
    try:
        while True:
            while len(at_work) < work.at_once and (part := parts.claim()) is not None:
                at_work[part.number] = counter = Counter(part, work, told)
                counter.begin()
            if not at_work and (not wait or not parts.open()):
                return True
            _listen(told, at_work, parts)
            if watch({number: (counter.rows, counter.progress) for number, counter in at_work.items()}):
                return False
    finally:
        for counter in at_work.values():
            counter.stop.set()
        for counter in at_work.values():
            counter.end()


def _listen(told: queue.Queue[Reached | BaseException], at_work: dict[int, Counter], parts: Parts) -> None:
    """Wait a moment for news of the parts and write it down."""
    try:
        news = told.get(timeout=LOOK_SECONDS)
    except queue.Empty:
        return
    if isinstance(news, BaseException):
        raise news
    if news.number not in at_work:
        return
    if not parts.reached(news):
        at_work[news.number].stop.set()
    if not news.position or at_work[news.number].stop.is_set():
        at_work.pop(news.number).end()
