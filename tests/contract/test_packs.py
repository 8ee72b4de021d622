"""Rows that engines join into a few pieces of bytes, and walks that are packed: what is in them is counted as when looked at one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.backends import packs, sqlite_survey
from stores.backends.packcount import PackCounter
from stores.backends.packs import Numbers, Pack, packed_walks
from stores.backends.sqlite import SQLiteBackend
from stores.backends.survey import single
from stores.codecs.rows import marker_row, value_row
from stores.services.tally import Tally
from stores.types import CensusRow, Kind
from tests.contract.harness import NOW, SettableClock
from tests.contract.test_survey import figures

LIVE, OLD = NOW + 50, NOW - 50
CELLS: dict[str, list[tuple[object, object]]] = {
    "long": [(b"long%d" % size, value_row(b"x" * size, LIVE)) for size in (4086, 4087, 4088, 70_000, 1_200_000)],
    "long keys": [(b"k" * size, value_row(b"", LIVE)) for size in (254, 255, 256, 300, 5000)],
    "nothing": [(b"", value_row(b"v", LIVE)), (b"empty", b""), (b"short", b"abc"), (b"half", bytes(9))],
    "text": [("text key", value_row(b"v", LIVE)), (b"text", "text instead of bytes"), ("clé", "ë" * 30), (b"after", value_row(b"", OLD))],
    "numbers": [(5, value_row(b"v", LIVE)), (b"number", 1234567890123456789), (b"real", 1.5), (b"after", value_row(b"", LIVE))],
    "no key": [(None, value_row(b"v", LIVE)), (b"after", value_row(b"", OLD))],
    "zeros": [(b"\0\0\0", value_row(b"v", LIVE)), (b"\x05" + bytes(16), marker_row(OLD)), (b"\x10\0", value_row(b"", OLD))],
}


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_whatever_cells_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: str, encoding: str) -> None:
    monkeypatch.setattr(sqlite_survey, "STEP", 3)
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
        connection.execute("CREATE TABLE y (k BLOB PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)")
        connection.executemany("INSERT INTO m VALUES (?, ?)", [*CELLS[cells], (b"plain", value_row(b"v", LIVE)), (b"m", marker_row(OLD))])
        connection.executemany("INSERT INTO y VALUES (?, ?)", [(b"m", 5), (b"\x11lonely", 5), (b"\x11" + b"l" * 400, 5)])
        rows = connection.execute("SELECT CAST(coalesce(k, x'') AS BLOB), CAST(v AS BLOB) FROM m").fetchall()
    with SQLiteBackend({"path": str(tmp_path / "store.db")}, version="0.11", clock=SettableClock()) as backend:
        whole = Tally("0.11", NOW, "data")
        for part in backend.census_parts():
            for step in backend.survey(whole.plan(), part):
                whole.take(step)
        whole.settle(lambda key: backend.get(key).size if backend.get(key) else None, backend.linked)  # type: ignore[union-attr]
    assert whole.rows == len(rows) + 2
    assert whole.total()["key_bytes"] == sum(len(key) for key, _ in rows) + 7 + 401
    assert whole.total()["value_bytes"] == sum(len(row) for _, row in rows) + 3 * 8
    assert whole.total()["expired"] == sum(Kind.COUNTER is kind_of(row) or row[:8] == value_row(b"", OLD)[:8] for _, row in rows)


def kind_of(row: bytes) -> Kind:
    return Kind.COUNTER if len(row) >= 16 and row[:8] == bytes(8) else Kind.VALUE


FIVE = st.binary(min_size=5, max_size=5)
KEYS = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.builds(lambda first, text: bytes([first]) + text.encode(), st.sampled_from([0x10, 0x13, 0x0D]), st.text(max_size=4)),
    st.builds(lambda first, who, low: bytes([first]) + who + bytes(3) + low, st.sampled_from([2, 5, 6]), st.binary(max_size=5), FIVE),
)
ROWS = st.one_of(
    st.binary(max_size=20),
    st.builds(lambda at, rest: value_row(rest, at), st.sampled_from([None, OLD, LIVE, NOW, NOW + 60, NOW + 61]), st.binary(max_size=30)),
    st.builds(marker_row, st.sampled_from([0, OLD, LIVE])),
)


@given(
    values=st.dictionaries(KEYS, ROWS, max_size=25), others=st.sets(KEYS, max_size=25), shared=st.integers(0, 25), full=st.integers(1, 9)
)
def test_packed_walks_give_the_figures_of_the_rows(values: dict[bytes, bytes], others: set[bytes], shared: int, full: int) -> None:
    numbers = others | set(list(values)[:shared])
    packs.CHUNK, packs.PACKED = 4, full  # type: ignore[misc]
    try:
        counted = packed(values, numbers)
    finally:
        packs.CHUNK, packs.PACKED = 256, 65_536  # type: ignore[misc]
    wanted = Tally("0.11", NOW, "data")
    wanted.add(row_of(key, values.get(key), key in numbers) for key in values.keys() | numbers)
    assert figures(counted) == figures(wanted)


def packed(values: dict[bytes, bytes], numbers: set[bytes]) -> Tally:
    told: list[tuple[bytes | None, bytes | None]] = []
    tally = Tally("0.11", NOW, "data")
    plan = tally.plan()
    assert plan is not None
    counter = PackCounter(plan)
    steps = list(packed_walks(iter(sorted(values.items())), iter(sorted(numbers)), 0, lambda *lasts: told.append(lasts)))
    for step in steps:
        tally.take(counter.rows(Pack(*step.pack)))
        tally.take(counter.numbers(Numbers(*step.numbers)))
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    assert told == [(max(values, default=None), max(numbers, default=None))]
    return tally


def row_of(key: bytes, row: bytes | None, numbered: bool) -> CensusRow:
    if row is None:
        return CensusRow(key, Kind.COUNTER, None, len(key), 8)
    found = single(key, row[:16], len(row))
    return found._replace(value_bytes=len(row) + 8 * numbered)


def test_a_walk_goes_on_from_the_last_key_of_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "CHUNK", 4)
    monkeypatch.setattr(packs, "PACKED", 8)
    values = {b"m%03d" % n: value_row(b"", None) for n in range(0, 300, 3)}
    numbers = {b"m%03d" % n for n in range(0, 300, 2)} | {b"z%d" % n for n in range(40)}

    def keys(steps: Iterator[packs.Step]) -> list[bytes]:
        found = []
        for step in steps:
            for joined, lengths in ((step.pack[0], step.pack[1]), step.numbers):
                place = 0
                for length in memoryview(lengths).cast("I"):
                    found.append(joined[place : place + length])
                    place += length
        return found

    def walk(after: bytes) -> Iterator[packs.Step]:
        return packed_walks(
            iter(sorted(pair for pair in values.items() if pair[0] > after)), iter(sorted(key for key in numbers if key > after)), 0, print
        )

    seen: list[bytes] = []
    for step in walk(b""):
        seen += keys(iter([step]))
        if step.last is not None:
            rest = keys(walk(step.last))
            assert sorted(seen + rest) == sorted(values.keys() | numbers)
    assert sorted(seen) == sorted(values.keys() | numbers)
