"""The verbs with Stalwart's names answer as a running server was seen to answer."""

from __future__ import annotations

import pytest

from stores.codecs.rows import marker_row, value_row
from stores.errors import CorruptRow
from tests.contract.harness import Plant, StoreUnderTest

data_store = pytest.mark.layout("data")


@pytest.mark.layout("data", "redis")
def test_a_live_value_is_found(store: StoreUnderTest) -> None:
    store.values([(b"k", b"v", store.now + 60), (b"forever", b"w", None), (b"empty", b"", store.now + 60)])
    assert store.backend.key_get(b"k") == b"v"
    assert store.backend.key_get(b"forever") == b"w"
    assert store.backend.key_exists(b"k")
    assert store.backend.key_get(b"empty") == b""
    assert store.backend.key_exists(b"empty")
    assert store.backend.key_get(b"missing") is None
    assert not store.backend.key_exists(b"missing")
    assert store.backend.counter_get(b"missing") == 0


@data_store
def test_an_expired_value_that_was_not_purged_is_not_found(store: StoreUnderTest) -> None:
    store.value(b"k", b"v", store.now + 10)
    store.clock.at += 9
    assert store.backend.key_get(b"k") == b"v"
    store.clock.at += 1
    assert store.backend.key_get(b"k") is None
    assert not store.backend.key_exists(b"k")


@data_store
def test_an_expired_counter_still_answers_and_goes_on_counting(store: StoreUnderTest) -> None:
    store.counters([(b"c", 5, store.now - 10)])
    assert store.backend.counter_get(b"c") == 5
    assert store.backend.counter_incr(b"c", 1) == 6
    assert store.harness.raw() == ({b"c": marker_row(store.now - 10)}, {b"c": 6}), "without TTL the past expiry stays"
    assert store.backend.counter_incr(b"c", 1, store.now + 60) == 7
    assert store.harness.raw() == ({b"c": marker_row(store.now + 60)}, {b"c": 7}), "with TTL the marker is renewed"


@data_store
def test_a_counter_is_no_value_and_a_value_no_counter(store: StoreUnderTest) -> None:
    store.counters([(b"c", 5, store.now + 60), (b"bare", 6, None)])
    store.value(b"k", b"17")
    for key in (b"c", b"bare"):
        assert store.backend.key_get(key) is None
        assert not store.backend.key_exists(key)
    assert store.backend.counter_get(b"k") == 0


@pytest.mark.needs("writes")
@data_store
def test_counting_under_a_value_adds_a_number_and_leaves_the_value(store: StoreUnderTest) -> None:
    store.value(b"k", b"text", store.now + 60)
    assert store.backend.counter_incr(b"k", 2) == 2
    assert store.harness.raw() == ({b"k": value_row(b"text", store.now + 60)}, {b"k": 2})
    assert store.backend.key_get(b"k") == b"text"
    assert store.backend.counter_get(b"k") == 2


@pytest.mark.needs("writes")
@data_store
def test_setting_a_value_on_a_live_counter_loses_its_expiry_but_not_its_number(store: StoreUnderTest) -> None:
    store.counters([(b"k", 8, store.now + 60)])
    store.backend.key_set(b"k", b"zz")
    assert store.backend.key_get(b"k") == b"zz"
    assert store.backend.counter_get(b"k") == 8


@pytest.mark.needs("writes")
@data_store
def test_key_delete_leaves_the_number_and_counter_delete_the_marker(store: StoreUnderTest) -> None:
    at = store.now + 60
    store.counters([(b"a", 1, at), (b"b", 2, at)])
    store.value(b"v", b"x")
    store.backend.key_delete(b"a")
    store.backend.counter_delete(b"b")
    store.backend.key_delete(b"v")
    store.backend.key_delete(b"missing")
    store.backend.counter_delete(b"missing")
    assert store.harness.raw() == ({b"b": marker_row(at)}, {b"a": 1})
    assert store.backend.counter_get(b"b") == 0


@data_store
def test_a_row_too_short_for_a_header_is_corrupt_and_a_half_marker_is_nothing(store: StoreUnderTest) -> None:
    store.harness.plant([Plant(b"short", b"1234567"), Plant(b"half", bytes(8))])
    with pytest.raises(CorruptRow) as corrupt:
        store.backend.key_get(b"short")
    assert (corrupt.value.key, corrupt.value.raw) == (b"short", b"1234567")
    assert store.backend.key_get(b"half") is None
    assert not store.backend.key_exists(b"half")


@pytest.mark.layout("redis")
def test_redis_reads_a_counter_as_text(store: StoreUnderTest) -> None:
    store.backend.counter_incr(b"c", 37)
    assert store.backend.key_get(b"c") == b"37"
    assert store.backend.key_exists(b"c")


@pytest.mark.layout("redis")
@pytest.mark.parametrize("verb", ["key_delete", "counter_delete"])
def test_redis_deletes_the_whole_key(store: StoreUnderTest, verb: str) -> None:
    store.backend.counter_incr(b"c", 37)
    getattr(store.backend, verb)(b"c")
    assert store.backend.get(b"c") is None
