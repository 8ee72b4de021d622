"""Importing keys from a file: a dry run first, then a bulk run that is followed and undone as any other."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema, Status

from stores.api.base import ApiRequest, Body, KeyOut, actor, allowed_store, does, shown
from stores.api.bulk import StartIn
from stores.api.runs import RunOut, run_out
from stores.services import access, keyfile_import, keyfile_spool
from stores.services.bulk_change import Clash
from stores.services.keyfile_import import Options, WrongLines
from stores.types import Pace

router = Router(tags=["bulk"])


class FileIn(Body):
    """`text`: JSON Lines or CSV as the export writes them. `wrong`: what happens at a line that cannot be read."""

    text: Annotated[str, Field(max_length=64 << 20)]
    format: Literal["jsonl", "csv"] | None = None
    clash: Literal["skip", "overwrite", "fail"] = "skip"
    wrong: Literal["stop", "skip"] = "stop"
    undo: bool = True


class WrongOut(Schema):
    line: int
    field: str
    message: str


class FileOut(Schema):
    """What is in the file. `keys` and `token` start the import, within the hour; `blocked` says why it cannot be started."""

    format: str
    keys: int
    new: int
    clashes: int
    same: int
    expired: int
    left_out: int
    impossible: int
    wrong: int
    bytes: int
    exact: bool
    problems: list[WrongOut]
    samples: list[KeyOut]
    undoable: int | None
    blocked: str
    token: str


@router.post("/stores/{store_id}/import/preview", **does("edit", FileOut, "Dry run of an import of keys"))
def preview_import(request: ApiRequest, store_id: str, body: FileIn) -> dict[str, Any]:
    """Changes nothing. Rows that give access to something are left out unless the account may see such."""
    store = allowed_store(request, store_id, "edit")
    access.require_writable(store)
    options = Options(Clash(body.clash), WrongLines(body.wrong), body.undo, body.format, time.time())
    upload = keyfile_import.accept([body.text.encode()])
    try:
        found = keyfile_import.preview(actor(request), store, upload, options)
    except BaseException:
        keyfile_spool.remove(upload)
        raise
    if found.blocked:
        keyfile_spool.remove(upload)
    return _shape(found)


@router.post("/stores/{store_id}/import", **does("edit", RunOut, "Start the import of a dry run", 202))
def start_import(request: ApiRequest, store_id: str, body: StartIn) -> Status[dict[str, Any]]:
    """Exactly the file that was looked at, and only with its count."""
    store = allowed_store(request, store_id, "edit")
    wanted = keyfile_import.confirmed(store, body.token, str(body.count))
    return Status(202, run_out(keyfile_import.start(actor(request), store, wanted, Pace(body.pace))))


def _shape(shown_file: keyfile_import.Preview) -> dict[str, Any]:
    found = shown_file.found
    names = ("new", "clashes", "same", "expired", "left_out", "impossible", "wrong", "bytes", "exact")
    problems = [{"line": each.line, "field": each.field, "message": each.message} for each in found.problems]
    return {
        "format": shown_file.format,
        "keys": found.rows,
        **{name: getattr(found, name) for name in names},
        "problems": problems,
        "samples": [shown(row) for row in found.samples],
        "undoable": None if shown_file.cover is None else shown_file.cover.keys,
        "blocked": shown_file.blocked,
        "token": shown_file.token,
    }
