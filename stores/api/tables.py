"""Static stores and HTTP lookups: which entry answers, fetching a list, publishing a table, and the table as TOML."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.urls import reverse
from ninja import Field, Router, Schema, Status

from stores.api.base import ApiRequest, Body, Serial, actor, allowed_store, does
from stores.services import http_lookups, publishing, static_tests

router = Router(tags=["tables"])


class AnswerOut(Schema):
    """What the server answers for a key: `type` integer, float or text. `shadowed`: entries that would match too."""

    store: str
    key: str
    found: bool
    type: str | None
    value: Any = None
    text: str | None
    entry: dict[str, Any] | None
    shadowed: list[dict[str, Any]]


class CopyOut(Schema):
    """What is known of the copy of an HTTP lookup's list; null times where there was no such thing yet."""

    fetched_at: datetime | None
    tried_at: datetime | None
    next_at: datetime | None
    entries: int
    bytes: int
    cut: bool
    left_out: int
    failures: int
    error: str


class PublicationOut(Schema):
    id: int
    form: str
    hint: str
    created_at: datetime
    last_used_at: datetime | None


class PublishIn(Body):
    form: Literal["list", "csv"]


class PublishedOut(PublicationOut):
    """`url` holds the token and is answered this once."""

    url: str


class TomlOut(Schema):
    """`left_out`: what TOML cannot say."""

    text: str
    left_out: list[str]


@router.get("/stores/{store_id}/answer", **does("read", AnswerOut, "Which entry of a static store or HTTP lookup answers"))
def which_answers(request: ApiRequest, store_id: str, key: Annotated[str, Field(max_length=65_536)]) -> dict[str, Any]:
    store = allowed_store(request, store_id, "read")
    return static_tests.as_json(store, key, static_tests.which(store, key))


@router.get("/stores/{store_id}/list", **does("read", CopyOut, "How old the copy of an HTTP lookup's list is"))
def get_copy(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "read")
    http_lookups.require_list(store)
    found = http_lookups.state(store)
    names = ("fetched_at", "tried_at", "next_at", "entries", "bytes", "cut", "left_out", "failures", "error")
    blank = {"fetched_at": None, "tried_at": None, "next_at": None, "cut": False, "error": ""}
    return {name: getattr(found, name) if found else blank.get(name, 0) for name in names}


@router.post("/stores/{store_id}/list", **does("edit", None, "Have an HTTP lookup's list fetched in the background", 202))
def fetch_list(request: ApiRequest, store_id: str) -> Status[None]:
    http_lookups.request_fetch(actor(request), allowed_store(request, store_id, "edit"))
    return Status(202, None)


@router.get("/stores/{store_id}/publications", **does("admin", list[PublicationOut], "Addresses at which a static store can be read"))
def list_publications(request: ApiRequest, store_id: str) -> list[Any]:
    return list(publishing.listed(allowed_store(request, store_id, "admin")))


@router.post("/stores/{store_id}/publications", **does("admin", PublishedOut, "Publish a static store at a new address", 201))
def publish(request: ApiRequest, store_id: str, body: PublishIn) -> Status[dict[str, Any]]:
    made, token = publishing.add(actor(request), allowed_store(request, store_id, "admin"), body.form)
    shown = {name: getattr(made, name) for name in ("form", "hint", "created_at", "last_used_at")}
    return Status(201, {"id": made.pk, **shown, "url": _address(request, token)})


@router.delete("/stores/{store_id}/publications/{publication_id}", **does("admin", None, "End an address for good", 204))
def unpublish(request: ApiRequest, store_id: str, publication_id: Serial) -> Status[None]:
    publishing.revoke(actor(request), allowed_store(request, store_id, "admin"), publication_id)
    return Status(204, None)


@router.get("/stores/{store_id}/toml", **does("read", TomlOut, "A static store as Stalwart's configuration writes it"))
def get_toml(request: ApiRequest, store_id: str) -> dict[str, Any]:
    written = publishing.toml(allowed_store(request, store_id, "read"))
    return {"text": written.text, "left_out": list(written.left_out)}


def _address(request: HttpRequest, token: str) -> str:
    return request.build_absolute_uri(reverse("stores:published", args=[token]))
