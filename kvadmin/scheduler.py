"""Celery's scheduler on the database, with a sign of life of its own."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from django.db import Error as DatabaseError
from django_celery_beat.schedulers import DatabaseScheduler

SECONDS: Final = 20.0
_log = logging.getLogger(__name__)


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """Writes the heartbeat of beat every 20 seconds; a database that does not answer costs a heartbeat, nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._told = float("-inf")
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        from stores.services import runs  # models are not loaded when Celery imports this

        if time.monotonic() - self._told >= SECONDS:
            self._told = time.monotonic()
            try:
                runs.sign_of_life(runs.BEAT)
            except DatabaseError as error:
                _log.warning("The heartbeat of beat was not written: %s", type(error).__name__)
        return float(super().tick(*args, **kwargs))
