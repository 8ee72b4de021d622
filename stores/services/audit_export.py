"""The audit as a file, streamed: CSV for people, JSON Lines that anybody can verify."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any, Final, Literal

from stores.models import AuditEntry
from stores.models.fields import canonical
from stores.services import audit, audit_search
from stores.services.actor import Actor
from stores.services.audit_chain import content
from stores.services.bulk_export import harmless
from stores.services.permissions import Permission, require

Format = Literal["jsonl", "csv"]
COLUMNS: Final = ("number", "at", "actor", "via", "address", "action", "store", "class", "key", "before", "after", "run", "outcome", "hash")
_PIECE: Final = 64 * 1024


def export(actor: Actor, wanted: audit_search.Wanted, format: Format) -> Iterator[bytes]:
    """The file in pieces of some 64 kB, newest entry first; memory stays flat. The export is an entry of the audit itself.

    CSV has one line for each act, with nothing that a spreadsheet takes for a formula. JSON Lines have every link of the chain:
    `content` is the list that is hashed, so that SHA-256 of the hash of the entry before, a line feed, and `content` as JSON in
    ASCII without blanks has to be `hash`. Raises Forbidden.
    """
    require(actor, Permission.AUDIT)
    filtered = {name: str(getattr(wanted, name)) for name in wanted.__slots__ if getattr(wanted, name)}
    audit.record(actor, "audit-export", after={"format": format, "filter": filtered})
    return _csv(wanted) if format == "csv" else _jsonl(wanted)


def _jsonl(wanted: audit_search.Wanted) -> Iterator[bytes]:
    pieces: list[str] = []
    for entry in audit_search.stream(wanted, links=True):
        pieces.append(json.dumps(row(entry) | {"settles": entry.settles, "content": json.loads(content(entry)), "seal": entry.seal}) + "\n")
        if len(pieces) == 200:
            yield "".join(pieces).encode()
            pieces.clear()
    yield "".join(pieces).encode()


def _csv(wanted: audit_search.Wanted) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for entry in audit_search.stream(wanted):
        writer.writerow([_cell(value) for value in row(entry).values()])
        if buffer.tell() >= _PIECE:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def row(entry: AuditEntry) -> dict[str, Any]:
    """An entry by the names of COLUMNS."""
    values = (
        entry.pk,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.via,
        entry.address,
        entry.action,
        entry.store_name,
        entry.class_slug,
        entry.key_hex,
        entry.before,
        entry.after,
        None if entry.run_id is None else str(entry.run_id),
        entry.outcome,
        entry.hash,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return harmless(value if isinstance(value, str) else canonical(value))
