"""Keys and values that want to be markup, scripts, terminals or right-to-left: a real browser shows them and nothing more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser

from stores.codecs.rows import value_row
from stores.services.embedded import make_data_store
from stores.services.keytokens import token_of
from tests.browser.conftest import NARROW, WIDE, sign_in, visiting
from tests.running_up import RunningUp, manage

SCRIPT = b"<script>window.hacked=1</script>"
HANDLER = b"\"'><img src=x onerror=window.hacked=1><svg onload=window.hacked=1>"
BIDI = "abc\u202egnp.exe\u2066\u2067\u202b".encode()
CONTROL = b"\x1b[31mred\x07\x00\x08\x7f\r\n\x1b]0;title\x07"
TEMPLATE = b"{{ 7|add:1 }}{% now 'Y' %}${7*7}"
HUGE = b"<b>big</b>\xe2\x80\xae" * (1_000_000 // 13)

ROWS = {
    b"user:" + SCRIPT: HANDLER,
    b"user:" + HANDLER: SCRIPT,
    b"user:" + BIDI: BIDI,
    b"user:" + CONTROL: CONTROL,
    b"user:" + TEMPLATE: TEMPLATE,
    b"user:huge": HUGE,
    b"\x10" + BIDI + SCRIPT: (2_000_000_000).to_bytes(8, "big"),
    b"\x0b" + HANDLER: SCRIPT,
}
LOOSE = """() => {
  const odd = /[\\u202a-\\u202e\\u2066-\\u2069]/, found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!odd.test(walk.currentNode.data)) continue;
    let at = walk.currentNode.parentElement, kept = false;
    for (; at && at !== document.body; at = at.parentElement) {
      kept ||= /isolate|plaintext/.test(getComputedStyle(at).unicodeBidi) || ['TEXTAREA', 'OPTION', 'TITLE'].includes(at.tagName);
    }
    if (!kept) found.push(walk.currentNode.parentElement.outerHTML.slice(0, 200));
  }
  return found;
}"""
"""Texts with marks that turn the reading direction, in no element that keeps that to itself."""


def hostile_store(running: RunningUp, folder: Path) -> str:
    path = folder / "hostile.sqlite3"
    make_data_store(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO m (k, v) VALUES (?, ?)", [(key, value_row(value, None)) for key, value in ROWS.items()])
    added = manage("store-add", "hostile", "--type", "sqlite", "--set", f"path={path}", KVADMIN_DATA_DIR=str(running.data_dir))
    assert added.returncode == 0, added.stderr
    return "/stores/hostile/"


def test_nothing_in_a_store_runs_or_turns_the_page_around(running: RunningUp, chromium: Browser, tmp_path: Path) -> None:
    store = hostile_store(running, tmp_path)
    pages = [f"{store}keys/", f"{store}keys/?q={quote(SCRIPT)}", f"/find/?q={quote(HANDLER)}", f"/audit/?text={quote(SCRIPT)}", store]
    pages += [f"{store}key/{token_of(key)}/" for key in ROWS]
    with visiting(chromium, running.url, WIDE) as visit:
        sign_in(visit)
        for address in pages:
            visit.open(address)
            assert visit.page.evaluate("window.hacked") is None, address
            assert visit.page.locator("main img, main script:not([src]), main svg[onload]").count() == 0, address
            assert visit.page.evaluate(LOOSE) == [], address
            assert "2026" not in visit.page.locator("h1").first.inner_text(), address
            visit.quiet()
        visit.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        for address in pages[:1] + pages[5:]:
            visit.open(address)
            visit.quiet()
