"""`web`: the pages alone, for systemd and containers."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from kvadmin import installation, processes
from kvadmin.environment import ROOT, Environment


class Command(BaseCommand):
    help = "Run only the pages, with gunicorn. Migrates the database and collects the static files first."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", help="address to serve on (KVADMIN_HOST)")
        parser.add_argument("--port", help="port to serve on (KVADMIN_PORT)")
        parser.add_argument("--data-dir", help="folder for everything kvadmin keeps (KVADMIN_DATA_DIR)")

    def handle(self, *args: Any, **options: Any) -> None:
        env = Environment.read()
        installation.close_to_others(env)
        installation.migrate()
        installation.collect_static()
        if env.admin_password:
            installation.first_start(env)
        elif not installation.has_administrator():
            self.stderr.write("There is no administrator yet: run `kvadmin createsuperuser`, or set KVADMIN_ADMIN_PASSWORD for one start.")
        become(processes.web_command(f"[{env.host}]:{env.port}" if ":" in env.host else f"{env.host}:{env.port}"), env)


def become(command: list[str], env: Environment) -> None:
    """Replace this process by the command; it keeps the process id that systemd or the container watches."""
    os.environ["KVADMIN_DATA_DIR"] = str(env.data_dir)
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606
