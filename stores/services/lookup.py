"""Stalwart's own lookup verbs on stores by id, with Stalwart's answers: what expressions, Sieve and the console ask.

The empty id is the default lookup store. Differences between stores are theirs (store-formats b.2): an expired counter still
answers its old number on a data store, a counter is text on Redis, a static store takes no writes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from stores import sight
from stores.backends.base import Backend
from stores.backends.readonly import ReadOnlyTable
from stores.errors import ReadOnly, UnknownStore
from stores.models import DefaultLookupStore, Store
from stores.registry import find_store
from stores.services import access, audit, edit_checks
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.trash_rows import DELETED, OVERWRITTEN
from stores.services.writing import Writing
from stores.texts import say
from stores.types import ANYTHING, KEEP, Clock, Entry, Expected, Keep, Kind

_DEFAULT: Final = ""


class Lookups:
    """Verbs on any number of stores, each opened once and closed at the end; use as a context manager.

    Reads need no more than the store; writes are refused unless `allow_writes` switches them on, check the permission and
    kvadmin's read-only switch, are audited, and what they replace goes to the trash. Raises UnknownStore, Forbidden, ReadOnly,
    NotSupported, and what the store says.
    """

    def __init__(self, actor: Actor, clock: Clock = time.time, *, allow_writes: bool = False) -> None:
        self.actor = actor
        self.allow_writes = allow_writes
        self.clock = clock
        self._open: dict[str, tuple[Store, Backend]] = {}

    def store(self, store_id: str = _DEFAULT) -> Store:
        """The store that answers for an id."""
        return self._opened(store_id)[0]

    def backend(self, store_id: str = _DEFAULT) -> Backend:
        """The open store behind an id, for what has no verb here; it is closed with this object."""
        return self._opened(store_id)[1]

    def key_get(self, store_id: str, key: bytes) -> bytes | None:
        """Payload of a valid key; None when missing, expired or (on a data store) a counter. Raises CorruptRow."""
        return self._opened(store_id)[1].key_get(key)

    def answer(self, store_id: str, key: bytes) -> int | float | str | None:
        """What `key_get` answers in an expression: typed on static stores and HTTP lookups, else text; None for nothing."""
        backend = self._opened(store_id)[1]
        if isinstance(backend, ReadOnlyTable):
            return backend.answer(key.decode("utf-8", "replace"))
        payload = backend.key_get(key)
        return None if payload is None else payload.decode("utf-8", "replace")

    def key_exists(self, store_id: str, key: bytes | Sequence[bytes]) -> bool:
        """Whether `key_get` finds something, an empty payload included; of several keys whether any is there, empty ones not asked."""
        backend = self._opened(store_id)[1]
        if isinstance(key, bytes):
            return backend.key_exists(key)
        return any(backend.key_exists(each) for each in key if each)

    def counter_get(self, store_id: str, key: bytes) -> int:
        """The number, or 0; on a data store also of a counter that has expired."""
        return self._opened(store_id)[1].counter_get(key)

    def key_set(self, store_id: str, key: bytes, value: bytes, expires_in: int | None = None) -> None:
        """Set a value; without `expires_in` (seconds) it never expires. Leaves a number under the same key alone."""
        at = self._writing(store_id)
        expires = None if expires_in is None else int(self.clock()) + expires_in
        edit_checks.key(at.backend, key)

        def act(seen: Entry | None, expected: Expected) -> Entry:
            return at.backend.key_set(key, value, expires, expected)

        at.write(key, "key_set", OVERWRITTEN, ANYTHING, act)

    def counter_incr(self, store_id: str, key: bytes, delta: int, expires_in: int | None = None) -> int:
        """Add and answer the new number. Without `expires_in` the present expiry stays, also a past one; with it, it restarts."""
        at = self._writing(store_id)
        expires: int | Keep = KEEP if expires_in is None else int(self.clock()) + expires_in
        edit_checks.key(at.backend, key)
        edit_checks.number(delta)
        seen = at.backend.get(key)
        note = at.note(key, "counter_incr", seen, {"add": delta})
        audit.append([note])
        with at.undone_on_refusal(note):
            number = at.backend.counter_incr(key, delta, expires)
        audit.settle(note, audit.DONE, {"add": delta, "counter": number})
        return number

    def key_delete(self, store_id: str, key: bytes) -> None:
        """Remove the value as Stalwart does: on a data store a counter loses its expiry and stays. Nothing to do is no error.

        Only the key itself goes, on FoundationDB too, where Stalwart also removes all longer keys that begin with it.
        """
        at = self._writing(store_id)

        def act(seen: Entry | None, expected: Expected) -> Entry | None:
            if seen is None or seen.counter is None or not at.backend.capabilities.counters:
                return at.backend.delete(key, expected)
            return at.backend.put(Entry(key, Kind.COUNTER, counter=seen.counter), expected)

        seen = at.backend.get(key)
        if seen is not None and (seen.row is not None or seen.problem):
            at.write(key, "key_delete", DELETED, ANYTHING, act)

    def counter_delete(self, store_id: str, key: bytes) -> None:
        """Remove the number as Stalwart does: on a data store its marker stays until it expires. Nothing to do is no error."""
        at = self._writing(store_id)
        apart = at.backend.capabilities.counters

        def act(seen: Entry | None, expected: Expected) -> Entry | None:
            if seen is None or seen.row is None or not apart:
                return at.backend.delete(key, expected)
            return at.backend.put(replace(seen, counter=None), expected)

        seen = at.backend.get(key)
        if seen is not None and (seen.counter is not None or not apart):
            at.write(key, "counter_delete", DELETED, ANYTHING, act)

    def close(self) -> None:
        """Give all stores back."""
        for _, backend in self._open.values():
            backend.close()
        self._open.clear()

    def _opened(self, store_id: str) -> tuple[Store, Backend]:
        if store_id not in self._open:
            store = self._found(store_id)
            self._open[store_id] = store, access.opened(store, self.clock)
        return self._open[store_id]

    def _found(self, store_id: str) -> Store:
        """A store that the actor may not see is refused, never answered for by another one."""
        try:
            store = find_store(store_id)
        except UnknownStore:
            known = store_id or DefaultLookupStore.objects.values_list("store_id", flat=True).first() or ""
            if not sight.current().sees(known) and Store.objects.filter(pk=known).exists():
                require(self.actor, Permission.VIEW, known)
            raise
        require(self.actor, Permission.VIEW, store)
        return store

    def _writing(self, store_id: str) -> Writing:
        store, backend = self._opened(store_id)
        if not self.allow_writes:
            raise ReadOnly(say("Writes are switched off for this lookup."), say("Switch them on for this call."))
        require(self.actor, Permission.EDIT, store)
        access.require_writable(store)
        access.require(store, backend, "writes")
        return Writing(self.actor, store, backend)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def unknown_note(store_id: str, version: str = "") -> str:
    """What Stalwart does where an expression names a store that is not there; empty for the empty id."""
    if not store_id:
        return ""
    if version == "0.16":
        return say("Stalwart 0.16 would answer nothing and do nothing.")
    return say("Stalwart up to 0.15 would silently ask its default lookup store instead; 0.16 answers nothing.")
