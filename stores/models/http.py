"""What is known of the copy of an HTTP lookup's list. The entries themselves are rows of StaticEntry."""

from __future__ import annotations

from django.db import models

from stores.models.store import Store


class HttpLookup(models.Model):
    """One HTTP lookup's copy: how old it is, and when it is fetched again. A store without a row was never tried."""

    store = models.OneToOneField(Store, on_delete=models.CASCADE, primary_key=True, related_name="http_lookup")
    source = models.CharField(max_length=64, blank=True)
    """Digest of the settings that were used last; other settings make the list due at once."""
    etag = models.CharField(max_length=255, blank=True)
    fetched_at = models.DateTimeField(null=True)
    """When the copy was last known to be the list; None: there is no copy."""
    tried_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    busy_until = models.DateTimeField(null=True)
    """While a fetch is under way: when it is taken for lost."""
    error = models.TextField(blank=True)
    """Why the last try failed; empty when it did not."""
    failures = models.PositiveIntegerField(default=0)
    """Tries that failed in a row."""
    entries = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    """Of the last answer that held the list."""
    cut = models.BooleanField(default=False)
    """Whether `limits.entries` ended the reading."""
    left_out = models.PositiveIntegerField(default=0)
    """Entries that cannot be kept: keys of more than 512 characters, texts with NUL."""

    def __str__(self) -> str:
        return self.store_id
