"""Sharded in-memory: several Redis stores that share the keys by a hash. The members are stores of their own.

Settings: `stores`, the ids of the members in order.
Capabilities: those of Redis.
Differences from Stalwart: prefix deletes and walks go to every member, as there; everything else goes to the one member that the key's
hash names, so a key that somebody put into another member is never shown as if Stalwart could see it, and never touched.
Limits: the order and number of the members must be those of the server: with another order keys are looked for in the wrong member.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from xxhash import xxh3_64_intdigest

from stores.backends.base import Backend
from stores.backends.redis import RedisBackend
from stores.backends.redis_measure import only
from stores.errors import BadConfig, CursorLost, StoreError
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    ANYTHING,
    KEEP,
    Capabilities,
    CensusPlan,
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
    Page,
    Ping,
    SettingField,
)

T = TypeVar("T")
Answered = TypeVar("Answered")


class ShardedBackend(Backend):
    """Keys spread over members by `xxh3_64(key) mod n`."""

    TYPE = "sharded-in-memory"
    LABEL = say("Sharded Redis")
    SETTINGS = (
        SettingField("stores", FieldType.STORES, "Stores", required=True, help="Ids of the Redis stores, in the order of Stalwart's list."),
    )
    TIDY_WHY = say("Redis frees the memory of removed keys by itself.")
    ADVICE = say("Define each Redis store first; then list their ids here in Stalwart's order.")
    MEMBERS: ClassVar[str] = "stores"
    """The setting that names the stores which are opened and passed in as `members`."""

    def __init__(
        self, settings: Mapping[str, str], *, members: Sequence[Backend] = (), version: str = "", clock: Clock = time.time
    ) -> None:
        """`members`: the open backends of the stores in the setting, in order; closed with this one. Raises BadConfig."""
        super().__init__(settings, version=version, clock=clock)
        self.members = tuple(member for member in members if isinstance(member, RedisBackend))
        self.ids = tuple(settings.get("stores", "").replace(",", " ").split())
        if not members:
            raise BadConfig(say("stores is missing."), say("Name the Redis stores, in Stalwart's order."), "stores")
        for member in members:
            if not isinstance(member, RedisBackend):
                raise BadConfig(
                    say("A %(label)s store cannot be a shard.", label=member.LABEL), say("Every member must be a redis store."), "stores"
                )

    def shard_of(self, key: bytes) -> RedisBackend:
        """The member that holds a key."""
        return self.members[self.index_of(key)]

    def index_of(self, key: bytes) -> int:
        """The number of that member, as Stalwart computes it."""
        return xxh3_64_intdigest(key) % len(self.members)

    @property
    def capabilities(self) -> Capabilities:
        """What every member can do."""
        own = self.members[0].capabilities
        return replace(own, writes=all(member.capabilities.writes for member in self.members))

    def close(self) -> None:
        for member in self.members:
            member.close()

    def ping(self) -> Ping:
        """Every member has to answer; the slowest counts."""
        pings = [member.ping() for member in self.members]
        servers = ", ".join(dict.fromkeys(ping.server for ping in pings))
        return Ping(max(ping.milliseconds for ping in pings), f"{len(pings)} shards: {servers}")

    def check(self) -> list[Check]:
        """The steps of every member, up to the first that fails, and whether keys lie where their hash wants them."""
        found: list[Check] = []
        for number, member in enumerate(self.members):
            steps = [replace(step, name=f"{self._name(number)}: {step.name}") for step in member.check()]
            found += steps
            if any(step.state is CheckState.FAILED for step in steps):
                return found
        found.append(self._check_order())
        return found

    # reading

    def get(self, key: bytes) -> Entry | None:
        """From the key's own member. One round trip."""
        return self.shard_of(key).get(key)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The members one after the other; keys that lie in a wrong member are left out, Stalwart does not see them either."""
        number, inner = self._split(cursor)
        page = self.members[number].scan(keys, inner, limit)
        while not page.entries and page.next is None and number + 1 < len(self.members):
            number += 1
            page = self.members[number].scan(keys, None, limit)
        entries = tuple(entry for entry in page.entries if self.index_of(entry.key) == number)
        return Page(entries, self._following(number, page.next))

    def progress_of(self, cursor: Cursor, keys: KeyRange = ALL_KEYS) -> float | None:
        """The share of the keys before a cursor, taking the members as equally large."""
        number, inner = self._split(cursor)
        share = 0.0 if inner is None else self.members[number].progress_of(inner, keys)
        return None if share is None else (number + share) / len(self.members)

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        """Number of keys in the range and whether it is exact; reads names only and holds at most `at_most` of them."""
        found: set[bytes] = set()
        for number, member in enumerate(self.members):
            for names in member.names(keys, min(at_most + 1, 1000)):
                found.update(name for name in names if self.index_of(name) == number)
                if len(found) > at_most:
                    return len(found), False
        return len(found), True

    def size_bytes(self) -> int | None:
        sizes = [member.size_bytes() for member in self.members]
        return None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every member's census, one after the other."""
        start, inner = self._split(Cursor(position) if position else None)
        for number in range(start, len(self.members)):
            for part in self.members[number].census(inner or ""):
                rows = tuple(row for row in part.rows if self.index_of(row.key) == number)
                share = None if part.progress is None else (number + part.progress) / len(self.members)
                yield CensusSlice(rows, self._following(number, Cursor(part.position) if part.position else None) or "", share)
            inner = None

    def census_parts(self, most: int = 1) -> list[str]:
        """Those of every member."""
        each = max(1, most // len(self.members))
        return [f"{number}.{part}" for number, member in enumerate(self.members) for part in member.census_parts(each)]

    def census_at_once(self) -> int:
        """One for each member."""
        return max(2, len(self.members))

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """As the member of the part does; keys in a wrong member are left out."""
        if part.startswith("*"):
            yield from super().survey(plan, part)
            return
        number, inner = self._split(Cursor(part))
        for step in self.members[number].survey(plan, inner or "*"):
            columns = step.columns and only(step.columns, lambda key: self.index_of(key) == number)
            yield replace(step, position=f"{number}.{step.position}" if step.position else "", columns=columns)

    # writing

    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        return self.shard_of(key).key_set(key, value, expires_at, expect)

    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        return self.shard_of(key).counter_set(key, number, expires_at, expect)

    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        return self.shard_of(key).counter_incr(key, delta, expires_at, expect)

    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        return self.shard_of(key).set_expiry(key, expires_at, expect)

    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        return self.shard_of(key).delete(key, expect)

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        return self._spread(keys, lambda key: key, lambda member, some: member.get_each(some))

    def delete_each(self, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        """As `delete` under the entry that was seen, pipelined to each shard."""
        return self._spread(seen, lambda entry: entry.key, lambda member, some: member.delete_each(some))

    def set_expiry_each(self, seen: Sequence[Entry], expires_at: int | None) -> list[Entry | StoreError]:
        return self._spread(seen, lambda entry: entry.key, lambda member, some: member.set_expiry_each(some, expires_at))

    def put_each(self, wanted: Sequence[tuple[Entry, Expected]]) -> list[Entry | StoreError]:
        return self._spread(wanted, lambda pair: pair[0].key, lambda member, some: member.put_each(some))

    def _spread(
        self, items: Sequence[T], key_of: Callable[[T], bytes], act: Callable[[RedisBackend, Sequence[T]], list[Answered]]
    ) -> list[Answered]:
        """Give each shard its part, and bring the answers back into the order of the items."""
        places_of: defaultdict[int, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            places_of[self.index_of(key_of(item))].append(place)
        answers: dict[int, Answered] = {}
        for number, places in places_of.items():
            answers.update(zip(places, act(self.members[number], [items[place] for place in places]), strict=True))
        return [answers[place] for place in range(len(items))]

    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        return self.shard_of(entry.key).put(entry, expect)

    def key_delete(self, key: bytes) -> None:
        self.shard_of(key).key_delete(key)

    def counter_delete(self, key: bytes) -> None:
        self.shard_of(key).counter_delete(key)

    # Stalwart's reads

    def key_get(self, key: bytes) -> bytes | None:
        return self.shard_of(key).key_get(key)

    def key_exists(self, key: bytes) -> bool:
        return self.shard_of(key).key_exists(key)

    def counter_get(self, key: bytes) -> int:
        return self.shard_of(key).counter_get(key)

    # helpers

    def _name(self, number: int) -> str:
        return self.ids[number] if len(self.ids) == len(self.members) else say("shard %(number)s", number=number)

    def _split(self, cursor: Cursor | None) -> tuple[int, Cursor | None]:
        """Member and its own cursor. Raises CursorLost."""
        if cursor is None:
            return 0, None
        text, _, inner = cursor.partition(".")
        if not (text.isascii() and text.isdigit() and int(text) < len(self.members)):
            raise CursorLost(say("This page link is not of this store."), say("Start again from the first page."))
        return int(text), Cursor(inner) if inner else None

    def _following(self, number: int, inner: Cursor | None) -> Cursor | None:
        if inner is not None:
            return Cursor(f"{number}.{inner}")
        return Cursor(f"{number + 1}.") if number + 1 < len(self.members) else None

    def _check_order(self) -> Check:
        """A look at the first keys of each member: with a wrong order or number of members most lie in the wrong one."""
        seen = misplaced = 0
        for number, member in enumerate(self.members):
            for entry in member.scan(limit=100).entries:
                seen += 1
                misplaced += self.index_of(entry.key) != number
        if not misplaced:
            return Check(say("Order of the shards"), CheckState.OK, say("%(seen)s keys looked at, each where its hash wants it", seen=seen))
        return Check(
            say("Order of the shards"),
            CheckState.WARN,
            say("%(misplaced)s of %(seen)s keys lie in another shard than their hash wants", misplaced=misplaced, seen=seen),
            say("Give stores in the order and number of Stalwart's own list; members must not hold keys of other stores."),
        )
