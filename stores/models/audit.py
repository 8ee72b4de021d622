"""Who did what: a list that only grows, each entry hashed together with the one before it."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef

from stores.models.fields import CanonicalJSONField
from stores.models.run import Run


def mark_of(key_hex: str) -> str:
    """What entries of one key are found by; empty for acts that are about no key."""
    return hashlib.blake2b(key_hex.encode(), digest_size=8).hexdigest() if key_hex else ""


class AppendOnly(TypeError):
    """Somebody tried to change or remove entries of the audit through the models."""


class Chain(models.QuerySet["AuditEntry"]):
    """Every link of the chain. Reading only: links are written by `services/audit_chain.py`."""

    def update(self, **values: Any) -> NoReturn:
        raise AppendOnly("Entries of the audit are never changed; settle them with another entry.")

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        self.update()

    def delete(self) -> NoReturn:
        raise AppendOnly("Entries of the audit are not deleted; old ones go by `services/audit_prune.py`.")


class Acts(models.Manager.from_queryset(Chain)):  # type: ignore[misc]
    """One entry for each act, in its last state: entries that a later one settles are left out."""

    def get_queryset(self) -> Chain:
        later = AuditEntry.chain.filter(settles=OuterRef("pk"))
        found: Chain = super().get_queryset().filter(~Exists(later))
        return found


class AuditEntry(models.Model):
    """One act: who, when, from where, through what, on what, before and after (secrets as digests).

    An act that can fail is written as started before it is tried; how it ended is a second, complete entry that `settles` the
    first. User and run are numbers without a constraint, so that the entry stays as it is when these are deleted.
    """

    at = models.DateTimeField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    actor = models.CharField(max_length=150)
    via = models.CharField(max_length=16)
    """page, command line, api, schedule, system"""
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=40)
    store_name = models.CharField(max_length=191, blank=True)
    class_slug = models.CharField(max_length=40, blank=True)
    key_hex = models.TextField(blank=True)
    """Hex of the key, or `digest:...` where the key itself is secret."""
    key_mark = models.CharField(max_length=16, blank=True)
    """Short hash of `key_hex` (`mark_of`), which has no length that every database could index."""
    before = CanonicalJSONField(null=True)
    after = CanonicalJSONField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    outcome = models.CharField(max_length=12, default="done")
    """started, done, refused or failed"""
    settles = models.BigIntegerField(null=True, unique=True)
    """Number of the entry whose end this is."""
    hash = models.CharField(max_length=64, blank=True)
    """SHA-256 of the entry before it and of all of the above but the mark; empty for entries older than the chain."""
    seal = models.CharField(max_length=73, blank=True)
    """Which key sealed the hash (8 characters), a colon, HMAC-SHA256 of the hash."""

    objects = Acts()
    chain = Chain.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["store_name", "-id"], name="audit_of_store"),
            models.Index(fields=["actor", "-id"], name="audit_of_actor"),
            models.Index(fields=["store_name", "key_mark", "-id"], name="audit_of_key"),
            models.Index(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.store_name}"

    def save(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnly("Entries of the audit are written by `audit.append`, which links them.")

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnly("Entries of the audit are not deleted.")


class AuditHead(models.Model):
    """The one row that says where the chain ends and where what is kept of it begins. Its lock orders the writers."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    kept_after = models.BigIntegerField(default=0)
    """Entries up to this number were removed by the retention."""
    kept_hash = models.CharField(max_length=64, blank=True)
    """Hash of the last removed one."""

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_audit_head")]

    def __str__(self) -> str:
        return f"{self.number} {self.hash[:12]}"


class AuditCheck(models.Model):
    """The one row that says when the chain was last verified, with what result, and how far."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    at = models.DateTimeField()
    whole_at = models.DateTimeField(null=True)
    """When it was last verified from its beginning."""
    entries = models.BigIntegerField(default=0)
    number = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)
    """The newest entry that was verified."""
    problem = models.TextField(blank=True)
    broken_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.problem or f"{self.entries} entries up to {self.number}"
