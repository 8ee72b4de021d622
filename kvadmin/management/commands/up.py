"""`up`: everything in one command. Web, worker, beat and an embedded Valkey as supervised child processes."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from kvadmin import broker, demo, installation, processes
from kvadmin.environment import ALLOWED_HOSTS, Environment, unknown_variables
from kvadmin.keyfiles import open_to_others
from kvadmin.locks import DataFolderLock
from kvadmin.supervisor import Child, Supervisor
from stores.errors import StoreError

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (every address, and the loopback one among them)
LONGEST_START = 90.0
"""Seconds until the page has to answer; a slow disk and a first migration fit in."""


class Command(BaseCommand):
    help = "Set up what is missing and run everything: pages, worker, schedules and an embedded broker. Ctrl+C ends all."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", help="address to serve on (KVADMIN_HOST)")
        parser.add_argument("--port", help="port to serve on, 0 for any free one (KVADMIN_PORT)")
        parser.add_argument("--data-dir", help="folder for everything kvadmin keeps (KVADMIN_DATA_DIR)")
        parser.add_argument("--demo", action="store_true", help="add two stores filled with invented rows, and traffic that moves them")

    def handle(self, *args: Any, **options: Any) -> None:
        env = Environment.read()
        installation.close_to_others(env)
        with DataFolderLock(env.data_dir), listening_socket(env.host, env.port) as listener:
            Installation(env, listener, bool(options["demo"])).run()


class Installation:
    """One running `up`."""

    def __init__(self, env: Environment, listener: socket.socket, demo_traffic: bool) -> None:
        self.env = env
        self.listener = listener
        self.demo_traffic = demo_traffic
        self.supervisor = Supervisor(on_change=self._write_status)

    def run(self) -> None:
        """Start, serve until a signal, end. Raises CommandError when something needed is missing."""
        self.supervisor.install_signals()
        self._notes()
        try:
            self._start_broker()
            self._prepare()
            self._start_programs()
            self.supervisor.run()
        except StoreError as error:
            raise CommandError(str(error)) from None
        finally:
            self.supervisor.stop()

    def _notes(self) -> None:
        if os.getuid() == 0:
            self.supervisor.say("Running as root works; an account of its own is safer (see deploy/).")
        if open_to_others(self.env.data_dir):
            self.supervisor.say(f"Others can enter {self.env.data_dir}: chmod 700 it.")
        if self.env.host in WILDCARDS and not os.environ.get(ALLOWED_HOSTS.name):
            names = ", ".join(self.env.allowed_hosts)
            self.supervisor.say(
                f"Served on every address, but answers only to {names}: set {ALLOWED_HOSTS.name} to the names that people use."
            )
        for name in unknown_variables(os.environ):
            self.supervisor.say(f"{name} is not a setting of kvadmin; is it misspelt? The README lists them.")

    def _start_broker(self) -> None:
        if not self.env.embedded_broker:
            return
        self._start_valkey("broker")

    def _start_valkey(self, name: str) -> None:
        server = broker.binary()
        if server is None:
            raise CommandError(processes.NO_SERVER)
        socket_file = broker.socket_path(self.env.data_dir, name)
        try:
            program = processes.valkey(name, server, self.env.data_dir)
            _wait_until(lambda: not broker.answers(socket_file), 5.0, f"Another server still answers on {socket_file}.")
            self.supervisor.start(program)
        except OSError as error:
            raise CommandError(f"The embedded {name} cannot be started: {error}") from None

    def _prepare(self) -> None:
        installation.migrate()
        installation.collect_static()
        password = installation.first_start(self.env)
        if password:
            _tell(
                f"Administrator: {self.env.admin_user}\n"
                f"Password: {password}   (shown only this once; `manage.py user-password {self.env.admin_user}` sets another)"
            )
        if self.demo_traffic or demo.defined():
            self._start_valkey(demo.VALKEY)
            self._wait_for_valkey(demo.VALKEY)
        if self.env.embedded_broker:
            self._wait_for_valkey("broker")
        if self.demo_traffic:
            demo.ensure(self.env.data_dir)
        connections.close_all()

    def _wait_for_valkey(self, name: str) -> None:
        socket_file = broker.socket_path(self.env.data_dir, name)
        self._run_until(lambda: broker.answers(socket_file), 30.0, f"The embedded {name} does not answer; its messages are above.")

    def _start_programs(self) -> None:
        """The pages first, then what works behind them: READY comes sooner, and work that is asked for meanwhile waits in the queue."""
        if self.supervisor.stopping:
            return
        descriptor = self.listener.fileno()
        env = self.env
        self.supervisor.start(processes.program("web", processes.web_command(f"fd://{descriptor}"), env, (descriptor,)))
        if not self._wait_for_page():
            return
        self.supervisor.start(processes.program("worker", processes.worker_command(env), env))
        self.supervisor.start(processes.program("beat", processes.beat_command(env), env))
        if self.demo_traffic:
            self.supervisor.start(processes.program("demo", processes.demo_command(), env))

    def _wait_for_page(self) -> bool:
        host, port = self.listener.getsockname()[:2]
        name = WILDCARDS.get(host, host)
        probe = PageProbe(name, port)
        if not self._run_until(probe, LONGEST_START, "The page does not answer; the messages above say why."):
            return False
        _tell(f"READY http://{f'[{name}]' if ':' in name else name}:{port}/")
        return True

    def _run_until(self, reached: Callable[[], bool], longest: float, problem: str) -> bool:
        """Supervise until it is reached; False when a signal came first. Raises CommandError after `longest` seconds."""
        end = time.monotonic() + longest

        def done() -> bool:
            return reached() or time.monotonic() > end

        if self.supervisor.run(done, pause=0.03) and time.monotonic() > end:
            raise CommandError(problem)
        return not self.supervisor.stopping

    def _write_status(self, children: list[Child]) -> None:
        """What runs, for pages and people: `processes.json` in the data folder."""
        status = {
            child.program.name: {
                "pid": child.process.pid if child.process else None,
                "restarts": child.restarts,
                "seconds": round(time.monotonic() - child.started_at, 1),
            }
            for child in children
        }
        path = self.env.data_dir / "processes.json"
        temporary = path.with_suffix(".new")
        with suppress(OSError):  # a full disk must not end the processes that could make room
            temporary.write_text(json.dumps({"supervisor": os.getpid(), "at": int(time.time()), "processes": status}))
            temporary.replace(path)


def listening_socket(host: str, port: int) -> socket.socket:
    """The bound socket that gunicorn will listen on; held here, so that a restart of gunicorn loses no connection.

    Raises CommandError when the port is in use or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise CommandError(
            f"Cannot serve on {host} port {port}: {error.strerror or error}. "
            "Choose another with --port or --host (KVADMIN_PORT, KVADMIN_HOST)."
        ) from None
    return listener


class PageProbe:
    """Asks for the landing page; a server that answers with an error is asked only once a second, as it logs each time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port, self._next_at = host, port, 0.0

    def __call__(self) -> bool:
        if time.monotonic() < self._next_at:
            return False
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2)
        try:
            connection.request("GET", "/", headers={"User-Agent": "kvadmin-up"})
            if connection.getresponse().status < 500:
                return True
            self._next_at = time.monotonic() + 1
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        return False


def _wait_until(reached: Callable[[], bool], longest: float, problem: str) -> None:
    end = time.monotonic() + longest
    while not reached():
        if time.monotonic() > end:
            raise CommandError(problem)
        time.sleep(0.05)


def _tell(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError:
        pass
