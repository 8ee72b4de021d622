"""Visits in headless Chromium with nothing in the cache, timed by the browser itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.browser.conftest import PASSWORD

ROWS: Final = "#keys tbody tr"
CLASS: Final = "rate-auth"
SETTLED: Final = 1500
"""Milliseconds in which a new window of the browser has loaded its own parts, which are no part of a visit."""
WATCH: Final = """
window.kvSeen = {list: 0, clicked: 0, turned: 0, shift: 0, slow: []};
(() => {
  const seen = window.kvSeen;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { if (!entry.hadRecentInput) seen.shift += entry.value; }))
    .observe({type: "layout-shift", buffered: true});
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { if (entry.interactionId) seen.slow.push(entry.duration); }))
    .observe({type: "event", durationThreshold: 16, buffered: true});
  const painted = (name) => requestAnimationFrame(() => {
    const drawn = new MessageChannel();
    drawn.port1.onmessage = () => { seen[name] = performance.now(); };
    drawn.port2.postMessage(0);
  });
  const look = () => {
    if (document.querySelectorAll("ROWS").length < 100) return;
    if (!seen.list) { seen.list = -1; painted("list"); }
    const here = document.querySelector(".kv-rail a[aria-current]");
    if (seen.clicked && !seen.turned && here && here.href.includes("class=CLASS")) { seen.turned = -1; painted("turned"); }
  };
  new MutationObserver(look).observe(document, {childList: true, subtree: true});
  addEventListener("pointerdown", (event) => { seen.clicked = event.timeStamp; }, true);
})();
""".replace("ROWS", ROWS).replace("CLASS", CLASS)


@dataclass
class Reader:
    """Somebody who is signed in and has never been here before; `complaints` and `foreign` gather over all visits."""

    browser: Browser
    url: str
    cookies: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def sign_in(self) -> None:
        context = self.browser.new_context()
        page = context.new_page()
        page.goto(f"{self.url}/sign-in/")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("heading", level=1).wait_for()
        self.cookies = context.cookies()
        context.close()

    @property
    def cookie(self) -> str:
        """The same for programs that are no browser."""
        return "; ".join(f"{each['name']}={each['value']}" for each in self.cookies)

    @contextmanager
    def cold(self) -> Iterator[Page]:
        """A page of a fresh profile: no cache, no connection."""
        context: BrowserContext = self.browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        context.add_cookies(self.cookies)
        page = context.new_page()
        page.wait_for_timeout(SETTLED)
        page.add_init_script(WATCH)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)
        try:
            yield page
        finally:
            context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.foreign.append(request.url)


@dataclass(frozen=True, slots=True)
class Opened:
    """Milliseconds of one navigation since its beginning, as the browser tells them."""

    answered: float
    """First byte of the page."""
    arrived: float
    """Last byte of the page."""
    painted: float
    """First contentful paint."""
    list: float
    """The frame with 100 rows is drawn."""


def _until(page: Page, condition: str) -> None:
    """Wait for a condition of the page's; as a promise, because the pages allow no code from texts."""
    page.evaluate(f"new Promise((done) => {{ const look = () => ({condition}) ? done(1) : setTimeout(look, 20); look(); }})")


def open_list(page: Page, address: str) -> Opened:
    """Navigate and leave the page alone until it is loaded, so that the measurement does not slow it down."""
    page.goto(address, wait_until="load")
    _until(page, "window.kvSeen.list > 0 && performance.getEntriesByName('first-contentful-paint').length")
    return Opened(
        *page.evaluate(
            "(() => { const [way] = performance.getEntriesByType('navigation');"
            " const [paint] = performance.getEntriesByName('first-contentful-paint');"
            " return [way.responseStart, way.responseEnd, paint.startTime, window.kvSeen.list]; })()"
        )
    )


def first_paint(page: Page, address: str) -> float:
    """Milliseconds until the first contentful paint of a navigation."""
    page.goto(address, wait_until="load")
    _until(page, "performance.getEntriesByName('first-contentful-paint').length")
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def one_class(page: Page) -> float:
    """Click on a class: milliseconds from the press of the button until its first 100 rows are drawn."""
    page.locator(f'.kv-rail a[href*="class={CLASS}"]').click()
    _until(page, "window.kvSeen.turned > 0")
    return float(page.evaluate("window.kvSeen.turned - window.kvSeen.clicked"))


@dataclass(frozen=True, slots=True)
class Weight:
    """What a first visit fetches, as it comes over the wire: bytes by kind, and the way of each file."""

    kinds: dict[str, int]
    requests: int
    way: list[tuple[str, float, float, float]]
    """Name, and milliseconds since the navigation began: asked for, first byte, last byte."""

    @property
    def total(self) -> int:
        return sum(self.kinds.values())


def weigh(page: Page, address: str) -> Weight:
    """Open a page and wait until nothing is fetched any more."""
    done: list[Request] = []
    page.on("requestfinished", lambda request: done.append(request))
    page.goto(address, wait_until="networkidle")
    kinds: dict[str, int] = {}
    for request in done:
        sizes = request.sizes()
        kinds[request.resource_type] = kinds.get(request.resource_type, 0) + sizes["responseBodySize"] + sizes["responseHeadersSize"]
    entries = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map((entry) => [entry.name, entry.fetchStart, entry.responseStart, entry.responseEnd])"
    )
    return Weight(kinds, len(done), [(urlsplit(name).path, *times) for name, *times in entries])


def interact(page: Page) -> tuple[float, float]:
    """Layout shift of the visit, and milliseconds of the slowest act from the click or key to the next frame (below 16: not told)."""
    acts: tuple[Callable[[], None], ...] = (
        lambda: page.locator("input[data-kv-pick]").first.click(),
        lambda: page.locator("input[data-kv-pick-all]").click(),
        lambda: page.get_by_label("Appearance and language").click(),
        lambda: page.get_by_role("button", name="Dark").click(),
        lambda: page.locator("details.is-switch summary").click(),
        lambda: page.keyboard.press("Escape"),
        lambda: page.locator("details.kv-more summary").click(),
        lambda: page.keyboard.press("/"),
        lambda: page.keyboard.type("203.0"),
        lambda: page.locator(f'.kv-rail a[href*="class={CLASS}"]').click(),
    )
    for act in acts:
        act()
        page.wait_for_timeout(150)
    _until(page, "window.kvSeen.turned > 0")
    page.wait_for_timeout(300)
    shift, slow = page.evaluate("[window.kvSeen.shift, Math.max(0, ...window.kvSeen.slow)]")
    return float(shift), float(slow)
