"""When somebody wants to be told, and what they were told."""

from __future__ import annotations

from django.db import models

from stores.models.fields import EncryptedJSONField
from stores.models.store import Store


class AlertKind(models.TextChoices):
    BACKLOG = "backlog"
    PURGE = "purge"
    STALE = "stale"
    GROWTH = "growth"
    DOWN = "down"
    BEAT = "beat"


class AlertRule(models.Model):
    """One condition, checked every minute, and who hears of its beginning and end."""

    store = models.ForeignKey(Store, null=True, blank=True, on_delete=models.CASCADE, related_name="alerts")
    """None only for `beat`, which is about the installation."""
    kind = models.CharField(max_length=12, choices=AlertKind.choices)
    threshold = models.FloatField(default=0)
    class_slug = models.CharField(max_length=40, blank=True)
    """Growth of this class only, `custom` for user keys; empty: of any."""
    emails = models.TextField(blank=True)
    """Addresses, one a line."""
    webhook = EncryptedJSONField(default=str)
    """URL; it may hold a secret."""
    muted_until = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    bad_since = models.DateTimeField(null=True)
    """When the condition was first met; also while it has not lasted long enough to tell."""
    firing = models.BooleanField(default=False)
    text = models.TextField(blank=True)
    """What is wrong, or was last."""
    told_email = models.BooleanField(default=False)
    """Whether the last mail said that it fires."""
    told_webhook = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)
    """Deliveries that failed since the last good one."""
    retry_at = models.DateTimeField(null=True)
    delivery_error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["store_id", "kind", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.store_id or ''}".strip()
