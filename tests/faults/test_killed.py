"""A server is killed in the middle of a walk, a count, an edit, a purge: an error in time, then the same store works again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from stores.backends.base import Backend
from stores.backends.redis import RedisBackend
from stores.errors import CursorLost, StoreError, StoreUnavailable
from stores.types import ALL_KEYS, ANYTHING, Cursor, Entry, KeyRange, Kind, Pace
from tests.faults.conftest import fails, place_of, presentable, recovered
from tests.faults.places import Place

KEYS = [b"k%05d" % number for number in range(400)]
NOW = 1_900_000_000


def plant(backend: Backend, expires_at: int | None = None) -> None:
    """Keys written as any client writes them."""
    answers = backend.put_each([(Entry(key, Kind.VALUE, key[::-1], expires_at=expires_at), ANYTHING) for key in KEYS])
    assert not [answer for answer in answers if isinstance(answer, StoreError)]


def walked(backend: Backend, cursor: Cursor | None = None) -> list[bytes]:
    found: list[bytes] = []
    while True:
        page = backend.scan(ALL_KEYS, cursor, 50)
        found += [entry.key for entry in page.entries]
        cursor = page.next
        if cursor is None:
            return found


def test_in_the_middle_of_a_walk_and_a_count(place: Place) -> None:
    with place.open() as backend, place.open() as counting:
        plant(backend)
        page = backend.scan(ALL_KEYS, None, 50)
        assert page.next is not None
        steps = counting.census()
        place.kill()
        calls: list[Callable[[], object]] = [
            lambda: walked(backend, page.next),
            lambda: walked(backend),
            lambda: backend.count(),
            lambda: backend.get(KEYS[0]),
            lambda: backend.ping(),
            lambda: backend.key_set(KEYS[0], b"v"),
            lambda: backend.delete(KEYS[0]),
            lambda: list(steps),
        ]
        try:
            for call in calls:
                fails(place, call, StoreUnavailable)
            assert backend.check()[-1].state == "failed"
        finally:
            place.start()
        recovered(backend)
        try:
            found = [entry.key for entry in page.entries] + walked(backend, page.next)
        except CursorLost:
            found = walked(backend)
        assert sorted(found) == KEYS, "nothing is missing, nothing came twice"
        assert sorted(row.key for step in recovered(counting).census() for row in step.rows) == KEYS


def test_in_the_middle_of_edits(place: Place) -> None:
    """Every acknowledged change is there, none is half made: a counter carries its number in its expiry too."""
    key = KEYS[0]
    tried = acknowledged = 0
    errors: list[StoreError] = []

    def edit() -> None:
        nonlocal tried, acknowledged
        with place.open() as backend:
            try:
                for tried in count(1):
                    backend.counter_set(key, tried, NOW + tried)
                    acknowledged = tried
            except StoreError as error:
                errors.append(error)

    thread = threading.Thread(target=edit)
    thread.start()
    until = time.monotonic() + 20
    while acknowledged < 20 and time.monotonic() < until:
        time.sleep(0.005)
    place.kill()
    thread.join(20)
    place.start()
    assert acknowledged >= 20
    (error,) = errors
    assert isinstance(presentable(error, place.secret), StoreUnavailable)
    assert "whether" in str(error) or acknowledged == tried - 1
    with place.open() as backend:
        entry = recovered(backend).get(key)
        assert entry is not None
        number = entry.counter if entry.counter is not None else int(entry.value or b"")
        assert entry.expires_at == NOW + number, "number and expiry belong together"
        assert acknowledged <= number <= tried
        assert backend.counter_incr(key, 1) == number + 1


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_in_the_middle_of_a_purge(kind: str) -> None:
    place = place_of(kind)
    with place.open() as backend:
        expired = [b"old%05d" % number for number in range(6000)]
        backend.put_each([(Entry(key, Kind.VALUE, b"v", expires_at=NOW - 1), ANYTHING) for key in expired])
        plant(backend, NOW + 60)
        steps = backend.purge(NOW, Pace.GENTLE)
        done = [next(steps)]
        assert done[0].progress != 1.0, "there is more to do"
        place.kill()
        try:
            fails(place, lambda: list(steps), StoreUnavailable)
        finally:
            place.start()
        recovered(backend)
        done += backend.purge(NOW, Pace.GENTLE, done[-1].position)
        assert set(walked(backend)) >= set(KEYS), "nothing went that had not expired"
        assert sum(step.values for step in done) <= len(expired)
        list(backend.purge(NOW))
        assert sorted(walked(backend)) == KEYS, "what a crash brought back goes with the next purge"


@pytest.mark.parametrize("kind", ["redis", "cluster", "sentinel"])
def test_in_the_middle_of_the_removal_of_a_set(kind: str) -> None:
    place = place_of(kind)
    with place.open() as backend:
        assert isinstance(backend, RedisBackend)
        plant(backend)
        backend.put_each([(Entry(b"old%05d" % number, Kind.VALUE, b"v"), ANYTHING) for number in range(4000)])
        steps = backend.delete_range(KeyRange.of_prefix(b"old"))
        next(steps)
        place.kill()
        try:
            fails(place, lambda: list(steps), StoreUnavailable, 40)
        finally:
            place.start()
        recovered(backend)
        assert sum(step.count for step in backend.delete_range(KeyRange.of_prefix(b"old"))) > 0
        assert sorted(walked(backend)) == KEYS
