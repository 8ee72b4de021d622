"""One thing done to all keys of a filter: a dry run, confirming it by its count, and the keys as a file."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote

from django.http import HttpResponse, StreamingHttpResponse
from ninja import Field, Query, Router, Schema, Status

from stores.api.base import ApiRequest, Body, KeyOut, Name, Serial, actor, allowed_store, does, gives_file, shown
from stores.api.keys import KeyFilterIn, key_filter
from stores.api.runs import RunOut, run_out
from stores.models import Store
from stores.services import bulk, scopes, tokens
from stores.services.bulk_change import Change, Clash, Do, make_change, require_possible
from stores.services.bulk_export import export
from stores.services.bulk_preview import Preview, confirmed, preview
from stores.services.bulk_words import consequence
from stores.types import Pace

router = Router(tags=["bulk"])


class FilterIn(KeyFilterIn, Body):
    """As the parameters of the key list; an empty filter is every key."""


class ChangeIn(Body):
    """`expires` for expiry; `to` and `clash` for copy and move; `undo` keeps copies in the trash, as far as there is room."""

    do: Literal["delete", "expiry", "copy", "move"]
    filter: FilterIn
    expires: Annotated[str, Field(max_length=60)] = ""
    to: Name = ""
    clash: Literal["skip", "overwrite", "fail"] = "skip"
    undo: bool = True


class PreviewOut(Schema):
    """What would be done. `token` and `keys` start it, within the hour; `exact` is false when there may be more keys."""

    do: str
    keys: int
    exact: bool
    bytes: int
    expired: int
    scanned: int
    undoable: int | None
    warning: str
    seconds: dict[str, float]
    samples: list[KeyOut]
    token: str


class StartIn(Body):
    """`count` is the number of keys that the dry run has counted."""

    token: Annotated[str, Field(max_length=65_536)]
    count: Serial
    pace: Literal["gentle", "normal", "fast"] = "gentle"


class SetIn(Body):
    """`rates`: all counters of a class; `bayes-account`: the model of an account; `leftover`: a class that is no longer written."""

    kind: Literal["rates", "bayes-account", "leftover"]
    what: Name


@router.post("/stores/{store_id}/bulk/preview", **does("edit", PreviewOut, "Dry run of a change of many keys"))
def preview_bulk(request: ApiRequest, store_id: str, body: ChangeIn) -> dict[str, Any]:
    """Changes nothing. A token that is limited to single stores has to be allowed the other store too."""
    store = allowed_store(request, store_id, "edit")
    if body.to:
        tokens.require(request.auth, "edit", body.to)
    change = make_change(
        Do(body.do), key_filter(body.filter), time.time(), expiry=body.expires, to=body.to, clash=Clash(body.clash), undo=body.undo
    )
    return previewed(store, change)


@router.post("/stores/{store_id}/sets/preview", **does("edit", PreviewOut, "Dry run of the removal of a set of keys"))
def preview_set(request: ApiRequest, store_id: str, body: SetIn) -> dict[str, Any]:
    store = allowed_store(request, store_id, "edit")
    scope = scopes.scope_of(store, body.kind, body.what)
    return shape(scopes.preview(store, scope))


@router.post("/stores/{store_id}/bulk", **does("edit", RunOut, "Start the change of a dry run", 202))
def start_bulk(request: ApiRequest, store_id: str, body: StartIn) -> Status[dict[str, Any]]:
    """Exactly the change that was counted, and only with its count."""
    store = allowed_store(request, store_id, "edit")
    wanted = confirmed(store, body.token, str(body.count))
    if wanted.change.to:
        tokens.require(request.auth, "edit", wanted.change.to)
    return Status(202, run_out(bulk.start(actor(request), store, wanted, Pace(body.pace))))


@router.get("/stores/{store_id}/export", **gives_file("edit", "The keys of a filter as JSON Lines or CSV", "application/jsonl", "text/csv"))
def export_keys(request: ApiRequest, store_id: str, query: Query[KeyFilterIn], format: Literal["jsonl", "csv"] = "jsonl") -> HttpResponse:
    """Streamed. Codes and keys of others' accounts are left out; a transfer that ends early is not complete."""
    store = allowed_store(request, store_id, "edit")
    pieces = export(actor(request), store, key_filter(query), format)
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/jsonl; charset=utf-8"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{store.pk}.{format}')}"}
    return cast(HttpResponse, StreamingHttpResponse(pieces, content_type=kind, headers=headers))


def previewed(store: Store, change: Change) -> dict[str, Any]:
    """The dry run of a change, after the checks that starting it would make."""
    require_possible(store, change)
    return shape(preview(store, change))


def shape(found: Preview) -> dict[str, Any]:
    """A dry run as the API answers it."""
    change, seen = found.change, found.found
    return {
        "do": change.do.value,
        "keys": seen.keys,
        "exact": seen.exact,
        "bytes": seen.bytes,
        "expired": seen.expired,
        "scanned": seen.scanned,
        "undoable": None if found.cover is None else found.cover.keys,
        "warning": consequence(change),
        "seconds": {pace.value: round(seconds, 1) for pace, seconds in found.seconds.items()},
        "samples": [shown(row) for row in seen.samples],
        "token": found.token,
    }
