"""One write to an open store, with what has to be on record before it happens.

Order: trash row and audit entry are committed, then the store is written, then the audit entry is settled. A write that the
store refuses takes its trash row back. A crash in between leaves a trash row of something that still exists, never a loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from django.db import transaction

from stores.backends.base import Backend
from stores.errors import Conflict, StoreError
from stores.models import AuditEntry, Run, Store, TrashEntry
from stores.services import audit
from stores.services.access import open_for_write
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.rows import Row, as_stored, row_of, same_row, settle, store_kind
from stores.services.trash_rows import DELETED, new_entry, new_key
from stores.types import ABSENT, ANYTHING, Entry, Expect, Expected, Kind

TRIES: Final = 5
"""How often a write that expects ANYTHING is repeated when the key keeps changing."""

Act = Callable[[Entry | None, Expected], Entry | None]
"""Gets the stored row that is replaced and the expectation to write under; returns what is stored now, or what was removed."""


class Writing:
    """An open store that one actor writes to."""

    def __init__(self, actor: Actor, store: Store, backend: Backend, run: Run | None = None) -> None:
        self.actor = actor
        self.store = store
        self.backend = backend
        self.run = run
        self.version = store.effective_version
        self.kind = store_kind(backend.capabilities)

    def row(self, entry: Entry) -> Row:
        """The entry settled and decoded."""
        return row_of(entry, self.version, self.kind, time.time())

    def stored(self, entry: Entry) -> Entry:
        """The entry in the form the backend compares."""
        return as_stored(entry, self.kind)

    def expected(self, expect: Expected) -> Expected:
        """An expectation in the form the backend compares."""
        return expect if isinstance(expect, Expect) else self.stored(expect)

    def trash_row(self, seen: Entry | None, reason: str) -> TrashEntry | None:
        """A trash row of what is about to be replaced, not saved; None when there is nothing to keep."""
        if seen is None or not reason:
            return None
        slug, settled = settle(seen, self.version, self.kind)
        return new_entry(self.store, settled, slug, reason, self.actor, self.run)

    def new_row(self, entry: Entry) -> TrashEntry:
        """The trash's note of a key that is about to be written where none is, not saved."""
        slug, _ = settle(entry, self.version, self.kind)
        return new_key(self.store, entry, slug, self.actor, self.run)

    def note(self, key: bytes, action: str, seen: Entry | None, after: Mapping[str, Any] | None = None) -> AuditEntry:
        """The audit entry of a write that is about to happen, not saved."""
        row = self.row(seen or Entry(key, Kind.UNKNOWN))
        return audit.build(
            self.actor,
            action,
            self.store,
            key=audit.key_text(key, row.decoded.secret_key),
            class_slug=row.decoded.slug or "",
            before=audit.summary(row.entry if seen else None, row.decoded.secret_value),
            after=after,
            run=self.run,
            outcome=audit.STARTED,
        )

    def write(self, key: bytes, action: str, reason: str, expect: Expected, act: Act) -> Row:
        """One conditional write. With ANYTHING it replaces what is there now, and tries again when that changes meanwhile.

        `reason` is the trash's (deleted, overwritten), empty when nothing is lost. Raises Conflict with the settled present row.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._write_once(key, action, reason, expect, act)
            except Conflict:
                if expect is not ANYTHING or attempt == TRIES:
                    raise
        raise AssertionError("the loop returns or raises")

    def _write_once(self, key: bytes, action: str, reason: str, expect: Expected, act: Act) -> Row:
        seen = self._seen(key, expect)
        saved, note = self.trash_row(seen, reason), self.note(key, action, seen)
        with transaction.atomic():
            if saved is not None:
                saved.save(force_insert=True)
            audit.append([note])
        with self.undone_on_refusal(note, saved):
            result = act(seen, ABSENT if seen is None else seen)
        row = self.row(result or Entry(key, Kind.UNKNOWN))
        if saved is not None and reason != DELETED and result is not None:
            saved.replaced_by = result.etag
            saved.save(update_fields=["replaced_by"])
        audit.settle(note, audit.DONE, None if reason == DELETED else audit.summary(row.entry, row.decoded.secret_value))
        return row

    def _seen(self, key: bytes, expect: Expected) -> Entry | None:
        """The whole row that the write replaces, as the backend reads it: the one given, none, or the one that is there now."""
        if not isinstance(expect, Entry):
            return None if expect is ABSENT else self.backend.get(key)
        if expect.length is None:
            return self.stored(expect)
        whole = self.backend.get(key)
        if whole is None or not same_row(whole, self.stored(expect)):
            raise self.shown(Conflict(current=whole))
        return whole

    @contextmanager
    def undone_on_refusal(self, note: AuditEntry, saved: TrashEntry | None = None) -> Iterator[None]:
        """Take the trash row back and settle the audit entry when the store does not do it; conflicts show settled rows."""
        try:
            yield
        except StoreError as error:
            with transaction.atomic():
                if saved is not None:
                    saved.delete()
                audit.settle(note, audit.outcome_of(error))
            shown = self.shown(error)
            shown.on_record = True
            raise shown from None

    def shown(self, error: StoreError) -> StoreError:
        """A conflict with the kind of its present row settled, for showing both versions; other errors as they are."""
        if not isinstance(error, Conflict) or error.current is None:
            return error
        return Conflict(error.message, settle(error.current, self.version, self.kind)[1])


@contextmanager
def writing(actor: Actor, store: Store, run: Run | None = None) -> Iterator[Writing]:
    """Open a store for writing. Raises Forbidden, ReadOnly, NotSupported, and what opening raises."""
    require(actor, Permission.EDIT if run is None else Permission.BULK, store)
    with open_for_write(store) as backend:
        yield Writing(actor, store, backend, run)
