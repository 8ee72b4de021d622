"""Who is limited now: the page, its preview, doing it, undoing it."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from stores.models import Run, Store
from stores.services import bulk
from stores.services.turns import answering, turn
from stores.views.limited import LAST_TRY
from tests.services.conftest import everything, new_memory, plant, plant_counter, soon, stored
from tests.services.test_limited import IP, window
from tests.views.pages import assert_sound, text_of

pytestmark = pytest.mark.django_db


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def test_the_page_says_who_is_limited_and_by_which_rule(client: Client, memory: Store, down: Store) -> None:
    window(memory, b"\x05" + IP, 100)
    window(memory, b"\x02" + IP, 3)
    response = client.get("/limited/")
    assert_sound(response)
    text = text_of(response)
    assert "1 limit is used up now" in text and "100 of 100" in text and "3 of 35" in text
    assert "Not known: gone." in text and "2 running rate windows" in text


def test_nobody_is_limited(client: Client, memory: Store) -> None:
    response = client.get("/limited/")
    assert_sound(response)
    assert "Nobody is limited now" in text_of(response)


def test_one_window_is_previewed_reset_read_again_and_undone(client: Client, memory: Store) -> None:
    key = window(memory, b"\x05" + IP, 97)
    page = client.get("/limited/").content.decode()
    sent = {"action": "reset", "back": "limited", "only": field(page, "only")}
    preview = client.post("/act/", sent)
    assert_sound(preview)
    shown = preview.content.decode()
    assert "05 cb007114" in shown and "Nothing has been changed yet" in shown and stored(memory, key) is not None
    done = client.post("/act/", {**sent, "confirmed": "yes", "pick": field(shown, "pick"), "only": field(shown, "pick")})
    assert_sound(done)
    assert "Read again: the key is gone" in text_of(done) and stored(memory, key) is None
    undone = client.post("/act/", {"back": "limited", "undo": field(done.content.decode(), "undo")})
    assert_sound(undone)
    assert "Put back exactly" in text_of(undone) and stored(memory, key) is not None


def test_what_changed_between_list_and_preview_is_said_and_then_done_as_shown(client: Client, memory: Store) -> None:
    key = window(memory, b"\x05" + IP, 97)
    pick = field(client.get("/limited/").content.decode(), "only")
    plant_counter(memory, key, 98, soon())
    preview = client.post("/act/", {"action": "reset", "back": "limited", "pick": pick})
    assert "Has changed since you saw it" in text_of(preview)
    plant_counter(memory, key, 99, soon())
    done = client.post("/act/", {"action": "reset", "confirmed": "yes", "pick": field(preview.content.decode(), "pick")})
    assert "Left alone, it has changed" in text_of(done) and stored(memory, key) is not None


def test_a_class_of_a_store_is_reset_as_one_run(client: Client, memory: Store) -> None:
    window(memory, b"\x05" + IP, 97)
    window(memory, b"\x05john", 4, back=3)
    kept = window(memory, b"\x02" + IP, 3)
    page = client.get("/limited/?class=rate-auth&store=mem")
    assert "/stores/mem/remove/rates/rate-auth/" in page.content.decode()
    preview = client.get("/stores/mem/remove/rates/rate-auth/")
    assert_sound(preview)
    shown = preview.content.decode()
    assert "Reset Failed logins: 2 keys of mem" in text_of(preview) and len(everything(memory)) == 3
    started = client.post("/stores/mem/remove/rates/rate-auth/", {"token": field(shown, "token"), "count": field(shown, "count")})
    assert started.status_code == 303 and started["Location"].startswith("/runs/")
    run = bulk.execute(Run.objects.get().pk)
    assert run is not None and run.removed == 2 and set(everything(memory)) == {kept}
    assert client.get("/stores/mem/remove/rates/greylist/").status_code == 422


def test_wrong_forms_change_nothing(client: Client, memory: Store) -> None:
    window(memory, b"\x05" + IP, 97)
    for sent in ({}, {"action": "purge", "pick": "mem/x:y"}, {"action": "reset"}, {"action": "reset", "pick": "nonsense"}, {"undo": "x"}):
        response = client.post("/act/", sent)
        assert response.status_code in (404, 422), sent
    assert client.get("/act/").status_code == 405
    assert len(everything(memory)) == 1


def test_a_read_only_store_offers_no_reset(client: Client, db: None) -> None:
    store = new_memory("locked")
    window(store, b"\x05" + IP, 97)
    Store.objects.filter(pk="locked").update(read_only=True)
    page = client.get("/limited/").content.decode()
    assert "97 of 100" in page and 'name="only"' not in page


def test_a_short_look_comes_first_and_the_page_asks_for_the_whole_one(
    client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(600):
        window(memory, b"\x05" + number.to_bytes(4, "big"), 1)
    window(memory, b"\x05\xff\xff\xff\xff", 99)
    monkeypatch.setattr("stores.views.limited.FIRST_SECONDS", 0.0)
    first = client.get("/limited/?class=rate-auth")
    assert_sound(first)
    found = re.search(r'hx-get="([^"]+)" hx-trigger="load"', first.content.decode())
    assert found and "255.255.255.255" not in text_of(first)
    whole = client.get(found[1].replace("&amp;", "&"), headers={"HX-Request": "true"}).content.decode()
    assert "255.255.255.255" in whole and "hx-trigger" not in whole and "<html" not in whole and "601 running" in whole


def test_while_another_page_walks_the_page_asks_again_later(client: Client, memory: Store) -> None:
    for number in range(600):
        window(memory, b"\x05" + number.to_bytes(4, "big"), 1)
    with turn(1.0) as mine:
        first = client.get("/limited/?whole=1").content.decode()
        last = client.get(f"/limited/?whole={LAST_TRY}").content.decode()
        searched = client.get("/find/?q=needle").content.decode()
    assert mine == 1.0 and 'hx-trigger="load delay:1000ms"' in first and "whole=11" in first
    assert "hx-trigger" not in last and "Look on" in last
    assert 'hx-trigger="load"' in searched or "nothing is cut off" in searched
    assert "600 running" in client.get("/limited/?whole=11").content.decode()


def test_while_other_pages_are_made_the_first_look_walks_through_nothing(client: Client, memory: Store) -> None:
    window(memory, b"\x05\xff\xff\xff\xff", 99)
    plant(memory, b"zz-needle")
    with answering():
        limited = client.get("/limited/")
        searched = client.get("/find/?q=needle")
        looked_up = text_of(client.get("/find/?q=255.255.255.255"))
    for page in (limited, searched):
        assert_sound(page)
        assert "0 keys" in text_of(page)
    assert "No running window so far" in text_of(limited) and "No trace of needle so far" in text_of(searched)
    assert "failed logins from this address" in looked_up, "a key that can be asked for by name is"
    for page, there in ((limited, "255.255.255.255"), (searched, "zz-needle")):
        for link in (r'hx-get="([^"]+)" hx-trigger="load"', r'href="([^"]+)"(?: rel="next")?>(?:Search|Look) on'):
            found = re.search(link, page.content.decode())
            assert found
            assert there in text_of(client.get(unescape(found[1])))
