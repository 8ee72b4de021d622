"""The hands of a bulk run: a chunk of keys at a time, on record first, each conditional on what was read, settled after.

A chunk that is done twice, because the process died before its end was saved, changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from stores.errors import Conflict as ChangedKey
from stores.errors import CorruptRow, Interrupted, KeyNotFound, StoreError
from stores.models import AuditEntry, TrashEntry
from stores.services import audit
from stores.services.bulk_change import Change
from stores.services.bulk_leftovers import Counted
from stores.services.bulk_record import Record, size_in_trash, size_of_note
from stores.services.leases import Lease, key_text
from stores.services.rows import same_row, settle
from stores.services.trash_rows import DELETED, OVERWRITTEN, content_digest, insert_all, note_replacements
from stores.services.writing import Writing
from stores.texts import say
from stores.types import Entry

AUDITED: Final = 1000
"""The first keys of a run that the audit names one by one; the rest is in its closing entry as count and checksum."""
_NAMED_IN_LOG: Final = 10


@dataclass(slots=True)
class Planned:
    """One key on its way: what is there now, and what is on record of it."""

    entry: Entry
    """Settled and whole."""
    trash: TrashEntry | None = None
    note: AuditEntry | None = None
    error: StoreError | None = None
    done: bool = False
    replaced_by: str = ""

    def take(self, answer: Entry | StoreError) -> None:
        """Note what the store answered to a write."""
        if isinstance(answer, StoreError):
            self.error = answer
        else:
            self.done, self.replaced_by = True, answer.etag


class Hands:
    """Carries out one change in one store, for the run that a lease holds."""

    def __init__(self, lease: Lease, at: Writing, change: Change, record: Record, counted: Counted | None = None) -> None:
        """`counted`: keys of a chunk that was broken off, or begun by a dead worker; they are counted already, and met again."""
        self.lease = lease
        self.at = at
        self.change = change
        self.record = record
        self.counted = counted or Counted()

    def delete(self, entries: Iterable[Entry]) -> list[Entry]:
        """Remove what is still as it was read; answers what went."""
        plan = self.whole(entries)
        self.put_on_record(plan, DELETED, "delete")
        answers = self.at.backend.delete_each([self.at.stored(planned.entry) for planned in plan])
        for planned, answer in zip(plan, answers, strict=True):
            planned.done = isinstance(answer, Entry)
            planned.error = answer if isinstance(answer, StoreError) else None
        return self.settle(plan)

    def set_expiry(self, entries: Iterable[Entry]) -> list[Entry]:
        """Give every key the run's expiry; answers what was changed."""
        wanted = [entry for entry in entries if not self._has_that_expiry(entry)]
        plan = self.whole(wanted)
        self.put_on_record(plan, OVERWRITTEN, "expiry")
        seen = [self.at.stored(planned.entry) for planned in plan]
        for planned, answer in zip(plan, self.at.backend.set_expiry_each(seen, self.change.expires_at), strict=True):
            planned.take(answer)
        return self.settle(plan)

    def _has_that_expiry(self, entry: Entry) -> bool:
        if entry.problem:
            self.fail(entry, CorruptRow(entry.key, entry.row or b"", say("Malformed row: %(problem)s.", problem=entry.problem)))
            return True
        if entry.expires_at != self.change.expires_at:
            return False
        self.record.count_same(not self.counted.hit(entry.key))
        return True

    def whole(self, entries: Iterable[Entry]) -> list[Planned]:
        """The entries to work on, read again where a list holds only the first part of a long value."""
        listed = list(entries)
        partial = [entry.key for entry in listed if entry.length is not None]
        found = dict(zip(partial, self.at.backend.get_each(partial), strict=True)) if partial else {}
        plan = []
        for entry in listed:
            whole = found.get(entry.key)
            if entry.length is None:
                plan.append(Planned(entry))
            elif whole is None or not same_row(whole, self.at.stored(entry)):
                self.fail(entry, ChangedKey(current=whole))
            else:
                plan.append(Planned(settle(whole, self.at.version, self.at.kind)[1]))
        return plan

    def put_on_record(self, plan: Sequence[Planned], reason: str, action: str, seen: Sequence[Entry | None] | None = None) -> None:
        """Trash rows within the room that is left, and audit entries, in one commit before the store is touched.

        `seen` are the rows that are lost, where they are not the planned entries themselves; a key for which nothing is lost is
        noted as new, so that undoing can remove it.
        """
        for index, planned in enumerate(plan):
            lost = planned.entry if seen is None else seen[index]
            if self.change.undo and self._fits(size_in_trash(lost) if lost is not None else size_of_note(planned.entry)):
                planned.trash = self.at.trash_row(lost, reason) if lost is not None else self.at.new_row(planned.entry)
                if seen is not None and planned.trash is not None:
                    planned.trash.replaced_by = content_digest(planned.entry)
            if self.record.done + index < AUDITED:
                planned.note = self.at.note(planned.entry.key, action, lost)
        with transaction.atomic():
            insert_all([planned.trash for planned in plan if planned.trash])
            audit.append([planned.note for planned in plan if planned.note])

    def _fits(self, size: int) -> bool:
        if self.record.undo_left < size:
            return False
        self.record.undo_left -= size
        return True

    def settle(self, plan: Sequence[Planned]) -> list[Entry]:
        """Take back the trash rows of what was not done, close the audit entries, count. Answers the entries that are done.

        Keys that were not reached, because the run is to stop, are not counted: the lease knows then that the chunk was broken off.
        """
        done = [planned for planned in plan if planned.done]
        kept = [planned.trash.pk for planned in plan if planned.trash and not planned.done]
        replaced = [(planned.trash.pk, planned.replaced_by) for planned in done if planned.trash and planned.replaced_by]
        with transaction.atomic():
            if kept:
                TrashEntry.objects.filter(pk__in=kept).delete()
            note_replacements(replaced)
            for outcome, wanted in ((audit.DONE, True), (audit.FAILED, False)):
                audit.settle_all([planned.note for planned in plan if planned.note and planned.done is wanted], outcome)
        for planned in plan:
            if isinstance(planned.error, Interrupted):
                self.lease.broken_off = True
            elif planned.error is not None:
                self.fail(planned.entry, planned.error)
            elif not planned.done:
                self.record.same += 1
        self.record.undoable += sum(planned.trash is not None for planned in done)
        self.record.trash_mark = max([self.record.trash_mark, *(planned.trash.pk for planned in plan if planned.trash)])
        return [planned.entry for planned in done]

    def fail(self, entry: Entry, error: StoreError) -> None:
        """Count a key that stays as it is, and say why: in the receipt, the first ones in the log too."""
        text = key_text(entry.key, self.at.version)
        if isinstance(error, (ChangedKey, KeyNotFound)):
            self.record.kept += 1
        else:
            self.record.failed += 1
        if len(self.record.failures) < _NAMED_IN_LOG:
            self.lease.log(say("Left: %(text)s. %(message)s", text=text, message=error.message))
        self.record.name_failure(text, error.message)
