"""Codes and tokens in the trash are encrypted in kvadmin's own database, and come back exactly."""

from __future__ import annotations

import pytest
from django.db import connection

from stores.models import Store, TrashEntry
from stores.models.fields import SEAL, mark_of_bytes
from stores.services import edit, trash
from stores.services.trash import TrashFilter
from stores.services.trash_rows import DELETED, new_entry
from stores.types import Entry, Kind
from tests.services.conftest import ACTOR, plant, plant_counter, soon, stored

OAUTH = b"\x01" + b"A" * 40


def raw() -> list[tuple[bytes, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key, row, value FROM stores_trashentry ORDER BY id")
        return [tuple(bytes(cell or b"") for cell in row) for row in cursor.fetchall()]


def test_a_deleted_code_is_not_in_the_database_in_clear_and_is_restored(memory: Store) -> None:
    before = plant(memory, OAUTH, b"super secret of a code", soon())
    edit.delete_key(ACTOR, memory, OAUTH)
    ((key, row, value),) = raw()
    assert key.startswith(SEAL) and row.startswith(SEAL) and value.startswith(SEAL)
    assert b"super secret" not in row + value and OAUTH[1:] not in key
    kept = trash.latest(memory, OAUTH)
    assert kept is not None and kept.sealed and bytes(kept.key) == OAUTH
    assert [found.trash.pk for found in trash.list_trash(TrashFilter(key=OAUTH)).rows] == [kept.pk]
    trash.restore(ACTOR, kept.pk)
    assert stored(memory, OAUTH) == before


def test_other_rows_stay_readable_and_cost_nothing(memory: Store) -> None:
    plant(memory, b"user:ana", b"plain", soon())
    plant_counter(memory, b"\x05" + b"1" * 8, 4, soon())
    edit.delete_key(ACTOR, memory, b"user:ana")
    edit.delete_key(ACTOR, memory, b"\x05" + b"1" * 8)
    assert raw()[0][0] == b"user:ana" and raw()[0][2] == b"plain"
    assert not TrashEntry.objects.filter(sealed=True).exists()


def test_bytes_that_look_sealed_are_kept_exactly(memory: Store) -> None:
    plant(memory, b"odd", SEAL + b"not a token")
    edit.delete_key(ACTOR, memory, b"odd")
    kept = trash.latest(memory, b"odd")
    assert kept is not None and kept.value == SEAL + b"not a token"


@pytest.mark.parametrize("write", ["save", "bulk_create"])
def test_every_way_of_writing_seals(memory: Store, write: str) -> None:
    entry = Entry(OAUTH, Kind.VALUE, b"secret", None, None, b"\0" * 8 + b"secret")
    row = new_entry(memory, entry, "oauth", DELETED, ACTOR)
    if write == "save":
        row.save()
        row.save(update_fields=["value", "replaced_by"])
    else:
        TrashEntry.objects.bulk_create([row])
    assert all(cell.startswith(SEAL) for cell in raw()[0])
    assert TrashEntry.objects.get().key_mark == mark_of_bytes(OAUTH)
