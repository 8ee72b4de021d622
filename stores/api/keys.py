"""Keys: the same filters, checks, trash and audit as the pages; conditional through `If-Match` and `If-None-Match: *`."""

from __future__ import annotations

import time
from typing import Any, Literal

from django.http import HttpResponse
from ninja import Field, Query, Router, Schema

from stores.api.base import PROBLEMS, ApiRequest, actor, allowed_store, key_of, shown
from stores.errors import BadConfig, Conflict, KeyNotFound
from stores.models import Store
from stores.services import edit
from stores.services.browse import list_keys, read_key
from stores.services.durations import parse_expiry
from stores.services.filters import KeyFilter
from stores.services.rows import Row
from stores.types import ABSENT, ANYTHING, KEEP, Entry, Expected, Keep

router = Router(tags=["keys"])


class KeyOut(Schema):
    key: str
    """For addresses: unpadded base64url, `-` for the empty key, sealed where the key is secret."""
    key_hex: str | None
    kind: Literal["value", "counter", "lock", "unknown"]
    class_: str | None = Field(alias="class")
    """Slug of the key class, null for user keys."""
    value_hex: str | None
    counter: int | None
    expires_at: int | None
    expired: bool
    label: str
    value_label: str
    fields: dict[str, Any]
    masked: bool
    etag: str


class KeysOut(Schema):
    keys: list[KeyOut]
    next: str | None
    scanned: int
    complete: bool
    notes: list[str]


class Filters(Schema):
    """As the key list's address: class, prefix (hex), match (glob), q, kind, expiry, after, before, count, size, left."""

    class_: str = ""
    prefix: str = ""
    match: str = ""
    q: str = ""
    kind: str = ""
    expiry: str = ""
    after: str = ""
    before: str = ""
    count: str = ""
    size: str = ""
    left: str = ""
    cursor: str = ""
    limit: int = 100


class ValueIn(Schema):
    """`value_hex` or `value` (text); `expires` as typed ("1h30m", "2030-01-31 18:00", "never"), left out: kept."""

    value_hex: str | None = None
    value: str | None = None
    expires: str | int | None = ""


class CounterIn(Schema):
    number: int
    expires: str | int | None = ""


class IncrementIn(Schema):
    by: int = 1
    expires: str | int | None = ""


class ExpiryIn(Schema):
    expires: str | int | None


@router.get("/{store_id}/keys", response={200: KeysOut, **PROBLEMS}, by_alias=True, summary="Keys of a filter, by cursor")
def keys(request: ApiRequest, store_id: str, query: Query[Filters]) -> dict[str, Any]:
    """`class` is sent as the parameter `class`. A page may be short and still have a `next`: it ran out of its second."""
    store = allowed_store(request, store_id, "read")
    if not 1 <= query.limit <= 1000:
        raise BadConfig("limit is between 1 and 1000.", "Follow next for more.", "limit")
    wanted = KeyFilter.from_query(query.dict() | {"class": request.GET.get("class", query.class_)})
    found = list_keys(store, wanted, query.cursor, query.limit)
    return {
        "keys": [shown(row) for row in found.rows],
        "next": found.next,
        "scanned": found.scanned,
        "complete": found.complete,
        "notes": list(found.notes),
    }


@router.get("/{store_id}/keys/{key}", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="One key, with its ETag")
def get_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str) -> dict[str, Any]:
    return _with_etag(response, _read(allowed_store(request, store_id, "read"), key_of(key)))


@router.put("/{store_id}/keys/{key}", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="Write a value")
def put_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: ValueIn) -> dict[str, Any]:
    """With `If-Match` only over the row that was seen, with `If-None-Match: *` only where there is none."""
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    row = edit.set_value(actor(request), store, raw, _payload(body), _expires(body.expires), _expected(request, store, raw))
    return _with_etag(response, row)


@router.patch("/{store_id}/keys/{key}", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="Change only the expiry")
def patch_key(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: ExpiryIn) -> dict[str, Any]:
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    expires = _expires(body.expires)
    if isinstance(expires, Keep):
        raise BadConfig("The new expiry is missing.", 'Give "never", a duration, a time, or Unix seconds.', "expires")
    return _with_etag(response, edit.set_expiry(actor(request), store, raw, expires, _expected(request, store, raw)))


@router.delete(
    "/{store_id}/keys/{key}", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="Delete to the trash; answers what was removed"
)
def delete_key(request: ApiRequest, store_id: str, key: str) -> dict[str, Any]:
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    return shown(edit.delete_key(actor(request), store, raw, _expected(request, store, raw)))


@router.put(
    "/{store_id}/keys/{key}/counter", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="Set a counter, number and marker together"
)
def put_counter(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: CounterIn) -> dict[str, Any]:
    store, raw = allowed_store(request, store_id, "edit"), key_of(key)
    row = edit.set_counter(actor(request), store, raw, body.number, _expires(body.expires), _expected(request, store, raw))
    return _with_etag(response, row)


@router.post("/{store_id}/keys/{key}/increment", response={200: KeyOut, **PROBLEMS}, by_alias=True, summary="Add to a counter atomically")
def increment(request: ApiRequest, response: HttpResponse, store_id: str, key: str, body: IncrementIn) -> dict[str, Any]:
    store = allowed_store(request, store_id, "edit")
    return _with_etag(response, edit.increment(actor(request), store, key_of(key), body.by, _expires(body.expires)))


def _read(store: Store, key: bytes) -> Row:
    row = read_key(store, key)
    if row is None:
        raise KeyNotFound("There is no such key.", "It may have expired or been deleted.")
    return row


def _with_etag(response: HttpResponse, row: Row) -> dict[str, Any]:
    response["ETag"] = f'"{row.entry.etag}"'
    return shown(row)


class PreconditionFailed(Conflict):
    """`If-Match` or `If-None-Match` does not hold."""

    code = "precondition-failed"
    status = 412


def _expected(request: ApiRequest, store: Store, key: bytes) -> Expected:
    """What the headers expect to find. Raises PreconditionFailed at once when it is not so."""
    if request.headers.get("If-None-Match", "").strip() == "*":
        return ABSENT
    wanted = request.headers.get("If-Match", "").strip()
    if not wanted or wanted == "*":
        return ANYTHING
    try:
        found: Entry = edit.expected_from_etag(store, key, wanted.removeprefix("W/").strip('"'))
    except Conflict as error:
        raise PreconditionFailed(error.message, error.current) from None
    return found


def _payload(body: ValueIn) -> bytes:
    if (body.value_hex is None) is (body.value is None):
        raise BadConfig("Give either value_hex or value.", "value is text, value_hex any bytes.", "value_hex")
    if body.value is not None:
        return body.value.encode("utf-8", "replace")
    try:
        return bytes.fromhex(body.value_hex or "")
    except ValueError:
        raise BadConfig("value_hex is not hex.", "Two digits a byte.", "value_hex") from None


def _expires(given: str | int | None) -> int | Keep | None:
    """Unix seconds as a number, None for null, else as the pages read it; empty keeps."""
    if given is None or given == "":
        return KEEP if given == "" else None
    return parse_expiry(f"@{given}" if isinstance(given, int) else given, time.time(), field="expires")
