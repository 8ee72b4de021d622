"""Tokens under which static stores can be read without an account."""

from __future__ import annotations

from django.db import models

from stores.models.store import Store


class Publication(models.Model):
    """One address of a published static store. Only a digest of its token is kept."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="publications")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False)
    """The last characters of the token, to tell addresses apart."""
    form = models.CharField(max_length=4)
    """list or csv"""
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    window = models.BigIntegerField(default=0)
    """Minute of the running rate window, Unix seconds / 60."""
    used = models.PositiveIntegerField(default=0)
    """Requests in that minute."""

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.store_id} as {self.form}, {self.hint}"
