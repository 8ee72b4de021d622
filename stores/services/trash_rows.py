"""Rows of the trash: made from stored entries, and turned back into them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from stores.codecs.rows import split_row
from stores.models import Run, Store, TrashEntry
from stores.services.actor import Actor
from stores.types import Entry, Kind

KEPT_DAYS: Final = 7
"""Unless the setting KVADMIN_TRASH_DAYS says otherwise."""

DELETED: Final = "deleted"
OVERWRITTEN: Final = "overwritten"

_HIGHEST: Final = (1 << 63) - 1


def new_entry(store: Store, entry: Entry, slug: str | None, reason: str, actor: Actor, run: Run | None = None) -> TrashEntry:
    """A trash row of a stored entry, not saved yet."""
    return TrashEntry(
        store=store,
        key=entry.key,
        kind=entry.kind.value,
        class_slug=slug or "",
        row=entry.row,
        value=entry.value,
        counter=entry.counter,
        expires_at=None if entry.expires_at is None else min(entry.expires_at, _HIGHEST),
        expires_at_ms=entry.expires_at_ms,
        reason=reason,
        deleted_by=actor.name,
        kept_until=timezone.now() + timedelta(days=kept_days()),
        run=run,
    )


def kept_days() -> int:
    """How long things stay in the trash."""
    return int(getattr(settings, "KVADMIN_TRASH_DAYS", KEPT_DAYS))


def entry_of(trash: TrashEntry) -> Entry:
    """The entry as it was stored. On a data store the row says when it expires, which may be beyond a signed number."""
    value = None if trash.value is None else bytes(trash.value)
    row = None if trash.row is None else bytes(trash.row)
    parts = None if row is None or row == value else split_row(row)
    return Entry(
        key=bytes(trash.key),
        kind=Kind(trash.kind),
        value=value,
        counter=trash.counter,
        expires_at=parts.expires_at if parts else trash.expires_at,
        row=row,
        expires_at_ms=trash.expires_at_ms,
        problem=parts.problem if parts else "",
    )
