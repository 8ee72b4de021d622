"""After a crash: what the interrupted chunk had done already, told from the trash rows that were written before it."""

from __future__ import annotations

from collections.abc import Sequence

from stores.models import Run, TrashEntry
from stores.services.bulk_change import Change, Do
from stores.services.bulk_record import Record
from stores.services.trash_rows import DELETED, entry_of
from stores.services.writing import Writing
from stores.types import Entry


def settle_leftovers(run: Run, record: Record, places: Sequence[Writing], change: Change) -> int:
    """Bring trash and counts in step with the store; answers how many keys had been done. At most one chunk is looked at.

    A trash row of something that is still there as it was is taken back: the run does it again. One of something that is gone
    counts as done.
    """
    by_store = {place.store.pk: place for place in places}
    done: list[bytes] = []
    for trash in TrashEntry.objects.filter(run=run, pk__gt=record.trash_mark).order_by("pk"):
        place = by_store.get(trash.store_id)
        record.trash_mark = trash.pk
        if place is None:
            continue
        was = place.stored(entry_of(trash))
        now = place.backend.get(was.key)
        if now is not None and now.etag == was.etag:
            trash.delete()
        elif trash.reason == DELETED and now is None:
            done.append(was.key)
            record.undoable += 1
        elif change.do is Do.EXPIRY and now is not None and now.expires_at == change.expires_at and _same_value(now, was):
            trash.replaced_by = now.etag
            trash.save(update_fields=["replaced_by"])
            record.undoable += 1
            done.append(was.key)
    record.touched(done)
    return len(done)


def _same_value(now: Entry, was: Entry) -> bool:
    return (now.value, now.counter) == (was.value, was.counter)
