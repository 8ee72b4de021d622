"""The pages of the spam filter's memory and of leftovers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from stores.models import Store
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import everything, plant_counter, stored
from tests.services.test_limited import IP
from tests.views.pages import assert_sound, text_of
from tests.views.test_limited import field

pytestmark = [needs_fixtures, pytest.mark.django_db]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "Reputation of memstore: 12 entries"),
        ("?part=reputation&sort=good", "All of them, nothing is cut off"),
        ("?part=greylist", "Greylist of memstore"),
        ("?part=bayes", "Tell most of spam"),
        ("?part=replies", "Trusted replies of memstore"),
    ],
)
def test_every_part_has_its_page(client: Client, captured: Callable[..., Store], query: str, words: str) -> None:
    captured()
    response = client.get(f"/stores/memstore/spam/{query}")
    assert_sound(response)
    assert words in text_of(response)


def test_an_empty_store_and_wrong_parts_are_said(client: Client, memory: Store) -> None:
    for part in ("reputation", "greylist", "bayes", "replies"):
        response = client.get(f"/stores/mem/spam/?part={part}")
        assert_sound(response)
        assert "none" in text_of(response).lower() or "No Bayes model" in text_of(response)
    assert client.get("/stores/mem/spam/?part=x").status_code == 422
    assert client.get("/stores/mem/spam/?sort=x").status_code == 422
    assert client.get("/stores/mem/spam/?cursor=x").status_code == 400


def test_reputation_is_made_neutral_from_the_list(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    page = client.get("/stores/memstore/spam/?part=reputation").content.decode()
    before = len(everything(store))
    sent = {"action": "neutral", "back": "spam memstore", "pick": field(page, "pick")}
    preview = client.post("/act/", sent)
    assert_sound(preview)
    assert "Spam filter of memstore" in text_of(preview) and len(everything(store)) == before
    done = client.post("/act/", {**sent, "confirmed": "yes"})
    assert "Read again: the key is gone" in text_of(done) and len(everything(store)) == before - 1


def test_leftovers_are_explained_with_a_way_to_remove_them(client: Client, captured: Callable[..., Store]) -> None:
    captured(version="0.15")
    response = client.get("/stores/memstore/leftovers/")
    assert_sound(response)
    text = text_of(response)
    assert "left over in memstore" in text and "0.15 no longer writes these" in text
    assert "/stores/memstore/remove/leftover/bayes-global/" in response.content.decode()
    assert_sound(client.get("/stores/memstore/remove/leftover/bayes-global/"))
    assert client.get("/stores/memstore/remove/leftover/lock-task/").status_code == 422


def test_single_leftovers_are_removed_through_a_preview(client: Client, memory: Store) -> None:
    key = b"\x05" + IP + (3).to_bytes(8, "big")
    plant_counter(memory, key, 4)
    page = client.get("/stores/mem/leftovers/")
    assert_sound(page)
    assert "/stores/mem/remove/leftover/rate-auth/" in page.content.decode()
    preview = client.get("/stores/mem/remove/leftover/rate-auth/")
    assert_sound(preview)
    assert stored(memory, key) is not None
    listed = client.get("/stores/mem/keys/?left=1")
    assert_sound(listed)
    assert "203.0.113.20" in text_of(listed) and "Left over yes" in text_of(listed)
