"""Giving the space of removed rows back on MySQL and MariaDB: InnoDB rebuilds a table while it is read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pymysql

from stores.backends.sql import LOCK_SECONDS, Row
from stores.backends.tidying import guess, watched
from stores.texts import say
from stores.types import TidyOffer, TidyStep, TidyWay

REBUILD: Final = "rebuild"
Query = Callable[..., list[Row]]


def statement_for(table: str) -> str:
    """What OPTIMIZE TABLE does on InnoDB, but refused by the server, not done with a lock, where it cannot be done online."""
    return f"ALTER TABLE {table} FORCE, ALGORITHM=INPLACE, LOCK=NONE"


def offer(query: Query, tables: Sequence[str]) -> TidyOffer:
    """One question: engine and sizes, as the server last estimated them."""
    rows = query(
        "SELECT table_name, engine, data_length + index_length, data_free FROM information_schema.tables "
        "WHERE table_schema = database() AND table_name IN :names",
        {"names": tuple(tables)},
    )
    others = [f"{name} ({engine})" for name, engine, _, _ in rows if str(engine).lower() != "innodb"]
    sizes = [int(size or 0) for _, _, size, _ in rows]
    free = sum(int(row[3] or 0) for row in rows)
    way = TidyWay(
        REBUILD,
        say("Rebuilds each table beside the old one and puts it in its place; the free space goes back to the disk. Replicas follow."),
        tuple(statement_for(table) for table in tables),
        say(
            "Readers and writers go on. At the beginning and at the end it takes a table for a moment; after %(seconds)s s of waiting for "
            "that it gives up and leaves the table as it was.",
            seconds=LOCK_SECONDS,
        ),
        guess(sum(sizes), 15),
        room=max(sizes, default=0),
        asks=say("The server's disk, which cannot be seen from here, has that room"),
        refused=say("Only InnoDB rebuilds a table without locking it: %(tables)s.", tables=", ".join(others)) if others else "",
    )
    return TidyOffer((way,), sum(sizes) + free, free)


def rebuild(connection: pymysql.Connection[Any], tables: Sequence[str], query: Query) -> Iterator[TidyStep]:
    """On a connection of its own, closed at the end; `query` ends the statement when the work is stopped. Raises the driver's errors."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
            for number, table in enumerate(tables):
                yield TidyStep(number / len(tables))
                statement = statement_for(table)
                kill = f"KILL QUERY {int(connection.thread_id())}"  # type: ignore[no-untyped-call]
                for _ in watched(lambda statement=statement: cursor.execute(statement), lambda kill=kill: query(kill)):  # type: ignore[misc]
                    yield TidyStep(number / len(tables))
        yield TidyStep(1.0)
    finally:
        connection.close()
