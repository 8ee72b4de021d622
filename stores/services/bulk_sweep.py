"""Deleting a class or prefix of a Redis store by name alone: nothing is read, nothing is kept, ten times as fast.

Only where the filter asks nothing of a key but its name, and no copies are wanted or there is no more room for them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from stores import keyclasses
from stores.backends.base import pause_after
from stores.backends.redis import RedisBackend
from stores.errors import CursorLost
from stores.keyclasses.many import class_of_all
from stores.services.bulk_change import Change, Do
from stores.services.bulk_record import SMALLEST, Record
from stores.services.filters import CUSTOM, KeyFilter
from stores.services.filterwalk import FilterWalk, Position
from stores.services.leases import Lease
from stores.services.writing import Writing
from stores.texts import say
from stores.types import Pace, PurgeSlice, RangeSlice

Met = Callable[[], None]

END: Final = "end"
"""Position of a run that has met its last key."""


def by_name(at: Writing, change: Change) -> bool:
    """Whether the change is one that names alone decide, on a store that can do it so."""
    wanted = change.filter
    names_only = wanted == KeyFilter(class_slug=wanted.class_slug, prefix=wanted.prefix)
    return isinstance(at.backend, RedisBackend) and change.do is Do.DELETE and names_only and not wanted.empty


def may_sweep(at: Writing, change: Change, record: Record) -> bool:
    """Whether what is left of a run can go by name alone: no copies are wanted, or none fits any more."""
    return by_name(at, change) and (not change.undo or record.undo_left < SMALLEST)


class Sweep:
    """One stretch of such a run."""

    def __init__(self, lease: Lease, at: Writing, change: Change, record: Record, require_few: Met) -> None:
        """`require_few` raises when more keys have gone than were confirmed."""
        assert isinstance(at.backend, RedisBackend)
        self.lease, self.at, self.record, self.backend = lease, at, record, at.backend
        self.walk = FilterWalk(at.backend, at.version, change.filter, change.at)
        self.slug = change.filter.class_slug
        self.require_few = require_few

    def go(self) -> None:
        """From the run's position to its end, or to a wish to stop."""
        try:
            self._ranges(self.walk.position_of(self.lease.run.position))
        except CursorLost:
            self.lease.log(say("The server has forgotten where the run was; it looks at all keys again."))
            self.record.start_over(removes=True)
            self._ranges(Position())

    def _ranges(self, start: Position) -> None:
        for index in range(start.index, len(self.walk.ranges)):
            cursor = (start.cursor or "") if index == start.index else ""
            began = time.monotonic()
            for step in self._steps(index, cursor):
                took = time.monotonic() - began
                self._count(step, index, took)
                if self.lease.stopped:
                    return
                self.lease.wait(pause_after(Pace(self.lease.run.pace), took))
                began = time.monotonic()

    def _steps(self, index: int, cursor: str) -> Iterator[RangeSlice]:
        return self.backend.delete_range(self.walk.ranges[index], cursor, self._choose)

    def _choose(self, names: list[bytes]) -> list[bytes]:
        """The names of the class."""
        if not self.slug or not names:
            return names
        wanted, version, classify = None if self.slug == CUSTOM else self.slug, self.at.version, keyclasses.classify
        if names[0] and len({name[:1] for name in names}) == 1 and (known := class_of_all(names, version)) is not None:
            return names if known[0] == wanted else []
        return [name for name in names if classify(name, version)[0] == wanted]

    def _count(self, step: RangeSlice, index: int, took: float) -> None:
        digest, number = hashlib.blake2b, int.from_bytes
        self.record.touched_sum(step.count, sum([number(digest(name, digest_size=16).digest(), "big") for name in step.names]))
        self.record.same += len(step.names) - step.count
        if step.position:
            position = self.walk.cursor_of(Position(index, cursor=step.position))
        else:
            position = self.walk.cursor_of(Position(index + 1)) if index + 1 < len(self.walk.ranges) else END
        done = PurgeSlice(len(step.names), values=step.count, bytes=sum(map(len, step.names)), position=position, progress=step.progress)
        self.record.save_to(self.lease.run)
        self.lease.add(done, took * 1000)
        self.require_few()
