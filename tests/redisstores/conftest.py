"""What the tests of Redis stores share: an empty server of each flavour and an open backend on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stores.backends.redis import RedisBackend
from tests.servers.redis import FLAVOURS, RedisServer, single


@pytest.fixture(params=FLAVOURS)
def server(request: pytest.FixtureRequest) -> RedisServer:
    """The shared server of a flavour, emptied."""
    found = single(request.param)
    with found.client() as client:
        client.flushall()
    return found


@pytest.fixture
def backend(server: RedisServer) -> Iterator[RedisBackend]:
    """A store on that server."""
    with RedisBackend({"urls": server.url}) as opened:
        yield opened
