"""Patterns, positions and cursors of Redis walks: byte-exact, URL-safe, never taken for another store's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.backends.redis_measure import REMEMBERED_SLICES, Recent, Tempo, rows_of
from stores.backends.redis_pages import (
    common_prefix,
    glob_escaped,
    make_cursor,
    read_cursor,
    share_before,
    shared_prefix,
    split_position,
)
from stores.backends.redis_slots import Place, _mark
from stores.errors import CursorLost
from stores.types import ALL_KEYS, CensusColumns, KeyRange, Kind

SAFE = re.compile(r"[A-Za-z0-9_.~-]*")


@given(st.binary(max_size=12), st.binary(max_size=4))
def test_every_key_of_a_range_begins_with_the_shared_prefix(start: bytes, tail: bytes) -> None:
    keys = KeyRange(start, start + tail + b"\x00", None)
    assert start.startswith(shared_prefix(keys))
    assert common_prefix(start, None) == b""
    for prefix in (b"\x05", b"\x12\x00\x00\x00\x2a", b"\xff\xff"):
        assert shared_prefix(KeyRange.of_prefix(prefix)) == prefix


def test_a_range_that_is_no_prefix_still_narrows_the_pattern() -> None:
    assert shared_prefix(KeyRange(b"abc", b"abq", None)) == b"ab"
    assert shared_prefix(KeyRange(b"\x05", b"\x06", None)) == b""
    assert shared_prefix(KeyRange(b"ab", None, None)) == b""


def test_bytes_with_a_meaning_in_patterns_are_escaped() -> None:
    assert glob_escaped(b"\x12\x00\x00\x00*") == b"\x12\x00\x00\x00\\*"
    assert glob_escaped(b"a?[b]\\") == b"a\\?\\[b\\]\\\\"
    assert glob_escaped(b"plain\xff\x00") == b"plain\xff\x00"


def test_cursors_belong_to_one_store_and_range() -> None:
    cursor = make_cursor("h:1", ALL_KEYS, "abc.17")
    assert read_cursor("h:1", ALL_KEYS, cursor) == "abc.17"
    assert SAFE.fullmatch(cursor)
    assert read_cursor("h:1", ALL_KEYS, None) == ""
    for owner, keys in (("h:2", ALL_KEYS), ("h:1", KeyRange.of_prefix(b"a"))):
        with pytest.raises(CursorLost):
            read_cursor(owner, keys, cursor)
    for text in ("17", "r.17", "rnonsense.1", cursor.partition(".")[0]):
        with pytest.raises(CursorLost):
            read_cursor("h:1", ALL_KEYS, text)


@pytest.mark.parametrize("position", ["x", "17", ".17", "abc.", "abc.-1", "abc.1x", "abc.\u0661"])
def test_wrong_positions_of_a_server_are_refused(position: str) -> None:
    with pytest.raises(CursorLost):
        split_position(position)


@given(st.integers(0, 16383), st.binary())
def test_places_in_a_cluster_round_trip(slot: int, key: bytes) -> None:
    for place in (Place(slot), Place(slot, _mark(key)), Place(slot, scan="abcdef0123.99")):
        assert Place.parse(str(place)) == place
        assert SAFE.fullmatch(str(place))


@pytest.mark.parametrize("position", ["16384", "-1", "1-", "1-abc", "1~", "1~abc", "x", "99999"])
def test_wrong_places_are_refused(position: str) -> None:
    with pytest.raises(CursorLost):
        Place.parse(position)


def test_a_place_never_shows_a_key() -> None:
    key = b"\x01" + b"A" * 40
    assert b"AAAA" not in _mark(key)
    assert len(str(Place(7, _mark(key)))) < 16


def test_the_share_before_a_cursor_counts_bits_in_reverse() -> None:
    assert share_before(0) == 0
    assert share_before(1) == 0.5
    assert share_before(2) == 0.25
    assert share_before(3) == 0.75


def test_the_tempo_shrinks_at_once_and_grows_slowly() -> None:
    tempo = Tempo(200)
    tempo.note(4000)
    assert tempo.count < 60
    for _ in range(100):
        tempo.note(100)
    assert tempo.count == 200
    for _ in range(20):
        tempo.note(1_000_000)
    assert tempo.count == 20


def measured(*keys: bytes) -> CensusColumns:
    return CensusColumns(keys, [-1] * len(keys), [1] * len(keys))


def test_a_key_that_comes_again_in_the_next_slices_is_dropped() -> None:
    recent = Recent()

    def new(*keys: bytes) -> list[bytes]:
        return list(recent.new(measured(*keys)).keys)

    assert new(b"a", b"b", b"a") == [b"a", b"b"]
    assert new(b"b", b"c") == [b"c"]
    assert new(b"a", b"d") == [b"d"]
    for number in range(REMEMBERED_SLICES - 1):
        assert new(b"%d" % number) == [b"%d" % number]
    assert new(b"a", b"c", b"d") == [b"c"], "the two were in one of the last slices, the other was not"


def test_what_a_census_learns_of_a_key() -> None:
    rows = rows_of(CensusColumns([b"gone", b"never", b"dated", b"hash"], [-2, -1, 1_900_000_000_999, -1], [0, 3, 0, -1]))
    assert [(row.key, row.kind, row.expires_at, row.key_bytes, row.value_bytes, row.corrupt) for row in rows] == [
        (b"never", Kind.UNKNOWN, None, 5, 3, False),
        (b"dated", Kind.UNKNOWN, 1_900_000_000, 5, 0, False),
        (b"hash", Kind.UNKNOWN, None, 4, 0, True),
    ]
