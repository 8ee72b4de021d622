"""Budgets that no machine changes: commands and round trips of a page on Redis, bytes of the assets of a first visit."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.staticfiles import finders
from django.test import Client

from stores.models import Store
from stores.services import definitions
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.servers.redis import FLAVOURS, fill, single

COMMANDS, ROUND_TRIPS = 300, 5
ASSETS = ("vendor/tabler.css", "css/app.css", "django_htmx/htmx-2.min.js", "js/app.js", "js/keyboard.js", "icon.svg", "vendor/icons.svg")
FIRST_VISIT, SCRIPTS = 150 * 1024, 60 * 1024


@pytest.fixture(params=FLAVOURS)
def filled(request: pytest.FixtureRequest, db: None) -> Store:
    """A Redis store of 2,000 failed logins."""
    server = single(request.param)
    with server.client() as client:
        client.flushall()
        fill(client, [(b"\x05" + number.to_bytes(4, "big") + bytes(8), b"3", None) for number in range(2000)])
    actor = Actor("ana", "page", rights=EVERYTHING)
    return definitions.create_store(actor, id="redis1", type="redis", settings={"urls": server.url}, version="0.11")


@pytest.mark.parametrize("path", ["keys/", "keys/?class=rate-auth", "keys/?class=rate-auth&expiry=never"])
def test_a_list_on_redis_costs_few_commands_and_round_trips(
    client: Client, filled: Store, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/stores/redis1/{path}"
    assert client.get(address).status_code == 200
    trips: Counter[str] = Counter()
    connection: Any = redis.connection.AbstractConnection
    send = connection.send_packed_command

    def counted(self: Any, command: Any, check_health: bool = True) -> None:
        trips["sent"] += 1
        trips["commands"] += sum(part.count(b"*") and _commands(part) for part in ([command] if isinstance(command, bytes) else command))
        send(self, command, check_health=check_health)

    monkeypatch.setattr(connection, "send_packed_command", counted)
    page = client.get(address)
    assert page.content.count(b'class="kv-subject') >= 100
    assert 1 <= trips["sent"] <= ROUND_TRIPS, trips
    assert 100 <= trips["commands"] <= COMMANDS, trips


def _commands(packed: bytes) -> int:
    """Commands in a piece of the protocol: arrays of bulk strings, one after another."""
    count, at = 0, 0
    while at < len(packed) and packed[at : at + 1] == b"*":
        count += 1
        end = packed.index(b"\r\n", at)
        parts, at = int(packed[at + 1 : end]), end + 2
        for _ in range(parts):
            end = packed.index(b"\r\n", at)
            at = end + 2 + int(packed[at + 1 : end]) + 2
    return count


def test_the_assets_of_a_first_visit_are_small() -> None:
    packed = {name: len(gzip.compress(Path(str(finders.find(name))).read_bytes(), 6)) for name in ASSETS}
    assert sum(packed.values()) <= FIRST_VISIT - 40 * 1024, packed
    assert sum(size for name, size in packed.items() if name.endswith(".js")) <= SCRIPTS, packed
