"""What a reader waits for: pages of a large store in headless Chromium with a cold cache, their bytes, commands and memory.

    python -m benchmarks.pages --engine sqlite|redis|postgresql|mysql [--rows 1000000] [--repeat 10] [--walk 1000]
    python -m benchmarks.pages --engine redis --rows 10000000 --keep /var/tmp/stores

A real `up` serves one store of so many keys, counted once. Each visit is a fresh browser profile: nothing in its cache, no connection.
Each figure stands beside what it should be; the exit status is 1 when one does not hold. `--keep` keeps the filled store (SQLite and
Redis) in a folder for the next run. It wants a quiet machine.

first list       from the beginning of a navigation until 100 decoded rows are drawn
one class        from the press of the button on a class until its first 100 rows are drawn
page 1000        the same list page after page (`rel=next`); then the last page over the first, asked for by turns, and a cold navigation
                 to the last one over one to the first
database         what the store itself takes for each page of such a walk
first visit      everything that is fetched, headers included, as it comes over the wire
interaction      the longest from a click or key to the next frame: rows, menus, theme, switcher, filters, search
commands         calls that one view costs the store's Redis, those inside scripts too, and how often it took something in
empty class      a class without keys on a store without order: when the answer is there, when something is painted
web worker       memory of the largest web process after 100 pages and after the walk, other pages in between
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from benchmarks import pages_browser
from benchmarks.pages_browser import CLASS, Opened, Reader
from benchmarks.pages_store import ENGINES, STORE, Measured, RedisKeys, measured
from tests.browser.conftest import ARGUMENTS, CHROMIUM

EMPTY: Final = "rate-imap"
"""A class of which the filled stores have no key."""
OTHERS: Final = ("/", f"/stores/{STORE}/", f"/stores/{STORE}/purge/", f"/stores/{STORE}/keys/?class={CLASS}", "/audit/", "/trash/", "KEY")
"""Pages that are opened between those of the walk; KEY: the first key of the page before."""
KB: Final = 1024


class Report:
    """Figures beside what they should be."""

    def __init__(self) -> None:
        self.missed = 0

    def figure(self, name: str, found: float, unit: str = "ms", at_most: float | None = None, places: int = 1) -> None:
        verdict = ""
        if at_most is not None:
            held = found <= at_most
            self.missed += not held
            verdict = f"at most {at_most:,g} {unit}".ljust(20) + ("met" if held else "MISSED")
        print(f"{name:44} {found:12,.{places}f} {unit:4}  {verdict}".rstrip(), flush=True)


class Link:
    """A program that fetches pages over one connection, with the administrator's cookies."""

    def __init__(self, reader: Reader) -> None:
        place = urlsplit(reader.url)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        self.cookie = reader.cookie

    def get(self, path: str) -> tuple[float, str]:
        """Milliseconds until the whole page was there, and the page."""
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"Cookie": self.cookie})
        body = self.connection.getresponse().read()
        return (time.perf_counter() - began) * 1000, body.decode()


def median(times: list[float]) -> float:
    return statistics.median(times)


def walk(report: Report, reader: Reader, made: Measured, pages: int) -> str:
    """Page after page, other pages in between; the address of the last one."""
    link, path, times = Link(reader), f"/stores/{STORE}/keys/", []
    before = (0.0, 0.0)
    for number in range(pages):
        took, body = link.get(path)
        times.append(took)
        if number % 5 == 4:
            other = OTHERS[number // 5 % len(OTHERS)]
            key = re.search(r'class="kv-subject[^"]*" href="([^"]+)"', body)
            link.get(key[1] if other == "KEY" and key else other.replace("KEY", "/"))
        if number == 99:
            before = made.web_memory()
        found = re.search(r'href="([^"]+)"[^>]*rel="next"', body)
        if found is None:
            break
        last, path = path, found[1].replace("&amp;", "&")
    after = made.web_memory()
    pairs = [(link.get(f"/stores/{STORE}/keys/")[0], link.get(last)[0]) for _ in range(21)][1:]
    first, latest = median([each for each, _ in pairs]), median([each for _, each in pairs])
    report.figure("page 1, of a program", first)
    report.figure(f"page {len(times)}, of a program", latest)
    report.figure(f"page {len(times)} over page 1", latest / first, "x", 1.2, 2)
    report.figure("web worker, resident", after[0], "MB", 120)
    report.figure("web worker, what it shares counted in part", after[1], "MB")
    report.figure(f"web worker, growth over {len(times) - 100} pages", after[0] - before[0], "MB", 10)
    return last


def visits(report: Report, reader: Reader, last: str, repeat: int) -> None:
    """Cold navigations to the first and to the last page, and one class by one click."""
    lists: list[Opened] = []
    latest: list[Opened] = []
    classes: list[float] = []
    for _ in range(repeat + 1):
        with reader.cold() as page:
            lists.append(pages_browser.open_list(page, f"{reader.url}/stores/{STORE}/keys/"))
            classes.append(pages_browser.one_class(page))
        with reader.cold() as page:
            latest.append(pages_browser.open_list(page, reader.url + last))
    lists, latest, classes = lists[1:], latest[1:], classes[1:]
    report.figure("first list, median", median([each.list for each in lists]), at_most=300)
    report.figure(f"first list, worst of {repeat}", max(each.list for each in lists), at_most=400)
    report.figure("  of it until the first byte, median", median([each.answered for each in lists]))
    report.figure("  of it until the last byte, median", median([each.arrived for each in lists]))
    report.figure("  of it until the first paint, median", median([each.painted for each in lists]))
    report.figure("one class by one click, median", median(classes), at_most=300)
    report.figure(f"one class by one click, worst of {repeat}", max(classes), at_most=400)
    ratio = median([each.list for each in latest]) / median([each.list for each in lists])
    report.figure("last page of the walk over the first, cold", ratio, "x", 1.2, 2)


def weigh(report: Report, reader: Reader) -> None:
    with reader.cold() as page:
        found = pages_browser.weigh(page, f"{reader.url}/stores/{STORE}/keys/")
        shift, slow = pages_browser.interact(page)
    for kind, size in sorted(found.kinds.items()):
        report.figure(f"first visit: {kind}", size / KB, "KB", 60 if kind == "script" else None)
    report.figure(f"first visit: all {found.requests} requests", found.total / KB, "KB", 150)
    for name, asked, answered, arrived in found.way:
        print(f"    {name:56} asked {asked:6.1f}, first byte {answered:6.1f}, last {arrived:6.1f} ms")
    report.figure("layout shift", shift, "", 0, 4)
    report.figure("interaction, slowest", slow, at_most=100, places=0)


def database(report: Report, made: Measured, pages: int) -> None:
    took = sorted(made.database_part(pages))
    report.figure("database part of a page, median", median(took), places=2)
    report.figure("database part of a page, p95", took[int(len(took) * 0.95)], at_most=2, places=2)


def redis_views(report: Report, reader: Reader, made: Measured) -> None:
    """Commands and round trips of each view: the fewest of five, as the page of somebody else may fall in between."""
    link, store = Link(reader), made.store
    assert isinstance(store, RedisKeys)
    base = f"/stores/{STORE}/keys/"
    key = re.search(r'class="kv-subject[^"]*" href="([^"]+)"', link.get(base)[1])
    views = {"all keys": base, "one class": f"{base}?class={CLASS}", "class and expiry": f"{base}?class={CLASS}&expiry=live"}
    views |= {"one key": key[1]} if key else {}
    before, after = store.spent(), store.spent()
    looking = after["reads"] - before["reads"]
    for name, path in views.items():
        spent = []
        for _ in range(5):
            before = store.spent()
            link.get(path)
            after = store.spent()
            calls = sum(count - before.get(each, 0) for each, count in after.items() if each not in ("reads", "info", "client|setname"))
            spent.append((after["reads"] - before["reads"] - looking, calls))
        report.figure(f"{name}: round trips", min(trips for trips, _ in spent), "", 5, 0)
        report.figure(f"{name}: commands", min(calls for _, calls in spent), "", 300, 0)


def empty_class(report: Report, reader: Reader, made: Measured) -> None:
    """A class of which the last count knows no key, on a store that has to be searched to its end."""
    link, path = Link(reader), f"/stores/{STORE}/keys/?class={EMPTY}"
    took = [link.get(path)[0] for _ in range(11)][1:]
    paints = []
    for _ in range(5):
        with reader.cold() as page:
            paints.append(pages_browser.first_paint(page, reader.url + path))
            began = time.perf_counter()
            page.get_by_text("The store was searched to its end").wait_for(timeout=120_000)
            searched = (time.perf_counter() - began) * 1000
    report.figure("empty class: answer, median", median(took), at_most=50)
    report.figure("empty class: first paint, median", median(paints), at_most=300)
    report.figure("empty class: searched to its end", searched, places=0)


@contextmanager
def get_beside(report: Report, made: Measured) -> Iterator[None]:
    """Another process that asks the store's Redis for a key every millisecond meanwhile."""
    if not isinstance(made.store, RedisKeys):
        yield
        return
    argv = [sys.executable, "-m", "benchmarks.redis_census", "--probe", str(made.store.server.socket)]
    probe = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert probe.stdout is not None
    probe.stdout.readline()
    yield
    felt: dict[str, Any] = json.loads(probe.communicate("", timeout=60)[0])
    report.figure("p99 of a GET beside the walk", felt["GET p99"], at_most=1.5, places=2)


def measure(report: Report, browser: Browser, made: Measured, options: argparse.Namespace) -> None:
    reader = Reader(browser, made.url)
    reader.sign_in()
    with get_beside(report, made):
        last = walk(report, reader, made, options.walk)
    visits(report, reader, last, options.repeat)
    weigh(report, reader)
    if isinstance(made.store, RedisKeys):
        redis_views(report, reader, made)
        empty_class(report, reader, made)
    database(report, made, options.walk)
    report.figure("foreign hosts", len(reader.foreign), "", 0, 0)
    report.figure("errors and warnings in the console", len(reader.complaints), "", 0, 0)
    for complaint in sorted(set(reader.complaints)):
        print(f"    {complaint}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engine", choices=tuple(ENGINES), default="sqlite")
    parser.add_argument("--rows", type=int, default=1_000_000, help="keys of the store")
    parser.add_argument("--repeat", type=int, default=10, help="cold visits")
    parser.add_argument("--walk", type=int, default=1000, help="pages that are walked through, 120 at least")
    parser.add_argument("--keep", type=Path, help="folder that keeps the filled store of SQLite or Redis for the next run")
    options = parser.parse_args()
    report = Report()
    with measured(options.engine, options.rows, options.keep) as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        print(f"{options.engine}, {options.rows:,} keys, Chromium {browser.version}, {os.cpu_count()} cores")
        measure(report, browser, made, options)
        browser.close()
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
