"""Background executions and what they counted."""

from __future__ import annotations

import uuid

from django.db import models

from stores.models.store import Store


class RunAction(models.TextChoices):
    PURGE = "purge"
    CENSUS = "census"
    BULK = "bulk"
    TIDY = "tidy"


class RunState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped", "stopped at its deadline"
    MISSED = "missed"

    @property
    def finished(self) -> bool:
        return self not in ACTIVE_STATES


ACTIVE_STATES = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.PAUSED})


class Run(models.Model):
    """One execution. The row exists before anything is queued; workers keep `heartbeat_at` fresh and read `cancel_requested`.

    `active_key` is unique and only set while the run is active: the database keeps two purges of one store apart.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(Store, null=True, on_delete=models.SET_NULL, related_name="runs")
    store_name = models.CharField(max_length=191)
    """Kept when the store's definition is deleted."""
    action = models.CharField(max_length=16, choices=RunAction.choices)
    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.QUEUED)
    active_key = models.CharField(max_length=220, null=True, unique=True, editable=False)
    started_by = models.CharField(max_length=150)
    """User name, "schedule" or "command line"."""
    pace = models.CharField(max_length=8, default="gentle")
    params = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    """When the schedule wanted it."""
    attempts = models.PositiveSmallIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    position = models.TextField(blank=True)
    progress = models.FloatField(null=True)
    scanned = models.BigIntegerField(default=0)
    values = models.BigIntegerField(default=0)
    counters = models.BigIntegerField(default=0)
    locks = models.BigIntegerField(default=0)
    corrupt = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0)
    """Working time, pauses between slices included."""
    longest_ms = models.FloatField(default=0)
    """The longest single transaction: what the mail server may have felt."""
    points = models.JSONField(default=list)
    """The run's course, as `services/run_curve.py` has it; bounded."""
    error = models.TextField(blank=True)
    log = models.JSONField(default=list)
    """Lines [unix seconds, text], bounded."""

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["store", "action", "-created_at"], name="run_of_store"),
            models.Index(fields=["state"], name="run_state"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.store_name} {self.state}"

    @property
    def removed(self) -> int:
        """Logical keys removed."""
        return self.values + self.counters + self.locks


class Census(models.Model):
    """Counted statistics of one store at one time. `classes` and `total` have the shape of `census STORE --json`."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="censuses")
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL)
    at = models.DateTimeField()
    seconds = models.FloatField()
    exact = models.BooleanField(default=True)
    corrupt = models.BigIntegerField(default=0)
    total = models.JSONField()
    classes = models.JSONField()
    details = models.JSONField(default=dict)
    """Expiry histogram, largest rows, top subjects, left-overs; only of the newest."""
    steps = models.JSONField(default=list)
    """Classes whose live keys jumped since the census before, with both figures."""

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["store", "-at"], name="census_of_store")]

    def __str__(self) -> str:
        return f"{self.store_id} {self.at:%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """When a part of the installation last gave a sign of life."""

    name = models.CharField(primary_key=True, max_length=40)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"
