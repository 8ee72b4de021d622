"""Which table holds what, by Stalwart version, and Stalwart's own layout of them (store-formats a.3). Pure, no I/O.

Values live in `m`. Counters live in `y`; up to 0.10 in `n`, a table where other counters of the server live too (numbers of IMAP
mailboxes and the like). Rows of `n` are never touched as a whole: only those are listed, changed or removed that have the shape of a
lookup key of 0.10 or that have a marker in `m`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

Dialect = Literal["sqlite", "postgresql", "mysql"]

VALUES: Final = "m"
COUNTERS: Final = "y"
OLD_COUNTERS: Final = "n"
SETTINGS: Final = "s"


@dataclass(frozen=True, slots=True)
class Tables:
    """Names of the two tables of a version."""

    values: str = VALUES
    counters: str = COUNTERS
    shared: bool = False
    """Foreign numbers live among the counters: list and touch only rows that `is_lookup_counter` knows or that have a marker."""


def tables_of(version: str) -> Tables:
    """The tables of a Stalwart version ("0.10" to "0.16"; empty: the newest layout)."""
    return Tables(counters=OLD_COUNTERS, shared=True) if version.startswith("0.10") else Tables()


_OLD_COUNTER: Final = re.compile(
    rb"""(?: (?: r | h | l | b | contact | j | jreq | jauth | ireq ) : .+ .{8}   # rate limits: subject, then the window's number
           | .{40}                                                              # limits of SMTP: BLAKE3, then the window's number
           | .{16}                                                              # Bayes weights: two hashes
           | purge: [0-9]+ )""",
    re.VERBOSE | re.DOTALL,
)


def is_lookup_counter(key: bytes) -> bool:
    """Whether a key of `n` has the shape of a counter that 0.10 keeps for lookups.

    The server's other counters there have 10 bytes that begin with a small number; text is a counter of an expression.
    """
    if _OLD_COUNTER.fullmatch(key):
        return True
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable()


def create_statements(dialect: Dialect, version: str = "") -> tuple[str, ...]:
    """Statements that create the two tables as Stalwart does; they leave existing ones alone."""
    tables = tables_of(version)
    blob, number, key, tail = {
        "sqlite": ("BLOB NOT NULL", "INTEGER", "k BLOB PRIMARY KEY, v {}", ""),
        "postgresql": ("BYTEA NOT NULL", "BIGINT", "k BYTEA PRIMARY KEY, v {}", ""),
        "mysql": ("MEDIUMBLOB NOT NULL", "BIGINT", "k TINYBLOB, v {}, PRIMARY KEY (k(255))", " ENGINE = InnoDB"),
    }[dialect]
    columns = ((tables.values, blob), (tables.counters, f"{number} NOT NULL DEFAULT 0"))
    return tuple(f"CREATE TABLE IF NOT EXISTS {table} ({key.format(column)}){tail}" for table, column in columns)


def guess_version(tables: Collection[str], settings_keys: Collection[bytes]) -> str:
    """Stalwart's version from the tables of a database and a few keys of its table `s`; empty when they do not tell.

    0.16 keeps objects under binary keys of 10 bytes in `s`, older versions keep settings under dotted text; only 0.10 has no `y`;
    0.15 has a table `z` beside text settings. Between 0.11 and 0.14 nothing in the tables differs for certain.
    """
    if VALUES not in tables:
        return ""
    if COUNTERS not in tables:
        return "0.10" if OLD_COUNTERS in tables else ""
    if any(len(key) == 10 and not _is_text(key) for key in settings_keys):
        return "0.16"
    if settings_keys and all(_is_text(key) for key in settings_keys) and "z" in tables:
        return "0.15"
    return ""


def _is_text(key: bytes) -> bool:
    try:
        return key.decode().isprintable()
    except UnicodeDecodeError:
        return False
