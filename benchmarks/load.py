"""Administrators browsing a running kvadmin while a purge, a census and a bulk run go on; and everything killed under that load.

    python -m benchmarks.load [--admins 50] [--seconds 60] [--think 5] [--rows 200000]
    python -m benchmarks.load --faults

Starts `up` in a folder of its own, with three SQLite stores, a Valkey and as many signed-in administrators, each of whom opens a
page, waits and opens the next one. Prints p50, p95 and p99 in milliseconds and the errors of each route. With --faults the web
worker, worker, beat, broker and store are killed and the database is locked, one after another, under the same load: how long
pages failed, what /readyz and the overview said, and whether all runs came to their ends with nothing lost.
"""

from __future__ import annotations

import argparse
import gzip
import html
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.running_up import RunningUp, clean_environment

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = (
    ("overview", "/", 4),
    ("store", "/stores/purged/", 3),
    ("keys", "/stores/counted/keys/", 4),
    ("keys of a class", "/stores/changed/keys/?class=rate-auth", 3),
    ("keys on Valkey", "/stores/cache/keys/", 3),
    ("key", "", 4),
    ("purge", "/stores/purged/purge/", 2),
    ("growth", "/stores/counted/growth/", 1),
    ("runs", "/runs/", 2),
    ("run", "", 2),
    ("audit", "/audit/", 2),
    ("trash", "/trash/", 1),
    ("find", "/find/?q=203.0.113.7", 1),
    ("settings", "/settings/", 1),
    ("limited", "/limited/", 1),
)
"""Name, address, how often it is opened among all. Keys and runs are those that other pages link to."""


PART: Final = ", filled in"
"""Ends the name of parts that a page loads by itself once it is there: asked for as a browser does, and reported apart."""
FILLED_IN: Final = re.compile(rb'hx-get="([^"]+)" hx-trigger="load(?: delay:([0-9]+)ms)?')
MOST_PARTS: Final = 5
"""So many parts in a row; then the reader goes on to another page."""


@dataclass(slots=True)
class Timing:
    """Milliseconds and failures of one route."""

    took: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def at(self, share: float) -> float:
        ordered = sorted(self.took)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Reader:
    """One browser: a connection that stays, what it accepts, the cookie of its session."""

    def __init__(self, host: str, port: int, cookie: str) -> None:
        self.host, self.port = host, port
        self.headers = {"Cookie": cookie, "Accept-Encoding": "gzip"}
        self.link: http.client.HTTPConnection | None = None

    def get(self, path: str, part: bool = False) -> tuple[float, str, bytes]:
        """Milliseconds until the last byte, what went wrong (empty: nothing), the page; `part`: as htmx asks for a part of one.

        A connection that was kept and turns out to be closed is opened anew, once, as every browser does.
        """
        began, kept = time.perf_counter(), self.link is not None
        try:
            problem, body = self._ask(path, part)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self._drop()
            problem, body = type(error).__name__, b""
            if kept:
                return self.get(path, part)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            problem, body = type(error).__name__, b""
        return (time.perf_counter() - began) * 1000, problem, body

    def _ask(self, path: str, part: bool) -> tuple[str, bytes]:
        if self.link is None:
            self.link = http.client.HTTPConnection(self.host, self.port, timeout=30)
        self.link.request("GET", path, headers=self.headers | ({"HX-Request": "true"} if part else {}))
        response = self.link.getresponse()
        body = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return "" if response.status == 200 else f"{response.status}", body

    def _drop(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None


class Crowd:
    """Administrators, one thread each, until told to stop."""

    def __init__(self, url: str, cookies: list[str], think: float) -> None:
        self.place = urlsplit(url)
        self.think = think
        self.timings: dict[str, Timing] = defaultdict(Timing)
        self.failed_at: list[float] = []
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.links: dict[str, list[str]] = {"key": ["/stores/counted/keys/"], "run": ["/runs/"]}
        self.threads = [threading.Thread(target=self._browse, args=(cookie, number), daemon=True) for number, cookie in enumerate(cookies)]

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def forget(self) -> None:
        """Begin to count anew."""
        with self.lock:
            self.timings.clear()
            self.failed_at.clear()

    def _browse(self, cookie: str, seed: int) -> None:
        source = random.Random(seed)
        reader = Reader(self.place.hostname or "", self.place.port or 80, cookie)
        self.stop.wait(source.random() * self.think)
        while not self.stop.is_set():
            name, path, _ = source.choices(PAGES, [weight for *_, weight in PAGES])[0]
            took, problem, body = reader.get(path or source.choice(self.links[name]))
            self._note(name, took, problem, body)
            for _ in range(MOST_PARTS):
                part = FILLED_IN.search(body)
                if part is None or self.stop.wait(int(part[2] or 0) / 1000):
                    break
                took, problem, body = reader.get(html.unescape(part[1].decode()), part=True)
                self._note(f"{name}{PART}", took, problem, body)
            self.stop.wait(self.think * source.uniform(0.5, 1.5))

    def _note(self, name: str, took: float, problem: str, body: bytes) -> None:
        with self.lock:
            timing = self.timings[name]
            timing.took.append(took)
            if problem:
                timing.errors.append(problem)
                self.failed_at.append(time.monotonic())
            elif name.startswith("keys"):
                self._learn("key", re.findall(rb'href="(/stores/[^"/]+/key/[^"/]+/)"', body))
            elif name == "runs":
                self._learn("run", re.findall(rb'href="(/runs/[0-9a-f-]{36}/)"', body))

    def _learn(self, kind: str, found: list[bytes]) -> None:
        self.links[kind] = [link.decode() for link in found] or self.links[kind]

    def report(self) -> int:
        """Print a line for each route; answers the number of errors."""
        errors = 0
        everything, parts = Timing(), Timing()
        print(f"{'route':24}{'pages':>7}{'p50':>8}{'p95':>8}{'p99':>8}{'errors':>8}")
        with self.lock:
            for name, timing in sorted(self.timings.items()):
                (parts if name.endswith(PART) else everything).took += timing.took
                errors += len(timing.errors)
                said = f"  {', '.join(sorted(set(timing.errors)))}" if timing.errors else ""
                print(
                    f"{name:24}{len(timing.took):7}{timing.at(0.5):8.0f}{timing.at(0.95):8.0f}{timing.at(0.99):8.0f}{len(timing.errors):8}{said}"
                )
        for name, timing in (("all pages", everything), ("all that was filled in", parts)):
            print(f"{name:24}{len(timing.took):7}{timing.at(0.5):8.0f}{timing.at(0.95):8.0f}{timing.at(0.99):8.0f}")
        return errors


class Installation:
    """A running `up` with its stores, accounts and background work."""

    def __init__(self, folder: Path, rows: int) -> None:
        from tests.servers.redis import RedisServer

        self.folder, self.rows = folder, rows
        self.valkey = RedisServer("valkey")
        self.up = RunningUp(folder / "data", KVADMIN_ADMIN_PASSWORD="load and measure 1")
        self.cookies: list[str] = []
        self._helper: subprocess.Popen[str] | None = None
        self._ordering = threading.Lock()
        self.environment = clean_environment(KVADMIN_DATA_DIR=str(folder / "data"), DJANGO_SETTINGS_MODULE="kvadmin.settings")

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


@contextmanager
def installation(rows: int, admins: int) -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="kvadmin-load-"))
    made = Installation(folder, rows)
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
    parser.add_argument("--faults", action="store_true", help="kill everything, one after another")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with installation(options.rows, options.admins) as made, Crowd(made.url, made.cookies, options.think) as crowd:
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
