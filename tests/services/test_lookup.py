from __future__ import annotations

import pytest

from stores.errors import BadConfig, CorruptRow, NotSupported, ReadOnly, UnknownStore
from stores.models import AuditEntry, Store, TrashEntry
from stores.services import definitions
from stores.services.actor import Actor
from stores.services.lookup import Lookups, unknown_note
from tests.services.conftest import new_memory, plant, plant_counter, plant_raw, soon, stored


def test_the_empty_id_is_the_default_store(memory: Store, actor: Actor) -> None:
    other = new_memory("other")
    plant(memory, b"k", b"default")
    plant(other, b"k", b"other")
    with Lookups(actor) as lookups:
        assert lookups.key_get("", b"k") == b"default"
        assert lookups.key_get("other", b"k") == b"other"
        assert lookups.store().id == "mem"
        with pytest.raises(UnknownStore):
            lookups.key_get("nowhere", b"k")


def test_reads_answer_as_the_mail_server_does(memory: Store, actor: Actor) -> None:
    plant(memory, b"live", b"x", soon())
    plant(memory, b"expired", b"x", soon(-5))
    plant(memory, b"empty", b"")
    plant_counter(memory, b"counter", 5, soon())
    plant_counter(memory, b"stale", 7, soon(-5))
    plant_raw(memory, b"broken", b"abc")
    with Lookups(actor) as lookups:
        assert [lookups.key_get("", key) for key in (b"live", b"expired", b"empty", b"counter", b"none")] == [b"x", None, b"", None, None]
        assert [lookups.key_exists("", key) for key in (b"live", b"expired", b"empty", b"counter")] == [True, False, True, False]
        assert [lookups.counter_get("", key) for key in (b"counter", b"stale", b"none", b"live")] == [5, 7, 0, 0]
        with pytest.raises(CorruptRow):
            lookups.key_get("", b"broken")


def test_writes_do_what_the_mail_server_does_and_lose_nothing(memory: Store, actor: Actor) -> None:
    with Lookups(actor, allow_writes=True) as lookups:
        lookups.key_set("", b"k", b"one")
        lookups.key_set("", b"k", b"two", 3600)
        assert lookups.counter_incr("", b"n", 5) == 5
        assert lookups.counter_incr("", b"n", -2, 60) == 3
        plant_counter(memory, b"stale", 7, soon(-5))
        assert lookups.counter_incr("", b"stale", 1) == 8
        lookups.key_set("", b"n", b"beside the number")
    found = stored(memory, b"n")
    assert found is not None
    assert (found.value, found.counter) == (b"beside the number", 3)
    assert [bytes(kept.value or b"") for kept in TrashEntry.objects.filter(key=b"k")] == [b"one"]
    with Lookups(actor, allow_writes=True) as lookups:
        lookups.key_delete("", b"n")
        lookups.key_delete("", b"nothing")
        found = stored(memory, b"n")
        assert found is not None
        assert (found.value, found.counter) == (None, 3)
        lookups.counter_delete("", b"n")
    assert stored(memory, b"n") is None
    assert TrashEntry.objects.filter(key=b"n").count() == 3
    assert set(
        AuditEntry.objects.filter(action__in=("key_set", "counter_incr", "key_delete", "counter_delete")).values_list("outcome")
    ) == {("done",)}


def test_limits_and_switches(memory: Store, actor: Actor) -> None:
    static = definitions.create_store(actor, id="vip", type="static", settings={}, entries=[("ana", "7")])
    with Lookups(actor, allow_writes=True) as lookups:
        assert lookups.key_get("vip", b"ana") == b"7"
        assert lookups.key_exists("vip", b"ana")
        for attempt in (lambda: lookups.key_set(static.id, b"k", b"v"), lambda: lookups.counter_incr(static.id, b"k", 1)):
            with pytest.raises(NotSupported):
                attempt()
        with pytest.raises(BadConfig):
            lookups.counter_incr("", b"k", 1 << 63)
    definitions.update_store(actor, memory, read_only=True)
    with Lookups(actor, allow_writes=True) as lookups:
        with pytest.raises(ReadOnly):
            lookups.key_set("", b"k", b"v")
        assert lookups.key_get("", b"k") is None


def test_writes_are_off_unless_switched_on(memory: Store, actor: Actor) -> None:
    plant(memory, b"k", b"v")
    with Lookups(actor) as lookups:
        for write in (
            lambda: lookups.key_set("", b"k", b"x"),
            lambda: lookups.key_delete("", b"k"),
            lambda: lookups.counter_incr("", b"n", 1),
            lambda: lookups.counter_delete("", b"n"),
        ):
            with pytest.raises(ReadOnly, match="switched off"):
                write()
        assert lookups.key_get("", b"k") == b"v"
        assert lookups.counter_get("", b"n") == 0
    assert not AuditEntry.objects.filter(action__in=("key_set", "key_delete", "counter_incr")).exists()


def test_of_several_keys_any_counts_and_empty_ones_are_not_asked(memory: Store, actor: Actor) -> None:
    plant(memory, b"there", b"")
    plant(memory, b"", b"the empty key")
    with Lookups(actor) as lookups:
        assert lookups.key_exists("", [b"no", b"there"])
        assert not lookups.key_exists("", [b"no", b""])
        assert not lookups.key_exists("", [])
        assert lookups.key_exists("", b"")


def test_what_a_key_answers_in_an_expression(memory: Store, actor: Actor) -> None:
    definitions.create_store(
        actor, id="vip", type="static", settings={}, entries=[("ana", "7"), ("half", "0.5"), ("*", "")], version="0.11"
    )
    plant(memory, b"bytes", b"\xff")
    with Lookups(actor) as lookups:
        assert [lookups.answer("vip", key) for key in (b"ana", b"half", b"x")] == [7, 0.5, ""]
        assert lookups.answer("", b"bytes") == "\ufffd"
        assert lookups.answer("", b"none") is None


def test_the_note_on_an_unknown_store_names_what_stalwart_does() -> None:
    assert "silently" in unknown_note("typo", "0.11")
    assert "nothing" in unknown_note("typo", "0.16")
    assert unknown_note("", "0.11") == ""
