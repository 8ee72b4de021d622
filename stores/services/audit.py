"""Who did what. Entries are written before the act and settled after it, so that a crash in between leaves a trace.

Every entry is a link of a chain (`services/audit_chain.py`). Nothing is ever changed: settling appends an entry.
Inside a transaction an entry is written with what else it holds, and others who write wait until its end: write it last.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final

from django.utils.crypto import salted_hmac

from stores.errors import NotSupported, StoreError
from stores.models import AuditEntry, Run, Store
from stores.services.actor import Actor
from stores.services.audit_chain import append, together
from stores.types import Entry

__all__ = ["append", "build", "digest", "key_text", "outcome_of", "record", "refused", "settle", "settle_all", "summary", "together"]

STARTED: Final = "started"
DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"

_SHOWN_BYTES: Final = 200


def record(
    actor: Actor,
    action: str,
    store: Store | str = "",
    *,
    key: str = "",
    class_slug: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    run: Run | None = None,
    outcome: str = DONE,
) -> AuditEntry:
    """Write one entry. `key` is hex, or the digest of `key_text` for secret keys. One short transaction, or part of the present one."""
    entry = build(actor, action, store, key=key, class_slug=class_slug, before=before, after=after, run=run, outcome=outcome)
    append([entry])
    return entry


def build(
    actor: Actor,
    action: str,
    store: Store | str = "",
    *,
    key: str = "",
    class_slug: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    run: Run | None = None,
    outcome: str = DONE,
) -> AuditEntry:
    """An entry that is not written yet, for `append`."""
    return AuditEntry(
        user_id=actor.user_id,
        actor=_fitting(actor.name, 150),
        via=actor.via,
        address=_address(actor.address),
        action=_fitting(action, 40),
        store_name=_fitting(store if isinstance(store, str) else store.id, 191),
        class_slug=_fitting(class_slug, 40),
        key_hex=key,
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
        run=run,
        outcome=outcome,
    )


def settle(entry: AuditEntry, outcome: str, after: Mapping[str, Any] | None = None) -> None:
    """Say how the act ended, and what is stored now: one more entry, complete in itself."""
    if after is not None:
        entry.after = dict(after)
    settle_all([entry], outcome)


def settle_all(entries: Iterable[AuditEntry], outcome: str) -> None:
    """Say of several acts that they ended like this, in one go."""
    ends = []
    for entry in entries:
        entry.outcome = outcome
        end = copy(entry)
        end.settles = entry.pk
        ends.append(end)
    append(ends)


def outcome_of(error: StoreError) -> str:
    """Refused when the store or kvadmin said no, failed when it could not answer."""
    return REFUSED if isinstance(error, NotSupported) or error.status in (403, 404, 409, 422) else FAILED


def key_text(key: bytes, secret: bool) -> str:
    """The key as the audit holds it: hex, or a digest where the key itself is a secret."""
    return digest(key) if secret else key.hex()


def digest(data: bytes) -> str:
    """Tells two secrets apart without holding either; keyed, because a short code could be found by trying all."""
    return "digest:" + salted_hmac("stores.audit", data, algorithm="sha256").hexdigest()[:24]


def summary(entry: Entry | None, secret: bool) -> dict[str, Any] | None:
    """What the audit keeps of a row: kind, number, expiry, size, and the value's first 200 bytes or its digest."""
    if entry is None:
        return None
    shown: dict[str, Any] = {"kind": entry.kind.value, "expires_at": entry.expires_at, "size": entry.size}
    if entry.counter is not None:
        shown["counter"] = entry.counter
    if entry.value is not None:
        shown["value"] = digest(entry.value) if secret else entry.value[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return shown


def refused(actor: Actor, action: str, store: Store | str, error: StoreError) -> None:
    """An attempt that was turned away before anything else of it was on record."""
    if not error.on_record:
        record(actor, action, store, after={"said": error.message}, outcome=REFUSED)
        error.on_record = True


def _fitting(text: str, length: int) -> str:
    """Text as every database takes it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()[:length]


def _address(text: str | None) -> str | None:
    """An address in the one form in which databases give it back; None for what is none."""
    try:
        return str(ipaddress.ip_address((text or "").partition("%")[0]))
    except ValueError:
        return None
