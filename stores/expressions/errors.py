"""What can go wrong with an expression: it does not parse, or its evaluation was abandoned."""

from __future__ import annotations


class ExpressionError(Exception):
    """Base. `position` is the byte offset in the expression, None when the fault has no place."""

    kind = "eval"

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class ParseError(ExpressionError):
    """The text is no expression; Stalwart records it when it loads the setting and uses its built-in default."""

    kind = "parse"


class EvalError(ExpressionError):
    """A lookup failed or a limit was reached; Stalwart abandons the expression and the caller uses its own default."""


class LimitReached(EvalError):
    """One of kvadmin's own limits (steps, time, lookups, size), not something Stalwart would say."""
