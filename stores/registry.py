"""Which backend serves which type, and how a definition becomes an open store."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from django.db.models import Model, QuerySet

from stores import hostrules, sight
from stores.backends.base import Backend
from stores.errors import BadConfig, NotSupported, UnknownStore
from stores.models import DefaultLookupStore, HttpLookup, Store
from stores.models.tablerows import StoredRows
from stores.texts import say
from stores.types import Clock

M = TypeVar("M", bound=Model)

BACKENDS: Mapping[str, str] = {
    "sqlite": "stores.backends.sqlite:SQLiteBackend",
    "postgresql": "stores.backends.postgresql:PostgreSQLBackend",
    "mysql": "stores.backends.mysql:MySQLBackend",
    "redis": "stores.backends.redis:RedisBackend",
    "rocksdb": "stores.backends.rocksdb:RocksDBBackend",
    "foundationdb": "stores.backends.foundationdb:FoundationDBBackend",
    "sql-read-replica": "stores.backends.replica:ReplicaBackend",
    "sharded-in-memory": "stores.backends.sharded:ShardedBackend",
    "static": "stores.backends.static:StaticBackend",
    "http": "stores.backends.http:HttpBackend",
    "memory": "stores.backends.memory:MemoryBackend",
}
"""Stalwart's type name -> `module:class`. Imported on demand, so that a missing driver breaks only its own stores."""

HIDDEN = frozenset({"memory"})
"""Types that no form offers."""

OWN_ROWS = frozenset({"static", "http", "memory"})
"""Types whose rows are in kvadmin's own database or memory: they are read in the thread that has the database's connection."""

MEMBERS: Mapping[str, tuple[str, ...]] = {"sql-read-replica": ("primary", "replicas"), "sharded-in-memory": ("stores",)}
"""Types made of other stores -> the settings that name them, in the order in which the backend takes them."""

_MACRO = re.compile(r"%\{(env|file):([^}]*)\}%")


def backend_class(type_name: str) -> type[Backend]:
    """The class that serves a type. Raises NotSupported naming the type, or the driver that has to be installed."""
    target = BACKENDS.get(type_name.lower())
    if target is None:
        raise NotSupported(
            say("Stores of type %(type_name)s are not supported yet.", type_name=type_name),
            say("The definition is kept; nothing else can be done."),
        )
    module, _, name = target.partition(":")
    try:
        found: type[Backend] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise NotSupported(
                say("Stores of type %(type_name)s are not supported yet.", type_name=type_name), say("The definition is kept.")
            ) from None
        raise NotSupported(
            say("Stores of type %(type_name)s need the Python package %(error)s.", type_name=type_name, error=error.name),
            say("Install it: pip install %(error)s", error=error.name),
        ) from None
    assert issubclass(found, Backend)
    return found


def supported(type_name: str) -> bool:
    """Whether `backend_class` would find a class for the type."""
    try:
        backend_class(type_name)
    except NotSupported:
        return False
    return True


def resolve_macros(settings: Mapping[str, str]) -> dict[str, str]:
    """Expand `%{env:NAME}%` and `%{file:/path}%` at connect time (store-formats f); results are never stored.

    Raises BadConfig that names the setting and the variable or file.
    """
    return {name: _expanded(name, value) for name, value in settings.items()}


def _expanded(setting: str, value: str) -> str:
    return _MACRO.sub(lambda match: _macro(setting, match[1], match[2]), value)


def _macro(setting: str, kind: str, name: str) -> str:
    if kind == "env":
        found = os.environ.get(name)
        if found is None:
            raise BadConfig(
                say("%(setting)s needs the environment variable %(name)s, which is not set.", setting=setting, name=name),
                say("Set it for kvadmin."),
                setting,
            )
        return found
    try:
        return Path(name.removeprefix("//")).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
        raise BadConfig(
            say("%(setting)s needs the file %(name)s: %(why)s.", setting=setting, name=name, why=why),
            say("Make it readable for kvadmin's user."),
            setting,
        ) from None


def open_store(store: Store, *, clock: Clock = time.time) -> Backend:
    """The open backend of a definition; the caller closes it (`with open_store(store) as backend`).

    Raises NotSupported, BadConfig, and whatever the backend says on its first use.
    """
    if not store.enabled:
        raise NotSupported(say("Store %(store_id)s is switched off.", store_id=store.id), say("Switch it on in its settings."))
    settings = resolve_macros(store.settings)
    backend_type = backend_class(store.type)
    hostrules.require_allowed(store.type, settings)
    return backend_type(settings, version=store.effective_version, clock=clock, **_extras(store, clock))


def _extras(store: Store, clock: Clock) -> dict[str, object]:
    if store.type == "static":
        return {"entries": tuple(store.entries.values_list("key", "value"))}
    if store.type == "http":
        fetched = HttpLookup.objects.filter(store=store).values_list("fetched_at", flat=True).first()
        copied_at = None if fetched is None else fetched.timestamp()
        return {"rows": StoredRows(store), "fetched_at": copied_at}
    if store.type in MEMBERS:
        return {"members": open_members(store.type, store.settings, clock=clock)}
    return {}


def member_ids(type_name: str, settings: Mapping[str, str], setting: str = "") -> list[str]:
    """Ids of the stores that a definition is made of, in order; of one setting, or of all. Empty for other types."""
    names = (setting,) if setting else MEMBERS.get(type_name, ())
    return [part for name in names for part in settings.get(name, "").replace(",", " ").split()]


def open_members(type_name: str, settings: Mapping[str, str], *, clock: Clock = time.time) -> tuple[Backend, ...]:
    """The open backends of these stores, in order; the backend that gets them closes them.

    Raises BadConfig that names the setting for an id without a store and for a store that is itself made of others, and what
    opening a member raises; those that were open are closed then.
    """
    opened: list[Backend] = []
    try:
        for setting in MEMBERS[type_name]:
            for store_id in member_ids(type_name, settings, setting):
                opened.append(open_store(_member(store_id, setting), clock=clock))
    except BaseException:
        for backend in opened:
            backend.close()
        raise
    return tuple(opened)


def _member(store_id: str, setting: str) -> Store:
    store = Store.objects.filter(pk=store_id).first()
    if store is None:
        raise BadConfig(
            say("%(setting)s names %(store_id)s, and there is no such store.", setting=setting, store_id=store_id),
            say("Define that store first."),
            setting,
        )
    if store.type in MEMBERS:
        raise BadConfig(
            say("%(setting)s names %(store_id)s, which is itself made of other stores.", setting=setting, store_id=store_id),
            say("Name those stores instead."),
            setting,
        )
    return store


def visible_stores() -> QuerySet[Store]:
    """The definitions that exist for whoever is asking (`stores.sight`); all of them in commands and tasks."""
    seen = sight.current()
    found = Store.objects.all() if seen.only is None else Store.objects.filter(pk__in=seen.only)
    return found.exclude(pk__in=seen.hidden) if seen.hidden else found


def seen_only(rows: QuerySet[M], field: str) -> QuerySet[M]:
    """The rows whose store exists for whoever is asking; `field` holds its id."""
    seen = sight.current()
    rows = rows if seen.only is None else rows.filter(**{f"{field}__in": seen.only})
    return rows.exclude(**{f"{field}__in": seen.hidden}) if seen.hidden else rows


def find_store(store_id: str) -> Store:
    """The definition by id; the empty id is the default lookup store. Raises UnknownStore, also for what the asker may not see."""
    if not store_id:
        row = DefaultLookupStore.objects.select_related("store").first()
        if row is None or not sight.current().sees(row.store_id):
            raise UnknownStore(say("There is no default lookup store."), say("Define a store first."))
        return row.store
    store = Store.objects.filter(pk=store_id).first() if sight.current().sees(store_id) else None
    if store is None:
        raise UnknownStore(say("There is no store with the id %(store_id)s.", store_id=store_id), say("The ids are listed under Settings."))
    return store
