"""Administrators browsing a running kvadmin while a purge, a census and a bulk run go on; and everything killed under that load.

    python -m benchmarks.load [--admins 50] [--seconds 60] [--think 5] [--rows 200000]
    python -m benchmarks.load --faults [--database postgresql]

Starts `up` in a folder of its own, with three SQLite stores, a Valkey and as many signed-in administrators, each of whom opens a
page, waits and opens the next one. Prints p50, p95 and p99 in milliseconds and the errors of each route, and who had the processor.
With --faults web worker, web, worker, beat, broker and store are killed and the database is locked (PostgreSQL: killed), one after
another, under the same load: how long pages failed, what /readyz and the overview said, and whether nothing was lost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.load_crowd import Crowd
from tests.running_up import RunningUp, clean_environment

if TYPE_CHECKING:
    from tests.servers.postgresql import PostgreSQLServer

ROOT: Final = Path(__file__).resolve().parent.parent


class Installation:
    """A running `up` with its stores, accounts and background work."""

    def __init__(self, folder: Path, rows: int, database: str = "sqlite") -> None:
        from tests.servers import postgresql
        from tests.servers.redis import RedisServer

        self.folder, self.rows = folder, rows
        self.valkey = RedisServer("valkey")
        self.postgresql = postgresql.own_server() if database == "postgresql" else None
        own = {"KVADMIN_DATABASE_URL": _url(self.postgresql)} if self.postgresql else {}
        self.up = RunningUp(folder / "data", KVADMIN_ADMIN_PASSWORD="load and measure 1", **own)
        self.cookies: list[str] = []
        self._helper: subprocess.Popen[str] | None = None
        self._ordering = threading.Lock()
        self.environment = clean_environment(KVADMIN_DATA_DIR=str(folder / "data"), DJANGO_SETTINGS_MODULE="kvadmin.settings", **own)

    def prepare(self, admins: int) -> None:
        """Wait until it answers; fill the stores, sign everybody in."""
        self.url = self.up.wait_ready()
        self.cookies = self.order("prepare", str(self.folder), str(self.rows), str(admins), self.valkey.url)["cookies"]

    def order(self, *arguments: str) -> Any:
        """Something done by a process of its own on the installation's database (`benchmarks/load_orders.py`), one after another."""
        with self._ordering:
            if self._helper is None:
                argv = [sys.executable, "-m", "benchmarks.load_orders"]
                pipe = subprocess.PIPE
                self._helper = subprocess.Popen(argv, cwd=ROOT, env=self.environment, stdin=pipe, stdout=pipe, text=True)
            assert self._helper.stdin is not None and self._helper.stdout is not None
            self._helper.stdin.write(json.dumps(arguments) + "\n")
            self._helper.stdin.flush()
            answer = self._helper.stdout.readline()
        if not answer:
            raise RuntimeError(f"the order {arguments[0]} failed")
        return json.loads(answer)

    def ready(self) -> dict[str, Any]:
        """What /readyz says; empty while nobody answers."""
        try:
            found: dict[str, Any] = json.loads(self.page("/readyz") or "{}")
        except ValueError:
            return {}
        return found

    def page(self, path: str) -> str:
        """A page as an administrator sees it; empty while nobody answers."""
        place = urlsplit(self.url)
        link = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        try:
            link.request("GET", path, headers={"Cookie": self.cookies[0]} if self.cookies else {})
            return link.getresponse().read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            link.close()

    def is_helper(self, pid: int) -> bool:
        """Whether a process is the one that carries out orders."""
        return self._helper is not None and self._helper.pid == pid

    def close(self) -> None:
        if self._helper is not None and self._helper.stdin is not None:
            self._helper.stdin.close()
            self._helper.wait(60)
        self.up.end()
        self.valkey.stop()
        if self.postgresql is not None:
            self.postgresql.stop()


def _url(server: PostgreSQLServer) -> str:
    found = server.settings(server.create_database())
    return f"postgresql://{found['user']}:{found['password']}@{found['host']}:{found['port']}/{found['database']}"


@contextmanager
def installation(rows: int, admins: int, database: str = "sqlite") -> Iterator[Installation]:
    """A running kvadmin on its own SQLite file, or on a PostgreSQL of its own."""
    folder = Path(tempfile.mkdtemp(prefix="kvadmin-load-"))
    made = Installation(folder, rows, database)
    try:
        made.prepare(admins)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


class Processor:
    """Who had the processor since this was made: seconds of the installation's programs, of this benchmark, of everything else."""

    def __init__(self, made: Installation) -> None:
        self.made = made
        self.began, self.before, self.total = time.monotonic(), self._each(), self._busy()

    def report(self) -> str:
        seconds = time.monotonic() - self.began
        spent = {name: max(0.0, now - self.before.get(name, 0.0)) for name, now in self._each().items()}
        spent["everything else"] = max(0.0, self._busy() - self.total - sum(spent.values()))
        return "cores in use: " + ", ".join(f"{name} {used / seconds:.2f}" for name, used in spent.items())

    def _each(self) -> dict[str, float]:
        parents, names = self.made.up.all_processes(), {pid: name for name, pid in self.made.up.pids().items() if pid}
        found = {"this benchmark": time.process_time()}
        for pid in parents:
            at = pid
            while at not in names and at in parents:
                at = parents[at]
            name = names.get(at, "this benchmark" if self.made.is_helper(pid) else "up")
            found[name] = found.get(name, 0.0) + _spent(Path(f"/proc/{pid}/stat"))
        return found

    @staticmethod
    def _busy() -> float:
        user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8])
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _spent(stat: Path) -> float:
    """Processor seconds of a process; 0 for one that has ended."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep_busy(made: Installation, stop: threading.Event) -> None:
    """A purge, a census and a bulk run at all times: what has ended is begun again on new rows."""
    while not stop.is_set():
        made.order("work", str(made.folder), str(made.rows))
        stop.wait(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--admins", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=5.0, help="seconds between two pages of one administrator, on average")
    parser.add_argument("--rows", type=int, default=200_000, help="keys in each of the three SQLite stores")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="where kvadmin keeps its own data")
    parser.add_argument("--faults", action="store_true", help="kill everything, one after another")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with installation(options.rows, options.admins, options.database) as made, Crowd(made.url, made.cookies, options.think) as crowd:
        stop = threading.Event()
        busy = threading.Thread(target=keep_busy, args=(made, stop), daemon=True)
        busy.start()
        time.sleep(5)
        crowd.forget()
        if options.faults:
            from benchmarks import load_faults

            problems = load_faults.all_of_them(made, crowd)
        else:
            processor = Processor(made)
            time.sleep(options.seconds)
            print(f"{options.admins} administrators, a page every {options.think:g} s each, {options.rows:,} rows, {os.cpu_count()} cores")
            problems = crowd.report()
            print(processor.report())
        stop.set()
        busy.join(120)
        ended = made.order("end", str(made.folder))
        print(json.dumps(ended))
    sys.exit(1 if problems or not ended["sound"] or ended["failed"] else 0)


if __name__ == "__main__":
    main()
