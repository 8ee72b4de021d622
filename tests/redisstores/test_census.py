"""The census of one server: every key once, in short slices, with and without scripts."""

from __future__ import annotations

import random
from itertools import zip_longest
from typing import Any

import pytest

from stores.backends import redis_halves
from stores.backends.redis import RedisBackend
from stores.backends.redis_measure import rows_of as made_of
from stores.errors import CursorLost
from stores.types import CensusRow
from tests.servers.redis import RedisServer, fill, single


def rows_of(backend: RedisBackend) -> list[CensusRow]:
    return [row for part in backend.census() for row in part.rows]


def plant(server: RedisServer, count: int, seed: int = 3) -> dict[bytes, tuple[int | None, int]]:
    """Keys with their expiry in seconds and their length."""
    source = random.Random(seed)
    rows = []
    with server.client() as client:
        seconds, _ = client.time()
        for number in range(count):
            at = None if number % 3 == 0 else seconds * 1000 + source.randrange(600_000, 90_000_000)
            rows.append((b"\x05%06d" % number, b"x" * source.randrange(0, 40), at))
        fill(client, rows)
    return {key: (None if at is None else at // 1000, len(value)) for key, value, at in rows}


@pytest.mark.parametrize("way", ["scripts", "writable scripts", "plain commands"])
def test_every_key_is_counted_once(server: RedisServer, backend: RedisBackend, way: str) -> None:
    truth = plant(server, 12_000)
    if way != "scripts":
        backend.link.dialect.read_scripts = False
    backend.link.dialect.scripts = way != "plain commands"
    rows = rows_of(backend)
    assert len(rows) == len(truth)
    assert {row.key: (row.expires_at, row.value_bytes) for row in rows} == truth
    assert backend.link.dialect.read_scripts == (way == "scripts"), "the way that was asked for was gone"


def test_a_census_goes_on_from_any_of_its_steps(server: RedisServer, backend: RedisBackend) -> None:
    truth = plant(server, 5000)
    parts = list(backend.census())
    shares = [part.progress for part in parts]
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert (parts[-1].position, shares[-1]) == ("", 1.0)
    for place in (0, len(parts) // 2, len(parts) - 2):
        before = [row.key for part in parts[: place + 1] for row in part.rows]
        after = [row.key for part in backend.census(parts[place].position) for row in part.rows]
        assert sorted(before + after) == sorted(truth)


@pytest.mark.parametrize("direction", ["growing", "shrinking"])
def test_a_table_that_changes_its_size_meanwhile_counts_no_key_twice(server: RedisServer, direction: str) -> None:
    truth = plant(server, 8000)
    extra = [b"extra%06d" % number for number in range(100_000)]
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        if direction == "shrinking":
            fill(client, [(key, b"", None) for key in extra])
        census = backend.census()
        seen: list[bytes] = []
        for number, part in enumerate(census):
            seen += [row.key for row in part.rows if row.key in truth]
            if number == 20 and direction == "growing":
                fill(client, [(key, b"", None) for key in extra])
            elif number % 20 == 0 and direction == "shrinking":
                client.unlink(*extra[number * 1000 : (number + 20) * 1000] or [b"none"])
    assert set(seen) == set(truth), "a key that stays is always met"
    assert len(seen) == len(truth)


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small stores are counted in halves as large ones are."""
    monkeypatch.setattr(redis_halves, "WORTH_KEYS", 1000)


def keys_of(backend: RedisBackend, part: str) -> list[bytes]:
    return [key for step in backend.survey(None, part) if step.columns for key in step.columns.keys]


@pytest.mark.usefixtures("halved")
@pytest.mark.parametrize("way", ["scripts", "plain commands"])
def test_the_halves_are_the_whole(server: RedisServer, backend: RedisBackend, way: str) -> None:
    truth = plant(server, 12_000)
    backend.link.dialect.scripts = backend.link.dialect.read_scripts = way == "scripts"
    parts = backend.census_parts(2)
    rows = [row for part in parts for step in backend.survey(None, part) if step.columns for row in made_of(step.columns)]
    assert len(parts) == 2
    assert len(rows) == len(truth)
    assert {row.key: (row.expires_at, row.value_bytes) for row in rows} == truth
    assert all(4000 < len(keys_of(backend, part)) < 8000 for part in parts)


@pytest.mark.usefixtures("halved")
@pytest.mark.parametrize("count", [1100, 5000])
def test_a_half_goes_on_from_any_of_its_steps(server: RedisServer, backend: RedisBackend, count: int) -> None:
    plant(server, count)
    for part in backend.census_parts(2):
        steps = list(backend.survey(None, part))
        shares = [step.progress or 0.0 for step in steps]
        assert shares == sorted(shares)
        assert (steps[-1].position, shares[-1]) == ("", 1.0)
        for place in {0, len(steps) // 2, len(steps) - 2}:
            before = [key for step in steps[: place + 1] if step.columns for key in step.columns.keys]
            assert sorted(before + keys_of(backend, steps[place].position)) == sorted(keys_of(backend, part))


@pytest.mark.usefixtures("halved")
@pytest.mark.parametrize("direction", ["growing", "shrinking"])
def test_halves_of_a_table_that_changes_its_size_stay_halves(server: RedisServer, direction: str) -> None:
    truth = plant(server, 6000)
    extra = [b"extra%06d" % number for number in range(60_000)]
    seen: list[bytes] = []
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        if direction == "shrinking":
            fill(client, [(key, b"", None) for key in extra])
        first, second = (backend.survey(None, part) for part in backend.census_parts(2))
        for number, step in enumerate(walked for pair in zip_longest(first, second) for walked in pair if walked is not None):
            assert step.columns is not None
            seen += [key for key in step.columns.keys if key in truth]
            if number == 10 and direction == "growing":
                fill(client, [(key, b"", None) for key in extra])
            elif number % 20 == 0 and direction == "shrinking":
                client.unlink(*extra[number * 500 : (number + 20) * 500] or [b"none"])
    assert set(seen) == set(truth), "a key that stays is always met"
    assert len(seen) == len(truth)


@pytest.mark.usefixtures("halved")
def test_a_half_of_what_is_hardly_there_any_more_is_not_trusted(server: RedisServer, backend: RedisBackend) -> None:
    plant(server, 3000)
    first, _ = backend.census_parts(2)
    steps = backend.survey(None, first)
    next(steps)
    with server.client() as client:
        client.flushall()
        client.set("left", "v")
    with pytest.raises(CursorLost, match="lost nearly all"):
        list(steps)


def test_a_small_store_is_counted_in_one_go(server: RedisServer, backend: RedisBackend) -> None:
    plant(server, 100)
    assert backend.census_parts(8) == ["*"]


def test_no_call_of_a_census_takes_long(server: RedisServer) -> None:
    plant(server, 50_000)
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        client.config_set("slowlog-log-slower-than", 2000)
        client.slowlog_reset()
        client.config_resetstat()
        assert len(rows_of(backend)) == 50_000
        stats: Any = client.info("commandstats")
        slow: list[Any] = client.slowlog_get(100)
        client.config_set("slowlog-log-slower-than", 10_000)
    slices = stats["cmdstat_evalsha_ro"]
    assert slices["calls"] >= 245, "at most about 200 keys a call"
    assert slices["usec_per_call"] < 4000, "a busy machine is slower"
    assert len(slow) < slices["calls"] // 2
    assert not {"cmdstat_keys", "cmdstat_flushdb", "cmdstat_get"} & set(stats)


def test_looking_does_not_count_as_use() -> None:
    """With an LRU policy a reader must not make old keys look young. (Redis 7.0 has no CLIENT NO-TOUCH.)"""
    with single("valkey").client() as client, RedisBackend({"urls": single("valkey").url}) as backend:
        client.set("k", "v")
        rows_of(backend)
        backend.scan()
        assert backend.get(b"k") is not None
        clients: list[Any] = client.client_list()
        assert ["T" in str(each["flags"]) for each in clients if int(each["id"]) != client.client_id()] == [True]
