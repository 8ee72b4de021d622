"""Lists and CSV tables as the server reads them: options, lines, cells, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.httplists import LONGEST_LINE, HttpOptions, csv_cells, lines, parse, parse_options
from stores.errors import BadConfig

LIST = HttpOptions("https://example.org/list", csv=False)
TABLE = HttpOptions("https://example.org/table", csv=True, value_index=1)


def read(body: bytes, options: HttpOptions) -> dict[str, str]:
    return parse([body], options)[0]


def test_a_list_is_its_trimmed_lines() -> None:
    body = b"  example.org \r\n\n# no comment\nExample.ORG\n\tlast without end"
    assert read(body, LIST) == {"example.org": "", "# no comment": "", "Example.ORG": "", "last without end": ""}


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ('"a,b",c', ["a,b", "c"]),
        ('a"b,c"d,e', ["ab,cd", "e"]),
        ("a\\,b,c", ["a,b", "c"]),
        ('"a\\"b",c', ['a"b', "c"]),
        ("a\\\\,b", ["a\\", "b"]),
        ('"open, to the end', ["open, to the end"]),
        ("", [""]),
        (",,", ["", "", ""]),
        (" a , b ", [" a ", " b "]),
    ],
)
def test_cells(row: str, cells: list[str]) -> None:
    assert csv_cells(row, ",", 512) == cells


def test_a_table_gives_key_and_value() -> None:
    body = b'key,value\r\na,1\nb,\n,nothing\nc\n"d,d","e e"\na,2\n'
    assert read(body, TABLE) == {"key": "value", "a": "2", "b": "", "c": "", "d,d": "e e"}
    assert "key" not in read(body, HttpOptions("u", csv=True, value_index=1, skip_first=True))
    assert read(b"x;y;z\n", HttpOptions("u", csv=True, key_index=2, value_index=0, separator=";")) == {"z": "x"}
    assert read(b"x,y\n", HttpOptions("u", csv=True, key_index=1)) == {"y": ""}
    assert read(b"x,y\n", HttpOptions("u", csv=True, key_index=7)) == {}


def test_long_cells_are_cut_and_long_lines_cost_no_memory() -> None:
    assert read("üüü,x\n".encode(), HttpOptions("u", csv=True, max_entry_size=5)) == {"üü": ""}
    chunks = (b"x" * 50_000 for _ in range(1000))
    (key,) = parse(chunks, LIST)[0]
    assert len(key) == LONGEST_LINE
    assert list(lines([b"y" * 70_000, b"y" * 70_000 + b"\nnext"])) == ["y" * LONGEST_LINE, "next"]


def test_the_limit_of_entries_ends_the_reading() -> None:
    options = HttpOptions("u", csv=False, max_entries=2)
    assert parse([b"a\nb\na\n"], options) == ({"a": "", "b": ""}, False)

    def endless() -> list[bytes]:
        return [b"a\nb\nc\n"] * 3

    assert parse(endless(), options) == ({"a": "", "b": ""}, True)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert read(b"\xff\xfe\x00a\n", LIST) == {"\ufffd\ufffd\x00a": ""}


@given(st.lists(st.text(alphabet='ab,"\\ \r\nü', max_size=8)), st.lists(st.integers(1, 9)))
def test_the_cut_into_pieces_makes_no_difference(texts: list[str], sizes: list[int]) -> None:
    body = "".join(texts).encode()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    pieces.append(body[at:])
    for options in (LIST, TABLE):
        assert parse(pieces, options) == parse([body], options)


def test_options_are_the_servers() -> None:
    options = parse_options(
        {
            "url": "https://user:secret@example.org/x.csv",
            "format": "csv",
            "index.key": "3",
            "index.value": "0",
            "separator": ";|",
            "skip-first": "true",
            "gzipped": "true",
            "retry": "30m",
            "refresh": "1d",
            "timeout": "1500",
            "limits.size": "10",
            "limits.entries": "20",
            "limits.entry-size": "30",
            "enable": "false",
            "allow-private": "true",
        }
    )
    assert options == HttpOptions(
        "https://user:secret@example.org/x.csv", True, 3, 0, ";", True, True, 1800, 86_400, 1.5, 10, 20, 30, False, True
    )
    assert parse_options({"url": "http://x", "format": "list"}) == HttpOptions("http://x", False)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://x", "format": "list"}, "url"),
        ({"url": "http://x"}, "format"),
        ({"url": "http://x", "format": "json"}, "format"),
        ({"url": "http://x", "format": "csv"}, "index.key"),
        ({"url": "http://x", "format": "csv", "index.key": "-1"}, "index.key"),
        ({"url": "http://x", "format": "csv", "index.key": "0", "index.value": "b"}, "index.value"),
        ({"url": "http://x", "format": "list", "refresh": "often"}, "refresh"),
        ({"url": "http://x", "format": "list", "gzipped": "maybe"}, "gzipped"),
        ({"url": "http://x", "format": "list", "limits.size": "much"}, "limits.size"),
    ],
)
def test_bad_options_name_their_field(settings: dict[str, str], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_options(settings)
    assert caught.value.field == field
