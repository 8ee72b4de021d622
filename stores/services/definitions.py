"""Store definitions: create, change, delete, choose the default, test, and say how each store is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from stores.errors import BadConfig, Busy, NotSupported
from stores.models import ACTIVE_STATES, DefaultLookupStore, Run, StaticEntry, Store
from stores.registry import BACKENDS, backend_class, visible_stores
from stores.services import audit, beatrows, store_settings
from stores.services.actor import Actor
from stores.services.health import Health, health, test_connection, test_store
from stores.services.permissions import Permission, require
from stores.services.store_checks import Entries, checked_entries, checked_id, checked_version
from stores.texts import say

__all__ = [
    "Entries",
    "Health",
    "StoreInfo",
    "create_store",
    "default_id",
    "delete_store",
    "health",
    "info",
    "list_stores",
    "masked_settings",
    "merge_secrets",
    "set_default",
    "test_connection",
    "test_store",
    "update_store",
]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A definition as lists show it; secrets masked. `why` says why a store is not supported."""

    id: str
    type: str
    label: str
    default: bool
    version: str
    """As set; empty: detected."""
    effective_version: str
    purge: str
    purge_paused: bool
    enabled: bool
    read_only: bool
    supported: bool
    why: str
    settings: Mapping[str, str]
    store: Store

    def as_json(self) -> dict[str, Any]:
        """One element of `stores --json`; a public interface."""
        return {
            "id": self.id,
            "type": self.type,
            "default": self.default,
            "version": self.effective_version,
            "purge": self.purge or None,
            "enabled": self.enabled,
            "read_only": self.read_only,
            "supported": self.supported,
            "settings": dict(self.settings),
        }


def list_stores() -> list[StoreInfo]:
    """All definitions by id; two queries, no connection to any store."""
    default = default_id()
    return [info(store, default) for store in visible_stores()]


def info(store: Store, default: str | None = None) -> StoreInfo:
    """One definition for showing."""
    why, label = "", store.type
    try:
        label = backend_class(store.type).LABEL
    except NotSupported as error:
        why = str(error)
    return StoreInfo(
        id=store.id,
        type=store.type,
        label=label,
        default=store.id == (default_id() if default is None else default),
        version=store.version,
        effective_version=store.effective_version,
        purge=store.purge_frequency,
        purge_paused=store.purge_paused,
        enabled=store.enabled,
        read_only=store.read_only,
        supported=not why,
        why=why,
        settings=masked_settings(store),
        store=store,
    )


def default_id() -> str:
    """Id of the default lookup store; empty when no store exists."""
    return DefaultLookupStore.objects.values_list("store_id", flat=True).first() or ""


def create_store(
    actor: Actor,
    *,
    id: str,
    type: str,
    settings: Mapping[str, str],
    version: str = "",
    read_only: bool = False,
    make_default: bool = False,
    entries: Entries = (),
    origin: str = "created here",
    allow_unsupported: bool = False,
) -> Store:
    """Define a store; the first one becomes the default lookup store. Connects to nothing.

    `entries` are the key and value pairs of a static store. `allow_unsupported` keeps a definition whose type no backend
    serves yet, with its settings as they are. Raises BadConfig that names the field (id, type, version, entries or a setting).
    """
    checked_id(id)
    require(actor, Permission.CONFIGURE, id)
    checked_version(version)
    type = type.strip().lower()
    stored = _settings_for(type, settings, allow_unsupported)
    checked_entries(type, entries)
    try:
        with transaction.atomic():
            store = Store(id=id, type=type, version=version, read_only=read_only, origin=origin)
            store.settings = stored
            store.save(force_insert=True)
            _save_entries(store, entries)
            if make_default or not DefaultLookupStore.objects.exists():
                _point_default(store)
            audit.record(actor, "store-add", store, after=_summary(store))
    except IntegrityError:
        raise BadConfig(
            say("There is already a store with the id %(id)s.", id=id), say("Choose another id, or change that store."), "id"
        ) from None
    return store


def update_store(
    actor: Actor,
    store: Store,
    *,
    settings: Mapping[str, str] | None = None,
    version: str | None = None,
    enabled: bool | None = None,
    read_only: bool | None = None,
    entries: Entries | None = None,
    origin: str | None = None,
) -> Store:
    """Change what is given, leave the rest. Masked secrets that come back untouched keep their stored value.

    Raises BadConfig that names the field. Id and type stay: delete and define anew.
    """
    require(actor, Permission.CONFIGURE, store)
    before = _summary(store)
    if settings is not None:
        store.settings = _settings_for(store.type, merge_secrets(store, settings), not _supported(store.type))
        store.detected_version = ""
    if version is not None:
        store.version = checked_version(version)
    if entries is not None:
        checked_entries(store.type, entries)
    store.enabled = store.enabled if enabled is None else enabled
    store.read_only = store.read_only if read_only is None else read_only
    store.origin = store.origin if origin is None else origin
    with transaction.atomic():
        store.save(update_fields=["settings", "version", "detected_version", "enabled", "read_only", "origin", "updated_at"])
        if entries is not None:
            store.entries.all().delete()
            _save_entries(store, entries)
        beatrows.sync(store)
        audit.record(actor, "store-change", store, before=before, after=_summary(store))
    return store


def delete_store(actor: Actor, store: Store, new_default: str = "") -> None:
    """Forget a definition, with its trash, censuses and schedule; the store itself is not touched.

    The default lookup store needs `new_default` while others exist. Raises BadConfig, and Busy while a run is active.
    """
    require(actor, Permission.CONFIGURE, store)
    if Run.objects.filter(store=store, state__in=ACTIVE_STATES).exists():
        raise Busy(say("A run on store %(store_id)s is not finished.", store_id=store.id), say("Cancel it or wait for its end."))
    users = [other.id for other in Store.objects.exclude(pk=store.pk) if store.id in referenced_ids(other)]
    if users:
        raise BadConfig(
            say("Store %(store_id)s is used by %(names)s.", store_id=store.id, names=", ".join(users)),
            say("Change or delete those stores first."),
            "id",
        )
    with transaction.atomic():
        if default_id() == store.id:
            _replace_default(store, new_default)
        name, before = store.id, _summary(store)
        beatrows.remove(name)
        store.delete()
        audit.record(actor, "store-delete", name, before=before)


def set_default(actor: Actor, store: Store) -> None:
    """Make a store the default lookup store; that changes what others get, so it takes the right for all stores."""
    require(actor, Permission.CONFIGURE)
    with transaction.atomic():
        before = default_id()
        if before == store.id:
            return
        _point_default(store)
        audit.record(actor, "default-store", store, before={"default": before}, after={"default": store.id})


def masked_settings(store: Store) -> dict[str, str]:
    """The settings of a definition for showing."""
    return store_settings.masked(store.type, store.settings)


def merge_secrets(store: Store, submitted: Mapping[str, str]) -> dict[str, str]:
    """What a form sent, with stored secrets in the place of untouched masks. Raises BadConfig for a half-edited mask."""
    return store_settings.merged(store.type, store.settings, submitted)


def referenced_ids(store: Store) -> set[str]:
    """Ids of other stores that a definition is made of (shards, replicas)."""
    names = [name for name, field in _fields_or_none(store.type).items() if field.type.value in ("stores", "store")]
    names = names or ["stores", "primary", "replicas"]
    return {part for name in names for part in store.settings.get(name, "").replace(",", " ").split()}


def _settings_for(type_name: str, settings: Mapping[str, str], allow_unsupported: bool) -> dict[str, str]:
    if type_name not in BACKENDS and not allow_unsupported:
        raise BadConfig(
            say('There is no store type "%(type_name)s".', type_name=type_name),
            say("Types: %(names)s.", names=", ".join(sorted(BACKENDS))),
            "type",
        )
    if allow_unsupported and not _supported(type_name):
        return {name: value for name, value in settings.items() if value}
    return store_settings.checked_settings(type_name, settings)


def _supported(type_name: str) -> bool:
    try:
        backend_class(type_name)
    except NotSupported:
        return False
    return True


def _fields_or_none(type_name: str) -> Mapping[str, Any]:
    try:
        return store_settings.fields_of(type_name)
    except NotSupported:
        return {}


def _save_entries(store: Store, entries: Entries) -> None:
    rows = [StaticEntry(store=store, key=key, value=value, position=place) for place, (key, value) in enumerate(entries)]
    StaticEntry.objects.bulk_create(rows, batch_size=500)


def _point_default(store: Store) -> None:
    DefaultLookupStore.objects.update_or_create(pk=1, defaults={"store": store})


def _replace_default(store: Store, new_default: str) -> None:
    """Move the default away from a store that is about to go."""
    others = Store.objects.exclude(pk=store.pk)
    if not others.exists():
        DefaultLookupStore.objects.all().delete()
        return
    chosen = others.filter(pk=new_default).first() if new_default else None
    if chosen is None:
        known = ", ".join(others.values_list("pk", flat=True))
        raise BadConfig(
            say("%(store_id)s is the default lookup store.", store_id=store.id),
            say("Choose the new default: %(known)s.", known=known),
            "new_default",
        )
    _point_default(chosen)


def _summary(store: Store) -> dict[str, Any]:
    """A definition for the audit, secrets masked."""
    return {
        "type": store.type,
        "version": store.version,
        "enabled": store.enabled,
        "read_only": store.read_only,
        "settings": masked_settings(store),
    }
