"""Who did what. Entries are written before the act and settled after it, so that a crash in between leaves a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.crypto import salted_hmac

from stores.errors import NotSupported, StoreError
from stores.models import AuditEntry, Run, Store
from stores.services.actor import Actor
from stores.types import Entry

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
    """Write one entry. `key` is hex, or the digest of `key_text` for secret keys. One insert."""
    entry = build(actor, action, store, key=key, class_slug=class_slug, before=before, after=after, run=run, outcome=outcome)
    entry.save(force_insert=True)
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
    """An entry that is not saved yet, for bulk inserts."""
    return AuditEntry(
        user_id=actor.user_id,
        actor=actor.name,
        via=actor.via,
        address=actor.address,
        action=action,
        store_name=store if isinstance(store, str) else store.id,
        class_slug=class_slug,
        key_hex=key,
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
        run=run,
        outcome=outcome,
    )


def settle(entry: AuditEntry, outcome: str, after: Mapping[str, Any] | None = None) -> None:
    """Say how the act ended, and what is stored now."""
    entry.outcome = outcome
    if after is not None:
        entry.after = dict(after)
    entry.save(update_fields=["outcome", "after"])


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
