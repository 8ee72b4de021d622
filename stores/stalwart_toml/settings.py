"""From flat settings to a plan: stores, default, schedules, lookups, limits, and everything that is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from stores import cron
from stores.errors import BadConfig
from stores.stalwart_toml import advice, limits, versions
from stores.stalwart_toml.document import Document
from stores.stalwart_toml.draft import Draft
from stores.stalwart_toml.lookups import add_http, add_static
from stores.stalwart_toml.options import BLOBS_ONLY, CLUSTER_ONLY, DATA_STORES, ELSEWHERE, NOT_LOOKUP, OPTIONS, Option, options_of
from stores.stalwart_toml.plan import ImportPlan, PlannedStore, Severity

ROLES: Final = ("data", "blob", "fts", "lookup", "directory")
DEFAULT_SCHEDULES: Final = {"lookup": "0 5 *", "data": "0 3 *", "blob": "0 4 *"}
"""When Stalwart purges a store in that role if nothing is set."""


def plan_from_settings(document: Document, source: str, dialect: Literal["toml", "settings"] = "toml") -> ImportPlan:
    """The plan of a parsed configuration. Pure; cost linear in the settings."""
    draft = Draft(document)
    roles = {role: found for role in ROLES if (found := draft.known(f"storage.{role}"))}
    guess = versions.guess(document.settings)
    for store_id, keys in document.owners("store.", _store_ids(document)).items():
        _add_store(draft, store_id, keys, roles, guess.version)
    _orphans(draft)
    advice.on_shards(draft)
    add_static(draft)
    add_http(draft)
    advice.on_roles(draft, roles)
    advice.on_tables(draft, roles, guess.version)
    advice.on_local_keys(draft)
    learned = tuple(limits.limits_of(document))
    draft.used.update(key for key in draft.settings if limits.is_limit(key))
    default = roles.get("lookup", "")
    return ImportPlan(
        source=source,
        dialect=dialect,
        stores=tuple(draft.stores.values()),
        default=default if default in draft.stores else "",
        roles=roles,
        version=guess.version,
        version_note=guess.note,
        limits=learned,
        skipped=tuple(draft.skipped),
        problems=draft.sorted_problems(),
        ignored=draft.unused(),
        used=frozenset(draft.used),
    )


def _store_ids(document: Document) -> list[str]:
    """Ids by the presence of `store.<id>.type`; an id may hold dots."""
    return [name[6:-5] for name in document.under("store.") if name.endswith(".type") and len(name) > 11]


def _orphans(draft: Draft) -> None:
    for key in draft.document.under("store."):
        if key not in draft.used and not key.partition(".")[2].partition(".")[2].startswith(ELSEWHERE):
            draft.used.add(key)
            draft.report(Severity.WARNING, f"{key} belongs to no store: its type is missing.", "Add store.<id>.type.", key=key)


def _add_store(draft: Draft, store_id: str, keys: list[str], roles: dict[str, str], version: str) -> None:
    type_key = f"store.{store_id}.type"
    type_name = draft.known(type_key).lower()
    if type_name in NOT_LOOKUP:
        draft.used.update(keys)
        draft.skip(store_id, type_name, NOT_LOOKUP[type_name], type_key)
    elif type_name not in OPTIONS or type_name == "http":
        reason = f"Stalwart has no store type {type_name[:40]}." if type_name else "Its type is not known."
        draft.used.update(keys)
        draft.skip(store_id, type_name, reason, type_key)
        if type_name:
            draft.report(Severity.WARNING, f"store.{store_id}: {reason}", "The store is left out.", key=type_key, store=store_id)
    else:
        _add_lookup_store(draft, store_id, type_name, keys, roles, version)


def _add_lookup_store(draft: Draft, store_id: str, type_name: str, keys: list[str], roles: dict[str, str], version: str) -> None:
    start = f"store.{store_id}."
    options = options_of(type_name)
    settings: dict[str, str] = {}
    for key in keys:
        name = key.removeprefix(start)
        option = options.get(name) or _array_option(options, name)
        if option is not None and option.many:
            if option.name not in settings:
                settings[option.name] = _many(draft, start + option.name)
            draft.used.add(key)
        elif option is not None:
            settings[name] = draft.option(store_id, key, option)
        elif name not in ("type", "purge.frequency") and not name.startswith(ELSEWHERE):
            _not_understood(draft, store_id, type_name, key, name)
    settings = {name: value for name, value in settings.items() if value}
    purge = _purge(draft, store_id, type_name, roles, version)
    missing = [option.name for option in options.values() if option.required and option.name not in settings]
    blocked = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing." if missing else ""
    if blocked:
        draft.report(Severity.ERROR, f"store.{store_id}: {blocked}", "Add the setting.", key=f"{start}type", store=store_id)
    if type_name == "redis":
        _redis_notes(draft, store_id, settings)
    draft.stores[store_id] = PlannedStore(store_id, type_name, settings, purge=purge, lines=draft.lines(keys), blocked=blocked)


def _array_option(options: Mapping[str, Option], name: str) -> Option | None:
    head, _, index = name.rpartition(".")
    option = options.get(head)
    return option if option is not None and option.many and index.isdecimal() else None


def _many(draft: Draft, key: str) -> str:
    """All values of an option that takes several, one a line, in the order of their indexes."""
    names = draft.document.many(key)
    return "\n".join(value for name in names if (value := draft.text(name).strip()))


def _not_understood(draft: Draft, store_id: str, type_name: str, key: str, name: str) -> None:
    draft.used.add(key)
    fix = "It is left out; Stalwart does not know it for this type either."
    if type_name == "redis" and name in ("url", "host", "port", "db", "database", "tls", "tls.enable"):
        fix = "Stalwart takes address, database and TLS from urls, such as rediss://host:6379/0."
    if name == BLOBS_ONLY and type_name in DATA_STORES:
        message = f"{key} concerns blobs only and is not kept; an export leaves it out."
        draft.report(Severity.NOTE, message, key=key, store=store_id)
        return
    if name == "disable":
        fix = "Stalwart ignores it; switch the store off here after the import."
    draft.report(Severity.WARNING, f"{key} is not understood.", fix, key=key, store=store_id)


def _redis_notes(draft: Draft, store_id: str, settings: dict[str, str]) -> None:
    if settings.get("redis-type", "single") != "single":
        return
    start = f"store.{store_id}."
    if "\n" in settings.get("urls", ""):
        message = "A single Redis server has one URL; Stalwart uses only the first, and so does kvadmin."
        draft.report(Severity.NOTE, message, key=draft.document.many(f"{start}urls")[0], store=store_id)
    for name in sorted(CLUSTER_ONLY & settings.keys() - {"protocol-version"}):
        message = f"{name} counts for a cluster only; a single server takes user and password from its URL."
        draft.report(Severity.NOTE, message, key=start + name, store=store_id)


def _purge(draft: Draft, store_id: str, type_name: str, roles: dict[str, str], version: str) -> str:
    """The purge schedule in its plain form; empty when there is none, or none that can be read."""
    key = f"store.{store_id}.purge.frequency"
    if key not in draft.settings or not (text := draft.text(key)).strip():
        return ""
    if type_name not in DATA_STORES:
        draft.report(Severity.NOTE, f"{key} has no effect: a {type_name} store expires its keys by itself.", key=key, store=store_id)
        return ""
    if not draft.known(key):
        return ""
    found = _schedule(text)
    role = next((role for role in ("lookup", "data", "blob") if roles.get(role) == store_id), "lookup")
    for note in cron.stalwart_notes(text, version or "0.11", DEFAULT_SCHEDULES[role]):
        severity = Severity.NOTE if note.kind in ("own", "ignores") else Severity.WARNING
        draft.report(severity, f"{key} `{text[:40]}`: {note.text}", key=key, store=store_id)
    if isinstance(found, cron.Cron):
        return str(found)
    draft.report(
        Severity.ERROR, f"{key}: {found.message}", f"{found.fix} The store is imported without a schedule.", key=key, store=store_id
    )
    return ""


def _schedule(text: str) -> cron.Cron | BadConfig:
    """The schedule that the text means, also where only Stalwart accepts how it is written."""
    try:
        return cron.parse(text)
    except BadConfig as error:
        return cron.stalwart_reading(text).cron or error
