"""The chain of the audit: every entry is hashed together with the one before it, and the hash is sealed.

The hash (SHA-256 over readable fields, `content`) can be recomputed by anybody who has an export. The seal (HMAC with a key that
is made of the secret key) cannot be made by somebody who only has the database: whoever changes an entry there has to leave a
hash, or a seal, that does not fit. A seal covers everything before it, so that old seals need no old keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from stores.models import AuditEntry, AuditHead
from stores.models.audit import mark_of
from stores.models.fields import canonical

GENESIS: Final = "0" * 64
"""Stands for the hash of the entry before the first one."""


_held_back: ContextVar[list[AuditEntry] | None] = ContextVar("entries of the present act", default=None)


@contextmanager
def together() -> Iterator[None]:
    """One transaction for an act that is made of several, each of which writes entries: these are linked at its end.

    Whoever holds the chain's lock must not wait for another row, which somebody else may hold who waits for the chain. So the
    chain is always locked last: entries come last in every transaction (a test holds that), and here after all of them.
    """
    if _held_back.get() is not None:
        raise RuntimeError("an act is together already")
    entries: list[AuditEntry] = []
    mark = _held_back.set(entries)
    try:
        with transaction.atomic():
            yield
            _held_back.set(None)
            append(entries)
    finally:
        _held_back.reset(mark)


def append(entries: Sequence[AuditEntry]) -> None:
    """Number, link, seal and insert entries, in the present transaction if there is one; within `together` at its end.

    Writers of all processes wait for each other at the head's row until they commit, so that there are neither gaps nor forks.
    One lock, one insert for any number of entries, one update.
    """
    if not entries:
        return
    if (held_back := _held_back.get()) is not None:
        held_back += entries
        return
    with transaction.atomic():
        head = _locked_head()
        before, now = head.number, timezone.now()
        key = seal_key()
        for entry in entries:
            head.number += 1
            entry.pk, entry.at, entry.key_mark = head.number, now, mark_of(entry.key_hex)
            entry.hash = head.hash = linked(head.hash, entry)
            entry.seal = sealed(entry.hash, key)
        moved = AuditHead.objects.filter(pk=1, number=before).update(number=head.number, hash=head.hash)
        if moved != 1:
            raise RuntimeError("the head of the audit moved under its own lock")
        AuditEntry.chain.bulk_create(entries)


def _locked_head() -> AuditHead:
    """The head's row, locked until the end of the transaction (SQLite: its transactions exclude each other from their begin)."""
    head = AuditHead.objects.select_for_update().filter(pk=1).first()
    if head is None:
        last = AuditEntry.chain.order_by("-pk").first()
        AuditHead.objects.get_or_create(pk=1, defaults={"number": last.pk if last else 0, "hash": (last.hash if last else "") or GENESIS})
        head = AuditHead.objects.select_for_update().get(pk=1)
    return head


def content(entry: AuditEntry) -> str:
    """What is hashed of an entry: a JSON list of its fields in this order, before and after as their stored text."""
    return canonical(
        [
            entry.pk,
            entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
            entry.user_id,
            entry.actor,
            entry.via,
            entry.address,
            entry.action,
            entry.store_name,
            entry.class_slug,
            entry.key_hex,
            None if entry.before is None else canonical(entry.before),
            None if entry.after is None else canonical(entry.after),
            None if entry.run_id is None else str(entry.run_id),
            entry.outcome,
            entry.settles,
        ]
    )


def linked(previous: str, entry: AuditEntry) -> str:
    """The hash of an entry that follows the one with the hash `previous`."""
    return hashlib.sha256(f"{previous}\n{content(entry)}".encode()).hexdigest()


def seal_key() -> bytes:
    """The key of the seals, made of the installation's secret key. Read at each use: settings change in tests only."""
    return salted_hmac("stores.audit.seal", "", secret=settings.SECRET_KEY, algorithm="sha256").digest()


def name_of(key: bytes) -> str:
    """Eight characters that tell keys apart and say nothing about them."""
    return hmac.digest(key, b"name", "sha256").hex()[:8]


def sealed(hashed: str, key: bytes) -> str:
    return f"{name_of(key)}:{hmac.digest(key, hashed.encode(), 'sha256').hex()}"
