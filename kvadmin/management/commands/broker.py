"""`broker`: the embedded Valkey alone, for systemd."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kvadmin import broker, installation, processes
from kvadmin.environment import Environment
from kvadmin.management.commands.web import become


class Command(BaseCommand):
    help = "Run only the embedded Valkey that queues the background work. Not needed where KVADMIN_BROKER_URL is set."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data-dir", help="folder for everything kvadmin keeps (KVADMIN_DATA_DIR)")

    def handle(self, *args: Any, **options: Any) -> None:
        env = Environment.read()
        server = broker.binary()
        if server is None:
            raise CommandError(processes.NO_SERVER)
        installation.close_to_others(env)
        become(list(processes.valkey("broker", server, env.data_dir).command), env)
