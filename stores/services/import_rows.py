"""Planned stores beside the definitions that exist: new, unchanged, different in what, or impossible and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stores.codecs.staticlookup import typed
from stores.errors import BadConfig, NotSupported
from stores.models import Store
from stores.registry import backend_class, supported
from stores.services import schedules, store_settings
from stores.services.store_checks import STATIC, checked_entries, checked_id
from stores.stalwart_toml import ImportPlan, PlannedStore, Problem
from stores.stalwart_toml.options import options_of
from stores.texts import counted, say

ANOTHER: Final = say("another secret")


class State(StrEnum):
    """How a planned store stands to what is defined."""

    NEW = "new"
    UNCHANGED = "unchanged"
    DIFFERS = "differs"
    BLOCKED = "blocked"
    """It cannot be created; the row says why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that the file has otherwise than the definition; secrets only as dots."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One planned store for showing."""

    id: str
    type: str
    label: str
    """In words: "Redis, single", "static, 20 entries: 12 texts, 5 numbers, 3 booleans"."""
    state: State
    default: bool
    """The file names it as default lookup store."""
    purge: str = ""
    purge_words: str = ""
    supported: bool = True
    why: str = ""
    """Why it is not supported yet, or cannot be created."""
    differences: tuple[Difference, ...] = ()
    notes: tuple[Problem, ...] = ()
    """Remarks of the plan on this store."""
    dropped: tuple[str, ...] = ()
    """Options that Stalwart has and kvadmin has no use for; they are not kept."""
    first_line: int = 0
    last_line: int = 0

    def as_json(self) -> dict[str, Any]:
        """One element of a dry run's JSON."""
        return {
            "id": self.id,
            "type": self.type,
            "state": self.state.value,
            "default": self.default,
            "supported": self.supported,
            "purge": self.purge or None,
            "why": self.why or None,
            "differences": [{"name": each.name, "before": each.before, "after": each.after} for each in self.differences],
            "lines": [self.first_line, self.last_line] if self.first_line else None,
        }


def row_of(planned: ImportPlan, store: PlannedStore, existing: Store | None) -> PreviewRow:
    """A planned store beside the definition with its id."""
    why, settings = store.blocked, dict(store.settings)
    dropped: tuple[str, ...] = ()
    if not why:
        try:
            checked_id(store.id)
            checked_entries(store.type, store.entries)
            settings, dropped = kept(store)
        except BadConfig as error:
            why = str(error)
    differences: tuple[Difference, ...] = ()
    state = State.BLOCKED if why else State.NEW
    if existing is not None and not why:
        differences = _differences(planned, store, settings, existing)
        state = State.DIFFERS if differences else State.UNCHANGED
    return PreviewRow(
        id=store.id,
        type=store.type,
        label=label(store),
        state=state,
        default=store.id == planned.default,
        purge=store.purge,
        purge_words=schedules.describe(store.purge).words if store.purge else "",
        supported=supported(store.type),
        why=why or _unsupported(store.type),
        differences=differences,
        notes=tuple(problem for problem in planned.problems if problem.store == store.id),
        dropped=dropped,
        first_line=store.lines[0],
        last_line=store.lines[1],
    )


def kept(store: PlannedStore) -> tuple[dict[str, str], tuple[str, ...]]:
    """The settings as they are stored, and the names that are dropped because the backend does not declare them."""
    if not supported(store.type):
        return {name: value for name, value in store.settings.items() if value}, ()
    fields = store_settings.fields_of(store.type)
    known = {name: value for name, value in store.settings.items() if name in fields}
    return store_settings.checked_settings(store.type, known), tuple(name for name in store.settings if name not in fields)


def _unsupported(type_name: str) -> str:
    try:
        backend_class(type_name)
    except NotSupported as error:
        return str(error)
    return ""


def _differences(planned: ImportPlan, store: PlannedStore, settings: Mapping[str, str], existing: Store) -> tuple[Difference, ...]:
    if existing.type != store.type:
        return (Difference("type", existing.type, store.type),)
    found: list[Difference] = []
    compared = set(options_of(store.type))
    if supported(store.type):
        compared &= store_settings.fields_of(store.type).keys()
    for name in dict.fromkeys([*settings, *(name for name in existing.settings if name in compared)]):
        before, after = existing.settings.get(name, ""), settings.get(name, "")
        if before != after and name not in store.hidden:
            found.append(_shown_difference(store.type, name, before, after))
    if store.type == STATIC:
        found += _entry_differences(planned, store, existing)
    if store.purge and store.purge != existing.purge_frequency:
        found.append(Difference("purge.frequency", existing.purge_frequency or say("not set"), store.purge))
    return tuple(found)


def _shown_difference(type_name: str, name: str, before: str, after: str) -> Difference:
    shown = [store_settings.masked(type_name, {name: value})[name] if value else say("not set") for value in (before, after)]
    if shown[0] == shown[1]:
        shown[1] = ANOTHER
    return Difference(name, shown[0], shown[1])


def _entry_differences(planned: ImportPlan, store: PlannedStore, existing: Store) -> list[Difference]:
    before = list(existing.entries.values_list("key", "value"))
    if dict(before) == dict(store.entries) and (planned.version != "0.16" or before == list(store.entries)):
        return []
    old, new = dict(before), dict(store.entries)
    changed = sum(old[key] != value for key, value in new.items() if key in old)
    parts = {"added": len(new.keys() - old.keys()), "removed": len(old.keys() - new.keys()), "changed": changed}
    words = ", ".join(f"{number} {name}" for name, number in parts.items() if number) or say("in another order")
    return [
        Difference("entries", say("%(count)s entries", count=len(old)), say("%(count)s entries: %(words)s", count=len(new), words=words))
    ]


def label(store: PlannedStore) -> str:
    """What a planned store is, in words."""
    if store.type == STATIC:
        return _static_label(store)
    if store.type == "http":
        refresh = store.settings.get("refresh", "12h")
        return say(
            "HTTP %(what)s, fetched every %(refresh)s",
            what=say("table") if store.settings.get("format") == "csv" else say("list"),
            refresh=refresh,
        )
    try:
        name = backend_class(store.type).LABEL
    except NotSupported:
        name = store.type
    kind = store.settings.get("redis-type", "single") if store.type == "redis" else ""
    return f"{name}, {kind}" if kind else name


def _static_label(store: PlannedStore) -> str:
    kinds = {"text": 0, "number": 0, "boolean": 0}
    for _, value in store.entries:
        kinds["boolean" if value in ("true", "false") else "text" if isinstance(typed(value), str) else "number"] += 1
    parts = ", ".join(f"{number} {name}{'s' if number > 1 else ''}" for name, number in kinds.items() if number)
    said = say("static, %(entries)s", entries=counted(len(store.entries), "entry", "entries"))
    return say("%(said)s: %(parts)s", said=said, parts=parts) if parts else said
