"""The expression language against results recorded from a real evaluator."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.expressions import Context, EvalError, LimitReached, Limits, NoLookups, ParseError, Value, dialect, evaluate, parse
from stores.expressions.ifblocks import BlockError, convert, evaluate_block, load
from stores.stalwart_toml.parser import parse as parse_toml
from tests.fixtures_path import SPEC, needs_fixtures


class FixtureStores(NoLookups):
    """The stores of expressions-fixture.json, answering as Stalwart's would."""

    def __init__(self, fixture: dict[str, Any]) -> None:
        self.fixture = fixture
        self.keys: dict[str, dict[str, str]] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.static: dict[str, dict[str, str]] = {}
        for name, store in fixture["stores"].items():
            if store["kind"] == "static":
                self.static[name] = store["lookup"]
                continue
            self.keys[name], self.counters[name] = {}, {}
            for row in store["keys"]:
                if "counter" in row:
                    self.counters[name][row["key"]] = row["counter"]
                else:
                    raw = bytes.fromhex(row["hex"]) if "hex" in row else row["value"].encode()
                    self.keys[name][row["key"]] = raw.decode("utf-8", "replace")

    def _store(self, name: str) -> str:
        return name if name in self.fixture["stores"] else "db"

    def key_get(self, store: str, key: str) -> Value:
        name = self._store(store)
        if name in self.static:
            return _typed(_match(self.static[name], key))
        if name == "redis" and key in self.counters[name]:
            return str(self.counters[name][key])
        return self.keys[name].get(key, "")

    def key_exists(self, store: str, key: str) -> bool:
        name = self._store(store)
        if name in self.static:
            return _match(self.static[name], key) is not None
        return key in self.keys[name] or (name == "redis" and key in self.counters[name])

    def key_set(self, store: str, key: str, value: str) -> bool:
        name = self._store(store)
        if name in self.static:
            raise EvalError("read only")
        self.keys[name][key] = value
        return True

    def counter_get(self, store: str, key: str) -> int:
        name = self._store(store)
        if name in self.static:
            raise EvalError("read only")
        if name == "redis" and key in self.keys[name]:
            return self._redis_number(key)
        return self.counters[name].get(key, 0)

    def counter_incr(self, store: str, key: str, delta: int) -> int:
        name = self._store(store)
        if name in self.static:
            raise EvalError("read only")
        if name == "redis" and key in self.keys[name]:
            self.counters[name][key] = self._redis_number(key)
            del self.keys[name][key]
        self.counters[name][key] = self.counters[name].get(key, 0) + delta
        return self.counters[name][key]

    def _redis_number(self, key: str) -> int:
        try:
            return int(self.keys["redis"][key])
        except ValueError:
            raise EvalError("not an integer") from None

    def setting(self, key: str) -> Value:
        found: Value = self.fixture["config"].get(key, "")
        return found

    def sql_query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        if sql[:6].upper() != "SELECT":
            raise EvalError("not a query")
        rows = sqlite3.connect(":memory:").execute(sql, [b for b in binds if not isinstance(b, list)]).fetchall()
        return [list(row) for row in rows]

    def is_local(self, what: str, directory: str, value: str) -> bool:
        return False


def _match(entries: dict[str, str], key: str) -> str | None:
    import fnmatch

    if key in entries:
        return entries[key]
    for pattern in sorted(entries):
        if ("*" in pattern or "?" in pattern) and fnmatch.fnmatchcase(key, pattern):
            return entries[pattern]
    return None


def _typed(text: str | None) -> Value:
    if text is None:
        return ""
    if text in ("true", "false"):
        return int(text == "true")
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _rows(name: str) -> Iterator[tuple[str, dict[str, Value], str]]:
    for line in (SPEC / name).read_text().splitlines():
        if not line.startswith("#") and line.count("\t") == 2:
            text, variables, result = line.split("\t")
            yield (json.loads(text[5:]) if text.startswith("json:") else text), json.loads(variables), result


def _shown(value: Value | None) -> str:
    if value is None:
        return "none:empty"
    if isinstance(value, int):
        return f"integer:{value}"
    if isinstance(value, float):
        return f"float:{value!r}"
    if isinstance(value, str):
        return f"string:{json.dumps(value, ensure_ascii=False)}"
    return f"array:{json.dumps(value, ensure_ascii=False)}"


def _same(shown: str, wanted: str) -> bool:
    if wanted.startswith("float:") and shown.startswith("float:"):
        a, b = float(shown[6:]), float(wanted[6:])
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if ":" in wanted and wanted.partition(":")[0] in ("string", "array"):
        kind, _, body = shown.partition(":")
        return kind == wanted.partition(":")[0] and repr(json.loads(body)) == repr(json.loads(wanted.partition(":")[2]))
    return shown == wanted


def _run(text: str, variables: dict[str, Value], version: str, fixture: dict[str, Any]) -> str:
    names = {name for name in variables if not name.startswith(("$", "@"))}
    plain = {name: int(value) if isinstance(value, bool) else value for name, value in variables.items()}
    context = Context(
        {name: plain[name] for name in names},
        {name[1:]: value for name, value in plain.items() if name.startswith("$")},
        FixtureStores(fixture),
        version,
    )
    try:
        return _shown(evaluate(parse(text, dialect(version), names), context))
    except ParseError:
        return "error:parse"
    except EvalError:
        return "error:eval"


@needs_fixtures
@pytest.mark.parametrize("name", ["expressions-vectors.tsv", "expressions-fuzz.tsv"])
def test_every_recorded_result_is_reproduced(name: str) -> None:
    fixture = json.loads((SPEC / "expressions-fixture.json").read_text())
    wrong, seen = [], 0
    for text, variables, result in _rows(name):
        seen += 1
        wanted = "error:parse" if result.startswith("error:parse") else "error:eval" if result.startswith("error:eval") else result
        shown = _run(text, variables, "0.11", fixture)
        if not _same(shown, wanted):
            wrong.append((text, variables, wanted, shown))
    assert seen > 700
    assert wrong == []


@needs_fixtures
def test_floats_become_text_as_each_version_writes_them() -> None:
    rows = [line.split("\t") for line in Path(SPEC / "expressions-floats.tsv").read_text().splitlines() if not line.startswith("#")]
    assert len(rows) > 15
    for text, old, new in rows:
        assert _same(_run(text, {}, "0.11", {"stores": {}, "config": {}}), old), text
        assert _same(_run(text, {}, "0.15", {"stores": {}, "config": {}}), new), text


def test_a_parse_error_names_its_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse("1 + nosuch", dialect())
    assert caught.value.position == 4
    assert "nosuch" in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["(" * 5000, "[" * 5000, "!" * 5000 + "1", "'" + "a" * 70_000 + "'"],
)
def test_deep_and_long_expressions_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text, dialect())


def test_limits_stop_what_would_take_too_much() -> None:
    doubled = parse(" + ".join(["x"] * 30), dialect(), {"x"})
    with pytest.raises(LimitReached):
        evaluate(doubled, Context({"x": "a" * 100_000}))
    with pytest.raises(EvalError):
        evaluate(parse("split_n('abc', '', -1)", dialect()), Context())
    with pytest.raises(LimitReached):
        evaluate(parse("1 + 1 + 1", dialect()), Context(limits=Limits(steps=3)))
    with pytest.raises(LimitReached):
        evaluate(parse(r"matches('^(a|aa)+b$', x)", dialect(), {"x"}), Context({"x": "a" * 5000}))


def _block_result(settings: dict[str, str], wanted: str, variables: dict[str, Value], fixture: dict[str, Any]) -> str:
    plain = {name: value for name, value in variables.items() if not name.startswith("@")}
    try:
        block = load("t", settings, lambda text: parse(text, dialect(), plain))
    except BlockError as error:
        return f"error:config {error.key}: Parse {{ error: {json.dumps(error.message)} }}"
    if block is None:
        return "unset"
    try:
        value = evaluate_block(block, Context(plain, lookups=FixtureStores(fixture)))
    except EvalError:
        return "none"
    found = None if value is None else convert(value, wanted)
    if found is None:
        return "none"
    if wanted == "any":
        return _shown(found)  # type: ignore[arg-type]
    if wanted == "rate":
        return f"rate:{found[0]}/{found[1]}ms"  # type: ignore[index]
    name = {"duration": "duration_ms", "durations": "durations_ms"}.get(wanted, wanted)
    separators = (",", ":") if wanted == "strings" else None
    shown = found if isinstance(found, int) and not isinstance(found, bool) else json.dumps(found, separators=separators)
    return f"{name}:{shown}"


@needs_fixtures
def test_if_blocks_load_and_convert_as_recorded() -> None:
    fixture = json.loads((SPEC / "expressions-fixture.json").read_text())
    seen = 0
    for line in (SPEC / "expressions-ifblocks.tsv").read_text().splitlines():
        if line.startswith("#"):
            continue
        text, wanted, variables, result = line.split("\t")
        document = parse_toml(json.loads(text))
        settings = {name: setting.value for name, setting in document.settings.items()}
        seen += 1
        if wanted == "keys":
            assert settings == json.loads(result), text
        else:
            assert _block_result(settings, wanted, json.loads(variables), fixture) == result, text
    assert seen > 100
