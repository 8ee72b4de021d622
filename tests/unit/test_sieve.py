"""Trusted Sieve scripts against events recorded from a real interpreter."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, cast

import pytest

from stores.codecs import bincode
from stores.expressions import EvalError, Value
from stores.expressions.functions import Style
from stores.expressions.sieve import SieveContext, SieveError, compile_script, run_script
from stores.expressions.sieve.domains import domain_part
from stores.expressions.sieve.functions import NOT_SIMULATED
from tests.fixtures_path import SPEC, needs_fixtures
from tests.unit.test_expressions import _match, _shown, _typed

NOT_RUN_HERE = ("var_names", 'fileinto "x"', "include", "is_local_domain('', 'nosuch")
"""What a script may use in Stalwart and is refused or answered differently here, because it needs a message or a directory."""


class Stores:
    """The stores of expressions-fixture.json as a Sieve script sees them."""

    def __init__(self, fixture: dict[str, Any], version: str) -> None:
        self.kinds = {name: store["kind"] for name, store in fixture["stores"].items()}
        self.static = {name: store["lookup"] for name, store in fixture["stores"].items() if store["kind"] == "static"}
        self.version = version
        self.payloads: dict[tuple[str, str], bytes] = {}
        self.gone: set[tuple[str, str]] = set()
        for name, store in fixture["stores"].items():
            for row in store.get("keys", ()):
                if "counter" not in row:
                    raw = bytes.fromhex(row["hex"]) if "hex" in row else row["value"].encode()
                    self.payloads[name, row["key"]] = raw
                elif name == "redis":
                    self.payloads[name, row["key"]] = str(row["counter"]).encode()

    def _store(self, name: str) -> str:
        if name and name not in self.kinds:
            raise EvalError("no such store")
        return name or "db"

    def get(self, store: str, key: str) -> Value:
        name = self._store(store)
        if name in self.static:
            return _typed(_match(self.static[name], key))
        payload = self.payloads.get((name, key))
        return "" if payload is None or (name, key) in self.gone else bincode.as_sieve_reads(payload, self.version)

    def exists(self, store: str, key: str) -> bool:
        name = self._store(store)
        if name in self.static:
            return _match(self.static[name], key) is not None
        return (name, key) in self.payloads and (name, key) not in self.gone

    def set(self, store: str, key: str, value: Value, expires_in: int | None) -> None:
        name = self._store(store)
        if name in self.static:
            raise EvalError("read only")
        self.payloads[name, key] = bincode.as_sieve_writes(value, self.version)
        (self.gone.add if expires_in is not None and expires_in <= 0 else self.gone.discard)((name, key))

    def has_list(self, store: str) -> bool:
        return store in self.kinds

    def in_list(self, store: str, key: str) -> bool | None:
        return self.exists(store, key) if store in self.kinds else None

    def query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        self._store(store)
        try:
            rows = sqlite3.connect(":memory:").execute(sql).fetchall()
        except sqlite3.Error as error:
            raise EvalError(str(error)) from None
        return [list(row) for row in rows]


def _events(script: str, environment: dict[str, Value], options: dict[str, Any], fixture: dict[str, Any], version: str) -> str:
    check = options.get("nocap") is False
    try:
        compiled = compile_script(script, {"dump": 1}, check_capabilities=check)
    except SieveError as error:
        return f"error:compile {error.message}"
    shown: list[Any] = []

    def dump(arguments: list[Value]) -> Value:
        context_events.append(("dump", _shown(arguments[0])))
        return 1

    context = SieveContext(
        Stores(fixture, version), environment, instructions=options.get("cpu", 100_000), extra={"dump": dump}, check_capabilities=check
    )
    context_events: list[tuple[str, object]] = []
    context.events = context_events
    outcome = run_script(compiled, context)
    for name, detail in outcome.events:
        if name == "dump":
            shown.append(detail)
        elif name == "list":
            lists, values, mode = cast("tuple[list[str], list[str], str]", detail)
            shown.append(f"list({json.dumps(lists, separators=(',', ':'))},{json.dumps(values, separators=(',', ':'))},{mode})")
        else:
            shown.append(f"{name}({detail})")
    if outcome.error:
        shown.append(f"runtimeerror({outcome.error})")
    elif outcome.action != "reject":
        shown.append(outcome.action)
    return " | ".join(shown)


@needs_fixtures
@pytest.mark.parametrize("version", ["0.11", "0.15"])
def test_scripts_behave_as_recorded(version: str) -> None:
    fixture = json.loads((SPEC / "expressions-fixture.json").read_text())
    wrong, seen = [], 0
    for line in (SPEC / "expressions-sieve.tsv").read_text().splitlines():
        columns = line.split("\t")
        if line.startswith("#") or any(name in json.loads(columns[0]) for name in NOT_RUN_HERE):
            continue
        script, environment, options, wanted = (json.loads(columns[0]), json.loads(columns[1]), json.loads(columns[2]), columns[3])
        if version == "0.15" and len(columns) > 4:
            wanted = columns[4].removeprefix("0.15.5: ")
        got = _events(script, environment, options, fixture, version)
        seen += 1
        if wanted.startswith("error:compile"):
            wanted, got = wanted.partition(" at line")[0], got.partition(" at line")[0]
        if got != wanted:
            wrong.append((script, wanted, got))
    assert seen > 150
    assert wrong == []


@pytest.mark.parametrize(
    ("script", "line"),
    [('let "x" "1";\nfileinto "y";', 2), ('if header :is "a" "b" { stop; }', 1), ("let", 1), ('let "x" "1', 1), ("break;", 1)],
)
def test_what_is_not_run_is_refused_by_line(script: str, line: int) -> None:
    with pytest.raises(SieveError) as caught:
        compile_script(script)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("domain", "sld", "host"),
    [
        ("a.b.example.co.uk", "example.co.uk", "a"), ("EXAMPLE.ORG.", "example.org", "example"), ("co.uk", "", "co"), ("", "", ""),
        ("www.city.kawasaki.jp", "city.kawasaki.jp", "www"), ("x.unlisted", "x.unlisted", "x"), ("..", "", ""),
        ("m\u00fcller.de", "m\u00fcller.de", "m\u00fcller"),
    ],
)  # fmt: skip
def test_parts_of_domains_by_the_public_suffix_list(domain: str, sld: str, host: str) -> None:
    style = Style()
    assert domain_part([domain, "sld"], style) == sld
    assert domain_part([domain, "host"], style) == host
    assert domain_part([domain, "nosuch"], style) == ""


def test_what_is_not_simulated_is_refused_by_name_and_line_or_said() -> None:
    for name in NOT_SIMULATED:
        with pytest.raises(SieveError, match=f"{name} is not run here") as caught:
            compile_script(f'let "a" "1";\nlet "x" "{name}()";')
        assert caught.value.line == 2
    outcome = run_script(compile_script("let \"x\" \"dns_exists('a', 'mx') + tokenize('a b', 'uri')\"; keep;"), _silent())
    assert outcome.action == "keep"
    assert any("dns_exists is off here" in remark for remark in outcome.remarks)
    assert any("tokenize" in remark for remark in outcome.remarks)


@pytest.mark.parametrize("seconds", ["'nan' * 1", "'inf' * 1", "9223372036854775807", "0 - 5", "0.9"])
def test_any_number_is_a_lifetime(seconds: str) -> None:
    outcome = run_script(compile_script(f"let \"x\" \"key_set('', 'k', 'v', {seconds})\";"), _silent())
    assert outcome.error == ""


def _silent() -> SieveContext:
    return SieveContext(Stores({"stores": {"db": {"kind": "data", "keys": []}}}, "0.11"))
