"""Stalwart's configuration: what one would define here, defining it, and the definitions written back as TOML.

It comes as text, from a running mail server that was asked for it, or out of a data store that is defined here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Field, Router, Schema, Status

from stores.api.base import Address, ApiRequest, Body, Name, Reference, Text, actor, does, whole
from stores.errors import BadConfig, Busy, KeyNotFound
from stores.models import Errand, ErrandState
from stores.registry import find_store
from stores.services import errands, importer, server_import
from stores.services.server_import import checked_access
from stores.stalwart_toml import ImportPlan

router = Router(tags=["configuration"])

MOST_CHARACTERS = 16 << 20


class SourceIn(Body):
    """One of `text` (of a config.toml, a config.json or exported objects), `asked` and `store`.

    `table`: the settings in the data store that belong to a config.toml.
    """

    text: Annotated[str, Field(max_length=MOST_CHARACTERS)] | None = None
    asked: Reference | None = None
    """What `configuration/ask` answered: the configuration of that server."""
    store: Name | None = None
    """A data store of 0.11 to 0.15 that is defined here: the settings that the server keeps in it."""
    name: Name = "config.toml"
    table: dict[Text, Text] | None = None
    repair: bool = False
    """Read keys that only lack quotes as if they had them."""


class ApplyIn(SourceIn):
    """`stores` null: all that are new; else exactly those named, also where they differ from what is defined."""

    stores: Annotated[list[Name], Field(max_length=10_000)] | None = None
    switched_off: Annotated[list[Name], Field(max_length=10_000)] = []
    make_default: bool | None = None


class AskIn(Body):
    """Without `user`, `secret` is an API key; without either it is asked with the credential that is kept for this address."""

    url: Address
    user: Annotated[Text, Field(max_length=200)] = ""
    secret: Annotated[Text, Field(max_length=500)] = ""
    allow_private: bool = False
    """Addresses of this machine and of private networks are refused without it."""
    allow_invalid_certs: bool = False
    keep: bool = False
    """Keep address and credential as the mail server, once it has answered."""


class AskedOut(Schema):
    """`state` is waiting, running, done or failed. Done: give `asked` to `configuration/plan` or `configuration/import`."""

    asked: str
    state: Literal["waiting", "running", "done", "failed"]
    message: str
    fix: str
    field: str


class PlannedStoreOut(Schema):
    """`state` is new, unchanged, differs or blocked."""

    id: str
    type: str
    state: str
    default: bool
    supported: bool
    purge: str | None
    why: str | None
    differences: list[dict[str, str]]
    lines: list[int] | None


class RemarkOut(Schema):
    severity: str
    message: str
    fix: str
    key: str | None
    line: int | None


class ImportPlanOut(Schema):
    file: str
    dialect: str
    version: str | None
    default: str | None
    stores: list[PlannedStoreOut]
    skipped: list[dict[str, Any]]
    problems: list[RemarkOut]
    ignored: dict[str, int]


class AppliedOut(Schema):
    """Ids of stores by what became of them."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    differing: list[str]
    left_out: list[str]
    failed: list[dict[str, str]]
    unsupported: list[str]
    default: str | None


class DefinitionsOut(Schema):
    text: str
    left_out: list[str]


@router.post("/configuration/ask", **does("admin", AskedOut, "Have a running mail server asked for its configuration", 202))
def ask_server(request: ApiRequest, body: AskIn) -> Status[dict[str, Any]]:
    """A worker asks; the answer is kept for an hour, for this token alone."""
    whole(request, "admin")
    access = checked_access(body.url, body.user, body.secret, unchecked=body.allow_invalid_certs, allow_private=body.allow_private)
    return Status(202, _asked(errands.ask_server(actor(request), access, keep=body.keep)))


@router.get("/configuration/asked/{errand_id}", **does("admin", AskedOut, "Whether the mail server has answered"))
def get_asked(request: ApiRequest, errand_id: UUID) -> dict[str, Any]:
    whole(request, "admin")
    return _asked(_errand(request, errand_id))


@router.post("/configuration/plan", **does("admin", ImportPlanOut, "What a Stalwart configuration would define here"))
def plan_import(request: ApiRequest, body: SourceIn) -> dict[str, Any]:
    """Changes nothing and asks nobody."""
    whole(request, "admin")
    planned = _plan(request, body)
    return {
        "file": planned.source,
        "dialect": planned.dialect,
        "version": planned.version or None,
        "default": planned.default or None,
        "stores": [row.as_json() for row in importer.preview(planned)],
        "skipped": [{"id": each.id, "type": each.type, "reason": each.reason, "line": each.line or None} for each in planned.skipped],
        "problems": [
            {"severity": each.severity.value, "message": each.message, "fix": each.fix, "key": each.key or None, "line": each.line or None}
            for each in planned.problems
        ],
        "ignored": dict(planned.ignored),
    }


@router.post("/configuration/import", **does("admin", AppliedOut, "Define the stores of a Stalwart configuration"))
def apply_import(request: ApiRequest, body: ApplyIn) -> dict[str, Any]:
    """Doing it twice changes nothing the second time. Each store stands for itself: one that fails does not undo the others."""
    whole(request, "admin")
    chosen = None if body.stores is None else set(body.stores)
    planned = _plan(request, body)
    result = importer.apply(actor(request), planned, chosen, switched_off=set(body.switched_off), make_default=body.make_default)
    return result.as_json()


@router.get("/configuration", **does("admin", DefinitionsOut, "All definitions as TOML that Stalwart reads, passwords as dots"))
def export_definitions(request: ApiRequest) -> dict[str, Any]:
    whole(request, "admin")
    written = importer.export()
    return {"text": written.text, "left_out": list(written.left_out)}


def _plan(request: ApiRequest, body: SourceIn) -> ImportPlan:
    """Of the one source that is given."""
    given = [name for name in ("text", "asked", "store") if getattr(body, name) is not None]
    if len(given) != 1:
        raise BadConfig("Give one of text, asked and store.", "text is the file's content.", "text")
    if body.text is not None:
        return importer.plan(body.text, body.name, table=body.table, repair=body.repair)
    if body.store is not None:
        found = server_import.ask_store(actor(request), find_store(body.store))
        return importer.remarked(importer.plan(found.text, found.name, repair=body.repair), found.remarks)
    return _answered(request, _errand(request, UUID(body.asked)), body.repair)


def _answered(request: ApiRequest, errand: Errand, repair: bool) -> ImportPlan:
    """The plan of a server's answer; the credential is kept now, if that was asked for."""
    if errand.state != ErrandState.DONE:
        raise Busy(errand.message or "The server has not answered yet.", errand.fix or "Look at configuration/asked until it is done.")
    found: dict[str, Any] = errand.result
    planned = importer.plan(found["text"], found["name"], repair=repair)
    if found["keep"]:
        server_import.keep_answered(actor(request), errand)
    return importer.remarked(planned, found["remarks"])


def _errand(request: ApiRequest, errand_id: UUID) -> Errand:
    found = errands.find(actor(request), errand_id)
    if found.kind != errands.ASK_SERVER:
        raise KeyNotFound("There is no such question any more.", "Ask again; answers are kept for an hour.")
    return found


def _asked(errand: Errand) -> dict[str, Any]:
    return {"asked": str(errand.pk), **{name: getattr(errand, name) for name in ("state", "message", "fix", "field")}}
