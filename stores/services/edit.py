"""Changing keys. Every write is conditional on what was seen; what it removes or replaces is in the trash before it happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from django.db import transaction

from stores.errors import Conflict, KeyNotFound, StoreError
from stores.models import AuditEntry, Run, Store, TrashEntry
from stores.services import audit, edit_checks
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.rows import Row, same_row
from stores.services.trash_rows import DELETED, OVERWRITTEN
from stores.services.writing import Writing, writing
from stores.texts import say
from stores.types import ABSENT, ANYTHING, KEEP, Entry, Expected, Keep, Kind

_CHUNK: Final = 200

Target = tuple[bytes, Expected | str]
"""A key and what is expected there: an entry, the etag of a Row's entry, ANYTHING."""


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """What became of one key of several. `gone`: it no longer existed. `changed`: it is not the row that was seen."""

    key: bytes
    state: Literal["deleted", "gone", "changed", "failed"]
    message: str = ""


def set_value(actor: Actor, store: Store, key: bytes, value: bytes, expires: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> Row:
    """Replace a value, or create it when `expect` allows; KEEP leaves the expiry as it is (never, for a new key).

    Raises Conflict with the present row, BadConfig(field=key, value, expiry), ReadOnly, NotSupported for counters and locks.
    """
    with writing(actor, store) as at:
        edit_checks.key(at.backend, key)
        edit_checks.expiry(at.backend, expires)

        def act(seen: Entry | None, expected: Expected) -> Entry:
            edit_checks.value(at, key, value, seen)
            return at.backend.key_set(key, value, _kept(expires, seen), expected)

        return at.write(key, "edit", OVERWRITTEN, expect, act)


def set_expiry(actor: Actor, store: Store, key: bytes, expires: int | None, expect: Expected = ANYTHING) -> Row:
    """Change only the expiry (Unix seconds, None = never). Raises KeyNotFound, Conflict, CorruptRow, BadConfig, ReadOnly."""
    with writing(actor, store) as at:
        edit_checks.expiry(at.backend, expires)

        def act(seen: Entry | None, expected: Expected) -> Entry:
            if seen is None:
                raise no_key()
            return at.backend.set_expiry(key, expires, expected)

        return at.write(key, "expiry", "", expect, act)


def set_counter(actor: Actor, store: Store, key: bytes, number: int, expires: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> Row:
    """Set a counter, number and marker together. Raises as `set_value`; NotSupported when the key holds a value."""
    with writing(actor, store) as at:
        edit_checks.key(at.backend, key)
        edit_checks.number(number)
        edit_checks.expiry(at.backend, expires)

        def act(seen: Entry | None, expected: Expected) -> Entry:
            edit_checks.counter(at, key, seen)
            return at.backend.counter_set(key, number, _kept(expires, seen), expected)

        return at.write(key, "counter", OVERWRITTEN, expect, act)


def increment(actor: Actor, store: Store, key: bytes, delta: int, expires: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> Row:
    """Add to a counter atomically, beside other writers; creates it. An expired counter goes on from its old number.

    With ANYTHING nothing is compared. Nothing goes to the trash: the same step back undoes it. Raises as `set_counter`.
    """
    with writing(actor, store) as at:
        edit_checks.key(at.backend, key)
        edit_checks.number(delta)
        edit_checks.expiry(at.backend, expires)
        seen = at.backend.get(key)
        edit_checks.counter(at, key, seen)
        note = at.note(key, "increment", seen, {"add": delta})
        audit.append([note])
        with at.undone_on_refusal(note):
            number = at.backend.counter_incr(key, delta, expires, at.expected(expect))
            stored = at.backend.get(key)
        row = at.row(stored or Entry(key, Kind.COUNTER, counter=number))
        audit.settle(note, audit.DONE, {**(audit.summary(row.entry, row.decoded.secret_value) or {}), "add": delta})
        return row


def create_key(
    actor: Actor,
    store: Store,
    key: bytes,
    *,
    kind: Kind = Kind.VALUE,
    value: bytes = b"",
    number: int = 0,
    expires: int | None = None,
) -> Row:
    """A new value or counter. Raises Conflict with the present row when the key exists, expired or not; else as `set_value`."""
    if kind is Kind.COUNTER:
        return set_counter(actor, store, key, number, expires, ABSENT)
    return set_value(actor, store, key, value, expires, ABSENT)


def delete_key(actor: Actor, store: Store, key: bytes, expect: Expected = ANYTHING) -> Row:
    """Remove a key altogether, number and marker included; answers what was removed. Raises KeyNotFound, Conflict, ReadOnly."""
    with writing(actor, store) as at:

        def act(seen: Entry | None, expected: Expected) -> Entry:
            removed = at.backend.delete(key, expected) if seen is not None else None
            if removed is None:
                raise no_key()
            return removed

        return at.write(key, "delete", DELETED, expect, act)


def delete_many(actor: Actor, store: Store, targets: Iterable[Target], run: Run | None = None) -> list[DeleteOutcome]:
    """Remove several keys; one that changed or failed does not stop the others.

    In chunks of 200, each with one commit of its trash and audit before and one after. Raises ReadOnly and NotSupported
    before anything is touched.
    """
    outcomes: list[DeleteOutcome] = []
    with writing(actor, store, run) as at:
        chunk: list[Target] = []
        for target in targets:
            chunk.append(target)
            if len(chunk) == _CHUNK:
                outcomes += delete_chunk(at, chunk)
                chunk = []
        outcomes += delete_chunk(at, chunk)
    return outcomes


def expected_from_etag(store: Store, key: bytes, etag: str) -> Entry:
    """The stored entry, when it still is the one with this etag (of a Row's entry). Raises Conflict with the present row."""
    row = read_key(store, key)
    if row is None:
        raise Conflict(say("The key is gone."), None)
    if row.entry.etag != etag:
        raise Conflict(current=row.entry)
    return row.entry


def no_key() -> KeyNotFound:
    """What to say of a key that is not there."""
    return KeyNotFound(say("There is no such key."), say("It may have expired or been deleted; look at the list again."))


def _kept(expires: int | Keep | None, seen: Entry | None) -> int | Keep | None:
    return None if seen is None and expires is KEEP else expires


@dataclass(slots=True)
class _Removal:
    """One key of a chunk on its way."""

    key: bytes
    seen: Entry
    trash: TrashEntry
    note: AuditEntry
    outcome: DeleteOutcome


def delete_chunk(at: Writing, chunk: Sequence[Target]) -> list[DeleteOutcome]:
    """Read, put on record, delete, settle. The order of outcomes is the order of the targets."""
    outcomes: list[DeleteOutcome | _Removal] = [_planned(at, key, expect) for key, expect in chunk]
    removals = [found for found in outcomes if isinstance(found, _Removal)]
    with transaction.atomic():
        TrashEntry.objects.bulk_create([removal.trash for removal in removals])
        audit.append([removal.note for removal in removals])
    for removal in removals:
        removal.outcome = _removed(at, removal)
    kept = [removal.trash.pk for removal in removals if removal.outcome.state != "deleted"]
    with transaction.atomic():
        TrashEntry.objects.filter(pk__in=kept).delete()
        for outcome, wanted in ((audit.DONE, True), (audit.FAILED, False)):
            audit.settle_all([removal.note for removal in removals if (removal.outcome.state == "deleted") is wanted], outcome)
    return [found.outcome if isinstance(found, _Removal) else found for found in outcomes]


def _planned(at: Writing, key: bytes, expect: Expected | str) -> DeleteOutcome | _Removal:
    """The present row when it is the expected one, else why nothing is deleted."""
    try:
        seen = at.backend.get(key)
    except StoreError as error:
        return DeleteOutcome(key, "failed", str(error))
    if seen is None:
        return DeleteOutcome(key, "gone", say("The key no longer exists."))
    if not _as_expected(at, seen, expect):
        return DeleteOutcome(key, "changed", say("The key has changed since it was read."))
    trash = at.trash_row(seen, DELETED)
    assert trash is not None
    return _Removal(key, seen, trash, at.note(key, "delete", seen), DeleteOutcome(key, "failed"))


def _as_expected(at: Writing, seen: Entry, expect: Expected | str) -> bool:
    if isinstance(expect, Entry):
        return same_row(seen, at.stored(expect))
    return expect is ANYTHING or expect in (seen.etag, at.row(seen).entry.etag)


def _removed(at: Writing, removal: _Removal) -> DeleteOutcome:
    try:
        gone = at.backend.delete(removal.key, removal.seen) is None
    except Conflict:
        return DeleteOutcome(removal.key, "changed", say("The key has changed since it was read."))
    except StoreError as error:
        return DeleteOutcome(removal.key, "failed", str(error))
    return DeleteOutcome(removal.key, "gone", say("The key no longer exists.")) if gone else DeleteOutcome(removal.key, "deleted")
