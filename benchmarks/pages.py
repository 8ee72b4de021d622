"""What a reader waits for: pages of a large store in headless Chromium with a cold cache, their bytes, commands and memory.

    python -m benchmarks.pages --engine sqlite [--rows 1000000] [--repeat 10] [--walk 1000]
    python -m benchmarks.pages --engine redis

A real `up` serves one store of so many keys, counted once. Each visit is a fresh browser context with nothing in its cache.

first list       navigation until the first list of 100 decoded rows stands: median and worst of `--repeat`, in ms
one class        one click on a class until its first 100 rows stand
page 1, 1000     the same list fetched page after page (`rel=next`), the median of the first and of the last twenty, in ms
bytes            everything a first visit fetches, as it comes over the wire, and the JavaScript in it
shift            layout shift of that page; `interaction` the longest from a click or key to the next frame, in ms
commands         commands of the store's Redis for one list, its own housekeeping left out
web worker       memory of the largest web process, before and after the walk, in MB
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from benchmarks import fill, redis_census
from tests.browser.conftest import ARGUMENTS, CHROMIUM, PASSWORD
from tests.running_up import RunningUp, manage
from tests.servers.redis import RedisServer

STORE = "measured"
ROWS = "#keys tbody tr"
CLASS = "rate-auth"
MB = 1024 * 1024
WATCH = """
window.kvShift = 0; window.kvSlow = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.kvShift += entry.value; })
    .observe({type: "layout-shift", buffered: true});
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.kvSlow = Math.max(window.kvSlow, entry.duration); })
    .observe({type: "event", durationThreshold: 16, buffered: true});
"""


class Measured:
    """A running `up` with one counted store of `rows` keys."""

    def __init__(self, folder: Path, engine: str, rows: int) -> None:
        self.folder, self.engine, self.rows = folder, engine, rows
        self.server = RedisServer("redis") if engine == "redis" else None
        self.up = RunningUp(folder / "data", KVADMIN_ADMIN_PASSWORD=PASSWORD)

    def prepare(self) -> None:
        """Fill, define and count the store."""
        if self.server:
            redis_census.fill_server(self.server, self.rows)
            setting = f"urls={self.server.url}"
        else:
            path = self.folder / "store.db"
            fill.fill_sqlite(path, fill.rows(self.rows, int(time.time())))
            setting = f"path={path}"
        self.url = self.up.wait_ready().rstrip("/")
        self.order("store-add", STORE, "--type", self.engine, "--set", setting, "--version", "0.11", "--default")
        self.order("census", STORE)

    def order(self, *arguments: str) -> None:
        done = manage(*arguments, KVADMIN_DATA_DIR=str(self.folder / "data"))
        if done.returncode:
            raise RuntimeError(done.stderr)

    def close(self) -> None:
        self.up.end()
        if self.server:
            self.server.stop()

    def web_memory(self) -> float:
        """MB of the largest process under the web server, pages shared with others counted in part (PSS)."""
        return max(_pss(pid) for pid in _below(self.up.pids()["web"] or 0)) / MB

    def commands(self) -> dict[str, int]:
        """Calls of each command so far."""
        assert self.server is not None
        with self.server.client() as client:
            stats: dict[str, Any] = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}


def _below(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _below(int(child)))]


def _pss(pid: int) -> int:
    match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


@contextmanager
def measured(engine: str, rows: int) -> Iterator[Measured]:
    folder = Path(tempfile.mkdtemp(prefix="kvadmin-pages-"))
    made = Measured(folder, engine, rows)
    try:
        made.prepare()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def signed_in(browser: Browser, url: str) -> list[Any]:
    """Cookies of the administrator."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", level=1).wait_for()
    cookies = context.cookies()
    context.close()
    return cookies


@contextmanager
def cold(browser: Browser, cookies: list[Any]) -> Iterator[Page]:
    """A reader who has never been here, but is signed in."""
    context: BrowserContext = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies(cookies)
    page = context.new_page()
    page.add_init_script(WATCH)
    try:
        yield page
    finally:
        context.close()


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def first_list(page: Page, address: str) -> float:
    """Milliseconds of the navigation until 100 rows stand."""

    def go() -> None:
        page.goto(address, wait_until="commit")
        page.locator(ROWS).nth(99).wait_for()

    return _timed(go)


def one_class(page: Page) -> float:
    """Milliseconds from a click on a class until its rows stand."""

    def click() -> None:
        page.locator(f'.kv-rail a[href*="class={CLASS}"]').click()
        page.wait_for_url(re.compile(f"class={CLASS}"))
        page.locator(f'.kv-rail a[href*="class={CLASS}"][aria-current]').wait_for()
        page.locator(ROWS).nth(99).wait_for()

    return _timed(click)


def weigh(browser: Browser, cookies: list[Any], address: str) -> None:
    """Bytes, layout shift and interaction of a first visit."""
    sizes: dict[str, int] = {}

    def finished(request: Request) -> None:
        sizes[request.url] = request.sizes()["responseBodySize"]

    with cold(browser, cookies) as page:
        page.on("requestfinished", finished)
        page.goto(address, wait_until="networkidle")
        script = sum(size for name, size in sizes.items() if ".js" in name)
        page.locator("input[data-kv-pick]").first.click()
        page.keyboard.press("/")
        page.keyboard.type("203.0")
        page.wait_for_timeout(300)
        shift, slow = page.evaluate("[window.kvShift, window.kvSlow]")
    print(f"bytes            {sum(sizes.values()) / 1024:8.1f} KB in {len(sizes)} requests, {script / 1024:.1f} KB of it JavaScript")
    print(f"shift            {shift:8.4f}, interaction {slow:.0f} ms")


def walk(browser: Browser, cookies: list[Any], made: Measured, pages: int) -> None:
    """Page after page as a reader of plain HTML; the cost of the first and the last, and the memory."""
    context = browser.new_context()
    context.add_cookies(cookies)
    address, times, before = f"{made.url}/stores/{STORE}/keys/", [], 0.0
    for number in range(pages):
        began = time.perf_counter()
        body = context.request.get(address).text()
        times.append((time.perf_counter() - began) * 1000)
        if number == 20:
            before = made.web_memory()
        found = re.search(r'href="([^"]+)"[^>]*rel="next"', body)
        if found is None:
            break
        address = f"{made.url}/stores/{STORE}/keys/" + found[1].replace("&amp;", "&").removeprefix(f"/stores/{STORE}/keys/")
    context.close()
    first, last = statistics.median(times[1:21]), statistics.median(times[-20:])
    print(f"page 1, {len(times):<8} {first:8.1f}, {last:.1f} ms, {last / first:.2f} times the first")
    print(f"web worker       {before:8.1f} MB after 20 pages, {made.web_memory():.1f} MB after {len(times)}")


def count_commands(browser: Browser, cookies: list[Any], made: Measured) -> None:
    """Commands of the Redis store for one list; the fewest of five, as the page of another reader may fall in between."""
    context = browser.new_context()
    context.add_cookies(cookies)
    fewest: dict[str, int] = {}
    for _ in range(5):
        before = made.commands()
        context.request.get(f"{made.url}/stores/{STORE}/keys/")
        after = made.commands()
        spent = {name: calls - before.get(name, 0) for name, calls in after.items() if calls > before.get(name, 0) and name != "info"}
        if not fewest or sum(spent.values()) < sum(fewest.values()):
            fewest = spent
    context.close()
    print(f"commands         {sum(fewest.values()):8,}: {', '.join(f'{name} {calls}' for name, calls in sorted(fewest.items()))}")


def line(name: str, times: list[float]) -> None:
    print(f"{name:16} {statistics.median(times):8.1f} median, {max(times):.1f} worst of {len(times)} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engine", choices=("sqlite", "redis"), default="sqlite")
    parser.add_argument("--rows", type=int, default=1_000_000, help="keys of the store")
    parser.add_argument("--repeat", type=int, default=10, help="cold visits")
    parser.add_argument("--walk", type=int, default=1000, help="pages that are walked through")
    options = parser.parse_args()
    with measured(options.engine, options.rows) as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        print(f"{options.engine}, {options.rows:,} keys, Chromium {browser.version}, {os.cpu_count()} cores")
        cookies = signed_in(browser, made.url)
        address = f"{made.url}/stores/{STORE}/keys/"
        lists, classes = [], []
        for _ in range(options.repeat + 1):
            with cold(browser, cookies) as page:
                lists.append(first_list(page, address))
                classes.append(one_class(page))
        line("first list", lists[1:])
        line("one class", classes[1:])
        weigh(browser, cookies, address)
        if made.server:
            count_commands(browser, cookies, made)
        walk(browser, cookies, made, options.walk)
        browser.close()


if __name__ == "__main__":
    main()
