"""What can be undone, and who did what."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from stores.models.run import Run
from stores.models.store import Store


class TrashEntry(models.Model):
    """A row that was deleted or overwritten from here, exactly as it was stored, until `kept_until`."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="trash")
    key = models.BinaryField()
    kind = models.CharField(max_length=8)
    class_slug = models.CharField(max_length=40, blank=True)
    row = models.BinaryField(null=True)
    value = models.BinaryField(null=True)
    counter = models.BigIntegerField(null=True)
    expires_at = models.BigIntegerField(null=True)
    expires_at_ms = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=12)
    """deleted or overwritten"""
    replaced_by = models.CharField(max_length=32, blank=True)
    """Etag of the row that was written over it from here; empty for a deleted one."""
    deleted_at = models.DateTimeField(auto_now_add=True)
    deleted_by = models.CharField(max_length=150)
    kept_until = models.DateTimeField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="trash")
    restored_at = models.DateTimeField(null=True)
    restored_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-deleted_at", "-id"]
        indexes = [
            models.Index(fields=["store", "-deleted_at"], name="trash_of_store"),
            models.Index(fields=["kept_until"], name="trash_until"),
        ]

    def __str__(self) -> str:
        return f"{self.store_id} {bytes(self.key).hex()}"


class AuditEntry(models.Model):
    """One act: who, when, from where, through what, on what, before and after (secrets as digests)."""

    at = models.DateTimeField(auto_now_add=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    actor = models.CharField(max_length=150)
    via = models.CharField(max_length=16)
    """page, command line, api, schedule"""
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=40)
    store_name = models.CharField(max_length=191, blank=True)
    class_slug = models.CharField(max_length=40, blank=True)
    key_hex = models.TextField(blank=True)
    """Hex of the key, or `digest:...` where the key itself is secret."""
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL)
    outcome = models.CharField(max_length=12, default="done")
    """done, refused or failed"""

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["store_name", "-at"], name="audit_of_store")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.store_name}"
