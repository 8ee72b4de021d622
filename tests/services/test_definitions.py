from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.db import IntegrityError, transaction

from stores.errors import BadConfig, Busy, NotSupported
from stores.models import AuditEntry, DefaultLookupStore, RunAction, Store
from stores.registry import find_store
from stores.services import definitions, runs, store_settings
from stores.services.actor import Actor
from stores.services.store_settings import MASK
from stores.types import CheckState, FieldType, SettingField
from tests.services.conftest import new_memory

pytestmark = pytest.mark.django_db

FIELDS = (
    SettingField("host", label="Host", required=True),
    SettingField("port", FieldType.INTEGER, default="5432"),
    SettingField("password", FieldType.PASSWORD),
    SettingField("tls.enable", FieldType.BOOLEAN),
    SettingField("timeout", FieldType.DURATION),
    SettingField("redis-type", FieldType.CHOICE, choices=("single", "cluster")),
    SettingField("urls", FieldType.URLS),
)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of every type, under the memory backend."""
    from stores.backends.memory import MemoryBackend

    monkeypatch.setattr(MemoryBackend, "SETTINGS", FIELDS)


def create(settings: Mapping[str, str], actor: Actor, id: str = "one") -> Store:
    return definitions.create_store(actor, id=id, type="memory", settings=settings)


def test_the_first_store_becomes_the_default_and_later_ones_do_not(actor: Actor) -> None:
    new_memory("a.b")
    new_memory("c")
    assert definitions.default_id() == "a.b"
    assert find_store("").id == "a.b"
    new_memory("d", make_default=True)
    assert definitions.default_id() == "d"
    assert [info.default for info in definitions.list_stores()] == [False, False, True]


def test_the_database_holds_a_single_default_that_exists(actor: Actor) -> None:
    first, second = new_memory("a"), new_memory("b")
    with pytest.raises(IntegrityError), transaction.atomic():
        DefaultLookupStore.objects.create(pk=2, store=second)
    with pytest.raises(IntegrityError), transaction.atomic():
        Store.objects.filter(pk=first.pk).delete()


def test_deleting_the_default_asks_for_another(actor: Actor) -> None:
    first, second = new_memory("a"), new_memory("b")
    with pytest.raises(BadConfig) as caught:
        definitions.delete_store(actor, first)
    assert caught.value.field == "new_default"
    with pytest.raises(BadConfig):
        definitions.delete_store(actor, first, "nowhere")
    definitions.delete_store(actor, first, "b")
    assert definitions.default_id() == "b"
    definitions.delete_store(actor, second)
    assert definitions.default_id() == ""
    assert not Store.objects.exists()


def test_a_store_with_an_unfinished_run_is_not_deleted(actor: Actor) -> None:
    store = new_memory("a")
    run = runs.create(actor, store, RunAction.PURGE)
    with pytest.raises(Busy):
        definitions.delete_store(actor, store)
    runs.request_cancel(actor, run)
    definitions.delete_store(actor, store)


@pytest.mark.parametrize("id", ["", "a b", "a/b", "a?b", "a#b", "50%", "a\nb", "a\n", "x" * 192, ".", "..", "add", "a\\b", "a\x00"])
def test_ids_that_no_address_can_carry_are_refused(actor: Actor, id: str) -> None:
    with pytest.raises(BadConfig) as caught:
        definitions.create_store(actor, id=id, type="memory", settings={})
    assert caught.value.field == "id"


def test_an_id_is_taken_once(actor: Actor) -> None:
    new_memory("a")
    with pytest.raises(BadConfig, match="already") as caught:
        new_memory("a")
    assert caught.value.field == "id"


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "  "),
        ("port", "12a"),
        ("port", "-1"),
        ("tls.enable", "perhaps"),
        ("timeout", "0s"),
        ("timeout", "5 parsecs"),
        ("redis-type", "sentinel"),
        ("nonsense", "x"),
        ("password", MASK),
    ],
)
def test_a_wrong_setting_is_named(actor: Actor, field: str, value: str) -> None:
    with pytest.raises(BadConfig) as caught:
        create({"host": "h", field: value}, actor)
    assert caught.value.field == field
    assert not Store.objects.exists()


@pytest.mark.usefixtures("typed")
def test_good_settings_are_kept_as_stalwart_spells_them(actor: Actor) -> None:
    store = create({"host": " h ", "port": "", "tls.enable": "Yes", "timeout": "15s", "password": " p w "}, actor)
    assert store.settings == {"host": "h", "tls.enable": "true", "timeout": "15s", "password": " p w "}
    assert create({"host": "%{env:HOST}%", "port": "%{env:PORT}%", "timeout": "never"}, actor, "two").settings["port"] == "%{env:PORT}%"


@pytest.mark.usefixtures("typed")
def test_secrets_are_encrypted_masked_and_survive_an_untouched_form(actor: Actor) -> None:
    urls = "redis://u:pw1@a:6379/0 redis://:pw2@b/ rediss://c"
    store = create({"host": "h", "password": "hunter2", "urls": urls}, actor)
    with_raw = Store.objects.extra(select={"raw": "settings"}).get(pk="one")
    assert "hunter2" not in with_raw.raw
    shown = definitions.masked_settings(store)
    assert shown == {"host": "h", "password": MASK, "urls": f"redis://u:{MASK}@a:6379/0 redis://:{MASK}@b/ rediss://c"}

    definitions.update_store(actor, store, settings={**shown, "host": "h2"})
    store.refresh_from_db()
    assert store.settings == {"host": "h2", "password": "hunter2", "urls": urls}

    definitions.update_store(actor, store, settings={**shown, "password": "new", "urls": f"redis://u:{MASK}@a:6379/0 redis://:new@b2/"})
    store.refresh_from_db()
    assert store.settings == {"host": "h", "password": "new", "urls": "redis://u:pw1@a:6379/0 redis://:new@b2/"}
    assert "hunter2" not in str(list(AuditEntry.objects.values()))


@pytest.mark.usefixtures("typed")
def test_a_half_edited_mask_is_refused(actor: Actor) -> None:
    store = create({"host": "h", "urls": "redis://u:pw1@a"}, actor)
    with pytest.raises(BadConfig) as caught:
        definitions.update_store(actor, store, settings={"host": "h", "urls": f"redis://u:{MASK}@elsewhere"})
    assert caught.value.field == "urls"
    with pytest.raises(BadConfig):
        definitions.update_store(actor, store, settings={"host": "h", "urls": f"redis://u:x{MASK}@a"})


@pytest.mark.usefixtures("typed")
def test_macros_are_not_secret_and_urls_with_a_password_in_the_query_are(actor: Actor) -> None:
    settings = {"host": "h", "password": "%{env:PW}%", "urls": "redis://u:%{env:PW}%@a redis+unix:///s?db=1&pass=geheim"}
    shown = definitions.masked_settings(create(settings, actor))
    assert shown["password"] == "%{env:PW}%"
    assert shown["urls"] == f"redis://u:%{{env:PW}}%@a redis+unix:///s?db=1&pass={MASK}"


def test_a_password_with_an_at_sign_or_slash_stays_hidden() -> None:
    assert store_settings.masked("redis", {"urls": "redis://u:p@ss:w0rd@a:1/0"})["urls"] == f"redis://u:{MASK}@a:1/0"


def test_types_nobody_serves_are_kept_only_when_asked_and_shown_as_unsupported(actor: Actor) -> None:
    with pytest.raises(BadConfig) as caught:
        definitions.create_store(actor, id="x", type="memcached", settings={})
    assert caught.value.field == "type"
    store = definitions.create_store(
        actor, id="x", type="Tape-Robot", settings={"host": "h", "auth.secret": "s3", "url": "http://u:p@h"}, allow_unsupported=True
    )
    [info] = definitions.list_stores()
    assert not info.supported
    assert "tape-robot" in info.why
    assert info.settings == {"host": "h", "auth.secret": MASK, "url": f"http://u:{MASK}@h"}
    assert definitions.health(store).state == "unsupported"


def test_static_stores_have_entries(actor: Actor) -> None:
    store = definitions.create_store(actor, id="vip", type="static", settings={}, entries=[("b", "2"), ("a", "")])
    assert list(store.entries.values_list("key", "value", "position")) == [("b", "2", 0), ("a", "", 1)]
    definitions.update_store(actor, store, entries=[("c", "3")])
    assert list(store.entries.values_list("key", "value")) == [("c", "3")]
    for entries in ([("", "x")], [("a", "1"), ("a", "2")], [("a" * 513, "")]):
        with pytest.raises(BadConfig) as caught:
            definitions.update_store(actor, store, entries=entries)
        assert caught.value.field == "entries"
    with pytest.raises(BadConfig):
        definitions.create_store(actor, id="m", type="memory", settings={}, entries=[("a", "1")])


def test_connection_tests_and_health(actor: Actor) -> None:
    store = new_memory("a")
    assert [check.state for check in definitions.test_connection("memory", {})] == [CheckState.OK]
    assert definitions.health(store).state == "ok"
    definitions.update_store(actor, store, enabled=False)
    assert definitions.health(store).state == "off"
    assert definitions.test_store(store)[-1].state is CheckState.FAILED
    with pytest.raises(BadConfig):
        definitions.test_connection("memory", {"nonsense": "1"})
    with pytest.raises(NotSupported):
        definitions.test_connection("memcached", {})


def test_an_unset_variable_fails_the_connection_test_by_name(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KVADMIN_TEST_NOWHERE", raising=False)
    [check] = definitions.test_connection("memory", {"name": "%{env:KVADMIN_TEST_NOWHERE}%"})
    assert check.state is CheckState.FAILED
    assert "KVADMIN_TEST_NOWHERE" in check.detail


def test_versions(actor: Actor) -> None:
    store = new_memory("a", version="0.15")
    assert store.effective_version == "0.15"
    with pytest.raises(BadConfig) as caught:
        definitions.update_store(actor, store, version="9.9")
    assert caught.value.field == "version"


def test_every_change_is_in_the_audit_log(actor: Actor) -> None:
    first, second = new_memory("a"), new_memory("b")
    definitions.update_store(actor, first, read_only=True)
    definitions.set_default(actor, second)
    definitions.delete_store(actor, first)
    found = AuditEntry.objects.order_by("id").values_list("action", "store_name", "actor", "outcome")
    assert list(found) == [
        ("store-add", "a", "ana", "done"),
        ("store-add", "b", "ana", "done"),
        ("store-change", "a", "ana", "done"),
        ("default-store", "b", "ana", "done"),
        ("store-delete", "a", "ana", "done"),
    ]


def test_json_of_a_store(actor: Actor) -> None:
    new_memory("a", version="0.12")
    [info] = definitions.list_stores()
    assert info.as_json() == {
        "id": "a",
        "type": "memory",
        "default": True,
        "version": "0.12",
        "purge": None,
        "enabled": True,
        "read_only": False,
        "supported": True,
        "settings": {"name": info.settings["name"]},
    }
