"""After a crash: what the interrupted chunk had done already, told from the trash rows that were written before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from stores.models import Run, TrashEntry
from stores.services.bulk_change import Change, Do
from stores.services.bulk_record import Record
from stores.services.rows import settle
from stores.services.trash_rows import CREATED, DELETED, content_digest, entry_of
from stores.services.writing import Writing
from stores.types import Entry


class Counted:
    """Keys that the run meets again though they are counted as done; by digest, because a run's row shows no keys."""

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._digests = set(digests)
        self._met: set[str] = set()

    @classmethod
    def of(cls, run: Run) -> Counted:
        """Those that the run's row holds."""
        return cls(run.params.get("counted", ()))

    def add(self, keys: Iterable[bytes]) -> None:
        self._digests.update(map(_digest, keys))

    def clear(self) -> None:
        self._digests.clear()

    def hit(self, key: bytes) -> bool:
        """Whether the key is one of them; it is none any more afterwards, unless `forget` comes before the next save."""
        digest = _digest(key) if self._digests else ""
        found = digest in self._digests and digest not in self._met
        if found:
            self._met.add(digest)
        return found

    def forget(self) -> None:
        """The chunk was broken off: what was met in it is met again."""
        self._met.clear()

    def save_to(self, run: Run) -> None:
        """Into the row in memory, without those that were met; whoever holds the run's lease writes it."""
        self._digests -= self._met
        self._met.clear()
        params = {name: value for name, value in run.params.items() if name != "counted"}
        run.params = {**params, "counted": sorted(self._digests)} if self._digests else params


def _digest(key: bytes) -> str:
    return hashlib.blake2b(key, digest_size=8).hexdigest()


def settle_leftovers(run: Run, record: Record, places: Sequence[Writing], change: Change) -> frozenset[bytes]:
    """Bring trash and counts in step with the store; answers the keys that had been done. At most one chunk is looked at.

    A trash row of something that is still there as it was is taken back: the run does it again. One of something that is gone
    counts as done.
    """
    done: set[bytes] = set()
    rows = list(TrashEntry.objects.filter(run=run, pk__gt=record.trash_mark).order_by("pk"))
    ids = [trash.pk for trash in rows]
    for place in places:
        mine = [trash for trash in rows if trash.store_id == place.store.pk]
        now = place.backend.get_each([bytes(trash.key) for trash in mine])
        done.update(bytes(trash.key) for trash, entry in zip(mine, now, strict=True) if _settled(trash, entry, place, change))
    record.trash_mark = max([record.trash_mark, *ids])
    record.undoable += TrashEntry.objects.filter(pk__in=ids).count()
    record.touched(sorted(done))
    return frozenset(done)


def _settled(trash: TrashEntry, now: Entry | None, place: Writing, change: Change) -> bool:
    """Whether the key counts as done; the trash row is taken back, or completed, as the store says."""
    ours = now is not None and trash.replaced_by in (now.etag, content_digest(settle(now, place.version, place.kind)[1]))
    if trash.reason == CREATED or ours:
        return _complete(trash, now if ours else None) and change.do is not Do.MOVE
    was = place.stored(entry_of(trash))
    if now is not None and now.etag == was.etag:
        trash.delete()
        return False
    if trash.reason == DELETED:
        return now is None
    if change.do is Do.EXPIRY and now is not None and now.expires_at == change.expires_at and _same_value(now, was):
        return _complete(trash, now)
    return False


def _complete(trash: TrashEntry, now: Entry | None) -> bool:
    """Note what is stored now, or take the row back where the write was never made."""
    if now is None:
        trash.delete()
        return False
    trash.replaced_by = now.etag
    trash.save(update_fields=["replaced_by"])
    return True


def _same_value(now: Entry, was: Entry) -> bool:
    return (now.value, now.counter) == (was.value, was.counter)
