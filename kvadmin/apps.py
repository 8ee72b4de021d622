"""The project as an app: it has the commands that run an installation (`up`, `web`, `worker`, `beat`)."""

from importlib import import_module

from django.apps import AppConfig


class KvadminConfig(AppConfig):
    name = "kvadmin"

    def ready(self) -> None:
        """Make kvadmin's Celery app the current one, so that every process queues into the same broker."""
        import_module("kvadmin.celery")
