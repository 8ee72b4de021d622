"""The services on a real Redis with rows that a real mail server wrote."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from stores.errors import BadConfig, Conflict, NotSupported, StoreUnavailable
from stores.models import Store, TrashEntry
from stores.services import bulk, census, definitions, edit, keyfile_import, purge, trash
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, list_keys, read_key, stream_keys
from stores.services.bulk_export import export
from stores.services.keyfile_lines import FORMATS
from stores.services.rows import json_row
from stores.types import ANYTHING, Kind
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.redis import RedisServer, single
from tests.services.conftest import delete_matching

WINDOW = (7).to_bytes(8, "big")
AUTH = b"\x05" + bytes([203, 0, 113, 20]) + WINDOW
OAUTH = b"\x01" + b"A" * 40


@pytest.fixture
def server() -> RedisServer:
    found = single("valkey")
    with found.client() as client:
        client.flushall()
    return found


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as found:
        yield found


@pytest.fixture
def store(db: None, server: RedisServer, actor: Actor) -> Store:
    return definitions.create_store(actor, id="cache", type="redis", settings={"urls": server.url}, version="0.11")


def test_the_class_settles_what_a_string_is(store: Store, client: redis.Redis) -> None:
    at = int(time.time()) + 5000
    client.set(AUTH, b"37", exat=at)
    client.set(b"\x15" + bytes(8), b"%d" % at, exat=at)
    client.set(b"vip", b"42")
    client.set(b"\x05" + bytes([1, 2, 3, 4]) + WINDOW, b"no number")
    found = {row.entry.key: json_row(row) for row in stream_keys(store, KeyFilter())}
    assert {key: (row["kind"], row["counter"], row["value_hex"]) for key, row in found.items()} == {
        AUTH: ("counter", 37, None),
        b"\x15" + bytes(8): ("lock", None, (b"%d" % at).hex()),
        b"vip": ("unknown", None, b"42".hex()),
        b"\x05" + bytes([1, 2, 3, 4]) + WINDOW: ("unknown", None, b"no number".hex()),
    }
    assert found[AUTH]["expires_at"] == at
    assert [row.entry.key for row in list_keys(store, KeyFilter(kind=Kind.COUNTER, count_min=30)).rows] == [AUTH]


def test_counters_are_edited_as_numbers_and_keep_their_ttl(store: Store, client: redis.Redis, actor: Actor) -> None:
    at = int(time.time()) + 5000
    client.set(AUTH, b"37", exat=at)
    row = read_key(store, AUTH)
    assert row is not None
    changed = edit.set_counter(actor, store, AUTH, 2, expect=row.entry)
    assert (changed.entry.counter, changed.entry.expires_at) == (2, at)
    assert client.get(AUTH) == b"2"
    assert edit.increment(actor, store, AUTH, 5, expect=changed.entry).entry.counter == 7
    assert client.expiretime(AUTH) == at  # type: ignore[arg-type]
    with pytest.raises(BadConfig):
        edit.set_value(actor, store, AUTH, b"text")
    with pytest.raises(Conflict) as caught:
        edit.set_counter(actor, store, AUTH, 9, expect=row.entry)
    assert caught.value.current is not None
    assert caught.value.current.counter == 7
    client.set(b"word", b"text")
    with pytest.raises(NotSupported):
        edit.set_counter(actor, store, b"word", 1)
    assert edit.set_counter(actor, store, b"fresh", 1).entry.value == b"1"


def test_etags_of_lists_and_keys_stand_for_the_stored_row(store: Store, client: redis.Redis, actor: Actor) -> None:
    client.set(AUTH, b"37", ex=500)
    client.set(b"vip", b"x")
    page = list_keys(store, KeyFilter())
    for row in page.rows:
        assert edit.expected_from_etag(store, row.entry.key, row.entry.etag) == row.entry
    client.set(b"vip", b"theirs")
    outcomes = edit.delete_many(actor, store, [(row.entry.key, row.entry.etag) for row in page.rows])
    assert {outcome.key: outcome.state for outcome in outcomes} == {AUTH: "deleted", b"vip": "changed"}


def test_delete_and_restore_keep_the_expiry_to_the_millisecond(store: Store, client: redis.Redis, actor: Actor) -> None:
    at = int(time.time() * 1000) + 5_000_123
    client.set(AUTH, b"37", pxat=at)
    client.set(b"vip", b"\x00\xff")
    for key in (AUTH, b"vip"):
        edit.delete_key(actor, store, key)
    assert client.dbsize() == 0
    assert set(TrashEntry.objects.values_list("kind", flat=True)) == {"counter", "unknown"}
    page = trash.list_trash()
    assert "37" in next(row.row.decoded.value_label for row in page.rows if bytes(row.trash.key) == AUTH)
    assert [outcome.state for outcome in trash.restore_many(actor, [row.trash.pk for row in page.rows])] == ["restored"] * 2
    assert (client.get(AUTH), client.pexpiretime(AUTH)) == (b"37", at)  # type: ignore[arg-type]
    assert (client.get(b"vip"), client.ttl(b"vip")) == (b"\x00\xff", -1)


def test_what_has_expired_meanwhile_cannot_come_back_silently(store: Store, client: redis.Redis, actor: Actor) -> None:
    client.set(b"k", b"v", px=60_000)
    edit.delete_key(actor, store, b"k")
    kept = trash.latest(store, b"k")
    assert kept is not None
    TrashEntry.objects.update(expires_at=int(time.time()) - 5, expires_at_ms=int(time.time() * 1000) - 5000)
    with pytest.raises(BadConfig, match="expired"):
        trash.restore(actor, kept.pk)
    assert client.dbsize() == 0


def test_large_values_are_exported_whole_and_come_back(
    store: Store, client: redis.Redis, actor: Actor, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    data = {b"big": bytes(range(256)) * (4096 * 3), b"small": b"s"}
    client.mset(data)
    for format in FORMATS:
        file = b"".join(export(actor, store, KeyFilter(), format))
        client.flushall()
        wanted = keyfile_import.Confirmed(keyfile_import.accept([file]), keyfile_import.Options(at=time.time(), format=format), 2, True, 0)
        assert bulk.import_in_foreground(actor, store, wanted).error == ""
        assert {key: client.get(key) for key in data} == data
    assert {bytes.fromhex(json_row(row)["value_hex"]) for row in stream_keys(store, KeyFilter(), whole=True)} == set(data.values())


def test_large_values_are_edited_and_deleted_whole(store: Store, client: redis.Redis, actor: Actor) -> None:
    data = bytes(range(256)) * (4096 * 3)
    client.set(b"big", data)
    [row] = list_keys(store, KeyFilter()).rows
    edit.delete_many(actor, store, [(b"big", row.entry)])
    assert client.dbsize() == 0
    trash.restore_many(actor, TrashEntry.objects.values_list("pk", flat=True))
    assert client.get(b"big") == data
    [row] = list_keys(store, KeyFilter()).rows
    edit.set_value(actor, store, b"big", b"small", expect=row.entry)
    kept = trash.latest(store, b"big")
    assert kept is not None
    assert kept.value is not None
    assert bytes(kept.value) == data


def test_a_filter_deletes_only_its_keys(store: Store, client: redis.Redis, actor: Actor) -> None:
    with client.pipeline() as pipe:
        for number in range(1500):
            pipe.set(b"user:%d" % number, b"x")
        for number in range(100):
            pipe.set(b"\x05" + bytes([203, 0, 113, number]) + WINDOW, b"5", ex=500)
        pipe.set(b"us*er", b"x")
        pipe.execute()
    run = delete_matching(actor, store, KeyFilter(match="user:*"))
    assert (run.state, run.removed) == ("done", 1500)
    assert client.dbsize() == 101
    assert TrashEntry.objects.filter(run=run).count() == 1500
    assert delete_matching(actor, store, KeyFilter(match=r"us\*er")).removed == 1
    assert delete_matching(actor, store, KeyFilter(class_slug="rate-auth", text="203.0.113.0/28")).counters == 16


def test_nothing_is_purged_and_the_page_can_say_why(store: Store, actor: Actor) -> None:
    with pytest.raises(NotSupported, match="by itself"):
        purge.start(actor, store)


def test_an_outage_is_an_error_not_an_empty_list(db: None, actor: Actor) -> None:
    own = RedisServer()
    store = definitions.create_store(actor, id="own", type="redis", settings={"urls": own.url}, version="0.11")
    assert list_keys(store, KeyFilter()).complete
    own.stop()
    with pytest.raises(StoreUnavailable):
        list_keys(store, KeyFilter())
    assert definitions.health(store).state == "down"


@needs_fixtures
def test_captured_rows(db: None, actor: Actor) -> None:
    manifest: dict[str, Any] = json.loads((FIXTURES / "stalwart-0.11.8/redis/manifest.json").read_text())
    own = RedisServer(dump=FIXTURES / "stalwart-0.11.8/redis/dump-final.rdb")
    store = definitions.create_store(actor, id="own", type="redis", settings={"urls": own.url}, version="0.11")
    now = time.time()
    true = {row["key_hex"]: row for row in manifest["rows"]["final"]}
    alive = {key for key, row in true.items() if row["expires_unix"] is None or row["expires_unix"] > now + 5}
    found = {row.entry.key.hex(): json_row(row) for row in stream_keys(store, KeyFilter())}
    assert alive <= set(found) <= set(true)
    for key, row in found.items():
        assert row["class"] == (None if true[key]["class"] == "custom" else true[key]["class"]), key
        if row["kind"] == "counter":
            assert row["counter"] == int(bytes.fromhex(true[key]["value_hex"]))
        else:
            assert row["value_hex"] == true[key]["value_hex"]
    counted = census.json_census(census.count(store, actor))
    assert counted["exact"]
    assert {row["class"] or "custom": row["keys"] + row["counters"] + row["locks"] for row in counted["classes"]} == dict(
        Counter(row["class"] or "custom" for row in found.values())
    )
    outcomes = edit.delete_many(actor, store, [(bytes.fromhex(key), ANYTHING) for key in found])
    assert {outcome.state for outcome in outcomes} == {"deleted"}
    own.stop()


def test_a_rare_class_is_answered_by_the_census_while_the_search_goes_on(
    store: Store, client: redis.Redis, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(20_000):
            pipe.set(b"filler-%d" % number, b"x")
        pipe.execute()
    census.count(store, actor)
    monkeypatch.setattr("stores.backends.redis_pages.STEP_KEYS", 5_000)
    wanted = KeyFilter(class_slug="token-revision")
    page = list_keys(store, wanted)
    assert (page.rows, page.out_of_time, page.complete) == ((), True, False)
    assert page.census is not None and page.census.keys == 0
    assert (page.scanned, page.progress) == (0, 0.0), "the store is not even asked"
    found, pages = list(page.rows), 1
    while page.next:
        page = list_keys(store, wanted, page.next)
        found, pages = found + list(page.rows), pages + 1
    assert (found, page.complete) == ([], True) and pages < 20
    assert list_keys(store, KeyFilter(), limit=100).rows


def test_a_page_of_one_class_among_many_keys_costs_few_commands(store: Store, client: redis.Redis) -> None:
    at = int(time.time()) + 5000
    with client.pipeline(transaction=False) as pipe:
        for number in range(8_000):
            pipe.set(b"filler-%d" % number, b"x")
        for number in range(2_000):
            pipe.set(b"\x05" + number.to_bytes(4, "big") + WINDOW, b"1", exat=at)
        pipe.execute()
    wanted, cursor = KeyFilter(class_slug="rate-auth"), ""
    for _ in range(4):
        before = int(client.info("stats")["total_commands_processed"])
        page = list_keys(store, wanted, cursor)
        commands = int(client.info("stats")["total_commands_processed"]) - before
        assert 90 <= len(page.rows) <= 140 and commands <= 300, (len(page.rows), commands)
        assert not page.out_of_time and page.next is not None
        cursor = page.next
