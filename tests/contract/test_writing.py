"""Writing: what ends up in the store, expiry kept or changed, counter and marker as a pair, exact restore."""

from __future__ import annotations

import threading

import pytest

from stores.codecs.rows import marker_row, value_row
from stores.errors import BadConfig, Conflict, CorruptRow, KeyNotFound, NotSupported
from stores.types import ABSENT, KEEP, Entry, Kind
from tests.contract.harness import Plant, StoreUnderTest

HIGHEST = (1 << 63) - 1
LOWEST = -(1 << 63)


@pytest.mark.needs("writes")
@pytest.mark.layout("data", "redis")
def test_overwriting_keeps_or_changes_the_expiry_as_asked(store: StoreUnderTest) -> None:
    at = store.now + 600
    store.backend.key_set(b"k", b"one", at)
    assert store.backend.key_set(b"k", b"two", KEEP).expires_at == at
    read = store.backend.get(b"k")
    assert read is not None
    assert (read.value, read.expires_at) == (b"two", at)
    assert store.backend.key_set(b"k", b"three", at + 60).expires_at == at + 60
    assert store.backend.key_set(b"k", b"four").expires_at is None
    assert store.backend.key_set(b"k", b"five", KEEP).expires_at is None
    assert store.backend.key_set(b"new", b"x", KEEP).expires_at is None


@pytest.mark.needs("writes", "expiry")
@pytest.mark.layout("data", "redis")
def test_changing_only_the_expiry(store: StoreUnderTest) -> None:
    at = store.now + 600
    store.backend.key_set(b"k", b"payload")
    for expires_at in (at, at + 5, None, at):
        assert store.backend.set_expiry(b"k", expires_at).expires_at == expires_at
        read = store.another().get(b"k")
        assert read is not None
        assert (read.value, read.expires_at) == (b"payload", expires_at)
    with pytest.raises(KeyNotFound):
        store.backend.set_expiry(b"missing", at)
    assert store.backend.get(b"missing") is None


@pytest.mark.needs("writes")
@pytest.mark.layout("data", "redis")
def test_delete_returns_what_was_removed_and_put_restores_it(store: StoreUnderTest) -> None:
    store.backend.key_set(b"k", b"payload", store.now + 600)
    before = store.backend.get(b"k")
    assert before is not None
    removed = store.backend.delete(b"k")
    assert removed == before
    assert store.backend.get(b"k") is None
    assert store.backend.delete(b"k") is None
    assert store.another().put(removed, ABSENT).etag == before.etag
    assert store.backend.get(b"k") == before
    with pytest.raises(Conflict):
        store.backend.put(removed, ABSENT)


@pytest.mark.needs("writes")
@pytest.mark.layout("data")
@pytest.mark.parametrize(
    ("row", "number"),
    [
        (b"", None),
        (b"1234567", 3),
        (bytes(8), None),
        (bytes(15), -1),
        (bytes(16), 9),
        (marker_row(1_800_000_000) + b"tail", 9),
        (marker_row(1_800_000_000), None),
        (b"\x00" * 8 + b"\xff" * 8, 1),
        (value_row(b"zz", 1_800_000_000), 8),
        (value_row(b"", None), None),
        (None, HIGHEST),
        (None, LOWEST),
    ],
)
def test_put_restores_every_row_exactly(store: StoreUnderTest, row: bytes | None, number: int | None) -> None:
    store.harness.plant([Plant(b"k", row, number)])
    planted = store.harness.raw()
    entry = store.backend.get(b"k")
    assert entry is not None
    assert store.backend.delete(b"k", entry) == entry
    assert store.harness.raw() == ({}, {})
    store.backend.put(entry, ABSENT)
    assert store.harness.raw() == planted
    store.backend.key_set(b"k", b"other")
    store.backend.put(entry)
    assert store.harness.raw() == planted


@pytest.mark.needs("writes")
@pytest.mark.layout("data")
def test_put_gives_a_header_to_an_entry_of_a_store_without_headers(store: StoreUnderTest) -> None:
    at = store.now + 60
    store.backend.put(Entry(b"text", Kind.UNKNOWN, b"hello", None, at, b"hello", at * 1000))
    store.backend.put(Entry(b"long", Kind.UNKNOWN, b"x" * 40, None, None, b"x" * 40))
    store.backend.put(Entry(b"n", Kind.COUNTER, b"37", 37, at, b"37", at * 1000))
    store.backend.put(Entry(b"forever", Kind.COUNTER, None, 5))
    assert store.harness.raw() == (
        {b"text": value_row(b"hello", at), b"long": value_row(b"x" * 40, None), b"n": marker_row(at)},
        {b"n": 37, b"forever": 5},
    )


@pytest.mark.needs("writes")
@pytest.mark.layout("data")
def test_put_refuses_an_entry_of_nothing(store: StoreUnderTest) -> None:
    with pytest.raises(BadConfig):
        store.backend.put(Entry(b"k", Kind.COUNTER))
    assert store.harness.raw() == ({}, {})


@pytest.mark.needs("writes", "counters")
def test_a_counter_and_its_marker_are_written_together(store: StoreUnderTest) -> None:
    at = store.now + 600
    raw = store.harness.raw
    store.backend.counter_set(b"c", 5, at)
    assert raw() == ({b"c": marker_row(at)}, {b"c": 5})
    store.backend.counter_set(b"c", 6, KEEP)
    assert raw() == ({b"c": marker_row(at)}, {b"c": 6})
    store.backend.set_expiry(b"c", at + 1)
    assert raw() == ({b"c": marker_row(at + 1)}, {b"c": 6})
    store.backend.set_expiry(b"c", None)
    assert raw() == ({}, {b"c": 6})
    store.backend.set_expiry(b"c", at)
    assert raw() == ({b"c": marker_row(at)}, {b"c": 6})
    removed = store.backend.delete(b"c")
    assert raw() == ({}, {})
    assert removed is not None
    assert (removed.kind, removed.counter, removed.expires_at) == (Kind.COUNTER, 6, at)


@pytest.mark.needs("writes", "counters")
def test_setting_a_counter_replaces_a_value_and_setting_a_value_leaves_a_number(store: StoreUnderTest) -> None:
    store.backend.key_set(b"k", b"text", store.now + 60)
    assert store.backend.counter_set(b"k", 1).kind is Kind.COUNTER
    assert store.harness.raw() == ({}, {b"k": 1})
    store.backend.counter_set(b"k", 8, store.now + 60)
    entry = store.backend.key_set(b"k", b"zz")
    assert (entry.kind, entry.value, entry.counter) == (Kind.VALUE, b"zz", 8)
    assert store.harness.raw() == ({b"k": value_row(b"zz", None)}, {b"k": 8})
    entry = store.backend.set_expiry(b"k", store.now + 5)
    assert (entry.value, entry.counter, entry.expires_at) == (b"zz", 8, store.now + 5)


@pytest.mark.needs("writes")
@pytest.mark.layout("data", "redis")
def test_increments(store: StoreUnderTest) -> None:
    at = store.now + 600
    assert store.backend.counter_incr(b"c", 3) == 3
    assert store.backend.counter_incr(b"c", -5) == -2
    assert store.backend.counter_incr(b"c", 1, at) == -1
    read = store.backend.get(b"c")
    assert read is not None
    assert read.expires_at == at
    assert store.backend.counter_incr(b"c", 10) == 9
    read = store.backend.get(b"c")
    assert read is not None
    assert read.expires_at == at
    assert store.backend.counter_incr(b"c", 0, None) == 9
    read = store.backend.get(b"c")
    assert read is not None
    assert read.expires_at is None
    assert store.backend.counter_get(b"c") == 9


@pytest.mark.needs("writes", "counters")
def test_an_increment_that_leaves_64_bits_changes_nothing(store: StoreUnderTest) -> None:
    store.backend.counter_set(b"top", HIGHEST, store.now + 60)
    store.backend.counter_set(b"bottom", LOWEST)
    before = store.harness.raw()
    for key, delta in ((b"top", 1), (b"bottom", -1)):
        with pytest.raises(BadConfig):
            store.backend.counter_incr(key, delta)
    for number in (HIGHEST + 1, LOWEST - 1):
        with pytest.raises(BadConfig):
            store.backend.counter_set(b"new", number)
    assert store.harness.raw() == before


@pytest.mark.needs("writes")
@pytest.mark.layout("data")
@pytest.mark.parametrize("expires_at", [0, -5, (1 << 64) - 1, 1 << 64])
def test_an_expiry_that_no_value_can_hold_is_refused(store: StoreUnderTest, expires_at: int) -> None:
    store.backend.key_set(b"k", b"v")
    before = store.harness.raw()
    with pytest.raises(BadConfig):
        store.backend.key_set(b"k", b"w", expires_at)
    with pytest.raises(BadConfig):
        store.backend.set_expiry(b"k", expires_at)
    assert store.harness.raw() == before


@pytest.mark.needs("writes")
@pytest.mark.layout("data")
@pytest.mark.parametrize("row", [b"", b"1234567", bytes(8), bytes(15)], ids=bytes.hex)
def test_a_malformed_row_can_be_replaced_or_deleted_but_not_given_an_expiry(store: StoreUnderTest, row: bytes) -> None:
    store.harness.plant([Plant(b"k", row), Plant(b"d", row)])
    seen = store.backend.get(b"k")
    assert seen is not None
    with pytest.raises(CorruptRow):
        store.backend.set_expiry(b"k", store.now + 60)
    assert store.harness.raw()[0][b"k"] == row
    assert store.backend.key_set(b"k", b"mended", KEEP, seen).problem == ""
    assert store.harness.raw()[0][b"k"] == value_row(b"mended", None)
    removed = store.backend.delete(b"d")
    assert removed is not None
    assert removed.row == row


@pytest.mark.needs("writes")
@pytest.mark.layout("data", "redis")
def test_limits_are_refused_by_name_before_anything_is_written(store: StoreUnderTest) -> None:
    capabilities = store.backend.capabilities
    with pytest.raises(BadConfig) as refused:
        store.backend.key_set(b"k" * (capabilities.max_key + 1), b"v")
    assert refused.value.field == "key"
    if capabilities.max_value <= 1 << 25:
        with pytest.raises(BadConfig) as refused:
            store.backend.key_set(b"k", bytes(capabilities.max_value + 1))
        assert refused.value.field == "value"
    assert store.walk() == []


def test_a_store_without_writes_refuses_every_one_of_them(store: StoreUnderTest) -> None:
    if store.backend.capabilities.writes:
        pytest.skip(f"{store.name} can be written to")
    backend = store.backend
    entry = Entry(b"k", Kind.VALUE, b"v", row=value_row(b"v", None))
    before = store.walk()
    for attempt in (
        lambda: backend.key_set(b"k", b"v"),
        lambda: backend.counter_set(b"k", 1),
        lambda: backend.counter_incr(b"k", 1),
        lambda: backend.set_expiry(b"k", None),
        lambda: backend.delete(b"k"),
        lambda: backend.put(entry),
        lambda: backend.key_delete(b"k"),
        lambda: backend.counter_delete(b"k"),
    ):
        with pytest.raises(NotSupported):
            attempt()
    assert store.walk() == before
    assert backend.capabilities.why["writes"]


@pytest.mark.needs("writes")
@pytest.mark.layout("data", "redis")
def test_concurrent_increments_are_all_counted(store: StoreUnderTest) -> None:
    backends = [store.another() for _ in range(4)]
    answers: list[list[int]] = [[] for _ in backends]

    def add(number: int) -> None:
        for _ in range(25):
            answers[number].append(backends[number].counter_incr(b"c", 1, store.now + 600))

    _together([lambda n=n: add(n) for n in range(4)])
    assert sorted(number for own in answers for number in own) == list(range(1, 101)), "every increment has its own answer"
    assert store.backend.counter_get(b"c") == 100


@pytest.mark.needs("writes", "conditional_write")
@pytest.mark.layout("data", "redis")
def test_conditional_writers_never_lose_an_update(store: StoreUnderTest) -> None:
    store.backend.key_set(b"k", b"0")
    backends = [store.another() for _ in range(4)]
    successes = [0] * 4

    def race(number: int) -> None:
        backend = backends[number]
        while successes[number] < 10:
            seen = backend.get(b"k")
            assert seen is not None
            try:
                backend.key_set(b"k", b"%d" % (int(seen.value or b"0") + 1), KEEP, seen)
            except Conflict:
                continue
            successes[number] += 1

    _together([lambda n=n: race(n) for n in range(4)])
    read = store.backend.get(b"k")
    assert read is not None
    assert read.value == b"40"


@pytest.mark.needs("writes", "conditional_write")
@pytest.mark.layout("data", "redis")
@pytest.mark.parametrize("verb", ["value", "counter"])
def test_only_one_of_many_creates_a_key(store: StoreUnderTest, verb: str) -> None:
    backends = [store.another() for _ in range(4)]
    winners: list[tuple[int, int]] = []

    def create(number: int) -> None:
        for turn in range(10):
            try:
                if verb == "value":
                    backends[number].key_set(b"k%d" % turn, b"%d" % number, None, ABSENT)
                else:
                    backends[number].counter_set(b"k%d" % turn, number, None, ABSENT)
            except Conflict:
                continue
            winners.append((turn, number))

    _together([lambda n=n: create(n) for n in range(4)])
    assert sorted(turn for turn, _ in winners) == list(range(10))
    for turn, number in winners:
        read = store.backend.get(b"k%d" % turn)
        assert read is not None
        assert read.value == b"%d" % number if verb == "value" else store.backend.counter_get(b"k%d" % turn) == number


def _together(work: list[object]) -> None:
    """Run all at once; a failure in a thread fails the test."""
    failures: list[BaseException] = []

    def guarded(task: object) -> None:
        try:
            task()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
