"""Giving space back: not one row changes, the space is there again, and a stopped one leaves everything as it was."""

from __future__ import annotations

import random
import sqlite3

import pytest

from stores.errors import NotSupported
from stores.types import Pace, TidyOffer
from tests.contract.harness import StoreUnderTest
from tests.contract.mixture import is_lock, mixture

ROWS = 20_000


def emptied(store: StoreUnderTest) -> None:
    """A store from which most rows have just been purged, the live ones among them."""
    at = store.now - 1
    store.harness.plant(mixture(500))
    noise = random.Random(7)
    store.values([(b"gone%05d" % number, noise.randbytes(200), at) for number in range(ROWS)])
    for _ in store.backend.purge(store.now, Pace.FAST, "", is_lock):
        pass


def size(offer: TidyOffer) -> int:
    assert offer.size is not None
    return offer.size


@pytest.mark.layout("data")
@pytest.mark.needs("tidies")
def test_rows_stay_and_space_comes_back(store: StoreUnderTest) -> None:
    emptied(store)
    rows = store.harness.raw()
    assert rows[0]
    offer = store.backend.tidy_offer()
    assert offer.ways
    assert not offer.why
    for way in offer.ways:
        assert way.does
        assert way.locks
        assert way.statements
        assert not way.refused
        shares = [step.progress for step in store.another().tidy(way.name) if step.progress is not None]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert store.harness.raw() == rows
    after = store.another().tidy_offer()
    assert size(after) < 0.7 * size(offer)
    assert store.backend.get(next(iter(rows[0]))) is not None


@pytest.mark.layout("data")
@pytest.mark.needs("tidies")
def test_one_that_is_stopped_leaves_every_row_and_no_lock(store: StoreUnderTest) -> None:
    emptied(store)
    rows = store.harness.raw()
    for way in store.backend.tidy_offer().ways:
        steps = store.another().tidy(way.name)
        next(steps)
        steps.close()  # type: ignore[attr-defined]
    assert store.harness.raw() == rows
    store.another().key_set(b"written", b"afterwards")
    assert store.another().key_get(b"written") == b"afterwards"


@pytest.mark.layout("data")
@pytest.mark.needs("tidies")
def test_a_way_that_is_not_offered_is_refused(store: StoreUnderTest) -> None:
    with pytest.raises(NotSupported):
        list(store.backend.tidy("full"))


def test_who_needs_nothing_says_why(store: StoreUnderTest) -> None:
    if store.backend.capabilities.tidies:
        pytest.skip(f"{store.name} can be tidied")
    offer = store.backend.tidy_offer()
    assert not offer.ways
    assert offer.why
    with pytest.raises(NotSupported):
        list(store.backend.tidy("vacuum"))


def test_a_file_made_for_it_shrinks_by_pages_beside_a_writer(tmp_path: object) -> None:
    from stores.backends.sqlite import SQLiteBackend
    from stores.codecs.sqltables import create_statements

    path = f"{tmp_path}/store.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        for statement in create_statements("sqlite"):
            connection.execute(statement)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%06d" % number, bytes(400)) for number in range(ROWS)])
        connection.execute("COMMIT")
        connection.execute("DELETE FROM m WHERE k >= ?", (b"k000100",))
    with SQLiteBackend({"path": path}) as backend:
        before = backend.tidy_offer()
        assert [way.name for way in before.ways] == ["pages", "log"]
        for count, _ in enumerate(backend.tidy("pages")):
            connection.execute("INSERT OR REPLACE INTO y VALUES (?, ?)", (b"n%d" % count, count))
        after = backend.tidy_offer()
        assert count > 3, "several steps, with room for a writer between them"
        assert (before.free or 0) > ROWS * 300
        assert (after.free or 0) < ROWS * 10
        assert connection.execute("SELECT count(*) FROM m").fetchone() == (100,)
        assert connection.execute("SELECT count(*) FROM y").fetchone() == (count + 1,)
    connection.close()


def test_a_disk_without_room_refuses_the_whole_file(store_file: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.backends.sqlite_tidy.disk_free", lambda folder: 4096)
    emptied(store_file)
    whole = store_file.backend.tidy_offer().ways[0]
    assert whole.asks
    assert whole.refused
    with pytest.raises(Exception, match="not enough room"):
        list(store_file.backend.tidy(whole.name))


@pytest.fixture
def store_file() -> object:
    from tests.contract.harness import SettableClock
    from tests.contract.sqlite import SQLiteHarness

    harness, clock = SQLiteHarness(), SettableClock()
    backend = harness.open(clock)
    yield StoreUnderTest("sqlite", harness, backend, clock)
    backend.close()
    harness.close()
