"""Whatever the bytes, every version and kind of store decodes them to something, cheaply and without a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.rows import entry_from_rows, marker_row, value_row
from stores.keyclasses import CLASSES, class_of, classes_of, classify, decode, editor_fields, is_lock, left_over, traces
from stores.keyclasses.base import KeyClass
from stores.types import Entry, Kind

VERSIONS = ("0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16")
PREFIXES = [bytes([byte]) for byte in range(0x1C)] + [text for cls in CLASSES.values() for text in cls.texts] + [b""]
TAILS = [b"", bytes(8), b"\0\0\0\0\0\0\0\x05", b"_lock", b"_done", b"@example.org"]
KEYS = st.builds(
    lambda prefix, middle, tail: prefix + middle + tail, st.sampled_from(PREFIXES), st.binary(max_size=48), st.sampled_from(TAILS)
)
ROWS = st.none() | st.binary(max_size=140) | st.builds(value_row, st.binary(max_size=140), st.none() | st.integers(1, (1 << 64) - 2))
NUMBERS = st.none() | st.integers(-(1 << 63), (1 << 63) - 1)
GOLDEN = Path(__file__).parents[1] / "golden"
GOLDEN_KEYS = [
    (bytes.fromhex(row["key_hex"]), bytes.fromhex(row["row_hex"] or ""))
    for path in sorted(GOLDEN.glob("0.1*/rows.jsonl"))
    for row in map(json.loads, path.read_text().splitlines())
]


def check(entry: Entry, version: str, store: Any, now: float, *, reveal: bool) -> None:
    found = decode(entry, version, store, now, reveal=reveal)
    assert found.title
    assert found.label
    assert len(found.label) <= 201
    assert found.value_label
    json.dumps(dict(found.fields), allow_nan=False).encode()
    found.label.encode()
    for parts, size in ((found.parts, len(entry.key)), (found.value_parts, len(entry.value or b""))):
        assert all(0 <= start < end <= size for start, end, _ in parts)
    if found.editable:
        editor_fields(found.editable)
    if entry.problem:
        assert found.problem == entry.problem
        assert not found.editable
    if store != "static":
        assert (found.slug, found.kind) == classify(entry.key, version, entry.kind)


@pytest.mark.parametrize("version", VERSIONS)
@given(KEYS, ROWS, NUMBERS, st.floats(0, 4e9), st.booleans())
def test_random_rows_of_a_data_store(version: str, key: bytes, row: bytes | None, number: int | None, now: float, reveal: bool) -> None:
    check(entry_from_rows(key, row, number), version, "data", now, reveal=reveal)


@pytest.mark.parametrize("version", VERSIONS)
@given(KEYS, st.binary(max_size=140) | NUMBERS.map(lambda number: str(number).encode()), st.booleans())
def test_random_strings_of_redis(version: str, key: bytes, value: bytes, reveal: bool) -> None:
    check(Entry(key, Kind.UNKNOWN, value, expires_at=2_000_000_000), version, "redis", 1.8e9, reveal=reveal)


@given(KEYS, st.binary(max_size=40))
def test_random_static_entries_have_no_class(key: bytes, value: bytes) -> None:
    check(Entry(key, Kind.VALUE, value), "0.11", "static", 0, reveal=False)
    assert decode(Entry(key, Kind.VALUE, value), "0.11", "static", 0).slug is None


@pytest.mark.parametrize("version", VERSIONS)
@given(st.sampled_from(GOLDEN_KEYS), st.data())
def test_real_rows_with_damaged_bytes(version: str, pair: tuple[bytes, bytes], data: st.DataObject) -> None:
    key, row = pair
    both = bytearray(key + row)
    for _ in range(data.draw(st.integers(0, 3))):
        if both:
            both[data.draw(st.integers(0, len(both) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(row)))
    damaged = bytes(both[len(key) :][:cut]) if data.draw(st.booleans()) else bytes(both[len(key) :])
    check(entry_from_rows(bytes(both[: len(key)]), damaged, None), version, "data", 1.8e9, reveal=False)


@pytest.mark.parametrize("version", VERSIONS)
@given(st.text(max_size=60) | KEYS.map(lambda key: key.decode(errors="surrogateescape")))
def test_any_subject_has_traces(version: str, subject: str) -> None:
    for trace in traces(subject, version, now=1.8e9):
        assert isinstance(trace.matches(b""), bool)
        if trace.kind == "prefix":
            assert trace.key


@pytest.mark.parametrize("version", VERSIONS)
def test_classes_of_a_version_are_ordered_and_found_by_their_prefixes(version: str) -> None:
    found = classes_of(version)
    assert [cls.order for cls in found] == sorted(cls.order for cls in found)
    for cls in found:
        assert cls.slug is not None
        assert class_of(cls.slug) is cls
        assert cls.prefixes(version)
    assert class_of(None) is class_of("custom")
    assert class_of(None).prefixes(version) == (b"",)


@pytest.mark.parametrize("version", VERSIONS)
@given(KEYS)
def test_a_key_of_a_class_begins_with_one_of_its_prefixes(version: str, key: bytes) -> None:
    slug, _ = classify(key, version)
    assert key.startswith(class_of(slug).prefixes(version))


def test_the_classes_are_those_that_stalwart_has() -> None:
    written = {version: [cls.slug for cls in classes_of(version)] for version in VERSIONS}
    common = ["acme", "oauth", "rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-smtp", "rate-contact",
              "rate-http-authenticated", "rate-http-anonymous", "rate-imap"]  # fmt: skip
    reputation = ["reputation-ip", "reputation-from", "reputation-domain", "reputation-asn"]
    assert written["0.10"] == [*common, *reputation, "greylist", "bayes-global", "trusted-reply", "lock-purge-account"]
    assert written["0.11"] == [
        *common, "token-revision", *reputation, "greylist", "bayes-global", "bayes-account", "trusted-reply", "lock-purge-account",
        "lock-queue-message", "lock-queue-report", "lock-email-task", "lock-housekeeper",
    ]  # fmt: skip
    assert written["0.15"] == [
        *common, "greylist", "lock-purge-account", "lock-queue-message", "lock-queue-report", "lock-email-task", "lock-housekeeper",
        "lock-dav", "sieve-seen-id",
    ]  # fmt: skip
    assert written["0.16"] == [*common, "quota-blob", "greylist", "lock-queue-message", "lock-task", "lock-dav", "sieve-seen-id"]
    assert "token-revision" in written["0.12"]
    assert "token-revision" not in written["0.13"]


@pytest.mark.parametrize(
    ("key", "version", "slug", "leftover"),
    [
        ("0ccb00715a", "0.15", "reputation-ip", True),
        ("0ccb00715a", "0.14", "reputation-ip", False),
        ("116269", "0.16", "bayes-global", True),
        ("1200000004", "0.15", "bayes-account", True),
        ("13" + "406162", "0.15", "trusted-reply", True),
        ("1400000004", "0.16", "lock-purge-account", True),
        ("180200000000", "0.16", "lock-housekeeper", True),
        ("0b00000004", "0.16", "token-revision", True),
        ("0b000000010000000000000005", "0.16", "quota-blob", False),
        ("1504c028a842601006", "0.16", "lock-queue-message", True),
        (b"b:john".hex() + "0000000000000005", "0.11", "rate-auth", True),
        (b"b:john".hex() + "0000000000000005", "0.10", "rate-auth", False),
        (b"oauth:ABCD-EFGH".hex(), "0.16", "oauth", True),
        (b"i:192.0.2.1".hex(), "0.11", None, False),
        (b"a:64500".hex(), "0.15", None, False),
        (b"purge:4".hex(), "0.11", None, False),
        (b"my own key".hex(), "0.16", None, False),
    ],
)
def test_leftovers(key: str, version: str, slug: str | None, leftover: bool) -> None:
    raw = bytes.fromhex(key)
    assert classify(raw, version)[0] == slug
    assert bool(left_over(raw, version)) is leftover
    note = decode(Entry(raw, Kind.UNKNOWN, b"1"), version, "redis", 0).note
    assert note.endswith(left_over(raw, version))


def test_kinds_are_settled_by_the_class_on_redis_and_kept_elsewhere() -> None:
    rate, lock, text = bytes.fromhex("05cb00711400000000000051ff"), bytes.fromhex("1400000004"), b"own"
    assert classify(rate, "0.11") == ("rate-auth", Kind.COUNTER)
    assert classify(rate, "0.11", Kind.COUNTER) == ("rate-auth", Kind.COUNTER)
    assert classify(rate, "0.11", Kind.VALUE) == ("rate-auth", Kind.VALUE)
    for kind in (Kind.UNKNOWN, Kind.VALUE, Kind.COUNTER, Kind.LOCK):
        assert classify(lock, "0.11", kind) == ("lock-purge-account", Kind.LOCK)
        assert classify(text, "0.11", kind) == (None, kind)
    assert is_lock(lock, "0.11")
    assert not is_lock(rate, "0.11")
    assert not is_lock(b"", "0.11")


def test_done_markers_of_migrations_are_values_and_their_locks_are_locks() -> None:
    for name, kind in ((b"migrate_core_lock", Kind.LOCK), (b"migrate_7_lock", Kind.LOCK), (b"migrate_core_done", Kind.VALUE)):
        assert classify(b"\x18" + name, "0.15") == ("lock-housekeeper", kind)
    done = decode(entry_from_rows(b"\x18migrate_7_done", value_row(b"1", 2_000_000_000), None), "0.15", "data", 1.8e9)
    assert (done.label, done.value_label) == ("migration of account 7", "done")


@pytest.mark.parametrize(
    "key",
    [
        "05",
        "0203",
        "0acb007114",
        "0b0000",
        "0f00",
        "14000000",
        "16",
        "1603",
        "17",
        "1805",
        "1a00",
        "00",
        "01414243",
        "1900000001",
        "10",
        "13",
        "06" + "00" * 39,
    ],
)
def test_a_class_byte_alone_makes_no_class(key: str) -> None:
    assert classify(bytes.fromhex(key), "0.11")[0] is None


def test_an_unknown_version_reads_as_the_main_one() -> None:
    key = bytes.fromhex("0ccb00715a")
    assert classify(key, "") == classify(key, "0.11") == classify(key, "0.11.8") == ("reputation-ip", Kind.VALUE)
    assert not left_over(key, "")
    assert left_over(key, "0.99")


def test_titles_are_short_and_unlike_each_other() -> None:
    titles = [cls.title for cls in CLASSES.values()]
    assert len(set(titles)) == len(titles)
    assert all(0 < len(title) <= 24 and cls.use for title, cls in zip(titles, CLASSES.values(), strict=True))


def test_an_orphan_marker_and_a_value_under_a_counter_are_told() -> None:
    key = bytes.fromhex("05cb00711400000000000051ff")
    orphan = decode(entry_from_rows(key, marker_row(1_800_000_000), None), "0.11", "data", 0)
    assert "number is gone" in orphan.problem
    value = decode(entry_from_rows(key, value_row(b"x", None), None), "0.11", "data", 0)
    assert "value where a counter" in value.problem
    counter = decode(entry_from_rows(b"\x10a@b.org", None, 3), "0.11", "data", 0)
    assert "counter where a value" in counter.problem


def test_secrets_and_personal_data_are_marked() -> None:
    secret = {cls.slug for cls in CLASSES.values() if cls.secret}
    assert secret == {"acme", "oauth", "lock-dav"}
    personal: set[KeyClass] = {cls for cls in CLASSES.values() if cls.personal}
    assert {"rate-rcpt", "rate-auth", "reputation-from", "greylist", "bayes-account", "trusted-reply"} == {cls.slug for cls in personal}
