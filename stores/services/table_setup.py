"""The two tables of an SQL lookup store that nobody has created yet.

Up to 0.15 the server creates them in every SQL store at its start. 0.16 creates them in its data store only: in a store lookup they are
missing until somebody makes them, and every lookup in it fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _

from stores.backends.sql import SQLBackend
from stores.backends.sqlcreate import create_tables, missing_tables, statements_for
from stores.errors import NotSupported, StoreError
from stores.models import Store
from stores.registry import open_store
from stores.services import access, audit, permissions
from stores.services.actor import Actor
from stores.services.permissions import Permission

TYPES: Final = frozenset({"sqlite", "postgresql", "mysql"})


@dataclass(frozen=True, slots=True)
class Setup:
    """What is missing, and the statements that would create it."""

    missing: tuple[str, ...]
    statements: tuple[str, ...]
    others: int
    """Other tables of the database, by which one sees whether it is the right one."""


def look(store: Store) -> Setup:
    """Ask the store. Raises NotSupported for other types and for 0.10, StoreUnavailable, StoreRefused."""
    with _opened(store) as backend:
        missing = missing_tables(backend)
        own = {backend.tables.values, backend.tables.counters}
        others = sum(not name.startswith(("pg_", "sqlite_")) for name in backend.table_names() - own)
        return Setup(missing, statements_for(backend, missing), others)


def is_offered(store: Store) -> bool:
    """Whether tables are missing that can be created from here; False also where the store does not answer."""
    if store.type not in TYPES or not store.enabled:
        return False
    try:
        return bool(look(store).missing)
    except StoreError:
        return False


def create(actor: Actor, store: Store) -> tuple[str, ...]:
    """Create the missing tables with Stalwart's own statements; answers which. Nothing is done where both are there.

    Raises Forbidden, ReadOnly, NotSupported, and StoreRefused with the statements when the login may not create tables.
    """
    permissions.require(actor, Permission.CONFIGURE, store)
    access.require_writable(store)
    with _opened(store) as backend:
        missing = missing_tables(backend)
        if not missing:
            return ()
        note = audit.record(actor, "create-tables", store, after={"tables": list(missing)}, outcome=audit.STARTED)
        try:
            created = create_tables(backend)
        except StoreError as error:
            audit.settle(note, audit.outcome_of(error), after={"tables": list(missing), "error": error.message})
            raise
        audit.settle(note, audit.DONE)
    return created


def _opened(store: Store) -> SQLBackend:
    if store.type not in TYPES:
        raise NotSupported(_("Stores of type %(type)s have no tables to create.") % {"type": store.type})
    if store.effective_version == "0.10":
        raise NotSupported(_("Stalwart 0.10 creates its tables itself."), _("Start the server once, or set the store's version."))
    backend = open_store(store)
    assert isinstance(backend, SQLBackend)
    return backend
