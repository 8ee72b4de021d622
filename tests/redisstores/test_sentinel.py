"""Sentinels: the primary is found, and found again after a failover, while pages, edits and a census are under way."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stores.backends.redis import RedisBackend
from stores.errors import CursorLost, StoreUnavailable
from stores.types import KEEP
from tests.servers.redis import FLAVOURS, SentinelSet, fill


@pytest.fixture(params=FLAVOURS)
def own(request: pytest.FixtureRequest) -> Iterator[SentinelSet]:
    """A set of the test's own, with a password and two replicas."""
    found = SentinelSet(request.param, replicas=2, service="mail", password="pw")
    yield found
    found.close()


def test_a_failover_is_followed(own: SentinelSet) -> None:
    names = {b"k%04d" % number for number in range(2000)}
    with own.primary.client() as client:
        fill(client, [(name, name[::-1], None) for name in names])
    own.replicated()
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 30.0
        seen = backend.get(b"k0000")
        assert seen is not None
        page = backend.scan()
        census = backend.census()
        next(census)
        own.primary.kill()

        assert backend.key_set(b"k0000", b"edited", KEEP, seen).value == b"edited", "the edit reaches the new primary"
        with pytest.raises(CursorLost):
            backend.scan(cursor=page.next)
        with pytest.raises(CursorLost):
            list(census)
        rows = [row.key for part in backend.census() for row in part.rows]
        assert sorted(rows) == sorted(names), "the count that begins anew is complete"
        assert backend.ping().server
        assert backend.key_get(b"k0001") == b"k0001"[::-1]


def test_a_primary_that_is_demoted_while_connected(own: SentinelSet) -> None:
    """A planned failover: the old primary lives on as a replica and refuses writes."""
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 30.0
        backend.key_set(b"k", b"v")
        own.replicated()
        before = own.primary.port
        with own.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL FAILOVER", "mail")
            deadline = time.monotonic() + 30
            while sentinel.sentinel_get_master_addr_by_name("mail")[1] == before and time.monotonic() < deadline:
                backend.counter_incr(b"c", 1)
        assert backend.key_set(b"k", b"w").value == b"w"
        assert backend.key_get(b"k") == b"w"


def test_without_a_primary_there_is_an_error_in_time(own: SentinelSet) -> None:
    with RedisBackend(own.settings()) as backend:
        backend.link.patience = 0.5
        backend.key_set(b"k", b"v")
        for server in (own.primary, *own.replicas):
            server.kill()
        for call in (lambda: backend.get(b"k"), lambda: backend.key_set(b"k", b"w"), lambda: backend.scan()):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                call()
            assert time.monotonic() - started < 4


def test_one_living_sentinel_is_enough(own: SentinelSet) -> None:
    with RedisBackend(own.settings()) as backend:
        backend.key_set(b"k", b"v")
    for sentinel in own.sentinels[:2]:
        sentinel.kill()
    with RedisBackend(own.settings()) as backend:
        assert backend.key_get(b"k") == b"v"
        (step,) = [step for step in backend.check() if step.name == "Sentinels"]
        assert step.state == "warn"
        assert step.detail.startswith("1 of 3")
