"""Expressions and scripts that mean harm: whatever is written, the answer comes in time, is bounded, and is a named error at worst."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.expressions import Context, EvalError, LimitReached, Limits, ParseError, Value, dialect, evaluate, parse
from stores.expressions.evaluate import NoLookups
from stores.expressions.functions import PURE
from stores.expressions.ifblocks import BlockError, evaluate_block, load
from stores.expressions.sieve import SieveContext, SieveError, compile_script, run_script
from stores.expressions.sieve.functions import EXTRA, PLUGINS
from tests.unit.test_sieve import Stores


class Answering(NoLookups):
    """A store in which every key holds one letter."""

    def key_get(self, store: str, key: str) -> Value:
        return "a"


TIGHT = Limits(steps=500, seconds=0.5, lookups=5, size=10_000)
VARIABLES: dict[str, Value] = {"sender": "ana@example.org", "n": -3, "f": float("nan"), "list": ["a", 1, 2.5, ["b"]], "empty": ""}
PIECES = [
    *VARIABLES, "$1", "$0", "$TAG", "1", "-1", "0.5", "9223372036854775807", "1h", "'a'", '"b"', "'\\\\'", "''", "true",
    "+", "-", "*", "/", "=", "==", "!=", "<", ">=", "&&", "||", "^", "!", "(", ")", "[", "]", ",", " ", "}",
    "matches('^(a|b)*$', ", "matches('(.*)@(.*)', sender)", "config_get('server.hostname')", "key_get('', ", "counter_incr('', 'k', ",
    *(f"{name}(" for name in PURE),
]  # fmt: skip
"""Words of the language, to be put together in any order."""
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
CALM = settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.recursive(
    st.one_of(st.text(max_size=12), st.integers(-(1 << 63), (1 << 63) - 1), st.floats()),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def _bounded(value: object, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 200 and len(value) <= TIGHT.size and all(_bounded(element, depth + 1) for element in value)
    return isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= TIGHT.size)


@CALM
@given(TEXTS, st.sampled_from(["0.11", "0.15", "0.16"]))
def test_any_text_parses_or_says_where_it_does_not_and_evaluates_within_limits(source: str, version: str) -> None:
    try:
        program = parse(source, dialect(version), VARIABLES)
    except ParseError as error:
        assert error.message
        assert error.position is None or 0 <= error.position <= len(source.encode("utf-8", "surrogatepass")) + 1
        return
    try:
        found = evaluate(program, Context(VARIABLES, {"TAG": 1}, version=version, limits=TIGHT))
    except EvalError as error:
        assert error.message
        return
    assert found is None or _bounded(found)


@CALM
@given(st.sampled_from(sorted(PURE)), st.lists(VALUES, min_size=4, max_size=4), st.sampled_from(["0.11", "0.15", "0.16"]))
def test_every_function_takes_any_values(name: str, values: list[Value], version: str) -> None:
    names = {f"v{place}": value for place, value in enumerate(values)}
    arguments = ", ".join(list(names)[: PURE[name][0]])
    program = parse(f"{name}({arguments})", dialect(version), names)
    try:
        assert _bounded(evaluate(program, Context(names, version=version, limits=TIGHT)))
    except EvalError as error:
        assert error.message


@CALM
@given(st.sampled_from(["+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "&&", "||", "^"]), VALUES, VALUES)
def test_every_operator_takes_any_values(operator: str, left: Value, right: Value) -> None:
    names = {"a": left, "b": right}
    found = evaluate(parse(f"a {operator} b", dialect(), names), Context(names, limits=Limits(size=100_000)))
    assert isinstance(found, (int, float, str, list))
    if isinstance(found, int):
        assert -(1 << 63) <= found < 1 << 63
    if operator in ("=", "!=", "<", "<=", ">", ">=", "^"):
        assert found in (0, 1)


BLOCKS = st.dictionaries(
    st.sampled_from(["t", "t.0000.if", "t.0000.then", "t.0001.if", "t.0001.then", "t.0001.else", "t.0002.else", "t.x.y"]), TEXTS
)


@CALM
@given(BLOCKS)
def test_any_setting_loads_or_names_the_key(keys: dict[str, str]) -> None:
    try:
        block = load("t", keys, lambda text: parse(text, dialect(), VARIABLES))
    except BlockError as error:
        assert error.key.startswith("t")
        return
    try:
        found = None if block is None else evaluate_block(block, Context(VARIABLES, limits=TIGHT))
    except EvalError as error:
        assert error.message
        return
    assert found is None or _bounded(found)


def _called(name: str, argument: str, arity: int) -> str:
    return f'let "f" "{name}({", ".join([argument] * arity)})";'


STATEMENTS = [
    'let "x" "1 + 2";', 'set "y" "a${x}b";', 'set :lower :replace "a" "b" "z" "AbC";', 'eval "key_set(\'\', \'k\', x, 5)";', "stop;",
    "keep;", 'if eval "x" { discard; }', 'elsif string :list "a" "db" { keep; }',
    "else { stop; }", 'while "x < 9" { let "x" "x + 1"; }', "break;",
    'if string :matches "${x}" "*a?" { reject "no"; }', 'if string :regex "aaaa" "(a|aa)+$" { keep; }', 'global "g";',
    "require [\"variables\"];",
    'let "x" "', '"', "{", "}", ";", "text:\nline\n.\n", "/* c */", "# c\n", "if not allof(true, false) { stop; }", "fileinto \"x\";",
    *(_called(name, "x", arity) for name, (arity, _) in EXTRA.items()),
    *(_called(name, "'a'", arity) for name, arity in PLUGINS.items()),
]  # fmt: skip
SCRIPTS = st.one_of(st.text(max_size=80), st.lists(st.one_of(st.sampled_from(STATEMENTS), st.text(max_size=5)), max_size=10).map(" ".join))


@CALM
@given(SCRIPTS)
def test_any_script_is_refused_by_line_or_runs_to_an_end(source: str) -> None:
    try:
        script = compile_script(source)
    except SieveError as error:
        assert error.message
        assert 1 <= error.line <= source.count("\n") + 1
        return
    stores = Stores({"stores": {"db": {"kind": "data", "keys": []}}}, "0.11")
    outcome = run_script(script, SieveContext(stores, instructions=500, limits=Limits(steps=2000, seconds=1.0, lookups=20, size=10_000)))
    assert outcome.action in ("keep", "discard", "reject", "")
    assert bool(outcome.error) is (outcome.action == "")


HOSTILE = [
    r"matches('^(a|aa)+$', x)", r"matches('(x+x+)+y', x)", r"matches('^(([a-z])+.)+[A-Z]([a-z])+$', x)", r"matches('(.*)*(.*)*(.*)*!', x)",
    "sort(split(x, ''), 0)", "dedup(split(x, ''))", "split(x, '')", "is_intersect(split(x, ''), split(x, ''))", "to_uppercase(x + x)",
    "split_n(x, 'a', 9223372036854775807)", "hash(x, 'sha512')", "is_email(x + '@' + x + '.b')", "count(winnow(split(x, '')))",
    "[[[[[[x, x], x], x], x], x], x]", " + ".join(["x"] * 100), "[" + ", ".join(["x"] * 500) + "]",
]  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE)
def test_catastrophes_end_in_time(source: str) -> None:
    names: dict[str, Value] = {"x": "a" * 100_000}
    began = time.perf_counter()
    try:
        evaluate(parse(source, dialect(), names), Context(names, limits=Limits(seconds=2.0)))
    except EvalError as error:
        assert isinstance(error, LimitReached), error.message
    assert time.perf_counter() - began < 10


ASKING = [
    'let "i" "0"; while "i < 20" { eval "key_get(\'db\', \'k\')"; let "i" "i + 1"; }',
    "eval \"key_exists('db', [" + ", ".join(f"'k{number}'" for number in range(20)) + '])";',
    "if string :list [" + ", ".join(f'"k{number}"' for number in range(20)) + '] "db" { stop; }',
    'let "i" "0"; while "i < 20" { eval "query(\'db\', \'DELETE\', [])"; let "i" "i + 1"; }',
    'let "i" "0"; while "i < 20" { eval "key_set(\'db\', \'k\', i, 60)"; let "i" "i + 1"; }',
]


@pytest.mark.parametrize("source", ASKING)
def test_a_script_asks_so_many_questions_and_no_more(source: str) -> None:
    stores = Stores({"stores": {"db": {"kind": "data", "keys": []}}}, "0.11")
    outcome = run_script(compile_script(source), SieveContext(stores, limits=Limits(lookups=5, steps=10_000)))
    assert (outcome.action, outcome.error) == ("", "More than 5 lookups")
    assert run_script(compile_script(source), SieveContext(stores, limits=Limits(lookups=25, steps=10_000))).error == ""


def test_a_script_and_an_expression_end_in_time_whatever_takes_it() -> None:
    stores = Stores({"stores": {"db": {"kind": "data", "keys": []}}}, "0.11")
    endless = 'let "i" "0"; while "1" { if string :contains "a" "b" { stop; } }'
    outcome = run_script(compile_script(endless), SieveContext(stores, limits=Limits(seconds=0.05, steps=1 << 60), instructions=1 << 60))
    assert outcome.action == "" and "0.05 s" in outcome.error
    with pytest.raises(LimitReached, match="0 s"):
        evaluate(parse("1 + 1", dialect()), Context(limits=Limits(seconds=-0.0), deadline=0.0))


def test_an_expression_asks_so_many_questions_and_names_the_one_too_many() -> None:
    source = " + ".join(["key_get('', 'k')"] * 6)
    with pytest.raises(LimitReached, match="More than 5 lookups") as caught:
        evaluate(parse(source, dialect()), Context(limits=Limits(lookups=5), lookups=Answering()))
    assert caught.value.position == source.rindex("key_get")


def test_each_limit_has_its_own_words() -> None:
    names: dict[str, Value] = {"x": "a" * 5000}
    cases = {
        "steps": ("1" + " + 1" * 30, Limits(steps=5)),
        "larger|long|size|characters": ("x + x + x", Limits(size=6000)),
        "second|time|s$": ("matches('^(a|aa)+b$', x)", Limits()),
    }
    for words, (source, limits) in cases.items():
        with pytest.raises(LimitReached, match=words):
            evaluate(parse(source, dialect(), names), Context(names, limits=limits))
