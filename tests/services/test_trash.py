from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from stores.backends.memory import MemoryBackend
from stores.errors import BadConfig, Conflict, KeyNotFound, StoreUnavailable
from stores.keyclasses import classify
from stores.models import AuditEntry, RunAction, Store, TrashEntry
from stores.services import edit, runs, trash, trash_rows
from stores.services.actor import Actor
from stores.services.trash import TrashFilter
from stores.types import ANYTHING, Capabilities
from tests.services.conftest import everything, new_memory, plant, plant_counter, soon, stored

AUTH = b"\x05" + bytes([203, 0, 113, 20]) + (7).to_bytes(8, "big")


def binned(store: Store, actor: Actor, key: bytes) -> TrashEntry:
    edit.delete_key(actor, store, key)
    kept = trash.latest(store, key)
    assert kept is not None
    return kept


def test_a_deleted_key_comes_back_with_its_absolute_expiry(memory: Store, actor: Actor) -> None:
    before = plant_counter(memory, AUTH, 37, soon(100))
    kept = binned(memory, actor, AUTH)
    row = trash.restore(actor, kept.pk)
    assert stored(memory, AUTH) == before
    assert row.entry.counter == 37
    kept.refresh_from_db()
    assert kept.restored_at
    assert kept.restored_by == "ana"
    assert trash.latest(memory, AUTH) is None
    assert AuditEntry.objects.get(action="restore").outcome == "done"


def test_a_newer_value_is_never_overwritten_unless_told(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"old")
    kept = binned(memory, actor, b"k")
    newer = plant(memory, b"k", b"newer", soon())
    with pytest.raises(Conflict) as caught:
        trash.restore(actor, kept.pk)
    assert caught.value.current is not None
    assert caught.value.current.value == b"newer"
    assert stored(memory, b"k") == newer
    trash.restore(actor, kept.pk, overwrite=True)
    found = stored(memory, b"k")
    assert found is not None
    assert found.value == b"old"
    again = trash.latest(memory, b"k")
    assert again is not None
    assert again.value is not None
    assert bytes(again.value) == b"newer"


def test_restoring_what_is_there_already_changes_nothing(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"old")
    kept = binned(memory, actor, b"k")
    plant(memory, b"k", b"old")
    before = everything(memory)
    trash.restore(actor, kept.pk)
    assert everything(memory) == before
    assert TrashEntry.objects.count() == 1


def test_a_selection_is_restored_one_by_one(memory: Store, actor: Actor) -> None:
    for key in (b"a", b"b", b"c"):
        plant(memory, key, key)
    edit.delete_many(actor, memory, [(key, ANYTHING) for key in (b"a", b"b", b"c")])
    plant(memory, b"b", b"newer")
    ids = list(TrashEntry.objects.order_by("id").values_list("pk", flat=True))
    outcomes = trash.restore_many(actor, [*ids, 999_999])
    assert [outcome.state for outcome in outcomes] == ["restored", "conflict", "restored", "failed"]
    assert {key: entry.value for key, entry in everything(memory).items()} == {b"a": b"a", b"b": b"newer", b"c": b"c"}


def test_a_store_that_would_drop_an_expired_row_refuses(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(memory, b"k", b"old", soon(-5))
    kept = binned(memory, actor, b"k")
    monkeypatch.setattr(MemoryBackend, "capabilities", Capabilities(purges=False))
    with pytest.raises(BadConfig, match="expired"):
        trash.restore(actor, kept.pk)
    kept.refresh_from_db()
    assert kept.restored_at is None


def test_a_failed_restore_leaves_the_trash_as_it_was(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(memory, b"k", b"old")
    kept = binned(memory, actor, b"k")
    plant(memory, b"k", b"newer")

    def down(*_: object) -> None:
        raise StoreUnavailable("The store did not answer.")

    monkeypatch.setattr(MemoryBackend, "put_each", down)
    with pytest.raises(StoreUnavailable):
        trash.restore(actor, kept.pk, overwrite=True)
    assert TrashEntry.objects.filter(restored_at=None).count() == 1


def test_the_list_has_pages_and_filters(memory: Store, actor: Actor) -> None:
    other = new_memory("other")
    for number in range(25):
        plant(memory, b"k%02d" % number, b"v")
        edit.delete_key(actor, memory, b"k%02d" % number)
    plant_counter(other, AUTH, 5, soon())
    edit.delete_key(actor, other, AUTH)
    found, cursor = [], ""
    while True:
        page = trash.list_trash(cursor=cursor, limit=10)
        found += [bytes(row.trash.key) for row in page.rows]
        cursor = page.next
        if not cursor:
            break
    assert found == [AUTH, *(b"k%02d" % number for number in reversed(range(25)))]
    assert len(trash.list_trash(TrashFilter(store_id="other")).rows) == 1
    [row] = trash.list_trash(TrashFilter(class_slug="rate-auth")).rows
    assert row.row.decoded.label == "203.0.113.20"
    assert len(trash.list_trash(TrashFilter(class_slug="custom")).rows) == 25
    assert len(trash.list_trash(TrashFilter(key=b"k07")).rows) == 1
    trash.restore(actor, row.trash.pk)
    assert len(trash.list_trash().rows) == 25
    assert len(trash.list_trash(TrashFilter(restored=True)).rows) == 1
    assert len(trash.list_trash(TrashFilter(restored=None)).rows) == 26
    for cursor in ("x", "-1", "1" * 30):
        with pytest.raises(BadConfig):
            trash.list_trash(cursor=cursor)


def test_things_are_kept_for_seven_days(memory: Store, actor: Actor) -> None:
    for key in (b"a", b"b"):
        plant(memory, key, b"v")
        edit.delete_key(actor, memory, key)
    old, new = TrashEntry.objects.order_by("id")
    assert timedelta(days=6, hours=23) < old.kept_until - timezone.now() <= timedelta(days=7)
    TrashEntry.objects.filter(pk=old.pk).update(kept_until=timezone.now())
    assert trash.empty_expired() == 1
    assert list(TrashEntry.objects.all()) == [new]
    with pytest.raises(KeyNotFound):
        trash.restore(actor, old.pk)


def test_the_fast_insert_writes_what_the_model_would(memory: Store, actor: Actor) -> None:
    run = runs.create(actor, memory, RunAction.BULK)
    code = b"\x01" + b"A" * 40
    entries = [plant(memory, b"k", b"v", soon()), plant_counter(memory, AUTH, -5, soon()), plant(memory, code, b"secret", soon())]

    def made() -> list[TrashEntry]:
        return [trash_rows.new_entry(memory, entry, classify(entry.key, "")[0], trash_rows.DELETED, actor, run) for entry in entries]

    with transaction.atomic():
        trash_rows.insert_all(rows := made())
    TrashEntry.objects.bulk_create(made())
    found: list[dict[str, Any]] = [dict(row) for row in TrashEntry.objects.order_by("id").values()]
    fast, usual = found[:3], found[3:]
    assert [row.pk for row in rows] == [row["id"] for row in fast]
    for one, other in zip(fast, usual, strict=True):
        assert abs(one.pop("deleted_at") - other.pop("deleted_at")) < timedelta(seconds=10)
        assert abs(one.pop("kept_until") - other.pop("kept_until")) < timedelta(seconds=10)
        assert {**one, "id": 0} == {**other, "id": 0}
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM stores_trashentry WHERE sealed ORDER BY id LIMIT 1")
        assert b"secret" not in bytes(cursor.fetchone()[0])


def test_how_long_is_a_setting(memory: Store, actor: Actor, settings: object) -> None:
    settings.KVADMIN_TRASH_DAYS = 30  # type: ignore[attr-defined]
    plant(memory, b"k", b"v")
    assert binned(memory, actor, b"k").kept_until - timezone.now() > timedelta(days=29)
