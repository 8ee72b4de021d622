"""A real kvadmin (web, worker, scheduler, broker) and a real browser. Both are children of the tests and end with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.fixtures_path import FIXTURES
from tests.running_up import RunningUp

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"]
PASSWORD = "browse-the-stores-7"
WIDE, NARROW = (1440, 900), (360, 780)


@dataclass
class Visit:
    """One page of one reader, with everything it complained about and asked for."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a path of kvadmin and wait until nothing is being fetched."""
        self.page.goto(self.base + path, wait_until="load")

    def quiet(self) -> None:
        """Nobody complained, nothing came from elsewhere, and the page does not scroll sideways."""
        assert not self.complaints
        assert not self.foreign
        wider = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{self.page.url} is {wider} px too wide"

    def heard(self, message: ConsoleMessage) -> None:
        """Keep errors and warnings; what a refused form's status logs is none."""
        if message.type in ("error", "warning") and "server responded with a status of 4" not in message.text:
            self.complaints.append(message.text)

    def asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.foreign.append(request.url)


def require_chromium() -> None:
    if CHROMIUM.exists():
        return
    if os.environ.get("KVADMIN_TEST_REQUIRE_SERVERS") or os.environ.get("CI"):
        pytest.fail(f"{CHROMIUM} is missing")
    pytest.skip(f"{CHROMIUM} is not installed")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """`manage.py up` with a known password."""
    require_chromium()
    up = RunningUp(tmp_path_factory.mktemp("browser") / "data", KVADMIN_ADMIN_PASSWORD=PASSWORD, KVADMIN_TIME_ZONE="Europe/Berlin")
    try:
        up.wait_ready()
        yield up
    finally:
        up.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser; closed with the module, because its loop must not outlive the tests that need it."""
    require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, base: str, size: tuple[int, int] = WIDE, theme: str = "light", **options: Any) -> Iterator[Visit]:
    """A fresh reader with a window of that size and that appearance."""
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, timezone_id="Europe/Berlin", locale="en-GB", **options
    )
    context.add_cookies([{"name": "kv_theme", "value": theme, "url": base}])
    context.set_default_timeout(20_000)
    page = context.new_page()
    visit = Visit(page, base.rstrip("/"))
    page.on("console", visit.heard)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", visit.asked)
    try:
        yield visit
    finally:
        context.close()


def sign_in(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_role("link", name="Sign in to see the stores").click()
    visit.page.get_by_label("Name").fill("admin")
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_role("button", name="Sign in", exact=True).click()
    visit.page.get_by_role("heading", level=1).wait_for()


def captured_store(folder: Path, name: str) -> Path:
    """A copy of a store that a real Stalwart wrote, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.db"
    shutil.copy(FIXTURES / "stalwart-0.11.8" / "sqlite" / "memstore-extras.db", target)
    target.chmod(0o600)
    return target
