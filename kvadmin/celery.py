"""The Celery app; its configuration is in the settings under `CELERY_`."""

from __future__ import annotations

import os
import signal
from logging.config import dictConfig
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")

app = Celery("kvadmin")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    from django.conf import settings

    dictConfig(settings.LOGGING)


@signals.worker_process_init.connect
def _end_with_the_worker(**_: Any) -> None:
    from kvadmin.children import die_with_parent

    die_with_parent(signal.SIGKILL)
