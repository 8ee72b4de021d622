"""Rows of table m: classification, inverse pairs, malformed rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.rows import LAST_EXPIRY, entry_from_rows, marker_row, split_row, value_row, with_expiry
from stores.errors import BadConfig, CorruptRow
from stores.types import Kind

EXPIRIES = st.none() | st.integers(1, LAST_EXPIRY)


@given(st.binary(), EXPIRIES)
def test_value_rows_are_an_inverse_pair(payload: bytes, expires_at: int | None) -> None:
    assert split_row(value_row(payload, expires_at)) == (Kind.VALUE, expires_at, payload, "")


@given(st.integers(0, LAST_EXPIRY))
def test_marker_rows_are_an_inverse_pair(expires_at: int) -> None:
    row = marker_row(expires_at)
    assert len(row) == 16
    assert split_row(row) == (Kind.COUNTER, expires_at, None, "")


@given(st.binary(max_size=40))
def test_any_row_is_classified_and_rebuilt_from_its_parts(row: bytes) -> None:
    kind, expires_at, payload, problem = split_row(row)
    if problem:
        assert len(row) < 8 or (row[:8] == bytes(8) and len(row) < 16)
    elif kind is Kind.COUNTER:
        assert row[:8] == bytes(8)
        if expires_at is not None:
            assert marker_row(expires_at) == row[:16]
    else:
        assert payload is not None
        assert value_row(payload, expires_at) == row


@pytest.mark.parametrize(
    ("row", "kind", "expires_at", "payload"),
    [
        ("ffffffffffffffff", Kind.VALUE, None, b""),
        ("ffffffffffffffff6869", Kind.VALUE, None, b"hi"),
        ("000000006b054f30", Kind.VALUE, 0x6B054F30, b""),
        ("0000000000000001", Kind.VALUE, 1, b""),
        ("0000000000000000000000006b054f30", Kind.COUNTER, 0x6B054F30, None),
        ("00000000000000000000000000000000", Kind.COUNTER, 0, None),
        ("0000000000000000ffffffffffffffff", Kind.COUNTER, None, None),
        ("0000000000000000000000006b054f307878", Kind.COUNTER, 0x6B054F30, None),
    ],
)
def test_known_rows(row: str, kind: Kind, expires_at: int | None, payload: bytes | None) -> None:
    assert split_row(bytes.fromhex(row)) == (kind, expires_at, payload, "")


@pytest.mark.parametrize("row", ["", "aabbcc", "ffffffffffffff", "0000000000000000", "000000000000000000000000000000"])
def test_malformed_rows_have_a_problem_and_keep_their_bytes(row: str) -> None:
    raw = bytes.fromhex(row)
    entry = entry_from_rows(b"k", raw, None)
    assert (entry.kind, entry.value, entry.expires_at, entry.row) == (Kind.VALUE, None, None, raw)
    assert f"{len(raw)} " in entry.problem
    with pytest.raises(CorruptRow) as caught:
        with_expiry(raw, 1, b"k")
    assert (caught.value.key, caught.value.raw) == (b"k", raw)


@pytest.mark.parametrize("expires_at", [0, -1, 1 << 64, (1 << 64) - 1])
def test_an_expiry_that_cannot_be_stored_is_refused_by_name(expires_at: int) -> None:
    with pytest.raises(BadConfig) as caught:
        value_row(b"x", expires_at)
    assert caught.value.field == "expires_at"


@given(st.binary(), EXPIRIES, EXPIRIES)
def test_with_expiry_changes_only_the_header(payload: bytes, before: int | None, after: int | None) -> None:
    assert with_expiry(value_row(payload, before), after) == value_row(payload, after)


def test_with_expiry_of_a_marker_keeps_what_follows() -> None:
    assert with_expiry(marker_row(5) + b"tail", 9) == marker_row(9) + b"tail"
    with pytest.raises(ValueError, match="marker"):
        with_expiry(marker_row(5), None)


def test_entries_of_counters() -> None:
    plain = entry_from_rows(b"k", None, -3)
    assert (plain.kind, plain.counter, plain.expires_at, plain.row) == (Kind.COUNTER, -3, None, None)
    timed = entry_from_rows(b"k", marker_row(77), 4)
    assert (timed.kind, timed.counter, timed.expires_at, timed.value) == (Kind.COUNTER, 4, 77, None)
    orphan = entry_from_rows(b"k", marker_row(77), None)
    assert (orphan.kind, orphan.counter, orphan.expires_at) == (Kind.COUNTER, None, 77)


def test_a_value_beside_a_number_is_one_entry() -> None:
    entry = entry_from_rows(b"zz", value_row(b"key", None), 8)
    assert (entry.kind, entry.value, entry.counter, entry.expires_at) == (Kind.VALUE, b"key", 8, None)
