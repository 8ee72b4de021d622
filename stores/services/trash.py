"""What was deleted or overwritten from here, exactly as it was stored: listed, restored, and thrown away in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from django.utils import timezone

from stores import sight
from stores.errors import BadConfig, Conflict, Interrupted, KeyNotFound, StoreError
from stores.models import Store, TrashEntry
from stores.models.fields import mark_of_bytes
from stores.registry import seen_only
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.rows import Row, row_of
from stores.services.trash_restore import restore_rows
from stores.services.trash_rows import CREATED, DELETED, OVERWRITTEN, entry_of, family_of, kept_days
from stores.services.writing import writing
from stores.texts import say

__all__ = [
    "DELETED",
    "OVERWRITTEN",
    "RestoreOutcome",
    "TrashFilter",
    "TrashPage",
    "TrashRow",
    "empty_expired",
    "find",
    "kept_days",
    "latest",
    "list_trash",
    "restore",
    "restore_many",
]

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class TrashFilter:
    """Empty parts do not filter. `restored` None lists both."""

    store_id: str = ""
    class_slug: str = ""
    key: bytes | None = None
    run_id: str = ""
    restored: bool | None = False


@dataclass(frozen=True, slots=True)
class TrashRow:
    """One thing in the trash: the model row, and the row of the store that it holds, in words."""

    trash: TrashEntry
    row: Row


@dataclass(frozen=True, slots=True)
class TrashPage:
    """Newest first. `next` is the cursor of the next page, empty at the end."""

    rows: tuple[TrashRow, ...]
    next: str


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """What became of one restore of several; `message` says why it was not done."""

    trash_id: int
    state: Literal["restored", "conflict", "failed", "stopped"]
    message: str = ""


def list_trash(filter: TrashFilter = TrashFilter(), cursor: str = "", limit: int = 100) -> TrashPage:
    """One keyset page, newest first; keys that a run has made are listed only with the run. Raises BadConfig(field="cursor")."""
    found = seen_only(TrashEntry.objects.select_related("store").order_by("-id"), "store_id")
    if filter.store_id:
        found = found.filter(store_id=filter.store_id)
    if filter.class_slug:
        found = found.filter(class_slug="" if filter.class_slug == "custom" else filter.class_slug)
    if filter.key is not None:
        found = found.filter(key_mark=mark_of_bytes(filter.key))
    found = found.filter(run_id=filter.run_id) if filter.run_id else found.exclude(reason=CREATED)
    if filter.restored is not None:
        found = found.filter(restored_at__isnull=not filter.restored)
    if cursor:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise BadConfig(say("This page link is not of the trash."), say("Start again from the first page."), "cursor")
        found = found.filter(id__lt=int(cursor))
    rows = list(found[: limit + 1])
    shown = tuple(_row(trash) for trash in rows[:limit])
    return TrashPage(shown, str(shown[-1].trash.pk) if len(rows) > limit else "")


def find(trash_id: int) -> TrashRow:
    """One thing in the trash. Raises KeyNotFound."""
    trash = TrashEntry.objects.select_related("store").filter(pk=trash_id).first()
    if trash is None or not sight.current().sees(trash.store_id):
        raise KeyNotFound(say("This is no longer in the trash."), say("Things stay there for %(kept_days)s days.", kept_days=kept_days()))
    return _row(trash)


def latest(store: Store, key: bytes) -> TrashEntry | None:
    """What was last deleted or overwritten under a key and has not been restored."""
    return (
        TrashEntry.objects.filter(store=store, key_mark=mark_of_bytes(key), restored_at=None)
        .exclude(reason=CREATED)
        .order_by("-id")
        .first()
    )


def restore(actor: Actor, trash_id: int, overwrite: bool = False) -> Row:
    """Put a row back exactly, with its absolute expiry. What it overwrites goes to the trash itself.

    What was overwritten from here goes back over exactly what was written then. Raises Conflict when the key holds something
    else now and `overwrite` is not given, BadConfig when the expiry has passed
    on a store that would drop the key at once, KeyNotFound, ReadOnly, and what the store says.
    """
    trash = find(trash_id).trash
    with writing(actor, trash.store) as at:
        (error,) = restore_rows(at, [trash], overwrite)
        if error is not None:
            raise error
        return at.row(at.stored(entry_of(trash)))


def restore_many(
    actor: Actor, trash_ids: Iterable[int], overwrite: bool = False, *, named: bool = True, on_wait: Callable[[], None] | None = None
) -> list[RestoreOutcome]:
    """Restore each by itself, in the order given; one that cannot be restored does not stop the others.

    `named`: in the audit one by one. `on_wait` is asked while a lock is in the way; what is left when it raises is "stopped".
    A store is opened once for all of its neighbours in the list. Raises Forbidden, ReadOnly, and what opening a store raises.
    """
    ids = list(trash_ids)
    found = seen_only(TrashEntry.objects.select_related("store"), "store_id").in_bulk(ids)
    outcomes: list[RestoreOutcome] = []
    for store_id in {trash.store_id for trash in found.values()}:
        require(actor, Permission.EDIT, store_id)
    for store, group in groupby(ids, key=lambda trash_id: found[trash_id].store if trash_id in found else None):
        if store is None:
            outcomes += [RestoreOutcome(trash_id, "failed", say("This is no longer in the trash.")) for trash_id in group]
            continue
        with writing(actor, store) as at:
            at.backend.watch(on_wait)
            rows = [found[trash_id] for trash_id in group]
            outcomes += [_outcome(trash, error) for trash, error in zip(rows, restore_rows(at, rows, overwrite, named=named), strict=True)]
    return outcomes


def _outcome(trash: TrashEntry, error: StoreError | None) -> RestoreOutcome:
    if error is None:
        return RestoreOutcome(trash.pk, "restored")
    if isinstance(error, Interrupted):
        return RestoreOutcome(trash.pk, "stopped")
    return RestoreOutcome(trash.pk, "conflict" if isinstance(error, Conflict) else "failed", str(error))


def empty_expired() -> int:
    """Throw away for good what has been kept long enough; answers how many. In batches, so that no write lock is held long."""
    removed = 0
    while True:
        old = list(TrashEntry.objects.filter(kept_until__lte=timezone.now()).order_by("kept_until").values_list("pk", flat=True)[:_BATCH])
        if not old:
            return removed
        removed += TrashEntry.objects.filter(pk__in=old).delete()[0]


def _row(trash: TrashEntry) -> TrashRow:
    entry = entry_of(trash)
    return TrashRow(trash, row_of(entry, trash.store.effective_version, family_of(entry), time.time()))
