"""What is remembered of each reader of the pages."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Reader(models.Model):
    """A user's place in the tour of the first sign-in: 1 to 3, 0 when it is over. No row: it has not begun."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="reader")
    tour = models.PositiveSmallIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.user_id} {self.tour}"
