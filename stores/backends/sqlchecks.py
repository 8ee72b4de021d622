"""The connection test of an SQL store: one step after the other, each with what to do when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from stores.backends import replication
from stores.backends.clocks import clock_words
from stores.backends.sqlserver import ConnectionRefused
from stores.errors import StoreError, StoreRefused
from stores.texts import counted, figure, joined, say
from stores.types import Check, CheckState

if TYPE_CHECKING:
    from stores.backends.sql import SQLBackend

CLOCK_SECONDS: Final = 2.0
"""A difference of clocks that is worth a warning: expiry is decided by kvadmin's clock in a purge, by Stalwart's in a look-up."""


def missing_table(table: str, version: str) -> StoreRefused:
    """The error for a database without one of the two tables."""
    message = say("The database has no table %(table)s.", table=table)
    if version.startswith("0.16"):
        return StoreRefused(
            message,
            say(
                "Stalwart 0.16 creates tables only in its data store: in a store lookup every look-up fails until somebody creates them. "
                "Create them on the store's page or with store-create-tables, if this is the right database."
            ),
        )
    return StoreRefused(
        message,
        say(
            "Stalwart creates its tables when it starts with this store; check that this is the right database, "
            "and the store's version (now %(version)s; 0.10 keeps counters in n, later versions in y).",
            version=version or say("unknown"),
        ),
    )


def run_checks(backend: SQLBackend) -> list[Check]:
    """All steps up to the first that fails. Never raises a StoreError."""
    found: list[Check] = []
    try:
        for check in _steps(backend):
            found.append(check)
            if check.state is CheckState.FAILED:
                break
    except StoreError as error:
        step = error.step if isinstance(error, ConnectionRefused) else "Answer"
        found.append(Check(step, CheckState.FAILED, error.message, error.fix))
    return found


def _steps(backend: SQLBackend) -> Iterator[Check]:
    yield from backend.check_way()
    yield from backend.check_login()
    for name, step in (
        (say("Server"), _server),
        (say("Tables"), _tables),
        (say("Reading"), _reading),
        (say("Writing"), _writing),
        ("Stalwart", _stalwart),
        (say("Clock"), _clock),
        (say("Replication"), _replication),
    ):
        check = _guarded(name, step, backend)
        if check is not None:
            yield check


def _guarded(name: str, step: Callable[[SQLBackend], Check | None], backend: SQLBackend) -> Check | None:
    try:
        return step(backend)
    except StoreError as error:
        return Check(name, CheckState.FAILED, error.message, error.fix)


def _server(backend: SQLBackend) -> Check:
    ping = backend.ping()
    return Check(
        say("Server"),
        CheckState.OK,
        joined(ping.server, say("%(milliseconds)s ms", milliseconds=figure(ping.milliseconds, 1)), between=", "),
    )


def _tables(backend: SQLBackend) -> Check:
    wanted = (backend.tables.values, backend.tables.counters)
    missing = [table for table in wanted if table not in backend.table_names()]
    if missing:
        raise missing_table(", ".join(missing), backend.version)
    for table in wanted:
        backend.look_into(table)
    return Check(say("Tables"), CheckState.OK, say("%(wanted)s are there", wanted=", ".join(wanted)))


def _reading(backend: SQLBackend) -> Check:
    number, exact = backend.count(at_most=1000)
    return Check(say("Reading"), CheckState.OK, counted(number, "key") if exact else say("more than %(keys)s", keys=counted(number, "key")))


def _writing(backend: SQLBackend) -> Check:
    reason = backend.capabilities.why.get("writes", "")
    if not reason:
        return Check(say("Writing"), CheckState.OK, say("this login may change both tables"))
    return Check(
        say("Writing"), CheckState.WARN, reason, say("Browsing works; grant INSERT, UPDATE and DELETE on both tables to edit and purge.")
    )


def _stalwart(backend: SQLBackend) -> Check:
    found, wanted = backend.detect_version(), backend.version
    if not found:
        return Check("Stalwart", CheckState.SKIPPED, say("the tables do not tell the version; choose it in the settings"))
    if wanted and found != wanted:
        return Check(
            "Stalwart",
            CheckState.WARN,
            say("the tables look like %(found)s, the store is set to %(wanted)s", found=found, wanted=wanted),
            say("Set the version to %(found)s.", found=found),
        )
    return Check("Stalwart", CheckState.OK, say("the tables look like %(found)s", found=found))


def _replication(backend: SQLBackend) -> Check | None:
    """The lag. A login of MySQL sees it only with a right of its own; on a server that takes writes its lack is not worth a word."""
    found = replication.step(backend.replication)
    silent = found is not None and found.state is CheckState.SKIPPED and backend.DIALECT == "mysql" and backend.capabilities.writes
    return None if silent else found


def _clock(backend: SQLBackend) -> Check | None:
    """Compare the clocks half-way through the round trip; nothing to compare where the database is a file."""
    before = backend.clock()
    there = backend.server_time()
    if there is None:
        return None
    apart = there - (before + backend.clock()) / 2
    if abs(apart) < CLOCK_SECONDS:
        return Check(say("Clock"), CheckState.OK, say("%(milliseconds)s ms apart", milliseconds=figure(abs(apart) * 1000)))
    words = clock_words(apart)
    return Check(say("Clock"), CheckState.WARN, words, say("Let both hosts keep time by NTP: keys expire by these clocks."))
