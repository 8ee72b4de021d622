"""A script's text to its tree; expressions are compiled on the way, so that an unknown name is found before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from stores.expressions.errors import ParseError
from stores.expressions.functions import PURE
from stores.expressions.lexer import Dialect
from stores.expressions.parser import Program, parse
from stores.expressions.sieve.functions import EXTRA, NOT_SIMULATED, PLUGINS
from stores.expressions.sieve.syntax import Reader, Script, SieveError, Statement, Test, Token

ABSENT_HERE = frozenset({"if_then", "split_words"})
"""Functions of settings that Sieve does not have."""

NOT_RUN = frozenset(
    {
        "include", "return", "fileinto", "redirect", "notify", "vacation", "addheader", "deleteheader", "editheader", "foreverypart",
        "replace", "enclose", "extracttext", "convert", "ereject", "addflag", "setflag", "removeflag", "error", "translate", "execute",
        "header", "address", "envelope", "exists", "size", "body", "date", "currentdate", "environment", "duplicate", "ihave", "hasflag",
        "mailboxexists", "metadata", "spamtest", "virustest",
    }
)  # fmt: skip
"""Known to Sieve, not run here: they need a message or act on one."""

STRING_TESTS = frozenset({":is", ":contains", ":matches", ":regex", ":value", ":count", ":list"})
MODIFIERS = frozenset(
    {":lower", ":upper", ":lowerfirst", ":upperfirst", ":length", ":quotewildcard", ":quoteregex", ":encodeurl", ":replace"}
)
DISABLED = frozenset({"fileinto", "vacation", "vacation-seconds", "fcc", "mailbox", "mailboxid", "imapsieve", "duplicate", "mboxmetadata"})
CAPABILITIES = frozenset(
    {"variables", "vnd.stalwart.expressions", "vnd.stalwart.while", "extlists", "reject", "ereject", "relational", "regex", "envelope",
     "body", "editheader", "copy", "include", "comparator-i;ascii-numeric", "comparator-i;octet", "encoded-character", "environment"}
)  # fmt: skip
MAX_BLOCKS = 50
MAX_LOCALS = 256


def compile_script(source: str, functions: Mapping[str, int] | None = None, *, check_capabilities: bool = False) -> Script:
    """Compile; raises SieveError with line and column, naming what is wrong or not run here.

    `functions` adds functions by name and arity; `check_capabilities` asks for `require` lines as Stalwart does with
    `no-capability-check = false`.
    """
    return _Compiler(source, functions or {}, check_capabilities).script()


class _Compiler:
    def __init__(self, source: str, functions: Mapping[str, int], check: bool) -> None:
        self.source = source
        reader = Reader(source)
        self.tokens = list(reader.tokens())
        self.end = (reader.line, len(source) - reader.line_start - 1)
        self.at = 0
        self.check = check
        self.required: list[str] = []
        self.scopes: list[set[str]] = [set()]
        self.globals: set[str] = set()
        self.loops = 0
        known = {name: arity for name, (arity, _) in PURE.items() if name not in ABSENT_HERE}
        extra = {name: arity for name, (arity, _) in EXTRA.items()}
        self.dialect = Dialect(
            known | extra | dict(PLUGINS) | dict(functions),
            dollar=False,
            durations=False,
            special=False,
            invalid_word='Invalid variable or function name "{word}"',
            variables_first=True,
        )

    def script(self) -> Script:
        body = self._block_until(None)
        return Script(self.source, body, tuple(self.required))

    # tokens

    def _peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _next(self) -> Token:
        token = self._peek()
        if token is None:
            raise SieveError("Unexpected end of file", *self.end)
        self.at += 1
        return token

    def _expect(self, kind: str) -> Token:
        token = self._next()
        if token.kind != kind:
            raise SieveError(f'Expected token "{kind}" but found "{token.text}"', token.line, token.column)
        return token

    def _strings(self) -> tuple[str, ...]:
        token = self._next()
        if token.kind == "string":
            return (token.text,)
        if token.kind != "[":
            raise SieveError(f'Expected token "string" but found "{token.text}"', token.line, token.column)
        found = [self._expect("string").text]
        while (token := self._next()).kind == ",":
            found.append(self._expect("string").text)
        if token.kind != "]":
            raise SieveError(f'Expected token "]" but found "{token.text}"', token.line, token.column)
        return tuple(found)

    # names

    def _known(self, name: str) -> bool:
        lowered = name.lower()
        return lowered.startswith(("env.", "t.", "global.", "envelope.")) or any(lowered in scope for scope in self.scopes)

    def _declare(self, name: str, token: Token) -> str:
        lowered = name.lower()
        if not lowered.startswith(("t.", "global.")) and lowered not in self.globals and not self._known(lowered):
            self.scopes[-1].add(lowered)
            if sum(map(len, self.scopes)) > MAX_LOCALS:
                raise SieveError(f"More than {MAX_LOCALS} variables: Stalwart would silently do nothing", token.line, token.column)
        return lowered

    def _needs(self, capability: str, token: Token) -> None:
        if self.check and capability not in self.required:
            raise SieveError(f"Undeclared capability '{capability}'", token.line, token.column)

    def _expression(self, token: Token) -> Program:
        try:
            return parse(token.text, self.dialect, self._known)
        except ParseError as error:
            for name, why in NOT_SIMULATED.items():
                if f'"{name}"' in error.message:
                    raise SieveError(f"{name} is not run here: {why}", token.line, token.column) from None
            raise SieveError(f"Invalid expression {token.text}: {error.message}", token.line, token.column) from None

    # statements

    def _block_until(self, closer: str | None) -> tuple[Statement, ...]:
        body: list[Statement] = []
        while True:
            token = self._peek()
            if token is None and closer is None:
                return tuple(body)
            token = self._next()
            if closer is not None and token.kind == closer:
                return tuple(body)
            if token.kind == ";":
                continue
            body.append(self._statement(token))

    def _block(self) -> tuple[Statement, ...]:
        opener = self._expect("{")
        if len(self.scopes) > MAX_BLOCKS:
            raise SieveError(f"More than {MAX_BLOCKS} nested blocks", opener.line, opener.column)
        self.scopes.append(set())
        body = self._block_until("}")
        self.scopes.pop()
        return body

    def _statement(self, token: Token) -> Statement:
        name = token.text.lower()
        if token.kind != "word" or (name not in _COMMANDS and name not in NOT_RUN):
            raise SieveError(f'Expected token "command" but found "{token.text}"', token.line, token.column)
        if name == "error" and "ihave" not in self.required:
            raise SieveError("Undeclared capability 'ihave'", token.line, token.column)
        if name in NOT_RUN:
            raise SieveError(f"{name} is not run here; only lookups and what decides about them are", token.line, token.column)
        statement = _COMMANDS[name](self, token)
        if name not in ("if", "while"):
            self._expect(";")
        return statement

    def _require(self, token: Token) -> Statement:
        self.required.extend(self._strings())
        return Statement("require", token)

    def _let(self, token: Token) -> Statement:
        self._needs("vnd.stalwart.expressions", token)
        name, text = self._expect("string"), self._expect("string")
        program = self._expression(text)
        return Statement("let", token, self._declare(name.text, name), program=program)

    def _set(self, token: Token) -> Statement:
        self._needs("variables", token)
        modifiers: list[str] = []
        replace = ("", "")
        while (following := self._peek()) is not None and following.kind == "tag":
            tag = self._next().text.lower()
            if tag not in MODIFIERS:
                raise SieveError(f"Unknown modifier {tag}", following.line, following.column)
            modifiers.append(tag)
            if tag == ":replace":
                replace = (self._expect("string").text, self._expect("string").text)
        name, text = self._expect("string"), self._expect("string")
        target = self._declare(name.text, name)
        return Statement("set", token, target, text.text, tuple(modifiers), replace)

    def _eval(self, token: Token) -> Statement:
        self._needs("vnd.stalwart.expressions", token)
        return Statement("eval", token, program=self._expression(self._expect("string")))

    def _global(self, token: Token) -> Statement:
        names = tuple(name.lower() for name in self._strings())
        self.globals.update(names)
        self.scopes[0].update(names)
        return Statement("global", token, modifiers=names)

    def _if(self, token: Token) -> Statement:
        branches: list[tuple[Test | None, tuple[Statement, ...]]] = [(self._test(), self._block())]
        while (following := self._peek()) is not None and following.text.lower() in ("elsif", "else"):
            self.at += 1
            last = following.text.lower() == "else"
            branches.append((None if last else self._test(), self._block()))
            if last:
                break
        return Statement("if", token, branches=tuple(branches))

    def _while(self, token: Token) -> Statement:
        self._needs("vnd.stalwart.while", token)
        program = self._expression(self._expect("string"))
        self.loops += 1
        body = self._block()
        self.loops -= 1
        return Statement("while", token, program=program, body=body)

    def _in_loop(self, token: Token) -> Statement:
        if not self.loops:
            raise SieveError(f"{token.text} outside of a loop", token.line, token.column)
        return Statement(token.text.lower(), token)

    def _plain(self, token: Token) -> Statement:
        return Statement(token.text.lower(), token)

    def _reject(self, token: Token) -> Statement:
        return Statement("reject", token, text=self._expect("string").text)

    # tests

    def _test(self) -> Test:
        token = self._expect("word")
        name = token.text.lower()
        match name:
            case "true" | "false":
                return Test(name, token)
            case "not":
                return Test(name, token, children=(self._test(),))
            case "allof" | "anyof":
                return Test(name, token, children=self._tests())
            case "eval":
                self._needs("vnd.stalwart.expressions", token)
                return Test(name, token, self._expression(self._expect("string")))
            case "valid_ext_list":
                return Test(name, token, keys=self._strings())
            case "string":
                return self._string_test(token)
        if name in NOT_RUN:
            raise SieveError(f"The test {name} is not run here; it needs a message", token.line, token.column)
        raise SieveError(f'Expected token "test" but found "{token.text}"', token.line, token.column)

    def _tests(self) -> tuple[Test, ...]:
        self._expect("(")
        found = [self._test()]
        while (token := self._next()).kind == ",":
            found.append(self._test())
        if token.kind != ")":
            raise SieveError(f'Expected token ")" but found "{token.text}"', token.line, token.column)
        return tuple(found)

    def _string_test(self, token: Token) -> Test:
        match_type, comparator, relation = ":is", "i;ascii-casemap", ""
        while (following := self._peek()) is not None and following.kind == "tag":
            tag = self._next().text.lower()
            if tag == ":comparator":
                comparator = self._expect("string").text
            elif tag in STRING_TESTS:
                match_type = tag
                if tag in (":value", ":count"):
                    relation = self._expect("string").text
            else:
                raise SieveError(f"Unknown tag {tag}", following.line, following.column)
        if match_type == ":list":
            self._needs("extlists", token)
        return Test(
            "string", token, tags=(match_type,), comparator=comparator, relation=relation, values=self._strings(), keys=self._strings()
        )


_COMMANDS = {
    "require": _Compiler._require,
    "let": _Compiler._let,
    "set": _Compiler._set,
    "eval": _Compiler._eval,
    "global": _Compiler._global,
    "if": _Compiler._if,
    "while": _Compiler._while,
    "break": _Compiler._in_loop,
    "continue": _Compiler._in_loop,
    "stop": _Compiler._plain,
    "keep": _Compiler._plain,
    "discard": _Compiler._plain,
    "reject": _Compiler._reject,
}
