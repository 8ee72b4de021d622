"""A thread of the worker that checks the alerts about the scheduler."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from django.db import Error as DatabaseError
from django.db import close_old_connections

SECONDS: Final = 60.0
_log = logging.getLogger(__name__)


def start() -> threading.Thread:
    """Begin to watch, as long as the process lives."""
    thread = threading.Thread(target=_watch, name="watch beat", daemon=True)
    thread.start()
    return thread


def _watch() -> None:
    while True:
        time.sleep(SECONDS)
        look()


def look() -> None:
    """One round; a database that does not answer is for the next one."""
    from stores.services import alerts  # models are not loaded when Celery imports this

    close_old_connections()
    try:
        alerts.evaluate(background=True)
    except DatabaseError as error:
        _log.warning("The alerts about the scheduler were not checked: %s", type(error).__name__)
    finally:
        close_old_connections()
