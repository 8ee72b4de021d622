"""`lookup`: evaluate an expression against the stores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from stores.expressions import Value, from_json
from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand
from stores.models import VERSIONS
from stores.registry import find_store
from stores.services.console import Result, evaluate_expression
from stores.services.lookup import Lookups

DEFAULT_VERSION = "0.11"


class Command(KvCommand):
    help = "Evaluate an expression as Stalwart does, lookups against the real stores. Writes are off unless allowed."
    details = """\
With --json: {"type": integer|float|string|array|none, "result", "error": null or {"kind": parse|eval, "message", "position"},
"notes": [...], "trace": [{"function", "asked", "store", "key", "hit", "answer", "milliseconds", "note"}...]}. Exit code 1 with an error.
With --batch FILE (- is stdin): one JSON object {"expression", "variables"} a line in, one {"type", "result", "error"} a line out,
in order; exit code 0 unless the input is malformed. Not-a-number and infinities are written NaN, Infinity, -Infinity.
Known variables are the given ones; true and false count as 1 and 0;
"$NAME" is a global.

  kvadmin lookup "key_get('', sender_domain)" --var sender_domain=example.org
  kvadmin lookup --batch rules.jsonl --json"""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("expression", metavar="EXPR", nargs="?")
        parser.add_argument("--var", metavar="NAME=VALUE", action="append", default=[], help="a variable; a JSON value or else text")
        parser.add_argument("--setting", metavar="NAME=VALUE", action="append", default=[], help="what config_get answers for a setting")
        parser.add_argument("--batch", metavar="FILE", help="JSON Lines of expressions; - reads stdin")
        parser.add_argument("--allow-writes", action="store_true", help="let key_set and counter_incr change the stores")
        parser.add_argument("--version", dest="stalwart", choices=VERSIONS, help="Stalwart's version; that of the default store otherwise")

    def run(self, options: dict[str, Any]) -> int:
        if (options["expression"] is None) is (options["batch"] is None):
            raise Error("Give either an expression or --batch FILE.", returncode=USAGE)
        version = options["stalwart"] or _default_version()
        self.settings = dict(_variable(text, "--setting") for text in options["setting"])
        with Lookups(self.actor, allow_writes=options["allow_writes"]) as stores:
            if options["batch"] is not None:
                return self._batch(options["batch"], stores, version, options["allow_writes"])
            variables = dict(_variable(text) for text in options["var"])
            result = evaluate_expression(options["expression"], variables, stores, version=version, allow_writes=options["allow_writes"])
        return self._one(result, options["json"])

    def json(self, value: Any) -> None:
        """One JSON document on one line. Floats that JSON does not know are written NaN, Infinity and -Infinity."""
        self.stdout.write(json.dumps(value))

    def _one(self, result: Result, as_json: bool) -> int:
        if as_json:
            trace = [
                {"function": q.function, "asked": q.asked, "store": q.store, "key": q.key, "hit": q.hit, "answer": q.answer}
                | {"milliseconds": round(q.milliseconds, 3), "note": q.note}
                for q in result.trace
            ]
            self.json({**result.json(), "notes": list(result.notes), "trace": trace})
            return REFUSED if result.error else DONE
        for question in result.trace:
            answer = question.note or (question.answer if question.hit else "nothing")
            self.line(f"{question.function} {question.store}: {question.key} -> {answer} ({question.milliseconds:.1f} ms)")
        for note in result.notes:
            self.stderr.write(note)
        if result.error:
            where = "" if result.error["position"] is None else f" (at byte {result.error['position']})"
            raise Error(f"{result.error['message']}{where}", returncode=REFUSED)
        self.line(f"{result.type} {json.dumps(result.value, ensure_ascii=False)}")
        return DONE

    def _batch(self, name: str, stores: Lookups, version: str, allow_writes: bool) -> int:
        if name == "-":
            return self._lines(sys.stdin, stores, version, allow_writes)
        try:
            with open(name, encoding="utf-8") as lines:  # noqa: PTH123
                return self._lines(lines, stores, version, allow_writes)
        except (OSError, UnicodeDecodeError) as error:
            raise Error(f"{name} cannot be read: {type(error).__name__}.", returncode=USAGE) from None

    def _lines(self, lines: Iterable[str], stores: Lookups, version: str, allow_writes: bool) -> int:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            expression, variables = _request(line, number)
            result = evaluate_expression(expression, variables, stores, version=version, allow_writes=allow_writes, settings=self.settings)
            self.json(result.json())
            self.stdout.flush()  # whoever writes a line may wait for its answer before the next
        return DONE


def _default_version() -> str:
    from stores.errors import UnknownStore

    try:
        return find_store("").effective_version
    except UnknownStore:
        return DEFAULT_VERSION


def _variable(text: str, option: str = "--var") -> tuple[str, Value]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Error(f"{option} {text} is not of the form NAME=VALUE.", returncode=USAGE)
    try:
        found = json.loads(value)
    except ValueError:
        return name, value
    return name, value if found is None else from_json(found)


def _request(line: str, number: int) -> tuple[str, dict[str, Value]]:
    try:
        request = json.loads(line)
        expression, variables = request["expression"], request.get("variables", {})
        if not isinstance(expression, str) or not isinstance(variables, dict):
            raise TypeError
        return expression, {name: from_json(value) for name, value in variables.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Error(f'Line {number} is not of the form {{"expression": text, "variables": object}}.', returncode=USAGE) from None
