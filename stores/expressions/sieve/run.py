"""Runs a compiled script against lookup stores, within limits, and keeps what it asked and decided."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stores.expressions.errors import EvalError, LimitReached
from stores.expressions.evaluate import Context, Limits, evaluate, shape_rows
from stores.expressions.functions import Style
from stores.expressions.parser import Program
from stores.expressions.regexes import Regex
from stores.expressions.sieve.compile import CAPABILITIES, DISABLED
from stores.expressions.sieve.counted import Counted, SieveLookups
from stores.expressions.sieve.functions import EXTRA, PLUGINS
from stores.expressions.sieve.strings import coded, glob, literal, modified
from stores.expressions.sieve.syntax import Script, Statement, Test
from stores.expressions.values import EMPTY, Value, array, number, plain_float, text, truth

STYLE = Style()
"""Sieve writes floats the old way in every version."""


@dataclass(slots=True)
class SieveContext:
    """One run: environment, stores, limits; `extra` are functions added to the dialect when it was compiled."""

    lookups: SieveLookups
    environment: Mapping[str, Value] = field(default_factory=dict)
    envelope: Mapping[str, Value] = field(default_factory=dict)
    instructions: int = 100_000
    limits: Limits = field(default_factory=lambda: Limits(lookups=1000, steps=1_000_000))
    extra: Mapping[str, Callable[[list[Value]], Value]] = field(default_factory=dict)
    check_capabilities: bool = False
    events: list[tuple[str, object]] | None = None
    """Where events go; functions of `extra` may add their own."""


@dataclass(slots=True)
class Outcome:
    """What came of it. `action` is keep, discard or reject; `error` when the script was ended."""

    events: list[tuple[str, object]] = field(default_factory=list)
    action: str = "keep"
    error: str = ""
    remarks: list[str] = field(default_factory=list)
    """Why calls yielded empty text, each reason once."""


class _Stop(Exception):
    pass


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Failed(Exception):
    pass


def run_script(script: Script, context: SieveContext) -> Outcome:
    """Run to the end or to a limit; never raises for what the script does."""
    machine = _Machine(context)
    try:
        machine.require(script.required)
        machine.block(script.body)
    except (_Failed, LimitReached) as error:
        machine.outcome.error = str(error)
        machine.outcome.action = ""
    except _Stop:
        pass
    return machine.outcome


_FOREVER = 1 << 62
_INTERPOLATION = re.compile(r"\$\{([^${}]*)\}")
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_RELATIONS = {"gt": (1,), "ge": (0, 1), "lt": (-1,), "le": (-1, 0), "eq": (0,), "ne": (-1, 1)}


class _Machine:
    def __init__(self, context: SieveContext) -> None:
        self.context = context
        self.outcome = Outcome() if context.events is None else Outcome(context.events)
        self.locals: list[dict[str, Value]] = [{}]
        self.globals: dict[str, Value] = {}
        self.global_names: set[str] = set()
        self.matches: list[str] = []
        self.used = 0
        deadline = time.monotonic() + context.limits.seconds
        self.expressions = Context(functions=_Plugins(self).call, limits=context.limits, deadline=deadline)
        self.lookups = Counted(context.lookups, self._question)

    def require(self, capabilities: tuple[str, ...]) -> None:
        if self.context.check_capabilities:
            for name in capabilities:
                if name in DISABLED:
                    raise _Failed(f"Capability '{name}' has been disabled.")
                if name not in CAPABILITIES:
                    raise _Failed(f"Capability '{name}' not supported.")

    def _instruction(self) -> None:
        self.used += 1
        if self.used > self.context.instructions:
            raise _Failed("Script exceeded the maximum number of instructions allowed to execute.")
        self.expressions.require_time()

    def _question(self) -> None:
        self.expressions.ask()
        self.expressions.require_time()

    # variables

    def variable(self, name: str) -> Value:
        lowered = name.lower()
        space, dot, rest = lowered.partition(".")
        if dot:
            if space == "env":
                return self.context.environment.get(rest, EMPTY)
            if space == "envelope":
                return self.context.envelope.get(rest, EMPTY)
            return self.globals.get(rest, EMPTY)
        if lowered in self.global_names:
            return self.globals.get(lowered, EMPTY)
        return next((scope[lowered] for scope in reversed(self.locals) if lowered in scope), EMPTY)

    def assign(self, name: str, value: Value) -> None:
        space, dot, rest = name.partition(".")
        if dot and space in ("t", "global"):
            self.globals[rest] = value
        elif name in self.global_names:
            self.globals[name] = value
        else:
            scope = next((scope for scope in reversed(self.locals) if name in scope), self.locals[-1])
            scope[name] = value

    def interpolate(self, source: str) -> str:
        return _INTERPOLATION.sub(lambda found: self._interpolated(found), source)

    def _interpolated(self, found: re.Match[str]) -> str:
        name = found[1].strip().lower()
        if name.isdigit():
            return self.matches[int(name)] if int(name) < len(self.matches) else ""
        kind, colon, codes = name.partition(":")
        if colon and kind in ("hex", "unicode"):
            return coded(kind, codes.split()) or found[0]
        space, dot, rest = name.partition(".")
        if dot and not (space in ("env", "t", "global", "envelope") and rest):
            return found[0]
        return text(self.variable(name), plain_float) if dot or _NAME.fullmatch(name) else found[0]

    # statements

    def block(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            self._instruction()
            _STATEMENTS[statement.name](self, statement)

    def _nested(self, body: tuple[Statement, ...]) -> None:
        self.locals.append({})
        try:
            self.block(body)
        finally:
            self.locals.pop()

    def value(self, program: Program | None) -> Value:
        assert program is not None
        self.expressions.variables = _Names(self)
        found = evaluate(program, self.expressions)
        return EMPTY if found is None else found

    def do_let(self, statement: Statement) -> None:
        self.assign(statement.target, self.value(statement.program))

    def do_eval(self, statement: Statement) -> None:
        self.value(statement.program)

    def do_set(self, statement: Statement) -> None:
        source = statement.text
        whole = _INTERPOLATION.fullmatch(source)
        if not statement.modifiers and whole and (_NAME.fullmatch(whole[1]) or whole[1].lower().startswith(("env.", "t.", "global."))):
            self.assign(statement.target, self.variable(whole[1]))
            return
        result: Value = self.interpolate(source)
        if statement.modifiers:
            result = modified(str(result), statement.modifiers, statement.replace)
        elif not _INTERPOLATION.search(source):
            result = literal(source)
        self.assign(statement.target, result)

    def do_global(self, statement: Statement) -> None:
        self.global_names.update(statement.modifiers)

    def do_if(self, statement: Statement) -> None:
        for test, body in statement.branches:
            if test is None or self.test(test):
                self._nested(body)
                return

    def do_while(self, statement: Statement) -> None:
        while truth(self.value(statement.program)):
            self._instruction()
            try:
                self._nested(statement.body)
            except _Continue:
                continue
            except _Break:
                return

    def do_break(self, statement: Statement) -> None:
        raise _Break

    def do_continue(self, statement: Statement) -> None:
        raise _Continue

    def do_stop(self, statement: Statement) -> None:
        raise _Stop

    def do_nothing(self, statement: Statement) -> None:
        """`require` and `keep` change nothing when they run."""

    def do_discard(self, statement: Statement) -> None:
        self.outcome.action = "discard"

    def do_reject(self, statement: Statement) -> None:
        self.outcome.events.append(("reject", self.interpolate(statement.text)))
        self.outcome.action = "reject"

    # tests

    def test(self, test: Test) -> bool:
        self._instruction()
        match test.name:
            case "true" | "false":
                return test.name == "true"
            case "not":
                return not self.test(test.children[0])
            case "allof":
                return all(self.test(child) for child in test.children)
            case "anyof":
                return any(self.test(child) for child in test.children)
            case "eval":
                return truth(self.value(test.program))
            case "valid_ext_list":
                return all(self.lookups.has_list(self.interpolate(name)) for name in test.keys)
        values = [self.interpolate(value) for value in test.values]
        keys = [self.interpolate(key) for key in test.keys]
        if test.tags == (":list",):
            return self._listed(values, keys, test.comparator)
        return any(self._matched(test, value, key) for value in values for key in keys)

    def _listed(self, values: list[str], lists: list[str], comparator: str) -> bool:
        wanted = [value for value in dict.fromkeys(values) if value]
        if not wanted:
            return False
        octet = comparator == "i;octet"
        self.outcome.events.append(("list", (lists, wanted, "Octet" if octet else "Lowercase")))
        for name in lists:
            for value in wanted:
                found = self.lookups.in_list(name, value if octet else value.lower())
                if found is None:
                    self.outcome.events.append(("listnotfound", name))
                    break
                if found:
                    return True
        return False

    def _matched(self, test: Test, value: str, key: str) -> bool:
        match_type, octet = test.tags[0], test.comparator == "i;octet"
        a, b = (value, key) if octet else (value.lower(), key.lower())
        match match_type:
            case ":is":
                return a == b
            case ":contains":
                return b in a
            case ":matches":
                return self._captured(Regex.compile(glob(key, octet)).groups(value))
            case ":regex":
                return self._captured(Regex.compile(key if octet else f"(?i){key}").groups(value))
        order = (number(value) > number(key)) - (number(value) < number(key)) if test.comparator.endswith("numeric") else (a > b) - (a < b)
        return order in _RELATIONS.get(test.relation, ())

    def _captured(self, groups: list[str] | None) -> bool:
        if groups is None:
            return False
        self.matches = groups
        return True


class _Names(dict[str, Value]):
    """The variables as an expression sees them."""

    def __init__(self, machine: _Machine) -> None:
        super().__init__()
        self.machine = machine

    def get(self, name: str, default: object = None) -> Value:
        return self.machine.variable(name)


class _Plugins:
    """The functions of Sieve's expressions that are not those of settings; a failed one yields empty text."""

    def __init__(self, machine: _Machine) -> None:
        self.machine = machine

    def call(self, name: str, arguments: list[Value]) -> Value | None:
        lookups = self.machine.lookups
        extra = self.machine.context.extra.get(name)
        if extra is not None:
            return extra(arguments)
        if name not in EXTRA and name not in PLUGINS:
            return None
        try:
            return EXTRA[name][1](arguments, STYLE) if name in EXTRA else _plugin(name, arguments, lookups)
        except LimitReached:
            raise
        except EvalError as error:
            if error.message not in self.machine.outcome.remarks:
                self.machine.outcome.remarks.append(error.message)
            return EMPTY


def _store(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _plugin(name: str, arguments: list[Value], lookups: SieveLookups) -> Value:
    words = [STYLE.text(argument) for argument in arguments]
    store = _store(arguments[0])
    match name:
        case "key_get":
            return lookups.get(store, words[1])
        case "key_exists":
            keys = [STYLE.text(key) for key in array(arguments[1])]
            return int(any(lookups.exists(store, key) for key in keys if key))
        case "key_set":
            lookups.set(store, words[1], arguments[2], _expires_in(arguments[3]))
            return 1
        case "query":
            if words[1][:6].upper() == "SELECT":
                return shape_rows(lookups.query(store, words[1], array(arguments[2])))
            return _command(store, words[1], array(arguments[2]), lookups)
    raise EvalError(f"{name} is off here: the answer would not be the mail server's. The call yields empty text.")


def _command(store: str, sql: str, binds: list[Value], lookups: SieveLookups) -> Value:
    if not lookups.has_list(store or "") and store:
        return EMPTY
    try:
        lookups.query(store, sql, binds)
    except LimitReached:
        raise
    except EvalError:
        return 0
    return 1


def _expires_in(value: Value) -> int | None:
    """Seconds for numbers, floats cut as Stalwart cuts them; never for anything else."""
    if isinstance(value, float):
        return 0 if math.isnan(value) else int(max(-_FOREVER, min(_FOREVER, value)))
    return value if isinstance(value, int) else None


_STATEMENTS: Mapping[str, Callable[[_Machine, Statement], None]] = {
    "require": _Machine.do_nothing,
    "keep": _Machine.do_nothing,
    "let": _Machine.do_let,
    "set": _Machine.do_set,
    "eval": _Machine.do_eval,
    "global": _Machine.do_global,
    "if": _Machine.do_if,
    "while": _Machine.do_while,
    "break": _Machine.do_break,
    "continue": _Machine.do_continue,
    "stop": _Machine.do_stop,
    "discard": _Machine.do_discard,
    "reject": _Machine.do_reject,
}
