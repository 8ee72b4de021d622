"""A part of a count or purge under way: where it stands and what it has counted, so that it goes on after its worker has died."""

from __future__ import annotations

from django.db import models

from stores.models.run import Run


class RunPart(models.Model):
    """One stretch of a store. Whoever has put its own mark into `worker` last may write it; the rows go with the run at the latest."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveSmallIntegerField()
    position = models.TextField()
    """What is left of it, as the backend says; empty when it is done."""
    state = models.BinaryField(default=b"")
    """The sums so far, packed; without keys that are secrets."""
    progress = models.FloatField(default=0)
    rows = models.BigIntegerField(default=0)
    corrupt = models.BigIntegerField(default=0)
    worker = models.CharField(max_length=32, default="", blank=True)
    seen_at = models.DateTimeField(null=True)
    """The worker's last sign of life."""

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="part_of_run")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.number}"
