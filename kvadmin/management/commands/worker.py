"""`worker`: the background worker alone, for systemd and containers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from kvadmin import installation, processes
from kvadmin.environment import Environment
from kvadmin.management.commands.web import become


class Command(BaseCommand):
    help = "Run only the background worker, with Celery. The database has to be migrated."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data-dir", help="folder for everything kvadmin keeps (KVADMIN_DATA_DIR)")

    def handle(self, *args: Any, **options: Any) -> None:
        env = Environment.read()
        installation.close_to_others(env)
        become(processes.worker_command(env), env)
