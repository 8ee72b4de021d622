"""The two lookup tables of an SQL store, created where they are missing, exactly as Stalwart lays them out."""

from __future__ import annotations

from stores.backends.sql import SQLBackend
from stores.codecs.sqltables import create_statements
from stores.errors import StoreRefused
from stores.texts import say


def missing_tables(backend: SQLBackend) -> tuple[str, ...]:
    """Which of the two tables are not there. One query."""
    there = backend.table_names()
    return tuple(table for table in (backend.tables.values, backend.tables.counters) if table not in there)


def statements_for(backend: SQLBackend, missing: tuple[str, ...]) -> tuple[str, ...]:
    """The statements that create these tables; they leave existing ones alone."""
    every = dict(zip((backend.tables.values, backend.tables.counters), create_statements(backend.DIALECT, backend.version), strict=True))
    return tuple(every[table] for table in missing)


def create_tables(backend: SQLBackend) -> tuple[str, ...]:
    """Create what is missing and look again; answers what was created. Nothing is done where both tables are there.

    Raises StoreRefused with the statements to run when the login may not create tables, ReadOnly for a standby or a closed file.
    """
    missing = missing_tables(backend)
    statements = statements_for(backend, missing)
    for statement in statements:
        try:
            with backend._transaction() as execute:
                execute(statement)
        except StoreRefused as error:
            fix = say("Have somebody who may create tables run: %(statements)s;", statements="; ".join(statements))
            raise StoreRefused(say("The tables could not be created: %(message)s", message=error.message), fix) from None
    left = missing_tables(backend)
    if left:
        raise StoreRefused(
            say("The tables %(left)s are still missing.", left=" and ".join(left)),
            say("Run by hand: %(statements)s;", statements="; ".join(statements)),
        )
    return missing
