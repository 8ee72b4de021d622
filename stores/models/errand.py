"""Something to ask of the network that no page waits for."""

from __future__ import annotations

import uuid

from django.db import models

from stores.models.fields import EncryptedJSONField


class ErrandState(models.TextChoices):
    WAITING = "waiting"
    """No worker has taken it yet."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Errand(models.Model):
    """One question and its answer, for whoever asked. What is asked and answered is encrypted; rows are kept for an hour."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    asked_by = models.CharField(max_length=150)
    """Name of the account; nobody else may see the answer."""
    params = EncryptedJSONField(default=dict)
    """May hold a credential; emptied as soon as the errand is over."""
    state = models.CharField(max_length=10, choices=ErrandState, default=ErrandState.WAITING)
    result = EncryptedJSONField(default=dict)
    message = models.TextField(blank=True)
    """Why it failed; never a secret."""
    fix = models.TextField(blank=True)
    field = models.CharField(max_length=60, blank=True)
    """The input that the failure is about, if it is about one."""
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
