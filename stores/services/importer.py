"""Importing a Stalwart configuration: plan, compare with what is defined, create what is wanted; and writing it back.

Importing the same file twice changes nothing the second time. A definition that differs is reported and left as it is, unless
it is named explicitly. Secrets appear in no plan, preview, message or result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Final

from stores.errors import BadConfig, NotSupported, StoreError
from stores.models import Store
from stores.services import audit, definitions, limits, schedules, store_settings
from stores.services.actor import Actor
from stores.services.beatrows import sync
from stores.services.import_rows import Difference, PreviewRow, State, kept, label, row_of
from stores.services.permissions import Permission, require
from stores.services.store_checks import STATIC
from stores.stalwart_toml import ImportPlan, PlannedStore, Problem, Severity, SourceLine, Written, read, source_lines, write
from stores.stalwart_toml.options import DATA_STORES, options_of
from stores.texts import say

_COMPOSED: Final = frozenset({"sharded-in-memory", "sql-read-replica"})

__all__ = [
    "Difference",
    "Failure",
    "ImportResult",
    "PreviewRow",
    "State",
    "apply",
    "export",
    "label",
    "plan",
    "preview",
    "remarked",
    "source",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """A store that could not be created or changed, and why."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, by ids."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    """Defined otherwise and left as they are."""
    left_out: tuple[str, ...] = ()
    """Not chosen."""
    failed: tuple[Failure, ...] = ()
    unsupported: tuple[str, ...] = ()
    """Those of the created ones whose type no backend serves yet."""
    default: str = ""
    """The default lookup store, when the import changed it."""

    @property
    def changed(self) -> bool:
        return bool(self.created or self.updated or self.default)

    def as_json(self) -> dict[str, Any]:
        """The JSON of an import."""
        return {
            "created": list(self.created),
            "updated": list(self.updated),
            "unchanged": list(self.unchanged),
            "differing": list(self.differing),
            "left_out": list(self.left_out),
            "failed": [{"id": failure.id, "message": failure.message} for failure in self.failed],
            "unsupported": list(self.unsupported),
            "default": self.default or None,
        }


def plan(text: str, filename: str, *, table: Mapping[str, str] | None = None, repair: bool = False) -> ImportPlan:
    """Read a config.toml, a config.json, exported objects or a data store's settings. Pure reading, no database, no network.

    `table`: the settings in the data store that belong to a config.toml. `repair`: read keys that only lack quotes as if they
    had them. Raises BadConfig(field="file") for anything else.
    """
    return read(text, PurePath(filename.replace("\\", "/")).name[:120] or "pasted text", table=table, repair=repair)


def remarked(planned: ImportPlan, remarks: Iterable[str]) -> ImportPlan:
    """The plan with what could not be read of its source."""
    added = tuple(Problem(Severity.WARNING, remark) for remark in remarks)
    return replace(planned, problems=(*planned.problems, *added)) if added else planned


def source(text: str, planned: ImportPlan, *, repair: bool = False) -> tuple[SourceLine, ...]:
    """The file line by line without secrets, each line marked; empty for JSON."""
    return source_lines(text, planned, repair=repair)


def preview(planned: ImportPlan) -> tuple[PreviewRow, ...]:
    """Every planned store beside what is defined. Two queries, and one for each static list that exists."""
    existing = {store.pk: store for store in Store.objects.filter(pk__in=[store.id for store in planned.stores])}
    return tuple(row_of(planned, store, existing.get(store.id)) for store in planned.stores)


def apply(
    actor: Actor,
    planned: ImportPlan,
    chosen: Collection[str] | None = None,
    *,
    switched_off: Collection[str] = (),
    make_default: bool | None = None,
) -> ImportResult:
    """Create the stores of a plan.

    `chosen` None: all new ones; definitions that differ stay as they are. Otherwise exactly those named are created, or changed
    where they differ. `switched_off` are created disabled. `make_default` None: the file's default becomes the default when this
    import creates it; True: in any case; False: never. Each store stands for itself: one that fails does not undo the others.
    """
    require(actor, Permission.CONFIGURE)
    done: dict[str, list[str]] = {name: [] for name in ("created", "updated", "unchanged", "differing", "left_out", "unsupported")}
    failed: list[Failure] = []
    default = definitions.default_id()
    rows = {row.id: row for row in preview(planned)}
    for store in sorted(planned.stores, key=lambda store: (store.type in _COMPOSED, store.id != planned.default)):
        try:
            outcome = _apply_one(actor, planned, store, rows[store.id], chosen, store.id in switched_off)
        except StoreError as error:
            failed.append(Failure(store.id, str(error)))
            continue
        done[outcome].append(store.id)
        if outcome == "created" and not rows[store.id].supported:
            done["unsupported"].append(store.id)
    if planned.default and (make_default or (make_default is None and planned.default in done["created"])):
        _set_default(actor, planned.default)
    limits.keep(planned)
    now_default = definitions.default_id()
    changed = now_default if now_default != default else ""
    return ImportResult(**{name: tuple(ids) for name, ids in done.items()}, failed=tuple(failed), default=changed)


def export(*, secrets: bool = False) -> Written:
    """All definitions as TOML that Stalwart reads. Without `secrets` passwords are dots, to be filled in by hand."""
    planned = []
    for store in Store.objects.all():
        settings = store.settings if secrets else store_settings.masked(store.type, store.settings)
        entries = tuple(store.entries.values_list("key", "value")) if store.type == STATIC else ()
        planned.append(PlannedStore(store.pk, store.type, settings, entries, store.purge_frequency))
    return write(planned, definitions.default_id())


def _apply_one(
    actor: Actor, planned: ImportPlan, store: PlannedStore, row: PreviewRow, chosen: Collection[str] | None, switched_off: bool
) -> str:
    """Create or change one store; answers the name of the list in the result that it belongs to. Raises StoreError."""
    if chosen is not None and store.id not in chosen:
        return "unchanged" if row.state is State.UNCHANGED else "left_out"
    if row.state is State.BLOCKED:
        raise BadConfig(row.why)
    if row.state is State.UNCHANGED:
        return "unchanged"
    if row.state is State.DIFFERS and chosen is None:
        return "differing"
    settings, _ = kept(store)
    origin = f"import of {planned.source}"
    with audit.together():
        if row.state is State.NEW:
            made = definitions.create_store(
                actor,
                id=store.id,
                type=store.type,
                settings=settings,
                version=planned.version,
                entries=store.entries,
                origin=origin,
                allow_unsupported=True,
            )
        else:
            made = _update(actor, store, settings, origin)
        if switched_off:
            made = definitions.update_store(actor, made, enabled=False)
        if store.purge:
            _schedule(actor, made, store.purge)
    return "created" if row.state is State.NEW else "updated"


def _update(actor: Actor, store: PlannedStore, settings: Mapping[str, str], origin: str) -> Store:
    existing = Store.objects.get(pk=store.id)
    if existing.type != store.type:
        message = say(
            "Store %(store_id)s is defined as %(type)s, the file says %(type_2)s.", store_id=store.id, type=existing.type, type_2=store.type
        )
        raise BadConfig(message, say("A type cannot be changed: delete the definition and import again."), "type")
    own = {name: value for name, value in existing.settings.items() if name not in options_of(store.type) or name in store.hidden}
    entries = store.entries if store.type == STATIC else None
    return definitions.update_store(actor, existing, settings={**own, **settings}, entries=entries, origin=origin)


def _schedule(actor: Actor, store: Store, frequency: str) -> None:
    """Set the schedule; for a data store that is not supported yet it is kept and starts once it is."""
    try:
        schedules.set_schedule(actor, store, frequency, store.purge_paused)
    except NotSupported:
        if store.type in DATA_STORES:
            store.purge_frequency = frequency
            store.save(update_fields=["purge_frequency", "updated_at"])
            sync(store)


def _set_default(actor: Actor, store_id: str) -> None:
    store = Store.objects.filter(pk=store_id).first()
    if store is not None:
        definitions.set_default(actor, store)
