"""Stalwart's expression language: parse, evaluate, IF blocks. Clean-room, from the rules in expressions.md and its vectors."""

from stores.expressions.errors import EvalError, ExpressionError, LimitReached, ParseError
from stores.expressions.evaluate import Context, Limits, Lookups, NoLookups, dialect, evaluate
from stores.expressions.parser import Program, parse
from stores.expressions.values import Value, from_json

__all__ = [
    "Context",
    "EvalError",
    "ExpressionError",
    "LimitReached",
    "Limits",
    "Lookups",
    "NoLookups",
    "ParseError",
    "Program",
    "Value",
    "dialect",
    "evaluate",
    "from_json",
    "parse",
]
