"""Definitions of stores: what there is, adding, changing, the default, connection tests, how they are doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema, Status

from stores.api.base import ApiRequest, Body, Name, StoreId, Text, actor, allowed_store, does
from stores.errors import NotSupported
from stores.registry import BACKENDS, HIDDEN, backend_class
from stores.services import definitions, health, pulse, snippets, table_setup, tokens
from stores.services.abilities import abilities
from stores.types import Check

router = Router(tags=["stores"])

Pair = Annotated[list[Text], Field(min_length=2, max_length=2)]
"""Key and value of a static store's entry."""
TypeName = Annotated[str, Field(max_length=40, json_schema_extra={"enum": [name for name in BACKENDS if name not in HIDDEN]})]
Version = Literal["", "0.10", "0.11", "0.15", "0.16"]
"""Of Stalwart; empty: detected."""
Settings = dict[Name, Text]
MOST_ENTRIES = 10_000


class StoreOut(Schema):
    id: str
    type: str
    default: bool
    version: str
    purge: str | None
    enabled: bool
    read_only: bool
    supported: bool
    settings: dict[str, str]


class StoreIn(Body):
    id: StoreId
    type: TypeName
    settings: Settings = {}
    version: Version = ""
    read_only: bool = False
    default: bool = False
    entries: Annotated[list[Pair], Field(max_length=MOST_ENTRIES)] = []


class StoreChange(Body):
    """What is left out stays. A masked secret that comes back as it was shown stays too."""

    settings: Settings | None = None
    version: Version | None = None
    enabled: bool | None = None
    read_only: bool | None = None
    entries: Annotated[list[Pair], Field(max_length=MOST_ENTRIES)] | None = None


class TrialIn(Body):
    """A definition that is tested and not kept. With `store`, its secrets that come back masked are those that it has."""

    store: Name = ""
    type: TypeName
    settings: Settings = {}
    version: Version = ""
    entries: Annotated[list[Pair], Field(max_length=MOST_ENTRIES)] = []


class CheckOut(Schema):
    name: str
    state: str
    detail: str
    fix: str


class SettingOut(Schema):
    name: str
    label: str
    type: str
    required: bool
    default: str
    help: str


class TypeOut(Schema):
    """A type of store. `missing` says what has to be installed for it, empty where nothing has."""

    type: str
    label: str
    missing: str
    settings: list[SettingOut]


class HealthOut(Schema):
    """`state` is ok, slow, down, refused, off or unsupported. Each of the reasons is empty where the store can do it."""

    state: str
    milliseconds: float | None
    server: str
    message: str
    fix: str
    no_writes: str
    no_expiry: str
    no_purge: str


class TablesOut(Schema):
    missing: list[str]
    statements: list[str]
    others: int


class EntryOut(Schema):
    key: str
    value: str


class SnippetOut(Schema):
    place: str
    line: str
    language: Literal["expression", "sieve"]


@router.get("/store-types", **does("read", list[TypeOut], "Types of stores and their settings"))
def list_types(request: ApiRequest) -> list[dict[str, Any]]:
    tokens.require(request.auth, "read")
    return [_type(name) for name in BACKENDS if name not in HIDDEN]


@router.post("/store-types/test", **does("admin", list[CheckOut], "Test a definition without keeping it"))
def test_definition(request: ApiRequest, body: TrialIn) -> list[dict[str, Any]]:
    tokens.require(request.auth, "admin")
    settings: Mapping[str, str] = body.settings
    if body.store:
        settings = definitions.merge_secrets(allowed_store(request, body.store, "admin"), settings)
    return checks(definitions.test_connection(body.type.strip().lower(), settings, body.version, _pairs(body.entries)))


@router.get("/stores", **does("read", list[StoreOut], "All stores the token may touch"))
def list_stores(request: ApiRequest) -> list[dict[str, Any]]:
    tokens.require(request.auth, "read")
    mine = request.auth.stores
    return [info.as_json() for info in definitions.list_stores() if not mine or info.id in mine]


@router.post("/stores", **does("admin", StoreOut, "Define a store", 201))
def add_store(request: ApiRequest, body: StoreIn) -> Status[dict[str, Any]]:
    tokens.require(request.auth, "admin", body.id)
    store = definitions.create_store(
        actor(request),
        id=body.id,
        type=body.type,
        settings=body.settings,
        version=body.version,
        read_only=body.read_only,
        make_default=body.default,
        entries=_pairs(body.entries),
    )
    return Status(201, definitions.info(store).as_json())


@router.get("/stores/{store_id}", **does("read", StoreOut, "One definition, secrets masked"))
def get_store(request: ApiRequest, store_id: str) -> dict[str, Any]:
    return definitions.info(allowed_store(request, store_id, "read")).as_json()


@router.patch("/stores/{store_id}", **does("admin", StoreOut, "Change a definition"))
def change_store(request: ApiRequest, store_id: str, body: StoreChange) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    if "entries" in changes:
        changes["entries"] = _pairs(changes["entries"])
    changed = definitions.update_store(actor(request), store, **changes)
    pulse.forget(changed.pk)
    return definitions.info(changed).as_json()


@router.delete("/stores/{store_id}", **does("admin", None, "Delete a definition, never the store itself", 204))
def remove_store(request: ApiRequest, store_id: str, new_default: Name = "") -> Status[None]:
    """The default lookup store needs `new_default` while there are others."""
    store = allowed_store(request, store_id, "admin")
    definitions.delete_store(actor(request), store, new_default)
    pulse.forget(store_id)
    return Status(204, None)


@router.post("/stores/{store_id}/default", **does("admin", StoreOut, "Make it the default lookup store"))
def make_default(request: ApiRequest, store_id: str) -> dict[str, Any]:
    store = allowed_store(request, store_id, "admin")
    definitions.set_default(actor(request), store)
    return definitions.info(store).as_json()


@router.post("/stores/{store_id}/test", **does("read", list[CheckOut], "Test the connection step by step"))
def test_store(request: ApiRequest, store_id: str) -> list[dict[str, Any]]:
    return checks(health.test_store(allowed_store(request, store_id, "read")))


@router.get("/stores/{store_id}/health", **does("read", HealthOut, "Does it answer, and what can it do"))
def get_health(request: ApiRequest, store_id: str) -> dict[str, Any]:
    """One or two round trips; an answer also while the store is down."""
    store = allowed_store(request, store_id, "read")
    found = health.health(store)
    unknown = "not known while the store does not answer"
    reasons = {"no_writes": unknown, "no_expiry": unknown, "no_purge": unknown}
    if found.milliseconds is not None:
        able = abilities(store)
        reasons = {"no_writes": able.writes, "no_expiry": able.expiry, "no_purge": able.purges}
    return asdict(found) | reasons


@router.get("/stores/{store_id}/tables", **does("read", TablesOut, "Which of the two tables of an SQL store are missing"))
def get_tables(request: ApiRequest, store_id: str) -> dict[str, Any]:
    """`others`: tables of the database beside them, by which one sees whether it is the right one."""
    return asdict(table_setup.look(allowed_store(request, store_id, "read")))


@router.post("/stores/{store_id}/tables", **does("admin", list[str], "Create the missing tables as Stalwart does"))
def create_tables(request: ApiRequest, store_id: str) -> list[str]:
    """Answers which; an empty list where both are there."""
    return list(table_setup.create(actor(request), allowed_store(request, store_id, "admin")))


@router.get("/stores/{store_id}/entries", **does("read", list[EntryOut], "Entries of a static store, in their order"))
def list_entries(request: ApiRequest, store_id: str) -> list[dict[str, Any]]:
    """To change them, send all of them to `PATCH /stores/{store_id}`."""
    store = allowed_store(request, store_id, "read")
    if store.type != "static":
        raise NotSupported(f"Store {store.id} has no entries of its own.", "List its keys instead.")
    return [{"key": key, "value": value} for key, value in store.entries.values_list("key", "value")]


@router.get("/stores/{store_id}/snippets", **does("read", list[SnippetOut], "Rules that read the store"))
def list_snippets(request: ApiRequest, store_id: str) -> list[dict[str, Any]]:
    return snippet_list(snippets.of_store(allowed_store(request, store_id, "read").pk))


def snippet_list(found: Iterable[snippets.Snippet]) -> list[dict[str, Any]]:
    """Snippets as the API answers them."""
    return [asdict(snippet) for snippet in found]


def checks(found: list[Check]) -> list[dict[str, Any]]:
    """Steps of a connection test as the API answers them."""
    return [asdict(check) | {"state": check.state.value} for check in found]


def _pairs(entries: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in entries)


def _type(name: str) -> dict[str, Any]:
    try:
        backend = backend_class(name)
    except NotSupported as error:
        return {"type": name, "label": name, "missing": str(error), "settings": []}
    fields = [
        {"name": field.name, "label": field.label, "type": field.type.value, "required": field.required, "default": field.default,
         "help": field.help}
        for field in backend.SETTINGS
    ]  # fmt: skip
    return {"type": name, "label": backend.LABEL, "missing": "", "settings": fields}
