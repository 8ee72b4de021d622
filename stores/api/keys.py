"""Keys: the same filters, checks, trash and audit as the pages.

Writes say what they expect to find. `If-Match: "<etag>"` is the row that was seen, `If-Match: *` whatever there is,
`If-None-Match: *` nothing. A write without a header may only create: 428 where there is something to be overwritten or deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from django.http import HttpResponse
from ninja import Field, Query, Router, Schema
from pydantic import BaseModel

from stores import keyclasses
from stores.api.base import ApiRequest, Body, Cursor, KeyOut, KeyToken, Name, Number, Text, actor, allowed_store, does, key_of, shown
from stores.api.stores import SnippetOut, snippet_list
from stores.errors import BadConfig, Conflict, KeyNotFound, StoreError
from stores.models import Store
from stores.services import edit, keytokens, lock_owner, snippets
from stores.services.browse import list_keys, read_key
from stores.services.durations import parse_expiry
from stores.services.filters import KeyFilter
from stores.services.reveal import reveal
from stores.services.rows import Row
from stores.types import ABSENT, ANYTHING, KEEP, Entry, Expected, Keep

router = Router(tags=["keys"])

Expires = Annotated[str, Field(max_length=100)] | Number | None
"""Unix seconds, as typed ("1h30m", "2030-01-31 18:00", "never"), null for never; empty: the present expiry stays."""
Hex = Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2})*$")]
Value = Annotated[str, Field(max_length=16 << 20)]
Parts = dict[Name, Text]
MOST_AT_ONCE = 1000


class KeysOut(Schema):
    keys: list[KeyOut]
    next: str | None
    scanned: int
    complete: bool
    notes: list[str]


class KeyFilterIn(BaseModel):
    """Which keys: those for which all that is given holds. `prefix` is hex, `match` a glob, `left` 1 for what is left over."""

    class_: str = Field("", alias="class")
    prefix: Annotated[str, Field(max_length=4096, pattern=r"^([0-9a-fA-F]{2})*$")] = ""
    match: str = ""
    q: str = ""
    kind: Literal["", "value", "counter", "lock", "unknown"] = ""
    expiry: Literal["", "expired", "live", "never"] = ""
    after: str = ""
    before: str = ""
    count: str = ""
    size: str = ""
    left: Literal["", "1"] = ""


class Filters(KeyFilterIn):
    cursor: Cursor = ""
    limit: int = Field(100, ge=1, le=1000)


class ValueIn(Body):
    """One of `value` (text), `value_hex`, and `parts`: the value in the decoded form that the key's class has."""

    value: Value | None = None
    value_hex: Hex | None = None
    parts: Parts | None = None
    expires: Expires = ""


class CounterIn(Body):
    number: Number
    expires: Expires = ""


class IncrementIn(Body):
    by: Number = 1
    expires: Expires = ""


class ExpiryIn(Body):
    expires: Expires


class KeyParts(Body):
    """`class` and its parts, named as in `fields` of a key."""

    class_: Name = Field(alias="class")
    parts: Parts


class BuiltOut(Schema):
    key: str
    key_hex: str


class OwnerOut(Schema):
    type: str
    id: str
    facts: list[dict[str, str]] | None


class PickIn(Body):
    key: KeyToken
    etag: Name


class PicksIn(Body):
    keys: Annotated[list[PickIn], Field(min_length=1, max_length=MOST_AT_ONCE)]


class DeletedOut(Schema):
    """`state` is deleted, gone, changed (it is not the row that was seen) or failed."""

    key: str
    state: str
    message: str


class PreconditionFailed(Conflict):
    """`If-Match` or `If-None-Match` does not hold."""

    code = "precondition-failed"
    status = 412


class PreconditionMissing(StoreError):
    """A write over something without saying over what."""

    code = "precondition-required"
    status = 428


@router.get("/stores/{store_id}/keys", **does("read", KeysOut, "Keys of a filter, by cursor"))
def keys(request: ApiRequest, store_id: str, query: Query[Filters]) -> dict[str, Any]:
    """A page may be short and still have a `next`: it ran out of its second, or the count knows hardly a key of the filter."""
    store = allowed_store(request, store_id, "read")
    found = list_keys(store, key_filter(query), query.cursor, query.limit)
    return {
        "keys": [shown(row) for row in found.rows],
        "next": found.next,
        "scanned": found.scanned,
        "complete": found.complete,
        "notes": list(found.notes),
    }


@router.get("/stores/{store_id}/keys/{key}", **does("read", KeyOut, "One key, with its ETag"))
def get_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str) -> dict[str, Any]:
    return _with_etag(response, _read(allowed_store(request, store_id, "read"), key_of(key)))


@router.post("/stores/{store_id}/keys/{key}/reveal", **does("admin", KeyOut, "One key with its secrets in clear, on record"))
def reveal_key(request: ApiRequest, store_id: str, key: str) -> dict[str, Any]:
    """In `label` and `fields`. Every look is in the audit."""
    store = allowed_store(request, store_id, "admin")
    return shown(reveal(actor(request), store, key_of(key)))


@router.put("/stores/{store_id}/keys/{key}", **does("edit", KeyOut, "Write a value"))
def put_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: ValueIn) -> dict[str, Any]:
    """Without `If-Match` only where there is nothing yet."""
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    expires, written = _expires(body.expires), _written(store, raw, body)
    expect = _expected(request, store, raw, may_create=True)

    def write() -> Row:
        if isinstance(written, int):
            return edit.set_counter(actor(request), store, raw, written, expires, expect)
        return edit.set_value(actor(request), store, raw, written, expires, expect)

    return _with_etag(response, _conditional(write))


@router.patch("/stores/{store_id}/keys/{key}", **does("edit", KeyOut, "Change only the expiry"))
def patch_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: ExpiryIn) -> dict[str, Any]:
    """Needs `If-Match`."""
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    expires = _expires(body.expires)
    if isinstance(expires, Keep):
        raise BadConfig("The new expiry is missing.", 'Give "never", a duration, a time, or Unix seconds.', "expires")
    expect = _expected(request, store, raw)
    return _with_etag(response, _conditional(lambda: edit.set_expiry(actor(request), store, raw, expires, expect)))


@router.delete("/stores/{store_id}/keys/{key}", **does("edit", KeyOut, "Delete to the trash; answers what it was"))
def delete_key(request: ApiRequest, store_id: str, key: str) -> dict[str, Any]:
    """Needs `If-Match`."""
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    expect = _expected(request, store, raw)
    return shown(_conditional(lambda: edit.delete_key(actor(request), store, raw, expect)))


@router.put("/stores/{store_id}/keys/{key}/counter", **does("edit", KeyOut, "Set a counter and its marker"))
def put_counter(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: CounterIn) -> dict[str, Any]:
    """Without `If-Match` only where there is nothing yet."""
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    expires, expect = _expires(body.expires), _expected(request, store, raw, may_create=True)
    return _with_etag(response, _conditional(lambda: edit.set_counter(actor(request), store, raw, body.number, expires, expect)))


@router.post("/stores/{store_id}/keys/{key}/increment", **does("edit", KeyOut, "Add to a counter atomically"))
def increment(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: IncrementIn) -> dict[str, Any]:
    """Counts beside the mail server, so it needs no condition."""
    store = allowed_store(request, store_id, "edit")
    return _with_etag(response, edit.increment(actor(request), store, key_of(key), body.by, _expires(body.expires)))


@router.get("/stores/{store_id}/keys/{key}/snippets", **does("read", list[SnippetOut], "Rules that read the key"))
def key_snippets(request: ApiRequest, store_id: str, key: str) -> list[dict[str, Any]]:
    store = allowed_store(request, store_id, "read")
    return snippet_list(snippets.of_key(store.pk, _read(store, key_of(key))))


@router.get("/stores/{store_id}/keys/{key}/owner", **does("read", OwnerOut, "The task or message that a lock of 0.16 is held for"))
def lock_holder(request: ApiRequest, store_id: str, key: str) -> dict[str, Any]:
    """Asks the mail server. `facts` null: it no longer exists there."""
    store = allowed_store(request, store_id, "read")
    owner = lock_owner.ask(actor(request), store, _read(store, key_of(key)))
    facts = None if owner.facts is None else [{"name": name, "text": text} for name, text in owner.facts]
    return {"type": owner.reference.type, "id": owner.reference.id, "facts": facts}


@router.post("/stores/{store_id}/delete-keys", **does("edit", list[DeletedOut], "Delete several keys to the trash"))
def delete_keys(request: ApiRequest, store_id: str, body: PicksIn) -> list[dict[str, Any]]:
    """Each only if it still is the row with that `etag`; in the order of the request. For whole filters there is `bulk`."""
    store = allowed_store(request, store_id, "edit")
    targets: list[edit.Target] = [(key_of(pick.key), pick.etag) for pick in body.keys]
    outcomes = edit.delete_many(actor(request), store, targets)
    return [{"key": pick.key, "state": found.state, "message": found.message} for pick, found in zip(body.keys, outcomes, strict=True)]


@router.post("/stores/{store_id}/build-key", **does("read", BuiltOut, "The bytes of a key from its parts"))
def build_key(request: ApiRequest, store_id: str, body: KeyParts) -> dict[str, Any]:
    """Changes nothing and asks no server."""
    store = allowed_store(request, store_id, "read")
    made = keyclasses.build_key(body.class_, body.parts, store.effective_version)
    return {"key": keytokens.token_of(made), "key_hex": made.hex()}


def key_filter(given: KeyFilterIn) -> KeyFilter:
    """The filter of a query or a body. Raises BadConfig that names the field."""
    return KeyFilter.from_query({name: str(value) for name, value in given.model_dump(by_alias=True).items()})


def _read(store: Store, key: bytes) -> Row:
    row = read_key(store, key)
    if row is None:
        raise KeyNotFound("There is no such key.", "It may have expired or been deleted.")
    return row


def _with_etag(response: HttpResponse, row: Row) -> dict[str, Any]:
    response["ETag"] = f'"{row.entry.etag}"'
    return shown(row)


def _expected(request: ApiRequest, store: Store, key: bytes, *, may_create: bool = False) -> Expected:
    """What the headers expect to find. Raises PreconditionFailed when it is not so, PreconditionMissing where they have to say it."""
    if request.headers.get("If-None-Match", "").strip() == "*":
        return ABSENT
    wanted = request.headers.get("If-Match", "").strip()
    if wanted == "*":
        if may_create and read_key(store, key) is None:
            raise PreconditionFailed("There is no such key.", None)
        return ANYTHING
    if wanted:
        return _seen(store, key, wanted.removeprefix("W/").strip('"'))
    if read_key(store, key) is None:
        return ABSENT if may_create else ANYTHING
    raise PreconditionMissing("The key exists, and the request does not say over what it writes.", "Send If-Match with its ETag, or *.")


def _seen(store: Store, key: bytes, etag: str) -> Entry:
    try:
        return edit.expected_from_etag(store, key, etag)
    except Conflict as error:
        raise PreconditionFailed(error.message, error.current) from None


def _conditional(write: Callable[[], Row]) -> Row:
    """Do it; a row that changed between the look and the write fails the condition too."""
    try:
        return write()
    except Conflict as error:
        raise PreconditionFailed(error.message, error.current) from None


def _written(store: Store, key: bytes, body: ValueIn) -> bytes | int:
    """The value in one of its three forms; a number for a counter in parts."""
    given = [name for name in ("value", "value_hex", "parts") if getattr(body, name) is not None]
    if len(given) != 1:
        raise BadConfig("Give one of value, value_hex and parts.", "value is text, value_hex any bytes.", "value")
    if body.value is not None:
        return body.value.encode()
    if body.value_hex is not None:
        return bytes.fromhex(body.value_hex)
    return keyclasses.encode(_read(store, key).decoded.editable, body.parts or {}, store.effective_version)


def _expires(given: str | int | None) -> int | Keep | None:
    """Unix seconds as a number, None for null, else as the pages read it; empty keeps."""
    if given is None or given == "":
        return KEEP if given == "" else None
    return parse_expiry(f"@{given}" if isinstance(given, int) else given, time.time(), field="expires")
