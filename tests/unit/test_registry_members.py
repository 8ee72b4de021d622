"""How a definition that is made of other stores, or of fetched entries, becomes an open store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from stores.backends.http import HttpBackend
from stores.backends.replica import ReplicaBackend
from stores.backends.sqlite import SQLiteBackend
from stores.codecs.sqltables import create_statements
from stores.errors import BadConfig, NotSupported
from stores.models import StaticEntry, Store
from stores.registry import BACKENDS, MEMBERS, backend_class, member_ids, open_members, open_store
from stores.services import health

pytestmark = pytest.mark.django_db


def sqlite(store_id: str, folder: Path) -> Store:
    path = folder / f"{store_id}.db"
    with sqlite3.connect(path) as connection:
        for statement in create_statements("sqlite"):
            connection.execute(statement)
    connection.close()
    return saved(store_id, "sqlite", {"path": str(path)})


def saved(store_id: str, type_name: str, settings: dict[str, str]) -> Store:
    store = Store(id=store_id, type=type_name, version="0.11")
    store.settings = settings
    store.save()
    return store


def replicated(**settings: str) -> Store:
    store = Store(id="both", type="sql-read-replica", version="0.11")
    store.settings = settings
    return store


def test_every_type_has_its_class() -> None:
    for name in BACKENDS:
        assert name == backend_class(name).TYPE
    for name, settings in MEMBERS.items():
        assert set(settings) <= {field.name for field in backend_class(name).SETTINGS}


def test_a_replicated_store_opens_with_its_members(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        sqlite(name, tmp_path)
    with open_store(replicated(primary="one", replicas="two,\nthree")) as store:
        assert isinstance(store, ReplicaBackend)
        assert [Path(member.settings["path"]).stem for member in (store.primary, *store.replicas)] == ["one", "two", "three"]
        store.key_set(b"k", b"v")
    with open_store(Store.objects.get(pk="one")) as alone:
        assert alone.key_get(b"k") == b"v"


def test_what_is_wrong_with_a_member_names_the_setting_and_closes_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite("one", tmp_path)
    saved("nested", "sql-read-replica", {"primary": "nested"})
    off = sqlite("off", tmp_path)
    off.enabled = False
    off.save()
    closed: list[str] = []
    close = SQLiteBackend.close

    def counted(self: SQLiteBackend) -> None:
        closed.append(self.settings["path"])
        close(self)

    monkeypatch.setattr(SQLiteBackend, "close", counted)
    for settings, kind, field in (
        ({"primary": "one", "replicas": "none"}, BadConfig, "replicas"),
        ({"primary": "one", "replicas": "nested"}, BadConfig, "replicas"),
        ({"primary": "none"}, BadConfig, "primary"),
        ({"primary": "one", "replicas": "off"}, NotSupported, None),
        ({}, BadConfig, "primary"),
    ):
        closed.clear()
        with pytest.raises(kind) as caught:
            open_store(replicated(**settings))
        assert getattr(caught.value, "field", None) == field
        assert len(closed) == (settings.get("primary") == "one")


def test_members_are_named_in_order() -> None:
    assert member_ids("sharded-in-memory", {"stores": "b\na, c"}) == ["b", "a", "c"]
    assert member_ids("sql-read-replica", {"replicas": "r1 r2", "primary": "p"}) == ["p", "r1", "r2"]
    assert member_ids("sqlite", {"stores": "a"}) == []
    assert open_members("sharded-in-memory", {}) == ()


def test_an_http_lookup_opens_with_its_copy() -> None:
    store = saved("list", "http", {"url": "https://lists.example.org/", "format": "list"})
    StaticEntry.objects.create(store=store, key="a", value="", position=0)
    with open_store(store) as backend:
        assert isinstance(backend, HttpBackend)
        assert backend.answer("a") == 1


def test_a_definition_that_is_not_saved_yet_is_tested_with_its_members(tmp_path: Path) -> None:
    sqlite("one", tmp_path)
    checks = health.test_connection("sql-read-replica", {"primary": "one"})
    assert checks
    assert all(check.state != "failed" for check in checks), checks
    (failed,) = health.test_connection("sql-read-replica", {"primary": "none"})
    assert (failed.name, failed.state) == ("Settings", "failed")
    assert "no such store" in failed.detail
