"""Runs a program on a value stack, within limits (expressions.md 1.6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stores.expressions.errors import EvalError, LimitReached
from stores.expressions.functions import LOOKUPS, PURE, Style, is_ip_in_cidr
from stores.expressions.lexer import Dialect
from stores.expressions.parser import Item, Program
from stores.expressions.regexes import Regex
from stores.expressions.values import (
    EMPTY,
    Value,
    add,
    array,
    compare,
    divide,
    equal,
    integer,
    multiply,
    negate,
    plain_float,
    scientific_float,
    subtract,
    truth,
    unsigned,
)


class Lookups(Protocol):
    """What the outside answers. Every method may raise EvalError, which abandons the expression."""

    def key_get(self, store: str, key: str) -> Value: ...
    def key_exists(self, store: str, key: str) -> bool: ...
    def key_set(self, store: str, key: str, value: str) -> bool: ...
    def counter_incr(self, store: str, key: str, delta: int) -> int: ...
    def counter_get(self, store: str, key: str) -> int: ...
    def sql_query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int: ...
    def dns_query(self, name: str, record: str) -> Value: ...
    def is_local(self, what: str, directory: str, value: str) -> bool: ...
    def setting(self, key: str) -> Value: ...


class NoLookups:
    """Every question fails: for expressions that must not ask anything."""

    def _no(self, *_: object) -> EvalError:
        return EvalError("Lookups are not available here")

    def key_get(self, store: str, key: str) -> Value:
        raise self._no()

    def key_exists(self, store: str, key: str) -> bool:
        raise self._no()

    def key_set(self, store: str, key: str, value: str) -> bool:
        raise self._no()

    def counter_incr(self, store: str, key: str, delta: int) -> int:
        raise self._no()

    def counter_get(self, store: str, key: str) -> int:
        raise self._no()

    def sql_query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        raise EvalError("sql_query is off here; it would run against the mail server's database")

    def dns_query(self, name: str, record: str) -> Value:
        raise EvalError("dns_query is off here; the answer would depend on this machine's resolver")

    def is_local(self, what: str, directory: str, value: str) -> bool:
        raise EvalError(f"{what} is off here; kvadmin does not know the mail server's directory")

    def setting(self, key: str) -> Value:
        return EMPTY


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use."""

    steps: int = 10_000
    seconds: float = 5.0
    lookups: int = 100
    size: int = 1 << 20
    """Characters and elements of any value in between."""


@dataclass(slots=True)
class Context:
    """One evaluation: variables, globals, lookups, and the captures that an IF block shares.

    `version` is Stalwart's ("0.11"): it decides how floats become text and how `sort` counts its flag.
    """

    variables: Mapping[str, Value] = field(default_factory=dict)
    globals: Mapping[str, Value] = field(default_factory=dict)
    lookups: Lookups = field(default_factory=NoLookups)
    version: str = "0.11"
    limits: Limits = field(default_factory=Limits)
    missing: Value = EMPTY
    captures: list[str] = field(default_factory=list)
    steps: int = 0
    asked: int = 0
    deadline: float | None = None
    functions: Callable[[str, list[Value]], Value | None] | None = None
    """Asked before the functions here; None says that it does not know the name."""

    def ask(self) -> None:
        """Count a lookup. Raises LimitReached."""
        self.asked += 1
        if self.asked > self.limits.lookups:
            raise LimitReached(f"More than {self.limits.lookups} lookups")

    def require_time(self, at: int | None = None) -> None:
        """Raise LimitReached after the last second."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LimitReached(f"Took longer than {self.limits.seconds:g} s", at)

    @property
    def style(self) -> Style:
        minor = int(self.version.partition(".")[2] or 11)
        return Style(plain_float if minor < 12 else scientific_float, minor < 16)


def dialect(version: str = "0.11") -> Dialect:
    """The expression dialect of settings in a version of Stalwart."""
    functions = {name: arity for name, (arity, _) in PURE.items()} | dict(LOOKUPS)
    if version == "0.16":
        functions |= {"is_local_domain": 1, "is_local_address": 1, "is_ip_in_cidr": 2}
    return Dialect(functions)


def evaluate(program: Program, context: Context) -> Value | None:
    """The value, or None for an empty program. Raises EvalError; LimitReached when it would take too much."""
    if not program.items:
        return None
    if context.deadline is None:
        context.deadline = time.monotonic() + context.limits.seconds
    stack: list[Value] = []
    at, style = 0, context.style
    while at < len(program.items):
        item = program.items[at]
        at += 1
        if item.op == "jump":
            if truth(stack[-1] if stack else EMPTY) is item.payload:
                at += item.skip
            continue
        _charge(context, item)
        value = _step(item, stack, context, style)
        if isinstance(value, (str, list)) and len(value) > context.limits.size:
            raise LimitReached(f"A value grew over {context.limits.size} characters", item.at)
        stack.append(value)
    return stack[-1] if stack else EMPTY


def _charge(context: Context, item: Item) -> None:
    context.steps += 1
    if context.steps > context.limits.steps:
        raise LimitReached(f"More than {context.limits.steps} steps", item.at)
    context.require_time(item.at)


def _pop(stack: list[Value]) -> Value:
    return stack.pop() if stack else EMPTY


def _arguments(stack: list[Value], count: int) -> list[Value]:
    return [_pop(stack) for _ in range(count)][::-1]


def _step(item: Item, stack: list[Value], context: Context, style: Style) -> Value:
    payload = item.payload
    match item.op:
        case "constant":
            return payload if isinstance(payload, (str, int, float)) else EMPTY
        case "variable":
            return context.variables.get(str(payload), context.missing)
        case "global":
            return context.globals.get(str(payload), 0)
        case "capture":
            index = payload if isinstance(payload, int) else 0
            return context.captures[index] if index < len(context.captures) else EMPTY
        case "unary":
            value = _pop(stack)
            return int(not truth(value)) if payload == "!" else negate(value)
        case "binary":
            right, left = _pop(stack), _pop(stack)
            return _binary(str(payload), left, right)
    assert isinstance(payload, tuple)
    target, arity = payload
    match item.op:
        case "array":
            return _arguments(stack, arity)
        case "index":
            return _index(stack)
        case "setting":
            return context.lookups.setting(str(target))
        case "regex":
            return _matches(target, _pop(stack), context, style)
    return _call(str(target), _arguments(stack, arity), context, style, item.at)


def _index(stack: list[Value]) -> Value:
    index, elements = unsigned(_pop(stack)) or 0, array(_pop(stack))
    return elements[index] if index < len(elements) else EMPTY


def _matches(pattern: object, value: Value, context: Context, style: Style) -> Value:
    assert isinstance(pattern, Regex)
    found = pattern.groups(style.text(value))
    context.captures[:] = found or []
    return int(found is not None)


def _binary(operator: str, left: Value, right: Value) -> Value:
    match operator:
        case "+":
            return add(left, right)
        case "-":
            return subtract(left, right)
        case "*":
            return multiply(left, right)
        case "/":
            return divide(left, right)
        case "=":
            return int(equal(left, right))
        case "!=":
            return int(not equal(left, right))
        case "&&":
            return int(truth(left) and truth(right))
        case "||":
            return int(truth(left) or truth(right))
        case "^":
            return int(truth(left) is not truth(right))
    order = compare(left, right)
    if order is None:
        return 0
    return int({"<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[operator])


DNS_TYPES = frozenset({"ip", "ipv4", "ipv6", "mx", "ptr", "txt"})


def shape_rows(answer: list[list[Value]] | int) -> Value:
    """No row is empty text, one value stands alone, one row is an array, more are an array of arrays."""
    if isinstance(answer, int):
        return answer
    if len(answer) == 1:
        return answer[0][0] if len(answer[0]) == 1 and answer[0][0] != EMPTY else [*answer[0]]
    return [[*row] for row in answer] if answer else EMPTY


def _call(name: str, arguments: list[Value], context: Context, style: Style, at: int) -> Value:
    pure = PURE.get(name)
    try:
        own = context.functions(name, arguments) if context.functions is not None else None
        if own is not None:
            return own
        if pure is not None:
            return pure[1](arguments, style)
        if name == "is_ip_in_cidr":
            return is_ip_in_cidr(style.text(arguments[0]), style.text(arguments[1]))
        context.ask()
        return _ask(name, arguments, context.lookups, style)
    except EvalError as error:
        if error.position is None:
            error.position = at
        raise


def _ask(name: str, arguments: list[Value], lookups: Lookups, style: Style) -> Value:
    words = [style.text(argument) for argument in arguments]
    match name:
        case "key_get":
            return lookups.key_get(words[0], words[1])
        case "key_exists":
            return int(lookups.key_exists(words[0], words[1]))
        case "key_set":
            return int(lookups.key_set(words[0], words[1], words[2]))
        case "counter_incr":
            return lookups.counter_incr(words[0], words[1], integer(arguments[2]) or 0)
        case "counter_get":
            return lookups.counter_get(words[0], words[1])
        case "sql_query":
            return shape_rows(lookups.sql_query(words[0], words[1], array(arguments[2])))
        case "dns_query":
            return lookups.dns_query(words[0], words[1]) if words[1] in DNS_TYPES else EMPTY
    return int(lookups.is_local(name, words[0] if len(words) > 1 else "", words[-1]))
