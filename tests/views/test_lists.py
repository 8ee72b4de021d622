"""Overview, store page, trash, audit, sign-in, appearance and error pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Event

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from stores.models import AuditEntry, Store, TrashEntry
from stores.services import audit, census, definitions, edit
from stores.services.actor import Actor
from stores.services.browse import list_keys, read_key
from stores.services.filters import KeyFilter
from stores.services.rights import EVERYTHING
from tests.services.conftest import new_memory, plant, plant_counter
from tests.views.pages import assert_sound, read, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)


# overview and store


def test_visitors_are_told_what_this_is(db: None) -> None:
    response = Client().get("/")
    assert response.status_code == 200
    words = text_of(response)
    assert "in-memory stores of your Stalwart mail server" in words
    assert "Sign in to see the stores" in words
    assert_sound(response)


def test_the_overview_without_a_store_says_what_to_do(client: Client) -> None:
    words = text_of(client.get("/"))
    assert "No store yet" in words
    assert "Import a configuration" in words
    assert "--demo" in words


def test_the_overview_answers_how_each_store_is(client: Client, memory: Store, down: Store) -> None:
    plant(memory, b"old", b"x", 1_000)
    census.count(memory, ACTOR)
    response = client.get("/")
    words = text_of(response)
    assert "1 of 2 stores are well" in words
    assert "gone does not answer" in words
    assert "1 store not counted yet" in words
    assert "1 key in all" in words
    assert "1 expired and waiting" in words
    assert_sound(response)


def test_a_silent_store_does_not_hold_up_the_overview(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Event()
    silent = new_memory("silent")

    def slow(store: Store) -> definitions.Health:
        if store.pk == silent.pk:
            release.wait(30)
        return definitions.health(store)

    monkeypatch.setattr("stores.services.pulse.health", slow)
    try:
        words = text_of(client.get("/"))
    finally:
        release.set()
    assert "no answer yet" in words
    assert "1 of 2 stores are well" in words
    assert re.search(r"mem default [\w .,()-]+ answers", words)


def test_the_store_page_opens_while_the_store_is_down(client: Client, down: Store) -> None:
    response = client.get(reverse("stores:store", args=[down.pk]))
    words = text_of(response)
    assert response.status_code == 200
    assert "gone does not answer." in words
    assert "Not counted yet" in words
    assert "fall back to the default of their setting" in words
    assert_sound(response)


def test_the_store_page_shows_the_classes_as_counted(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    census.count(store, ACTOR)
    response = client.get(reverse("stores:store", args=[store.pk]))
    words = text_of(response)
    assert "562 keys" in words
    assert "05 Failed logins auto-ban: wrong passwords 14" in words
    assert "All 24 classes 562" in words
    links = [attrs.get("href") or "" for tag, attrs in read(response).elements if tag == "a"]
    assert f"{reverse('stores:keys', args=[store.pk])}?class=rate-auth" in links
    for link in [link for link in links if "/keys/?" in link]:
        assert client.get(link).status_code == 200
    assert_sound(response)


def test_the_connection_is_tested_on_request_also_without_scripts(client: Client, hx: Client, memory: Store) -> None:
    page = client.get(reverse("stores:store", args=["mem"]), {"checks": "1"})
    assert "tested just now" in text_of(page)
    plain = client.get(reverse("stores:checks", args=["mem"]))
    assert plain.status_code == 303
    part = hx.get(reverse("stores:checks", args=["mem"]))
    assert "tested just now" in text_of(part)


def test_a_count_is_started_and_followed(client: Client, hx: Client, memory: Store, django_capture_on_commit_callbacks: type) -> None:
    plant_counter(memory, b"visits", 1)
    part = hx.post(reverse("stores:count", args=["mem"]))
    assert [attrs.get("hx-trigger") for tag, attrs in read(part).elements if attrs.get("id") == "classes"] == ["every 1s"]
    assert "Count waits for a worker" in text_of(part)
    assert hx.post(reverse("stores:count", args=["mem"])).status_code == 409


def test_counting_all_starts_one_count_a_store(client: Client, memory: Store) -> None:
    new_memory("second")
    done = client.post(reverse("stores:count-all"), follow=True)
    assert "2 counts started." in text_of(done)


def test_an_unsupported_definition_has_pages_that_say_so(client: Client, db: None) -> None:
    definitions.create_store(ACTOR, id="alien", type="zenoh", settings={"url": "x"}, allow_unsupported=True)
    for name in ("store", "keys", "purge", "store-settings"):
        response = client.get(reverse(f"stores:{name}", args=["alien"]))
        assert response.status_code in (200, 400)
        assert "not supported" in text_of(response)
        assert_sound(response)
    assert "not supported yet" in text_of(client.get("/"))


# trash


@pytest.fixture
def trashed(memory: Store) -> Store:
    plant(memory, b"gone", b"before", 2_000_000_000)
    plant(memory, b"again", b"before", 2_000_000_000)
    edit.delete_key(ACTOR, memory, b"gone")
    edit.delete_key(ACTOR, memory, b"again")
    plant(memory, b"again", b"newer")
    return memory


def test_the_trash_restores_with_the_expiry_of_then_and_asks_before_overwriting(client: Client, trashed: Store) -> None:
    page = client.get(reverse("stores:trash"))
    assert_sound(page)
    picks = [attrs.get("value") or "" for tag, attrs in read(page).elements if attrs.get("name") == "pick"]
    assert len(picks) == 2
    asks = client.post(reverse("stores:trash-restore"), {"pick": picks})
    assert asks.status_code == 409
    assert "1 key holds something else now" in text_of(asks)
    assert_sound(asks)
    restored, kept = read_key(trashed, b"gone"), read_key(trashed, b"again")
    assert restored is not None
    assert kept is not None
    assert (restored.entry.value, restored.entry.expires_at) == (b"before", 2_000_000_000)
    assert kept.entry.value == b"newer"
    again = [attrs.get("value") or "" for tag, attrs in read(asks).elements if attrs.get("name") == "pick"]
    done = client.post(reverse("stores:trash-restore"), {"pick": again, "overwrite": "on"}, follow=True)
    assert "1 key restored, with the expiry of then." in text_of(done)
    over = read_key(trashed, b"again")
    assert over is not None
    assert over.entry.value == b"before"
    assert bytes(TrashEntry.objects.filter(reason="overwritten").get().value or b"") == b"newer"


@pytest.mark.parametrize("pick", [[], ["x"], ["-1"], ["9" * 30]])
def test_a_restore_that_cannot_be_read_is_refused(client: Client, trashed: Store, pick: list[str]) -> None:
    assert client.post(reverse("stores:trash-restore"), {"pick": pick}).status_code == 422


def test_the_trash_is_filtered(client: Client, trashed: Store) -> None:
    assert "Nothing matches" in text_of(client.get(reverse("stores:trash"), {"slug": "greylist"}))
    assert "gone" in text_of(client.get(reverse("stores:trash"), {"slug": "custom", "store": "mem"}))
    assert client.get(reverse("stores:trash"), {"slug": "nonsense"}).status_code == 400
    assert client.get(reverse("stores:trash"), {"cursor": "x"}).status_code in (400, 422)


def test_codes_in_the_trash_stay_hidden(client: Client, captured: Callable[..., Store]) -> None:
    store = captured()
    row = list_keys(store, KeyFilter(class_slug="oauth")).rows[0]
    edit.delete_key(ACTOR, store, row.entry.key)
    for name in ("trash", "audit", "overview"):
        html = client.get(reverse(f"stores:{name}")).content.decode()
        assert row.entry.key[1:].decode() not in html
        assert row.entry.key.hex() not in html


# audit


def test_the_audit_is_paged_by_keyset_and_filtered(client: Client, memory: Store) -> None:
    earlier = AuditEntry.objects.count()
    for number in range(230 - earlier):
        audit.record(ACTOR if number % 2 else Actor("bob", "command line", rights=EVERYTHING), "edit", memory, key=f"{number:04x}")
    seen = 0
    address = reverse("stores:audit")
    for _ in range(5):
        response = client.get(address)
        seen += sum(attrs.get("class") == "kv-l1 is-wrapping" for _, attrs in read(response).elements)
        following = [attrs.get("href") or "" for tag, attrs in read(response).elements if (attrs.get("href") or "").startswith("?cursor")]
        if not following:
            break
        address = reverse("stores:audit") + following[0]
    assert seen == 230
    assert "ana wrote" not in text_of(client.get(reverse("stores:audit"), {"actor": "bob"}))
    assert "Nothing matches" in text_of(client.get(reverse("stores:audit"), {"outcome": "failed"}))
    assert client.get(reverse("stores:audit"), {"cursor": "x"}).status_code == 422
    assert client.get(reverse("stores:audit"), {"store": "nowhere"}).status_code == 400


# account


def test_signing_in_and_out(db: None, django_user_model: type) -> None:
    django_user_model.objects.create_superuser("ana", password="correct horse")  # type: ignore[attr-defined]
    client = Client()
    page = client.get("/sign-in/?next=/trash/")
    assert_sound(page)
    wrong = client.post("/sign-in/", {"username": "ana", "password": "wrong", "next": "/trash/"})
    assert wrong.status_code == 200
    assert "do not belong together" in text_of(wrong)
    right = client.post("/sign-in/", {"username": "ana", "password": "correct horse", "next": "/trash/"})
    assert (right.status_code, right["Location"]) == (302, "/trash/")
    assert client.get("/trash/").status_code == 200
    elsewhere = client.post("/sign-in/", {"username": "ana", "password": "correct horse", "next": "https://example.net/"})
    assert elsewhere["Location"] == "/"
    assert client.get("/sign-out/").status_code == 405
    client.post("/sign-out/")
    assert client.get("/trash/").status_code == 302


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_appearance_is_in_the_first_byte(client: Client, theme: str) -> None:
    response = client.post("/theme/", {"theme": theme, "next": "/trash/"})
    assert response["Location"] == "/trash/"
    assert f'<html lang="en" data-bs-theme="{theme}">' in client.get("/").content.decode()
    client.post("/theme/", {"theme": "auto"})
    assert '<html lang="en">' in client.get("/").content.decode()


def test_an_appearance_that_is_none_is_refused(client: Client) -> None:
    assert client.post("/theme/", {"theme": "pink"}).status_code == 400
    client.cookies["kv_theme"] = '"><script>'
    assert '<html lang="en">' in client.get("/").content.decode()
    assert client.post("/theme/", {"theme": "dark", "next": "https://example.net/"})["Location"] == "/"


# errors


@override_settings(DEBUG=False)
@pytest.mark.parametrize("address", ["/nowhere/", "/stores/mem/key/AA=/", "/runs/1/"])
def test_an_address_that_leads_nowhere_has_a_page(client: Client, memory: Store, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 404
    assert "Nothing was changed." in text_of(response)
    assert_sound(response)


@override_settings(DEBUG=False)
def test_a_mistake_of_ours_has_a_page_too(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("stores.views.keys.list_keys", broken)
    client.raise_request_exception = False
    response = client.get(reverse("stores:keys", args=["mem"]))
    assert response.status_code == 500
    assert "kvadmin made a mistake" in text_of(response)
    assert "a bug" not in response.content.decode()


@override_settings(DEBUG=False)
def test_a_form_without_its_token_has_a_page(memory: Store, django_user_model: type) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(django_user_model.objects.create_superuser("ana"))  # type: ignore[attr-defined]
    response = client.post(reverse("stores:count", args=["mem"]))
    assert response.status_code == 403
    assert "The form was too old" in text_of(response)
    assert_sound(response)


@pytest.mark.parametrize("code", ["de", "zh-hans"])
def test_the_language_is_kept_in_a_cookie(client: Client, code: str) -> None:
    assert b'<html lang="en"' in client.get("/").content
    response = client.post("/language/", {"language": code, "next": "/trash/"})
    assert response["Location"] == "/trash/"
    page = client.get("/")
    assert f'<html lang="{code}"'.encode() in page.content
    assert page["Content-Language"] == code
    client.post("/language/", {"language": "auto"})
    assert b'<html lang="en"' in client.get("/").content
    assert client.get("/", headers={"accept-language": "fr"})["Content-Language"] == "fr"
    assert client.post("/language/", {"language": "tlh"}).status_code == 400
    assert client.post("/language/", {"language": "de", "next": "https://example.net/"})["Location"] == "/"


def test_the_tour_goes_on_where_it_was_left_and_ends(client: Client, memory: Store) -> None:
    assert b"1</span>" in client.get("/").content and b'id="tour"' in client.get("/").content
    client.post("/tour/", {"step": "2"})
    assert "3 a.m. takes an IP" in text_of(client.get("/"))
    client.post("/tour/", {"step": "0"})
    assert b'id="tour"' not in client.get("/").content
    assert client.post("/tour/", {"step": "9"}).status_code == 422
    client.post("/tour/", {"step": "1"})
    assert b'id="tour"' in client.get("/").content
