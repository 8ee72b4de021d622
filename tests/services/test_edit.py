from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.backends.memory import MemoryBackend
from stores.errors import BadConfig, Conflict, CorruptRow, KeyNotFound, NotSupported, ReadOnly, StoreUnavailable
from stores.models import AuditEntry, Store, TrashEntry
from stores.services import definitions, edit, trash
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.rows import Row
from stores.services.trash_rows import entry_of
from stores.types import ABSENT, ANYTHING, KEEP, Capabilities, Entry, Kind
from tests.services.conftest import everything, opened, plant, plant_counter, plant_raw, soon, stored

AUTH = b"\x05" + bytes([203, 0, 113, 20]) + (7).to_bytes(8, "big")
LOCK = b"\x15" + bytes(8)
OAUTH = b"\x01" + b"A" * 40


def seen(store: Store, key: bytes) -> Row:
    row = read_key(store, key)
    assert row is not None
    return row


def test_a_value_is_replaced_and_keeps_its_expiry(memory: Store, actor: Actor) -> None:
    at = soon()
    plant(memory, b"k", b"old", at)
    row = edit.set_value(actor, memory, b"k", b"new", expect=seen(memory, b"k").entry)
    assert row.entry.value == b"new"
    assert row.entry.expires_at == at
    assert edit.set_value(actor, memory, b"k", b"new", at + 5).entry.expires_at == at + 5
    assert edit.set_value(actor, memory, b"k", b"new", None).entry.expires_at is None


def test_what_is_overwritten_is_in_the_trash_and_the_audit_has_both(memory: Store, actor: Actor) -> None:
    before = plant(memory, b"k", b"old", soon())
    edit.set_value(actor, memory, b"k", b"new")
    [kept] = TrashEntry.objects.all()
    assert entry_of(kept) == before
    assert kept.reason == trash.OVERWRITTEN
    note = AuditEntry.objects.get(action="edit")
    assert (note.outcome, note.key_hex, note.actor, note.via) == ("done", b"k".hex(), "ana", "page")
    assert note.before and note.after
    assert (note.before["value"], note.after["value"]) == ("old", "new")


def test_a_key_that_changed_since_it_was_seen_is_left_alone(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"old")
    row = seen(memory, b"k")
    plant(memory, b"k", b"theirs")
    before = everything(memory)
    attempts: list[Callable[[], object]] = [
        lambda: edit.set_value(actor, memory, b"k", b"mine", expect=row.entry),
        lambda: edit.set_expiry(actor, memory, b"k", soon(), expect=row.entry),
        lambda: edit.delete_key(actor, memory, b"k", expect=row.entry),
    ]
    for attempt in attempts:
        with pytest.raises(Conflict) as caught:
            attempt()
        assert caught.value.current is not None
        assert caught.value.current.value == b"theirs"
    assert everything(memory) == before
    assert not TrashEntry.objects.exists()
    assert set(AuditEntry.objects.exclude(action="store-add").values_list("outcome", flat=True)) == {"refused"}


def test_etags_stand_for_what_was_seen(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"old")
    etag = seen(memory, b"k").entry.etag
    assert edit.expected_from_etag(memory, b"k", etag).value == b"old"
    plant(memory, b"k", b"theirs")
    with pytest.raises(Conflict) as caught:
        edit.expected_from_etag(memory, b"k", etag)
    assert caught.value.current and caught.value.current.value == b"theirs"
    edit.delete_key(actor, memory, b"k")
    with pytest.raises(Conflict) as caught:
        edit.expected_from_etag(memory, b"k", etag)
    assert caught.value.current is None


def test_creating(memory: Store, actor: Actor) -> None:
    assert edit.create_key(actor, memory, b"v", value=b"x", expires=soon()).entry.value == b"x"
    assert edit.create_key(actor, memory, b"c", kind=Kind.COUNTER, number=-3).entry.counter == -3
    assert edit.create_key(actor, memory, LOCK, kind=Kind.LOCK, expires=soon()).entry.kind is Kind.LOCK
    assert edit.create_key(actor, memory, b"", value=b"").entry.value == b""
    plant(memory, b"expired", b"x", soon(-100))
    for key in (b"v", b"c", b"expired"):
        with pytest.raises(Conflict) as caught:
            edit.create_key(actor, memory, key, value=b"y")
        assert caught.value.current is not None
    assert not TrashEntry.objects.exists()


def test_expiry_of_values_counters_and_locks(memory: Store, actor: Actor) -> None:
    at = soon(500)
    plant(memory, b"v", b"x")
    plant_counter(memory, AUTH, 7)
    plant(memory, LOCK, b"", soon(10))
    for key in (b"v", AUTH, LOCK):
        assert edit.set_expiry(actor, memory, key, at).entry.expires_at == at
        assert edit.set_expiry(actor, memory, key, None).entry.expires_at is None
    assert seen(memory, AUTH).entry.counter == 7
    plant_raw(memory, b"broken", b"abc")
    with pytest.raises(CorruptRow):
        edit.set_expiry(actor, memory, b"broken", at)
    with pytest.raises(KeyNotFound):
        edit.set_expiry(actor, memory, b"none", at)
    for wrong in (0, -5, int(time.time()) - 1, 1 << 60):
        with pytest.raises(BadConfig) as caught:
            edit.set_expiry(actor, memory, b"v", wrong)
        assert caught.value.field == "expiry"


def test_counters(memory: Store, actor: Actor) -> None:
    at = soon()
    plant_counter(memory, AUTH, 7, at)
    row = edit.set_counter(actor, memory, AUTH, 2, expect=seen(memory, AUTH).entry)
    assert (row.entry.counter, row.entry.expires_at, row.entry.kind) == (2, at, Kind.COUNTER)
    assert edit.increment(actor, memory, AUTH, 5).entry.counter == 7
    assert edit.increment(actor, memory, AUTH, -10, at + 9).entry.expires_at == at + 9
    assert edit.increment(actor, memory, b"fresh", 4).entry.counter == 4
    assert edit.set_counter(actor, memory, b"made", 1).entry.expires_at is None
    for wrong in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(BadConfig):
            edit.set_counter(actor, memory, AUTH, wrong)
    with pytest.raises(BadConfig):
        edit.increment(actor, memory, AUTH, (1 << 63) - 1) and edit.increment(actor, memory, AUTH, (1 << 63) - 1)


def test_kinds_are_not_mixed_up(memory: Store, actor: Actor) -> None:
    plant(memory, b"v", b"x")
    plant_counter(memory, AUTH, 7, soon())
    plant(memory, LOCK, b"", soon())
    before = everything(memory)
    with pytest.raises(NotSupported):
        edit.set_value(actor, memory, AUTH, b"text")
    with pytest.raises(NotSupported):
        edit.create_key(actor, memory, AUTH[:-1] + b"\x09", value=b"text")
    with pytest.raises(NotSupported):
        edit.set_counter(actor, memory, b"v", 5)
    with pytest.raises(NotSupported):
        edit.increment(actor, memory, LOCK, 5)
    with pytest.raises(BadConfig):
        edit.set_value(actor, memory, LOCK, b"payload")
    assert everything(memory) == before
    assert not TrashEntry.objects.exists()


def test_deleting_removes_value_marker_and_number(memory: Store, actor: Actor) -> None:
    plant_counter(memory, AUTH, 7, soon())
    with opened(memory) as backend:
        backend.key_set(b"both", b"v", None)
        backend.counter_incr(b"both", 3)
    plant_raw(memory, b"broken", b"abc")
    for key in (AUTH, b"both", b"broken"):
        edit.delete_key(actor, memory, key)
    assert everything(memory) == {}
    with pytest.raises(KeyNotFound):
        edit.delete_key(actor, memory, b"both")
    assert TrashEntry.objects.count() == 3


def test_sizes(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBackend, "capabilities", Capabilities(max_key=10, max_value=20))
    with pytest.raises(BadConfig) as caught:
        edit.create_key(actor, memory, b"k" * 11, value=b"")
    assert caught.value.field == "key"
    with pytest.raises(BadConfig) as caught:
        edit.create_key(actor, memory, b"k" * 10, value=b"v" * 21)
    assert caught.value.field == "value"
    edit.create_key(actor, memory, b"k" * 10, value=b"v" * 20)


def test_read_only_and_switched_off_stores_take_no_writes(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"x")
    definitions.update_store(actor, memory, read_only=True)
    for attempt in (
        lambda: edit.set_value(actor, memory, b"k", b"y"),
        lambda: edit.increment(actor, memory, b"c", 1),
        lambda: edit.delete_key(actor, memory, b"k"),
        lambda: edit.delete_many(actor, memory, [(b"k", ANYTHING)]),
    ):
        with pytest.raises(ReadOnly):
            attempt()
    definitions.update_store(actor, memory, read_only=False, enabled=False)
    with pytest.raises(NotSupported):
        edit.set_value(actor, memory, b"k", b"y")


def test_a_static_store_says_that_it_is_read_only(actor: Actor, db: None) -> None:
    store = definitions.create_store(actor, id="vip", type="static", settings={}, entries=[("a", "1")])
    with pytest.raises(ReadOnly):
        edit.set_value(actor, store, b"a", b"2")


def test_when_the_store_fails_nothing_is_left_in_the_trash(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(memory, b"k", b"old")

    def down(*_: object) -> None:
        assert TrashEntry.objects.count() == 1, "the trash row is there before the store is written"
        assert AuditEntry.objects.get(action="delete").outcome == "started"
        raise StoreUnavailable("The store did not answer.")

    monkeypatch.setattr(MemoryBackend, "delete", down)
    with pytest.raises(StoreUnavailable):
        edit.delete_key(actor, memory, b"k")
    assert not TrashEntry.objects.exists()
    assert AuditEntry.objects.get(action="delete").outcome == "failed"


def test_a_writer_in_between_is_met_by_trying_again(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ANYTHING the write wins, and the trash holds exactly what it replaced."""
    plant(memory, b"k", b"first")
    real, turns = MemoryBackend.key_set, iter([b"second", b"third", None])

    def interrupted(self: MemoryBackend, key: bytes, value: bytes, expires_at: object, expect: object) -> Entry:
        theirs = next(turns, None)
        if theirs is not None:
            plant(memory, b"k", theirs)
        return real(self, key, value, expires_at, expect)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryBackend, "key_set", interrupted)
    assert edit.set_value(actor, memory, b"k", b"mine").entry.value == b"mine"
    assert [bytes(kept.value or b"") for kept in TrashEntry.objects.all()] == [b"third"]


def test_secrets_are_digests_in_the_audit(memory: Store, actor: Actor) -> None:
    plant(memory, OAUTH, b"super secret", soon())
    edit.set_expiry(actor, memory, OAUTH, soon(99))
    edit.delete_key(actor, memory, OAUTH)
    text = str(list(AuditEntry.objects.values()))
    assert "AAAA" not in text
    assert "41414141" not in text
    assert "super secret" not in text
    assert AuditEntry.objects.get(action="delete").key_hex.startswith("digest:")


def test_deleting_many_reports_each_key(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(450):
        plant(memory, b"k%03d" % number, b"v")
    rows = {number: seen(memory, b"k%03d" % number) for number in (1, 2, 3)}
    plant(memory, b"k001", b"theirs")
    with opened(memory) as backend:
        backend.delete(b"k003")
    targets: list[edit.Target] = [(b"k001", rows[1].entry), (b"k002", rows[2].entry.etag), (b"k003", rows[3].entry), (b"none", ANYTHING)]
    targets += [(b"k%03d" % number, ANYTHING) for number in range(4, 450)]
    outcomes = edit.delete_many(actor, memory, targets)
    assert [outcome.key for outcome in outcomes] == [key for key, _ in targets]
    assert [outcome.state for outcome in outcomes[:5]] == ["changed", "deleted", "gone", "gone", "deleted"]
    assert set(everything(memory)) == {b"k000", b"k001"}
    assert TrashEntry.objects.count() == 447
    assert AuditEntry.objects.filter(action="delete", outcome="done").count() == 447


def test_deleting_many_goes_on_after_a_failure(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (b"a", b"b", b"c"):
        plant(memory, key, b"v")
    real = MemoryBackend.delete

    def sometimes(self: MemoryBackend, key: bytes, expect: object) -> Entry | None:
        if key == b"b":
            raise StoreUnavailable("Gone for a moment.")
        if key == b"c":
            plant(memory, b"c", b"theirs")
        return real(self, key, expect)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryBackend, "delete", sometimes)
    outcomes = edit.delete_many(actor, memory, [(b"a", ANYTHING), (b"b", ANYTHING), (b"c", ANYTHING)])
    assert [outcome.state for outcome in outcomes] == ["deleted", "failed", "changed"]
    assert set(everything(memory)) == {b"b", b"c"}
    assert [bytes(kept.key) for kept in TrashEntry.objects.all()] == [b"a"]


ROWS = st.one_of(
    st.builds(lambda value, at: ("value", value, at), st.binary(max_size=30), st.none() | st.integers(1, (1 << 63) - 1)),
    st.builds(
        lambda number, at: ("counter", number, at), st.integers(-(1 << 63), (1 << 63) - 1), st.none() | st.integers(1, (1 << 63) - 1)
    ),
    st.builds(lambda row: ("raw", row, None), st.binary(max_size=15)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.binary(max_size=40), ROWS)
def test_delete_and_restore_leave_the_same_bytes(memory: Store, actor: Actor, key: bytes, what: tuple[str, object, int | None]) -> None:
    kind, content, at = what
    if kind == "value":
        plant(memory, key, content, at)  # type: ignore[arg-type]
    elif kind == "counter":
        plant_counter(memory, key, content, at)  # type: ignore[arg-type]
    else:
        plant_raw(memory, key, content)  # type: ignore[arg-type]
    before = stored(memory, key)
    edit.delete_key(actor, memory, key)
    assert stored(memory, key) is None
    kept = trash.latest(memory, key)
    assert kept is not None
    trash.restore(actor, kept.pk)
    assert stored(memory, key) == before
    edit.delete_key(actor, memory, key)


def test_keep_is_never_for_a_new_key(memory: Store, actor: Actor) -> None:
    assert edit.set_value(actor, memory, b"k", b"v", KEEP, ABSENT).entry.expires_at is None
