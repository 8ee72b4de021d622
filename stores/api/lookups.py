"""Lookups as Stalwart answers them: its verbs, expressions, settings and Sieve scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema

from stores.api.base import WHOLE, ApiRequest, Body, Name, Number, actor, does, whole
from stores.errors import BadConfig, UnknownStore
from stores.models import VERSIONS
from stores.registry import find_store
from stores.services import console, tokens
from stores.services.lookup import Lookups, unknown_note
from stores.stalwart_toml.parser import parse

router = Router(tags=["lookups"])

Version = Literal["", "0.10", "0.11", "0.15", "0.16"]
"""Of Stalwart; empty: that of the default store."""
Source = Annotated[str, Field(max_length=64 * 1024)]
Variables = dict[Name, Any]
Seconds = Annotated[int, Field(ge=0, le=1 << 40), WHOLE]
LongText = Annotated[str, Field(max_length=1 << 20)]


class LookupIn(Body):
    """One of Stalwart's own verbs. `value` for key_set, `number` for counter_incr, `expires_in` seconds for both."""

    function: Literal["key_get", "key_exists", "key_set", "key_delete", "counter_get", "counter_incr"]
    store: Name = ""
    key: LongText | Annotated[list[LongText], Field(min_length=1, max_length=1000)]
    """A list only for key_exists: whether any of them exists, empty ones not asked."""
    value: LongText = ""
    number: Number = 1
    expires_in: Seconds | None = None
    allow_writes: bool = False
    """Has to be said for key_set, key_delete and counter_incr."""


class LookupOut(Schema):
    """`type` is integer, float, string or none. What a static store or an HTTP lookup answers has a type of its own."""

    store: str
    type: str
    result: Any = None


class EvaluateIn(Body):
    expression: Source
    variables: Variables = {}
    version: Version = ""
    allow_writes: bool = False


class SettingIn(Body):
    """`source` is TOML; `key` names the setting in it, empty where it holds only one."""

    source: Source
    key: Name = ""
    variables: Variables = {}
    version: Version = ""
    allow_writes: bool = False


class SieveIn(Body):
    source: Source
    environment: Variables = {}
    version: Version = ""
    allow_writes: bool = False


class QuestionOut(Schema):
    """One lookup that was made. `store` is the one that answered, empty when none did."""

    function: str
    asked: str
    store: str
    key: str
    hit: bool
    answer: str
    milliseconds: float
    note: str


class EvaluateOut(Schema):
    """`type` is integer, float, string, array or none. Not-a-number and infinities are the texts NaN, Infinity, -Infinity."""

    type: str
    result: Any = None
    error: dict[str, Any] | None
    notes: list[str]
    trace: list[QuestionOut]


class SieveOut(Schema):
    """`action` is keep, discard or reject; empty when the script was refused, with the line."""

    action: str
    error: str
    line: int | None
    notes: list[str]
    trace: list[QuestionOut]


@router.post("/lookups", **does("read", LookupOut, "One lookup as Stalwart answers it"))
def look_up(request: ApiRequest, body: LookupIn) -> dict[str, Any]:
    """A store that is not there is an error, also where Stalwart would silently ask the default one: `fix` says so then."""
    writes = body.function in ("key_set", "key_delete", "counter_incr")
    tokens.require(request.auth, "edit" if writes else "read", body.store)
    with Lookups(actor(request), allow_writes=body.allow_writes) as lookups:
        try:
            store = lookups.store(body.store)
        except UnknownStore as error:
            raise UnknownStore(error.message, unknown_note(body.store) or error.fix) from None
        result = _verb(lookups, store.id, body)
    return {"store": store.id, "type": console.type_of(result), "result": console.plain(result)}


@router.post("/lookups/evaluate", **does("read", EvaluateOut, "Evaluate an expression"))
def evaluate(request: ApiRequest, body: EvaluateIn) -> dict[str, Any]:
    """An error of the expression is in the answer. A token for single stores may not: an expression names any."""
    whole(request, "edit" if body.allow_writes else "read")
    with Lookups(actor(request), allow_writes=body.allow_writes) as lookups:
        result = console.evaluate_expression(
            body.expression, body.variables, lookups, version=_version(body.version), allow_writes=body.allow_writes
        )
    return _result(result)


@router.post("/lookups/setting", **does("read", EvaluateOut, "Evaluate a setting with its conditions"))
def evaluate_setting(request: ApiRequest, body: SettingIn) -> dict[str, Any]:
    """The settings of Stalwart whose value is an expression, or a list of if, then and else."""
    whole(request, "edit" if body.allow_writes else "read")
    document = parse(body.source if body.source.endswith("\n") else body.source + "\n")
    keys = {name: setting.value for name, setting in document.settings.items()}
    base = console.setting_in(keys, body.key, [f"Line {fault.line}: {fault.message}" for fault in document.faults])
    with Lookups(actor(request), allow_writes=body.allow_writes) as lookups:
        result = console.evaluate_setting(
            base, keys, body.variables, lookups, version=_version(body.version), allow_writes=body.allow_writes
        )
    return _result(result)


@router.post("/lookups/sieve", **does("read", SieveOut, "Run the lookups of a trusted Sieve script"))
def run_sieve(request: ApiRequest, body: SieveIn) -> dict[str, Any]:
    """Nothing is done to any message. What the script uses and is not run here is refused by name and line."""
    whole(request, "edit" if body.allow_writes else "read")
    with Lookups(actor(request), allow_writes=body.allow_writes) as lookups:
        result = console.run_sieve(body.source, body.environment, lookups, version=_version(body.version), allow_writes=body.allow_writes)
    return {"action": result.action, "error": result.error, "line": result.line, **_remarks(result)}


def _result(result: console.Result) -> dict[str, Any]:
    return {"type": result.type, "result": console.plain(result.value), "error": result.error, **_remarks(result)}


def _remarks(result: console.Result | console.ScriptResult) -> dict[str, Any]:
    trace = [asdict(question) | {"milliseconds": round(question.milliseconds, 3)} for question in result.trace]
    return {"notes": list(result.notes), "trace": trace}


def _version(wanted: str) -> str:
    assert not wanted or wanted in VERSIONS
    return wanted or find_store("").effective_version


def _verb(lookups: Lookups, store: str, body: LookupIn) -> Any:
    if isinstance(body.key, list):
        if body.function != "key_exists":
            raise BadConfig("Only key_exists takes a list of keys.", "Give one key.", "key")
        return int(lookups.key_exists(store, [key.encode() for key in body.key]))
    key = body.key.encode()
    match body.function:
        case "key_get":
            return lookups.answer(store, key)
        case "key_exists":
            return int(lookups.key_exists(store, key))
        case "counter_get":
            return lookups.counter_get(store, key)
        case "counter_incr":
            return lookups.counter_incr(store, key, body.number, body.expires_in)
        case "key_set":
            lookups.key_set(store, key, body.value.encode(), body.expires_in)
        case "key_delete":
            lookups.key_delete(store, key)
    return 1
