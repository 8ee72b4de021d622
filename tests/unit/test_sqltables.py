"""Tables by version, the shape of 0.10's counters, the guess of the version, Stalwart's layout."""

from __future__ import annotations

import sqlite3

import pytest

from stores.codecs.sqltables import create_statements, guess_version, is_lookup_counter, tables_of
from tests.fixtures_path import FIXTURES, needs_fixtures

WINDOW = (497_000).to_bytes(8, "big")


@pytest.mark.parametrize("version", ["", "0.11", "0.12", "0.15", "0.16"])
def test_counters_live_in_y(version: str) -> None:
    tables = tables_of(version)
    assert (tables.values, tables.counters, tables.shared) == ("m", "y", False)


@pytest.mark.parametrize("version", ["0.10", "0.10.7"])
def test_up_to_0_10_counters_share_a_table(version: str) -> None:
    tables = tables_of(version)
    assert (tables.values, tables.counters, tables.shared) == ("m", "n", True)


@pytest.mark.parametrize(
    "key",
    [
        b"r:203.0.113.7" + WINDOW,
        b"r:someone@example.org" + WINDOW,
        b"h:2001:db8::1" + WINDOW,
        b"l:203.0.113.7" + WINDOW,
        b"b:john" + WINDOW,
        b"contact:203.0.113.7" + WINDOW,
        b"j:42" + WINDOW,
        b"jreq:203.0.113.7" + WINDOW,
        b"jauth:203.0.113.7" + WINDOW,
        b"ireq:42" + WINDOW,
        b"purge:42",
        bytes(range(100, 132)) + WINDOW,
        bytes(16),
        b"\x9a\xff\x00\x11" * 4,
        "zähler/für alle".encode(),
        b"my counter",
        b"",
    ],
)
def test_lookup_counters_of_0_10_are_known_by_their_shape(key: bytes) -> None:
    assert is_lookup_counter(key)


@pytest.mark.parametrize(
    "key",
    [
        b"\x00\x00\x00\x2a\x01\x02\x00\x00\x00\x07",
        b"\x00\x00\x00\x00\x01\x02",
        b"r:" + WINDOW,
        b"purge:x\x00",
        b"\xff" * 15,
        b"\x00" * 17,
    ],
)
def test_the_servers_other_counters_are_not(key: bytes) -> None:
    assert not is_lookup_counter(key)


@pytest.mark.parametrize(
    ("tables", "keys", "version"),
    [
        ("m y n s", [b"storage.lookup", b"server.hostname"], ""),
        ("m y n s z", [b"storage.lookup"], "0.15"),
        ("m y n s z", [b"\x00\x11\x04\xc0\x31\x50\x19\xe0\x0c\x00"], "0.16"),
        ("m y n s z", [b"storage.lookup", b"\x00\x11\x04\xc0\x31\x50\x19\xe0\x0c\x00"], "0.16"),
        ("m n s", [b"storage.lookup"], "0.10"),
        ("m y", [], ""),
        ("m", [], ""),
        ("n s", [], ""),
        ("", [], ""),
    ],
)
def test_the_version_is_guessed_only_from_what_differs(tables: str, keys: list[bytes], version: str) -> None:
    assert guess_version(set(tables.split()), keys) == version


@needs_fixtures
def test_the_created_tables_are_those_that_stalwart_creates() -> None:
    captured = _columns("sqlite", (FIXTURES / "stalwart-0.11.8/sqlite/schema-all-tables.sql").read_text())
    ours = _columns("sqlite", ";".join((*create_statements("sqlite"), *create_statements("sqlite", "0.10"))))
    assert {table: captured[table] for table in ("m", "y", "n")} == {table: ours[table] for table in ("m", "y", "n")}


def _columns(dialect: str, script: str) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
