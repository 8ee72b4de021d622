"""The whole path of an administrator: sign in, import, browse, edit an expiry, purge, schedule; and every page looked at."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import resolve
from playwright.sync_api import Browser, Request, expect

from tests.browser.conftest import NARROW, WIDE, Visit, captured_store, sign_in, visiting
from tests.fixtures_path import needs_fixtures
from tests.running_up import RunningUp, wait_for
from tests.views import test_routes

pytestmark = needs_fixtures

LOGIN = bytes.fromhex("05cb007114") + struct.pack(">Q", 5)
"""The failed logins of 203.0.113.20 in the captured store."""
EXPIRED = "SELECT count(*) FROM m WHERE substr(v, 1, 8) <= ? AND substr(v, 1, 8) <> x'0000000000000000'"

READERS = [
    pytest.param(WIDE, "light", True, id="wide-light"),
    pytest.param(NARROW, "dark", True, id="narrow-dark"),
    pytest.param(WIDE, "dark", False, id="wide-dark-without-scripts"),
    pytest.param(NARROW, "light", False, id="narrow-light-without-scripts"),
]


def axe(visit: Visit) -> None:
    """No violation of the accessibility rules on the page as it stands."""
    found = Axe().run(visit.page).response["violations"]
    told = [f"{rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}" for rule in found for node in rule["nodes"]]
    assert not told, "\n".join([visit.page.url, *told])


def expiry(path: Path, key: bytes) -> int:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT v FROM m WHERE k = ?", (key,)).fetchone()
    return int(struct.unpack(">Q", row[0][8:16])[0])


def number(path: Path, key: bytes) -> int | None:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT v FROM y WHERE k = ?", (key,)).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize(("size", "theme", "scripts"), READERS)
def test_the_whole_path(running: RunningUp, chromium: Browser, tmp_path: Path, size: tuple[int, int], theme: str, scripts: bool) -> None:
    name = f"mem-{size[0]}-{theme}-{'js' if scripts else 'plain'}"
    path = captured_store(tmp_path, name)
    config = f'storage.lookup = "{name}"\n\n[store."{name}"]\ntype = "sqlite"\npath = "{path}"\n'
    with visiting(chromium, running.url, size, theme, java_script_enabled=scripts) as visit:
        page = visit.page
        sign_in(visit)

        visit.open("/import/")
        page.get_by_label("Or its text").fill(config)
        page.get_by_role("button", name="Show what it would create").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Import pasted text")
        if scripts:
            expect(page.locator(".c-test .kv-is-ok").first).to_be_visible()
        page.get_by_role("button", name="Create 1 store").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("1 store created")
        visit.quiet()

        visit.open(f"/stores/{name}/keys/?class=rate-auth")
        expect(page.locator("tbody tr")).to_have_count(14)
        page.get_by_label("Expiry", exact=True).select_option("live")
        if not scripts:
            page.get_by_role("button", name="Find").click()
        expect(page.locator("tbody tr")).to_have_count(7)
        visit.quiet()
        page.get_by_role("link", name="203.0.113.20", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("203.0.113.20")

        page.locator("label", has_text="At a time").click()
        page.get_by_label("Date, in the server's zone").fill("2036-11-14")
        page.get_by_label("Time, in the server's zone").fill("09:03:08")
        page.get_by_role("button", name="Save the expiry").click()
        expect(page.locator("#notice")).to_contain_text("Saved.")
        assert expiry(path, LOGIN) == 2_110_262_588
        page.get_by_role("button", name="Reset to 0").click()
        expect(page.locator("#notice")).to_contain_text("now: 0")
        assert number(path, LOGIN) == 0
        visit.quiet()

        visit.open(f"/stores/{name}/")
        page.get_by_role("button", name="Count now").first.click()
        wait_for(lambda: _counted(visit, name), 60, "the count did not end")
        visit.open(f"/stores/{name}/purge/")
        before = page.get_by_role("heading", level=1).inner_text()
        assert before.endswith("keys have expired")
        if scripts:
            page.get_by_label("As Stalwart writes it").fill("15 4 *")
            expect(page.get_by_text("Every day at 04:15")).to_be_visible()
        page.get_by_role("button", name="Purge ").click()
        if scripts:
            expect(page.get_by_role("heading", level=1)).to_contain_text("removed", timeout=60_000)
            expect(page.get_by_text("Every day at 04:15"), "what is typed stays when the page is drawn anew").to_be_visible()
            expect(page.get_by_label("As Stalwart writes it")).to_have_value("15 4 *")
        wait_for(lambda: _purged(visit, name), 60, "the purge did not end")
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute(EXPIRED, (struct.pack(">Q", int(time.time()) - 600),)).fetchone() == (0,)
        visit.quiet()

        page.get_by_label("Repeat").select_option("day")
        if scripts:
            expect(page.get_by_label("As Stalwart writes it")).to_have_value("0 3 *")
        page.get_by_label("As Stalwart writes it").fill("30 2 *")
        if scripts:
            expect(page.get_by_text("Every day at 02:30")).to_be_visible()
        else:
            page.get_by_role("button", name="Show the runs of the text").click()
        expect(page.get_by_role("list", name="Next 6 runs").get_by_role("listitem")).to_have_count(6)
        page.get_by_role("button", name="Save the schedule").click()
        expect(page.locator("#notice")).to_contain_text(f"{name} is purged every day at 02:30.")
        axe(visit) if scripts else None
        visit.quiet()


def _counted(visit: Visit, name: str) -> bool:
    visit.open(f"/stores/{name}/")
    return visit.page.get_by_role("table").count() > 0 and "Failed logins" in visit.page.locator("#classes").inner_text()


def _purged(visit: Visit, name: str) -> bool:
    visit.open(f"/stores/{name}/purge/")
    return "removed" in visit.page.get_by_role("heading", level=1).inner_text()


@pytest.fixture(scope="module")
def seen(running: RunningUp, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that has been imported and counted; its id."""
    path = captured_store(tmp_path_factory.mktemp("seen"), "seen")
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        visit.open("/stores/add/sqlite/")
        visit.page.get_by_label("Id", exact=True).fill("seen")
        visit.page.locator('[name="set_path"]').fill(str(path))
        visit.page.get_by_role("button", name="Test the connection").click()
        expect(visit.page.locator("#checks .kv-is-ok").first).to_be_visible()
        visit.page.get_by_role("button", name="Define the store").click()
        expect(visit.page.get_by_role("heading", level=1)).to_contain_text("seen")
        visit.page.get_by_role("button", name="Count now").first.click()
        wait_for(lambda: _counted(visit, "seen"), 60, "the count did not end")
        visit.quiet()
    yield "seen"


PAGES = (
    "/", "/stores/{}/", "/stores/{}/keys/", "/stores/{}/keys/?class=oauth&expiry=live", "/stores/{}/keys/?q=nobody-at-all",
    "/stores/{}/keys/?prefix=0g", "/stores/{}/key/BcsAcRQAAAAAAAAABQ/", "/stores/{}/key/DMsAcVs/", "/stores/{}/key/MTkyLjAuMi4x/",
    "/stores/{}/key/AAAA/", "/stores/{}/keys/new/", "/stores/{}/purge/", "/stores/{}/settings/", "/stores/{}/delete/", "/trash/", "/runs/",
    "/3am/", "/3am/?q=203.0.113.20", "/find/?q=203.0.113.20", "/limited/", "/stores/{}/spam/", "/stores/{}/spam/?part=bayes",
    "/stores/{}/leftovers/", "/stores/{}/remove/rates/rate-auth/", "/settings/mail-server/",
    "/audit/", "/settings/", "/stores/add/", "/stores/add/redis/", "/stores/add/static/", "/import/", "/nowhere/", "/stores/nowhere/",
    "/stores/{}/growth/", "/stores/{}/compare/", "/stores/{}/bulk/", "/stores/{}/bulk/?class=rate-auth&do=delete",
    "/stores/{}/keys/import/", "/stores/{}/publish/", "/lookups/", "/alerts/", "/alerts/add/", "/settings/tokens/", "/account/",
    "/settings/users/", "/settings/users/1/", "/account/confirm/", "/account/password/", "/account/second-factor/", "/account/passkeys/",
)  # fmt: skip
BY_LINK = {"run": ("/runs/", 'a[href^="/runs/"]')}
"""Pages whose address is not known beforehand: where a link to one is."""
ELSEWHERE = {"confirm-elsewhere", "alert", "sign-in"}
"""Pages that need what this installation has not, a provider or a rule; the first of those that are opened without an account."""


def test_every_route_that_shows_a_page_is_looked_at() -> None:
    names = {resolve(urlsplit(path.format("seen")).path).url_name for path in PAGES if "nowhere" not in path}
    assert set(test_routes.PAGES) <= names | set(BY_LINK) | ELSEWHERE


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_is_accessible_and_fits(running: RunningUp, chromium: Browser, seen: str, size: tuple[int, int], theme: str) -> None:
    with visiting(chromium, running.url, size, theme) as visit:
        visit.open("/")
        axe(visit)
        visit.open("/sign-in/")
        axe(visit)
        sign_in(visit)
        for path in PAGES:
            visit.open(path.format(seen))
            axe(visit)
            visit.quiet()
        for list_path, link in BY_LINK.values():
            visit.open(list_path)
            visit.page.locator(f"main {link}").first.click()
            visit.page.wait_for_load_state()
            axe(visit)
            visit.quiet()
        visit.open(f"/stores/{seen}/keys/")
        for menu in visit.page.locator("details.kv-menu:visible").all():
            menu.locator("summary").click()
            axe(visit)
            visit.page.keyboard.press("Escape")


def test_other_widths_do_not_scroll_sideways(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        for path in PAGES:
            visit.open(path.format(seen))
            for width in (320, 360, 480, 768, 1024, 1200, 1920, 2560):
                visit.page.set_viewport_size({"width": width, "height": 900})
                visit.quiet()


def test_a_first_visit_is_small_and_nothing_jumps(running: RunningUp, chromium: Browser, seen: str) -> None:
    watch = """addEventListener('DOMContentLoaded', () => {
        window.kvShift = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.kvShift += entry.value; })
            .observe({type: 'layout-shift', buffered: true});
    });"""
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        cookies = visit.page.context.cookies()
        for path in ("/", f"/stores/{seen}/", f"/stores/{seen}/keys/", f"/stores/{seen}/purge/"):
            with visiting(chromium, running.url) as fresh:
                fresh.page.context.add_cookies(cookies)  # type: ignore[arg-type]
                fresh.page.context.add_init_script(watch)
                sizes: dict[str, int] = {}
                fresh.page.on("requestfinished", partial(_weigh, sizes))
                fresh.page.goto(fresh.base + path, wait_until="networkidle")
                assert sum(sizes.values()) <= 150 * 1024, sizes
                assert sum(size for url, size in sizes.items() if ".js" in url) <= 60 * 1024, sizes
                assert fresh.page.evaluate("window.kvShift") < 0.01, path
                fresh.quiet()


def _weigh(sizes: dict[str, int], request: Request) -> None:
    """Bytes of the answer as they came over the wire."""
    sizes[request.url] = request.sizes()["responseBodySize"]


def test_the_keyboard_reaches_everything(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        visit.open(f"/stores/{seen}/keys/?class=rate-auth")
        page = visit.page
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("/")
        expect(page.locator("#find")).to_be_focused()
        page.keyboard.type("/")
        expect(page.locator("#find")).to_have_value("/")
        first, fourth = page.locator("input[data-kv-pick]").nth(0), page.locator("input[data-kv-pick]").nth(3)
        first.focus()
        page.keyboard.press("Space")
        fourth.click(modifiers=["Shift"])
        expect(page.locator(".kv-bulk")).to_contain_text("4 selected")
        expect(page.locator(".kv-bulk .btn-danger")).to_have_text("Delete 4")
        page.get_by_role("button", name="Select nothing").click()
        expect(page.locator(".kv-bulk")).to_be_hidden()
        expect(first).to_be_focused()
        visit.quiet()


def test_filters_keep_the_address_and_back_works(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        visit.open(f"/stores/{seen}/keys/")
        page = visit.page
        page.get_by_role("navigation", name="Classes").get_by_role("link", name="Greylist").click()
        expect(page.locator("tbody tr")).to_have_count(7)
        assert page.url.endswith("/keys/?class=greylist")
        page.get_by_label("Text to find in decoded keys and values").fill("alice")
        page.keyboard.press("Enter")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.get_by_label("Text to find in decoded keys and values")).to_be_focused()
        assert "q=alice" in page.url
        page.go_back()
        expect(page.locator("tbody tr")).to_have_count(7)
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(7)
        visit.quiet()


def test_two_readers_of_one_key_meet_in_a_conflict(running: RunningUp, chromium: Browser, seen: str) -> None:
    key = f"/stores/{seen}/key/BcsAcRQAAAAAAAAABQ/"
    with visiting(chromium, running.url) as one, visiting(chromium, running.url) as two:
        for visit in (one, two):
            sign_in(visit)
            visit.open(key)
        one.page.get_by_label("Number", exact=True).fill("41")
        one.page.get_by_role("button", name="Set to this number").click()
        expect(one.page.locator("#notice")).to_contain_text("Saved.")
        two.page.get_by_label("Number", exact=True).fill("7")
        two.page.get_by_role("button", name="Set to this number").click()
        panel = two.page.get_by_role("alert")
        expect(panel).to_contain_text("Changed since you opened it.")
        expect(panel).to_contain_text("In the store now41")
        axe(two)
        two.page.get_by_role("button", name="Set 41 to 7").click()
        expect(two.page.locator("#notice")).to_contain_text("now: 7")
        one.quiet()
        two.quiet()


def test_the_appearance_changes_without_a_reload(running: RunningUp, chromium: Browser) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        visit.page.get_by_label("Appearance").click()
        visit.page.get_by_role("button", name="Dark").click()
        expect(visit.page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        visit.page.reload()
        expect(visit.page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        visit.quiet()


def test_the_keyboard_map_opens_goes_and_can_be_switched_off(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        page = visit.page
        visit.open(f"/stores/{seen}/keys/?class=rate-auth")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("main .kv-subject").nth(1)).to_be_focused()
        page.keyboard.press("k")
        page.keyboard.press("x")
        expect(page.locator("input[data-kv-pick]").first).to_be_checked()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard")
        expect(dialog).to_be_visible()
        axe(visit)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("t")
        expect(page.get_by_role("heading", level=1)).to_have_text("Trash")
        page.get_by_role("button", name="Keyboard").click()
        dialog.get_by_label("Keys of one letter are on").uncheck()
        dialog.get_by_role("button", name="Close").click()
        page.keyboard.press("?")
        expect(dialog).to_be_hidden()
        page.keyboard.press("Control+k")
        expect(page.locator("#find")).to_be_focused()
        visit.quiet()


def test_the_focus_stays_when_a_list_is_replaced(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url) as visit:
        sign_in(visit)
        visit.open(f"/stores/{seen}/keys/")
        page = visit.page
        link = page.locator(".kv-rail a").nth(3)
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**class=**")
        expect(page.locator('.kv-rail a[aria-current="true"]')).to_be_focused()
        page.get_by_label("Expiry", exact=True).focus()
        page.get_by_label("Expiry", exact=True).select_option("live")
        page.wait_for_url("**expiry=live**")
        expect(page.get_by_label("Expiry", exact=True)).to_be_focused()
        visit.quiet()


def test_another_language_and_direction_hold(running: RunningUp, chromium: Browser, seen: str) -> None:
    with visiting(chromium, running.url, NARROW) as visit:
        sign_in(visit)
        visit.page.locator("summary[aria-label='Appearance and language']").click()
        visit.page.get_by_role("button", name="Deutsch").click()
        expect(visit.page.locator("html")).to_have_attribute("lang", "de")
        for path in ("/", f"/stores/{seen}/", f"/stores/{seen}/keys/", f"/stores/{seen}/purge/"):
            visit.open(path)
            axe(visit)
            visit.quiet()
            visit.page.evaluate("document.documentElement.dir = 'rtl'")
            visit.quiet()
