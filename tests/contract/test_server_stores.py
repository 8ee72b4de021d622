"""What is particular to PostgreSQL and MySQL: limits of keys and packets, row addresses, settings that must not leak, standbys."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import MAX_KEY, PostgreSQLBackend
from stores.codecs.rows import value_row
from stores.errors import BadConfig, CursorLost, ReadOnly, StoreUnavailable
from stores.types import Capabilities, Entry, Kind, Pace
from tests.contract.harness import NOW, Plant, SettableClock
from tests.contract.mixture import is_lock, mixture, purged
from tests.contract.mysql import MariaDBHarness
from tests.contract.postgresql import PostgreSQLHarness

OLD = NOW - 10


@pytest.fixture
def postgresql() -> Iterator[PostgreSQLHarness]:
    harness = PostgreSQLHarness()
    yield harness
    harness.close()


@pytest.fixture
def mariadb() -> Iterator[MariaDBHarness]:
    harness = MariaDBHarness()
    yield harness
    harness.close()


@contextmanager
def opened(harness: PostgreSQLHarness) -> Iterator[PostgreSQLBackend]:
    with closing(harness.open(SettableClock())) as backend:
        yield backend


# PostgreSQL


def test_the_longest_new_key_fits_the_index(postgresql: PostgreSQLHarness) -> None:
    key = random.Random(1).randbytes(MAX_KEY)
    with opened(postgresql) as backend:
        assert backend.key_set(key, b"v").key == key
        assert backend.counter_incr(key, 1) == 1
        with pytest.raises(BadConfig) as refused:
            backend.key_set(key + b"x", b"v")
        assert refused.value.field == "key"


def test_a_longer_key_that_the_server_could_pack_is_edited_and_restored(postgresql: PostgreSQLHarness) -> None:
    key = b"L" * 3000
    postgresql.plant([Plant(key, value_row(b"v", NOW + 60))])
    with opened(postgresql) as backend:
        seen = backend.get(key)
        assert seen is not None
        assert backend.set_expiry(key, NOW + 90, seen).expires_at == NOW + 90
        removed = backend.delete(key)
        assert removed is not None
        backend.put(removed)
        assert [entry.key for entry in backend.scan().entries] == [key]
        with pytest.raises(BadConfig, match="too long"):
            backend.put(Entry(random.Random(2).randbytes(3000), Kind.VALUE, b"v", row=value_row(b"v", None)))


def test_a_server_before_14_purges_by_lists_of_row_addresses(postgresql: PostgreSQLHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgreSQLBackend, "_old_server", lambda self: True)
    rows = mixture(4000, seed=8)
    postgresql.plant(rows)
    sums, m, y = purged(rows)
    with opened(postgresql) as backend:
        steps = list(backend.purge(NOW, Pace.NORMAL, "", is_lock))
    assert postgresql.raw() == (m, y)
    assert sum(step.values for step in steps) == sums.values
    assert sum(step.counters for step in steps) == sums.counters
    assert sum(step.scanned for step in steps) == sums.scanned


def test_a_purge_starts_over_when_the_table_was_rewritten(postgresql: PostgreSQLHarness) -> None:
    postgresql.plant([Plant(b"live%05d" % n, value_row(b"x" * 60, NOW + 60)) for n in range(4000)])
    postgresql.plant([Plant(b"dead%05d" % n, value_row(b"x" * 60, OLD)) for n in range(4000)])
    with opened(postgresql) as backend:
        first = next(backend.purge(NOW, Pace.GENTLE))
        postgresql.connection.execute("DELETE FROM m WHERE k < 'live02000'::bytea AND k > 'live'::bytea")
        postgresql.connection.execute("VACUUM FULL m")
        steps = list(backend.purge(NOW, Pace.GENTLE, first.position))
        assert first.values + sum(step.values for step in steps) == 4000
        with pytest.raises(CursorLost):
            list(backend.purge(NOW, Pace.GENTLE, "kYQ"))
    assert len(postgresql.raw()[0]) == 2000


def test_settings_of_a_transaction_do_not_stay_in_the_session(postgresql: PostgreSQLHarness) -> None:
    """Behind a pooler the next user of this session may be the mail server."""
    postgresql.plant(mixture(200))
    names = [
        "statement_timeout",
        "lock_timeout",
        "jit",
        "enable_seqscan",
        "enable_sort",
        "enable_hashjoin",
        "default_transaction_read_only",
    ]
    with opened(postgresql) as backend:
        connection = backend._open()
        before = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
        backend.scan()
        backend.key_set(b"k", b"v")
        list(backend.purge(NOW))
        with pytest.raises(BadConfig):
            backend.counter_incr(b"k", 1 << 64)
        assert [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names] == before
        assert connection.info.transaction_status.name == "IDLE"


def test_the_options_of_libpq_are_passed_on(postgresql: PostgreSQLHarness) -> None:
    postgresql.connection.execute("CREATE SCHEMA IF NOT EXISTS mail")
    postgresql.connection.execute("CREATE TABLE IF NOT EXISTS mail.m (k bytea PRIMARY KEY, v bytea NOT NULL)")
    postgresql.connection.execute("CREATE TABLE IF NOT EXISTS mail.y (k bytea PRIMARY KEY, v bigint NOT NULL)")
    try:
        settings = {**postgresql.server.settings(postgresql.database), "options": "-c search_path=mail"}
        with PostgreSQLBackend(settings) as backend:
            backend.key_set(b"k", b"in the other schema")
            assert backend.size_bytes() > 0
        assert postgresql.raw() == ({}, {})
        found = postgresql.connection.execute("SELECT v FROM mail.m").fetchone()
        assert found == (value_row(b"in the other schema", None),)
    finally:
        postgresql.connection.execute("DROP SCHEMA mail CASCADE")


def test_the_local_socket_is_used_without_a_host(postgresql: PostgreSQLHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.backends.postgresql.SOCKET_FOLDERS", (str(postgresql.server.folder),))
    settings = {**postgresql.server.settings(postgresql.database), "host": ""}
    with PostgreSQLBackend(settings) as backend:
        backend.key_set(b"k", b"v")
        names = [check.name for check in backend.check()]
    assert names[:2] == ["Connection", "Login"]


def test_a_row_that_another_transaction_holds(postgresql: PostgreSQLHarness) -> None:
    postgresql.plant([Plant(b"k", value_row(b"v", NOW + 60), 5)])
    other = postgresql.server.connect(postgresql.database)
    other.execute("BEGIN")
    other.execute("UPDATE y SET v = 6 WHERE k = 'k'::bytea")
    with opened(postgresql) as backend, pytest.raises(StoreUnavailable, match="holds this row"):
        backend.set_expiry(b"k", NOW + 90)
    other.execute("COMMIT")
    with opened(postgresql) as backend:
        assert backend.set_expiry(b"k", NOW + 90).counter == 6
    other.close()


# MySQL and MariaDB


def test_keys_end_at_255_bytes(mariadb: MariaDBHarness) -> None:
    with closing(mariadb.open(SettableClock())) as backend:
        key = bytes(range(255))
        backend.key_set(key, b"v")
        assert backend.counter_incr(key, -7) == -7, "a negative number is written and read back"
        with pytest.raises(BadConfig) as refused:
            backend.key_set(key + b"x", b"v")
        assert refused.value.field == "key"
        with pytest.raises(BadConfig, match="too long"):
            backend.put(Entry(key + b"x", Kind.VALUE, b"v", row=value_row(b"v", None)))
        assert backend.get(key + b"x") is None


def test_values_end_where_the_servers_packets_end(mariadb: MariaDBHarness) -> None:
    with closing(mariadb.open(SettableClock())) as backend:
        largest = backend.capabilities.max_value
        assert 7_000_000 < largest < 1 << 24
        value = bytes(largest)
        assert backend.key_set(b"k", value).size == 1 + 8 + largest
        read = backend.get(b"k")
        assert read is not None
        assert read.value == value
        with pytest.raises(BadConfig) as refused:
            backend.key_set(b"k", value + b"x")
        assert refused.value.field == "value"


def test_a_server_that_is_read_only_says_so(mariadb: MariaDBHarness) -> None:
    admin = mariadb.server.connect(None, "root", "")
    with admin.cursor() as cursor:
        cursor.execute("SET GLOBAL read_only = 1")
    try:
        with closing(mariadb.open(SettableClock())) as backend:
            assert not backend.capabilities.writes
            assert "read only" in backend.capabilities.why["writes"]
            with pytest.raises(ReadOnly):
                backend.key_set(b"k", b"v")
        with closing(Unaware(mariadb.server.settings(mariadb.database))) as unaware, pytest.raises(ReadOnly):
            unaware.key_set(b"k", b"v")
    finally:
        with admin.cursor() as cursor:
            cursor.execute("SET GLOBAL read_only = 0")
        admin.close()


class Unaware(MySQLBackend):
    """Believes that it may write, as after a fail-over during a request."""

    capabilities = Capabilities()


def test_a_session_keeps_to_its_limits(mariadb: MariaDBHarness) -> None:
    with closing(mariadb.open(SettableClock())) as backend:
        row = backend._query("SELECT @@tx_isolation, @@innodb_lock_wait_timeout, @@max_statement_time, @@sql_mode, @@autocommit")[0]
    assert row == ("READ-COMMITTED", 1, 5.0, "STRICT_ALL_TABLES", 1)


@pytest.mark.parametrize("pace", Pace)
def test_a_purge_of_many_locks_and_counters_counts_as_the_rows_say(mariadb: MariaDBHarness, pace: Pace) -> None:
    rows = mixture(5000, seed=21)
    mariadb.plant(rows)
    sums, m, y = purged(rows)
    with closing(mariadb.open(SettableClock())) as backend:
        steps = list(backend.purge(NOW, pace, "", is_lock))
    assert mariadb.raw() == (m, y)
    assert (sum(s.values for s in steps), sum(s.counters for s in steps), sum(s.locks for s in steps), sum(s.bytes for s in steps)) == (
        sums.values,
        sums.counters,
        sums.locks,
        sums.bytes,
    )
