"""One tree of errors, classed by what the caller does next. No message ever contains a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.texts import say, shown

if TYPE_CHECKING:
    from stores.types import Entry


class StoreError(Exception):
    """Base of everything a store or a use case can answer. `fix` says what to do, in one sentence."""

    code = "error"
    status = 400
    on_record = False
    """Set when the audit has it already."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    @property
    def said(self) -> str:
        """Message and fix as a page says them, in the reader's language."""
        return f"{shown(self.message)} {shown(self.fix)}".strip()


class StoreUnavailable(StoreError):
    """The store did not answer: retry later."""

    code = "unavailable"
    status = 503


class Interrupted(StoreError):
    """Whoever watches a store's work wanted it to stop while a lock was in the way. `done`: of several keys the first so many are dealt
    with, the others are as they were."""

    code = "interrupted"
    status = 409

    def __init__(self, done: int = 0) -> None:
        super().__init__(say("Stopped while another program held a lock."))
        self.done = done


class StoreRefused(StoreError):
    """The store answered no (password, database, permission, missing table): fix the definition or the server."""

    code = "refused"
    status = 502


class NotSupported(StoreError):
    """This store cannot do that, and never will."""

    code = "not-supported"
    status = 400


class ReadOnly(NotSupported):
    """The store, or kvadmin's switch for it, allows no writes."""

    code = "read-only"
    status = 403


class Forbidden(StoreError):
    """Whoever asks may not do this. `fix` says who may, or who can allow it."""

    code = "forbidden"
    status = 403


class Conflict(StoreError):
    """The row is no longer the one that was seen. `current` is what is stored now, None when it is gone."""

    code = "conflict"
    status = 409

    def __init__(self, message: str = say("The key has changed since it was read."), current: Entry | None = None) -> None:
        super().__init__(message, say("Look at the present value and decide again."))
        self.current = current


class CorruptRow(StoreError):
    """A single row cannot be understood. It is shown with its bytes; the walk goes on."""

    code = "corrupt"
    status = 422

    def __init__(self, key: bytes, raw: bytes, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.raw = raw


class CursorLost(StoreError):
    """The cursor is not of this store, or the server has forgotten it: start over."""

    code = "cursor-lost"
    status = 400


class KeyNotFound(StoreError):
    """There is no such key."""

    code = "no-such-key"
    status = 404


class UnknownStore(StoreError):
    """No store has this id."""

    code = "unknown-store"
    status = 404


class BadConfig(StoreError):
    """A definition or an input is wrong. `field` names the setting."""

    code = "bad-config"
    status = 422

    def __init__(self, message: str, fix: str = "", field: str = "") -> None:
        super().__init__(message, fix)
        self.field = field


class Busy(StoreError):
    """Another run holds this store."""

    code = "busy"
    status = 409
