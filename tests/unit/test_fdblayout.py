"""The layout of the tables in FoundationDB: the captured keyspace, long values in pieces, keys that look like pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.backends.merging import merged
from stores.codecs import fdblayout
from stores.codecs.fdblayout import PIECE, assemble, changes, is_piece, joined, split
from stores.errors import BadConfig
from stores.types import Kind
from tests.fixtures_path import FIXTURES, needs_fixtures

CAPTURE = FIXTURES / "stalwart-0.11.8" / "foundationdb"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@needs_fixtures
def test_the_captured_keyspace_is_the_captured_rows() -> None:
    raw = {bytes.fromhex(row["fdb_key_hex"]): bytes.fromhex(row["fdb_value_hex"]) for row in lines(CAPTURE / "raw-keyspace.jsonl")}

    def table(letter: bytes) -> list[tuple[bytes, bytes]]:
        first, end = fdblayout.table_range(letter)
        return [(key[1:], raw[key]) for key in sorted(raw) if first <= key < end]

    values = joined(table(fdblayout.VALUES), b"", lambda key: raw.get(fdblayout.VALUES + key))
    entries = list(merged(values, iter(table(fdblayout.numbers_table("0.11")))))
    expected = lines(CAPTURE / "rows-final.jsonl")
    assert len(entries) == len(expected) == 563
    for entry, row in zip(entries, sorted(expected, key=lambda row: bytes.fromhex(row["key_hex"])), strict=True):
        counter = row["kind"] == "counter"
        assert entry.key.hex() == row["key_hex"]
        assert entry.kind is (Kind.COUNTER if counter else Kind.VALUE)
        assert entry.counter == (row["counter"] if counter else None)
        assert entry.value == (None if counter else bytes.fromhex(row["value_hex"]))
        assert entry.expires_at == row["expires_unix"]
        assert (entry.row.hex() if entry.row is not None else None) == row.get("m_value_hex")


class Table:
    """Table `m` as a dictionary."""

    def __init__(self, **rows: bytes) -> None:
        self.rows = {key.encode(): value for key, value in rows.items()}

    def put(self, key: bytes, row: bytes | None) -> None:
        first = self.rows.get(key)
        own = [] if first is None else assemble(key, first, self.rows.get)[1]
        pairs, gone = changes(key, own, row, self.rows.get)
        for cleared in gone:
            self.rows.pop(cleared, None)
        self.rows |= dict(pairs)

    def get(self, key: bytes) -> bytes | None:
        first = self.rows.get(key)
        return None if first is None or is_piece(key, self.rows.get) else assemble(key, first, self.rows.get)[0]

    def walk(self, start: bytes = b"") -> dict[bytes, bytes]:
        rows = [(key, self.rows[key]) for key in sorted(self.rows) if key >= start]
        return dict(joined(rows, start, self.rows.get))


SIZES = [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5, 25 * PIECE]


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_any_size_are_put_together_again(size: int) -> None:
    row = bytes(number % 251 for number in range(size))
    table = Table(k=b"old")
    table.put(b"k", row)
    assert max(len(value) for value in table.rows.values()) <= PIECE
    assert table.get(b"k") == row
    assert table.walk() == {b"k": row}
    for smaller in (PIECE + 3, 5, None):
        table.put(b"k", None if smaller is None else bytes(smaller))
        assert table.walk() == ({} if smaller is None else {b"k": bytes(smaller)})
    assert table.rows == {}


def test_more_pieces_than_suffixes_are_refused() -> None:
    assert len(split(b"k", bytes(256 * PIECE))) == 256
    with pytest.raises(BadConfig) as caught:
        split(b"k", bytes(256 * PIECE + 1))
    assert caught.value.field == "value"


def test_deleting_a_row_leaves_the_keys_that_begin_with_it() -> None:
    table = Table()
    for key in (b"k", b"k\x00", b"k\x00\x00", b"k1", b"k\xfe", b"l"):
        table.put(key, b"row of " + key)
    table.put(b"k", None)
    assert set(table.walk()) == {b"k\x00", b"k\x00\x00", b"k1", b"k\xfe", b"l"}


def test_a_long_value_never_falls_on_another_key() -> None:
    for neighbour, size in ((b"k\x00", PIECE + 1), (b"k\x00", PIECE), (b"k\x01", 2 * PIECE), (b"k\x02", 3 * PIECE + 1)):
        table = Table()
        table.put(b"k", b"short")
        table.put(neighbour, b"another")
        before = dict(table.rows)
        with pytest.raises(BadConfig, match=f"{neighbour.hex()} among them is another key"):
            table.put(b"k", bytes(size))
        assert table.rows == before


def test_what_the_server_would_read_as_a_piece_is_no_row() -> None:
    long = bytes(2 * PIECE + 7)
    table = Table()
    table.put(b"k", long)
    table.rows[b"k\x00\x05"] = b"between the pieces"
    table.rows[b"k\x05"] = b"behind them"
    assert table.walk() == {b"k": long, b"k\x00\x05": b"between the pieces", b"k\x05": b"behind them"}
    assert table.get(b"k\x00") is None
    assert table.get(b"k\x01") is None
    assert table.get(b"k\x05") == b"behind them"
    for start in (b"k\x00", b"k\x00\x00", b"k\x00\x05", b"k\x01", b"k\x01\x00"):
        assert table.walk(start) == {key: row for key, row in table.walk().items() if key >= start}


def test_a_piece_has_no_pieces_of_its_own() -> None:
    table = Table()
    table.put(b"k", bytes(3 * PIECE))
    table.rows[b"k\x00\x00"] = b"not a piece of a piece"
    assert table.get(b"k\x00\x00") == b"not a piece of a piece"
    assert table.walk(b"k\x00\x00") == {b"k\x00\x00": b"not a piece of a piece"}


keys = st.lists(st.sampled_from([0, 1, 2, 0x61, 0xFE, 0xFF]), max_size=4).map(bytes)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(keys, st.sampled_from([None, 3, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 1])), max_size=12), keys)
def test_whatever_is_written_reads_back_or_was_refused(writes: list[tuple[bytes, int | None]], start: bytes) -> None:
    table, truth = Table(), dict[bytes, bytes]()
    for key, size in writes:
        if is_piece(key, table.rows.get):
            continue
        try:
            table.put(key, None if size is None else bytes(size))
        except BadConfig:
            assert table.walk() == truth
            continue
        if size is None:
            truth.pop(key, None)
        else:
            truth[key] = bytes(size)
    assert table.walk() == truth
    assert table.walk(start) == {key: row for key, row in truth.items() if key >= start}
    assert all(table.get(key) == row for key, row in truth.items())
