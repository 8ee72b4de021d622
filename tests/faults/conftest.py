"""Servers that may be broken, one of each kind for all fault tests, and what every failed call must be like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from stores.backends.base import Backend
from stores.backends.redis import RedisBackend
from stores.errors import StoreError
from tests.faults.places import KINDS, Place
from tests.servers.redis import wait_for

_made: dict[str, Place] = {}
DRIVERS = ("traceback", "psycopg", "pymysql", "redis.exceptions", "sqlite3", "rocksdict", "errno", "broken pipe")
"""Words that a driver would use and a person should not read."""


def place_of(kind: str) -> Place:
    """The servers of a kind, working and empty."""
    if kind not in _made:
        _made[kind] = KINDS[kind]()
    _made[kind].clear()
    return _made[kind]


@pytest.fixture(scope="package", autouse=True)
def _end_servers() -> Iterator[None]:
    yield
    for place in _made.values():
        place.close()
    _made.clear()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """The servers of each kind, one after the other."""
    return place_of(str(request.param))


def fails(place: Place, call: Callable[[], object], kind: type[StoreError], seconds: float = 8.0) -> StoreError:
    """The error of a call that must fail in time, in words for people and without the password."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    assert time.monotonic() - began < seconds
    return presentable(caught.value, place.secret)


def presentable(error: StoreError, secret: str) -> StoreError:
    """An error that says what happened and what to do, and nothing that a driver or a log would say."""
    text = str(error).lower()
    assert error.message and error.fix, text
    assert secret.lower() not in text
    assert not [word for word in DRIVERS if word in text], text
    return error


def recovered(backend: Backend) -> Backend:
    """The same open store once its servers are back; a cluster may change its mind a few times until all nodes have met."""
    if isinstance(backend, RedisBackend) and backend.link.patience:
        backend.link.patience = 10.0

    def answers() -> bool:
        try:
            backend.ping()
            backend.count(at_most=1)
        except StoreError:
            return False
        return True

    wait_for(answers, what="the store to answer again")
    return backend
