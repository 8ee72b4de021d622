"""The demo's rows: every class, readable, the same for the same seed; and traffic that writes what Stalwart would."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from stores.backends.memory import MemoryBackend
from stores.codecs import rkyv
from stores.keyclasses import classify, decode
from stores.services.demo import Traffic, archives, rows
from stores.types import Kind
from tests.fixtures_path import FIXTURES, needs_fixtures

NOW = 1_795_518_000
VERSIONS = ("0.11", "0.16")


def slugs(version: str) -> set[str]:
    found = set()
    for row in rows(NOW, version):
        slug, _ = classify(row.key, version)
        found.add(slug or "custom")
    return found


@needs_fixtures
def test_the_two_stores_together_hold_every_class_of_the_captured_stores() -> None:
    captured: set[str] = set()
    for manifest in FIXTURES.rglob("manifest.json"):
        content = json.loads(manifest.read_text())
        captured |= set(content["summary_live"]["by_class"] if "summary_live" in content else content["classes"])
    assert len(captured) > 25
    assert captured <= slugs("0.11") | slugs("0.16")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_understood_in_both_forms(version: str) -> None:
    for row in rows(NOW, version):
        for entry, kind in ((row.data_entry(), "data"), (row.redis_entry(), "redis")):
            decoded = decode(entry, version, kind, NOW)  # type: ignore[arg-type]
            assert not decoded.problem, (row.key.hex(), decoded.problem)
            assert decoded.label or row.key == b"", row.key.hex()
            if row.lock:
                assert decoded.kind is Kind.LOCK
            elif row.counter is not None and kind == "data":
                assert decoded.kind is Kind.COUNTER


@pytest.mark.parametrize("version", VERSIONS)
def test_a_few_thousand_rows_many_of_them_expired(version: str) -> None:
    made = list(rows(NOW, version))
    assert len({row.key for row in made}) == len(made)
    assert 1000 < len(made) < 6000
    expired = Counter(row.data_entry().expired(NOW) for row in made)
    assert expired[True] > 200 and expired[False] > 200


def test_the_same_seed_makes_the_same_rows() -> None:
    first = [(row.key, row.value, row.counter, row.expires_at) for row in rows(NOW, "0.16", seed=5)]
    again = [(row.key, row.value, row.counter, row.expires_at) for row in rows(NOW, "0.16", seed=5)]
    other = [(row.key, row.value, row.counter, row.expires_at) for row in rows(NOW, "0.16", seed=6)]
    assert first == again
    assert first != other


@needs_fixtures
def test_a_dav_lock_is_built_byte_for_byte_as_stalwart_does() -> None:
    lines = (FIXTURES / "stalwart-0.15.5" / "redis" / "rows-live.jsonl").read_text().splitlines()
    captured = next(bytes.fromhex(row["value_hex"]) for row in map(json.loads, lines) if row["key_hex"] == "19000000020c")
    lock = rkyv.decode_dav_locks(captured)[0]
    assert archives.dav_locks("http://example.org/~john", lock.owner_id, lock.token, lock.expires_at) == captured


@pytest.mark.parametrize("version", VERSIONS)
def test_traffic_counts_and_lets_its_locks_go(version: str) -> None:
    moment = [float(NOW)]
    backend = MemoryBackend({"name": f"traffic-{version}"}, version=version, clock=lambda: moment[0])
    traffic = Traffic("demo", seed=1)
    for _ in range(120):
        traffic.step(backend, version)
        moment[0] += 0.5
    entries = {entry.key: entry for entry in backend.scan(limit=1000).entries}
    by_class = Counter(classify(key, version)[0] for key in entries)
    assert by_class["rate-auth"] and by_class["rate-smtp"] and by_class["greylist"] and by_class["oauth"]
    assert max(entry.counter or 0 for entry in entries.values() if entry.key[0] == 0x05) > 1
    locks = [entry for entry in entries.values() if classify(entry.key, version)[0] == "lock-queue-message"]
    assert 0 < len(locks) < 10
    moment[0] += 60
    for _ in range(30):
        traffic.step(backend, version)
    left = {entry.key for entry in backend.scan(limit=1000).entries}
    assert not {lock.key for lock in locks} & left
