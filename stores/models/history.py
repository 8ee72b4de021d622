"""What can be undone."""

from __future__ import annotations

from django.db import models

from stores.models.fields import MarkField, SealedBinaryField
from stores.models.run import Run
from stores.models.store import Store


class TrashEntry(models.Model):
    """A row that was deleted or overwritten from here, exactly as it was stored, until `kept_until`."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="trash")
    sealed = models.BooleanField(default=False)
    """Whether key, row and value are encrypted: those of classes that give access to something."""
    key = SealedBinaryField()
    key_mark = MarkField(of="key")
    """What rows of one key are found by."""
    kind = models.CharField(max_length=8)
    class_slug = models.CharField(max_length=40, blank=True)
    row = SealedBinaryField(null=True)
    value = SealedBinaryField(null=True)
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
            models.Index(fields=["store", "key_mark"], name="trash_of_key"),
            models.Index(fields=["kept_until"], name="trash_until"),
        ]

    def __str__(self) -> str:
        return f"{self.store_id} {bytes(self.key).hex()}"
