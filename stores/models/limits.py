"""What an imported configuration says about limits."""

from __future__ import annotations

from django.db import models


class ImportedLimits(models.Model):
    """The limits of the configuration that was imported last; holds no secret. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    source = models.CharField(max_length=200)
    """Name of the file."""
    at = models.DateTimeField(auto_now=True)
    limits = models.JSONField(default=list)
    """Objects with `key`, `classes`, `count`, `period` (seconds), `disabled`, `parts`, `direction`, `name`."""

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_import_of_limits")]

    def __str__(self) -> str:
        return self.source
