"""The console: expressions and Sieve scripts evaluated against real stores, with a trace of every question.

Stalwart's own behaviour is kept, also where it surprises: an expression that names an unknown store silently asks the default
one up to 0.15 (a note says so) and answers nothing from 0.16 on; a Sieve call on an unknown store yields empty text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from stores.backends.readonly import ReadOnlyTable
from stores.codecs import bincode
from stores.errors import BadConfig, StoreError, UnknownStore
from stores.expressions import Context, EvalError, ExpressionError, Limits, ParseError, Value, dialect, evaluate, from_json, parse
from stores.expressions.ifblocks import BlockError, evaluate_block, load
from stores.expressions.sieve import SieveContext, compile_script, run_script
from stores.models import Store
from stores.services.lookup import Lookups, unknown_note
from stores.texts import say

Answer = TypeVar("Answer")
Variables = Mapping[str, Value]
ENVELOPE: Final = "envelope."


@dataclass(frozen=True, slots=True)
class Question:
    """One lookup that was made: who asked for what, which store answered, and how long it took."""

    function: str
    asked: str
    """Store id as written, empty for the default."""
    store: str
    """Id of the store that answered, empty when none did."""
    key: str
    hit: bool
    answer: str
    milliseconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an evaluation. `type` is integer, float, string, array or none; `error` is None when it went well."""

    type: str
    value: Value | None
    error: dict[str, object] | None = None
    trace: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    milliseconds: float = 0.0

    def json(self) -> dict[str, object]:
        """The public shape: type, result, error."""
        return {"type": self.type, "result": self.value, "error": self.error}


@dataclass(slots=True)
class StoreLookups:
    """Expression and Sieve lookups bound to stores; one instance an evaluation.

    `version` decides what an unknown store does and how Sieve values are encoded. Writes raise EvalError unless allowed.
    """

    lookups: Lookups
    version: str
    allow_writes: bool = False
    settings: Mapping[str, Value] = field(default_factory=dict)
    trace: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    # expressions

    def key_get(self, store: str, key: str) -> Value:
        if (found := self._store(store)) is None:
            return ""
        return self._ask("key_get", store, found, key, lambda: self._read(found, key), bool)

    def key_exists(self, store: str, key: str) -> bool:
        if (found := self._store(store)) is None:
            return False
        return self._ask("key_exists", store, found, key, lambda: self.lookups.key_exists(found.id, key.encode()), bool)

    def key_set(self, store: str, key: str, value: str) -> bool:
        self._need_writes("key_set")
        if (found := self._store(store)) is None:
            return False
        self._ask("key_set", store, found, key, lambda: self.lookups.key_set(found.id, key.encode(), value.encode()), lambda _: True)
        return True

    def counter_incr(self, store: str, key: str, delta: int) -> int:
        self._need_writes("counter_incr")
        if (found := self._store(store)) is None:
            return 0
        return self._ask(
            "counter_incr", store, found, key, lambda: self.lookups.counter_incr(found.id, key.encode(), delta), lambda _: True
        )

    def counter_get(self, store: str, key: str) -> int:
        if (found := self._store(store)) is None:
            return 0
        return self._ask("counter_get", store, found, key, lambda: self.lookups.counter_get(found.id, key.encode()), bool)

    def sql_query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        raise EvalError(say("sql_query is off here: it would run against the mail server's database."))

    def dns_query(self, name: str, record: str) -> Value:
        raise EvalError(say("dns_query is off here: the answer would come from this machine's resolver, not the mail server's."))

    def is_local(self, what: str, directory: str, value: str) -> bool:
        raise EvalError(say("%(what)s is off here: kvadmin does not know the mail server's directory.", what=what))

    def setting(self, key: str) -> Value:
        return self.settings.get(key, "")

    # Sieve

    def get(self, store: str, key: str) -> Value:
        found = self._known(store)

        def read() -> Value:
            backend = self.lookups.backend(found.id)
            if isinstance(backend, ReadOnlyTable):
                return self._read(found, key)
            payload = backend.key_get(key.encode())
            return "" if payload is None else bincode.as_sieve_reads(payload, self.version)

        return self._ask("key_get", store, found, key, read, bool)

    def exists(self, store: str, key: str) -> bool:
        found = self._known(store)
        return self._ask("key_exists", store, found, key, lambda: self.lookups.key_exists(found.id, key.encode()), bool)

    def set(self, store: str, key: str, value: Value, expires_in: int | None) -> None:
        self._need_writes("key_set")
        found = self._known(store)
        payload = bincode.as_sieve_writes(value, self.version)
        self._ask("key_set", store, found, key, lambda: self.lookups.key_set(found.id, key.encode(), payload, expires_in), lambda _: True)

    def in_list(self, store: str, key: str) -> bool | None:
        if not self.has_list(store):
            self.notes.append(say("The list %(store)s is no store; Stalwart treats the value as not contained.", store=store))
            return None
        try:
            return self.exists(store, key)
        except EvalError:
            return False

    def has_list(self, store: str) -> bool:
        try:
            self.lookups.store(store)
        except UnknownStore:
            return False
        return True

    def query(self, store: str, sql: str, binds: list[Value]) -> list[list[Value]] | int:
        return self.sql_query(store, sql, binds)

    # both

    def _need_writes(self, function: str) -> None:
        if not self.allow_writes:
            raise EvalError(say("%(function)s would write; writes are switched off for this evaluation.", function=function))

    def _read(self, store: Store, key: str) -> Value:
        found = self.lookups.answer(store.id, key.encode())
        return "" if found is None else found

    def _known(self, store: str) -> Store:
        try:
            return self.lookups.store(store)
        except UnknownStore:
            self._say(say("There is no store %(store)s; Stalwart logs an error and the call yields empty text.", store=store))
            raise EvalError(say("There is no store with the id %(store)s.", store=store)) from None
        except StoreError as error:
            raise EvalError(str(error)) from None

    def _store(self, store: str) -> Store | None:
        if store == "*" and self.version == "0.16":
            store = ""
        try:
            return self.lookups.store(store)
        except UnknownStore:
            return self._instead_of(store)
        except StoreError as error:
            raise EvalError(str(error)) from None

    def _instead_of(self, store: str) -> Store | None:
        if not store:
            raise EvalError(say("There is no default lookup store."))
        if self.version == "0.16":
            self._say(say("There is no store %(store)s. %(store_2)s", store=store, store_2=unknown_note(store, self.version)))
            return None
        self._say(say("There is no store %(store)s. %(store_2)s", store=store, store_2=unknown_note(store, self.version)))
        return self._store("")

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _ask(
        self, function: str, asked: str, store: Store, key: str, question: Callable[[], Answer], hit: Callable[[Answer], bool]
    ) -> Answer:
        started = time.perf_counter()
        try:
            answer = question()
        except StoreError as error:
            took = (time.perf_counter() - started) * 1000
            self.trace.append(Question(function, asked, store.id, key, False, "", took, error.message))
            raise EvalError(str(error)) from None
        took = (time.perf_counter() - started) * 1000
        self.trace.append(Question(function, asked, store.id, key, hit(answer), _short(answer), took))
        return answer


def _short(answer: object) -> str:
    shown = "" if answer is None else str(answer)
    return shown if len(shown) <= 80 else shown[:79] + "…"


def type_of(value: Value | None) -> str:
    """The word for a value's type in the public shape."""
    if value is None:
        return "none"
    return {int: "integer", float: "float", str: "string", list: "array"}[type(value)]


def _split(variables: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Variables and `$` globals as values of the language; names with @ are remarks."""
    plain = {name: from_json(value) for name, value in variables.items() if not name.startswith("@")}
    return (
        {name: value for name, value in plain.items() if not name.startswith("$")},
        {name[1:]: value for name, value in plain.items() if name.startswith("$")},
    )


def evaluate_expression(
    source: str,
    variables: Mapping[str, Any],
    lookups: Lookups,
    *,
    version: str = "0.11",
    allow_writes: bool = False,
    settings: Mapping[str, Value] | None = None,
    limits: Limits | None = None,
) -> Result:
    """Evaluate one expression; known variables are the given ones. Never raises for what the expression does."""
    names, globals_ = _split(variables)
    bound = StoreLookups(lookups, version, allow_writes, settings or {})
    context = Context(names, globals_, bound, version, limits or Limits())
    return _result(lambda: evaluate(parse(source, dialect(version), names), context), bound)


def evaluate_setting(
    key: str,
    keys: Mapping[str, str],
    variables: Mapping[str, Any],
    lookups: Lookups,
    *,
    version: str = "0.11",
    allow_writes: bool = False,
) -> Result:
    """Evaluate the IF block under `key` of flattened settings."""
    names, globals_ = _split(variables)
    bound = StoreLookups(lookups, version, allow_writes)
    context = Context(names, globals_, bound, version)

    def run() -> Value | None:
        block = load(key, keys, lambda text: parse(text, dialect(version), names))
        if block is None:
            raise ParseError(say("There is no setting %(key)s.", key=key))
        return evaluate_block(block, context)

    return _result(run, bound)


def _result(run: Callable[[], Value | None], bound: StoreLookups) -> Result:
    started = time.perf_counter()
    value: Value | None = None
    error: dict[str, object] | None = None
    try:
        value = run()
    except ExpressionError as failed:
        error = {"kind": failed.kind, "message": failed.message, "position": failed.position}
        if isinstance(failed, BlockError):
            error["key"] = failed.key
    took = (time.perf_counter() - started) * 1000
    return Result(type_of(value), value, error, tuple(bound.trace), tuple(bound.notes), took)


def setting_in(keys: Mapping[str, str], wanted: str, faults: Sequence[str] = ()) -> str:
    """The setting of flattened keys that is meant: the named one, else the only one. Raises BadConfig for faults and for none."""
    if faults:
        raise BadConfig(" ".join(faults), say("Write it as in Stalwart's configuration."), "source")
    bases = sorted({setting_of(name) for name in keys})
    if wanted and wanted not in bases:
        raise BadConfig(
            say('There is no setting "%(wanted)s" in this text.', wanted=wanted),
            say("Settings: %(names)s.", names=", ".join(bases[:20]) or "none"),
            "key",
        )
    if not wanted and len(bases) != 1:
        raise BadConfig(say("The text holds %(count)s settings.", count=len(bases)), say("Name one as key."), "key")
    return wanted or bases[0]


def plain(value: object) -> object:
    """A value as JSON has it: not-a-number and infinities become the texts NaN, Infinity and -Infinity."""
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def setting_of(key: str) -> str:
    """The setting that a flattened key belongs to: `queue.hop.0000.then` -> `queue.hop`."""
    head, dot, word = key.rpartition(".")
    base, inner, position = head.rpartition(".")
    return base if dot and inner and word in ("if", "then", "else") and position else key


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What a script did: the action for the message, the lookups it made, and why it ended early."""

    action: str
    error: str = ""
    line: int | None = None
    trace: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    milliseconds: float = 0.0


def run_sieve(
    source: str, environment: Mapping[str, Value], lookups: Lookups, *, version: str = "0.11", allow_writes: bool = False
) -> ScriptResult:
    """Run the lookups of a trusted script. Never raises for what the script does.

    `environment`: names without `env.`; those that begin with `envelope.` are of the envelope.
    """
    bound = StoreLookups(lookups, version, allow_writes)
    started = time.perf_counter()
    try:
        script = compile_script(source)
    except ParseError as error:
        return ScriptResult("", error.message, getattr(error, "line", None))
    names = _split(environment)[0]
    envelope = {name.removeprefix(ENVELOPE): value for name, value in names.items() if name.startswith(ENVELOPE)}
    outcome = run_script(script, SieveContext(bound, names, envelope))
    took = (time.perf_counter() - started) * 1000
    notes = (*bound.notes, *outcome.remarks)
    return ScriptResult(outcome.action, outcome.error, None, tuple(bound.trace), notes, took)
