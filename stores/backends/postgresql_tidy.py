"""Making the space of removed rows usable again on PostgreSQL: VACUUM, paced, never FULL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg

from stores.backends.sql import LOCK_SECONDS, Params, Row
from stores.backends.tidying import guess, watched
from stores.texts import say
from stores.types import TidyOffer, TidyStep, TidyWay

VACUUM: Final = "vacuum"
SESSION: Final = f"-c vacuum_cost_delay=2 -c vacuum_cost_limit=400 -c lock_timeout={LOCK_SECONDS * 1000} -c statement_timeout=0"
"""About as hard as two workers of autovacuum. Given with the login, so that nothing is left in a session behind a connection pooler."""

Query = Callable[..., list[Row]]


def offer(query: Query, tables: Sequence[str], server_version: int) -> TidyOffer:
    """Two questions: sizes, and whether the login may; a VACUUM without the right is skipped by the server with a mere warning."""
    maintain = " OR has_table_privilege(c.oid, 'MAINTAIN')" if server_version >= 170_000 else ""
    size, allowed = query(
        "SELECT sum(pg_total_relation_size(c.oid)), bool_and(pg_has_role(c.relowner, 'USAGE')"
        f"{maintain} OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())) "
        "FROM pg_class AS c WHERE c.oid IN (SELECT to_regclass(t) FROM unnest(CAST(:names AS text[])) AS t)",
        {"names": list(tables)},
    )[0]
    size = int(size or 0)
    way = TidyWay(
        VACUUM,
        say("Makes the space of removed rows usable again, renews the statistics, and gives free pages at the end back to the disk."),
        tuple(f"VACUUM (ANALYZE) {table}" for table in tables),
        say("Readers and writers go on. To cut the end off, it takes a table for a moment, only when nobody wants it."),
        guess(size, 30),
        refused="" if allowed else say("VACUUM is for the owner of the tables: use Stalwart's own login, or leave it to autovacuum."),
    )
    return TidyOffer((way,), size)


def vacuum(arguments: dict[str, Any], tables: Sequence[str], query: Query) -> Iterator[TidyStep]:
    """On a connection of its own, outside of transactions. `query` asks the server meanwhile how far it is. Raises the driver's errors."""
    options = f"{arguments['options'] or ''} {SESSION}".strip()
    with psycopg.connect(autocommit=True, **{**arguments, "options": options}) as connection:
        for number, table in enumerate(tables):
            statement = f"VACUUM (ANALYZE) {table}".encode()
            for _ in watched(lambda statement=statement: connection.execute(statement), connection.cancel):  # type: ignore[misc]
                yield TidyStep((number + _share(query, connection.info.backend_pid)) / len(tables))
            yield TidyStep((number + 1) / len(tables))


def _share(query: Query, pid: int) -> float:
    """How much of the table has been read; the indexes, which come after, count as the last tenth."""
    params: Params = {"pid": pid}
    found = query("SELECT heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum WHERE pid = :pid", params)
    return 0.9 * float(found[0][0]) / max(1.0, float(found[0][1])) if found else 0.0
