"""3 a.m.: look, preview, do, undo on one page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from stores.models import Store
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import plant, soon, stored
from tests.services.test_find import give_settings
from tests.services.test_limited import IP, window
from tests.views.pages import assert_sound, text_of
from tests.views.test_limited import field

pytestmark = pytest.mark.django_db


def test_the_box_alone(client: Client, memory: Store) -> None:
    response = client.get("/3am/")
    assert_sound(response)
    assert "Somebody cannot log in" in text_of(response) and "/limited/" in response.content.decode()
    assert client.get(f"/3am/?q={'x' * 1001}").status_code == 422


def test_a_counter_is_reset_and_undone_on_the_page(client: Client, memory: Store) -> None:
    key = window(memory, b"\x05" + IP, 100)
    page = client.get("/3am/?q=203.0.113.20")
    assert_sound(page)
    assert "The next failed login bans 203.0.113.20" in text_of(page) and "100 of 100" in text_of(page)
    sent = {"q": "203.0.113.20", "action": "reset", "pick": field(page.content.decode(), "pick")}
    preview = client.post("/3am/", sent)
    assert_sound(preview)
    assert "05 cb007114" in preview.content.decode() and "This will remove 1 key of mem" in text_of(preview)
    assert stored(memory, key) is not None
    done = client.post("/3am/", {**sent, "confirmed": "yes"})
    assert_sound(done)
    text = text_of(done)
    assert "Read mem: 203.0.113.20, 100 in this window" in text and "Read again: the key is gone" in text
    assert "No trace of 203.0.113.20" in text and stored(memory, key) is None
    undone = client.post("/3am/", {"q": "203.0.113.20", "undo": field(done.content.decode(), "undo")})
    assert_sound(undone)
    assert "Put back exactly" in text_of(undone) and "bans 203.0.113.20" in text_of(undone)


@needs_fixtures
def test_a_ban_is_shown_with_the_exact_steps(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    give_settings(store, {"server.blocked-ip.203.0.113.20": ""})
    response = client.get("/3am/?q=203.0.113.20")
    assert_sound(response)
    text = text_of(response)
    assert "203.0.113.20 is banned" in text and "delete-config server.blocked-ip.203.0.113.20" in text and "reload-config" in text


def test_without_readable_settings_the_page_says_where_bans_are(client: Client, memory: Store, down: Store) -> None:
    response = client.get("/3am/?q=203.0.113.20")
    assert_sound(response)
    text = text_of(response)
    assert "A ban is not in these stores" in text and "Not known: gone." in text and "Not all stores answered" in text


def test_every_kind_of_trace_has_its_card_and_secrets_stay_masked(client: Client, memory: Store) -> None:
    code = b"\x01" + b"S3cr3tC0de" * 4
    plant(memory, code, b"", soon())
    plant(memory, b"\x10news@good.orgjohn@example.com", b"", soon())
    plant(memory, b"\x13john@example.com", b"", soon())
    plant(memory, b"\x0c" + IP, bytes(4) + b"\x40\x30" + bytes(6), soon())
    plant(memory, b"\x15" + (7).to_bytes(8, "big"), b"", soon())
    response = client.get("/3am/?q=john@example.com 203.0.113.20 7")
    assert_sound(response)
    text = text_of(response)
    for card in ("Greylist", "Reputation", "Locks", "Trusted replies"):
        assert card in text
    assert "S3cr3tC0de" not in response.content.decode()


def test_greylist_pairs_are_let_in(client: Client, memory: Store) -> None:
    key = b"\x10news@good.orgjohn@example.com"
    page = client.get("/3am/?q=news@good.org john@example.com").content.decode()
    sent = {"q": "news@good.org john@example.com", "action": "allow", "pick": field(page, "pick")}
    preview = client.post("/3am/", sent)
    assert "A new key" in text_of(preview) and stored(memory, key) is None
    done = client.post("/3am/", {**sent, "confirmed": "yes"})
    assert_sound(done)
    assert "Written with 30 days to live" in text_of(done) and stored(memory, key) is not None
