"""The keys of a filter as a file, streamed row by row: JSON Lines or CSV. Codes and keys of others' accounts are left out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from stores.models import Store
from stores.services import access, audit
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, json_row, stream_keys
from stores.services.keyfile_lines import FORMULA, Format
from stores.services.permissions import Permission, require
from stores.services.rows import Row

COLUMNS: Final = ("key_hex", "key", "class", "kind", "value_hex", "counter", "expires_at", "expires", "label", "value")
MALFORMED: Final = "malformed"
"""In place of the kind of a row that an import cannot write again."""
_PIECE: Final = 64 * 1024


def export(
    actor: Actor,
    store: Store,
    filter: KeyFilter,
    format: Format,
    *,
    secrets: bool = False,
    after: bytes | None = None,
    head: bool | None = None,
) -> Iterator[bytes]:
    """The file in pieces of some 64 kB; memory stays flat. The store is opened, and refuses, before the first piece is asked for.

    Rows whose key or value gives access to something are left out unless `secrets`, which takes the right to see them. `after`
    goes on after the last key of an interrupted file, on stores that keep an order. `head`: whether a CSV begins with the names of its
    columns, which it does unless it goes on. An outage in the middle raises, so that the
    transfer ends as broken instead of looking complete. In the audit: who, which filter, and when it is through, how many rows.
    Malformed rows are written, and refused by an import. Raises Forbidden, NotSupported.
    """
    head = after is None if head is None else head
    require(actor, Permission.BULK, store)
    if secrets:
        require(actor, Permission.REVEAL, store)
    with access.opened(store) as backend:
        backend.ping()
        if after is not None:
            access.require(store, backend, "ordered_scan")
    asked = {"filter": filter.to_query(), "format": format, "secrets": secrets, "after": None if after is None else after.hex()}
    note = audit.record(actor, "export", store, after=asked, outcome=audit.STARTED)

    def pieces() -> Iterator[bytes]:
        rows = left_out = 0
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        if format == "csv" and head:
            writer.writerow(COLUMNS)
        try:
            for row in stream_keys(store, filter, after=after, whole=True):
                if not secrets and (row.decoded.secret_key or row.decoded.secret_value):
                    left_out += 1
                    continue
                rows += 1
                if format == "csv":
                    writer.writerow(csv_row(row))
                else:
                    buffer.write(json.dumps(json_row(row), allow_nan=False) + "\n")
                if buffer.tell() >= _PIECE:
                    yield buffer.getvalue().encode()
                    buffer.seek(0)
                    buffer.truncate()
            yield buffer.getvalue().encode()
        except BaseException:
            audit.settle(note, audit.FAILED, {**(note.after or {}), "rows": rows, "left_out": left_out})
            raise
        audit.settle(note, audit.DONE, {**(note.after or {}), "rows": rows, "left_out": left_out})

    return pieces()


def csv_row(row: Row) -> list[str]:
    """One line of the CSV: bytes as hex and, where they are text, as text that no spreadsheet takes for a formula."""
    entry = row.entry
    expires = "" if entry.expires_at is None else str(entry.expires_at)
    return [
        entry.key.hex(),
        harmless(_text(entry.key)),
        row.decoded.slug or "",
        MALFORMED if entry.problem else entry.kind.value,
        "" if entry.value is None else entry.value.hex(),
        "" if entry.counter is None else str(entry.counter),
        expires,
        _moment(entry.expires_at),
        harmless(row.decoded.label),
        harmless(row.decoded.value_label),
    ]


def harmless(text: str) -> str:
    """Text that a spreadsheet shows instead of running: a quote before what would begin a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _moment(seconds: int | None) -> str:
    if seconds is None:
        return "never"
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
