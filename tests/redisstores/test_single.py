"""One server: what a page costs, bytes in patterns, odd types, long values, Stalwart's answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stores.backends.redis import RedisBackend
from stores.backends.redis_rows import FIRST_BYTES, LONG_VALUES, WHOLE_BYTES
from stores.errors import BadConfig, Conflict, CorruptRow, CursorLost, KeyNotFound, NotSupported, StoreRefused
from stores.types import ABSENT, ANYTHING, KEEP, Entry, KeyRange, Kind
from tests.servers.redis import RedisServer, fill

ACCOUNT_42 = b"\x12\x00\x00\x00*"
"""Account 42 is the byte of a star: as an unescaped pattern it would match every account below 256."""


def walk(backend: RedisBackend, keys: KeyRange, limit: int = 100) -> list[Entry]:
    found: list[Entry] = []
    cursor = None
    while True:
        page = backend.scan(keys, cursor, limit)
        found += page.entries
        cursor = page.next
        if cursor is None:
            return found


@contextmanager
def counting(server: RedisServer) -> Iterator[dict[str, int]]:
    """Commands the server ran in the block, by name."""
    found: dict[str, int] = {}
    with server.client() as client:
        client.config_resetstat()
        yield found
        stats: Any = client.info("commandstats")
    found |= {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}
    for own in ("config|resetstat", "config"):
        found.pop(own, None)


@pytest.mark.parametrize("special", [b"*", b"?", b"[a]", b"\\", b"[^x-z]", b"a*b?c[d]e\\f"])
def test_bytes_with_a_meaning_in_patterns_match_only_themselves(server: RedisServer, backend: RedisBackend, special: bytes) -> None:
    prefix = b"\x12\x00\x00\x00" + special
    with server.client() as client:
        fill(client, [(prefix + b"%d" % number, b"1", None) for number in range(5)])
        fill(client, [(b"\x12\x00\x00\x00" + other + b"tail", b"1", None) for other in (b"a", b"x", b"\x2b", b"z*", b"ab")])
    assert {entry.key for entry in walk(backend, KeyRange.of_prefix(prefix))} == {prefix + b"%d" % number for number in range(5)}


def test_deleting_account_42_leaves_every_other_account(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        for account in (42, 46, 99):
            fill(client, [(b"\x12" + account.to_bytes(4, "big") + b"token%d" % number, b"1", None) for number in range(30)])
    assert sum(part.count for part in backend.delete_range(KeyRange.of_prefix(ACCOUNT_42))) == 30
    assert len(walk(backend, KeyRange.of_prefix(b"\x12"))) == 60
    assert walk(backend, KeyRange.of_prefix(ACCOUNT_42)) == []


def test_a_page_of_a_large_store_costs_few_commands(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        fill(client, [(b"\x05key%05d" % number, b"%d" % number, None) for number in range(20_000)])
    backend.ping()
    for keys in (KeyRange(), KeyRange.of_prefix(b"\x05")):
        with counting(server) as commands:
            page = backend.scan(keys, limit=100)
        assert 90 <= len(page.entries) <= 120
        assert page.next is not None
        assert sum(commands.values()) <= 300
        assert commands["scan"] <= 3


def test_a_rare_prefix_is_walked_in_bounded_steps(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        fill(client, [(b"common%06d" % number, b"", None) for number in range(120_000)])
        client.set(b"rare", b"1")
    steps, found, shares = 0, list[Entry](), list[float]()
    cursor = None
    while True:
        with counting(server) as commands:
            page = backend.scan(KeyRange.of_prefix(b"rare"), cursor)
        assert commands["scan"] <= 120
        steps += 1
        found += page.entries
        cursor = page.next
        if cursor is None:
            break
        share = backend.progress_of(cursor, KeyRange.of_prefix(b"rare"))
        assert share is not None
        shares.append(share)
    assert [entry.key for entry in found] == [b"rare"]
    assert steps > 1
    assert shares == sorted(shares)
    assert all(0 < share < 1 for share in shares)


def test_expiries_are_exact_to_the_millisecond(server: RedisServer, backend: RedisBackend) -> None:
    at = int(time.time()) * 1000 + 600_123
    with server.client() as client:
        fill(client, [(b"k", b"v", at), (b"never", b"w", None)])
    entry = backend.get(b"k")
    assert entry == Entry(b"k", Kind.UNKNOWN, b"v", None, at // 1000, b"v", at)
    assert backend.scan(KeyRange.of_prefix(b"k")).entries == (entry,)
    assert backend.key_set(b"k", b"w", KEEP).expires_at_ms == at
    with server.client() as client:
        assert client.pexpiretime(b"k") == at
    removed = backend.delete(b"k")
    assert removed is not None
    backend.put(removed, ABSENT)
    with server.client() as client:
        assert client.pexpiretime(b"k") == at
    never = backend.get(b"never")
    assert never is not None
    assert (never.expires_at, never.expires_at_ms) == (None, None)


def test_a_row_read_to_the_second_is_compared_to_the_second(backend: RedisBackend) -> None:
    at = int(time.time()) + 600
    backend.key_set(b"k", b"v", at)
    assert backend.key_set(b"k", b"w", KEEP, Entry(b"k", Kind.UNKNOWN, b"v", None, at, b"v")).value == b"w"
    with pytest.raises(Conflict):
        backend.key_set(b"k", b"x", KEEP, Entry(b"k", Kind.UNKNOWN, b"w", None, at + 1, b"w"))


def test_an_expiry_in_the_past_is_refused_and_nothing_is_lost(backend: RedisBackend) -> None:
    backend.key_set(b"k", b"v")
    before = backend.get(b"k")
    assert before is not None
    past = int(time.time()) - 1
    for attempt in (
        lambda: backend.key_set(b"k", b"w", past),
        lambda: backend.set_expiry(b"k", past),
        lambda: backend.counter_set(b"k", 1, past),
        lambda: backend.counter_incr(b"k", 1, past),
        lambda: backend.put(Entry(b"k", Kind.UNKNOWN, b"w", None, past, b"w")),
        lambda: backend.key_set(b"k", b"w", 0),
        lambda: backend.set_expiry(b"k", 1 << 60),
    ):
        with pytest.raises(BadConfig) as refused:
            attempt()
        assert refused.value.field == "expires_at"
        assert backend.get(b"k") == before


def test_values_of_other_types_are_shown_and_never_touched(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        client.hset("h", "field", "value")
        client.rpush("l", "a", "b")
        client.zadd("z", {"m": 1})
        client.set("s", "text")
    entries = {entry.key: entry for entry in walk(backend, KeyRange())}
    assert {key: entry.problem for key, entry in entries.items()} == {
        b"h": "a Redis hash; Stalwart stores only strings",
        b"l": "a Redis list; Stalwart stores only strings",
        b"z": "a Redis zset; Stalwart stores only strings",
        b"s": "",
    }
    assert backend.get(b"h") == entries[b"h"]
    assert entries[b"h"].value is entries[b"h"].row is None
    for expect in (ANYTHING, entries[b"h"]):
        with pytest.raises(CorruptRow):
            backend.key_set(b"h", b"v", None, expect)
        with pytest.raises(CorruptRow):
            backend.counter_incr(b"h", 1, KEEP, expect)
        with pytest.raises(CorruptRow):
            backend.set_expiry(b"h", None, expect)
        with pytest.raises(CorruptRow):
            backend.delete(b"h", expect)
    with pytest.raises(CorruptRow):
        backend.counter_get(b"h")
    refused, also, gone = backend.delete_each([entries[b"h"], entries[b"l"], entries[b"s"]])
    assert isinstance(refused, CorruptRow)
    assert isinstance(also, CorruptRow)
    assert gone == entries[b"s"]
    list(backend.delete_range(KeyRange()))
    with server.client() as client:
        assert client.hgetall("h") == {b"field": b"value"}
        assert client.dbsize() == 3
    assert sum(row.corrupt for part in backend.census() for row in part.rows) == 3


def test_long_values_are_whole_where_asked_for_and_marked_where_they_are_not(server: RedisServer, backend: RedisBackend) -> None:
    sizes = [FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + 1, WHOLE_BYTES, WHOLE_BYTES + 1]
    with server.client() as client:
        for size in sizes:
            client.set(b"k%07d" % size, bytes([size % 251]) * size)
    for entry in walk(backend, KeyRange()):
        size = int(entry.key[1:])
        assert entry.value == bytes([size % 251]) * min(size, WHOLE_BYTES)
        assert entry.length == (size if size > WHOLE_BYTES else None)
        assert entry.size == len(entry.key) + size
        whole = backend.get(entry.key)
        assert whole is not None
        assert whole.value == bytes([size % 251]) * size
        assert (whole.etag == entry.etag) == (size <= WHOLE_BYTES)
    assert {row.key: row.value_bytes for part in backend.census() for row in part.rows} == {b"k%07d" % size: size for size in sizes}


def test_a_page_full_of_long_values_stays_small(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        for number in range(LONG_VALUES + 10):
            client.set(b"k%02d" % number, b"x" * (FIRST_BYTES * 2))
    entries = backend.scan().entries
    assert len(entries) == LONG_VALUES + 10
    whole = [entry for entry in entries if entry.length is None]
    assert len(whole) == LONG_VALUES
    assert {len(entry.value or b"") for entry in whole} == {FIRST_BYTES * 2}
    assert {(len(entry.value or b""), entry.length) for entry in entries if entry.length} == {(FIRST_BYTES, FIRST_BYTES * 2)}


def test_a_row_of_which_only_a_part_is_known_is_compared_by_part_and_length(server: RedisServer, backend: RedisBackend) -> None:
    with server.client() as client:
        client.set(b"k", b"x" * (WHOLE_BYTES + 10))
    (seen,) = backend.scan().entries
    with pytest.raises(BadConfig):
        backend.put(seen)
    with server.client() as client:
        client.append(b"k", b"y")
    with pytest.raises(Conflict):
        backend.delete(b"k", seen)
    (seen,) = backend.scan().entries
    removed = backend.delete(b"k", seen)
    assert removed is not None
    assert len(removed.value or b"") == WHOLE_BYTES + 11


def test_stalwarts_answers_on_redis(backend: RedisBackend) -> None:
    assert backend.counter_incr(b"c", 5) == 5
    assert backend.key_get(b"c") == b"5"
    assert backend.key_exists(b"c")
    assert backend.counter_get(b"c") == 5
    assert backend.counter_get(b"missing") == 0
    backend.key_set(b"text", b"hello")
    with pytest.raises(CorruptRow) as corrupt:
        backend.counter_get(b"text")
    assert corrupt.value.raw == b"hello"
    with pytest.raises(CorruptRow) as corrupt:
        backend.counter_incr(b"text", 1)
    assert corrupt.value.raw == b"hello"
    assert backend.key_get(b"text") == b"hello"
    backend.counter_set(b"text", -7)
    assert backend.counter_get(b"text") == -7


def test_counters_keep_all_64_bits(backend: RedisBackend) -> None:
    packed = (1_234_567 << 32) | 89
    backend.counter_set(b"bayes", packed)
    assert backend.counter_incr(b"bayes", (1 << 32) + 1) == packed + (1 << 32) + 1
    backend.counter_set(b"top", (1 << 63) - 1)
    with pytest.raises(BadConfig):
        backend.counter_incr(b"top", 1)
    assert backend.counter_get(b"top") == (1 << 63) - 1
    with pytest.raises(BadConfig):
        backend.counter_incr(b"top", 1 << 63)


def test_an_increment_with_an_expiry_arms_it_anew(backend: RedisBackend) -> None:
    now = int(time.time())
    backend.counter_incr(b"c", 1, now + 100)
    backend.counter_incr(b"c", 1, now + 900)
    entry = backend.get(b"c")
    assert entry is not None
    assert (entry.value, entry.expires_at) == (b"2", now + 900)


def test_missing_keys(backend: RedisBackend) -> None:
    assert backend.get(b"k") is None
    assert backend.delete(b"k") is None
    with pytest.raises(KeyNotFound):
        backend.set_expiry(b"k", None)
    assert backend.delete_each([]) == []
    with pytest.raises(NotSupported):
        next(backend.purge(0))


@pytest.mark.parametrize("scripts", [True, False])
def test_many_keys_are_removed_if_they_are_as_they_were_seen(server: RedisServer, backend: RedisBackend, scripts: bool) -> None:
    backend.link.dialect.scripts = scripts
    at = int(time.time()) * 1000 + 600_001
    names = [b"k%04d" % number for number in range(500)]
    with server.client() as client:
        fill(client, [(name, b"v" + name, at) for name in names])
        fill(client, [(b"stays", b"v", None)])
        seen = [Entry(name, Kind.UNKNOWN, b"v" + name, None, at // 1000, b"v" + name, at) for name in names]
        client.set(names[7], b"changed", pxat=at)
        client.pexpireat(names[8], at + 1)
        client.unlink(names[9])
    answers = backend.delete_each(seen)
    for number, (entry, answer) in enumerate(zip(seen, answers, strict=True)):
        if number in (7, 8, 9):
            assert isinstance(answer, Conflict)
            assert answer.current == backend.get(names[number])
        else:
            assert answer == entry
    assert {entry.key for entry in backend.scan().entries} == {names[7], names[8], b"stays"}


def test_a_number_in_the_url_chooses_the_database(server: RedisServer) -> None:
    with server.client(db=3) as client:
        client.set("k", "third")
    with RedisBackend({"urls": f"{server.url}/3"}) as third, RedisBackend({"urls": server.url}) as first:
        assert third.key_get(b"k") == b"third"
        assert first.get(b"k") is None
        assert [entry.key for entry in third.scan().entries] == [b"k"]
        (keys,) = [step for step in first.check() if step.name == "Keys"]
        assert "db3" in keys.detail
        assert keys.fix
    with RedisBackend({"urls": f"{server.url}/99"}) as wrong, pytest.raises(StoreRefused):
        wrong.ping()


@pytest.mark.parametrize("protocol", ["resp2", "resp3"])
def test_a_unix_socket_and_both_protocols(server: RedisServer, protocol: str) -> None:
    with RedisBackend({"urls": f"redis+unix://{server.socket}?db=1", "protocol-version": protocol}) as backend:
        backend.key_set(b"k", b"v", int(time.time()) + 60, ABSENT)
        assert backend.key_get(b"k") == b"v"
        assert [entry.key for entry in backend.scan().entries] == [b"k"]
        assert [row.key for part in backend.census() for row in part.rows] == [b"k"]
        assert backend.delete(b"k") is not None
        assert all(step.state == "ok" for step in backend.check())


def test_a_restart_in_the_middle_of_a_walk_is_noticed(server: RedisServer) -> None:
    own = RedisServer(server.flavour, "--save", "3600 1")
    with own.client() as client:
        fill(client, [(b"k%05d" % number, b"v", None) for number in range(5000)])
    with RedisBackend({"urls": own.url}) as backend:
        page = backend.scan()
        census = backend.census()
        position = next(census).position
        with own.client() as client:
            client.save()
        own.stop()
        own.start()
        assert backend.get(b"k00000") is not None, "the same open store goes on after a restart"
        with pytest.raises(CursorLost):
            backend.scan(cursor=page.next)
        with pytest.raises(CursorLost):
            list(census)
        with pytest.raises(CursorLost):
            next(backend.census(position))
        assert len(walk(backend, KeyRange())) >= 5000
    own.stop()
