"""Administrators who browse, each in a thread of its own: what they ask for, how long it took, and what went wrong."""

from __future__ import annotations

import gzip
import html
import http.client
import random
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

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
