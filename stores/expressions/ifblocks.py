"""IF blocks of a setting: loading from flattened keys, evaluation, conversion to the setting's type (expressions.md 5 and 2.5)."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stores.expressions.errors import ParseError
from stores.expressions.evaluate import Context, evaluate
from stores.expressions.lexer import duration_ms
from stores.expressions.parser import Program
from stores.expressions.values import U64, Value, array, integer, truth, unsigned

Parse = Callable[[str], Program]


class BlockError(ParseError):
    """The setting is refused when it is loaded; Stalwart keeps its built-in default. `key` is the flattened key at fault."""

    def __init__(self, key: str, message: str, position: int | None = None) -> None:
        super().__init__(message, position)
        self.key = key


@dataclass(frozen=True, slots=True)
class IfBlock:
    """A setting with its conditions; `default` is the `else` branch or the only expression."""

    key: str
    branches: tuple[tuple[Program, Program], ...]
    default: Program


@dataclass(slots=True)
class _Loading:
    key: str
    parse: Parse
    branches: list[tuple[Program, Program]] = field(default_factory=list)
    condition: Program | None = None
    if_at: str = ""
    then_at: str = ""
    default: Program | None = None
    else_at: str = ""

    def fail(self, message: str) -> BlockError:
        return BlockError(self.key, message)

    def expression(self, key: str, text: str) -> Program:
        try:
            return self.parse(text)
        except ParseError as error:
            raise BlockError(key, error.message, error.position) from None

    def take(self, key: str, position: str, word: str, text: str) -> None:
        if word == "if":
            self._if(key, position, text)
        elif word == "then":
            self._then(key, position, text)
        elif word == "else":
            self._else(key, position, text)

    def _if(self, key: str, position: str, text: str) -> None:
        if position == self.if_at:
            return
        if self.condition is not None:
            raise self.fail(f"Missing 'then' in 'if' condition {len(self.branches) + 1}.")
        self.condition, self.if_at = self.expression(key, text), position

    def _then(self, key: str, position: str, text: str) -> None:
        if self.default is not None:
            raise self.fail("Found 'then' in 'else' block")
        if position != self.if_at or not self.if_at:
            raise self.fail("Found 'then' without 'if'")
        if self.condition is not None:
            self.branches.append((self.condition, self.expression(key, text)))
            self.condition = None

    def _else(self, key: str, position: str, text: str) -> None:
        if not self.if_at:
            raise self.fail("Found 'else' before 'if'")
        if self.default is None:
            self.default, self.else_at = self.expression(key, text), position
        elif position != self.else_at:
            raise self.fail("Multiple 'else' found")


def load(key: str, settings: Mapping[str, str], parse: Parse) -> IfBlock | None:
    """The block under `key` of flattened settings, None when it is unset. Raises BlockError with the key at fault."""
    loading = _Loading(key, parse)
    if key in settings:
        return IfBlock(key, (), loading.expression(key, settings[key]))
    prefix = key + "."
    for name in sorted(settings):
        if not name.startswith(prefix):
            continue
        position, dot, word = name.removeprefix(prefix).partition(".")
        if not dot:
            raise loading.fail(f"Invalid property {_quoted(name)} found in 'if' block.")
        loading.take(name, position, word.partition(".")[0], settings[name])
    if not loading.if_at:
        return None
    if loading.condition is not None:
        raise loading.fail(f"Missing 'then' in 'if' condition {len(loading.branches) + 1}")
    if loading.default is None:
        raise loading.fail("Missing 'else'")
    return IfBlock(key, tuple(loading.branches), loading.default)


def _quoted(name: str) -> str:
    return '"' + name + '"'


def evaluate_block(block: IfBlock, context: Context) -> Value | None:
    """The first branch whose condition is true, else the default; captures are shared by the whole block.

    Raises EvalError when anything on the evaluated path failed. None when the chosen expression is empty.
    """
    for condition, consequence in block.branches:
        found = evaluate(condition, context)
        if found is not None and truth(found):
            return evaluate(consequence, context)
    return evaluate(block.default, context)


Converted = Value | bool | None


def convert(value: Value, wanted: str) -> Converted | list[Converted]:
    """The value as the setting's type, None when it does not fit and the caller's own default applies.

    `wanted`: any, bool, string, integer, unsigned, usize, duration (ms), rate ([requests, ms]), ip, status, strings, durations.
    """
    if wanted in ("strings", "durations"):
        elements = [convert(element, wanted[:-1]) for element in array(value)]
        return None if any(element is None for element in elements) else elements  # type: ignore[return-value]
    converter = _CONVERTERS.get(wanted)
    return value if converter is None else converter(value)


def _duration(value: Value) -> int | None:
    if isinstance(value, str):
        return duration_ms(value)
    if isinstance(value, (int, float)) and not (isinstance(value, float) and not math.isfinite(value)):
        whole = int(value)
        return whole if whole > 0 else None
    return None


def _rate(value: Value) -> Value | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    requests, period = integer(value[0]), integer(value[1])
    return [requests, period] if requests and period and requests > 0 and period > 0 else None


def _ip(value: Value) -> str | None:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _status(value: Value) -> int | None:
    number = integer(value)
    return number if number is not None and 100 <= number <= 999 else None


def _unsigned(value: Value) -> int | None:
    number = integer(value)
    return None if number is None else number % U64


_CONVERTERS: Mapping[str, Callable[[Value], Converted]] = {
    "bool": truth,
    "string": lambda value: value if isinstance(value, str) else None,
    "integer": integer,
    "unsigned": _unsigned,
    "usize": unsigned,
    "duration": _duration,
    "rate": _rate,
    "ip": _ip,
    "status": _status,
}
