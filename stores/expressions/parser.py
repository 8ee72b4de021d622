"""Tokens to a flat program by the shunting yard that Stalwart uses (expressions.md 1.5), its odd corners included."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

from stores.expressions.errors import ParseError
from stores.expressions.lexer import Dialect, Lexer, Resolve, T, Token

PRECEDENCE = {"||": 1, "&&": 2, "^": 3, "=": 4, "!=": 4, "<": 5, ">": 5, "<=": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7}
MAX_BYTES = 64 * 1024
MAX_DEPTH = 200


@dataclass(slots=True)
class Item:
    """One step of a program. `op` says what to do with `payload`; `skip` is how far a JUMP jumps."""

    op: str
    payload: object = None
    at: int = 0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """A parsed expression, ready to be evaluated any number of times. No items means "empty": it evaluates to nothing."""

    source: str
    items: tuple[Item, ...]


@dataclass(slots=True)
class _Pending:
    """An operator, opener or marker that waits on the stack."""

    kind: str
    payload: object = None
    at: int = 0
    jump: int | None = None
    arity: int = 0


_OPERATORS = ("binary", "unary")
_CALLS = ("function", "array", "index", "regex", "setting")


@dataclass(slots=True)
class _Yard:
    out: list[Item] = field(default_factory=list)
    stack: list[_Pending] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def operand(self) -> None:
        if self.counts:
            self.counts[-1] += 1
            if self.stack:
                below = self.stack[max(len(self.stack) - 2, 0)]
                if below.kind == "array":
                    below.arity += 1

    def emit(self, pending: _Pending) -> None:
        if pending.jump is not None:
            self.out[pending.jump].skip = len(self.out) - pending.jump
        self.out.append(Item(pending.kind, pending.payload, pending.at))

    def flush(self) -> None:
        while self.stack and self.stack[-1].kind in _OPERATORS:
            self.emit(self.stack.pop())

    def push(self, pending: _Pending) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise ParseError(f"Nested more than {MAX_DEPTH} levels deep", pending.at)
        self.stack.append(pending)

    def call(self, kind: str, payload: object, arity: int, at: int) -> None:
        self.operand()
        self.counts.append(0)
        self.push(_Pending(kind, payload, at, arity=arity))

    def binary(self, token: Token) -> None:
        name = str(token.payload)
        if self.counts:
            self.counts[-1] -= 1
        while self.stack:
            top = self.stack[-1]
            if top.kind == "unary" or (top.kind == "binary" and PRECEDENCE[str(top.payload)] >= PRECEDENCE[name]):
                self.emit(self.stack.pop())
            else:
                break
        jump = None
        if name in ("&&", "||"):
            jump = len(self.out)
            self.out.append(Item("jump", name == "||", token.at))
        self.push(_Pending("binary", name, token.at, jump))

    def open_array(self, token: Token, after_value: bool) -> None:
        if after_value:
            self.counts.append(1)
            self.push(_Pending("index", None, token.at, arity=2))
        else:
            self.call("array", None, 0, token.at)
        self.push(_Pending("[", None, token.at))

    def close(self, opener: str, at: int) -> None:
        while self.stack and self.stack[-1].kind in _OPERATORS:
            self.emit(self.stack.pop())
        if not self.stack or self.stack.pop().kind != opener:
            raise ParseError("Mismatched parentheses", at)
        if not self.stack or self.stack[-1].kind not in _CALLS:
            return
        call = self.stack[-1]
        given = self.counts.pop() if self.counts else 0
        if given != call.arity:
            raise ParseError(_wrong_arity(call, given), call.at)
        self.stack.pop()
        self.out.append(Item(call.kind, (call.payload, call.arity), call.at))


def _wrong_arity(call: _Pending, given: int) -> str:
    if call.kind == "index":
        return "Missing array index"
    name = {"array": "array", "regex": "matches", "setting": "config_get"}.get(call.kind, str(call.payload))
    return f'Expression function "{name}" expected {call.arity} arguments, got {given}'


def parse(
    source: str,
    dialect: Dialect,
    variables: Container[str] | Callable[[str], bool] = (),
    constant: Resolve = lambda name: None,
) -> Program:
    """Parse one expression. `variables` are the names that the setting knows.

    Raises ParseError with the byte offset; texts over 64 KB and nesting over 200 levels are refused.
    """
    if len(source) > MAX_BYTES:
        raise ParseError(f"The expression is longer than {MAX_BYTES} bytes", MAX_BYTES)
    known = variables if callable(variables) else variables.__contains__
    lexer = Lexer(source, dialect, known, constant)
    yard, after_value = _Yard(), False
    while (token := lexer.next()) is not None:
        after_value = _feed(yard, token, after_value)
    yard.flush()
    if yard.stack:
        raise ParseError("Invalid token on the operator stack", yard.stack[-1].at)
    return Program(source, tuple(yard.out))


def _feed(yard: _Yard, token: Token, after_value: bool) -> bool:
    """Take one token; returns whether a following `[` is an index."""
    match token.type:
        case T.VARIABLE | T.CONSTANT | T.GLOBAL | T.CAPTURE:
            yard.operand()
            yard.out.append(Item(token.type.name.lower(), token.payload, token.at))
            return token.type is T.VARIABLE
        case T.UNARY:
            yard.push(_Pending("unary", token.payload, token.at))
        case T.OPEN:
            yard.push(_Pending("(", None, token.at))
        case T.CLOSE | T.CLOSE_ARRAY:
            yard.close("(" if token.type is T.CLOSE else "[", token.at)
            return True
        case T.BINARY:
            yard.binary(token)
        case T.FUNCTION:
            name, arity = token.payload if isinstance(token.payload, tuple) else ("", 0)
            yard.call("function", name, arity, token.at)
        case T.REGEX:
            yard.call("regex", token.payload, 1, token.at)
        case T.SETTING:
            yard.call("setting", token.payload, 0, token.at)
        case T.OPEN_ARRAY:
            yard.open_array(token, after_value)
        case T.COMMA:
            yard.flush()
    return False
