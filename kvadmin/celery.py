"""The Celery app; its configuration is in the settings under `CELERY_`."""

from __future__ import annotations

import os
import signal
import warnings
from logging.config import dictConfig
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")

warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges", category=SecurityWarning)
"""`up` says it in one line; tasks are JSON, never pickles, so root adds no other danger here."""

app = Celery("kvadmin")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    from django.conf import settings

    dictConfig(settings.LOGGING)


@signals.worker_init.connect
def _let_others_go_first(**_: Any) -> None:
    from kvadmin.children import step_back

    step_back()


@signals.worker_process_init.connect
def _end_with_the_worker(**_: Any) -> None:
    from kvadmin.children import die_with_parent

    die_with_parent(signal.SIGKILL)


@signals.worker_ready.connect
def _watch_beat(**_: Any) -> None:
    """That the scheduler is silent cannot be checked by its own schedule: the worker looks once a minute by itself."""
    from kvadmin.watch import start

    start()


@signals.beat_init.connect
def _schedules_in_step(**_: Any) -> None:
    """What may have changed while beat was down: the time zone, drivers that are installed now, definitions that are gone."""
    from stores.services.beatrows import sync_all

    sync_all()
