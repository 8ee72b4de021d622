"""Stalwart's configuration: what one would define here, defining it, and the definitions written back as TOML."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Field, Router, Schema

from stores.api.base import ApiRequest, Body, Name, Text, actor, does, whole
from stores.services import importer
from stores.stalwart_toml import ImportPlan

router = Router(tags=["configuration"])

MOST_CHARACTERS = 16 << 20


class SourceIn(Body):
    """`text` of a config.toml, a config.json or exported objects; `table`: the settings that Stalwart keeps in its data store."""

    text: Annotated[str, Field(max_length=MOST_CHARACTERS)]
    name: Name = "config.toml"
    table: dict[Text, Text] | None = None
    repair: bool = False
    """Read keys that only lack quotes as if they had them."""


class ApplyIn(SourceIn):
    """`stores` null: all that are new; else exactly those named, also where they differ from what is defined."""

    stores: Annotated[list[Name], Field(max_length=10_000)] | None = None
    switched_off: Annotated[list[Name], Field(max_length=10_000)] = []
    make_default: bool | None = None


class PlannedOut(Schema):
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


class PlanOut(Schema):
    file: str
    dialect: str
    version: str | None
    default: str | None
    stores: list[PlannedOut]
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


class TomlOut(Schema):
    text: str
    left_out: list[str]


@router.post("/configuration/plan", **does("admin", PlanOut, "What a Stalwart configuration would define here"))
def plan_import(request: ApiRequest, body: SourceIn) -> dict[str, Any]:
    """Changes nothing and asks nobody."""
    whole(request, "admin")
    planned = _plan(body)
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
    planned = _plan(body)
    result = importer.apply(actor(request), planned, chosen, switched_off=set(body.switched_off), make_default=body.make_default)
    return result.as_json()


@router.get("/configuration", **does("admin", TomlOut, "All definitions as TOML that Stalwart reads, passwords as dots"))
def export_definitions(request: ApiRequest) -> dict[str, Any]:
    whole(request, "admin")
    written = importer.export()
    return {"text": written.text, "left_out": list(written.left_out)}


def _plan(body: SourceIn) -> ImportPlan:
    return importer.plan(body.text, body.name, table=body.table, repair=body.repair)
