"""Definitions: add, test, change with masked secrets, default, delete; import."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from stores.models import AuditEntry, Store
from stores.services import definitions
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from stores.services.store_settings import MASK, fields_of
from tests.fixtures_path import FIXTURES
from tests.services.conftest import new_memory
from tests.views.pages import assert_sound, read, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)
SECRET = "s3cret-Passw0rd"
REDIS = {"set_redis-type": "single", "set_urls": f"redis://:{SECRET}@127.0.0.1:1/0"}


def add(kind: str) -> str:
    return reverse("stores:store-add-type", args=[kind])


def test_every_offered_type_has_a_form_drawn_from_its_settings(client: Client, db: None) -> None:
    page = client.get(reverse("stores:store-add"))
    links = [attrs.get("href") or "" for tag, attrs in read(page).elements if attrs.get("class") == "kv-choice"]
    assert {"/stores/add/sqlite/", "/stores/add/redis/", "/stores/add/static/"} <= set(links)
    assert "/stores/add/memory/" not in links
    for link in links:
        if not link:
            continue
        form = client.get(link)
        assert form.status_code == 200
        assert_sound(form)
        kind = link.strip("/").rpartition("/")[2]
        names = {attrs.get("name") for tag, attrs in read(form).elements}
        assert {f"set_{name}" for name in fields_of(kind)} <= names


@pytest.mark.parametrize("kind", ["memory", "nonsense"])
def test_types_that_cannot_be_defined_are_refused(client: Client, db: None, kind: str) -> None:
    assert client.get(add(kind)).status_code == 400


def test_a_store_is_defined_and_becomes_the_default(client: Client, tmp_path: Path) -> None:
    response = client.post(add("sqlite"), {"id": "mail.store", "set_path": str(tmp_path / "x.db"), "version": "0.11"}, follow=True)
    store = Store.objects.get()
    assert (store.pk, store.type, store.version) == ("mail.store", "sqlite", "0.11")
    assert definitions.default_id() == "mail.store"
    assert "mail.store is defined" in text_of(response)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": ""}, "This field is required."),
        ({"id": "a b"}, "cannot be an id"),
        ({"id": "add"}, "cannot be an id"),
        ({"id": "mem"}, "There is already a store with the id mem."),
        ({"set_path": ""}, "is missing"),
        ({"set_pool.workers": "many"}, "write a whole number"),
        ({"version": "9.9"}, "Select a valid choice"),
    ],
)
def test_a_definition_that_cannot_be_read_names_the_field_and_keeps_the_rest(
    client: Client, hx: Client, memory: Store, fields: dict[str, str], says: str
) -> None:
    for who in (client, hx):
        response = who.post(add("sqlite"), {"id": "other", "set_path": "/nowhere/x.db", **fields})
        assert response.status_code == 422
        assert says in text_of(response)
        assert_sound(client.post(add("sqlite"), {"id": "other", "set_path": "/nowhere/x.db", **fields}))
    assert Store.objects.count() == 1


def test_a_connection_is_tested_step_by_step_without_saving(client: Client, hx: Client, db: None, tmp_path: Path) -> None:
    for who in (client, hx):
        response = who.post(add("sqlite"), {"id": "x", "set_path": str(tmp_path / "missing.db"), "do": "test"})
        assert response.status_code == 200
        assert "There is no file" in text_of(response)
        assert str(tmp_path / "missing.db") in response.content.decode()
    response = client.post(add("redis"), {"id": "x", **REDIS, "do": "test"})
    steps = response.content.decode().partition('id="checks"')[2]
    assert 'aria-label="failed"' in steps
    assert SECRET not in steps
    assert not Store.objects.exists()


def test_secrets_are_masked_and_kept_when_they_are_not_touched(client: Client, db: None) -> None:
    store = definitions.create_store(ACTOR, id="r", type="redis", settings={"urls": f"redis://:{SECRET}@127.0.0.1:1/0"})
    where = reverse("stores:store-settings", args=["r"])
    page = client.get(where)
    assert SECRET not in page.content.decode()
    assert MASK in page.content.decode()
    shown = definitions.masked_settings(store)["urls"]
    client.post(where, {"set_urls": shown, "set_timeout": "5s", "enabled": "on"})
    store.refresh_from_db()
    assert store.settings["urls"] == f"redis://:{SECRET}@127.0.0.1:1/0"
    assert store.settings["timeout"] == "5s"
    half = client.post(where, {"set_urls": shown.replace("127.0.0.1", "127.0.0.2"), "enabled": "on"})
    assert half.status_code == 422
    store.refresh_from_db()
    assert "127.0.0.1" in store.settings["urls"]
    for address in ("stores:settings", "stores:audit", "stores:overview"):
        assert SECRET not in client.get(reverse(address)).content.decode()
    assert SECRET not in client.get(reverse("stores:store", args=["r"])).content.decode()


def test_switches_are_saved(client: Client, memory: Store) -> None:
    where = reverse("stores:store-settings", args=["mem"])
    client.post(where, {"set_name": memory.settings["name"], "read_only": "on"})
    memory.refresh_from_db()
    assert (memory.enabled, memory.read_only) == (False, True)
    words = text_of(client.get(reverse("stores:store", args=["mem"])))
    assert "read-only" in words
    assert "switched off" in words


def test_entries_of_a_static_store_are_lines(client: Client, db: None) -> None:
    lines = 'example.com\r\n*.example.org = 7\r\n"a = b" = " c "\r\n\r\n"quote\\"d" = x'
    client.post(add("static"), {"id": "lists", "entries": lines})
    store = Store.objects.get()
    wanted = [("example.com", ""), ("*.example.org", "7"), ("a = b", " c "), ('quote"d', "x")]
    assert list(store.entries.values_list("key", "value")) == wanted
    page = client.get(reverse("stores:store-settings", args=["lists"]))
    shown = next(part for part in page.content.decode().split("<textarea") if 'name="entries"' in part)
    assert "&quot;a = b&quot; = &quot; c &quot;" in shown
    twice = client.post(reverse("stores:store-settings", args=["lists"]), {"entries": "a = 1\na = 2", "enabled": "on"})
    assert twice.status_code == 422
    broken = client.post(reverse("stores:store-settings", args=["lists"]), {"entries": '"a = 1', "enabled": "on"})
    assert "Line 1" in text_of(broken)
    assert list(store.entries.values_list("key", "value")) == wanted


def test_another_default_is_chosen(client: Client, memory: Store) -> None:
    new_memory("second")
    assert client.post(reverse("stores:store-default", args=["second"])).status_code == 303
    assert definitions.default_id() == "second"


def test_deleting_the_default_asks_for_its_follower(client: Client, memory: Store) -> None:
    new_memory("second")
    where = reverse("stores:store-delete", args=["mem"])
    assert "Another one has to follow it" in text_of(client.get(where))
    assert client.post(where, {}).status_code == 422
    assert client.post(where, {"new_default": "nowhere"}).status_code == 422
    assert Store.objects.count() == 2
    assert client.post(where, {"new_default": "second"}).status_code == 303
    assert definitions.default_id() == "second"
    assert client.post(reverse("stores:store-delete", args=["second"]), {}).status_code == 303
    assert not Store.objects.exists()
    assert "No store yet" in text_of(client.get(reverse("stores:settings")))


# import

CONFIG = FIXTURES / "stalwart-0.11.8" / "sqlite" / "config-long.toml"
CONFIGS = sorted(FIXTURES.glob("**/config*.toml")) + sorted(FIXTURES.glob("**/config.json"))


def upload(client: Client, path: Path) -> None:
    response = client.post(reverse("stores:import"), {"file": SimpleUploadedFile(path.name, path.read_bytes())})
    assert (response.status_code, response["Location"]) == (303, reverse("stores:import-preview"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_captured_configuration_has_a_preview_and_imports(client: Client, db: None, path: Path) -> None:
    upload(client, path)
    preview = client.get(reverse("stores:import-preview"))
    assert preview.status_code == 200
    reader = assert_sound(preview)
    assert not Store.objects.exists()
    chosen = [
        attrs.get("value") or "" for tag, attrs in reader.elements if tag == "input" and attrs.get("name") == "store" and "checked" in attrs
    ]
    assert chosen
    done = client.post(reverse("stores:import-preview"), {"store": chosen})
    assert done.status_code == 200
    assert_sound(done)
    assert {store.pk for store in Store.objects.all()} == set(chosen)
    before = list(AuditEntry.objects.values_list("pk", flat=True))
    upload(client, path)
    again = client.get(reverse("stores:import-preview"))
    assert "0 stores can be created" in text_of(again)
    client.post(reverse("stores:import-preview"), {"store": chosen})
    assert list(AuditEntry.objects.values_list("pk", flat=True)) == before


def test_passwords_of_a_configuration_are_in_no_page_and_in_no_clear_session(client: Client, db: None) -> None:
    text = f'storage.lookup = "r"\n[store."r"]\ntype = "redis"\nurls = "redis://:{SECRET}@127.0.0.1:1/0"\n'
    client.post(reverse("stores:import"), {"text": text})
    preview = client.get(reverse("stores:import-preview"))
    assert SECRET not in preview.content.decode()
    assert "hidden" in text_of(preview)
    assert SECRET not in str(dict(client.session.items()))
    tried = client.get(reverse("stores:import-tried", args=["r"]), headers={"HX-Request": "true"})
    assert tried.status_code == 200
    assert SECRET not in tried.content.decode()
    done = client.post(reverse("stores:import-preview"), {"store": ["r"]})
    assert SECRET not in done.content.decode()
    assert Store.objects.get().settings["urls"].endswith(f":{SECRET}@127.0.0.1:1/0")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Choose the file"),
        ({"text": "   "}, "Choose the file"),
        ({"text": '{"@type": "Nonsense"'}, "This is not valid JSON"),
        ({"text": '{"a": 1}'}, "no configuration of Stalwart"),
    ],
)
def test_what_is_no_configuration_is_refused_at_once(client: Client, db: None, fields: dict[str, str], says: str) -> None:
    response = client.post(reverse("stores:import"), fields)
    assert response.status_code == 422
    assert says in text_of(response)


def test_a_file_that_is_no_text_is_refused(client: Client, db: None) -> None:
    response = client.post(reverse("stores:import"), {"file": SimpleUploadedFile("x.toml", b"\xff\xfe\x00")})
    assert response.status_code == 422
    assert "not a text file" in text_of(response)


def test_only_what_is_ticked_is_created(client: Client, db: None) -> None:
    upload(client, CONFIG)
    client.post(reverse("stores:import-preview"), {"store": ["memstore"]})
    assert [store.pk for store in Store.objects.all()] == ["memstore"]


def test_lines_that_lack_quotes_can_be_read_as_if_they_had_them(client: Client, db: None) -> None:
    upload(client, FIXTURES / "oddities" / "config-rewritten-by-stalwart-0.11.8-local-keys-star.toml")
    words = text_of(client.get(reverse("stores:import-preview")))
    assert "could not be read" in words
    assert "Read such keys as if they were quoted" in words
    repaired = text_of(client.get(reverse("stores:import-preview") + "?repair=on"))
    assert "could not be read" not in repaired


def test_a_preview_without_a_file_goes_back_to_the_form(client: Client, db: None) -> None:
    assert client.get(reverse("stores:import-preview"))["Location"] == reverse("stores:import")
    response = client.get(reverse("stores:import-tried", args=["x"]), headers={"HX-Request": "true"})
    assert response.status_code == 422
