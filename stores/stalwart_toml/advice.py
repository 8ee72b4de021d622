"""What Stalwart itself would say about a configuration, or do without saying it."""

from __future__ import annotations

from typing import Final

from stores.stalwart_toml.draft import Draft
from stores.stalwart_toml.options import DATA_STORES, SQL_SERVERS
from stores.stalwart_toml.plan import Severity

_NEEDED: Final = ("data", "blob", "fts", "lookup")
_HISTORY: Final = ("tracing.history.store", "metrics.history.store")


def on_roles(draft: Draft, roles: dict[str, str]) -> None:
    """Missing or wrong `storage.*`: then Stalwart uses no store at all."""
    if not any(key.startswith(("store.", "storage.")) for key in draft.settings):
        return
    known = {store.id for store in draft.stores.values() if store.type not in ("static", "http")} | {
        skipped.id for skipped in draft.skipped
    }
    missing = [f"storage.{role}" for role in _NEEDED if f"storage.{role}" not in draft.settings]
    if missing:
        message = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set; Stalwart then switches all stores off."
        draft.report(Severity.WARNING, message, "If this is only a part of the configuration, that does not matter.")
    for role in _NEEDED:
        if roles.get(role) and roles[role] not in known:
            message = f"storage.{role} names {roles[role][:80]}, which is not defined; Stalwart then switches all stores off."
            draft.report(Severity.WARNING, message, "Define the store or correct the id.", key=f"storage.{role}")
    lookup = draft.stores.get(roles.get("lookup", ""))
    if lookup is not None and lookup.type in DATA_STORES and not lookup.purge:
        message = f"No purge schedule is set for {lookup.id}: Stalwart purges it by its default `0 5 *`, kvadmin not until you set one."
        draft.report(Severity.NOTE, message, key="storage.lookup", store=lookup.id)
    skipped = next((skipped for skipped in draft.skipped if skipped.id == roles.get("lookup")), None)
    if skipped is not None:
        message = f"storage.lookup names {skipped.id}, which cannot be a lookup store: {skipped.reason}"
        draft.report(Severity.ERROR, message, "No default lookup store is set by the import.", key="storage.lookup")


def on_tables(draft: Draft, roles: dict[str, str], version: str) -> None:
    """SQL stores that Stalwart never creates tables for, because it only knows them by name."""
    if not roles:
        return
    counted = [role for role in _NEEDED if role != "fts" or version not in ("0.15",)]
    owned = {roles[role] for role in counted if role in roles}
    owned |= {draft.known(key) for key in _HISTORY}
    for store in draft.stores.values():
        if store.type in SQL_SERVERS and store.id not in owned:
            message = f"Stalwart creates no tables in {store.id}: it does so only for the stores named by storage.* and the histories."
            fix = "Until the tables m and y exist, every lookup in it fails."
            draft.report(Severity.WARNING, message, fix, key=f"store.{store.id}.type", store=store.id)


def on_shards(draft: Draft) -> None:
    """Members of composed stores: they have to exist, and shards have to be Redis."""
    for store in draft.stores.values():
        names = {"sharded-in-memory": "stores", "sql-read-replica": "primary"}.get(store.type)
        for member in store.settings.get(names, "").split("\n") if names else ():
            found = draft.stores.get(member)
            key = f"store.{store.id}.type"
            if found is None and member:
                draft.report(Severity.WARNING, f"{store.id} is made of {member[:80]}, which is not defined.", key=key, store=store.id)
            elif found is not None and names == "stores" and found.type != "redis":
                message = f"{store.id} shards over {found.id}, which is no Redis store; Stalwart refuses that."
                draft.report(Severity.WARNING, message, key=key, store=store.id)


def on_local_keys(draft: Draft) -> None:
    """`config.local-keys = ["*"]` makes Stalwart rewrite its file in a form that it cannot read back."""
    keys = draft.document.many("config.local-keys")
    draft.used.update(keys)
    if any(draft.text(key).strip() == "*" for key in keys):
        message = 'With config.local-keys = ["*"] Stalwart 0.11 rewrites this file without quotes around keys, and cannot read it back.'
        draft.report(Severity.WARNING, message, "Remove the line, or keep a copy of the file.", key=keys[0])
