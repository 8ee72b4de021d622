"""Sharded Redis: each key in the shard that Stalwart's hash names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xxhash import xxh3_64_intdigest

from stores.backends.memory import MemoryBackend
from stores.backends.redis import RedisBackend
from stores.backends.sharded import ShardedBackend
from stores.errors import BadConfig, Conflict, CursorLost, NotSupported, StoreUnavailable
from stores.types import CheckState, Cursor, Entry, KeyRange
from tests.servers.redis import RedisServer, fill, free_port, single


@pytest.fixture
def servers() -> list[RedisServer]:
    found = [single("valkey"), single("redis")]
    for server in found:
        with server.client() as client:
            client.flushall()
    return found


def settings_of(servers: list[RedisServer]) -> list[dict[str, str]]:
    """Four shards: two databases on each server."""
    return [{"urls": f"{server.url}/{number}"} for server in servers for number in (0, 1)]


@pytest.fixture
def backend(servers: list[RedisServer]) -> Iterator[ShardedBackend]:
    with ShardedBackend({"stores": "a b c d"}, members=[RedisBackend(each) for each in settings_of(servers)]) as opened:
        yield opened


def walk(backend: ShardedBackend, keys: KeyRange, limit: int) -> list[Entry]:
    found: list[Entry] = []
    cursor: Cursor | None = None
    shares: list[float] = []
    while True:
        page = backend.scan(keys, cursor, limit)
        found += page.entries
        cursor = page.next
        if cursor is None:
            assert shares == sorted(shares)
            return found
        shares.append(backend.progress_of(cursor, keys) or 0.0)


def test_keys_go_to_the_shard_of_their_hash(backend: ShardedBackend) -> None:
    for number in range(200):
        key = b"k%d" % number
        backend.key_set(key, b"v%d" % number)
        for shard, member in enumerate(backend.members):
            assert member.key_exists(key) == (xxh3_64_intdigest(key) % 4 == shard)
        assert backend.key_get(key) == b"v%d" % number
    assert all(member.count() > (20, True) for member in backend.members)
    assert backend.count() == (200, True)
    assert backend.count(at_most=50)[1] is False


def test_many_keys_at_once(backend: ShardedBackend) -> None:
    names = [b"k%d" % number for number in range(50)]
    for name in names:
        backend.key_set(name, name)
    seen = [entry for name in names if (entry := backend.get(name))]
    backend.key_set(names[5], b"changed")
    answers = backend.delete_each(seen)
    assert isinstance(answers.pop(5), Conflict)
    assert answers == [entry for entry in seen if entry.key != names[5]]
    assert [entry.key for entry in walk(backend, KeyRange(), 100)] == [names[5]]


def test_the_hash_is_the_servers(backend: ShardedBackend) -> None:
    assert xxh3_64_intdigest(b"averyveryverylongtoken") == 0x26F2618D023CE89F
    assert backend.index_of(b"averyveryverylongtoken") == 0x26F2618D023CE89F % 4


@pytest.mark.parametrize("limit", [7, 100, 1000])
def test_a_walk_goes_through_all_shards(backend: ShardedBackend, limit: int) -> None:
    names = {b"\x05%d" % number for number in range(300)} | {b"\x06%d" % number for number in range(50)}
    for name in names:
        backend.key_set(name, name)
    assert sorted(entry.key for entry in walk(backend, KeyRange(), limit)) == sorted(names)
    assert {entry.key for entry in walk(backend, KeyRange.of_prefix(b"\x06"), limit)} == {b"\x06%d" % number for number in range(50)}
    surveyed = [step.columns for part in backend.census_parts(8) for step in backend.survey(None, part)]
    assert sorted(key for columns in surveyed if columns for key in columns.keys) == sorted(names)
    parts = list(backend.census())
    assert sorted(row.key for part in parts for row in part.rows) == sorted(names)
    assert parts[-1].progress == 1.0
    for place, part in enumerate(parts[:-1]):
        before = [row.key for each in parts[: place + 1] for row in each.rows]
        assert sorted(before + [row.key for each in backend.census(part.position) for row in each.rows]) == sorted(names)


def test_a_key_in_the_wrong_shard_is_not_shown_and_warned_of(servers: list[RedisServer], backend: ShardedBackend) -> None:
    backend.key_set(b"right", b"v")
    wrong = (backend.index_of(b"lost") + 1) % 4
    backend.members[wrong].key_set(b"lost", b"v")
    assert [entry.key for entry in walk(backend, KeyRange(), 100)] == [b"right"]
    assert backend.get(b"lost") is None
    assert [row.key for part in backend.census() for row in part.rows] == [b"right"]
    surveyed = [step.columns for part in backend.census_parts() for step in backend.survey(None, part)]
    assert [key for columns in surveyed if columns for key in columns.keys] == [b"right"]
    (step,) = [step for step in backend.check() if step.name == "Order of the shards"]
    assert step.state is CheckState.WARN
    with servers[0].client() as client:
        fill(client, [])
    assert backend.delete(b"lost") is None


def test_every_shard_has_to_answer(servers: list[RedisServer]) -> None:
    members = [RedisBackend({"urls": servers[0].url}), RedisBackend({"urls": f"redis://127.0.0.1:{free_port()}"})]
    with ShardedBackend({"stores": "up down"}, members=members) as backend:
        with pytest.raises(StoreUnavailable):
            backend.ping()
        with pytest.raises(StoreUnavailable):
            walk(backend, KeyRange(), 100)
        with pytest.raises(StoreUnavailable):
            list(backend.census())
        last = backend.check()[-1]
        assert last.state is CheckState.FAILED
        assert last.name.startswith("down: ")


def test_a_shard_that_falls_leaves_the_keys_of_the_others_and_comes_back(servers: list[RedisServer]) -> None:
    own = RedisServer("valkey", "--appendonly", "yes", "--appendfsync", "always")
    members = [RedisBackend({"urls": servers[0].url}), RedisBackend({"urls": own.url})]
    with ShardedBackend({"stores": "up falls"}, members=members) as backend:
        keys = {b"k%03d" % number for number in range(200)}
        for key in keys:
            backend.key_set(key, b"v")
        own.kill()
        here, there = (next(key for key in keys if backend.index_of(key) == number) for number in (0, 1))
        assert backend.key_get(here) == b"v"
        assert backend.key_set(here, b"v").value == b"v"
        for call in (
            lambda: backend.get(there),
            lambda: backend.key_set(there, b"w"),
            lambda: walk(backend, KeyRange(), 50),
            backend.count,
        ):
            with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{own.port}") as caught:
                call()
            assert caught.value.fix
        own.start()
        assert {entry.key for entry in walk(backend, KeyRange(), 50)} == keys, "the same open store, without a restart"
        assert backend.key_get(there) == b"v"
    own.stop()


def test_only_redis_stores_can_be_shards() -> None:
    for members in ((), (MemoryBackend({"name": "shard"}),)):
        with pytest.raises(BadConfig) as refused:
            ShardedBackend({"stores": "x"}, members=members)
        assert refused.value.field == "stores"


def test_nothing_to_purge_and_no_foreign_cursors(backend: ShardedBackend) -> None:
    with pytest.raises(NotSupported):
        next(backend.purge(0))
    for text in ("4.x", "x", "1.r00.5", "-1."):
        with pytest.raises(CursorLost):
            backend.scan(cursor=Cursor(text))
