"""The console on real stores: what the recorded evaluator answered, and a trace of every question."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from stores.codecs.rows import value_row
from stores.expressions import Value
from stores.models import Store
from stores.services import definitions
from stores.services.console import evaluate_expression, evaluate_setting, run_sieve
from stores.services.lookup import Lookups
from tests.fixtures_path import SPEC, needs_fixtures
from tests.servers.redis import RedisServer
from tests.services.conftest import ACTOR, plant
from tests.unit.test_expressions import _rows, _same, _shown


@cache
def redis_server() -> RedisServer:
    return RedisServer("valkey")


@pytest.fixture
def fixture_stores(db: None, tmp_path: Path) -> dict[str, Any]:
    """The stores of expressions-fixture.json: SQLite (the default), Redis, two static ones."""
    fixture: dict[str, Any] = json.loads((SPEC / "expressions-fixture.json").read_text())
    path = tmp_path / "db.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
        database.execute("CREATE TABLE y (k BLOB PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)")
        for row in fixture["stores"]["db"]["keys"]:
            key = row["key"].encode()
            if "counter" in row:
                database.execute("INSERT INTO y VALUES (?, ?)", (key, row["counter"]))
            else:
                raw = bytes.fromhex(row["hex"]) if "hex" in row else row["value"].encode()
                database.execute("INSERT INTO m VALUES (?, ?)", (key, value_row(raw, None)))
    database.close()
    definitions.create_store(ACTOR, id="db", type="sqlite", settings={"path": str(path)}, version="0.11")
    server = redis_server()
    with server.client() as client:
        client.flushall()
        for row in fixture["stores"]["redis"]["keys"]:
            client.set(row["key"], str(row.get("counter", row.get("value"))))
    definitions.create_store(ACTOR, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
    for name in ("blocked", "limits"):
        entries = tuple(fixture["stores"][name]["lookup"].items())
        definitions.create_store(ACTOR, id=name, type="static", settings={}, entries=entries, version="0.11")
    return fixture


@pytest.fixture
def lookups(db: None) -> Iterator[Lookups]:
    with Lookups(ACTOR, allow_writes=True) as found:
        yield found


OFF_HERE = ("sql_query", "dns_query('notanip'", "is_local_")
"""Functions that are off in the console and say so."""


@needs_fixtures
def test_recorded_lookups_answer_the_same_on_real_stores(fixture_stores: dict[str, Any], lookups: Lookups) -> None:
    wrong, seen = [], 0
    for text, variables, result in _rows("expressions-vectors.tsv"):
        if "@fixture" not in variables or any(name in text for name in OFF_HERE):
            continue
        seen += 1
        got = evaluate_expression(text, variables, lookups, allow_writes=True, settings=fixture_stores["config"])
        shown = f"error:{got.error['kind']}" if got.error else _shown(got.value)
        wanted = (
            result.partition(" ")[0] if result.startswith("error:parse") else "error:eval" if result.startswith("error:eval") else result
        )
        if not _same(shown, wanted):
            wrong.append((text, wanted, shown, got.error))
    assert seen > 50
    assert wrong == []


def _evaluate(text: str, lookups: Lookups, variables: dict[str, Value] | None = None, **options: Any) -> Any:
    return evaluate_expression(text, variables or {}, lookups, **options)


def test_writes_are_off_unless_allowed(memory: Store, lookups: Lookups) -> None:
    refused = _evaluate("key_set('mem', 'a', 'b')", lookups)
    assert refused.error["kind"] == "eval"
    assert "switched off" in refused.error["message"]
    assert _evaluate("key_get('mem', 'a')", lookups).value == ""
    assert _evaluate("key_set('mem', 'a', 'b')", lookups, allow_writes=True).value == 1
    assert _evaluate("key_get('mem', 'a')", lookups).value == "b"


def test_an_unknown_store_is_named_and_answered_as_the_version_does(memory: Store, lookups: Lookups) -> None:
    plant(memory, b"k", b"from the default")
    old = _evaluate("key_get('typo', 'k')", lookups, version="0.11")
    assert old.value == "from the default"
    assert "silently ask its default" in old.notes[0]
    assert [(q.asked, q.store, q.hit) for q in old.trace] == [("typo", "mem", True)]
    new = _evaluate("key_get('typo', 'k')", lookups, version="0.16")
    assert new.value == ""
    assert new.trace == ()
    assert "do nothing" in new.notes[0]


def test_a_setting_is_evaluated_branch_by_branch(memory: Store, lookups: Lookups) -> None:
    plant(memory, b"spam.example", b"")
    keys = {"t.0000.if": "key_exists('', sender_domain)", "t.0000.then": "'blocked'", "t.0001.else": "'fine'"}
    assert evaluate_setting("t", keys, {"sender_domain": "spam.example"}, lookups).value == "blocked"
    assert evaluate_setting("t", keys, {"sender_domain": "other.example"}, lookups).value == "fine"
    broken = evaluate_setting("t", {**keys, "t.0000.if": "nosuch"}, {}, lookups)
    assert broken.error is not None
    assert broken.error["key"] == "t.0000.if"


def test_sieve_reads_and_writes_values_as_its_version_encodes_them(memory: Store, lookups: Lookups) -> None:
    script = "let \"ok\" \"key_set('mem', 'v', [1, 'x'], 60)\"; if eval \"key_get('mem', 'v') = [1, 'x']\" { discard; }"
    refused = run_sieve(script, {}, lookups)
    assert refused.action == "keep"
    assert run_sieve(script, {}, lookups, version="0.15", allow_writes=True).action == "discard"
    assert [question.function for question in run_sieve(script, {}, lookups, version="0.15").trace] == ["key_get"]
    assert run_sieve(script, {}, lookups, version="0.11").action == "keep"


def test_sieve_errors_name_their_line(memory: Store, lookups: Lookups) -> None:
    result = run_sieve('let "a" "1";\nfileinto "x";', {}, lookups)
    assert result.line == 2
    assert "fileinto is not run here" in result.error


def test_a_batch_answers_line_by_line_also_what_json_has_no_number_for(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        {"expression": "'nan' * 1", "variables": {}},
        {"expression": "x + 1", "variables": {"x": True, "@remark": 1}},
        {"expression": "nosuch"},
        {"expression": "len(x)", "variables": {"x": "\ud800"}},
        {"expression": "config_get('server.hostname')"},
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(json.dumps(line) for line in lines)))
    out = io.StringIO()
    call_command("lookup", "--batch", "-", "--json", "--setting", "server.hostname=mx.example.org", stdout=out)
    nan, added, wrong, half, host = (json.loads(line) for line in out.getvalue().splitlines())
    assert nan["type"] == "float"
    assert nan["result"] != nan["result"]
    assert added == {"type": "integer", "result": 2, "error": None}
    assert (wrong["type"], wrong["error"]["kind"], wrong["error"]["position"]) == ("none", "parse", 0)
    assert half["result"] == 1
    assert host["result"] == "mx.example.org"


@pytest.mark.parametrize("line", ["[]", "{}", '{"expression": 1}', '{"expression": "1", "variables": []}', "no json"])
def test_a_batch_of_something_else_is_refused_by_line(memory: Store, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
    with pytest.raises(CommandError, match="Line 1"):
        call_command("lookup", "--batch", "-", "--json")
