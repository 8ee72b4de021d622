"""How far replicas lag behind, as the database servers tell it: one step of the connection test of an SQL store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stores.errors import StoreError, StoreRefused
from stores.texts import counted, figure, joined, say
from stores.types import Check, CheckState

LAG_SECONDS: Final = 10.0
"""A lag that is worth a warning."""

Query = Callable[[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Follower:
    """A replica as its primary sees it. `seconds` None: it has nothing to catch up with, or the primary does not measure it."""

    name: str
    seconds: float | None
    bytes: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Replication:
    """What a server says of its part in replication."""

    follows: bool = False
    """Whether it is a replica."""
    seconds: float | None = None
    """A replica's own lag; None when that is not known."""
    broken: str = ""
    """Why a replica receives or applies nothing now; empty when it does."""
    followers: tuple[Follower, ...] = ()
    hidden: str = ""
    """Why the server does not tell, with the right that is missing; empty when it does."""


def of_postgresql(query: Query) -> Replication:
    """Two queries. The details of a primary's replicas need the role pg_monitor."""
    standby, seconds, streaming, paused = query(_PG_STANDBY)[0]
    if standby:
        broken = say("replay is paused") if paused else "" if streaming is None or streaming else say("it is not connected to its primary")
        return Replication(True, None if seconds is None else max(0.0, float(seconds)), broken)
    rows = query(_PG_FOLLOWERS)
    if any(row[1] is None for row in rows):
        return Replication(hidden=say("%(count)s replicas; the login may not see how far they are (GRANT pg_monitor)", count=len(rows)))
    found = (
        Follower(str(name or where or "replica"), _number(lag), _whole(behind), str(state)) for name, state, lag, behind, where in rows
    )
    return Replication(followers=tuple(found))


def of_mysql(query: Callable[[str], Sequence[dict[str, Any]]]) -> Replication:
    """One statement; `query` answers rows by column name. Needs REPLICATION CLIENT, on MariaDB REPLICA MONITOR."""
    try:
        rows = query("SHOW REPLICA STATUS")
    except StoreRefused as error:
        if "right" in error.message:
            return Replication(hidden=say("the login may not see the state of replication (GRANT REPLICATION CLIENT, or REPLICA MONITOR)"))
        raise
    if not rows:
        return Replication()
    row = {name.replace("Master", "Source").replace("Slave", "Replica"): value for name, value in rows[0].items()}
    stopped = [part for part in ("IO", "SQL") if str(row.get(f"Replica_{part}_Running")) not in ("Yes", "Preparing")]
    said = str(row.get("Last_IO_Error") or row.get("Last_SQL_Error") or "").split("\n")[0][:120]
    broken = joined(say("its %(stopped)s thread does not run", stopped=" + ".join(stopped)), said, between=": ") if stopped else ""
    return Replication(True, _number(row.get("Seconds_Behind_Source")), broken)


def check_of(found: Replication) -> Check | None:
    """The step of the connection test; None for a server without replicas."""
    if found.hidden:
        return Check(say("Replication"), CheckState.SKIPPED, found.hidden)
    if found.follows:
        return _replica(found)
    if not found.followers:
        return None
    behind = [follower for follower in found.followers if (follower.seconds or 0) > LAG_SECONDS or follower.state not in _HEALTHY]
    detail = "; ".join(_said(follower) for follower in found.followers)
    if behind:
        return Check(
            say("Replication"), CheckState.WARN, detail, say("Look at the replica's log, its disk and the network between the two.")
        )
    return Check(say("Replication"), CheckState.OK, detail)


def step(read: Callable[[], Replication | None]) -> Check | None:
    """As `check_of`, of a server that is asked now; what it does not answer is no failure of the store."""
    try:
        found = read()
    except StoreError as error:
        return Check(say("Replication"), CheckState.SKIPPED, error.message)
    return None if found is None else check_of(found)


def lag_words(found: Replication) -> str:
    """A replica's lag: "0.0 s behind", "lag unknown", or why it does not follow."""
    if found.broken:
        return found.broken
    return say("lag unknown") if found.seconds is None else say("%(seconds)s s behind", seconds=figure(found.seconds, 1))


def _replica(found: Replication) -> Check:
    words = say("a replica, %(lag)s", lag=lag_words(found))
    if found.broken:
        return Check(say("Replication"), CheckState.WARN, words, say("Start replication again; until then reads here are old."))
    if found.seconds is not None and found.seconds > LAG_SECONDS:
        return Check(
            say("Replication"), CheckState.WARN, words, say("Let it catch up, or read from the primary: what is read here is old.")
        )
    return Check(say("Replication"), CheckState.OK, words)


def _said(follower: Follower) -> str:
    seconds = "" if follower.seconds is None else f"{follower.seconds:.1f} s"
    amount = joined(seconds, "" if follower.bytes is None else counted(follower.bytes, "byte"), between=", ")
    lag = say("%(amount)s behind", amount=amount) if amount else say("lag unknown")
    return joined(say("%(name)s: %(lag)s", name=follower.name, lag=lag), "" if follower.state in _HEALTHY else follower.state, between=", ")


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _whole(value: object) -> int | None:
    return None if value is None else int(float(str(value)))


_HEALTHY: Final = ("streaming", "")
_PG_STANDBY: Final = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS NOT DISTINCT FROM pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
       CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS NOT NULL
            THEN (SELECT count(*) > 0 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) END,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END"""
"""A standby that has replayed all that it has received lags 0 s, however long ago the last transaction was. One that never had a
connection is fed from an archive."""
_PG_FOLLOWERS: Final = """
SELECT application_name, state, extract(epoch FROM replay_lag), pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), client_addr::text
FROM pg_stat_replication ORDER BY 1 LIMIT 20"""
