"""Static lookups `lookup.<id>.<key>` and HTTP lookups `http-lookup.<id>.` of a configuration (store-formats e.4, e.5)."""

from __future__ import annotations

from typing import Final

from stores.codecs.staticlookup import CONSULTED
from stores.stalwart_toml.draft import Draft
from stores.stalwart_toml.options import has_macro, options_of
from stores.stalwart_toml.plan import PlannedStore, Severity

MAX_STATIC_KEY: Final = 512


def add_static(draft: Draft) -> None:
    """Plan every static store: the id ends at the first dot, the key is the rest."""
    found: dict[str, list[str]] = {}
    for key in draft.document.under("lookup."):
        draft.used.add(key)
        store_id, _, rest = key.removeprefix("lookup.").partition(".")
        if store_id and rest:
            found.setdefault(store_id, []).append(key)
        else:
            fix = "Write it as lookup.<id>.<key> = value."
            draft.report(Severity.ERROR, f"{key} names no list or no key; Stalwart refuses it.", fix, key=key)
    taken = {*draft.stores, *(skipped.id for skipped in draft.skipped)}
    for store_id, keys in found.items():
        if store_id in taken:
            message = f"lookup.{store_id} has the id of a store; Stalwart says that an in-memory store with this id already exists."
            draft.report(Severity.ERROR, message, "The list is left out. Give it another id.", key=keys[0], store=store_id)
            continue
        _add_list(draft, store_id, keys)


def _add_list(draft: Draft, store_id: str, keys: list[str]) -> None:
    entries = tuple(entry for key in keys if (entry := _entry(draft, store_id, key)) is not None)
    draft.stores[store_id] = PlannedStore(store_id, "static", entries=entries, lines=draft.lines(keys))
    if all(draft.settings[key].listed for key in keys):
        message = f"lookup.{store_id} is an array: its keys are the numbers 0000, 0001, ..., not the texts."
        fix = 'A set is written with braces: lookup.x = { "a", "b" }.'
        draft.report(Severity.WARNING, message, fix, key=keys[0], store=store_id)
    if store_id in CONSULTED:
        draft.report(Severity.NOTE, f"Stalwart itself asks {store_id}: {CONSULTED[store_id]}.", key=keys[0], store=store_id)


def _entry(draft: Draft, store_id: str, key: str) -> tuple[str, str] | None:
    name = key.removeprefix(f"lookup.{store_id}.")
    value = draft.text(key)
    if has_macro(value) and not draft.settings[key].from_database:
        draft.report(
            Severity.ERROR,
            f"The value of {key} is only known when Stalwart starts: it names an environment variable or a file.",
            "The entry is left out. Add it by hand.",
            key=key,
            store=store_id,
        )
        return None
    if len(name) > MAX_STATIC_KEY:
        message = f"A key of lookup.{store_id} has {len(name)} characters; up to {MAX_STATIC_KEY} can be kept."
        draft.report(Severity.ERROR, message, "The entry is left out.", key=key, store=store_id)
        return None
    return name, value


def add_http(draft: Draft) -> None:
    """Plan every HTTP lookup; the presence of `url` declares one, and its id may hold dots."""
    start, end = "http-lookup.", ".url"
    names = draft.document.under(start)
    ids = [name[len(start) : -len(end)] for name in names if name.endswith(end) and len(name) > len(start) + len(end)]
    by_id = draft.document.owners(start, ids)
    for name in names:
        draft.used.add(name)
    for name in sorted(set(names).difference(*by_id.values())):
        draft.report(Severity.ERROR, f"{name} belongs to no list: the setting url is missing.", "Stalwart ignores it too.", key=name)
    for store_id, keys in by_id.items():
        if store_id in draft.stores:
            message = f"http-lookup.{store_id} has the id of another store."
            draft.report(Severity.ERROR, message, "It is left out. Give it another id.", key=keys[0], store=store_id)
        else:
            _add_url(draft, store_id, keys)


def _add_url(draft: Draft, store_id: str, keys: list[str]) -> None:
    options = options_of("http")
    settings: dict[str, str] = {}
    for key in keys:
        name = key.removeprefix(f"http-lookup.{store_id}.")
        if name not in options:
            draft.report(Severity.WARNING, f"{key} is not understood.", "It is left out.", key=key, store=store_id)
        elif value := draft.option(store_id, key, options[name]):
            settings[name] = value
    blocked = ""
    if settings.get("format") is None:
        blocked = "format is missing or neither list nor csv; Stalwart skips this lookup too."
    elif settings["format"] == "csv" and "index.key" not in settings:
        blocked = "index.key is missing: the column of the key, from 0; Stalwart skips this lookup too."
    if blocked:
        draft.report(Severity.ERROR, f"http-lookup.{store_id}: {blocked}", "Correct the setting.", key=keys[0], store=store_id)
    if store_id.lower().startswith("stwt_"):
        draft.report(Severity.NOTE, f"{store_id} comes with the spam filter's rules and changes with them.", key=keys[0], store=store_id)
    draft.stores[store_id] = PlannedStore(store_id, "http", settings, lines=draft.lines(keys), blocked=blocked)
