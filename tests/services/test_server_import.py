"""Importing from running servers and from the settings in data stores, all captured versions, and everything that can go wrong."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from stores import tasks
from stores.backends.sqlite import create_file
from stores.errors import BadConfig, NotSupported
from stores.models import AuditEntry, Errand, ImportedLimits, MailServer, StaticEntry, Store
from stores.services import definitions, errands, importer, server_import
from stores.services.importer import State
from stores.services.server_import import Access, checked_access
from stores.stalwart_toml import ImportPlan, parse
from stores.stalwart_toml.objects import registry_objects
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.configured import PASSWORD, USER, Configured, configured, settings_of
from tests.services.conftest import ACTOR

pytestmark = pytest.mark.django_db

OLD = {"0.11": "stalwart-0.11.8", "0.15": "stalwart-0.15.5"}
ONE = {"storage.lookup": "m", "store.m.type": "redis", "store.m.urls": "redis://:in-the-url@127.0.0.1", "lookup.vip.ana": "7"}


@pytest.fixture
def far() -> Iterator[Configured]:
    with configured() as found:
        yield found


def access(far: Configured, secret: str = PASSWORD, **changes: Any) -> Access:
    return Access(far.url, USER, secret, **{"allow_private": True, **changes})


def plan_of(found: server_import.Answer) -> ImportPlan:
    return importer.remarked(importer.plan(found.text, found.name), found.remarks)


def everything() -> str:
    limits = list(ImportedLimits.objects.values_list("source", "limits"))
    return repr([list(Store.objects.values_list()), list(StaticEntry.objects.values_list()), limits])


@needs_fixtures
@pytest.mark.parametrize("version", OLD)
def test_a_server_of_0_11_to_0_15_gives_what_file_and_data_store_give_together(far: Configured, version: str) -> None:
    folder = FIXTURES / OLD[version] / "sqlite"
    far.settings = settings_of(folder / "config-long.toml", folder / "db-settings-table-s.json")
    asked = plan_of(server_import.ask(ACTOR, access(far)))
    table = json.loads((folder / "db-settings-table-s.json").read_text())
    both = importer.plan((folder / "config-long.toml").read_text(), "x", table=table)
    assert {store.id: (store.type, store.settings, store.entries, store.purge) for store in asked.stores} == {
        store.id: (store.type, store.settings, store.entries, store.purge) for store in both.stores
    }
    assert {(limit.key, limit.text) for limit in asked.limits} == {(limit.key, limit.text) for limit in both.limits}
    assert (asked.default, asked.version) == (both.default, both.version) and asked.version in (version, "")
    result = importer.apply(ACTOR, asked)
    assert not result.failed and definitions.default_id() == "memstore" and ImportedLimits.objects.get().limits
    before = everything()
    again = plan_of(server_import.ask(ACTOR, access(far)))
    assert not importer.apply(ACTOR, again).changed and {row.state for row in importer.preview(again)} == {State.UNCHANGED}
    assert before == everything()


@needs_fixtures
def test_a_server_of_0_16_is_read_through_jmap(far: Configured) -> None:
    found = registry_objects(json.loads((FIXTURES / "stalwart-0.16.18/sqlite/setup-requests.json").read_text()))
    assert found is not None
    far.load(found)
    answer = server_import.ask(ACTOR, access(far))
    planned = plan_of(answer)
    assert answer.version == planned.version == "0.16"
    captured = importer.plan((FIXTURES / "stalwart-0.16.18/sqlite/objects.json").read_text(), "x")
    for store in captured.stores:
        twin = planned.find(store.id)
        assert twin is not None and (twin.type, twin.settings, twin.entries) == (store.type, store.settings, store.entries), store.id
    assert {(limit.key, limit.text) for limit in planned.limits} == {(limit.key, limit.text) for limit in captured.limits}
    assert "throwaway" not in answer.text, "only the fields that are used are kept"
    result = importer.apply(ACTOR, planned)
    assert set(result.created) == {"other", "set1", "kv1", "httplist", "httpcsv"} and not result.failed
    assert not importer.apply(ACTOR, plan_of(server_import.ask(ACTOR, access(far)))).changed


def test_secrets_that_0_16_hides_neither_differ_nor_replace_what_is_known(far: Configured) -> None:
    login = {"@type": "Value", "secret": "real"}
    store = {"@type": "RedisCluster", "urls": {"0": "redis://127.0.0.1:7000"}, "authUsername": "u", "authSecret": login}
    far.load([("InMemoryStore", store), ("StoreLookup", {"namespace": "other", "store": dict(store)})])
    planned = plan_of(server_import.ask(ACTOR, access(far)))
    assert any("****" in problem.message and "Type the password" in problem.fix for problem in planned.problems)
    importer.apply(ACTOR, planned)
    kept = Store.objects.get(pk="in-memory")
    assert "password" not in kept.settings
    definitions.update_store(ACTOR, kept, settings={**kept.settings, "password": "typed"})
    again = plan_of(server_import.ask(ACTOR, access(far)))
    assert {row.id: row.state for row in importer.preview(again)}["in-memory"] is State.UNCHANGED
    far.objects[0][2]["authUsername"] = "w"
    changed = plan_of(server_import.ask(ACTOR, access(far)))
    importer.apply(ACTOR, changed, chosen={"in-memory"})
    settings = Store.objects.get(pk="in-memory").settings
    assert (settings["user"], settings["password"]) == ("w", "typed")


def test_more_objects_than_one_answer_holds_come_complete_and_in_order_of_creation(far: Configured) -> None:
    far.load([("InMemoryStore", {"@type": "Default"})])
    far.load([("MemoryLookupKeyValue", {"namespace": "many", "key": f"k{n}", "value": str(n)}) for n in range(1203)])
    store = plan_of(server_import.ask(ACTOR, access(far))).find("many")
    assert store is not None and [key for key, _ in store.entries] == [f"k{n}" for n in range(1203)]


def test_what_the_account_may_not_see_is_named(far: Configured) -> None:
    far.load([("InMemoryStore", {"@type": "Default"})])
    far.closed = {"Security", "Imap"}
    planned = plan_of(server_import.ask(ACTOR, access(far)))
    assert any("x:Security, x:Imap" in problem.message for problem in planned.problems)
    far.closed = {"StoreLookup"}
    with pytest.raises(BadConfig, match="sysStoreLookupGet") as refused:
        server_import.ask(ACTOR, access(far))
    assert refused.value.field == "user"


def raw(text: bytes) -> Any:
    def answer(handler: Any) -> bool:
        handler.wfile.write(text)
        return True

    return answer


def endless(handler: Any) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b" " * 65_536)
    except OSError:
        return True


def drip(handler: Any) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass
    return True


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>no!"
DEEP = b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000
LIST = b'HTTP/1.1 200 OK\r\n\r\n{"data": [1]}'
SHORT = b'HTTP/1.1 200 OK\r\n\r\n{"data": {"total": 9, "items": {"a": "b"}}}'
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("odd", "field", "words"),
    [
        (endless, "url", "more than 32 MiB"), (drip, "url", "not read within"), (raw(REDIRECT), "url", "never sent along a redirect"),
        (raw(GARBAGE), "url", "did not answer in JSON"), (raw(DEEP), "url", "JSON"), (raw(LIST), "url", "no list of settings"),
        (raw(SHORT), "url", "only 1 of 9"), (raw(ERROR), "url", "status 500"), (raw(b""), "url", "could not be read"),
        (raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), "user", "settings-list"),
    ],
)  # fmt: skip
def test_what_goes_wrong_names_the_field_and_changes_nothing(
    far: Configured, odd: Any, field: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_import, "SECONDS", 0.3 if odd is drip else 5.0)
    far.settings, far.odd = dict(ONE), odd
    began = time.monotonic()
    with pytest.raises(BadConfig, match=words) as refused:
        server_import.ask(ACTOR, access(far))
    assert refused.value.field == field and refused.value.fix and time.monotonic() - began < 5
    assert PASSWORD not in str(refused.value) and not Store.objects.exists()


def test_wrong_password_wrong_address_and_private_addresses(far: Configured, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    far.settings = dict(ONE)
    cases = [
        (access(far, "wrong-password"), "secret", "does not accept"),
        (access(far, allow_private=False), "allow_private", "Allow private"),
        (Access("http://127.0.0.1:1", USER, PASSWORD, allow_private=True), "url", "refuses connections"),
        (Access("http://nowhere.invalid", USER, PASSWORD), "url", "not known"),
    ]
    for wrong, field, words in cases:
        with pytest.raises(BadConfig, match=words) as refused:
            server_import.ask(ACTOR, wrong)
        assert refused.value.field == field
    far.settings, far.odd = None, raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(BadConfig, match="management interface"):
        server_import.ask(ACTOR, access(far))
    shown = caplog.text + repr(list(AuditEntry.objects.values_list("before", "after"))) + repr(access(far))
    assert PASSWORD not in shown and "wrong-password" not in shown and "in-the-url" not in shown
    assert AuditEntry.objects.filter(action="server-ask", outcome="failed").count() == 5


def test_an_api_key_and_the_kept_credential(far: Configured) -> None:
    far.settings = dict(ONE)
    assert plan_of(server_import.ask(ACTOR, checked_access(far.url, "", f"API_{PASSWORD}", allow_private=True))).find("m")
    server_import.keep_access(ACTOR, {"url": far.url, "token": f"{USER}:{PASSWORD}", "unchecked": False}, "0.11")
    assert plan_of(server_import.ask(ACTOR, checked_access(far.url, "", "", allow_private=True))).find("m")
    for url, user, secret, field in (
        ("http://elsewhere.example", "", "", "secret"),
        (far.url, "other", "", "secret"),
        (far.url, "a:b", "x", "user"),
        (far.url, "a", "x\ny", "secret"),
        ("ftp://x", "a", "x", "url"),
        ("https://a:b@x", "a", "x", "url"),
    ):
        with pytest.raises(BadConfig) as refused:
            checked_access(url, user, secret)
        assert refused.value.field == field


def test_an_errand_forgets_the_credential_and_answers_only_who_asked(far: Configured) -> None:
    far.settings = dict(ONE)
    errand = errands.ask_server(ACTOR, access(far))
    Errand.objects.filter(pk=errand.pk).update(state="waiting", params={**vars_of(access(far)), "keep": False})
    errands.execute(str(errand.pk))
    done = errands.find(ACTOR, errand.pk)
    assert done.state == "done" and done.params == {} and "store.m.type" in done.result["text"]
    errands.execute(str(errand.pk))
    assert errands.find(ACTOR, errand.pk).result == done.result
    assert errands.forget_old() == 0
    Errand.objects.update(created_at=timezone.now() - errands.KEPT * 1.01)
    tasks.sweep_runs()
    assert not Errand.objects.exists()


def vars_of(found: Access) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Access.__slots__}


def test_macros_of_another_machine_are_remarked_on(far: Configured) -> None:
    far.settings = ONE | {"store.m.urls": "redis://:%{file:/etc/redis-password}%@127.0.0.1"}
    planned = plan_of(server_import.ask(ACTOR, access(far)))
    assert any("read on this one" in problem.message for problem in planned.problems)
    store = planned.find("m")
    assert store is not None and "%{file:/etc/redis-password}%" in store.settings["urls"]


# the settings in a data store


@needs_fixtures
@pytest.mark.parametrize("version", OLD)
def test_the_settings_in_a_data_store(version: str, tmp_path: Any) -> None:
    folder = FIXTURES / OLD[version] / "sqlite"
    table: dict[str, str] = json.loads((folder / "db-settings-table-s.json").read_text())
    store = sqlite_with(tmp_path / "data.db", {**table, "lookup.vip.ana": "7", "store.evil.type": "redis", "store.evil.urls": "redis://x"})
    found = server_import.ask_store(ACTOR, store)
    planned = plan_of(found)
    assert [each.id for each in planned.stores] == ["vip"], "settings of stores count only in the file"
    assert any("count only in Stalwart's file" in problem.message for problem in planned.problems)
    alone = importer.plan(json.dumps(table), "s.json")
    assert {(limit.key, limit.text) for limit in planned.limits} == {(limit.key, limit.text) for limit in alone.limits} != set()
    assert "secret" not in found.text
    importer.apply(ACTOR, planned)
    assert ImportedLimits.objects.get().limits and not importer.apply(ACTOR, planned).changed


def sqlite_with(path: Any, settings: dict[str, str], name: str = "data") -> Store:
    create_file(path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE s (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
        connection.executemany("INSERT INTO s VALUES (?, ?)", [(name.encode(), text.encode()) for name, text in settings.items()])
    connection.close()
    return definitions.create_store(ACTOR, id=name, type="sqlite", settings={"path": str(path)}, version="0.11")


def test_stores_that_hold_no_settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite_with(tmp_path / "data.db", {"cluster.key": "x"})
    with pytest.raises(NotSupported, match="no settings about lookups"):
        server_import.ask_store(ACTOR, store)
    redis = definitions.create_store(ACTOR, id="r", type="redis", settings={"urls": "redis://127.0.0.1"})
    with pytest.raises(NotSupported, match="is its data store"):
        server_import.ask_store(ACTOR, redis)
    newer = definitions.update_store(ACTOR, store, version="0.16")
    with pytest.raises(NotSupported, match="ask the running server"):
        server_import.ask_store(ACTOR, newer)
    many = sqlite_with(tmp_path / "many.db", {f"lookup.l.{n}": "1" for n in range(60)}, "many")
    monkeypatch.setattr(server_import, "MOST_SETTINGS", 50)
    with pytest.raises(NotSupported, match="more than 50"):
        server_import.ask_store(ACTOR, many)


# the command


def test_the_command_asks_a_server(far: Configured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    far.settings = dict(ONE)
    monkeypatch.setenv("A_PASSWORD", PASSWORD)
    options = {"server": far.url, "user": USER, "password_env": "A_PASSWORD", "json": True}
    call_command("import-config", dry_run=True, **options)
    assert not Store.objects.exists()
    capsys.readouterr()
    call_command("import-config", **options)
    out = capsys.readouterr().out
    assert json.loads(out)["result"]["created"] == ["m", "vip"] and "in-the-url" not in out and PASSWORD not in out
    call_command("import-config", **options)
    assert json.loads(capsys.readouterr().out)["result"]["unchanged"] == ["m", "vip"]
    assert not MailServer.objects.exists()
    for wrong in ({**options, "file": "x"}, {**options, "settings_of": "m"}, {**options, "password_env": "A_MISSING"}, {"json": True}):
        with pytest.raises(CommandError) as refused:
            call_command("import-config", **wrong)
        assert refused.value.returncode == 2


def test_the_command_reads_a_data_store_alone_and_beside_a_file(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sqlite_with(tmp_path / "data.db", {"lookup.vip.ana": "7", "queue.limiter.inbound.ip.rate": "5/1s"})
    call_command("import-config", settings_of="data", json=True)
    assert json.loads(capsys.readouterr().out)["result"]["created"] == ["vip"]
    file = tmp_path / "config.toml"
    file.write_text('[lookup."list"]\n"a" = "1"\n')
    assert parse(file.read_text()).settings
    call_command("import-config", str(file), settings_of="data", json=True)
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["created"], result["unchanged"]) == (["list"], ["vip"])
