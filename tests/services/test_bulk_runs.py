"""Bulk changes of every sort on stores of both families: what they write, what they leave, what the receipt says, undo."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from stores.backends.memory import MemoryBackend
from stores.backends.redis import RedisBackend
from stores.errors import BadConfig, ReadOnly, StoreUnavailable
from stores.models import AuditEntry, Run, RunState, Store, TrashEntry
from stores.services import bulk, bulk_undo, definitions, runs, trash
from stores.services.actor import Actor
from stores.services.browse import KeyFilter
from stores.services.bulk_change import Change, Clash, Do, make_change
from stores.services.bulk_preview import Confirmed, confirmed, preview
from stores.services.bulk_receipt import receipt
from stores.services.bulk_record import Record
from stores.services.trash import TrashFilter
from stores.types import Kind, Pace
from tests.servers.redis import RedisServer, single
from tests.services.conftest import everything, new_memory, opened, plant, plant_counter, plant_raw, soon, stored

AUTH = b"\x05\x01\x02\x03\x04" + (7).to_bytes(8, "big")
LOCK = b"\x15abc"
USERS = KeyFilter(prefix=b"user:")


@pytest.fixture
def filled(memory: Store) -> Store:
    for number in range(60):
        plant(memory, b"user:%02d" % number, b"v%d" % number, soon(1000 + number))
    plant_counter(memory, AUTH, 5, soon())
    plant(memory, b"other", b"v")
    return memory


def done(actor: Actor, store: Store, change: Change, pace: Pace = Pace.FAST) -> Run:
    shown = preview(store, change, None)
    return bulk.run_in_foreground(actor, store, confirmed(store, shown.token, str(shown.found.keys)), pace)


def undo(actor: Actor, run: Run) -> set[str]:
    ids = list(TrashEntry.objects.filter(run=run).values_list("pk", flat=True))
    return {outcome.state for outcome in trash.restore_many(actor, ids)}


# preview and confirmation


def test_the_preview_says_what_a_run_would_do(filled: Store) -> None:
    shown = preview(filled, make_change(Do.DELETE, USERS, time.time()))
    assert (shown.found.keys, shown.found.exact, len(shown.found.samples)) == (60, True, 20)
    assert shown.cover is not None
    assert shown.cover.everything
    assert shown.seconds[Pace.GENTLE] > shown.seconds[Pace.FAST] > 0
    assert len(everything(filled)) == 62


def test_a_preview_that_runs_out_of_time_says_at_least(filled: Store) -> None:
    for number in range(1500):
        plant(filled, b"user:x%04d" % number)
    found = preview(filled, make_change(Do.DELETE, USERS, time.time()), 0.0).found
    assert (found.keys, found.exact) == (1000, False)


def test_only_the_filter_that_was_previewed_runs_and_only_with_its_count(filled: Store) -> None:
    shown = preview(filled, make_change(Do.DELETE, USERS, time.time()))
    for typed in ("", "59", "61", "sixty"):
        with pytest.raises(BadConfig) as refused:
            confirmed(filled, shown.token, typed)
        assert refused.value.field == "count"
    assert confirmed(filled, shown.token, " 60 ").change == shown.change
    for token in (shown.token[:-1] + ("a" if shown.token[-1] != "a" else "b"), ""):
        with pytest.raises(BadConfig) as refused:
            confirmed(filled, token, "60")
        assert refused.value.field == "token"
    with pytest.raises(BadConfig):
        confirmed(new_memory("second"), shown.token, "60")


def test_clearly_more_keys_than_confirmed_end_the_run(filled: Store, actor: Actor) -> None:
    shown = preview(filled, make_change(Do.DELETE, USERS, time.time()))
    for number in range(500):
        plant(filled, b"user:new%03d" % number)
    run = bulk.run_in_foreground(actor, filled, confirmed(filled, shown.token, "60"), Pace.FAST)
    assert run.state == RunState.FAILED
    assert "More keys match" in run.error
    assert len(everything(filled)) == 562 - 80


# expiry


@pytest.mark.parametrize(("typed", "wanted"), [("2 days", 172_800), ("2030-01-31 18:00 +00:00", 1_896_112_800), ("never", None)])
def test_every_key_gets_the_expiry_and_undo_gives_it_back(filled: Store, actor: Actor, typed: str, wanted: int | None) -> None:
    before = everything(filled)
    change = make_change(Do.EXPIRY, KeyFilter(), time.time(), expiry=typed.replace(" +", "+"))
    run = done(actor, filled, change)
    after = everything(filled)
    at = change.expires_at
    assert at == wanted or (wanted == 172_800 and abs((at or 0) - time.time() - wanted) < 60)
    assert {entry.expires_at for entry in after.values()} == {at}
    assert {key: (entry.value, entry.counter, entry.kind) for key, entry in after.items()} == {
        key: (entry.value, entry.counter, entry.kind) for key, entry in before.items()
    }
    same = 1 if typed == "never" else 0
    assert (Record.of(run).done, Record.of(run).same) == (62 - same, same)
    assert undo(actor, run) == {"restored"}
    assert everything(filled) == before


def test_undo_never_goes_over_a_newer_value(filled: Store, actor: Actor) -> None:
    run = done(actor, filled, make_change(Do.EXPIRY, USERS, time.time(), expiry="1 h"))
    plant(filled, b"user:07", b"newer")
    assert undo(actor, run) == {"restored", "conflict"}
    assert everything(filled)[b"user:07"].value == b"newer"


def test_malformed_rows_and_foreign_changes_are_named(filled: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_raw(filled, b"user:broken", b"abc")
    real = MemoryBackend.set_expiry_each

    def interrupted(self: MemoryBackend, seen: Any, *rest: Any) -> Any:
        if any(entry.key == b"user:05" for entry in seen):
            plant(filled, b"user:05", b"theirs")
        return real(self, seen, *rest)

    monkeypatch.setattr(MemoryBackend, "set_expiry_each", interrupted)
    run = done(actor, filled, make_change(Do.EXPIRY, USERS, time.time(), expiry="never"))
    record = Record.of(run)
    assert (run.state, record.done, record.kept, record.failed) == (RunState.DONE, 59, 1, 1)
    assert {key for key, _ in record.failures} == {b"user:05".hex(), b"user:broken".hex()}
    assert everything(filled)[b"user:05"].value == b"theirs"
    assert TrashEntry.objects.count() == 59


def test_chunks_of_long_values_are_short(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        plant(memory, b"user:%02d" % number, bytes(1_000_000 if number < 20 else 10))
    real, chunks = MemoryBackend.set_expiry_each, []

    def watched(self: MemoryBackend, seen: Any, *rest: Any) -> Any:
        chunks.append([entry.size for entry in seen])
        return real(self, seen, *rest)

    monkeypatch.setattr(MemoryBackend, "set_expiry_each", watched)
    run = done(actor, memory, make_change(Do.EXPIRY, USERS, time.time(), expiry="1 h"))
    assert (run.state, Record.of(run).done) == (RunState.DONE, 60)
    assert max(map(sum, chunks)) <= bulk.HEAVIEST
    assert len(chunks[0]) == 4
    assert len(chunks) < 10


# copy and move


@pytest.fixture
def second(db: None) -> Store:
    return new_memory("second")


def test_a_copy_is_byte_identical_and_leaves_the_source(filled: Store, second: Store, actor: Actor) -> None:
    before = everything(filled)
    run = done(actor, filled, make_change(Do.COPY, KeyFilter(), time.time(), to="second"))
    assert everything(second) == everything(filled) == before
    found = receipt(run)
    assert (found["done"], found["same"], found["failed"], found["change"]["target_after"]["keys"]) == (62, 0, 0, 62)
    again = receipt(done(actor, filled, make_change(Do.COPY, KeyFilter(), time.time(), to="second")))
    assert (again["done"], again["same"]) == (0, 62)


def test_undoing_a_copy_removes_the_new_keys_but_none_that_was_written_since(filled: Store, second: Store, actor: Actor) -> None:
    plant(second, b"user:30", b"theirs")
    run = done(actor, filled, make_change(Do.COPY, KeyFilter(), time.time(), to="second", clash=Clash.OVERWRITE))
    assert (Record.of(run).undoable, bulk_undo.restorable(run)) == (62, 62)
    newer = plant(second, b"user:31", b"newer")
    assert trash.list_trash(TrashFilter(run_id=str(run.pk))).rows
    assert [bytes(row.trash.key) for row in trash.list_trash().rows] == [b"user:30"], "what a copy has made is no waste"
    back = bulk.execute(bulk_undo.start(actor, run).pk)
    assert back is not None
    assert (back.state, Record.of(back).done, Record.of(back).kept) == (RunState.DONE, 61, 1)
    assert {key: entry.value for key, entry in everything(second).items()} == {b"user:30": b"theirs", b"user:31": newer.value}
    again = bulk.execute(bulk_undo.start(actor, run, overwrite=True).pk)
    assert again is not None
    assert set(everything(second)) == {b"user:30"}
    assert len(everything(filled)) == 62


def test_nothing_of_a_copy_is_noted_where_no_undo_is_wanted(filled: Store, second: Store, actor: Actor) -> None:
    run = done(actor, filled, make_change(Do.COPY, USERS, time.time(), to="second", undo=False))
    assert (Record.of(run).done, Record.of(run).undoable, TrashEntry.objects.count()) == (60, 0, 0)


@pytest.mark.parametrize("clash", list(Clash))
def test_what_the_other_store_holds_already(filled: Store, second: Store, actor: Actor, clash: Clash) -> None:
    plant(second, b"user:30", b"theirs")
    plant(second, b"user:31", b"long gone", int(time.time()) - 5)
    run = done(actor, filled, make_change(Do.COPY, USERS, time.time(), to="second", clash=clash))
    copied = everything(second)
    if clash is Clash.FAIL:
        assert (run.state, b"user:30".hex() in run.error) == (RunState.FAILED, True)
        assert copied[b"user:30"].value == b"theirs"
        return
    assert (run.state, len(copied), copied[b"user:31"].value) == (RunState.DONE, 60, b"v31")
    assert copied[b"user:30"].value == (b"v30" if clash is Clash.OVERWRITE else b"theirs")
    assert Record.of(run).skipped == (1 if clash is Clash.SKIP else 0)
    if clash is Clash.OVERWRITE:
        assert undo(actor, run) == {"restored"}
        assert everything(second)[b"user:30"].value == b"theirs"


def test_a_move_empties_the_source_only_of_what_was_read_again(filled: Store, second: Store, actor: Actor) -> None:
    before = everything(filled)
    plant(second, b"user:30", b"theirs")
    run = done(actor, filled, make_change(Do.MOVE, USERS, time.time(), to="second"))
    assert set(everything(filled)) == {AUTH, b"other", b"user:30"}
    assert {key: entry for key, entry in everything(second).items() if key != b"user:30"} == {
        key: entry for key, entry in before.items() if key[:5] == b"user:" and key != b"user:30"
    }
    assert undo(actor, run) == {"restored"}
    assert everything(filled) == before
    assert set(everything(second)) == {b"user:30"}


def test_expired_keys_are_not_copied(filled: Store, second: Store, actor: Actor) -> None:
    plant(filled, b"user:past", b"v", int(time.time()) - 10)
    run = done(actor, filled, make_change(Do.MOVE, USERS, time.time(), to="second"))
    assert (Record.of(run).done, Record.of(run).skipped) == (60, 1)
    assert stored(filled, b"user:past") is not None


def test_refusals_come_first(filled: Store, second: Store, actor: Actor) -> None:
    for to in ("mem", ""):
        with pytest.raises(BadConfig):
            done(actor, filled, Change(Do.COPY, USERS, time.time(), to="mem") if to else make_change(Do.COPY, USERS, time.time()))
    definitions.update_store(actor, second, read_only=True)
    with pytest.raises(ReadOnly):
        done(actor, filled, make_change(Do.COPY, USERS, time.time(), to="second"))
    definitions.update_store(actor, filled, read_only=True)
    with pytest.raises(ReadOnly):
        done(actor, filled, make_change(Do.EXPIRY, USERS, time.time(), expiry="1 h"))
    assert not Run.objects.exists()


@pytest.fixture(scope="module")
def server() -> RedisServer:
    return single("valkey")


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    client = server.client()
    client.flushall()
    yield client
    client.close()


def fill_class(raw: redis.Redis) -> dict[bytes, bytes]:
    """A class of 3,000 keys, others under its first byte that are none of it, and others elsewhere."""
    with raw.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.set(b"\x05" + number.to_bytes(4, "big") + bytes(8), number, ex=9000)
            pipe.set(b"user:%d" % number, b"v")
        for number in range(50):
            pipe.set(b"\x05text %d" % number, b"v")
        pipe.rpush(b"\x05" + b"LIST" + bytes(8), b"x")
        pipe.execute()
    names: list[bytes] = raw.keys()  # type: ignore[assignment]
    return {name: raw.get(name) or b"" for name in names if raw.type(name) == b"string"}  # type: ignore[misc]


@pytest.mark.parametrize("undo", [True, False])
def test_a_class_of_redis_goes_by_name_where_nothing_is_kept(
    actor: Actor, server: RedisServer, raw: redis.Redis, undo: bool, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fill_class(raw)
    store = definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
    change = make_change(Do.DELETE, KeyFilter(class_slug="rate-auth"), time.time(), undo=undo)
    read: list[Any] = []
    real = RedisBackend.delete_each

    def watched(self: RedisBackend, seen: Any) -> Any:
        read.extend(seen)
        return real(self, seen)

    monkeypatch.setattr(RedisBackend, "delete_each", watched)
    run = bulk.run_in_foreground(actor, store, Confirmed(change, 3000, True, 1), Pace.FAST)
    record = Record.of(run)
    names = [name for name in before if len(name) == 13 and name[:1] == b"\x05" and name[1:5] != b"text"]
    digests = sum(int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "big") for name in names) % (1 << 128)
    assert (run.state, record.done, record.checksum, len(names)) == (RunState.DONE, 3000, f"{digests:032x}", 3000)
    left: list[bytes] = raw.keys()  # type: ignore[assignment]
    assert set(before) - set(left) == set(names)
    assert (bool(read), record.undoable) == ((True, 3000) if undo else (False, 0))


def test_a_class_goes_by_name_where_the_trash_is_full_and_can_be_paused(
    actor: Actor, server: RedisServer, raw: redis.Redis, db: None, settings: Any
) -> None:
    fill_class(raw)
    settings.KVADMIN_TRASH_MB = 0.1
    store = definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
    change = make_change(Do.DELETE, KeyFilter(class_slug="rate-auth"), time.time())
    run = bulk.start(actor, store, Confirmed(change, 3000, True, 1), Pace.FAST)
    Run.objects.update(pause_requested=True)
    paused = bulk.execute(run.pk)
    assert paused is not None
    assert (paused.state, 0 < Record.of(paused).done < 3000) == (RunState.PAUSED, True)
    runs.resume(actor, paused)
    ended = bulk.execute(run.pk)
    assert ended is not None
    record = Record.of(ended)
    assert (ended.state, record.done, 300 < record.undoable < 1000) == (RunState.DONE, 3000, True)
    assert TrashEntry.objects.count() == record.undoable


@pytest.mark.parametrize("version", ["0.11", "0.16"])
def test_to_redis_and_back_keeps_kinds_numbers_and_expiries(
    filled: Store, second: Store, actor: Actor, server: RedisServer, raw: redis.Redis, version: str
) -> None:
    for store in (filled, second):
        definitions.update_store(actor, store, version=version)
    plant(filled, LOCK, b"", soon(500))
    plant_counter(filled, b"\x05\x09\x09\x09\x09" + (7).to_bytes(8, "big"), -3)
    before = everything(filled)
    cache = definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url}, version=version)
    there = done(actor, filled, make_change(Do.COPY, KeyFilter(), time.time(), to="redis"))
    assert (Record.of(there).done, Record.of(there).failed, there.state) == (64, 0, RunState.DONE)
    assert raw.get(AUTH) == b"5"
    assert raw.expiretime(AUTH) == before[AUTH].expires_at  # type: ignore[arg-type]
    assert raw.get(b"user:07") == b"v7"
    assert raw.ttl(b"other") == -1
    back = done(actor, cache, make_change(Do.MOVE, KeyFilter(), time.time(), to="second"))
    assert (Record.of(back).done, back.state) == (64, RunState.DONE)
    assert everything(second) == before
    assert raw.dbsize() == 0
    assert undo(actor, back) == {"restored"}
    assert raw.expiretime(AUTH) == before[AUTH].expires_at  # type: ignore[arg-type]


def test_a_key_with_value_and_number_does_not_fit_into_redis(filled: Store, actor: Actor, server: RedisServer, raw: redis.Redis) -> None:
    both = plant_counter(filled, b"both", 4)
    plant(filled, b"both2", b"v")
    with_both = replace(both, kind=Kind.VALUE, value=b"v", row=bytes.fromhex("7fffffffffffffff") + b"v", expires_at=(1 << 63) - 1)
    with opened(filled) as backend:
        backend.put(with_both)
    definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url})
    run = done(actor, filled, make_change(Do.COPY, KeyFilter(prefix=b"both"), time.time(), to="redis"))
    assert (Record.of(run).done, Record.of(run).failed) == (1, 1)
    assert "both a value and a number" in Record.of(run).failures[0][1]


def test_deleting_on_redis_is_conditional_and_pipelined(db: None, actor: Actor, server: RedisServer, raw: redis.Redis) -> None:
    raw.mset({b"user:%04d" % number: b"v" for number in range(1500)})
    raw.lpush(b"user:list", b"x")
    store = definitions.create_store(actor, id="redis", type="redis", settings={"urls": server.url})
    run = done(actor, store, make_change(Do.DELETE, USERS, time.time()))
    assert (run.state, Record.of(run).done, raw.dbsize()) == (RunState.DONE, 1500, 1)
    assert undo(actor, run) == {"restored"}
    assert raw.dbsize() == 1501


# the run itself


def test_the_receipt_counts_and_sums_up_the_keys(filled: Store, actor: Actor) -> None:
    run = done(actor, filled, make_change(Do.DELETE, USERS, time.time()))
    found = receipt(run)
    keys = [b"user:%02d" % number for number in range(60)]
    total = sum(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big") for key in keys)
    assert found["checksum"] == f"{total % (1 << 128):032x}"
    assert (found["change"]["before"]["keys"], found["change"]["after"]) == (60, {"keys": 0, "exact": True, "bytes": 0})
    closing = AuditEntry.objects.filter(run=run, action="bulk-delete").get()
    assert closing.after is not None
    assert (closing.after["done"], closing.after["checksum"]) == (60, found["checksum"])
    assert AuditEntry.objects.filter(run=run, action="delete", outcome="done").count() == 60


def test_the_trash_has_its_limit_and_the_run_goes_on(filled: Store, actor: Actor, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.services.trash_room.limit_bytes", lambda: 6000)
    shown = preview(filled, make_change(Do.DELETE, USERS, time.time()))
    assert shown.cover is not None
    assert not shown.cover.everything
    assert 15 <= shown.cover.keys <= 25
    run = done(actor, filled, shown.change)
    record = Record.of(run)
    assert (record.done, record.undoable, TrashEntry.objects.count()) == (60, record.undoable, record.undoable)
    assert shown.cover.keys <= record.undoable <= shown.cover.keys + 3


def test_no_copies_are_kept_where_none_are_wanted(filled: Store, actor: Actor) -> None:
    run = done(actor, filled, make_change(Do.DELETE, USERS, time.time(), undo=False))
    assert (Record.of(run).done, Record.of(run).undoable, TrashEntry.objects.count()) == (60, 0, 0)


def test_pause_resume_and_an_outage_go_on_from_the_position(filled: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    change = make_change(Do.DELETE, USERS, time.time())
    run = bulk.start(actor, filled, Confirmed(change, 60, True, 1), Pace.FAST)
    real = MemoryBackend.delete_each
    calls = iter(range(3))

    def watched(self: MemoryBackend, seen: Any) -> Any:
        found = real(self, seen)
        if (call := next(calls, None)) == 0:
            Run.objects.update(pause_requested=True)
        elif call == 1:
            raise StoreUnavailable("Gone for a moment.")
        return found

    monkeypatch.setattr(MemoryBackend, "delete_each", watched)
    paused = bulk.execute(run.pk)
    assert paused is not None
    assert (paused.state, paused.removed, paused.position != "") == (RunState.PAUSED, 25, True)
    runs.resume(actor, paused)
    waiting = bulk.execute(run.pk)
    assert waiting is not None
    assert (waiting.state, waiting.removed, len(everything(filled))) == (RunState.QUEUED, 25, 12)
    ended = bulk.execute(run.pk)
    assert ended is not None
    record = Record.of(ended)
    assert (ended.state, record.done, record.undoable, TrashEntry.objects.count()) == (RunState.DONE, 60, 60, 60)
