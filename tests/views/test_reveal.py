"""Secrets in clear: only with the permission, only on demand, always on record, never what was seen."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from stores.codecs.bincode import encode_certificate
from stores.codecs.lz4block import pack
from stores.errors import BadConfig, Forbidden, KeyNotFound
from stores.models import AuditEntry, Store
from stores.services import reveal
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, list_keys
from stores.services.keytokens import SealedKey
from stores.services.rights import EVERYTHING, Rights, Role
from stores.templatetags.kv_audit import audit_words
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import plant
from tests.unit.test_keyclasses_reading import certificate
from tests.views.pages import assert_sound, text_of

pytestmark = [needs_fixtures, pytest.mark.django_db]
ADMIN = Actor("ana", "page", rights=EVERYTHING)


@pytest.fixture
def code(captured: Callable[..., Store]) -> tuple[Store, bytes]:
    store = captured("stalwart-0.11.8/sqlite/memstore-live.db")
    return store, list_keys(store, KeyFilter(class_slug="oauth")).rows[0].entry.key


def test_a_code_is_hidden_until_it_is_asked_for(client: Client, code: tuple[Store, bytes]) -> None:
    store, key = code
    secret = key[1:].decode()
    here = reverse("stores:key", args=[store.pk, SealedKey(key)])
    page = client.get(here)
    assert_sound(page)
    assert secret not in page.content.decode() and "Show what is hidden" in text_of(page)
    shown = client.post(reverse("stores:key-reveal", args=[store.pk, SealedKey(key)]))
    assert_sound(shown)
    assert secret in text_of(shown) and shown["Cache-Control"] == "no-store" and "on record" in text_of(shown)
    assert key.hex(" ") not in text_of(shown)
    entry = AuditEntry.objects.filter(action="reveal").get()
    assert (entry.actor, entry.store_name, entry.class_slug) == ("ana", store.pk, "oauth")
    assert secret not in str(vars(entry)) and key.hex() not in str(vars(entry))
    assert secret not in client.get("/audit/").content.decode()


def test_only_who_may_see_secrets_sees_them(code: tuple[Store, bytes], memory: Store) -> None:
    store, key = code
    for role in (Role.NONE, Role.VIEWER, Role.OPERATOR):
        with pytest.raises(Forbidden):
            reveal.reveal(Actor("bo", "page", rights=Rights(role)), store, key)
    assert AuditEntry.objects.filter(action="refused", outcome="refused").count() == 3
    with pytest.raises(KeyNotFound):
        reveal.reveal(ADMIN, memory, b"nothing")
    plant(memory, b"open", b"x")
    with pytest.raises(BadConfig):
        reveal.reveal(ADMIN, memory, b"open")
    assert not AuditEntry.objects.filter(action="reveal").exists()


def test_the_private_key_of_a_certificate_is_never_shown(client: Client, memory: Store) -> None:
    public, private = certificate()
    key, value = b"\x00mail.example.org", pack(encode_certificate(public, private))
    plant(memory, key, value)
    shown = client.post(reverse("stores:key-reveal", args=[memory.pk, SealedKey(key)]))
    assert_sound(shown)
    text = shown.content.decode()
    assert "tls-alpn-01" in text and "mail.example.org" in text
    for start in range(0, len(private) - 8, 8):
        piece = private[start : start + 8]
        assert piece.hex() not in text and piece.hex(" ") not in text


def test_commands_hide_in_words_and_put_exact_bytes_on_record(code: tuple[Store, bytes]) -> None:
    store, key = code

    def run(*arguments: str) -> str:
        out = io.StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    secret = key[1:].decode()
    for words in (run("keys", store.pk, "--class", "oauth"), run("get", store.pk, key.hex(), "--hex")):
        assert secret not in words and key.hex() not in words
    assert not AuditEntry.objects.filter(action__startswith="reveal").exists()
    assert secret in run("get", store.pk, key.hex(), "--hex", "--reveal")
    assert key.hex() in run("keys", store.pk, "--class", "oauth", "--json")
    assert AuditEntry.objects.get(action="reveal").after is None
    written = AuditEntry.objects.get(action="reveal-written")
    assert written.after is not None and written.after["keys"] >= 1
    assert "had secret keys written in clear" in audit_words(written) and "the empty key" not in audit_words(written)


def test_the_trash_and_the_search_hide_them_on_the_terminal_too(code: tuple[Store, bytes]) -> None:
    store, key = code

    def run(*arguments: str) -> str:
        out = io.StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    found = run("find", key[1:].decode(), "--store", store.pk)
    assert key.hex() not in found
    run("delete", store.pk, key.hex(), "--hex", "--yes")
    listed = run("restore", store.pk, "--list")
    assert "sign-in code" in listed and key.hex() not in listed and key[1:].decode() not in listed
    assert not AuditEntry.objects.filter(action="reveal-written").exists()
    assert key.hex() in run("restore", store.pk, "--list", "--json")
    assert AuditEntry.objects.filter(action="reveal-written").count() == 1
