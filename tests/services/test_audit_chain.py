"""The audit as a chain: appended by several at once, never changed, verified, pruned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from pytest_django.fixtures import Settings

from stores.models import AuditEntry, AuditHead
from stores.models import audit as models
from stores.services import audit, audit_chain, audit_prune, audit_verify
from stores.services.actor import Actor
from stores.services.audit_verify import verify

ACTOR = Actor("ana", "page", address="192.0.2.7")


@contextmanager
def freeze(now: datetime) -> Iterator[None]:
    with mock.patch.object(timezone, "now", lambda: now):
        yield


pytestmark = pytest.mark.django_db


def test_entries_are_numbered_without_gaps_and_each_hashes_the_one_before() -> None:
    for number in range(3):
        audit.record(ACTOR, "edit", "mem", key=f"{number:02x}", before={"b": 1, "a": "é"}, after={"x": None})
    audit.append([audit.build(ACTOR, "delete", "mem", key="ff") for _ in range(4)])
    entries = list(AuditEntry.chain.order_by("pk"))
    assert [entry.pk for entry in entries] == list(range(entries[0].pk, entries[0].pk + 7))
    previous = audit_chain.GENESIS
    for entry in entries:
        assert entry.hash == audit_chain.linked(previous, entry)
        assert entry.seal == audit_chain.sealed(entry.hash, audit_chain.seal_key())
        previous = entry.hash
    head = AuditHead.objects.get()
    assert (head.number, head.hash) == (entries[-1].pk, previous)


def test_settling_appends_and_the_act_is_shown_once() -> None:
    note = audit.record(ACTOR, "edit", "mem", key="01", before={"counter": 1}, outcome=audit.STARTED)
    audit.settle(note, audit.DONE, {"counter": 2})
    first, second = AuditEntry.chain.order_by("pk")
    assert (first.outcome, first.after, first.settles) == ("started", None, None)
    assert (second.outcome, second.after, second.before, second.settles) == ("done", {"counter": 2}, {"counter": 1}, first.pk)
    assert AuditEntry.objects.get() == second


def test_a_rolled_back_act_leaves_no_gap() -> None:
    audit.record(ACTOR, "edit", "mem")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        audit.record(ACTOR, "edit", "mem")
        raise ZeroDivisionError
    audit.record(ACTOR, "edit", "mem")
    first, second = AuditEntry.chain.order_by("pk")
    assert second.pk == first.pk + 1 and second.hash == audit_chain.linked(first.hash, second)


def test_models_refuse_to_change_or_remove_entries() -> None:
    entry = audit.record(ACTOR, "edit", "mem")
    attempts: list[Callable[[], object]] = [
        lambda: AuditEntry.chain.update(actor="bob"),
        lambda: AuditEntry.objects.all().delete(),
        lambda: AuditEntry.objects.bulk_update([entry], ["actor"]),
        entry.save,
        entry.delete,
    ]
    for attempt in attempts:
        with pytest.raises(models.AppendOnly):
            attempt()
    assert AuditEntry.objects.get().actor == "ana"


def test_odd_texts_are_kept_as_every_database_takes_them() -> None:
    entry = audit.record(Actor("a\0" + "x" * 300, "page", address="fe80::1%eth0"), "edit", "s" * 400, before={"v": "\0\ud800"})
    entry.refresh_from_db()
    assert (len(entry.actor), len(entry.store_name), entry.address, entry.before) == (150, 191, "fe80::1", {"v": "\0\ud800"})
    assert entry.hash == audit_chain.linked(audit_chain.GENESIS, entry)
    assert audit.record(Actor("ana", "page", address="nonsense"), "edit").address is None


def test_nothing_else_than_two_statements_and_a_lock_for_any_number(django_assert_max_num_queries: object) -> None:
    audit.record(ACTOR, "edit")
    notes = [audit.build(ACTOR, "delete", "mem", key=f"{number:04x}") for number in range(40)]
    with django_assert_max_num_queries(5):  # type: ignore[operator]
        audit.append(notes)
    assert connection.vendor


@pytest.fixture
def chain() -> list[AuditEntry]:
    for number in range(10):
        note = audit.record(ACTOR, "edit", "mem", key=f"{number:02x}", outcome=audit.STARTED)
        audit.settle(note, audit.DONE, {"n": number})
    return list(AuditEntry.chain.order_by("pk"))


def tampered(statement: str, *values: int | str) -> None:
    """As somebody with the database alone would do it."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_an_untouched_chain_is_sound(chain: list[AuditEntry]) -> None:
    found = verify()
    assert (found.sound, found.entries, found.first, found.number, found.foreign) == (True, 20, chain[0].pk, chain[-1].pk, 0)
    assert verify(found.note).sound
    audit.record(ACTOR, "edit")
    assert verify(found.note).sound and verify(start=(found.number, found.hash)).entries == 1


@pytest.mark.parametrize("column", ["actor", "action", "store_name", "key_hex", "outcome", "via", "class_slug", "address"])
def test_a_changed_field_is_named_by_its_entry(chain: list[AuditEntry], column: str) -> None:
    tampered(f"UPDATE stores_auditentry SET {column} = '10.0.0.1' WHERE id = %s", chain[7].pk)
    found = verify()
    assert (found.sound, found.broken_at, found.entries) == (False, chain[7].pk, 7)


def test_every_other_field_is_in_the_hash_too(chain: list[AuditEntry]) -> None:
    for change in (
        "before = '1'",
        "after = '{}'",
        "user_id = 7",
        "settles = 99999",
        "at = '2020-01-01 00:00:00'",
        f"run_id = '{'a' * 32}'",
    ):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tampered(f"UPDATE stores_auditentry SET {change} WHERE id = %s", chain[3].pk)
            assert verify().broken_at == chain[3].pk, change
            raise ZeroDivisionError


def test_a_hash_made_again_lacks_its_seal(chain: list[AuditEntry]) -> None:
    entry = chain[-1]
    entry.actor = "eve"
    forged = audit_chain.linked(chain[-2].hash, entry)
    tampered("UPDATE stores_auditentry SET actor = 'eve', hash = %s WHERE id = %s", forged, entry.pk)
    tampered("UPDATE stores_audithead SET hash = %s", forged)
    assert verify().problem == f"The seal of entry {entry.pk} does not fit."


def test_a_removed_entry_is_missed(chain: list[AuditEntry]) -> None:
    tampered("DELETE FROM stores_auditentry WHERE id IN (%s, %s)", chain[4].pk, chain[5].pk)
    found = verify()
    assert found.problem == f"Between the entries {chain[3].pk} and {chain[6].pk}, 2 are missing."


def test_removed_newest_and_oldest_entries_are_missed(chain: list[AuditEntry]) -> None:
    noted = verify().note
    tampered("DELETE FROM stores_auditentry WHERE id > %s", chain[17].pk)
    assert verify().broken_at == chain[18].pk
    tampered("UPDATE stores_audithead SET number = %s, hash = %s", chain[17].pk, chain[17].hash)
    assert verify().sound, "a database that was set back as a whole looks sound"
    assert verify(noted).problem == f"Entry {chain[-1].pk} was noted and is missing."
    tampered("DELETE FROM stores_auditentry WHERE id < %s", chain[2].pk)
    assert verify().broken_at == chain[2].pk
    tampered("UPDATE stores_audithead SET kept_after = %s, kept_hash = %s", chain[1].pk, chain[1].hash)
    assert "no entry says that they were removed" in verify().problem


def test_a_chain_written_anew_with_another_key_is_told(chain: list[AuditEntry], settings: Settings) -> None:
    noted = verify().note
    settings.SECRET_KEY = "another" * 10
    assert "not sealed with the present secret key" in verify().problem
    audit.record(ACTOR, "sign-in")
    found = verify(noted)
    assert (found.sound, found.foreign) == (True, 20)


def test_entries_from_before_the_chain_are_counted_apart() -> None:
    for number in (1, 2):
        tampered(
            "INSERT INTO stores_auditentry (id, at, actor, via, action, store_name, class_slug, key_hex, key_mark, outcome, hash, seal)"
            " VALUES (%s, '2020-01-01 00:00:00', 'old', 'page', 'edit', '', '', '', '', 'done', '', '')",
            number,
        )
    assert verify().older == 2
    assert audit.record(ACTOR, "edit").pk == 3
    found = verify()
    assert (found.sound, found.older, found.entries) == (True, 2, 1)


def test_memory_stays_flat_and_the_last_check_is_kept(chain: list[AuditEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_verify, "STEP", 3)
    first = audit_verify.check()
    assert (first.entries, first.problem, first.number) == (20, "", chain[-1].pk)
    audit.record(ACTOR, "edit")
    second = audit_verify.check()
    assert (second.entries, second.whole_at) == (21, first.whole_at)
    tampered("UPDATE stores_auditentry SET actor = 'eve' WHERE id = %s", chain[2].pk)
    assert not audit_verify.check().problem, "only what is new is looked at within a day"
    assert audit_verify.check(whole=True).broken_at == chain[2].pk
    assert audit_verify.check().broken_at == chain[2].pk, "a problem stays until it is gone"


def test_old_entries_go_and_what_is_left_is_sound(chain: list[AuditEntry], settings: Settings) -> None:
    settings.KVADMIN_AUDIT_DAYS = 30
    assert audit_prune.prune() == 0
    with freeze(chain[-1].at + timedelta(days=31)):
        young = [audit.record(ACTOR, "edit") for _ in range(3)]
        assert audit_prune.prune() == 20
        assert audit_prune.prune() == 0
    note = AuditEntry.chain.get(action="audit-prune")
    assert note.after == {"up_to": chain[-1].pk, "hash": chain[-1].hash, "before": note.after["before"]}
    found = verify()
    assert (found.sound, found.first, found.entries) == (True, young[0].pk, 4)
    tampered("DELETE FROM stores_auditentry WHERE id = %s", young[0].pk)
    assert verify().broken_at == young[1].pk


def test_a_crash_in_the_middle_of_pruning_is_made_good(
    chain: list[AuditEntry], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KVADMIN_AUDIT_DAYS = 30
    monkeypatch.setattr(audit_prune, "_BATCH", 7)
    monkeypatch.setattr(QuerySet, "_raw_delete", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audit_prune.prune(chain[-1].at + timedelta(days=31))
    monkeypatch.undo()
    settings.KVADMIN_AUDIT_DAYS = 30
    assert verify().sound and AuditEntry.chain.count() == 21
    assert audit_prune.prune() == 19
    assert verify().sound and AuditEntry.chain.count() == 2


def test_the_command_says_it_and_ends_accordingly(chain: list[AuditEntry], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit-verify", json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["sound"], said["entries"], said["broken_at"]) == (True, 20, None)
    call_command("audit-verify", known=said["note"])
    assert "20 entries fit." in capsys.readouterr().out
    with pytest.raises(CommandError) as usage:
        call_command("audit-verify", known="x")
    assert usage.value.returncode == 2
    tampered("UPDATE stores_auditentry SET actor = 'eve' WHERE id = %s", chain[5].pk)
    with pytest.raises(SystemExit) as ended:
        call_command("audit-verify")
    assert ended.value.code == 1
    assert f"Entry {chain[5].pk} is not as it was written" in capsys.readouterr().err
