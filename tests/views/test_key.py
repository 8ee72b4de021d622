"""One key: seen, changed only when it is still what was seen, round trips of any bytes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from stores.forms.edit import ABSENT_ETAG
from stores.models import AuditEntry, Store, TrashEntry
from stores.services import definitions
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.rights import EVERYTHING
from stores.services.rows import Row
from stores.types import Kind
from tests.services.conftest import opened, plant, plant_counter, plant_raw
from tests.views.pages import assert_sound, read, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)
LOGIN = bytes.fromhex("05cb007114000000000000510e")
ODD = [b"", b"\x00", b"\xff\xfe\x00", b"-", b"~", "schlüssel".encode(), b"k" * 1000, b"a/b?c#d%e"]


def url(store: Store, key: bytes, name: str = "key") -> str:
    return reverse(f"stores:{name}", args=[store.pk, key])


def row(store: Store, key: bytes) -> Row:
    found = read_key(store, key)
    assert found is not None
    return found


def send(client: Client, store: Store, key: bytes, name: str, etag: str | None = None, **fields: Any) -> Any:
    etag = row(store, key).entry.etag if etag is None else etag
    return client.post(url(store, key, name), {"etag": etag, "opened": "what was there", **fields})


@pytest.mark.parametrize("key", ODD, ids=lambda key: repr(key[:8]))
def test_any_key_has_a_page_and_can_be_edited_and_deleted(client: Client, memory: Store, key: bytes) -> None:
    plant(memory, key, b"before", 2_000_000_000)
    response = client.get(url(memory, key))
    assert response.status_code == 200
    assert_sound(response)
    saved = send(client, memory, key, "key-value", edit_as="hex", value="00 ff 0a")
    assert saved.status_code == 303
    assert (row(memory, key).entry.value, row(memory, key).entry.expires_at) == (b"\x00\xff\x0a", 2_000_000_000)
    gone = send(client, memory, key, "key-delete")
    assert gone.status_code == 303
    assert read_key(memory, key) is None
    assert client.get(url(memory, key)).status_code == 404


@pytest.mark.parametrize("token", ["AA=", "A", "AB", "~nonsense", "AA+A", "-A"])
def test_a_link_that_names_no_key_is_a_404(client: Client, memory: Store, token: str) -> None:
    assert client.get(f"/stores/mem/key/{token}/").status_code == 404


@pytest.mark.parametrize(
    ("editor", "typed", "stored"),
    [
        ("text", "zwei\r\nZeilen", b"zwei\nZeilen"),
        ("text", " blank at both ends ", b" blank at both ends "),
        ("json", '{"a":  [1, 2]}', b'{"a":  [1, 2]}'),
        ("hex", "0x00FF 0a\n0b", b"\x00\xff\x0a\x0b"),
        ("hex", "", b""),
    ],
)
def test_values_are_written_exactly_as_typed_and_keep_their_expiry(
    client: Client, memory: Store, editor: str, typed: str, stored: bytes
) -> None:
    plant(memory, b"name", b"before", 2_000_000_000)
    assert send(client, memory, b"name", "key-value", edit_as=editor, value=typed).status_code == 303
    assert (row(memory, b"name").entry.value, row(memory, b"name").entry.expires_at) == (stored, 2_000_000_000)
    assert bytes(TrashEntry.objects.get().value or b"") == b"before"


def test_a_value_of_a_megabyte_comes_as_a_file_and_goes_as_one(client: Client, memory: Store) -> None:
    big = bytes(range(256)) * 4096
    plant(memory, b"big", big)
    page = client.get(url(memory, b"big"))
    assert len(page.content) < 100_000
    assert client.get(url(memory, b"big", "key-raw")).content == big
    send(client, memory, b"big", "key-value", edit_as="file", file=SimpleUploadedFile("new.bin", big[::-1]))
    assert row(memory, b"big").entry.value == big[::-1]


@pytest.mark.parametrize(
    ("editor", "typed", "says"),
    [("json", "{", "This is not JSON"), ("hex", "0", "is not hex"), ("file", "", "Choose the file"), ("nonsense", "x", "")],
)
def test_a_value_that_cannot_be_read_changes_nothing(client: Client, hx: Client, memory: Store, editor: str, typed: str, says: str) -> None:
    plant(memory, b"name", b"before")
    for who in (client, hx):
        response = send(who, memory, b"name", "key-value", edit_as=editor, value=typed)
        assert response.status_code == 422
        assert says in text_of(response)
    assert row(memory, b"name").entry.value == b"before"
    assert not TrashEntry.objects.exists()


def test_the_editors_offered_give_the_value_back_unchanged(client: Client, memory: Store) -> None:
    for key, value, offered in (
        (b"plain", b"some text", "Text"),
        (b"lines", b"two\r\nlines", "Hex"),
        (b"bytes", b"\x00\x01", "Hex"),
        (b"json", b'{"a": 1}', "JSON"),
    ):
        plant(memory, key, value)
        response = client.get(url(memory, key) + "?edit=" + offered.lower())
        here = [attrs for tag, attrs in read(response).elements if attrs.get("aria-current") == "true" and attrs.get("class") == "is-on"]
        assert here, key
        html = response.content.decode()
        untouched = html.split('id="value-value"')[1].split(">", 1)[1].split("</textarea>")[0] if 'id="value-value"' in html else None
        assert untouched is not None
    assert "Text</a>" not in client.get(url(memory, b"lines")).content.decode()


def test_saving_an_untouched_form_changes_nothing(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"same", 2_000_000_000)
    before = row(memory, b"name").entry
    html = client.get(url(memory, b"name")).content.decode()
    date = html.split('name="date" value="')[1].split('"')[0]
    clock = html.split('name="time" value="')[1].split('"')[0]
    response = send(client, memory, b"name", "key-expiry", how="at", date=date, time=clock)
    assert response.status_code == 303
    assert row(memory, b"name").entry == before
    assert "Nothing changed" in text_of(client.get(url(memory, b"name")))


def test_a_changed_row_is_a_conflict_that_shows_both_and_can_be_decided(client: Client, hx: Client, memory: Store) -> None:
    plant_counter(memory, LOGIN, 97, 2_000_000_000)
    seen = row(memory, LOGIN).entry.etag
    plant_counter(memory, LOGIN, 98, 2_000_000_000)
    for who in (client, hx):
        response = send(who, memory, LOGIN, "key-counter", seen, number="0", act="set")
        assert response.status_code == 409
        words = text_of(response)
        for part in (
            "Changed since you opened it.",
            "You opened what was there",
            "In the store now 98",
            "You want 0",
            "Set 98 to 0",
            "Keep 98",
        ):
            assert part in words
        assert row(memory, LOGIN).entry.counter == 98
    hidden = [attrs for tag, attrs in read(response).elements if tag == "input" and attrs.get("type") == "hidden"]
    again = {attrs["name"] or "": attrs.get("value") or "" for attrs in hidden if attrs.get("name") != "csrfmiddlewaretoken"}
    assert client.post(url(memory, LOGIN, "key-counter"), {**again, "etag": row(memory, LOGIN).entry.etag}).status_code == 303
    assert row(memory, LOGIN).entry.counter == 0


def test_a_vanished_row_is_a_conflict_that_can_create_it_again(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"before")
    seen = row(memory, b"name").entry.etag
    with opened(memory) as backend:
        backend.delete(b"name")
    response = client.post(url(memory, b"name", "key-value"), {"etag": seen, "edit_as": "text", "value": "after"})
    assert response.status_code == 409
    assert "The key is gone since you opened it." in text_of(response)
    assert "Create it again" in text_of(response)
    assert read_key(memory, b"name") is None
    again = client.post(url(memory, b"name", "key-value"), {"etag": ABSENT_ETAG, "edit_as": "text", "value": "after"})
    assert again.status_code == 303
    assert row(memory, b"name").entry.value == b"after"


def test_a_changed_row_is_not_deleted(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"1")
    seen = row(memory, b"name").entry.etag
    plant(memory, b"name", b"2")
    response = send(client, memory, b"name", "key-delete", seen)
    assert response.status_code == 409
    assert "Delete what is there now" in text_of(response)
    assert row(memory, b"name").entry.value == b"2"


@pytest.mark.parametrize(("act", "number", "result"), [("set", "5", 5), ("add", "5", 42), ("add", "-7", 30), ("zero", "nonsense", 0)])
def test_counters_are_set_added_to_and_reset(client: Client, memory: Store, act: str, number: str, result: int) -> None:
    plant_counter(memory, LOGIN, 37, 2_000_000_000)
    assert send(client, memory, LOGIN, "key-counter", number=number, act=act).status_code == 303
    assert (row(memory, LOGIN).entry.counter, row(memory, LOGIN).entry.expires_at) == (result, 2_000_000_000)


def test_adding_counts_beside_the_mail_server(client: Client, memory: Store) -> None:
    plant_counter(memory, LOGIN, 37, 2_000_000_000)
    seen = row(memory, LOGIN).entry.etag
    plant_counter(memory, LOGIN, 38, 2_000_000_000)
    assert send(client, memory, LOGIN, "key-counter", seen, number="2", act="add").status_code == 303
    assert row(memory, LOGIN).entry.counter == 40


@pytest.mark.parametrize("number", ["", "x", "1.5", str(1 << 63), str(-(1 << 63) - 1)])
def test_a_number_that_is_none_changes_nothing(client: Client, memory: Store, number: str) -> None:
    plant_counter(memory, LOGIN, 37, 2_000_000_000)
    assert send(client, memory, LOGIN, "key-counter", number=number, act="set").status_code == 422
    assert row(memory, LOGIN).entry.counter == 37


def test_reputation_is_edited_in_parts(client: Client, memory: Store) -> None:
    key = bytes.fromhex("0ccb00715b")
    plant(memory, key, bytes.fromhex("000000024030000000000000"), 2_000_000_000)
    assert "Messages" in text_of(client.get(url(memory, key)))
    assert send(client, memory, key, "key-value", edit_as="decoded", part_count="3", part_score="-1.5").status_code == 303
    assert row(memory, key).entry.value == bytes.fromhex("00000003bff8000000000000")
    wrong = send(client, memory, key, "key-value", edit_as="decoded", part_count="-1", part_score="-1.5")
    assert wrong.status_code == 422


def test_expiry_from_now_at_a_time_and_never(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"x", 2_000_000_000)
    send(client, memory, b"name", "key-expiry", how="in", span="2 h 30 min")
    left = (row(memory, b"name").entry.expires_at or 0) - time.time()
    assert 8990 < left <= 9000
    send(client, memory, b"name", "key-expiry", how="at", date="2036-11-14", time="09:03:08")
    assert row(memory, b"name").entry.expires_at == 2_110_266_188
    send(client, memory, b"name", "key-expiry", how="never")
    assert row(memory, b"name").entry.expires_at is None
    assert row(memory, b"name").entry.value == b"x"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"how": "in", "span": "soon"}, "is not a duration"),
        ({"how": "in"}, "Say how long"),
        ({"how": "at"}, "Give the date"),
        ({"how": "at", "date": "2001-01-01", "time": "00:00"}, "is not in the future"),
        ({"how": "at", "date": "31.12.2030"}, "Enter a valid date"),
        ({"how": "later"}, ""),
        ({}, ""),
    ],
)
def test_an_expiry_that_cannot_be_read_changes_nothing(client: Client, memory: Store, fields: dict[str, str], says: str) -> None:
    plant(memory, b"name", b"x", 2_000_000_000)
    response = send(client, memory, b"name", "key-expiry", **fields)
    assert response.status_code == 422
    assert says in text_of(response)
    assert_sound(response)
    assert row(memory, b"name").entry.expires_at == 2_000_000_000


def test_a_fragment_carries_what_was_done(hx: Client, memory: Store) -> None:
    plant(memory, b"name", b"before")
    response = send(hx, memory, b"name", "key-value", edit_as="text", value="after")
    assert response.status_code == 200
    assert 'hx-swap-oob="true"' in response.content.decode()
    assert "Saved." in text_of(response)


def test_history_names_who_did_what(client: Client, memory: Store) -> None:
    plant_counter(memory, LOGIN, 41, 2_000_000_000)
    send(client, memory, LOGIN, "key-counter", number="0", act="set")
    assert "ana set the number from 41 to 0" in text_of(client.get(url(memory, LOGIN)))
    assert AuditEntry.objects.filter(action="counter", actor="ana", via="page").exists()


def test_a_malformed_row_is_shown_with_its_bytes_and_can_only_be_deleted(client: Client, memory: Store) -> None:
    plant_raw(memory, b"broken", b"abc")
    response = client.get(url(memory, b"broken"))
    words = text_of(response)
    assert "Malformed row." in words
    assert "61 62 63" in words
    assert "Save the value" not in words
    assert "Save the expiry" not in words
    assert send(client, memory, b"broken", "key-delete").status_code == 303


def test_new_keys_of_each_sort(client: Client, memory: Store) -> None:
    where = reverse("stores:key-new", args=[memory.pk])
    common = {"key_as": "text", "kind": "value", "value_as": "text", "how": "never"}
    assert client.post(where, {**common, "key": "greeting", "value": "hello"}).status_code == 303
    assert row(memory, b"greeting").entry.value == b"hello"
    assert client.post(where, {**common, "key": "05cb00", "key_as": "hex", "value": "ff", "value_as": "hex"}).status_code == 303
    assert row(memory, b"\x05\xcb\x00").entry.value == b"\xff"
    assert client.post(where, {**common, "key": "visits", "kind": "counter", "number": "7", "how": "in", "span": "1 h"}).status_code == 303
    made = row(memory, b"visits").entry
    assert (made.kind, made.counter) == (Kind.COUNTER, 7)
    assert made.expires_at is not None
    assert client.post(where, {**common, "key": "", "value": "empty key"}).status_code == 303
    assert row(memory, b"").entry.value == b"empty key"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"key": "greeting"}, "This key exists already."),
        ({"key": "0", "key_as": "hex"}, "is not hex"),
        ({"key": "n", "kind": "counter"}, "Give the number"),
        ({"key": "n", "how": "in", "span": "x"}, "is not a duration"),
        ({"key": "n", "value": "{", "value_as": "json"}, "This is not JSON"),
        ({"key": "n", "kind": "thing"}, "Select a valid choice"),
    ],
)
def test_a_new_key_that_cannot_be_written_keeps_what_was_typed(
    client: Client, hx: Client, memory: Store, fields: dict[str, str], says: str
) -> None:
    plant(memory, b"greeting", b"hello")
    where = reverse("stores:key-new", args=[memory.pk])
    common = {"key_as": "text", "kind": "value", "value": "typed text", "value_as": "text", "how": "never"}
    for who in (client, hx):
        response = who.post(where, {**common, **fields})
        assert response.status_code == 422
        assert says in text_of(response)
        assert fields.get("value", "typed text") in text_of(response)
    assert row(memory, b"greeting").entry.value == b"hello"
    assert read_key(memory, b"n") is None


def test_a_read_only_store_refuses_and_says_why(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"before")
    definitions.update_store(ACTOR, memory, read_only=True)
    page = client.get(url(memory, b"name"))
    assert "is switched to read only here" in text_of(page)
    assert "<form method" not in page.content.decode().split('id="key"')[1]
    response = send(client, memory, b"name", "key-value", edit_as="text", value="after")
    assert response.status_code == 403
    assert row(memory, b"name").entry.value == b"before"


def test_a_static_store_shows_its_entries_and_takes_no_writes(client: Client, db: None) -> None:
    store = definitions.create_store(ACTOR, id="lists", type="static", settings={}, entries=[("example.org", "7")])
    page = client.get(url(store, b"example.org"))
    assert page.status_code == 200
    assert "Save the value" not in text_of(page)
    assert_sound(page)
    assert send(client, store, b"example.org", "key-value", edit_as="text", value="8").status_code == 403


def test_an_outage_keeps_what_was_typed_on_screen(hx: Client, down: Store) -> None:
    response = hx.post(url(down, b"name", "key-expiry"), {"etag": "x", "how": "never"})
    assert response.status_code == 503
    assert response["HX-Retarget"] == "#notice"
    assert "Nothing was changed." in text_of(response)


def test_a_deleted_key_can_be_brought_back_from_its_page(client: Client, memory: Store) -> None:
    plant(memory, b"name", b"before", 2_000_000_000)
    send(client, memory, b"name", "key-delete")
    page = client.get(url(memory, b"name"))
    assert page.status_code == 404
    assert "Restore it" in text_of(page)
    client.post(reverse("stores:trash-restore"), {"pick": TrashEntry.objects.get().pk})
    assert (row(memory, b"name").entry.value, row(memory, b"name").entry.expires_at) == (b"before", 2_000_000_000)
