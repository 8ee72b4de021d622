"""Runs on a sentinel set whose primary dies in the middle: the replica becomes the primary, and the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stores.backends.redis_sentinel import SentinelLink
from stores.models import Run, RunState, Store
from stores.services import bulk, census, definitions
from stores.services.actor import Actor
from stores.services.browse import KeyFilter
from stores.services.bulk_change import Do, make_change
from stores.services.bulk_preview import confirmed, preview
from stores.types import Pace
from tests.servers.redis import FLAVOURS, SentinelSet, fill

KEYS = {b"k%04d" % number for number in range(3000)}


@pytest.fixture(params=FLAVOURS)
def servers(request: pytest.FixtureRequest) -> Iterator[SentinelSet]:
    found = SentinelSet(request.param, replicas=1)
    with found.primary.client() as client:
        fill(client, [(name, name[::-1], None) for name in KEYS])
    found.replicated()
    yield found
    found.close()


@pytest.fixture
def store(db: None, servers: SentinelSet, actor: Actor) -> Store:
    return definitions.create_store(actor, id="cache", type="redis", settings=servers.settings(), version="0.11")


def alive(servers: SentinelSet) -> bool:
    """Whether the first primary still runs."""
    child = servers.primary.child
    return child is not None and child.process.poll() is None


def killing(servers: SentinelSet, after: int) -> Callable[[Run], None]:
    """Kill the primary once this many keys are done, and the replica has them."""

    def look(run: Run) -> None:
        if run.values >= after and alive(servers):
            servers.replicated()
            servers.primary.kill()

    return look


@pytest.mark.parametrize("do", [Do.EXPIRY, Do.DELETE])
def test_a_change_in_bulk(servers: SentinelSet, store: Store, actor: Actor, do: Do) -> None:
    change = make_change(do, KeyFilter(match="k*"), time.time(), expiry="2 days" if do is Do.EXPIRY else "")
    shown = preview(store, change)
    run = bulk.run_in_foreground(actor, store, confirmed(store, shown.token, str(shown.found.keys)), Pace.FAST, killing(servers, 500))
    assert not alive(servers), "it was killed on the way"
    assert (run.state, run.error) == (RunState.DONE, "")
    assert run.values == len(KEYS), "each key is counted once"
    with servers.replicas[0].client() as client:
        assert client.dbsize() == (0 if do is Do.DELETE else len(KEYS))
        assert do is Do.DELETE or {client.expiretime(key) for key in KEYS} == {change.expires_at}


def test_a_count(servers: SentinelSet, store: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = SentinelLink.run, []

    def interrupted(link: SentinelLink, *arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 5:
            servers.primary.kill()
        return plain(link, *arguments, **named)

    monkeypatch.setattr(SentinelLink, "run", interrupted)
    found = census.count(store, actor)
    assert found.total["keys"] == len(KEYS)
    assert not alive(servers), "it was killed on the way"
