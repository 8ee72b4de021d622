"""Copying keys into another store: any family to any, expiry and kind kept, every copy read again.

A counter of a data store is its decimal text on Redis and comes back as a counter where its class says so; a lock is an empty
value with an expiry on a data store and that expiry's number on Redis. Users' own keys are copied as the values that they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stores.errors import BadConfig, Conflict, StoreError
from stores.services.bulk_change import Change, Clash
from stores.services.bulk_chunks import Hands, Planned
from stores.services.bulk_leftovers import Counted
from stores.services.bulk_record import Record
from stores.services.leases import Lease, key_text
from stores.services.trash_rows import OVERWRITTEN
from stores.services.writing import Writing
from stores.texts import say
from stores.types import ABSENT, Entry, Kind

if TYPE_CHECKING:
    from stores.keyclasses import StoreKind


@dataclass(slots=True)
class _Copy:
    source: Entry
    wanted: Entry
    there: Entry | None


class Putter:
    """Puts entries into a store under a rule for keys that it holds already; every one is read again."""

    def __init__(self, lease: Lease, target: Writing, change: Change, record: Record, counted: Counted | None = None) -> None:
        self.target = target
        self.clash = change.clash
        self.record = record
        self.hands = Hands(lease, target, change, record)
        self.counted = counted or Counted()

    def put(self, pairs: Sequence[tuple[Entry, Entry]], action: str) -> tuple[list[Entry], list[Entry]]:
        """`pairs`: what is copied, and how the store shall hold it. Answers what is written now, and what was so already.

        Raises Conflict at the first key that the store holds otherwise, when that is to end the run.
        """
        same: list[Entry] = []
        there = self.target.backend.get_each([wanted.key for _, wanted in pairs])
        copies = [copy for pair, found in zip(pairs, there, strict=True) if (copy := self._planned(*pair, found, same))]
        plan = [Planned(copy.wanted) for copy in copies]
        self.hands.put_on_record(plan, OVERWRITTEN, action, [copy.there for copy in copies])
        write_and_read_again(self.target, plan, [copy.there for copy in copies])
        self.hands.settle(plan)
        return [copy.source for planned, copy in zip(plan, copies, strict=True) if planned.done], same

    def count_same(self, same: Sequence[Entry]) -> None:
        """Count what was so already; what a dead worker has written is counted as done."""
        self.record.count_same(sum(not self.counted.hit(entry.key) for entry in same))

    def _planned(self, source: Entry, wanted: Entry, there: Entry | None, same: list[Entry]) -> _Copy | None:
        """What to write, or None after counting why nothing is written."""
        if there is not None and same_content(there, wanted, self.target):
            same.append(source)
            return None
        if there is not None and not there.expired(time.time()) and self.clash is not Clash.OVERWRITE:
            if self.clash is Clash.FAIL:
                text = key_text(wanted.key, self.target.version)
                raise Conflict(say("%(id)s holds another content under %(text)s.", id=self.target.store.id, text=text), there)
            self.record.skipped += 1
            return None
        return _Copy(source, wanted, there)


class Copier(Putter):
    """Puts the entries of one store into another one."""

    def __init__(
        self, lease: Lease, source: Writing, target: Writing, change: Change, record: Record, counted: Counted | None = None
    ) -> None:
        super().__init__(lease, target, change, record, counted)
        self.source = source
        self.reader = Hands(lease, source, change, record)

    def copy(self, entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
        """The entries that are copied now, and those that the other store has so already. Raises as `put`."""
        pairs = []
        for planned in self.reader.whole(entries):
            if planned.entry.expired(time.time()):
                self.record.skipped += 1
                continue
            try:
                pairs.append((planned.entry, converted(planned.entry, self.source.kind, self.target.kind)))
            except StoreError as error:
                self.reader.fail(planned.entry, error)
        return self.put(pairs, "copy")


def write_and_read_again(target: Writing, plan: Sequence[Planned], there: Sequence[Entry | None]) -> None:
    """Write each planned entry under what was seen there, read all of them again, and note of each how it ended.

    What is written is read again in any case, so that reading does not break off when the run is to stop.
    """
    wanted = [(planned.entry, ABSENT if seen is None else seen) for planned, seen in zip(plan, there, strict=True)]
    for planned, answer in zip(plan, target.backend.put_each(wanted), strict=True):
        planned.take(answer)
    written = [planned for planned in plan if planned.done]
    watcher = target.backend.on_wait
    target.backend.watch(None)
    now = target.backend.get_each([planned.entry.key for planned in written])
    target.backend.watch(watcher)
    for planned, found in zip(written, now, strict=True):
        if found is None or not same_content(found, planned.entry, target):
            planned.done = False
            planned.error = Conflict(say("What was read back from the other store is not what was written."), found)


def converted(entry: Entry, source: StoreKind, target: StoreKind) -> Entry:
    """A settled entry of one family of stores as another family holds it. Raises BadConfig for what cannot be held there."""
    if entry.problem:
        raise BadConfig(say("Malformed row: %(problem)s.", problem=entry.problem), say("Repair or delete it."))
    if source == target == "data":
        return entry
    if target == "data":
        return _for_data(entry)
    return _for_redis(entry, source)


def _for_data(entry: Entry) -> Entry:
    bare = replace(entry, row=None, expires_at_ms=None)
    if entry.kind is Kind.COUNTER:
        return replace(bare, value=None)
    if entry.kind is Kind.LOCK:
        return replace(bare, value=b"", counter=None)
    return replace(bare, kind=Kind.VALUE, counter=None)


def _for_redis(entry: Entry, source: StoreKind) -> Entry:
    if source == "redis":
        return replace(entry, counter=None)
    if entry.kind is Kind.COUNTER:
        value = b"%d" % (entry.counter or 0)
    elif entry.counter is not None:
        raise BadConfig(say("The key has both a value and a number; Redis holds only one of them."), say("Delete one of the two first."))
    else:
        value = b"%d" % (entry.expires_at or 1) if entry.kind is Kind.LOCK else entry.value or b""
    return replace(entry, value=value, counter=None, row=None, expires_at_ms=None)


def same_content(stored: Entry, wanted: Entry, at: Writing) -> bool:
    """Whether the stored row says what is wanted: kind, value or number, expiry to the precision that both know."""
    if stored.problem or stored.length is not None:
        return False
    if None not in (stored.expires_at_ms, wanted.expires_at_ms):
        expiry = stored.expires_at_ms == wanted.expires_at_ms
    else:
        expiry = stored.expires_at == wanted.expires_at
    if at.kind == "redis":
        return expiry and stored.value == (wanted.value if wanted.value is not None else b"%d" % (wanted.counter or 0))
    number = wanted.counter if wanted.kind is Kind.COUNTER or wanted.counter is not None else stored.counter
    value = stored.value == wanted.value or wanted.kind is Kind.COUNTER
    return expiry and value and stored.counter == number and (stored.kind is Kind.COUNTER) == (wanted.kind is Kind.COUNTER)
