"""Redis and Valkey: one server, a cluster, or the primary that sentinels name.

Settings: `redis_settings.SETTINGS`, named as Stalwart's; `redis-type` decides.
Capabilities: everything but counters of their own (a counter is decimal text, its key class tells) and purges (Redis expires keys by
itself). Pages come in the server's order.
Differences from Stalwart: prefixes are escaped and checked byte by byte, a cluster is walked on every primary, writes are
conditional, deletes use UNLINK, keys that hold no string are shown and never overwritten.
Limits: Redis 6.0 or newer, any Valkey. No call takes the server longer than about 2 ms; a page reads values up to 1 MB whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from stores.backends.base import Backend
from stores.backends.redis_bulk import Choose, delete_range, write_each
from stores.backends.redis_check import check_store
from stores.backends.redis_cluster import ClusterLink
from stores.backends.redis_errors import translated
from stores.backends.redis_link import REQUEST_PATIENCE, Link, PlainLink, pipelined
from stores.backends.redis_measure import rows_of
from stores.backends.redis_pages import make_cursor, read_cursor
from stores.backends.redis_rows import make_entry, read_each, read_entries, read_entry
from stores.backends.redis_scripts import DELETE, EXPIRE, INCREMENT, SET, Answer, Outcome, Script, Write, stored_bytes, write
from stores.backends.redis_sentinel import SentinelLink
from stores.backends.redis_server import refuse_part, server_name
from stores.backends.redis_settings import SETTINGS, read_settings
from stores.backends.redis_slots import SlotWalk
from stores.backends.redis_walk import ScanWalk, Walk
from stores.errors import BadConfig, Conflict, CorruptRow, KeyNotFound, StoreError
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    ANYTHING,
    KEEP,
    Capabilities,
    CensusPlan,
    CensusSlice,
    Check,
    Clock,
    Cursor,
    Entry,
    Expected,
    Keep,
    KeyRange,
    Page,
    Ping,
    RangeSlice,
)

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_CAPABILITIES = Capabilities(
    counters=False,
    purges=False,
    ordered_scan=False,
    max_value=512 * 1024 * 1024,
    why={
        "counters": say("Redis keeps counters as text under the same keys as values; the key's class tells which is which."),
        "purges": say("Redis removes expired keys by itself; there is nothing to purge."),
        "ordered_scan": say("Redis lists keys in its own order."),
    },
)


class RedisBackend(Backend):
    """A Redis or Valkey store. Every read is exact to the millisecond of expiry."""

    TYPE = "redis"
    LABEL = "Redis"
    SETTINGS = SETTINGS
    TIDY_WHY = say("Redis frees the memory of removed keys by itself.")
    ADVICE = say("Have at hand: the URL with user and password, as Stalwart uses it.")

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.config = read_settings(settings)
        self.link: Link
        self.walk: Walk
        if self.config.mode == "cluster":
            cluster = ClusterLink(self.config, REQUEST_PATIENCE)
            self.link, self.walk = cluster, SlotWalk(cluster)
        else:
            self.link = SentinelLink(self.config, REQUEST_PATIENCE) if self.config.mode == "sentinel" else PlainLink(self.config)
            self.walk = ScanWalk(self.link)

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    def close(self) -> None:
        self.link.close()

    def ping(self) -> Ping:
        """PING and the server's name; on a cluster every primary has to answer, and the slowest counts."""
        slowest, name = 0.0, ""
        for node in self.link.run(self.link.primaries):
            with translated(self.config):
                started = time.perf_counter()
                answer, server = pipelined(node.client, [("PING",), ("INFO", "server")])
                slowest = max(slowest, (time.perf_counter() - started) * 1000)
                if isinstance(answer, Exception):
                    raise answer
            refuse_part(self.link, node.client, server)
            name = name or server_name(server)
        return Ping(slowest, name)

    def check(self) -> list[Check]:
        """DNS, TCP, TLS, login, each command that is needed, version, eviction, role, cluster state, clock."""
        return check_store(self.config, self.link, self.clock)

    # reading

    def get(self, key: bytes) -> Entry | None:
        """Value and exact expiry as of one moment, one round trip. None for a key that is missing or has just expired."""
        return read_entry(self.link, key)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """About `limit` entries of the range in the server's order; a rare prefix gives few entries, or none, and a cursor.

        Two or three round trips and two commands a key. On a single server a key may come again while the server shrinks its table;
        on a cluster no key comes twice and every key that stays is met, whatever moves or fails over meanwhile. Values over 1 MB
        come with their first part and `length`. Raises CursorLost after a restart or failover of a single server.
        """
        position = read_cursor(self.config.where, keys, cursor)
        names, following = self.walk.names(keys, position, limit)
        entries = tuple(read_entries(self.link, names))
        return Page(entries, None if following is None else make_cursor(self.config.where, keys, following))

    def progress_of(self, cursor: Cursor, keys: KeyRange = ALL_KEYS) -> float | None:
        """The share of the keys that lies before a cursor of `scan`, 0 to 1; no round trip."""
        return self.walk.progress(read_cursor(self.config.where, keys, cursor))

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        """Number of keys in the range and whether it is exact; reads names only and holds at most `at_most` of them."""
        found: set[bytes] = set()
        for names in self.names(keys, min(at_most + 1, 1000)):
            found.update(names)
            if len(found) > at_most:
                return len(found), False
        return len(found), True

    def names(self, keys: KeyRange = ALL_KEYS, step: int = 1000) -> Iterator[list[bytes]]:
        """The names of the range, about `step` at a time, without values; memory holds one step."""
        position: str | None = ""
        while position is not None:
            names, position = self.walk.names(keys, position, step)
            yield names

    def size_bytes(self) -> int | None:
        """Memory the servers use, all databases together; None where INFO is forbidden."""
        total = 0
        for node in self.link.run(self.link.primaries):
            with translated(self.config):
                (memory,) = pipelined(node.client, [("INFO", "memory")])
            if not isinstance(memory, dict) or "used_memory" not in memory:
                return None
            total += int(memory["used_memory"])
        return total

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once: expiry and length, no values; slices of less than 1 ms of a server's time, on every primary.

        Raises CursorLost when the single server restarts or fails over in between: count again from the beginning.
        """
        for part in self._slices(position, ""):
            yield CensusSlice(tuple(rows_of(part.columns)) if part.columns else (), part.position, part.progress)

    def census_parts(self, most: int = 1) -> list[str]:
        """The halves of a large server; stretches of slots of a cluster, at least one for each primary."""
        return [f"{mark}*{self._cursor(position)}" for mark, position in self.walk.parts(most)]

    def census_at_once(self) -> int:
        """Two, and on a cluster one for each primary."""
        return max(2, len(self.link.run(self.link.primaries)))

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """The census in columns: making a row of every key takes as long as counting it."""
        mark, _, position = part.partition("*")
        for step in self._slices(position, mark):
            yield replace(step, position=f"{mark}*{step.position}" if step.position else "")

    def _slices(self, position: str, mark: str) -> Iterator[CensusSlice]:
        for part in self.walk.census(read_cursor(self.config.where, ALL_KEYS, position), mark):
            yield replace(part, position=self._cursor(part.position))

    def _cursor(self, position: str) -> str:
        return make_cursor(self.config.where, ALL_KEYS, position) if position else ""

    # writing

    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write a value; as with Stalwart this replaces a counter. BadConfig for an expiry that is past: Redis cannot hold one."""
        self._check_lengths(key, value)
        answer = self._write(SET, key, expect, value, _milliseconds(expires_at))
        return make_entry(key, value, answer.expires_ms)

    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write the number as decimal text, as Stalwart's INCRBY leaves it."""
        _check_number(number, "number")
        return self.key_set(key, b"%d" % number, expires_at, expect)

    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        """INCRBY, then the expiry unless it is kept; one atomic step. CorruptRow when the value is no number."""
        _check_number(delta, "delta")
        self._check_lengths(key, b"")
        answer = self._write(INCREMENT, key, expect, b"%d" % delta, _milliseconds(expires_at))
        return int(answer.value or b"0")

    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        """PEXPIREAT or PERSIST. A past expiry is refused, for Redis would delete the key."""
        answer = self._write(EXPIRE, key, expect, b"", _milliseconds(expires_at))
        if answer.outcome is Outcome.NONE:
            raise KeyNotFound(say("There is no such key any more."), say("It may have expired or been deleted; reload the list."))
        return make_entry(key, answer.value or b"", answer.expires_ms)

    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        """UNLINK. A key that holds no string is refused: no copy of it could be kept."""
        answer = self._write(DELETE, key, expect, b"", "keep")
        return None if answer.outcome is Outcome.NONE else make_entry(key, answer.value or b"", answer.expires_ms)

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """As `get`, pipelined. A key that is written meanwhile may show the old value with the new expiry."""
        return read_each(self.link, keys)

    def delete_each(self, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        """As `delete` under the entry that was seen, pipelined."""
        changes = [Write(DELETE, entry.key, entry) for entry in seen]
        answers = write_each(self.link, changes, lambda number: self.delete(seen[number].key, seen[number]))
        return [_stored(change.key, answer) for change, answer in zip(changes, answers, strict=True)]

    def set_expiry_each(self, seen: Sequence[Entry], expires_at: int | None) -> list[Entry | StoreError]:
        """As `set_expiry` under the entry that was seen, pipelined."""
        milliseconds = _milliseconds(expires_at)
        changes = [Write(EXPIRE, entry.key, entry, b"", milliseconds) for entry in seen]
        answers = write_each(self.link, changes, lambda number: self.set_expiry(seen[number].key, expires_at, seen[number]))
        return [_stored(change.key, answer) for change, answer in zip(changes, answers, strict=True)]

    def put_each(self, wanted: Sequence[tuple[Entry, Expected]]) -> list[Entry | StoreError]:
        """As `put`, pipelined."""
        changes: list[Write] = []
        refused: dict[int, StoreError] = {}
        for number, (entry, expect) in enumerate(wanted):
            try:
                changes.append(self._put(entry, expect))
            except StoreError as error:
                refused[number] = error
        placed = [number for number in range(len(wanted)) if number not in refused]
        answers = write_each(self.link, changes, lambda number: self.put(*wanted[placed[number]]))
        done = {number: _written(change, answer) for number, change, answer in zip(placed, changes, answers, strict=True)}
        return [refused[number] if number in refused else done[number] for number in range(len(wanted))]

    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        """Write value or number exactly, with its expiry to the millisecond where it is known."""
        change = self._put(entry, expect)
        return make_entry(entry.key, change.value, self._write(SET, entry.key, expect, change.value, change.expires).expires_ms)

    def _put(self, entry: Entry, expect: Expected) -> Write:
        if entry.length is not None or (entry.value is None and entry.counter is None):
            raise BadConfig(say("Only part of this entry is known; it cannot be written."), say("Read the key again."), "value")
        value = stored_bytes(entry)
        self._check_lengths(entry.key, value)
        expires = _milliseconds(entry.expires_at) if entry.expires_at_ms is None else str(entry.expires_at_ms)
        return Write(SET, entry.key, expect, value, expires)

    def key_delete(self, key: bytes) -> None:
        """As Stalwart: the whole key, whatever it holds."""
        self.link.run(lambda: self.link.execute("UNLINK", key), write_to=key)

    def counter_delete(self, key: bytes) -> None:
        """As Stalwart: the whole key."""
        self.key_delete(key)

    def delete_range(self, keys: KeyRange, position: str = "", choose: Choose = list) -> Iterator[RangeSlice]:
        """Remove every string key of the range that is chosen by its name, without reading it, in slices of up to 1000 keys.

        Nothing is kept for the trash, and nothing is asked of the value. Raises CursorLost as `scan`.
        """
        start = read_cursor(self.config.where, keys, position)
        with RedisBackend(self.settings, version=self.version, clock=self.clock) as ahead:
            ahead.link.dialect, ahead.link.patience = self.link.dialect, self.link.patience
            yield from self._delete_range(ahead.walk, keys, start, choose)

    def _delete_range(self, ahead: Walk, keys: KeyRange, start: str, choose: Choose) -> Iterator[RangeSlice]:
        for names, count, following in delete_range(self.link, ahead, keys, start, choose):
            place = make_cursor(self.config.where, keys, following) if following else ""
            yield RangeSlice(names, count, place, self.walk.progress(following) if following else 1.0)

    # Stalwart's reads

    def key_exists(self, key: bytes) -> bool:
        """As Stalwart: EXISTS, so true for counters and locks too."""
        return bool(self.link.run(lambda: self.link.execute("EXISTS", key)))

    def counter_get(self, key: bytes) -> int:
        """As Stalwart: the text as a number, 0 when missing, CorruptRow when it is no number."""
        entry = self.get(key)
        if entry is None:
            return 0
        if entry.value is None:
            _refuse(key, b"", entry.problem)
        try:
            return _number(entry.value)
        except ValueError:
            _refuse(key, entry.value, "no number")

    # helpers

    def _write(self, script: Script, key: bytes, expect: Expected, value: bytes, expires: str) -> Answer:
        if isinstance(expect, Entry) and expect.key != key:
            raise Conflict(say("This is not the key that was read."), self.get(key))
        answer = write(self.link, Write(script, key, expect, value, expires))
        match answer.outcome:
            case Outcome.CONFLICT:
                raise _conflict(key, expect, answer)
            case Outcome.PAST:
                raise BadConfig(
                    say("The expiry lies in the past of the server's clock; Redis would remove the key at once."),
                    say("Choose a later time, or delete the key."),
                    "expires_at",
                )
            case Outcome.TYPE:
                _refuse(key, b"", f"a Redis {(answer.value or b'').decode()}; Stalwart stores only strings")
            case Outcome.NUMBER:
                _refuse_number(key, answer.value or b"")
        return answer

    def _check_lengths(self, key: bytes, value: bytes) -> None:
        longest, largest = self.capabilities.max_key, self.capabilities.max_value
        if len(key) > longest:
            raise BadConfig(
                say("The key has %(count)s bytes; %(label)s takes at most %(longest)s.", count=len(key), label=self.LABEL, longest=longest),
                say("Shorten the key."),
                "key",
            )
        if len(value) > largest:
            raise BadConfig(
                say("The value has %(count)s bytes; this store takes at most %(largest)s.", count=len(value), largest=largest),
                say("Shorten the value."),
                "value",
            )


def _stored(key: bytes, answer: Answer | Entry | StoreError | None) -> Any:
    """What a script that reads the key answers, as an entry; what was done alone as it came."""
    return make_entry(key, answer.value or b"", answer.expires_ms) if isinstance(answer, Answer) else answer


def _written(change: Write, answer: Answer | Entry | StoreError) -> Entry | StoreError:
    return make_entry(change.key, change.value, answer.expires_ms) if isinstance(answer, Answer) else answer


def _milliseconds(expires_at: int | Keep | None) -> str:
    """The expiry as the scripts take it. BadConfig outside what Redis can hold."""
    if isinstance(expires_at, Keep):
        return "keep"
    if expires_at is None:
        return "-1"
    if not -(1 << 53) < expires_at * 1000 < 1 << 53:
        raise BadConfig(say("The expiry is too far away for Redis."), say("Choose an earlier time, or never."), "expires_at")
    return str(max(expires_at, 0) * 1000)


def _number(text: bytes) -> int:
    number = int(text.decode("ascii"))
    if not text.strip() == text or not _LOWEST <= number <= _HIGHEST:
        raise ValueError(text)
    return number


def _check_number(number: int, name: str) -> None:
    if not _LOWEST <= number <= _HIGHEST:
        raise BadConfig(
            say("%(number)s does not fit into a signed 64-bit number.", number=number),
            say("Stay between %(lowest)s and %(highest)s.", lowest=_LOWEST, highest=_HIGHEST),
            name,
        )


def _conflict(key: bytes, expect: Expected, answer: Answer) -> Conflict:
    if answer.value is None:
        return Conflict(say("The key has been removed since it was read."))
    current: Any = make_entry(key, answer.value, answer.expires_ms)
    return Conflict(current=current) if isinstance(expect, Entry) else Conflict(say("The key exists already."), current)


def _refuse(key: bytes, raw: bytes, why: str) -> NoReturn:
    raise CorruptRow(key, raw, say("The key holds %(why)s.", why=why))


def _refuse_number(key: bytes, value: bytes) -> NoReturn:
    try:
        _number(value)
    except ValueError:
        _refuse(key, value, "no number, so nothing can be added to it")
    raise BadConfig(
        say("The sum does not fit into a signed 64-bit number."),
        say("Stay between %(lowest)s and %(highest)s.", lowest=_LOWEST, highest=_HIGHEST),
        "delta",
    )
