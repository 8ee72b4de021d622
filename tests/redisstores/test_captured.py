"""Stores that real Stalwart servers wrote: served by a real server, every key comes out as it was captured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from stores.backends.redis import RedisBackend
from stores.types import ABSENT, Entry
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.redis import FLAVOURS, RedisServer, cluster

pytestmark = needs_fixtures

LASTING = {("0.11.8", "live"): 488, ("0.11.8", "final"): 488, ("0.11.8", "extras"): 1, ("0.15.5", "live"): 113, ("0.15.5", "final"): 113}
"""Rows that live until 2036; the others expire soon after the capture."""


def captured(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def walk(backend: RedisBackend) -> dict[bytes, Entry]:
    found: dict[bytes, Entry] = {}
    cursor = None
    while True:
        page = backend.scan(cursor=cursor)
        for entry in page.entries:
            assert entry.key not in found
            found[entry.key] = entry
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("version", "phase"), LASTING)
def test_every_key_of_a_dump(flavour: str, version: str, phase: str) -> None:
    folder = FIXTURES / f"stalwart-{version}" / "redis"
    rows = captured(folder / f"rows-{phase}.jsonl")
    server = RedisServer(flavour, dump=folder / f"dump-{phase}.rdb")
    with RedisBackend({"urls": server.url}) as backend:
        found = walk(backend)
        after = time.time()
        expected = {bytes.fromhex(row["key_hex"]): row for row in rows if (row["expires_unix"] or after + 2) > after + 1}
        for key, row in expected.items():
            entry = found[key]
            assert (entry.value, entry.row) == (bytes.fromhex(row["value_hex"]),) * 2
            assert entry.expires_at_ms == (row["pexpireat_ms"] if row["expires_unix"] else None)
            assert entry.expires_at == (int(row["expires_unix"]) if row["expires_unix"] else None)
            assert backend.get(key) == entry
        assert set(found) <= {bytes.fromhex(row["key_hex"]) for row in rows}
        assert len(expected) >= LASTING[version, phase]
        counted = {row.key: row for part in backend.census() for row in part.rows}
        assert set(expected) <= set(counted)
        assert all(counted[key].value_bytes == len(found[key].value or b"") for key in expected)
        for key in expected:
            removed = backend.delete(key, found[key])
            assert removed == found[key]
            assert backend.put(removed, ABSENT) == found[key], "byte-identical and to the millisecond when restored"
        assert {key: found[key] for key in expected} == {key: entry for key, entry in walk(backend).items() if key in expected}
    server.stop()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_keys_of_a_captured_cluster(flavour: str) -> None:
    rows = captured(FIXTURES / "stalwart-0.16.18" / "redis-cluster" / "rows-cluster.jsonl")
    shared = cluster(flavour)
    shared.flush()
    moment = int(time.time() * 1000)
    expected: dict[bytes, tuple[bytes, int | None]] = {}
    for row in rows:
        key, ttl = bytes.fromhex(row["key_hex"]), row["ttl"]
        expected[key] = (bytes.fromhex(row["value_hex"]), moment + ttl * 1000 if ttl > 0 else None)
        with shared.home_of(key).client() as client:
            client.set(key, expected[key][0], pxat=expected[key][1])
    homes = {shared.home_of(key).port for key in expected}
    assert len(homes) == 3
    groups: dict[int, set[int]] = {}
    for row in rows:
        groups.setdefault(row["node_port"], set()).add(shared.home_of(bytes.fromhex(row["key_hex"])).port)
    assert all(len(ports) == 1 for ports in groups.values()), "keys that shared a node then share one now: the slots are the same"
    with RedisBackend(shared.settings()) as backend:
        assert {key: (entry.value, entry.expires_at_ms) for key, entry in walk(backend).items()} == expected
        assert {row.key for part in backend.census() for row in part.rows} == set(expected)
