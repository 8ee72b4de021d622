"""Every write happens only if the row is still the one that was seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stores.backends.base import Backend
from stores.errors import Conflict
from stores.types import ABSENT, KEEP, Entry, Expected, Kind
from tests.contract.harness import NOW, StoreUnderTest

pytestmark = [pytest.mark.needs("writes", "conditional_write"), pytest.mark.layout("data", "redis")]

SOON = NOW * 2
"""An expiry that lies ahead for settable and for real clocks."""

Write = Callable[[Backend, Expected], object]
WRITES: dict[str, Write] = {
    "key_set": lambda backend, expect: backend.key_set(b"k", b"mine", KEEP, expect),
    "counter_set": lambda backend, expect: backend.counter_set(b"k", 99, None, expect),
    "counter_incr": lambda backend, expect: backend.counter_incr(b"k", 1, KEEP, expect),
    "set_expiry": lambda backend, expect: backend.set_expiry(b"k", SOON + 7, expect),
    "delete": lambda backend, expect: backend.delete(b"k", expect),
    "put": lambda backend, expect: backend.put(Entry(b"k", Kind.VALUE, b"put", row=b"\xff" * 8 + b"put"), expect),
}
CHANGES: dict[str, Callable[[Backend], object]] = {
    "another value": lambda backend: backend.key_set(b"k", b"8", KEEP),
    "another expiry": lambda backend: backend.set_expiry(b"k", SOON),
    "gone": lambda backend: backend.delete(b"k"),
    "counted up": lambda backend: backend.counter_incr(b"k", 1),
    "became a counter": lambda backend: backend.counter_set(b"k", 7, SOON),
}


def state(store: StoreUnderTest) -> list[tuple[bytes, str]]:
    return [(entry.key, entry.etag) for entry in store.walk()]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_on_a_changed_row_is_refused(store: StoreUnderTest, write: str, change: str) -> None:
    store.backend.key_set(b"k", b"7", SOON - 100)
    seen = store.backend.get(b"k")
    assert seen is not None
    CHANGES[change](store.another())
    before = state(store)
    with pytest.raises(Conflict) as refused:
        WRITES[write](store.backend, seen)
    assert state(store) == before, "a refused write changes nothing"
    assert refused.value.current == store.backend.get(b"k")


@pytest.mark.parametrize("write", WRITES)
def test_a_write_on_the_row_that_was_seen_goes_through(store: StoreUnderTest, write: str) -> None:
    store.backend.key_set(b"k", b"7", SOON - 100)
    seen = store.another().get(b"k")
    assert seen is not None
    before = state(store)
    WRITES[write](store.backend, seen)
    assert state(store) != before


@pytest.mark.parametrize("write", sorted(set(WRITES) - {"set_expiry", "delete"}))
def test_absent_creates_once(store: StoreUnderTest, write: str) -> None:
    WRITES[write](store.backend, ABSENT)
    before = state(store)
    assert len(before) == 1
    with pytest.raises(Conflict) as refused:
        WRITES[write](store.backend, ABSENT)
    assert refused.value.current == store.backend.get(b"k")
    assert state(store) == before


@pytest.mark.needs("counters")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("change", ["number", "marker", "marker gone", "value on top"])
def test_a_counter_is_compared_with_its_marker(store: StoreUnderTest, write: str, change: str) -> None:
    store.backend.counter_set(b"k", 5, SOON - 100)
    seen = store.backend.get(b"k")
    other = store.another()
    if change == "number":
        other.counter_incr(b"k", 1)
    elif change == "marker":
        other.counter_incr(b"k", 0, SOON)
    elif change == "marker gone":
        other.key_delete(b"k")
    else:
        other.key_set(b"k", b"")
    before = store.harness.raw()
    assert seen is not None
    with pytest.raises(Conflict) as refused:
        WRITES[write](store.backend, seen)
    assert store.harness.raw() == before
    assert refused.value.current == store.backend.get(b"k")


def test_a_row_that_came_back_as_it_was_is_the_same_row(store: StoreUnderTest) -> None:
    store.backend.key_set(b"k", b"v", SOON)
    seen = store.backend.get(b"k")
    assert seen is not None
    other = store.another()
    other.key_set(b"k", b"w", SOON)
    other.key_set(b"k", b"v", SOON)
    assert store.backend.key_set(b"k", b"mine", KEEP, seen).value == b"mine"


def test_the_entry_of_another_key_never_matches(store: StoreUnderTest) -> None:
    store.backend.key_set(b"a", b"v")
    store.backend.key_set(b"b", b"v")
    seen = store.backend.get(b"a")
    assert seen is not None
    with pytest.raises(Conflict):
        store.backend.delete(b"b", seen)
    assert len(store.walk()) == 2
