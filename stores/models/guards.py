"""Triggers that keep the audit's rows as they are: no UPDATE, and no DELETE of what the retention has not given up.

They stop mistakes, not somebody who may change the schema; for that there is the chain. SQLite and PostgreSQL only: on MySQL
triggers need a privilege that accounts of ordinary databases do not have.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import connections

_SQLITE: Final = (
    """CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON stores_auditentry
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_is_kept BEFORE DELETE ON stores_auditentry
    WHEN OLD.id > coalesce((SELECT kept_after FROM stores_audithead), 0)
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
)
_POSTGRESQL: Final = (
    """CREATE OR REPLACE FUNCTION stores_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.id <= coalesce((SELECT kept_after FROM stores_audithead), 0) THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'the audit is append-only';
    END $$""",
    "DROP TRIGGER IF EXISTS audit_stays ON stores_auditentry",
    """CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON stores_auditentry
    FOR EACH ROW EXECUTE FUNCTION stores_audit_stays()""",
)
_INSTALL: Final = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
_REMOVE: Final = {
    "sqlite": ("DROP TRIGGER IF EXISTS audit_stays", "DROP TRIGGER IF EXISTS audit_is_kept"),
    "postgresql": ("DROP TRIGGER IF EXISTS audit_stays ON stores_auditentry",),
}


def install(using: str = "default", **_: Any) -> None:
    """After migrations (`post_migrate`): the triggers are there, whatever became of the tables. Does nothing a second time."""
    connection = connections[using]
    if settings.KVADMIN_AUDIT_GUARDS and _has_tables(using):
        _run(using, _INSTALL.get(connection.vendor, ()))


def remove(using: str = "default", plan: Any = (1,), **_: Any) -> None:
    """Before migrations that change something (`pre_migrate`): rebuilding a table must not meet triggers on it."""
    if plan and _has_tables(using):
        _run(using, _REMOVE.get(connections[using].vendor, ()))


def _has_tables(using: str) -> bool:
    return {"stores_auditentry", "stores_audithead"} <= set(connections[using].introspection.table_names())


def _run(using: str, statements: tuple[str, ...]) -> None:
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
