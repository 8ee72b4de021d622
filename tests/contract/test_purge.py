"""Purge: exactly what has expired goes, in short steps, and a row that is renewed meanwhile stays."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import fields

import pytest

from stores.backends import mysql_purge
from stores.codecs.rows import marker_row, value_row
from stores.errors import NotSupported, StoreError
from stores.types import Pace, PurgeSlice
from tests.contract.harness import NOW, Plant, StoreUnderTest
from tests.contract.mixture import Sums, is_lock, mixture, purged

pytestmark = [pytest.mark.layout("data"), pytest.mark.needs("purges", "writes")]


def summed(slices: Iterable[PurgeSlice]) -> Sums:
    sums = Sums()
    for step in slices:
        for field in fields(sums):
            setattr(sums, field.name, getattr(sums, field.name) + getattr(step, field.name))
    return sums


def purge(store: StoreUnderTest, pace: Pace = Pace.GENTLE, position: str = "") -> Iterator[PurgeSlice]:
    return store.backend.purge(store.now, pace, position, is_lock)


@pytest.mark.parametrize("pace", Pace)
def test_exactly_the_expired_rows_go(store: StoreUnderTest, pace: Pace) -> None:
    rows = mixture(1500, seed=len(pace))
    store.harness.plant(rows)
    sums, m, y = purged(rows)
    slices = list(purge(store, pace))
    assert store.harness.raw() == (m, y)
    assert summed(slices) == sums
    corrupt = {plant.key for plant in rows if plant.key in m and store.backend.get(plant.key).problem}  # type: ignore[union-attr]
    named = {key for step in slices for key in step.corrupt_keys}
    assert named
    assert named <= corrupt


def test_a_second_purge_finds_nothing_more(store: StoreUnderTest) -> None:
    rows = mixture(300)
    store.harness.plant(rows)
    list(purge(store))
    before = store.harness.raw()
    again = summed(purge(store))
    assert store.harness.raw() == before
    assert (again.values, again.counters, again.locks, again.bytes) == (0, 0, 0, 0)
    assert again.scanned == len(before[0])


def test_a_purge_of_an_empty_store(store: StoreUnderTest) -> None:
    assert summed(purge(store)) == Sums()


def test_expired_means_at_or_before_now(store: StoreUnderTest) -> None:
    now = store.now
    store.values(
        [(b"a", b"x", now - 1), (b"b", b"x", now), (b"c", b"x", now + 1), (b"d", b"x", None), (b"e", b"x", 255), (b"f", b"x", 256)]
    )
    store.counters([(b"g", 1, now), (b"h", 2, now + 1), (b"i", 3, None), (b"j", 4, 0)])
    list(purge(store))
    m, y = store.harness.raw()
    assert sorted(m) == [b"c", b"d", b"h"]
    assert y == {b"h": 2, b"i": 3}


def test_keys_that_stalwart_cannot_reach_go_too(store: StoreUnderTest) -> None:
    store.values([(b"", b"x", store.now - 1), (b"\xff" * 11, b"x", store.now - 1)])
    store.counters([(b"\xff" * 12, 1, store.now - 1)])
    sums = summed(purge(store))
    assert (sums.values, sums.counters) == (2, 1)
    assert store.harness.raw() == ({}, {})


def test_numbers_without_a_marker_stay(store: StoreUnderTest) -> None:
    store.counters([(b"bayes", 1 << 40, None), (b"zero", 0, None)])
    store.harness.plant([Plant(b"both", value_row(b"zz", store.now - 1), 8)])
    sums = summed(purge(store))
    assert (sums.values, sums.counters) == (1, 0)
    assert store.harness.raw() == ({}, {b"bayes": 1 << 40, b"zero": 0, b"both": 8})


def test_a_malformed_row_is_named_and_does_not_stop_the_rest(store: StoreUnderTest) -> None:
    bad = [Plant(b"bad-empty", b""), Plant(b"bad-short", b"1234567"), Plant(b"bad-marker", bytes(8)), Plant(b"bad-half", bytes(15), 3)]
    store.harness.plant(bad)
    store.values([(b"a", b"x", store.now - 1), (b"z", b"x", store.now - 1)])
    slices = list(purge(store))
    assert summed(slices).corrupt == 4
    assert {key for step in slices for key in step.corrupt_keys} == {plant.key for plant in bad}
    assert store.harness.raw() == ({plant.key: plant.row for plant in bad}, {b"bad-half": 3})


def test_a_large_value_is_no_obstacle(store: StoreUnderTest) -> None:
    store.values([(b"big", bytes(1_000_000), store.now - 1), (b"big-live", b"\xff" * 1_000_000, store.now + 60)])
    sums = summed(purge(store))
    assert sums.bytes == len(b"big") + 8 + 1_000_000
    assert list(store.harness.raw()[0]) == [b"big-live"]


def test_progress_grows_to_one_and_positions_are_text(store: StoreUnderTest) -> None:
    store.values([(b"k%05d" % number, b"payload", store.now - number % 2) for number in range(4000)])
    slices = list(purge(store))
    shares = [step.progress for step in slices if step.progress is not None]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[-1:] in ([], [1.0])
    assert all(isinstance(step.position, str) for step in slices)


def test_a_purge_goes_on_where_it_was_left(store: StoreUnderTest) -> None:
    rows = mixture(12_000, seed=3)
    store.harness.plant(rows)
    expected, m, y = purged(rows)
    total = Sums()
    position = ""
    for turn in range(10_000):
        backend = store.another() if turn < 5 else store.backend
        steps = backend.purge(store.now, Pace.GENTLE, position, is_lock)
        step = next(steps, None)
        steps.close()  # type: ignore[attr-defined]
        if step is None:
            break
        for field in fields(total):
            setattr(total, field.name, getattr(total, field.name) + getattr(step, field.name))
        position = step.position
        if step.progress == 1.0:
            break
    assert turn > 2, "the rows were enough for several steps"
    assert store.harness.raw() == (m, y)
    assert total == expected


def test_a_position_of_nothing_known_is_refused_or_starts_over(store: StoreUnderTest) -> None:
    store.values([(b"a", b"x", store.now - 1), (b"b", b"x", store.now + 1)])
    try:
        list(purge(store, position="not-a-position"))
    except StoreError:
        assert sorted(store.harness.raw()[0]) == [b"a", b"b"]
    else:
        assert sorted(store.harness.raw()[0]) == [b"b"]


def test_a_stopped_purge_leaves_no_lock_behind(store: StoreUnderTest) -> None:
    store.values([(b"k%05d" % number, b"payload", store.now - 1) for number in range(3000)])
    steps = purge(store)
    next(steps)
    store.another().key_set(b"other", b"v")
    steps.close()  # type: ignore[attr-defined]
    store.another().key_set(b"another", b"v")
    assert store.backend.key_get(b"other") == b"v"


def test_rows_renewed_after_the_purge_began_stay(store: StoreUnderTest) -> None:
    store.values([(b"v%05d" % number, b"old", store.now - 1) for number in range(2500)])
    store.counters([(b"c%05d" % number, 5, store.now - 1) for number in range(2500)])
    steps = purge(store)
    next(steps)
    writer = store.another()
    for number in range(0, 2500, 50):
        writer.key_set(b"v%05d" % number, b"new", store.now + 60)
        writer.counter_incr(b"c%05d" % number, 1, store.now + 60)
    list(steps)
    m, y = store.harness.raw()
    for number in range(0, 2500, 50):
        assert m.pop(b"v%05d" % number) == value_row(b"new", NOW + 60)
        assert m.pop(b"c%05d" % number) == marker_row(NOW + 60)
        assert y.pop(b"c%05d" % number) in (1, 6), "counted on from the old number, or from 0 after it was purged"
    assert (m, y) == ({}, {})


def test_a_writer_beside_the_purge_loses_nothing(store: StoreUnderTest) -> None:
    count = 4000
    store.values([(b"v%05d" % number, b"old", store.now - 1) for number in range(count)])
    store.counters([(b"c%05d" % number, 5, store.now - 1) for number in range(count)])
    renewed: list[int] = []
    stop = threading.Event()
    writer = store.another()

    def renew() -> None:
        for number in range(0, count, 7):
            if stop.is_set():
                return
            writer.key_set(b"v%05d" % number, b"new", NOW + 60)
            writer.counter_incr(b"c%05d" % number, 1, NOW + 60)
            renewed.append(number)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        list(purge(store))
    finally:
        stop.set()
        thread.join()
    m, y = store.harness.raw()
    for number in renewed:
        assert m.pop(b"v%05d" % number, None) == value_row(b"new", NOW + 60)
        assert m.pop(b"c%05d" % number, None) == marker_row(NOW + 60)
        assert y.pop(b"c%05d" % number, None) in (1, 6)
    assert (m, y) == ({}, {})


@pytest.mark.needs("purges")
def test_is_lock_is_asked_only_of_rows_without_payload(store: StoreUnderTest) -> None:
    at = store.now - 1
    store.values([(b"\x15lock", b"", at), (b"\x10greylist", b"", at), (b"\x15value", b"payload", at), (b"\x15live", b"", store.now + 9)])
    asked: list[bytes] = []

    def rule(key: bytes) -> bool:
        asked.append(key)
        return key.startswith(b"\x15")

    sums = summed(store.backend.purge(store.now, Pace.FAST, "", rule))
    assert (sums.values, sums.locks) == (2, 1)
    assert b"\x15value" not in asked


def test_a_store_that_cannot_purge_says_so(store: StoreUnderTest) -> None:
    if store.backend.capabilities.purges:
        pytest.skip(f"{store.name} purges")
    with pytest.raises(NotSupported):
        list(store.backend.purge(store.now))


def parts_of(store: StoreUnderTest, most: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(mysql_purge, "CUT", 300)
    parts = store.backend.purge_parts(most)
    one_writer = store.name in ("memory", "sqlite", "rocksdb", "sql-read-replica")
    assert len(parts) == 1 if one_writer else 1 < len(parts) <= most
    return parts


def test_parts_side_by_side_are_one_purge(store: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = mixture(9000, seed=5)
    store.harness.plant(rows)
    expected, m, y = purged(rows)
    steps = [store.another().purge(store.now, Pace.GENTLE, part, is_lock) for part in parts_of(store, 5, monkeypatch)]
    slices = []
    while steps:
        for one in list(steps):
            step = next(one, None)
            if step is None:
                steps.remove(one)
            else:
                slices.append(step)
    assert store.harness.raw() == (m, y)
    assert summed(slices) == expected


def test_a_part_goes_on_where_it_was_left_and_ends_where_the_next_begins(store: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = mixture(9000, seed=6)
    store.harness.plant(rows)
    expected, m, y = purged(rows)
    slices: list[PurgeSlice] = []
    for part in reversed(parts_of(store, 4, monkeypatch)):
        steps = store.backend.purge(store.now, Pace.GENTLE, part, is_lock)
        slices += [step for step in (next(steps, None),) if step is not None]
        steps.close()  # type: ignore[attr-defined]
        if slices[-1].progress != 1.0:
            slices += store.another().purge(store.now, Pace.FAST, slices[-1].position, is_lock)
    assert store.harness.raw() == (m, y)
    assert summed(slices) == expected


def test_an_empty_store_is_one_part_or_none(store: StoreUnderTest) -> None:
    parts = store.backend.purge_parts(4)
    assert summed(step for part in parts for step in store.backend.purge(store.now, Pace.FAST, part, is_lock)) == Sums()
