"""The search box and its page."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import quote

import pytest
from django.test import Client

from stores.models import Store
from stores.views.find import STEPS_BY_ITSELF
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import plant, plant_counter, soon
from tests.views.pages import assert_sound

pytestmark = pytest.mark.django_db

ADDRESS = b"\x05" + bytes([203, 0, 113, 20])


def text_of(response: object) -> str:
    return unescape(response.content.decode())  # type: ignore[attr-defined]


def test_the_box_of_every_page_asks_all_stores(client: Client, memory: Store) -> None:
    page = client.get("/")
    assert 'action="/find/"' in page.content.decode() and 'name="q" id="find"' in page.content.decode()
    assert_sound(client.get("/find/"))


@needs_fixtures
def test_traces_of_all_stores_are_listed_with_store_and_reason(client: Client, captured: Callable[..., Store], memory: Store) -> None:
    captured()
    plant_counter(memory, ADDRESS + (7).to_bytes(8, "big"), 3, soon())
    response = client.get("/find/?q=203.0.113.20")
    assert_sound(response)
    page = text_of(response)
    assert "traces of 203.0.113.20" in page and "nothing is cut off" in page
    assert ">mem</a>" in page and ">memstore</a>" in page and "failed logins from this address" in page


def test_a_store_that_does_not_answer_is_named_and_not_called_empty(client: Client, memory: Store, down: Store) -> None:
    response = client.get("/find/?q=203.0.113.20")
    assert_sound(response)
    page = text_of(response)
    assert "Not known: gone." in page and "1 store is not known" in page and "Looked in 2 stores" in page


def test_nothing_found_says_that_all_was_looked_through(client: Client, memory: Store) -> None:
    page = text_of(client.get("/find/?q=nobody@example.org"))
    assert "No trace of nobody@example.org" in page and "looked through to the end" in page and "so far" not in page


def test_a_long_walk_is_gone_on_with_by_a_link(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.services.find.BUDGET_SECONDS", 0.0)
    for number in range(700):
        plant(memory, f"list/{number:05}".encode())
    plant(memory, b"zz-needle")
    response = client.get("/find/?q=needle")
    for _ in range(20):
        assert_sound(response)
        page = text_of(response)
        if "zz-needle" in page:
            break
        link = page.split('rel="next"')[0].rpartition('href="')[2].split('"')[0]
        assert link.startswith("/find/?q=needle&cursor=") and "zz-" not in link
        response = client.get(link)
    else:
        pytest.fail("the walk never came to the key")


def test_the_page_goes_on_by_itself_and_not_for_ever(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.services.find.BUDGET_SECONDS", 0.0)
    for number in range(9000):
        plant(memory, f"list/{number:05}".encode())
    response = client.get("/find/?q=needle")
    for step in range(1, STEPS_BY_ITSELF + 1):
        found = re.search(r'hx-get="([^"]+)" hx-trigger="load', response.content.decode())
        assert found and found[1].endswith(f"&amp;step={step}&amp;none=1")
        response = client.get(unescape(found[1]), headers={"HX-Request": "true"})
        page = response.content.decode()
        assert "<html" not in page and "<table" not in page and page.count("walked through") == 1
        assert "No trace of needle" in page and 'hx-target="this"' not in page
    assert "hx-trigger" not in page and 'rel="next"' in page


def test_wrong_input_and_wrong_links_are_said(client: Client, memory: Store) -> None:
    long = client.get(f"/find/?q={'x' * 1001}")
    assert long.status_code == 422 and "too long" in text_of(long)
    lost = client.get(f"/find/?q=needle&cursor={quote('gAAAA')}")
    assert lost.status_code == 400 and "Search again" in text_of(lost)


def test_only_for_the_signed_in(db: None) -> None:
    assert Client().get("/find/?q=x").status_code == 302
