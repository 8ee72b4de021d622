"""The lookup functions on every backend against what a real Stalwart was seen to answer.

Each row names its source and the versions it was recorded on; `layouts` are the stores it was recorded on (data: SQLite,
PostgreSQL, MySQL, RocksDB and others with tables of values and counters; redis; static: configured tables and HTTP lists).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from stores.codecs.rows import marker_row, value_row
from stores.errors import StoreError
from stores.models import Store
from stores.services.actor import Actor
from stores.services.console import evaluate_expression, run_sieve
from stores.services.lookup import Lookups
from stores.types import Entry
from tests.contract.harness import Plant, StoreUnderTest
from tests.fixtures_path import FIXTURES, needs_fixtures

ALL = ("0.11", "0.15", "0.16")
FAILS = object()
"""The expression is abandoned."""

OPERATIONS = "behaviour.md, operations"
STATIC = "behaviour.md, static lookup"
NEW = "behaviour-0.16.md"
VERBS = "store-formats.md b.2"


@dataclass(frozen=True, slots=True)
class Recorded:
    """`rows`: (key, what is planted); steps: (expression, answer) in order on the same store."""

    source: str
    versions: tuple[str, ...]
    layouts: tuple[str, ...]
    rows: tuple[tuple[str, Any], ...]
    steps: tuple[tuple[str, Any], ...]
    but: tuple[str, ...] = ()
    """Backends that were recorded to answer otherwise, by the beginning of their name."""


def value(text: str = "x", seconds: int | None = 60) -> tuple[str, bytes, int | None]:
    return "value", text.encode(), seconds


def counter(number: int, seconds: int | None = 60) -> tuple[str, int, int | None]:
    return "counter", number, seconds


RECORDED = (
    Recorded(OPERATIONS, ALL, ("data",), (("k", value("x", -5)),), (("key_get('s','k')", ""), ("key_exists('s','k')", 0))),
    Recorded(
        OPERATIONS, ("0.11", "0.15"), ("data",), (("c", counter(5, -5)),),
        (("counter_get('s','c')", 5), ("counter_incr('s','c',1)", 6)),
    ),
    Recorded(
        NEW, ALL, ("data",), (("c", counter(5)),),
        (("key_get('s','c')", ""), ("key_exists('s','c')", 0), ("counter_get('s','c')", 5)),
    ),
    Recorded(
        NEW, ALL, ("redis",), (("c", counter(5)),),
        (("key_get('s','c')", "5"), ("key_exists('s','c')", 1), ("counter_get('s','c')", 5)),
    ),
    Recorded(NEW, ALL, ("data",), (("k", value("text")),), (("counter_get('s','k')", 0),)),
    Recorded(NEW, ALL, ("redis",), (("k", value("text")),), (("counter_get('s','k')", FAILS), ("key_get('s','k')", "text"))),
    Recorded(
        OPERATIONS, ALL, ("data",), (("k", value("text")),),
        (("counter_incr('s','k',3)", 3), ("key_get('s','k')", "text"), ("counter_get('s','k')", 3)),
    ),
    Recorded(OPERATIONS, ALL, ("redis",), (("k", value("text")),), (("counter_incr('s','k',3)", FAILS), ("key_get('s','k')", "text"))),
    Recorded(
        OPERATIONS, ALL, ("data",), (("c", counter(8)),),
        (("key_set('s','c','zz')", 1), ("key_get('s','c')", "zz"), ("counter_get('s','c')", 8)),
    ),
    Recorded(VERBS, ALL, ("redis",), (("c", counter(8)),), (("key_set('s','c','zz')", 1), ("key_get('s','c')", "zz"))),
    Recorded(OPERATIONS, ALL, ("data", "redis"), (("e", value("")),), (("key_get('s','e')", ""), ("key_exists('s','e')", 1))),
    Recorded(VERBS, ALL, ("data", "redis"), (), (("key_get('s','no')", ""), ("key_exists('s','no')", 0), ("counter_get('s','no')", 0))),
    Recorded(VERBS, ALL, ("data", "redis"), (("k", value("a", None)),), (("key_set('s','k','b')", 1), ("key_get('s','k')", "b"))),
    Recorded(
        VERBS, ALL, ("data", "redis"), (), (("counter_incr('s','n',5)", 5), ("counter_incr('s','n',0)", 5), ("counter_get('s','n')", 5))
    ),
    Recorded(
        "behaviour.md, surprises 6", ALL, ("data", "redis"), (),
        (("counter_incr('s','n',-3)", -3), ("counter_get('s','n')", -3)), ("mariadb",),
    ),
    Recorded(
        "expressions-vectors.tsv", ALL, ("data", "redis"), (("42", value("x")),),
        (("key_get('s', 42)", "x"), ("key_exists('s', '42')", 1)),
    ),
    Recorded("expressions.md 3.5", ALL, ("data", "redis"), (("b", ("value", b"h\xffi", None)),), (("key_get('s','b')", "h\ufffdi"),)),
    Recorded(
        VERBS, ALL, ("data",), (("c", counter(5)), ("v", value("x"))),
        (("key_delete('s','c')", None), ("counter_get('s','c')", 5), ("key_delete('s','v')", None), ("key_exists('s','v')", 0),
         ("counter_incr('s','v',2)", 2), ("key_delete('s','v')", None), ("counter_get('s','v')", 2), ("key_delete('s','no')", None)),
    ),
    Recorded(
        VERBS, ALL, ("redis",), (("c", counter(5)), ("v", value("x"))),
        (("key_delete('s','c')", None), ("counter_get('s','c')", 0), ("key_delete('s','v')", None), ("key_exists('s','v')", 0),
         ("key_delete('s','no')", None)),
    ),
    Recorded(
        VERBS, ALL, ("data",), (("c", counter(5)), ("v", value("x"))),
        (("counter_delete('s','c')", None), ("counter_get('s','c')", 0), ("key_exists('s','c')", 0),
         ("counter_delete('s','v')", None), ("key_get('s','v')", "x")),
    ),
    Recorded(
        VERBS, ALL, ("redis",), (("c", counter(5)), ("v", value("x"))),
        (("counter_delete('s','c')", None), ("counter_get('s','c')", 0), ("counter_delete('s','v')", None), ("key_exists('s','v')", 0)),
    ),
    Recorded(
        OPERATIONS, ALL, ("static",), (("k", "v"),),
        (("key_set('s','k','w')", FAILS), ("counter_incr('s','k',1)", FAILS), ("key_delete('s','k')", FAILS), ("key_exists('s','k')", 1)),
    ),
    Recorded(
        OPERATIONS, ALL, ("static",), (("k", "v"),),
        (("counter_get('s','k')", FAILS), ("key_exists('s','k')", 1), ("key_exists('s','no')", 0)),
    ),
)  # fmt: skip

TYPED: tuple[tuple[str, str, Any], ...] = (
    ("42", "42", 42), ("-7", "-7", -7), ("3.25", "3.25", 3.25), ("-0.5", "-0.5", -0.5), ("true", "true", 1), ("false", "false", 0),
    ("", "", ""), ("1.2.3", "1.2.3", "1.2.3"), (".5", ".5", ".5"), ("99999999999999999999", "99999999999999999999", "99999999999999999999"),
    ("-", "-", "-"), ("+5", "+5", "+5"), ("1e5", "1e5", "1e5"), (" 12 ", " 12 ", " 12 "), ("007", "007", 7),
)  # fmt: skip
"""Raw value of a static entry, what 0.16 answers (always text), what 0.11 and 0.15 answer."""


@pytest.fixture
def lookups(store: StoreUnderTest, db: None) -> Lookups:
    """The open backend of the contract as the store `s`, as the default and under the id that the captures use."""
    row = Store.objects.create(id="s", type="memory", version="0.11")
    found = Lookups(Actor.command_line(), store.clock, allow_writes=True)
    for name in ("s", "", "memstore"):
        found._open[name] = row, store.backend
    return found


def _set_version(lookups: Lookups, version: str) -> None:
    lookups.store("s").version = version


def _named(text: str, number: int) -> str:
    """Keys of a row apart from those of all others: 'k' becomes 'k-7'."""
    return re.sub(r"'s', ?'([a-z]+)'", rf"'s','\1-{number}'", text)


def _planted(store: StoreUnderTest, recorded: Recorded, number: int) -> list[Plant]:
    found = []
    for name, row in recorded.rows:
        key = (name if name.isdigit() else f"{name}-{number}").encode()
        if isinstance(row, str):
            found.append(Plant(key, row.encode()))
            continue
        kind, content, seconds = row
        at = None if seconds is None else store.now + seconds
        if store.harness.layout == "redis":
            found.append(Plant(key, content if kind == "value" else str(content).encode(), None, at))
        elif kind == "value":
            found.append(Plant(key, value_row(content, at)))
        else:
            found.append(Plant(key, None if at is None else marker_row(at), content))
    return found


def test_functions_answer_as_recorded(store: StoreUnderTest, lookups: Lookups) -> None:
    wrong, number = [], 0
    for recorded in RECORDED:
        if store.harness.layout not in recorded.layouts or store.name.startswith(recorded.but or ("-",)):
            continue
        if store.harness.layout != "static" and not store.backend.capabilities.writes and _writes(recorded):
            continue
        for version in recorded.versions:
            number += 1
            store.harness.plant(_planted(store, recorded, number))
            for text, wanted in recorded.steps:
                got = _answer(_named(text, number), lookups, version)
                if got != wanted or (got is not FAILS and type(got) is not type(wanted)):
                    wrong.append((recorded.source, version, text, wanted, got))
    assert wrong == []
    assert number >= 4


def _answer(text: str, lookups: Lookups, version: str) -> Any:
    """What an expression answers; deletions, which no expression has, are the verbs of the service with the same names."""
    if deletion := re.fullmatch(r"(key_delete|counter_delete)\('s','(.+)'\)", text):
        try:
            getattr(lookups, deletion[1])("s", deletion[2].encode())
        except StoreError:
            return FAILS
        return None
    result = evaluate_expression(text, {}, lookups, version=version, allow_writes=True)
    return FAILS if result.error else result.value


def _writes(recorded: Recorded) -> bool:
    return any(text.startswith(("key_set", "counter_incr", "key_delete", "counter_delete")) for text, _ in recorded.steps)


@pytest.mark.layout("static")
def test_static_values_are_typed_as_recorded(store: StoreUnderTest, lookups: Lookups) -> None:
    """Each also exists, the empty one too; keys are case-sensitive, dotted ones are found."""
    if store.name == "http":
        pytest.skip("an HTTP lookup holds texts only")
    store.harness.plant([Plant(f"k.{place}".encode(), raw.encode()) for place, (raw, _, _) in enumerate(TYPED)])
    for version in ("0.11", "0.15"):
        for place, (raw, _, wanted) in enumerate(TYPED):
            got = evaluate_expression(f"key_get('s','k.{place}')", {}, lookups, version=version).value
            assert (got, type(got)) == (wanted, type(wanted)), raw
            assert evaluate_expression(f"key_exists('s','k.{place}')", {}, lookups, version=version).value == 1
            assert evaluate_expression(f"key_exists('s','K.{place}')", {}, lookups, version=version).value == 0


CAPTURES = {
    "data": ("stalwart-0.11.8/sqlite", "stalwart-0.15.5/sqlite", "stalwart-0.16.18/sqlite", "stalwart-0.11.8/postgres",
             "stalwart-0.11.8/rocksdb"),
    "mysql": ("stalwart-0.11.8/mysql",),
    "redis": ("stalwart-0.11.8/redis", "stalwart-0.15.5/redis"),
}  # fmt: skip
PREAMBLE = (
    'let "nihil" "\'\'"; let "y" "315360000"; set "crlf" "line1${hex:0d 0a}line2"; set "bin" "${hex:01 02 7f}"; '
    'set "hiv" "${hex:ff fe 00 ff}"; set "nulkey" "sv:nul${hex:00}key"; '
)
"""The variables of the scripts that the server ran."""


@needs_fixtures
@pytest.mark.layout("data", "redis")
@pytest.mark.needs("writes")
def test_what_a_server_was_told_to_write_is_written_in_the_same_bytes(store: StoreUnderTest, lookups: Lookups) -> None:
    """Statements of scripts and expressions that a running server executed, beside the rows that it left."""
    seen, wrong = 0, []
    for capture in CAPTURES["mysql" if store.name == "mariadb" else store.harness.layout]:
        version = capture.removeprefix("stalwart-").rpartition(".")[0]
        for row in _captured(capture):
            key = bytes.fromhex(row["key_hex"])
            store.backend.delete(key)
            if not _done_again(row["actions"], lookups, version):
                continue
            seen += 1
            entry = store.backend.get(key)
            wanted = (row.get("value_hex"), row.get("counter"))
            if entry is None or not _same_row(entry, *wanted):
                wrong.append((capture, key, row["actions"], wanted, entry))
    assert wrong == []
    assert seen > 30


def _captured(capture: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FIXTURES / capture / "manifest.json").read_text())["rows"]["final"]
    return rows


def _done_again(actions: list[str], lookups: Lookups, version: str) -> bool:
    """Run the statements of a row; False for rows that other things made."""
    ran = False
    for action in actions:
        head, _, statement = action.partition(": ")
        if head.startswith("sieve script seed-long") and statement.startswith("let "):
            result = run_sieve(PREAMBLE + statement, {}, lookups, version=version, allow_writes=True)
            assert result.error == "", (action, result.error)
            ran = True
        elif action.startswith("expression ") and "!" in action:
            verb, store_id, key, value, *_ = action.removeprefix("expression ").split(" ")[-1].split("!")
            function = {"cincr": "counter_incr", "kset": "key_set"}[verb]
            number = value if function == "counter_incr" else f"'{value}'"
            result_of = evaluate_expression(f"{function}('{store_id}', '{key}', {number})", {}, lookups, version=version, allow_writes=True)
            assert result_of.error is None, (action, result_of.error)
            ran = True
    return ran


def _same_row(entry: Entry, value_hex: str | None, counter: int | None) -> bool:
    if counter is not None:
        return entry.counter == counter
    return entry.value is not None and entry.value.hex() == value_hex
