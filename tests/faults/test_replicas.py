"""Read replicas with real servers: old reads from the standby, everything else from the primary, and what happens when either is away."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stores.backends import replica as module
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.replica import ReplicaBackend
from stores.errors import ReadOnly, StoreUnavailable
from stores.types import ALL_KEYS, Entry
from tests.faults.conftest import place_of, presentable, recovered
from tests.faults.places import PostgreSQLPlace
from tests.servers.postgresql import Standby
from tests.servers.redis import wait_for
from tests.servers.relay import Relay


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    place = place_of("postgresql")
    assert isinstance(place, PostgreSQLPlace)
    found = Standby(place.server)
    yield found
    found.stop()


@pytest.fixture
def place(standby: Standby, monkeypatch: pytest.MonkeyPatch) -> PostgreSQLPlace:
    monkeypatch.setattr(module, "_away", {})
    found = place_of("postgresql")
    assert isinstance(found, PostgreSQLPlace)
    return found


def open_store(place: PostgreSQLPlace, standby: Standby, port: int = 0) -> ReplicaBackend:
    copy = {**place.settings, "port": str(port or standby.port)}
    return ReplicaBackend({"primary": "main", "replicas": "copy"}, members=[place.open(), PostgreSQLBackend(copy)])


def followed(standby: Standby, place: PostgreSQLPlace) -> None:
    """Wait until the standby has what the primary has."""
    with place.server.connect(place.database, "postgres") as primary, standby.connect(place.database, "postgres") as copy:
        (position,) = primary.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("",)
        wait_for(
            lambda: copy.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,)).fetchone() == (True,), what="the standby"
        )


def replay(standby: Standby, place: PostgreSQLPlace, going: bool) -> None:
    with standby.connect(place.database, "postgres") as copy:
        copy.execute(f"SELECT pg_wal_replay_{'resume' if going else 'pause'}()".encode())


def test_lists_may_be_old_and_nothing_else_is(place: PostgreSQLPlace, standby: Standby) -> None:
    with open_store(place, standby) as store:
        store.key_set(b"old", b"v", 1000)
        followed(standby, place)
        replay(standby, place, going=False)
        try:
            store.key_set(b"new", b"v")
            assert [entry.key for entry in store.scan().entries] == [b"old"], "the list comes from the standby"
            assert [row.key for step in store.census() for row in step.rows] == [b"old"]
            seen = store.get(b"new")
            assert seen is not None, "what is edited comes from the primary"
            assert store.set_expiry(b"new", 2_000_000_000, seen).expires_at == 2_000_000_000
            assert sum(step.values for step in store.purge(1000)) == 1, "the primary is purged"
            assert store.get(b"old") is None
        finally:
            replay(standby, place, going=True)
        wait_for(lambda: [entry.key for entry in store.scan().entries] == [b"new"], what="the standby to follow the purge")
        assert "replica" not in store.ping().server
    with PostgreSQLBackend({**place.settings, "port": str(standby.port)}) as alone:
        assert not alone.capabilities.writes
        with pytest.raises(ReadOnly):
            alone.key_set(b"k", b"v")


def test_a_standby_that_is_down_or_silent_is_left_out_and_said_so(
    place: PostgreSQLPlace, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as primary:
        primary.key_set(b"k", b"v")
    followed(standby, place)
    with Relay(standby.port) as relay:
        with open_store(place, standby, relay.port) as store:
            steps = store.census()
            store.scan()
            relay.silent = True
            began = time.monotonic()
            assert [entry.key for entry in store.scan().entries] == [b"k"], "the primary answers instead"
            assert time.monotonic() - began < 10
            assert [row.key for step in steps for row in step.rows] == [b"k"]
            assert "without replica 1" in store.ping().server
        with open_store(place, standby, relay.port) as store:
            began = time.monotonic()
            assert [entry.key for entry in store.scan().entries] == [b"k"]
            assert time.monotonic() - began < 2, "the next page does not wait for it"
            assert any(check.name == "Replica 1" and check.state == "warn" for check in store.check())
        relay.silent = False
        monkeypatch.setattr(module, "_away", {})
        with open_store(place, standby, relay.port) as store:
            assert "replica" not in store.ping().server, "it is asked again after a while"
            assert store.replicas


def test_a_primary_that_is_down_is_an_error_for_all_but_lists(place: PostgreSQLPlace, standby: Standby) -> None:
    with open_store(place, standby) as store:
        store.key_set(b"k", b"v")
        followed(standby, place)
        place.kill()
        try:
            assert [entry.key for entry in store.scan(ALL_KEYS).entries] == [b"k"]
            for call in (lambda: store.get(b"k"), lambda: store.key_set(b"k", b"w"), lambda: list(store.purge(1)), store.ping):
                with pytest.raises(StoreUnavailable) as caught:
                    call()
                presentable(caught.value, place.secret)
        finally:
            place.start()
        recovered(store)
        found = store.get(b"k")
        assert isinstance(found, Entry)
        assert found.value == b"v"
        assert store.key_set(b"k", b"w").value == b"w"
