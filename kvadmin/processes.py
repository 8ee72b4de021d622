"""The processes of an installation and how each of them is run; `up` supervises them, `web`, `worker` and `beat` become one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kvadmin import broker
from kvadmin.environment import ROOT, Environment
from kvadmin.supervisor import Program

NO_SERVER = "No Valkey or Redis server was found: install the package valkey or redis-server, or set KVADMIN_BROKER_URL."

_CELERY = ("-m", "celery", "--app", "kvadmin.celery:app", "--quiet")


def web_command(bind: str) -> list[str]:
    """gunicorn on an address `HOST:PORT` or an open socket `fd://N`; everything else is in `gunicorn_conf.py`."""
    return [sys.executable, "-m", "gunicorn", "--config", "python:kvadmin.gunicorn_conf", "--bind", bind, "kvadmin.wsgi:application"]


def worker_command(env: Environment) -> list[str]:
    """The Celery worker: prefork, as many processes as `KVADMIN_TASK_WORKERS`, short tasks before runs."""
    return [
        sys.executable, *_CELERY, "worker", "--queues", "control,runs", "--hostname", "kvadmin@%h",
        "--without-gossip", "--without-mingle", "--loglevel", env.log_level,
    ]  # fmt: skip


def beat_command(env: Environment) -> list[str]:
    """Celery beat on the schedules in the database. Exactly one may run per installation."""
    return [sys.executable, *_CELERY, "beat", "--pidfile", "", "--loglevel", env.log_level]


def demo_command() -> list[str]:
    """Writes into the demo stores what a small mail server would."""
    return [sys.executable, "-m", "kvadmin", "demo"]


def program(name: str, command: Sequence[str], env: Environment, pass_fds: tuple[int, ...] = ()) -> Program:
    """A Python process of kvadmin with the same environment as this one."""
    environment = {"DJANGO_SETTINGS_MODULE": "kvadmin.settings", "KVADMIN_DATA_DIR": str(env.data_dir), "PYTHONUNBUFFERED": "1"}
    return Program(name, command, ROOT, environment, pass_fds)


def valkey(name: str, server: Path, data_dir: Path) -> Program:
    """An embedded Valkey of the data folder, with its own folder and socket, both closed to others.

    Raises OSError when the folders cannot be made.
    """
    socket_file, folder = broker.socket_path(data_dir, name), data_dir / name
    folder.mkdir(mode=0o700, exist_ok=True)
    broker.ensure_socket_folder(socket_file)
    return Program(
        name, broker.command(server, socket_file, folder), folder, death_signal=signal.SIGTERM, hurry_signal=signal.SIGTERM, last=True
    )
