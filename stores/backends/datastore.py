"""What all data stores share: the write verbs, decided from what `m` and `y` hold under a key.

An engine only has to read a pair of rows, run a decision and write the difference in one atomic step (`_change`).
Layout and rules: store-formats b.1 to b.3.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from stores.backends.base import Backend
from stores.codecs.rows import HEADER, entry_from_rows, marker_row, split_row, value_row, with_expiry
from stores.errors import BadConfig, Conflict, CorruptRow, Interrupted, KeyNotFound, StoreError, StoreUnavailable
from stores.texts import say
from stores.types import ABSENT, ANYTHING, KEEP, Entry, Expected, Keep, Kind

LOWEST: Final = -(1 << 63)
HIGHEST: Final = (1 << 63) - 1


class Stored(NamedTuple):
    """What is stored under one key: the bytes in `m` and the number in `y`, None where there is no row."""

    row: bytes | None
    number: int | None

    def entry(self, key: bytes) -> Entry | None:
        """The entry these two make, None when there is neither."""
        return None if self.row is None and self.number is None else entry_from_rows(key, self.row, self.number)

    @property
    def expires_at(self) -> int | None:
        """Expiry of value or marker; None without one and for a malformed row."""
        return None if self.row is None else split_row(self.row).expires_at


NOTHING: Final = Stored(None, None)
Decide = Callable[[Stored], Stored]
"""From what is stored now to what shall be stored. Raises to leave everything as it is; may be called again after a lost race."""
DecideEach = Callable[[int, Stored], Stored]
"""The same for the n-th key of several. Never raises for one key alone: it answers what is stored to leave that key as it is."""


class DataStoreBackend(Backend):
    """The write verbs of a data store, all made of `_change`."""

    @abstractmethod
    def _read(self, key: bytes) -> Stored:
        """Both rows of a key as of one moment."""

    @abstractmethod
    def _change(self, key: bytes, decide: Decide) -> None:
        """Read both rows, decide, write what differs: one atomic step, isolated from other writers of the key.

        An exception of `decide` passes through and nothing is written. A lost race runs `decide` again on the new state.
        """

    def _change_each(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        """`_change` for several keys in few steps, each step atomic and short; a key that comes again sees what it was changed to."""
        for index, key in enumerate(keys):
            self._change(key, partial(decide, index))

    def _require_own(self, key: bytes, seen: Stored, new: Stored) -> None:
        """Raise BadConfig where the change would touch a number of another part of the server."""

    def get(self, key: bytes) -> Entry | None:
        """The entry as stored: expired, malformed, counter or value. One round trip."""
        return self._read(key).entry(key)

    def key_get(self, key: bytes) -> bytes | None:
        """As Stalwart: payload of a valid value, None when missing, expired or a counter. CorruptRow under 8 bytes."""
        entry = self.get(key)
        if entry is None or entry.row is None:
            return None
        if len(entry.row) < HEADER:
            raise CorruptRow(key, entry.row, entry.problem)
        return None if entry.expired(self.clock()) else entry.value

    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write a value; a number in `y` under the same key stays, as with Stalwart. Returns what is stored now."""
        self._check_value(value)
        return self._write(key, expect, lambda old: Stored(value_row(value, _kept(expires_at, old)), old.number))

    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write number and marker together; a value under the key is replaced. Raises BadConfig outside signed 64 bit."""
        _check_number(number)
        return self._write(key, expect, lambda old: Stored(_marker(_kept(expires_at, old)), number))

    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        """Add atomically and return the new number.

        KEEP leaves `m` as it is, also a value or a past marker (Stalwart without TTL); an expiry re-arms the marker (Stalwart with
        TTL); None removes the marker and leaves a value alone. An expired counter goes on from its old number, as with Stalwart.
        """

        def added(old: Stored) -> Stored:
            number = (old.number or 0) + delta
            _check_number(number)
            if isinstance(expires_at, int):
                return Stored(marker_row(expires_at), number)
            if expires_at is None and old.row is not None and split_row(old.row).kind is Kind.COUNTER:
                return Stored(None, number)
            return Stored(old.row, number)

        entry = self._write(key, expect, added)
        assert entry.counter is not None
        return entry.counter

    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        """Change only the expiry: header of a value or lock, marker of a counter (never = no marker)."""
        return self._write(key, expect, partial(_renewed, key, expires_at))

    def set_expiry_each(self, seen: Sequence[Entry], expires_at: int | None) -> list[Entry | StoreError]:
        """As `set_expiry` under the entry that was seen, many keys in one short transaction."""
        return self._written([(entry.key, entry, partial(_renewed, entry.key, expires_at)) for entry in seen])

    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        """Remove value, marker and number in one step. Returns what was removed."""
        return self._apply(key, expect, lambda old: NOTHING)[0]

    def delete_each(self, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        """As `delete` under the entry that was seen, many keys in one short transaction."""
        answers = self._apply_each([(entry.key, entry, lambda old: NOTHING) for entry in seen])
        return [answer if isinstance(answer, StoreError) else answer[0] for answer in answers]

    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        """Write the entry exactly, row and number; one that was read from a store without headers gets its header here.

        A key above `max_key` is left to the engine to judge, because the engine has held such keys (PostgreSQL packs them).
        """
        return self._write(entry.key, expect, partial(_exactly, entry), new_key=False)

    def put_each(self, wanted: Sequence[tuple[Entry, Expected]]) -> list[Entry | StoreError]:
        """As `put`, many keys in one short transaction."""
        return self._written([(entry.key, expect, partial(_exactly, entry)) for entry, expect in wanted])

    def key_delete(self, key: bytes) -> None:
        """As Stalwart: removes only the `m` row, so a counter loses its expiry."""
        self._apply(key, ANYTHING, lambda old: Stored(None, old.number))

    def counter_delete(self, key: bytes) -> None:
        """As Stalwart: removes only the number; its marker stays until it expires."""
        self._apply(key, ANYTHING, lambda old: Stored(old.row, None))

    def _write(self, key: bytes, expect: Expected, decide: Decide, new_key: bool = True) -> Entry:
        """Run a decision that leaves an entry; a key that is not stored yet has to fit, unless it comes from a store (`put`)."""

        def fitting(old: Stored) -> Stored:
            if new_key and old == NOTHING:
                self._check_key(key)
            return decide(old)

        entry = self._apply(key, expect, fitting)[1]
        if entry is None:
            raise _no_such_key()
        return entry

    def _apply(self, key: bytes, expect: Expected, decide: Decide) -> tuple[Entry | None, Entry | None]:
        """Run a decision under the caller's expectation. Returns the entry before and after."""
        self.require_writes()
        pair: list[Stored] = []

        def checked(old: Stored) -> Stored:
            check_expected(expect, old.entry(key))
            new = decide(old)
            pair[:] = old, new
            return new

        self._change(key, checked)
        return pair[0].entry(key), pair[1].entry(key)

    def _apply_each(self, wanted: Sequence[tuple[bytes, Expected, Decide]]) -> list[tuple[Entry | None, Entry | None] | StoreError]:
        """`_apply` for several keys: the entry before and after of each, or why it stays as it is."""
        self.require_writes()
        answers: list[tuple[Entry | None, Entry | None] | StoreError] = [(None, None)] * len(wanted)

        def decided(index: int, old: Stored) -> Stored:
            key, expect, decide = wanted[index]
            before = old.entry(key)
            try:
                check_expected(expect, before)
                new = decide(old)
                self._require_own(key, old, new)
            except StoreUnavailable:
                raise
            except StoreError as error:
                answers[index] = error
                return old
            answers[index] = before, new.entry(key)
            return new

        try:
            self._change_each([key for key, _, _ in wanted], decided)
        except Interrupted as error:
            answers[error.done :] = [error] * (len(wanted) - error.done)
        return answers

    def _written(self, wanted: Sequence[tuple[bytes, Expected, Decide]]) -> list[Entry | StoreError]:
        answers = self._apply_each(wanted)
        return [answer if isinstance(answer, StoreError) else answer[1] or _no_such_key() for answer in answers]

    def _check_key(self, key: bytes) -> None:
        longest = self.capabilities.max_key
        if len(key) > longest:
            raise BadConfig(
                say("The key has %(count)s bytes; %(label)s takes at most %(longest)s.", count=len(key), label=self.LABEL, longest=longest),
                say("Shorten the key."),
                "key",
            )

    def _check_value(self, value: bytes) -> None:
        largest = self.capabilities.max_value
        if len(value) > largest:
            raise BadConfig(
                say("The value has %(count)s bytes; this store takes at most %(largest)s.", count=len(value), largest=largest),
                say("Shorten the value."),
                "value",
            )


def check_expected(expect: Expected, current: Entry | None) -> None:
    """Raise Conflict with the present entry when it is not what the writer has seen."""
    if expect is ANYTHING:
        return
    if expect is ABSENT:
        if current is not None:
            raise Conflict(say("The key exists already."), current)
        return
    assert isinstance(expect, Entry)
    if current is None:
        raise Conflict(say("The key has been removed since it was read."))
    if current.etag != expect.etag:
        raise Conflict(current=current)


def rows_of(entry: Entry) -> Stored:
    """What a data store holds for an entry: its own rows if it came from one, else built from value, number and expiry."""
    if entry.row is not None:
        parts = split_row(entry.row)
        if (parts.payload, parts.expires_at) == (entry.value, entry.expires_at):
            return Stored(entry.row, entry.counter)
    if entry.counter is not None and (entry.value is None or entry.kind is Kind.COUNTER):
        return Stored(_marker(entry.expires_at), entry.counter)
    if entry.value is None:
        return NOTHING
    return Stored(value_row(entry.value, entry.expires_at), entry.counter)


def _renewed(key: bytes, expires_at: int | None, old: Stored) -> Stored:
    """The same content with another expiry."""
    if old == NOTHING:
        raise _no_such_key()
    if old.row is None or (expires_at is None and split_row(old.row).kind is Kind.COUNTER):
        return Stored(_marker(expires_at), old.number)
    return Stored(with_expiry(old.row, expires_at, key), old.number)


def _exactly(entry: Entry, old: Stored) -> Stored:
    wanted = rows_of(entry)
    if wanted == NOTHING:
        raise BadConfig(say("The entry has neither a row nor a number; there is nothing to write."))
    return wanted


def _no_such_key() -> KeyNotFound:
    return KeyNotFound(say("There is no such key any more."), say("It may have been deleted or purged; reload the list."))


def _kept(expires_at: int | Keep | None, old: Stored) -> int | None:
    return old.expires_at if isinstance(expires_at, Keep) else expires_at


def _marker(expires_at: int | None) -> bytes | None:
    return None if expires_at is None else marker_row(expires_at)


def _check_number(number: int) -> None:
    if not LOWEST <= number <= HIGHEST:
        raise BadConfig(
            say("%(number)s does not fit into a signed 64-bit number.", number=number),
            say("Stay between %(lowest)s and %(highest)s.", lowest=LOWEST, highest=HIGHEST),
            "number",
        )
