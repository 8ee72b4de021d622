"""Reading: bytes round-trip, order, pages, ranges; rows are shown whatever state they are in."""

from __future__ import annotations

import random

import pytest

from stores.errors import CursorLost
from stores.types import ALL_KEYS, Cursor, KeyRange, Kind
from tests.contract.harness import Plant, StoreUnderTest

KEYS = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"a\x00b",
    b"a ",
    b"a  ",
    b"A",
    b"a'b\"c\\d%s%(x)s?:1",
    b"*?[a]\\",
    "grün@exämple.org".encode(),
    b"\x80\xfe\xff",
    b"\xff" * 9,
    b"\xff" * 11,
    b"\x05\xc0\x00\x02\x04\x00\x00\x00\x00\x00\x00\x51\x61",
    bytes(range(256))[:255],
]
ALPHABET = [0x00, 0x01, 0x20, 0x25, 0x27, 0x41, 0x5C, 0x61, 0x7F, 0x80, 0xFE, 0xFF]


def random_keys(count: int, seed: int = 7) -> list[bytes]:
    """Distinct short keys in which order, prefixes and FF tails are easily got wrong."""
    source = random.Random(seed)
    found = {b"", b"\xff", b"\xff\xff", b"\xff" * 12}
    while len(found) < count:
        found.add(bytes(source.choice(ALPHABET) for _ in range(source.randrange(1, 9))))
    return sorted(found)


@pytest.mark.layout("data", "redis")
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:12].hex() or "empty")
def test_keys_and_values_come_back_byte_for_byte(store: StoreUnderTest, key: bytes) -> None:
    payload = bytes(range(256)) + key
    written = store.backend.key_set(key, payload, store.now + 600)
    read = store.another().get(key)
    assert read is not None
    assert (read.key, read.value, read.expires_at, read.problem) == (key, payload, store.now + 600, "")
    assert read.etag == written.etag
    assert [entry.key for entry in store.walk()] == [key]
    assert [entry.key for entry in store.walk(keys=KeyRange.of_prefix(key))] == [key]


@pytest.mark.layout("data", "redis")
@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"\xff" * 8, b"0", b"x" * 1_000_000, bytes(1_000_000)], ids=lambda value: str(len(value))
)
def test_values_of_any_size_come_back(store: StoreUnderTest, payload: bytes) -> None:
    store.backend.key_set(b"key", payload)
    read = store.another().get(b"key")
    assert read is not None
    assert read.value == payload
    assert read.expires_at is None
    assert store.walk()[0].value == payload


@pytest.mark.layout("data", "redis")
def test_a_key_of_one_kilobyte(store: StoreUnderTest) -> None:
    longest = store.backend.capabilities.max_key
    if longest < 1024:
        pytest.skip(f"{store.name} takes keys of at most {longest} bytes")
    key = random.Random(1).randbytes(1024)
    store.backend.key_set(key, b"long")
    assert [entry.key for entry in store.walk()] == [key]
    assert store.backend.delete(key) is not None
    assert store.backend.get(key) is None


def test_an_empty_store(store: StoreUnderTest) -> None:
    page = store.backend.scan()
    assert page.entries == ()
    while page.next is not None:  # an unordered store may answer empty pages with a cursor before the end
        assert not store.backend.capabilities.ordered_scan
        page = store.backend.scan(cursor=page.next)
        assert page.entries == ()
    assert store.backend.get(b"missing") is None
    assert store.backend.get(b"") is None
    assert store.backend.count() == (0, True)


@pytest.mark.needs("ordered_scan")
@pytest.mark.layout("data", "redis")
@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_pages_come_in_byte_order_without_gap_or_repeat(store: StoreUnderTest, limit: int) -> None:
    keys = random_keys(150)
    store.values([(key, b"v" + key, None) for key in keys])
    cursor, seen = None, []
    while True:
        page = store.backend.scan(ALL_KEYS, cursor, limit)
        assert len(page.entries) <= limit
        seen += [entry.key for entry in page.entries]
        if page.next is None:
            break
        cursor = page.next
        assert cursor.replace("-", "").replace("_", "").isalnum(), "a cursor has to be URL-safe"
    assert seen == keys


@pytest.mark.layout("data", "redis")
def test_every_key_is_found_by_a_full_walk(store: StoreUnderTest) -> None:
    keys = random_keys(500)
    store.values([(key, b"v", None) for key in keys])
    found = store.walk(limit=50)
    assert sorted({entry.key for entry in found}) == keys


@pytest.mark.layout("data", "redis")
@pytest.mark.parametrize("prefix", [b"", b"\x00", b"a", b"a\xff", b"\xff", b"\xff\xff", b"\xfe\xff", b"%", b"*", b"?", b"[", b"\\", b"'"])
def test_a_prefix_finds_exactly_its_keys(store: StoreUnderTest, prefix: bytes) -> None:
    keys = sorted({*random_keys(150), prefix, prefix + b"\xff" * 4, prefix + b"\x00", b"a*b", b"a?b", b"[a]"})
    store.values([(key, b"v", None) for key in keys])
    wanted = [key for key in keys if key.startswith(prefix)]
    found = {entry.key for entry in store.walk(limit=9, keys=KeyRange.of_prefix(prefix))}
    assert sorted(found) == wanted
    assert store.backend.count(KeyRange.of_prefix(prefix)) == (len(wanted), True)


@pytest.mark.needs("ordered_scan")
@pytest.mark.layout("data", "redis")
def test_a_range_excludes_its_end(store: StoreUnderTest) -> None:
    store.values([(key, b"v", None) for key in (b"a", b"a\x00", b"b", b"b\x00", b"c")])
    found = store.walk(limit=1, keys=KeyRange(b"a\x00", b"b\x00", None))
    assert [entry.key for entry in found] == [b"a\x00", b"b"]


@pytest.mark.needs("ordered_scan")
@pytest.mark.layout("data", "redis")
def test_keys_that_stay_are_seen_once_while_others_come_and_go(store: StoreUnderTest) -> None:
    stay = [b"stay%03d" % number for number in range(60)]
    store.values([(key, b"v", None) for key in stay])
    writer = store.another()
    seen: list[bytes] = []
    cursor = None
    for step in range(1000):
        page = store.backend.scan(ALL_KEYS, cursor, 7)
        seen += [entry.key for entry in page.entries]
        cursor = page.next
        if cursor is None:
            break
        writer.key_set(b"stay%03d-new" % (step * 5), b"v")
        writer.delete(b"stay%03d-new" % ((step - 1) * 5))
    assert [key for key in seen if key in stay] == stay


@pytest.mark.needs("ordered_scan")
@pytest.mark.parametrize("cursor", ["", "x", "k*", "kYQ=", "../../etc", "17", "k\u00fc"])
def test_a_foreign_cursor_is_refused(store: StoreUnderTest, cursor: str) -> None:
    with pytest.raises(CursorLost):
        store.backend.scan(ALL_KEYS, Cursor(cursor))


@pytest.mark.needs("ordered_scan")
@pytest.mark.layout("data", "redis")
def test_the_cursor_of_another_range_is_refused(store: StoreUnderTest) -> None:
    store.values([(key, b"v", None) for key in (b"a1", b"a2", b"b1", b"b2")])
    page = store.backend.scan(KeyRange.of_prefix(b"a"), None, 1)
    assert page.next is not None
    with pytest.raises(CursorLost):
        store.backend.scan(KeyRange.of_prefix(b"b"), page.next, 1)


@pytest.mark.layout("data", "redis")
def test_count_stops_at_its_limit_and_says_so(store: StoreUnderTest) -> None:
    store.values([(b"k%04d" % number, b"", None) for number in range(500)])
    assert store.backend.count() == (500, True)
    assert store.backend.count(at_most=500) == (500, True)
    number, exact = store.backend.count(at_most=100)
    assert number >= 100
    assert not exact


@pytest.mark.layout("data")
def test_values_and_counters_are_merged_in_order(store: StoreUnderTest) -> None:
    at = store.now + 60
    store.values([(b"a", b"x", None), (b"d", b"", at), (b"both", b"text", at)])
    store.counters([(b"b", 5, None), (b"c", -3, at)])
    store.harness.plant([Plant(b"both", bytes.fromhex("ffffffffffffffff") + b"text", 8), Plant(b"e", bytes(8) + at.to_bytes(8, "big"))])
    found = [(e.key, e.kind, e.value, e.counter, e.expires_at) for e in store.walk(limit=2)]
    assert found == [
        (b"a", Kind.VALUE, b"x", None, None),
        (b"b", Kind.COUNTER, None, 5, None),
        (b"both", Kind.VALUE, b"text", 8, None),
        (b"c", Kind.COUNTER, None, -3, at),
        (b"d", Kind.VALUE, b"", None, at),
        (b"e", Kind.COUNTER, None, None, at),
    ]
    assert store.backend.count() == (6, True)
    assert [store.backend.get(e.key) for e in store.walk()] == store.walk()


@pytest.mark.layout("data")
@pytest.mark.parametrize("limit", [1, 3, 64])
def test_a_merged_walk_is_complete_whatever_lies_where(store: StoreUnderTest, limit: int) -> None:
    source = random.Random(limit)
    keys = random_keys(200, seed=limit)
    rows = [
        Plant(
            key,
            None
            if (where := source.choice("myb")) == "y"
            else source.choice([b"", b"\x00" * 8, bytes(8) + b"\x01" * 8, b"\xff" * 8 + key]),
            None if where == "m" else source.randrange(-(1 << 63), 1 << 63),
        )
        for key in keys
    ]
    store.harness.plant(rows)
    found = store.walk(limit=limit)
    assert [entry.key for entry in found] == keys
    assert [(entry.row, entry.counter) for entry in found] == [(row.row, row.number) for row in sorted(rows, key=lambda row: row.key)]


@pytest.mark.needs("purges")
def test_expired_rows_are_shown(store: StoreUnderTest) -> None:
    store.values([(b"past", b"v", store.now - 1), (b"lock", b"", 1)])
    store.counters([(b"window", 7, store.now)])
    found = {entry.key: entry for entry in store.walk()}
    assert set(found) == {b"past", b"lock", b"window"}
    assert all(entry.expired(store.clock()) for entry in found.values())
    assert found[b"window"].counter == 7
    read = store.backend.get(b"past")
    assert read is not None
    assert read.value == b"v"


@pytest.mark.layout("data")
@pytest.mark.parametrize("row", [b"", b"\x01", b"1234567", bytes(8), bytes(15)], ids=bytes.hex)
def test_malformed_rows_are_listed_with_their_bytes(store: StoreUnderTest, row: bytes) -> None:
    store.harness.plant([Plant(b"bad", row), Plant(b"worse", row, 4)])
    store.value(b"good", b"v")
    found = {entry.key: entry for entry in store.walk()}
    assert set(found) == {b"bad", b"good", b"worse"}
    for key in (b"bad", b"worse"):
        assert found[key].row == row
        assert found[key].problem
        assert found[key].value is None
        assert store.backend.get(key) == found[key]
    assert found[b"worse"].counter == 4


@pytest.mark.layout("data")
@pytest.mark.parametrize("number", [0, 1, -1, (1 << 63) - 1, -(1 << 63), 0x7FFFFFFF00000003])
def test_numbers_keep_all_their_bits(store: StoreUnderTest, number: int) -> None:
    store.counters([(b"n", number, None)])
    read = store.backend.get(b"n")
    assert read is not None
    assert (read.kind, read.counter, read.expires_at, read.row) == (Kind.COUNTER, number, None, None)


def test_ping_says_what_answered(store: StoreUnderTest) -> None:
    ping = store.backend.ping()
    assert ping.milliseconds >= 0
    assert ping.server


def test_the_connection_test_passes_and_says_so(store: StoreUnderTest) -> None:
    checks = store.backend.check()
    assert checks
    assert [check for check in checks if check.state == "failed"] == []
    assert all(check.name for check in checks)


def test_closing_twice_is_safe(store: StoreUnderTest) -> None:
    backend = store.another()
    backend.scan(limit=1)
    backend.close()
    backend.close()


@pytest.mark.layout("data")
def test_a_backend_opens_again_after_close(store: StoreUnderTest) -> None:
    store.value(b"key", b"v")
    store.backend.close()
    read = store.backend.get(b"key")
    assert read is not None
    assert read.value == b"v"
