"""A Redis Cluster: all primaries, every key once, whatever moves or fails over meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

import pytest
from redis.crc import key_slot

from stores.backends import redis_slots
from stores.backends.redis import RedisBackend
from stores.errors import Conflict, StoreRefused, StoreUnavailable
from stores.types import ABSENT, KEEP, CensusSlice, Cursor, Entry, KeyRange
from tests.servers.redis import FLAVOURS, Cluster, RedisServer, cluster, fill, wait_for


@pytest.fixture(params=FLAVOURS)
def shared(request: pytest.FixtureRequest) -> Cluster:
    """The shared cluster of three primaries, emptied."""
    found = cluster(request.param)
    found.flush()
    return found


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of the test's own that may be broken: 3 primaries with a replica each and a spare node."""
    found = Cluster(request.param, replicas=1, spare=1)
    yield found
    found.close()


def plant(target: Cluster, count: int, seed: int = 1, prefix: bytes = b"\x05") -> set[bytes]:
    source = random.Random(seed)
    names = {prefix + source.randbytes(source.randrange(1, 20)) for _ in range(count)}
    homes: dict[RedisServer, list[tuple[bytes, bytes, int | None]]] = {}
    for name in names:
        homes.setdefault(target.home_of(name), []).append((name, name[::-1], None))
    for node, rows in homes.items():
        with node.client() as client:
            fill(client, rows)
    return names


def walk(
    backend: RedisBackend, keys: KeyRange | None = None, limit: int = 100, between: Callable[[int], object] = lambda page: None
) -> list[Entry]:
    found: list[Entry] = []
    cursor: Cursor | None = None
    for number in range(1_000_000):
        page = backend.scan(keys or KeyRange(), cursor, limit)
        assert len(page.entries) <= limit
        found += page.entries
        cursor = page.next
        if cursor is None:
            break
        between(number)
    return found


def exactly_once(found: list[Entry], names: set[bytes]) -> None:
    assert len(found) == len({entry.key for entry in found}), "a key came twice"
    assert {entry.key for entry in found} == names
    assert all(entry.value == entry.key[::-1] for entry in found)


def test_pages_cover_every_primary_once(shared: Cluster) -> None:
    names = plant(shared, 3000)
    with RedisBackend(shared.settings()) as backend:
        exactly_once(walk(backend), names)
        exactly_once(walk(backend, limit=7), names)
        assert backend.link.dialect.read_scripts, "the walk ran as a script"
        assert backend.count() == (len(names), True)
        rows = [row for part in backend.census() for row in part.rows]
        assert len(rows) == len(names)
        assert {row.key for row in rows} == names
        for node in shared.primaries:
            with node.client() as client:
                assert client.dbsize() > 500


def test_any_node_is_good_enough_to_begin_with(shared: Cluster) -> None:
    names = plant(shared, 300)
    for node in shared.nodes:
        with RedisBackend({"redis-type": "cluster", "urls": f"redis://127.0.0.1:1\n{node.url}"}) as backend:
            exactly_once(walk(backend), names)


def test_a_node_alone_is_never_taken_for_the_whole(shared: Cluster) -> None:
    plant(shared, 300)
    with RedisBackend({"urls": shared.primaries[0].url}) as backend:
        for call in (backend.ping, backend.scan, backend.count, lambda: next(backend.census())):
            with pytest.raises(StoreRefused, match="redis-type to cluster"):
                call()
        assert backend.check()[-1].fix == "Set redis-type to cluster."


def test_prefixes_are_complete_and_exact(shared: Cluster) -> None:
    star = plant(shared, 400, prefix=b"\x12\x00\x00\x00*")
    others = plant(shared, 400, seed=2, prefix=b"\x12\x00\x00\x00.")
    with RedisBackend(shared.settings()) as backend:
        exactly_once(walk(backend, KeyRange.of_prefix(b"\x12\x00\x00\x00*")), star)
        assert sum(part.count for part in backend.delete_range(KeyRange.of_prefix(b"\x12\x00\x00\x00*"))) == len(star)
        assert backend.count() == (len(others), True)
        assert walk(backend, KeyRange.of_prefix(b"\x13")) == []


def test_a_secret_key_never_shows_in_a_cursor(shared: Cluster) -> None:
    names = plant(shared, 500, prefix=b"\x01SECRETSECRET")
    with RedisBackend(shared.settings()) as backend:
        cursors = []
        cursor = None
        while True:
            page = backend.scan(cursor=cursor, limit=3)
            cursor = page.next
            if cursor is None:
                break
            cursors.append(cursor)
    assert len(cursors) > 100
    text = " ".join(cursors)
    assert "SECRET" not in text
    assert not any(name.hex() in text for name in names)


@pytest.mark.parametrize("scripts", [True, False])
def test_many_keys_are_removed_as_they_were_seen_wherever_they_live(shared: Cluster, scripts: bool) -> None:
    names = plant(shared, 700)
    with RedisBackend(shared.settings()) as backend:
        backend.link.dialect.scripts = scripts
        seen = walk(backend)
        backend.key_set(seen[3].key, b"changed")
        answers = backend.delete_each(seen)
        assert isinstance(answers.pop(3), Conflict)
        assert answers == [entry for entry in seen if entry is not seen[3]]
        assert backend.count() == (1, True)
        assert backend.delete(seen[3].key) is not None
        for entry in seen:
            backend.put(entry, ABSENT)
        exactly_once(walk(backend), names)


def test_other_types_are_shown_on_a_cluster_too(shared: Cluster) -> None:
    with shared.client() as client, RedisBackend(shared.settings()) as backend:
        client.hset("h", "f", "v")
        client.set("s", "v")
        assert {entry.key: bool(entry.problem) for entry in walk(backend)} == {b"h": True, b"s": False}
        assert sum(part.count for part in backend.delete_range(KeyRange())) == 1
        assert client.hget("h", "f") == b"v"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_crowded_slot_is_walked_in_pieces(shared: Cluster, monkeypatch: pytest.MonkeyPatch, scripts: bool) -> None:
    monkeypatch.setattr(redis_slots, "CROWD", 300)
    others = plant(shared, 500)
    crowd = {b"{tag}%05d" % number for number in range(2000)}
    with shared.client() as client:
        for name in crowd:
            client.set(name, name[::-1])
    with RedisBackend(shared.settings()) as backend:
        backend.link.dialect.read_scripts = backend.link.dialect.scripts = scripts
        found: list[Entry] = []
        cursor = None
        while True:
            page = backend.scan(cursor=cursor)
            found += page.entries
            cursor = page.next
            if cursor is None:
                break
        exactly_once(found, others | crowd)
        rows = [row.key for part in backend.census() for row in part.rows]
        assert sorted(rows) == sorted(others | crowd)


def test_a_census_goes_on_from_any_of_its_steps(shared: Cluster) -> None:
    names = plant(shared, 6000)
    with RedisBackend(shared.settings()) as backend:
        parts = list(backend.census())
        assert len(parts) >= 3
        shares = [part.progress or 0.0 for part in parts]
        assert shares == sorted(shares)
        for place in range(len(parts) - 1):
            before = [row.key for part in parts[: place + 1] for row in part.rows]
            after = [row.key for part in backend.census(parts[place].position) for row in part.rows]
            assert sorted(before + after) == sorted(names)


def test_the_parts_of_a_census_are_one_for_each_primary_and_together_everything(shared: Cluster) -> None:
    names = plant(shared, 3000)
    with RedisBackend(shared.settings()) as backend:
        assert backend.census_at_once() == 3
        for most, wanted in ((1, 3), (2, 3), (8, 8)):
            parts = backend.census_parts(most)
            assert len(parts) == wanted
            found = [{key for step in backend.survey(None, part) for key in columns_of(step)} for part in parts]
            assert sum(map(len, found)) == len(names)
            assert set().union(*found) == names
            homes = [{shared.home_of(name).port for name in some} for some in found]
            assert {len(home) for home in homes} == {1}, "each part keeps one primary busy"


def columns_of(step: CensusSlice) -> Sequence[bytes]:
    return step.columns.keys if step.columns else ()


@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
def test_parts_outlive_a_failover_and_slots_that_move(own: Cluster) -> None:
    names = plant(own, 4000)
    for node in own.primaries:
        with node.client() as client:
            wait_for(lambda client=client: client.wait(1, 1000) == 1, what="the replica")  # type: ignore[misc]
    source, target = own.primaries[0], own.primaries[2]
    slots = iter(sorted({key_slot(name) for name in names if own.home_of(name) is source})[::7][:6])
    seen: list[bytes] = []
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 30.0
        walks = [backend.survey(None, part) for part in backend.census_parts(8)]
        for number, step in enumerate(step for steps in zip_longest(*walks) for step in steps if step is not None):
            seen += columns_of(step)
            if number % 3 == 0 and (slot := next(slots, None)) is not None:
                own.move_slot(slot, source, target)
            if number == 10:
                own.primaries[1].kill()
    assert len(seen) == len(names), "no key twice"
    assert set(seen) == names


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
def test_slots_that_move_meanwhile_lose_and_repeat_nothing(own: Cluster, scripts: bool) -> None:
    names = plant(own, 4000)
    source, target = own.primaries[0], own.primaries[2]
    slots = sorted({key_slot(name) for name in names if own.home_of(name) is source})
    moving = iter([*slots[:20], *slots[-20:]])

    with RedisBackend(own.settings()) as backend, RedisBackend(own.settings()) as editor:
        backend.link.dialect.read_scripts = backend.link.dialect.scripts = scripts

        def migrate(page: int) -> None:
            """One slot moves between pages; while it is half moved, another page and edits on both halves happen."""
            slot = next(moving, None)
            if slot is not None:
                own.move_slot(slot, source, target, between=lambda: touch(slot))

        def touch(slot: int) -> None:
            for name in [name for name in names if key_slot(name) == slot]:
                seen = editor.get(name)
                assert seen is not None
                assert seen.value == name[::-1]
                assert editor.key_set(name, name[::-1], KEEP, seen) == seen

        exactly_once(walk(backend, between=migrate), names)
        exactly_once(walk(backend), names)


@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
def test_slots_that_move_while_a_set_is_removed_and_keys_change_in_bulk(own: Cluster) -> None:
    names = plant(own, 3000)
    others = plant(own, 500, seed=2, prefix=b"\x06")
    source, target = own.primaries[0], own.primaries[2]
    moving = iter(sorted({key_slot(name) for name in names if own.home_of(name) is source})[:24])

    with RedisBackend(own.settings()) as backend, RedisBackend(own.settings()) as other:

        def change() -> None:
            """Half of a slot is here, half is there: expiries and writes of many keys at once, each under its condition."""
            seen = [entry for entry in other.get_each(sorted(others)) if entry is not None]
            assert len(seen) == len(others)
            answers = other.set_expiry_each(seen, 2_000_000_000)
            assert not [answer for answer in answers if isinstance(answer, Exception)]
            put = other.put_each([(entry, answer) for entry, answer in zip(seen, answers, strict=True) if isinstance(answer, Entry)])
            assert not [answer for answer in put if isinstance(answer, Exception)]

        removed = 0
        for step in backend.delete_range(KeyRange.of_prefix(b"\x05")):
            removed += step.count
            slot = next(moving, None)
            if slot is not None:
                own.move_slot(slot, source, target, between=change)
        for slot in moving:
            own.move_slot(slot, source, target)
        assert removed == len(names)
        exactly_once(walk(backend), others)


@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
def test_a_failover_while_a_set_is_removed(own: Cluster) -> None:
    names = plant(own, 4000)
    others = plant(own, 300, seed=2, prefix=b"\x06")
    for node in own.primaries:
        with node.client() as client:
            wait_for(lambda client=client: client.wait(1, 1000) == 1, what="the replica")  # type: ignore[misc]
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 30.0
        removed = 0
        for number, step in enumerate(backend.delete_range(KeyRange.of_prefix(b"\x05"))):
            removed += step.count
            if number == 0:
                own.primaries[1].kill()
        exactly_once(walk(backend), others)
        assert removed <= len(names), "what went on the old primary is counted at most once"
        answers = backend.delete_each([entry for entry in backend.get_each(sorted(others)) if entry is not None])
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        assert backend.count() == (0, True)


@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
def test_a_slot_that_is_half_moved_is_seen_whole(own: Cluster) -> None:
    names = plant(own, 300) | {b"{tag}%03d" % number for number in range(100)}
    with own.client() as client:
        for number in range(100):
            client.set(b"{tag}%03d" % number, (b"{tag}%03d" % number)[::-1])
    source, spare = own.home_of(b"{tag}"), own.spares[0]
    seen: list[str] = []
    with RedisBackend(own.settings()) as backend:

        def look() -> None:
            exactly_once(walk(backend), names)
            exactly_once(walk(backend, KeyRange.of_prefix(b"{tag}")), {name for name in names if name.startswith(b"{tag}")})
            rows = [row.key for part in backend.census() for row in part.rows]
            assert sorted(rows) == sorted(names)
            assert backend.counter_incr(b"{tag}new", 1) == 1
            assert backend.delete(b"{tag}new") is not None
            for number in (0, 99):
                entry = backend.get(b"{tag}%03d" % number)
                assert entry is not None
                assert backend.key_set(entry.key, entry.value or b"", KEEP, entry) == entry
            seen.append("moved")

        own.move_slot(key_slot(b"{tag}"), source, spare, between=look)
        assert len(seen) == 2, "when half of the keys had moved, and when all had"
        exactly_once(walk(backend), names)


@pytest.mark.parametrize("own", FLAVOURS, indirect=True)
@pytest.mark.parametrize("work", ["pages", "census"])
def test_a_failover_in_the_middle_loses_and_repeats_nothing(own: Cluster, work: str) -> None:
    names = plant(own, 3000)
    for node in own.primaries:
        with node.client() as client:
            wait_for(lambda client=client: client.wait(1, 1000) == 1, what="the replica")  # type: ignore[misc]
    victim = own.primaries[1]
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 30.0

        def fail_over(step: int) -> None:
            if step == 3:
                victim.kill()

        if work == "pages":
            exactly_once(walk(backend, between=fail_over), names)
        else:
            rows: list[bytes] = []
            for number, part in enumerate(backend.census()):
                rows += [row.key for row in part.rows]
                if number == 0:
                    victim.kill()
            assert sorted(rows) == sorted(names)
        for name in list(names)[:50]:
            assert backend.key_get(name) == name[::-1]
        assert backend.key_set(b"after", b"v").value == b"v"


@pytest.mark.parametrize("own", ["valkey"], indirect=True)
def test_a_part_that_is_down_is_an_error_and_never_a_short_list(own: Cluster) -> None:
    plant(own, 500)
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 0.3
        assert backend.scan().entries
        own.primaries[1].kill()
        own.replicas[1].kill()
        with pytest.raises(StoreUnavailable):
            walk(backend)
        with pytest.raises(StoreUnavailable):
            backend.ping()
        with pytest.raises(StoreUnavailable):
            backend.count()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            backend.key_set(next(b"k%d" % number for number in range(1000) if own.home_of(b"k%d" % number) is own.primaries[1]), b"v")
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("own", ["valkey"], indirect=True)
def test_a_stalled_node_is_given_up_within_the_timeout(own: Cluster) -> None:
    plant(own, 500)
    name = next(b"k%d" % number for number in range(1000) if own.home_of(b"k%d" % number) is own.primaries[1])
    with RedisBackend({**own.settings(), "read-timeout": "500ms", "timeout": "500ms"}) as backend:
        backend.link.patience = 0.5
        backend.key_set(name, b"v")
        own.primaries[1].pause()
        for call in (lambda: backend.get(name), lambda: backend.key_set(name, b"w"), lambda: backend.key_exists(name)):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                call()
            assert time.monotonic() - started < 4
        own.primaries[1].resume()
        wait_for(lambda: backend.get(name), what="the node")


def test_writers_on_several_threads_lose_no_update(shared: Cluster) -> None:
    def add() -> None:
        with RedisBackend(shared.settings()) as backend:
            for _ in range(20):
                backend.counter_incr(b"c", 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with RedisBackend(shared.settings()) as backend:
        assert backend.counter_get(b"c") == 80
