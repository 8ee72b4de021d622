"""SQL read replica: a primary and its replicas. The members are stores of their own.

Settings: `primary` and `replicas`, ids of SQL stores.
Capabilities: those of the primary.
Differences from Stalwart: walks and censuses may be read from a replica; whatever a person edits, and everything that decides a
write or a purge, is read from the primary. Stalwart itself accepts only SQLite and PostgreSQL here.
Limits: a replica lags behind; one that fails is left out for half a minute, so that a page waits for it once, and `ping` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, Final, TypeVar

from stores.backends.base import Backend, IsLock
from stores.backends.replication import LAG_SECONDS, lag_words
from stores.backends.sql import SQLBackend
from stores.errors import BadConfig, CursorLost, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    ANYTHING,
    KEEP,
    Capabilities,
    CensusPlan,
    CensusRow,
    CensusSlice,
    Check,
    CheckState,
    Clock,
    Cursor,
    Entry,
    Expected,
    FieldType,
    Keep,
    KeyRange,
    Pace,
    Page,
    Ping,
    PurgeSlice,
    SettingField,
    TidyOffer,
    TidyStep,
)

Answer = TypeVar("Answer")

AWAY_SECONDS: Final = 30.0
"""How long a replica that failed is left out before it is tried again."""

_away: dict[tuple[str, ...], float] = {}
"""Replicas that failed, by where they are, and when (monotonic) they may be tried again. Of this process."""


def _place_of(replica: Backend) -> tuple[str, ...]:
    return replica.TYPE, *(replica.settings.get(name, "") for name in ("host", "port", "database", "path"))


def _is_away(replica: Backend) -> bool:
    return _away.get(_place_of(replica), 0.0) > time.monotonic()


class ReplicaBackend(Backend):
    """Reads that may be old come from the first replica that answers; all else goes to the primary."""

    TYPE = "sql-read-replica"
    LABEL = say("SQL with read replicas")
    SETTINGS = (
        SettingField("primary", FieldType.STORE, "Primary", required=True, help="Id of the store that takes the writes."),
        SettingField("replicas", FieldType.STORES, "Replicas", help="Ids of its replicas."),
    )
    ADVICE = say("Define the primary and the replicas as stores first; then give their ids here.")
    MEMBER_TYPES: ClassVar[frozenset[str]] = frozenset({"sqlite", "postgresql", "mysql"})

    def __init__(
        self, settings: Mapping[str, str], *, members: Sequence[Backend] = (), version: str = "", clock: Clock = time.time
    ) -> None:
        """`members`: the open backends of primary and replicas, the primary first; closed with this one. Raises BadConfig."""
        super().__init__(settings, version=version, clock=clock)
        if not members:
            raise BadConfig(say("The primary is missing."), say("Give the id of an SQL store."), "primary")
        for number, member in enumerate(members):
            if member.TYPE not in self.MEMBER_TYPES:
                field = "replicas" if number else "primary"
                raise BadConfig(
                    say("A %(label)s store cannot be %(field)s.", label=member.LABEL, field=field),
                    say("Give the id of an SQL store."),
                    field,
                )
        self.primary, *replicas = members
        self.replicas = [replica for replica in replicas if not _is_away(replica)]
        """Those that reads go to."""
        self._members = tuple(members)

    @property
    def capabilities(self) -> Capabilities:
        return self.primary.capabilities

    def tidy_offer(self) -> TidyOffer:
        """What the primary offers; replicas follow it."""
        return self.primary.tidy_offer()

    def tidy(self, way: str) -> Iterator[TidyStep]:
        return self.primary.tidy(way)

    def watch(self, on_wait: Callable[[], None] | None) -> None:
        super().watch(on_wait)
        for member in self._members:
            member.watch(on_wait)

    def close(self) -> None:
        for member in self._members:
            member.close()

    def ping(self) -> Ping:
        """The primary's answer, with a word on the replicas that are left out. One round trip a server."""
        ping = self.primary.ping()
        for replica in tuple(self.replicas):
            try:
                replica.ping()
            except (StoreUnavailable, StoreRefused):
                self._leave_out(replica)
        away = [str(number) for number, replica in enumerate(self._members[1:], 1) if replica not in self.replicas]
        if not away:
            return ping
        return Ping(
            ping.milliseconds,
            say("%(server)s, without replica %(away)s: its reads go to the primary", server=ping.server, away=", ".join(away)),
        )

    def _leave_out(self, replica: Backend) -> None:
        self.replicas.remove(replica)
        _away[_place_of(replica)] = time.monotonic() + AWAY_SECONDS

    def check(self) -> list[Check]:
        """The primary's test step by step, then one line a replica with its lag; one that fails is no reason to stop."""
        checks = [replace(check, name=f"Primary: {check.name}") for check in self.primary.check()]
        return [
            *checks,
            *(_check_of(say("Replica %(number)s", number=number), replica) for number, replica in enumerate(self._members[1:], 1)),
        ]

    def _old_is_fine(self, read: Callable[[Backend], Answer]) -> Answer:
        """Ask the replicas in order, then the primary. One that fails is not asked again for a while."""
        while self.replicas:
            try:
                return read(self.replicas[0])
            except (StoreUnavailable, StoreRefused):
                self._leave_out(self.replicas[0])
        return read(self.primary)

    # reading

    def get(self, key: bytes) -> Entry | None:
        """From the primary: an edit begins with what is read here."""
        return self.primary.get(key)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        return self._old_is_fine(lambda member: member.scan(keys, cursor, limit))

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        return self._old_is_fine(lambda member: member.count(keys, at_most))

    def detect_version(self) -> str:
        return self.primary.detect_version()

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        return self._old_is_fine(lambda member: member.server_settings(prefixes, most))

    def size_bytes(self) -> int | None:
        return self._old_is_fine(lambda member: member.size_bytes())

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """From a replica; when it fails on the way the primary goes on where it stopped."""
        finished = False
        while not finished:
            member = self.replicas[0] if self.replicas else self.primary
            try:
                for step in member.census(position):
                    yield step
                    position = step.position
                finished = True
            except (StoreUnavailable, StoreRefused):
                if member is self.primary:
                    raise
                self._leave_out(member)

    def census_parts(self, most: int = 1) -> list[str]:
        """Parts of the first replica that answers, each with the number of the server before it: other servers have other positions."""
        number, parts = self._old_is_fine(lambda member: (self._members.index(member), member.census_parts(most)))
        return [f"{number}.{part}" for part in parts]

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """As the server of the part does. When that is a replica that fails on the way, raises CursorLost: count again from the start."""
        if part.startswith("*"):
            yield from super().survey(plan, part)
            return
        number, _, inner = part.partition(".")
        if not (number.isascii() and number.isdigit() and int(number) < len(self._members)):
            raise CursorLost(say("This position is not of this store."))
        with self._no_way_back(self._members[int(number)]) as member:
            for step in member.survey(plan, inner):
                yield step if step.position in ("", "-") else replace(step, position=f"{number}.{step.position}")

    def linked(self, first: int, numbered: bool) -> Iterator[CensusRow]:
        """From the server that is counted; raises CursorLost as `survey` does."""
        with self._no_way_back(self.replicas[0] if self.replicas else self.primary) as member:
            yield from member.linked(first, numbered)

    @contextmanager
    def _no_way_back(self, member: Backend) -> Iterator[Backend]:
        """Leave a replica out that fails in the middle of something which no other server can go on with."""
        try:
            yield member
        except (StoreUnavailable, StoreRefused):
            if member is self.primary:
                raise
            if member in self.replicas:
                self._leave_out(member)
            raise CursorLost(say("A replica failed in the middle of a count.")) from None

    def key_get(self, key: bytes) -> bytes | None:
        return self.primary.key_get(key)

    def key_exists(self, key: bytes) -> bool:
        return self.primary.key_exists(key)

    def counter_get(self, key: bytes) -> int:
        return self.primary.counter_get(key)

    # writing

    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        return self.primary.key_set(key, value, expires_at, expect)

    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        return self.primary.counter_set(key, number, expires_at, expect)

    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        return self.primary.counter_incr(key, delta, expires_at, expect)

    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        return self.primary.set_expiry(key, expires_at, expect)

    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        return self.primary.delete(key, expect)

    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        return self.primary.put(entry, expect)

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        return self.primary.get_each(keys)

    def delete_each(self, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        return self.primary.delete_each(seen)

    def set_expiry_each(self, seen: Sequence[Entry], expires_at: int | None) -> list[Entry | StoreError]:
        return self.primary.set_expiry_each(seen, expires_at)

    def put_each(self, wanted: Sequence[tuple[Entry, Expected]]) -> list[Entry | StoreError]:
        return self.primary.put_each(wanted)

    def key_delete(self, key: bytes) -> None:
        self.primary.key_delete(key)

    def counter_delete(self, key: bytes) -> None:
        self.primary.counter_delete(key)

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """On the primary, which decides and removes in one step; the replicas follow by replication."""
        return self.primary.purge(now, pace, position, is_lock)

    def purge_parts(self, most: int = 1) -> list[str]:
        return self.primary.purge_parts(most)


def _check_of(name: str, replica: Backend) -> Check:
    """Whether a replica answers, and how far it is behind."""
    failed = [check for check in replica.check() if check.state is CheckState.FAILED]
    if failed:
        return Check(name, CheckState.WARN, failed[0].detail, failed[0].fix or say("Reads go to the primary."))
    try:
        found = replica.replication() if isinstance(replica, SQLBackend) else None
    except StoreError as error:
        return Check(name, CheckState.OK, say("answers; lag unknown: %(message)s", message=error.message))
    if found is None:
        return Check(name, CheckState.OK, say("answers; a file has no lag of its own"))
    if found.hidden:
        return Check(name, CheckState.OK, say("answers; %(hidden)s", hidden=found.hidden))
    if not found.follows:
        return Check(
            name, CheckState.WARN, say("answers, but is no replica of anything"), say("Check the addresses of primary and replicas.")
        )
    words = lag_words(found)
    if found.broken or (found.seconds or 0) > LAG_SECONDS:
        return Check(
            name,
            CheckState.WARN,
            say("answers, %(words)s", words=words),
            say("What is browsed and counted is as old; look at the replica's log."),
        )
    return Check(name, CheckState.OK, say("answers, %(words)s", words=words))
