from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.utils import timezone

from stores.backends.memory import MemoryBackend
from stores.errors import Busy, ReadOnly, StoreError, StoreUnavailable
from stores.models import Run, RunAction, RunState, Store, TrashEntry
from stores.services import bulk, definitions, runs, trash
from stores.services.actor import Actor
from stores.services.browse import KeyFilter
from stores.services.bulk_change import Change, Do
from stores.services.bulk_record import Record
from stores.types import Entry
from tests.services.conftest import delete_matching, everything, matching, plant, plant_counter, soon

AUTH = b"\x05\x01\x02\x03\x04" + (7).to_bytes(8, "big")
USERS = KeyFilter(match="user:*")


@pytest.fixture
def filled(memory: Store) -> Store:
    for number in range(900):
        plant(memory, b"user:%03d" % number, b"v", soon())
    plant_counter(memory, AUTH, 5, soon())
    plant(memory, b"other", b"v")
    return memory


def test_the_preview_counts_and_samples(filled: Store) -> None:
    found = matching(filled, USERS)
    assert (found.keys, found.exact, found.bytes, len(found.samples)) == (900, True, 900 * (8 + 9), 20)
    assert {row.entry.key[5:6] for row in found.samples} == {b"%d" % digit for digit in range(9)}, "spread over all of them"
    nobody = matching(filled, KeyFilter(match="nobody*"))
    assert (nobody.keys, nobody.exact, nobody.bytes, nobody.samples) == (0, True, 0, ())


def test_a_run_deletes_its_keys_and_can_be_undone(filled: Store, actor: Actor) -> None:
    before = everything(filled)
    seen: list[int] = []
    run = delete_matching(actor, filled, USERS, lambda run: seen.append(run.scanned))
    assert (run.state, run.action, run.values, run.scanned, run.bytes) == (RunState.DONE, RunAction.BULK, 900, 900, 900 * 17)
    assert seen == sorted(seen)
    assert (seen[0] < 900, seen[-1]) == (True, 900)
    assert set(everything(filled)) == {AUTH, b"other"}
    assert delete_matching(actor, filled, KeyFilter(class_slug="rate-auth")).counters == 1
    ids = list(TrashEntry.objects.values_list("pk", flat=True))
    assert {outcome.state for outcome in trash.restore_many(actor, ids)} == {"restored"}
    assert everything(filled) == before


def test_a_key_that_changes_in_between_is_left(filled: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryBackend.delete_each

    def interrupted(self: MemoryBackend, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        if any(entry.key == b"user:500" for entry in seen):
            plant(filled, b"user:500", b"theirs")
        return real(self, seen)

    monkeypatch.setattr(MemoryBackend, "delete_each", interrupted)
    run = delete_matching(actor, filled, USERS)
    assert (run.state, run.values, Record.of(run).kept) == (RunState.DONE, 899, 1)
    assert everything(filled)[b"user:500"].value == b"theirs"
    assert b"user:500".hex() in str(run.log)


def test_an_outage_ends_the_run_and_says_what_was_done(filled: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryBackend.scan
    pages = iter(range(2))

    def breaking(self: MemoryBackend, *arguments: object) -> object:
        if next(pages, None) is None:
            raise StoreUnavailable("Gone.")
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryBackend, "scan", breaking)
    run = delete_matching(actor, filled, USERS)
    monkeypatch.undo()
    assert (run.state, run.error, run.active_key) == (RunState.FAILED, "Gone.", None)
    assert 0 < run.values < 900
    assert len(everything(filled)) == 902 - run.values
    assert TrashEntry.objects.filter(run=run).count() == run.values


def test_refusals_come_before_anything_is_touched(filled: Store, actor: Actor) -> None:
    other = runs.create(actor, filled, RunAction.BULK)
    with pytest.raises(Busy):
        delete_matching(actor, filled, USERS)
    runs.request_cancel(actor, other)
    definitions.update_store(actor, filled, read_only=True)
    with pytest.raises(ReadOnly):
        delete_matching(actor, filled, USERS)
    assert len(everything(filled)) == 902


def test_a_run_whose_process_disappeared_goes_on_in_a_worker(filled: Store, actor: Actor) -> None:
    change = Change(Do.DELETE, USERS, time.time())
    run = runs.claim(runs.create(actor, filled, RunAction.BULK, params=change.params()).pk)
    assert run is not None
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert runs.sweep().queued_again == 1
    ended = bulk.execute(run.pk)
    assert ended is not None
    assert (ended.state, ended.removed) == (RunState.DONE, 900)


def test_a_run_without_orders_fails(filled: Store, actor: Actor) -> None:
    ended = bulk.execute(runs.create(actor, filled, RunAction.BULK).pk)
    assert ended is not None
    assert ended.state == RunState.FAILED
    assert "what it is to do" in ended.error
    assert len(everything(filled)) == 902
