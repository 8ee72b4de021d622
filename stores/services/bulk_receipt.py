"""What a bulk run did, for the files of whoever ordered it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from stores.models import Run
from stores.services.bulk_record import Record


def receipt(run: Run) -> dict[str, Any]:
    """What a run did, for the files of whoever ordered it; a public interface.

    `checksum` is the sum modulo 2^128 of the BLAKE2b-128 digests of the keys done, in hex: the same for the same set of keys
    in any order. `before` and `after` count the keys of the filter in the store, `target_after` those in the other store.
    """
    record, params = Record.of(run), run.params
    names = (
        "do",
        "of",
        "overwrite",
        "filter",
        "at",
        "expires_at",
        "to",
        "clash",
        "undo",
        "before",
        "after",
        "target_before",
        "target_after",
    )
    times = {name: _iso(getattr(run, name)) for name in ("created_at", "started_at", "finished_at")}
    counts = {name: getattr(record, name) for name in ("done", "same", "skipped", "left_out", "kept", "failed", "undoable")}
    return {
        "run": str(run.pk),
        "store": run.store_name,
        "started_by": run.started_by,
        "state": run.state,
        "error": run.error or None,
        **times,
        "seconds": round(run.seconds, 3),
        "change": {name: params[name] for name in names if name in params},
        **counts,
        "bytes": run.bytes,
        "checksum": record.checksum,
        "failures": [{"key": key, "reason": reason} for key, reason in record.failures],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else timezone.localtime(moment).isoformat(timespec="seconds")
