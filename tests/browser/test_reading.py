"""What a reader needs beside the words: contrast, paper, the keyboard alone, no motion, the chosen appearance from the first paint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PASSWORD, WIDE, Visit, captured_store, sign_in, visiting
from tests.fixtures_path import needs_fixtures
from tests.running_up import RunningUp, manage

pytestmark = needs_fixtures

BADGES = (
    "kv-tag", "kv-tag is-accent", "kv-tag is-ok", "kv-tag is-warn", "kv-tag is-bad", "kv-chip is-text", "kv-code", "kv-filter",
    "kv-note", "kv-note is-ok", "kv-note is-warn", "kv-note is-bad", "kv-kbd", "kv-muted", "kv-is-ok", "kv-is-warn", "kv-is-bad",
    "btn", "btn btn-primary", "btn btn-danger", "btn btn-bare", "kv-error", "kv-help", "kv-quiet",
)  # fmt: skip
CONTRAST = """(classes) => {
  const card = document.createElement('div');
  card.className = 'kv-card';
  document.querySelector('main').append(card);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const bright = (colour) => colour.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const found = {};
  for (const name of classes) {
    const badge = document.createElement('span');
    badge.className = name;
    badge.textContent = 'x';
    card.append(badge);
    let behind = badge;
    while (rgb(getComputedStyle(behind).backgroundColor)[3] < 255 && behind.parentElement) behind = behind.parentElement;
    const pair = [bright(rgb(getComputedStyle(badge).color)), bright(rgb(getComputedStyle(behind).backgroundColor))].sort((a, b) => b - a);
    found[name] = (pair[0] + 0.05) / (pair[1] + 0.05);
  }
  card.remove();
  return found;
}"""


@pytest.fixture(scope="module")
def store(running: RunningUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = captured_store(tmp_path_factory.mktemp("reading"), "reading")
    added = manage("store-add", "reading", "--type", "sqlite", "--set", f"path={path}", KVADMIN_DATA_DIR=str(running.data_dir))
    assert added.returncode == 0, added.stderr
    yield "reading"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_badge_has_contrast(running: RunningUp, chromium: Browser, theme: str) -> None:
    with visiting(chromium, running.url, WIDE, theme) as visit:
        sign_in(visit)
        found = visit.page.evaluate(CONTRAST, list(BADGES))
        assert not {name: ratio for name, ratio in found.items() if ratio < 4.5}


def test_the_chosen_appearance_is_there_before_any_script(running: RunningUp, chromium: Browser) -> None:
    with visiting(chromium, running.url, WIDE, "dark", java_script_enabled=False, color_scheme="light") as visit:
        visit.page.goto(visit.base + "/sign-in/", wait_until="commit")
        expect(visit.page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        visit.page.wait_for_load_state()
    with visiting(chromium, running.url, WIDE, "dark", color_scheme="light") as visit:
        visit.page.add_init_script(
            "new MutationObserver((all) => { window.kvTurns = (window.kvTurns ?? 0) + all.length; })"
            ".observe(document, { attributes: true, subtree: true, attributeFilter: ['data-bs-theme'] });"
        )
        visit.open("/sign-in/")
        assert visit.page.evaluate("window.kvTurns ?? 0") == 0, "the appearance was changed after the page had come"
        dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(int(part) for part in dark[4:-1].split(",")) < 150, dark


def test_nothing_moves_for_readers_who_ask_for_that(running: RunningUp, chromium: Browser, store: str) -> None:
    with visiting(chromium, running.url, WIDE, "light", reduced_motion="reduce") as visit:
        sign_in(visit)
        for path in ("/", f"/stores/{store}/", f"/stores/{store}/keys/", f"/stores/{store}/purge/"):
            visit.open(path)
            assert visit.page.evaluate("document.getAnimations().filter((one) => one.effect.getTiming().duration > 1).length") == 0, path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_audit_and_keys_print_dark_on_white_without_controls(running: RunningUp, chromium: Browser, store: str, theme: str) -> None:
    with visiting(chromium, running.url, (794, 1123), theme) as visit:
        sign_in(visit)
        for path in ("/audit/", "/runs/", f"/stores/{store}/keys/?class=rate-auth"):
            visit.open(path)
            visit.page.emulate_media(media="print")
            assert not visit.page.locator("header.kv-top").is_visible(), path
            assert visit.page.locator("main button:visible").count() == 0, path
            colours = visit.page.evaluate(
                "[getComputedStyle(document.querySelector('h1')).color, getComputedStyle(document.body).backgroundColor]"
            )
            ink, paper = (sum(int(float(part)) for part in colour.split("(")[1][:-1].split(",")[:3]) for colour in colours)
            assert ink < 200 and (paper > 700 or colours[1].endswith(", 0)")), (path, colours)
            assert visit.page.pdf(format="A4")[:5] == b"%PDF-"
            visit.page.emulate_media(media="screen")


def tab_to(page: Page, target: Locator, most: int = 140) -> None:
    """Press Tab until the target has the focus, and see that the focus shows."""
    for _ in range(most):
        if target.evaluate("(element) => element === document.activeElement"):
            outline = target.evaluate("(e) => getComputedStyle(e).outlineStyle + getComputedStyle(e.parentElement).outlineStyle")
            assert "solid" in outline, "the focus does not show"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")


def keyboard_sign_in(visit: Visit) -> None:
    visit.open("/sign-in/")
    page = visit.page
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1).wait_for()


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    tab_to(page, target)
    page.keyboard.press(key)


def test_the_whole_path_with_the_keyboard_alone(running: RunningUp, chromium: Browser, store: str, tmp_path: Path) -> None:
    with visiting(chromium, running.url) as visit:
        page = visit.page
        keyboard_sign_in(visit)
        visit.open(f"/stores/{store}/")
        press(page, page.locator(".kv-nav").get_by_role("link", name="Keys"))
        page.wait_for_url("**/keys/")
        press(page, page.get_by_role("navigation", name="Classes").get_by_role("link", name="Failed logins"))
        page.wait_for_url("**class=rate-auth**")
        expect(page.locator("tbody tr")).to_have_count(14)
        press(page, page.get_by_role("link", name="203.0.113.20", exact=True))
        expect(page.get_by_role("heading", level=1)).to_contain_text("203.0.113.20")
        key = page.url
        tab_to(page, page.get_by_label("Number", exact=True))
        page.keyboard.press("Control+a")
        page.keyboard.type("9")
        press(page, page.get_by_role("button", name="Set to this number"))
        expect(page.locator("#notice")).to_contain_text("now: 9")
        press(page, page.locator("main form[action$='/delete/'] button").first)
        expect(page.get_by_role("heading", level=1)).not_to_contain_text("Failed logins")
        visit.open("/trash/")
        press(page, page.locator("tbody input[name=pick]").first, "Space")
        press(page, page.locator(".kv-bulk button[type=submit]").first)
        expect(page.locator("#notice")).not_to_be_empty()
        page.goto(key)
        expect(page.get_by_role("heading", level=1)).to_contain_text("203.0.113.20")
        expect(page.get_by_label("Number", exact=True)).to_have_value("9")
        visit.open(f"/stores/{store}/purge/")
        tab_to(page, page.get_by_label("As Stalwart writes it"))
        page.keyboard.press("Control+a")
        page.keyboard.type("15 4 *")
        press(page, page.get_by_role("button", name="Save the schedule"))
        expect(page.locator("#notice")).to_contain_text("every day at 04:15")
        visit.quiet()
