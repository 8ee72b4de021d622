"""Tokens of the JSON API."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ApiToken(models.Model):
    """One token. Only a digest of the secret is kept; the secret itself is shown once, when it is made."""

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False)
    """The last characters of the secret, to tell tokens apart."""
    scopes = models.JSONField(default=list)
    """Of read, edit, purge, admin."""
    stores = models.JSONField(default=list)
    """Ids the token may touch; empty means all."""
    made_with = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="made", editable=False)
    """The token that made it through the API, and with which it ends; null when it was made on a page."""
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    window = models.BigIntegerField(default=0)
    """Minute of the running rate window, Unix seconds / 60."""
    used = models.PositiveIntegerField(default=0)
    """Requests in that minute."""

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name
