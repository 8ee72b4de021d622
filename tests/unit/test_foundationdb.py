"""FoundationDB's backend against a stand-in for the client: unknown outcomes, conflicts, limits, long values, missing parts."""

from __future__ import annotations

import builtins
import json
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from stores.backends import fdbclient
from stores.backends import foundationdb as module
from stores.backends.foundationdb import FoundationDBBackend
from stores.codecs.rows import marker_row, value_row
from stores.errors import BadConfig, Conflict, NotSupported, StoreError, StoreRefused, StoreUnavailable
from stores.types import ANYTHING, KEEP, Entry, Kind
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.fakefdb import Cluster, FakeFDB, FDBError

NOW = 1_900_000_000


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeFDB:
    fake = FakeFDB()
    monkeypatch.setattr(fdbclient, "client", lambda: fake)
    monkeypatch.setattr(fdbclient, "_opened_by", 0)
    monkeypatch.setattr(fdbclient, "_versions", {})
    return fake


@pytest.fixture
def cluster(fake: FakeFDB) -> Cluster:
    return fake.cluster("test")


@pytest.fixture
def store(fake: FakeFDB) -> Iterator[FoundationDBBackend]:
    with FoundationDBBackend({"cluster-file": "test"}, version="0.11", clock=lambda: NOW) as backend:
        yield backend


def walk(store: FoundationDBBackend, limit: int = 100) -> list[Entry]:
    found: list[Entry] = []
    cursor = None
    while True:
        page = store.scan(cursor=cursor, limit=limit)
        found += page.entries
        cursor = page.next
        if cursor is None:
            return found


@needs_fixtures
def test_the_captured_cluster_is_read_and_purged(store: FoundationDBBackend, cluster: Cluster) -> None:
    folder = FIXTURES / "stalwart-0.11.8" / "foundationdb"
    raw = [json.loads(line) for line in (folder / "raw-keyspace.jsonl").read_text().splitlines()]
    cluster.rows = {bytes.fromhex(row["fdb_key_hex"]): bytes.fromhex(row["fdb_value_hex"]) for row in raw}
    cluster.order = None
    cluster.boundaries = [b"m\x05", b"m\x11", b"y\x11b"]
    expected = {bytes.fromhex(row["key_hex"]): row for row in map(json.loads, (folder / "rows-final.jsonl").read_text().splitlines())}
    entries = walk(store, 37)
    assert [entry.key for entry in entries] == sorted(expected)
    assert all(entry.expires_at == expected[entry.key]["expires_unix"] for entry in entries)
    assert {entry.key: entry.counter for entry in entries} == {key: row.get("counter") for key, row in expected.items()}
    counted = [row for step in store.census() for row in step.rows]
    assert sorted((row.key, row.expires_at) for row in counted) == [(entry.key, entry.expires_at) for entry in entries]
    now = 1_800_000_000
    gone = {key for key, row in expected.items() if row["expires_unix"] is not None and row["expires_unix"] <= now}
    steps = list(store.purge(now))
    assert sum(step.values + step.counters + step.locks for step in steps) == len(gone) > 0
    assert {entry.key for entry in walk(store)} == set(expected) - gone


def test_rows_lie_where_the_server_looks_for_them(store: FoundationDBBackend, cluster: Cluster) -> None:
    store.key_set(b"key", b"v", NOW + 5)
    store.counter_set(b"c", -3, NOW + 5)
    assert cluster.rows == {
        b"mkey": value_row(b"v", NOW + 5),
        b"mc": marker_row(NOW + 5),
        b"yc": (-3).to_bytes(8, "little", signed=True),
    }


def test_numbers_of_the_oldest_layout_are_in_another_table(fake: FakeFDB, cluster: Cluster) -> None:
    with FoundationDBBackend({"cluster-file": "test"}, version="0.10") as store:
        store.counter_incr(b"c", 1)
    assert set(cluster.rows) == {b"nc"}


def test_foreign_numbers_of_the_oldest_layout_are_left_alone(fake: FakeFDB, cluster: Cluster) -> None:
    foreign = bytes(6) + b"\x01\x02\x03\x04"
    cluster.rows = {b"n" + foreign: bytes(8), b"m" + foreign: value_row(b"v", NOW - 1)}
    cluster.order = None
    with FoundationDBBackend({"cluster-file": "test"}, version="0.10") as store:
        assert [(entry.key, entry.counter) for entry in walk(store)] == [(foreign, None)]
        assert [row.value_bytes for step in store.census() for row in step.rows] == [9]
        with pytest.raises(BadConfig):
            store.counter_incr(foreign, 1)
        assert sum(step.values for step in store.purge(NOW)) == 1
    assert cluster.rows == {b"n" + foreign: bytes(8)}


def test_the_version_and_the_servers_settings_are_read(store: FoundationDBBackend, cluster: Cluster) -> None:
    assert (store.detect_version(), store.server_settings(["queue."])) == ("", None)
    cluster.rows, cluster.order = {b"squeue.limiter.a": b"1", b"sserver.x": b"2"}, None
    assert (store.detect_version(), store.server_settings(["queue.", "none."])) == ("", {"queue.limiter.a": "1"})
    cluster.rows, cluster.order = {**cluster.rows, b"zrow": b""}, None
    assert store.detect_version() == "0.15"
    cluster.rows, cluster.order = {b"s\x00\x11\x04\xc0\x31\x50\x19\xe0\x0c\x00": b"object"}, None
    assert store.detect_version() == "0.16"


def test_deleting_and_purging_leave_the_keys_that_begin_with_the_row(store: FoundationDBBackend, cluster: Cluster) -> None:
    store.key_set(b"k", bytes(250_000), NOW - 1)
    for key in (b"k\x05", b"k1", b"k\xfe"):
        store.key_set(key, b"v")
    store.counter_set(b"k", 5, NOW - 1)
    store.counter_set(b"k2", 5)
    store.delete(b"k")
    assert set(cluster.rows) == {b"mk\x05", b"mk1", b"mk\xfe", b"yk2"}
    store.key_set(b"k", bytes(250_000), NOW - 1)
    assert len([key for key in cluster.rows if key.startswith(b"mk")]) == 6
    assert sum(step.values for step in store.purge(NOW)) == 1
    assert set(cluster.rows) == {b"mk\x05", b"mk1", b"mk\xfe", b"yk2"}


def test_a_piece_of_a_long_value_is_neither_shown_nor_written(store: FoundationDBBackend, cluster: Cluster) -> None:
    store.key_set(b"k", bytes(250_000))
    before = dict(cluster.rows)
    assert store.get(b"k\x00") is None
    assert store.get(b"k\x01") is None
    writes: list[Callable[[], object]] = [
        lambda: store.key_set(b"k\x00", b"v"),
        lambda: store.delete(b"k\x01"),
        lambda: store.key_set(b"k\x02", b"it would be read as a piece"),
    ]
    for write in writes:
        with pytest.raises(BadConfig, match="piece of a longer value"):
            write()
    assert cluster.rows == before
    assert [entry.key for entry in walk(store)] == [b"k"]


def test_a_page_of_large_values_ends_early_and_loses_nothing(store: FoundationDBBackend) -> None:
    for number in range(8):
        store.key_set(b"k%d" % number, bytes([number]) * 900_000)
    page = store.scan(limit=100)
    assert 1 < len(page.entries) < 8
    assert page.next is not None
    assert [(entry.key, entry.value) for entry in walk(store)] == [(b"k%d" % n, bytes([n]) * 900_000) for n in range(8)]
    assert sum(len(step.rows) for step in store.census()) == 8


def test_a_purge_of_large_values_and_long_keys_stays_under_ten_megabytes(store: FoundationDBBackend, cluster: Cluster) -> None:
    for number in range(12):
        store.key_set(b"v%02d" % number, bytes(900_000), NOW - 1)
    cluster.rows = {**cluster.rows, **{b"mk%04d" % n + b"x" * 9_900: value_row(b"", NOW - 1) for n in range(700)}}
    cluster.order = None
    steps = list(store.purge(NOW))
    assert sum(step.values for step in steps) == 712
    assert cluster.rows == {}


def test_values_up_to_the_limit_fit_into_a_transaction(store: FoundationDBBackend) -> None:
    limits = store.capabilities
    for key, size in ((b"k", limits.max_value), (b"k" * limits.max_key, 5_000_000)):
        for _ in range(2):
            store.key_set(key, bytes(size))
        read = store.get(key)
        assert read is not None
        assert read.value == bytes(size)
    with pytest.raises(BadConfig, match="too large for one transaction"):
        store.key_set(b"k" * limits.max_key, bytes(limits.max_value))
    with pytest.raises(BadConfig) as caught:
        store.key_set(b"k", bytes(limits.max_value + 1))
    assert caught.value.field == "value"
    assert store.get(b"k" * 20_000) is None


# what may go wrong


@pytest.mark.parametrize("place", ["commit", "commit, done"])
@pytest.mark.parametrize("code", [1021, 1039])
def test_an_increment_of_unknown_outcome_is_made_once(store: FoundationDBBackend, cluster: Cluster, place: str, code: int) -> None:
    store.counter_set(b"c", 5, NOW + 60)
    cluster.errors = [(place, code)]
    assert store.counter_incr(b"c", 1) == 6
    assert store.counter_get(b"c") == 6
    assert cluster.errors == []


@pytest.mark.parametrize("place", ["commit", "commit, done"])
def test_a_conditional_write_of_unknown_outcome_is_no_conflict(store: FoundationDBBackend, cluster: Cluster, place: str) -> None:
    seen = store.key_set(b"k", b"old")
    cluster.errors = [(place, 1021)]
    assert store.key_set(b"k", b"new", KEEP, seen).value == b"new"
    cluster.errors = [(place, 1021)]
    assert store.delete(b"k", store.get(b"k") or ANYTHING) is not None
    assert store.get(b"k") is None
    with pytest.raises(Conflict):
        store.key_set(b"k", b"again", KEEP, seen)


@pytest.mark.parametrize("place", ["commit", "commit, done"])
def test_a_purge_step_of_unknown_outcome_counts_what_went(store: FoundationDBBackend, cluster: Cluster, place: str) -> None:
    store.key_set(b"v", b"x", NOW - 1)
    store.counter_set(b"c", 1, NOW - 1)
    store.key_set(b"live", b"x")
    cluster.errors = [(place, 1021)]
    steps = list(store.purge(NOW))
    assert (sum(step.values for step in steps), sum(step.counters for step in steps)) == (1, 1)
    assert sum(step.bytes for step in steps) == (1 + 9) + (1 + 16 + 8)
    assert set(cluster.rows) == {b"mlive"}


def test_what_others_change_meanwhile_is_decided_again(store: FoundationDBBackend, cluster: Cluster) -> None:
    store.counter_set(b"c", 5)
    cluster.errors = [("commit", 1020), ("commit", 1020), ("read", 1007)]
    assert store.counter_incr(b"c", 1) == 6
    cluster.errors = [("read", 1009), ("read", 1037)]
    assert [entry.counter for entry in walk(store)] == [6]
    assert cluster.errors == []


def test_retries_end(fake: FakeFDB, cluster: Cluster) -> None:
    with FoundationDBBackend({"cluster-file": "test", "transaction.retry-limit": "2"}, version="0.11") as store:
        cluster.errors = [("commit", 1020)] * 3
        with pytest.raises(StoreUnavailable, match="again and again"):
            store.key_set(b"k", b"v")
    assert cluster.rows == {}


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (1031, StoreUnavailable, "within 5 s"),
        (1021, StoreUnavailable, "not known whether"),
        (1038, StoreRefused, "locked"),
        (6000, StoreRefused, "refused the access"),
        (1500, StoreUnavailable, "error 1500"),
    ],
)
def test_errors_say_what_to_do(store: FoundationDBBackend, cluster: Cluster, code: int, kind: type[StoreError], words: str) -> None:
    cluster.errors = [("read", code)] * 150
    with pytest.raises(kind, match=words) as caught:
        store.scan()
    assert caught.value.fix
    cluster.errors = [("read", code)] * 150
    with pytest.raises(kind):
        list(store.census())
    cluster.errors = []
    assert store.scan().entries == ()


def test_a_write_that_times_out_says_that_it_may_have_happened(store: FoundationDBBackend, cluster: Cluster) -> None:
    cluster.errors = [("commit", 1031)]
    with pytest.raises(StoreUnavailable, match="not known whether the change was made"):
        store.key_set(b"k", b"v")


def test_the_connection_test_goes_step_by_step(fake: FakeFDB, store: FoundationDBBackend, cluster: Cluster) -> None:
    assert [(check.name, check.state) for check in store.check()] == [("Client library", "ok"), ("Cluster", "ok"), ("Tables", "ok")]
    assert store.ping().server == "FoundationDB 7.3.69"
    with FoundationDBBackend({"cluster-file": "/missing"}, version="0.11") as other:
        checks = other.check()
    assert [(check.name, check.state) for check in checks] == [("Client library", "ok"), ("Cluster", "failed")]
    assert "no cluster file: /missing" in checks[-1].detail
    assert checks[-1].fix


def test_ids_reach_the_client(fake: FakeFDB) -> None:
    with FoundationDBBackend({"cluster-file": "test", "ids.machine": "m1", "ids.datacenter": "dc1"}, version="0.11") as store:
        store.scan()
    assert {("machine", "m1"), ("datacenter", "dc1")} <= set(fake.ids)


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"transaction.timeout": "soon"}, "transaction.timeout"), ({"transaction.retry-limit": "-1"}, "transaction.retry-limit")],
)
def test_bad_settings_name_their_field(settings: dict[str, str], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        FoundationDBBackend(settings)
    assert caught.value.field == field


def test_timeouts_are_read_as_the_server_reads_them() -> None:
    assert FoundationDBBackend({}).options.timeout_ms == 5000
    assert FoundationDBBackend({"transaction.timeout": "1500"}).options.timeout_ms == 1500
    assert FoundationDBBackend({"transaction.timeout": "30s"}).options.timeout_ms == 30_000
    assert FoundationDBBackend({}).options.cluster_file is None


def test_a_walk_over_shards_comes_in_order_and_may_be_left(
    store: FoundationDBBackend, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_OF_PAGE", 7)
    rows = {b"m%03d" % number: value_row(b"", None) for number in range(200)}
    cluster.rows, cluster.order = {**rows, b"n": b"not ours", b"y000": bytes(8)}, None
    cluster.boundaries = [b"m%03d" % number for number in range(0, 200, 23)]
    assert [key for key, _ in store._walk(b"m", b"")] == [key[1:] for key in sorted(rows)]
    assert [key for key, _ in store._walk(b"m", b"101")] == [b"%03d" % number for number in range(101, 200)]
    left = store._walk(b"m", b"")
    assert next(left)[0] == b"000"
    left.close()  # type: ignore[attr-defined]


def test_a_forked_child_is_told_instead_of_waiting_for_ever(store: FoundationDBBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    store.scan()
    monkeypatch.setattr(os, "getpid", lambda: -5)
    with pytest.raises(StoreUnavailable, match="forked"):
        store.scan()


# missing parts


def test_without_the_package_the_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "fdb":
            raise ModuleNotFoundError("No module named 'fdb'", name="fdb")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with FoundationDBBackend({}) as store, pytest.raises(NotSupported, match="Python package foundationdb"):
        store.scan()


@pytest.mark.parametrize("error", [Exception("Unable to locate the API shared library"), RuntimeError("API version not supported")])
def test_without_the_library_the_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    broken = ModuleType("fdb")

    def api_version(number: int) -> None:
        assert number == 730
        raise error

    broken.api_version = api_version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fdb", broken)
    with FoundationDBBackend({}) as store:
        with pytest.raises(NotSupported, match=str(error)) as caught:
            store.key_set(b"k", b"v")
        assert "foundationdb-clients" in caught.value.fix
        assert store.check()[0].state == "failed"


def test_the_stand_in_has_the_limits_of_the_real_thing(fake: FakeFDB) -> None:
    transaction = fake.open("test").create_transaction()
    transaction.options.set_timeout(1)
    attempts: list[tuple[int, Callable[[], object]]] = [
        (2102, lambda: transaction.set(b"k" * 10_001, b"")),
        (2103, lambda: transaction.set(b"k", bytes(100_001))),
        (2004, lambda: transaction.get(b"\xffk")),
    ]
    for code, attempt in attempts:
        with pytest.raises(FDBError) as caught:
            attempt()
        assert caught.value.code == code
    for number in range(101):
        transaction.set(b"k%d" % number, bytes(100_000))
    with pytest.raises(FDBError) as caught:
        transaction.commit()
    assert caught.value.code == 2101


def test_an_entry_beside_a_value_keeps_both(store: FoundationDBBackend) -> None:
    store.counter_set(b"k", 8)
    entry = store.key_set(b"k", b"zz")
    assert (entry.kind, entry.counter) == (Kind.VALUE, 8)
