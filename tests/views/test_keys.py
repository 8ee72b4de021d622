"""The key list: filters, states, paging, secrets, deleting several."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from stores.backends.base import Backend
from stores.models import Store, TrashEntry
from stores.registry import open_store
from stores.services import census, definitions
from stores.services.actor import Actor
from stores.services.browse import list_keys, read_key
from stores.services.filters import KeyFilter
from stores.services.rights import EVERYTHING
from stores.templatetags.kv_bytes import token
from tests.services.conftest import plant, plant_counter, plant_raw
from tests.views.pages import assert_sound, read, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)


def address(store: Store, query: str = "") -> str:
    return reverse("stores:keys", args=[store.pk]) + query


def test_an_empty_store_says_that_it_is_empty(client: Client, memory: Store) -> None:
    response = client.get(address(memory))
    assert "mem holds no keys It was read to the end just now." in text_of(response)


def test_a_filter_that_matches_nothing_says_so_and_offers_to_clear_it(client: Client, memory: Store) -> None:
    plant(memory, b"user", b"x")
    response = client.get(address(memory, "?q=nobody"))
    words = text_of(response)
    assert "No key of mem matches" in words
    assert "1 key was looked at just now, to the end." in words
    assert "Clear the filter" in words


def test_before_the_first_count_no_figure_is_shown(client: Client, memory: Store) -> None:
    plant(memory, b"user", b"x")
    words = text_of(client.get(address(memory)))
    assert "not counted yet" in words
    assert "1 key , all of them shown. Every key was read just now" in words


def test_a_store_that_does_not_answer_is_not_an_empty_list(client: Client, down: Store) -> None:
    response = client.get(address(down))
    words = text_of(response)
    assert response.status_code == 503
    assert "Not known, gone does not answer" in words
    assert "holds no keys" not in words
    assert_sound(response)


def test_a_list_with_malformed_rows_goes_on_and_shows_them(client: Client, memory: Store) -> None:
    plant_raw(memory, b"broken", b"abc")
    plant(memory, b"whole", b"x")
    response = client.get(address(memory))
    words = text_of(response)
    assert "broken" in words
    assert "whole" in words
    assert "malformed" in words
    assert_sound(response)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?prefix=0g", '"0g" is not hex'),
        ("?class=nonsense", "There is no key class"),
        ("?before=soon", '"soon" is not a duration'),
        ("?count=many", '"many" is not a whole number'),
        ("?kind=thing", "Kind:"),
        ("?expiry=whenever", "Expiry:"),
    ],
)
def test_a_filter_that_cannot_be_read_lists_nothing_and_names_the_field(
    client: Client, hx: Client, memory: Store, query: str, field: str
) -> None:
    plant(memory, b"user", b"x")
    for who in (client, hx):
        response = who.get(address(memory, query))
        words = text_of(response)
        assert response.status_code == 400
        assert field in words
        assert "Nothing is listed" in words
        assert 'name="pick"' not in response.content.decode()


def test_filters_are_chips_whose_cross_leaves_the_others(client: Client, memory: Store) -> None:
    plant_counter(memory, bytes.fromhex("05cb007114000000000000510e"), 3, 2_000_000_000)
    response = client.get(address(memory, "?class=rate-auth&kind=counter&q=203"))
    assert "Class Failed logins" in text_of(response)
    links = {
        attrs["aria-label"]: attrs["href"]
        for tag, attrs in read(response).elements
        if "Remove the filter" in (attrs.get("aria-label") or "")
    }
    assert parse_qs(urlsplit(links["Remove the filter Class Failed logins"] or "").query) == {"kind": ["counter"], "q": ["203"]}
    assert parse_qs(urlsplit(links["Remove the filter Text 203"] or "").query) == {"class": ["rate-auth"], "kind": ["counter"]}


def test_pages_follow_each_other_without_loss_or_repetition(client: Client, memory: Store) -> None:
    for number in range(230):
        plant(memory, b"key-%03d" % number, b"x")
    seen: list[str] = []
    here = address(memory)
    for _ in range(5):
        response = client.get(here)
        reader = read(response)
        seen += [attrs["aria-label"] or "" for tag, attrs in reader.elements if tag == "input" and attrs.get("name") == "pick"]
        following = [attrs["href"] for tag, attrs in reader.elements if tag == "a" and attrs.get("rel") == "next"]
        if not following:
            break
        here = following[0] or ""
    assert [text.split(",")[0] for text in seen] == [f"Select key-{number:03d}" for number in range(230)]
    assert "201–230 , the end of the list. Nothing is cut off." in text_of(response)


def test_a_cursor_of_another_store_is_refused_as_a_page(client: Client, memory: Store) -> None:
    response = client.get(address(memory, "?cursor=9.kAAAA"))
    assert response.status_code == 400
    assert "no longer valid" in text_of(response)


def test_the_rail_counts_from_the_census(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    census.count(store, ACTOR)
    words = text_of(client.get(address(store)))
    assert "All keys 562" in words
    assert "05 Failed logins 14" in words
    assert "Your own keys 50" in words
    assert "562 keys , counted" in words


def test_codes_are_in_no_part_of_the_page(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    response = client.get(address(store, "?class=oauth"))
    html = response.content.decode()
    codes = [row.entry.key for row in list_keys(store, KeyFilter(class_slug="oauth")).rows]
    assert len(codes) == 10
    assert html.count("••••••••") >= 10
    for key in codes:
        for shown in (key[1:].decode(), key.hex(), base64.urlsafe_b64encode(key).decode().rstrip("=")):
            assert shown not in html
    link = next(attrs["href"] for tag, attrs in read(response).elements if "kv-subject" in (attrs.get("class") or ""))
    assert "/key/~" in (link or "")
    page = client.get(link or "")
    assert page.status_code == 200
    for key in codes:
        assert key[1:].decode() not in page.content.decode()
        assert key[1:].hex(" ") not in page.content.decode()


def test_deleting_several_asks_first_and_then_moves_them_to_the_trash(client: Client, memory: Store) -> None:
    for name in (b"one", b"two", b"three"):
        plant(memory, name, b"x")
    picks = [token(row) for row in list_keys(memory, KeyFilter()).rows if row.entry.key != b"three"]
    where = reverse("stores:keys-delete", args=[memory.pk])
    ask = client.post(where, {"pick": picks})
    assert ask.status_code == 200
    assert "Delete 2 keys of mem" in text_of(ask)
    assert_sound(ask)
    assert not TrashEntry.objects.exists()
    done = client.post(where, {"pick": picks, "confirmed": "yes"}, follow=True)
    assert "2 keys moved to the trash" in text_of(done)
    assert [row.entry.key for row in list_keys(memory, KeyFilter()).rows] == [b"three"]
    assert sorted(bytes(entry.key) for entry in TrashEntry.objects.all()) == [b"one", b"two"]


def test_a_key_that_changed_since_it_was_listed_is_marked_and_left_alone(client: Client, memory: Store) -> None:
    plant(memory, b"steady", b"1")
    plant(memory, b"moving", b"1")
    picks = [token(row) for row in list_keys(memory, KeyFilter()).rows]
    plant(memory, b"moving", b"2")
    where = reverse("stores:keys-delete", args=[memory.pk])
    ask = client.post(where, {"pick": picks})
    assert "changed since you saw it" in text_of(ask)
    done = client.post(where, {"pick": picks, "confirmed": "yes"}, follow=True)
    assert "1 key moved to the trash" in text_of(done)
    assert "1 key not deleted: 1 changed since you saw them" in text_of(done)
    assert read_key(memory, b"moving") is not None


@pytest.mark.parametrize("picks", [[], ["nonsense"], ["%%%:abc"]])
def test_a_selection_that_cannot_be_read_changes_nothing(client: Client, memory: Store, picks: list[str]) -> None:
    plant(memory, b"one", b"x")
    response = client.post(reverse("stores:keys-delete", args=[memory.pk]), {"pick": picks, "confirmed": "yes"})
    assert response.status_code == 422
    assert read_key(memory, b"one") is not None


def test_a_read_only_store_offers_no_change(client: Client, memory: Store) -> None:
    plant(memory, b"one", b"x")
    definitions.update_store(ACTOR, memory, read_only=True)
    html = client.get(address(memory)).content.decode()
    assert 'name="pick"' not in html
    assert "New key" not in html
    row = read_key(memory, b"one")
    assert row is not None
    response = client.post(reverse("stores:keys-delete", args=[memory.pk]), {"pick": token(row), "confirmed": "yes"})
    assert response.status_code == 403
    assert read_key(memory, b"one") is not None


def test_a_list_takes_bounded_time_and_says_when_it_is_partial(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(600):
        plant(memory, b"key-%03d" % number, b"x")
    monkeypatch.setattr("stores.views.keys.BUDGET_SECONDS", 0.0)
    response = client.get(address(memory, "?q=key-599"))
    words = text_of(response)
    assert "Nothing found yet" in words
    assert "Search on" in words
    with open_store(memory) as backend:
        assert isinstance(backend, Backend)


def test_an_empty_class_is_answered_by_the_count_and_searched_on(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(600):
        plant(memory, b"key-%03d" % number, b"x")
    census.count(memory, ACTOR)
    monkeypatch.setattr("stores.views.keys.BUDGET_SECONDS", 0.0)
    response = client.get(address(memory, "?kind=lock"))
    assert "No key matched when mem was counted" in text_of(response)
    assert "Search on" in text_of(response)
    assert_sound(response)
    start = response.content.decode().partition('<div hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    for _ in range(10):
        response = client.get(start)
        if "Search on" not in text_of(response):
            break
        start = response.content.decode().partition('<div hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert "The store was searched to its end." in text_of(response)
