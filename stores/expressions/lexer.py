"""Bytes to tokens, quirk for quirk (expressions.md 1.2 to 1.4): what Stalwart accepts is accepted, what it refuses is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from stores.expressions.errors import ParseError
from stores.expressions.regexes import Regex
from stores.expressions.values import I64_MAX, Value


class T(Enum):
    """Token types."""

    VARIABLE = auto()
    CONSTANT = auto()
    GLOBAL = auto()
    CAPTURE = auto()
    FUNCTION = auto()
    REGEX = auto()
    SETTING = auto()
    BINARY = auto()
    UNARY = auto()
    OPEN = auto()
    CLOSE = auto()
    OPEN_ARRAY = auto()
    CLOSE_ARRAY = auto()
    COMMA = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `payload` is the name, operator, constant, regex or function arity, `at` its byte offset."""

    type: T
    payload: object = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a place where expressions stand knows: functions with their arity, and whether it has `$`, durations and so on."""

    functions: Mapping[str, int]
    dollar: bool = True
    durations: bool = True
    special: bool = True
    """`matches('literal', ...)` and `config_get('literal')`."""
    invalid_word: str = 'Invalid variable or constant "{word}"'
    variables_first: bool = False


_DIGITS = frozenset(b"0123456789")
_ALPHA = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$")
_BLANK = frozenset(b" \r\n")
_ASCII_SPACE = frozenset(b" \t\r\n\x0c")
_SIMPLE = {ord("^"): "^", ord("+"): "+", ord("*"): "*", ord("/"): "/"}
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9}
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1, "": 1}

Resolve = Callable[[str], Value | None]
"""Constants of the setting: name -> value, None when the name is no constant."""


def duration_ms(word: str) -> int | None:
    """Milliseconds of `5m`, `1d`, `30s`, `10ms` or plain digits; order of digits and letters does not matter. None if it is none."""
    digits = "".join(c for c in word if c in "0123456789")
    unit = "".join(c for c in word if c not in "0123456789 ").lower()
    if not digits or unit not in _UNITS or len(digits) > 19:
        return None
    amount = int(digits) * _UNITS[unit]
    return amount if 0 < amount <= I64_MAX else None


class Lexer:
    """Yields tokens of one text; raises ParseError with the byte offset."""

    def __init__(self, source: str, dialect: Dialect, is_variable: Callable[[str], bool], constant: Resolve) -> None:
        self.data = source.encode("utf-8", "surrogatepass")
        self.dialect = dialect
        self.is_variable = is_variable
        self.constant = constant
        self.at = 0
        self.word = bytearray()
        self.word_at = 0
        self.has_num = self.has_dot = self.has_alpha = False
        self.start = True
        self.depth = 0
        self.eof = False
        self.queued: Token | None = None

    def next(self) -> Token | None:
        """The next token, None at the end."""
        if self.queued is not None:
            token, self.queued = self.queued, None
            return token
        if self.eof:
            return None
        while (byte := self._read()) is not None:
            if byte == ord("}"):
                self.eof = True
                break
            if self._in_word(byte):
                continue
            previous = self._before(byte)
            if byte in _BLANK:
                if previous is not None:
                    return previous
                continue
            token = self._token(byte)
            self.start = token.type in (T.OPEN, T.COMMA, T.BINARY)
            if previous is None:
                return token
            self.queued = token
            return previous
        return self._end()

    def _end(self) -> Token | None:
        self.eof = True
        if self.depth > 0:
            raise ParseError("Unmatched open parenthesis", self.at)
        return self._classify() if self.word else None

    def _read(self) -> int | None:
        if self.at >= len(self.data):
            return None
        self.at += 1
        return self.data[self.at - 1]

    def _peek_is(self, byte: int) -> bool:
        if self.at < len(self.data) and self.data[self.at] == byte:
            self.at += 1
            return True
        return False

    def _in_word(self, byte: int) -> bool:
        if byte in _ALPHA and (byte != ord("$") or self.dialect.dollar):
            self.has_alpha = True
        elif byte in _DIGITS:
            self.has_num = True
        elif byte == ord("."):
            self.has_dot = True
        elif not (byte == ord(":") and b"." in self.word) and not (byte == ord("*") and self.word.endswith(b".")):
            return False
        if not self.word:
            self.word_at = self.at - 1
        self.word.append(byte)
        return True

    def _before(self, byte: int) -> Token | None:
        """The token of the word that this byte ends, if there is one."""
        if byte == ord("(") and self.dialect.special and bytes(self.word) in (b"matches", b"config_get"):
            at, is_regex = self.word_at, bytes(self.word) == b"matches"
            literal = self._quoted()
            self.word.clear()
            self.has_alpha = False
            if not is_regex:
                return Token(T.SETTING, literal, at)
            regex = Regex.compile(literal, at)
            self._expect_comma()
            return Token(T.REGEX, regex, at)
        if self.word:
            self.start = False
            return self._classify()
        return None

    def _quoted(self) -> str:
        while (byte := self._read()) is not None:
            if byte in (ord("'"), ord('"')):
                return self._string(byte)
            if byte not in _ASCII_SPACE:
                break
        raise ParseError("Expected a string literal", self.at)

    def _expect_comma(self) -> None:
        while (byte := self._read()) is not None:
            if byte == ord(","):
                return
            if byte not in _ASCII_SPACE:
                break
        raise ParseError("Expected a comma after the regular expression", self.at)

    def _string(self, stop: int) -> str:
        out, last, opened = bytearray(), 0, self.at - 1
        while (byte := self._read()) is not None:
            if byte == stop and last != ord("\\"):
                return out.decode("utf-8", "replace")
            out.append(_ESCAPES.get(byte, byte) if last == ord("\\") else byte)
            last = byte
        raise ParseError("Unterminated string", opened)

    def _token(self, byte: int) -> Token:
        at = self.at - 1
        if byte in _SIMPLE:
            return Token(T.BINARY, _SIMPLE[byte], at)
        match chr(byte):
            case "&" | "|" as c:
                self._peek_is(byte)
                return Token(T.BINARY, "&&" if c == "&" else "||", at)
            case "!":
                return Token(T.BINARY, "!=", at) if self._peek_is(ord("=")) else Token(T.UNARY, "!", at)
            case "-":
                return Token(T.UNARY, "-", at) if self.start else Token(T.BINARY, "-", at)
            case "=":
                following = self._read()
                return Token(T.BINARY, {ord(">"): ">=", ord("<"): "<="}.get(following or 0, "="), at)
            case "<" | ">" as c:
                return Token(T.BINARY, c + "=" if self._peek_is(ord("=")) else c, at)
            case "(":
                self.depth += 1
                return Token(T.OPEN, None, at)
            case ")":
                if self.depth == 0:
                    raise ParseError("Unmatched close parenthesis", at)
                self.depth -= 1
                return Token(T.CLOSE, None, at)
            case "[":
                return Token(T.OPEN_ARRAY, None, at)
            case "]":
                return Token(T.CLOSE_ARRAY, None, at)
            case ",":
                return Token(T.COMMA, None, at)
            case "'" | '"':
                return Token(T.CONSTANT, self._string(byte), at)
        shown = self.data[at : at + 4].decode("utf-8", "ignore")[:1] or f"\\x{byte:02x}"
        raise ParseError(f"Invalid character {shown!r}", at)

    def _classify(self) -> Token:
        word, at = self.word.decode("utf-8", "replace"), self.word_at
        self.word.clear()
        if self.has_num and not self.has_alpha:
            self.has_num = False
            return Token(T.CONSTANT, self._number(word, at), at)
        has_num, has_dot = self.has_num, self.has_dot
        self.has_num = self.has_dot = self.has_alpha = False
        if not has_num and not has_dot and word in ("true", "false"):
            return Token(T.CONSTANT, int(word == "true"), at)
        if word.startswith("$") and len(word) > 1:
            rest = word[1:]
            if all(c in "0123456789" for c in rest) and int(rest[:20]) < 1 << 32:
                return Token(T.CAPTURE, int(rest), at)
            return Token(T.GLOBAL, rest, at)
        return self._named(word, at)

    def _number(self, word: str, at: int) -> int | float:
        if self.has_dot:
            self.has_dot = False
            try:
                if any(c not in "0123456789." for c in word):
                    raise ValueError
                return float(word)
            except ValueError:
                raise ParseError(f'Failed to parse number "{word}"', at) from None
        if not word.isascii() or not word.isdigit() or int(word[:25]) > I64_MAX:
            raise ParseError(f'Failed to parse number "{word}"', at)
        return int(word)

    def _named(self, word: str, at: int) -> Token:
        if self.dialect.variables_first and self.is_variable(word):
            return Token(T.VARIABLE, word, at)
        if word in self.dialect.functions:
            return Token(T.FUNCTION, (word, self.dialect.functions[word]), at)
        if self.is_variable(word):
            return Token(T.VARIABLE, word, at)
        constant = self.constant(word)
        if constant is None and self.dialect.durations:
            constant = duration_ms(word)
        if constant is None:
            raise ParseError(self.dialect.invalid_word.format(word=word), at)
        return Token(T.CONSTANT, constant, at)
