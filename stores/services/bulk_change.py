"""What a bulk run does to the keys of a filter: checked once, kept with the run, and read back from there as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from stores.errors import BadConfig
from stores.models import Store
from stores.registry import find_store
from stores.services import access
from stores.services.durations import LAST_MOMENT, parse_expiry
from stores.services.filters import KeyFilter
from stores.texts import say
from stores.types import KEEP


class Do(StrEnum):
    DELETE = "delete"
    EXPIRY = "expiry"
    COPY = "copy"
    MOVE = "move"
    IMPORT = "import"
    """The keys of a file, not of a filter."""


class Clash(StrEnum):
    """What happens to a key that the other store holds already, with another content."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    FAIL = "fail"


VERBS: Final[Mapping[Do, str]] = {
    Do.DELETE: say("Delete"),
    Do.EXPIRY: say("Set the expiry of"),
    Do.COPY: say("Copy"),
    Do.MOVE: say("Move"),
    Do.IMPORT: say("Import"),
}
PAST: Final[Mapping[Do, str]] = {Do.DELETE: "deleted", Do.EXPIRY: "changed", Do.COPY: "copied", Do.MOVE: "moved", Do.IMPORT: "imported"}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of all keys of a filter. `at` is the moment (Unix seconds) that decides what the filter calls expired."""

    do: Do
    filter: KeyFilter
    at: float
    expires_at: int | None = None
    """For EXPIRY: Unix seconds, the same for every key; None = never."""
    to: str = ""
    """For COPY and MOVE: id of the other store."""
    clash: Clash = Clash.SKIP
    undo: bool = True
    """Keep what is removed or overwritten in the trash, as far as there is room."""

    @property
    def removes(self) -> bool:
        return self.do in (Do.DELETE, Do.MOVE)

    @property
    def target(self) -> Store:
        """The other store. Raises UnknownStore when its definition is gone."""
        return find_store(self.to or "?")

    def params(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {
            "do": self.do.value,
            "filter": self.filter.to_query(),
            "at": self.at,
            "expires_at": self.expires_at,
            "to": self.to,
            "clash": self.clash.value,
            "undo": self.undo,
        }

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Change:
        """What `params` has made, checked again. Raises BadConfig for what it cannot have made."""
        try:
            expires = params["expires_at"]
            change = cls(
                do=Do(params["do"]),
                filter=KeyFilter.from_query(params["filter"]),
                at=float(params["at"]),
                expires_at=None if expires is None else int(expires),
                to=str(params["to"]),
                clash=Clash(params["clash"]),
                undo=bool(params["undo"]),
            )
        except (KeyError, TypeError, ValueError):
            raise BadConfig(say("This run does not say what it is to do."), say("Start it again from a dry run.")) from None
        if change.expires_at is not None and not 0 < change.expires_at <= LAST_MOMENT:
            raise BadConfig(say("The expiry of this run lies outside what a store takes."), say("Start it again from a dry run."), "expiry")
        return change


def make_change(
    do: Do, filter: KeyFilter, now: float, *, expiry: str = "", to: str = "", clash: Clash = Clash.SKIP, undo: bool = True
) -> Change:
    """A change as somebody asks for it. `expiry` as typed: "2 days", "2030-01-31 18:00", "never".

    Raises BadConfig with the field `expiry` or `to`.
    """
    change = Change(do, filter, now, undo=undo)
    if do is Do.EXPIRY:
        at = parse_expiry(expiry, now)
        if at is KEEP:
            raise BadConfig(say("Say when the keys shall expire."), say('Write "2 days", "2030-01-31 18:00" or "never".'), "expiry")
        assert not isinstance(at, type(KEEP))
        return replace(change, expires_at=at)
    if do in (Do.COPY, Do.MOVE):
        if not to:
            raise BadConfig(say("Choose the store to copy to."), "", "to")
        return replace(change, to=to, clash=clash)
    return change


def require_possible(store: Store, change: Change) -> None:
    """Raise ReadOnly, NotSupported, BadConfig or UnknownStore when the stores do not allow the change; opens them to see."""
    if change.do is not Do.COPY:
        with access.open_for_write(store) as backend:
            if change.do is Do.EXPIRY:
                access.require(store, backend, "expiry")
    if change.to:
        if change.to == store.id:
            raise BadConfig(say("A store cannot be copied onto itself."), say("Choose another store."), "to")
        with access.open_for_write(change.target):
            pass
