"""The backends under contract: one line each. A test states what it needs by marks, see `pytest_configure`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.contract.harness import Harness, SettableClock, StoreUnderTest

HARNESSES: dict[str, str] = {
    "memory": "tests.contract.memory:MemoryHarness",
    "redis-valkey9": "tests.contract.redis:RedisHarness",
    "redis-redis7": "tests.contract.redis:Redis7Harness",
    "redis-without-scripts": "tests.contract.redis:LimitedHarness",
    "redis-least-rights-valkey9": "tests.contract.redis:LeastRightsHarness",
    "redis-least-rights-redis7": "tests.contract.redis:LeastRights7Harness",
    "redis-like-6": "tests.contract.redis:OldHarness",
    "cluster-without-scripts": "tests.contract.redis:LimitedClusterHarness",
    "cluster-valkey9": "tests.contract.redis:ClusterHarness",
    "cluster-redis7": "tests.contract.redis:Cluster7Harness",
    "sentinel-valkey9": "tests.contract.redis:SentinelHarness",
    "sentinel-redis7": "tests.contract.redis:Sentinel7Harness",
    "sharded": "tests.contract.redis:ShardedHarness",
    "rocksdb": "tests.contract.rocksdb:RocksDBHarness",
    "static": "tests.contract.static:StaticHarness",
    "http": "tests.contract.static:HttpHarness",
    "sql-read-replica": "tests.contract.replica:ReplicaHarness",
    "foundationdb-fake": "tests.contract.foundationdb:FakeFoundationDBHarness",
    "foundationdb": "tests.contract.foundationdb:FoundationDBHarness",
    "sqlite": "tests.contract.sqlite:SQLiteHarness",
    "mariadb": "tests.contract.mysql:MariaDBHarness",
    "postgresql": "tests.contract.postgresql:PostgreSQLHarness",
    "postgresql-packaged": "tests.contract.postgresql:PackagedPostgreSQLHarness",
}
"""Name -> `module:class` of a Harness, created without arguments. It skips (by name) when its server is missing."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): run only on stores whose Capabilities have all of these flags")
    config.addinivalue_line("markers", "layout(*layouts): run only on stores of these layouts (data, redis, static)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("store_name", list(HARNESSES), scope="function")


@pytest.fixture
def store(store_name: str, request: pytest.FixtureRequest) -> Iterator[StoreUnderTest]:
    """An empty store, an open backend and a clock; skipped when the store cannot do what the test's marks ask for."""
    harness = _harness(store_name)
    clock = SettableClock()
    if harness.native_time:
        clock.at = harness.now()
    under_test = StoreUnderTest(store_name, harness, harness.open(clock), clock)
    try:
        _skip_unless_wanted(under_test, request)
        yield under_test
    finally:
        for backend in (under_test.backend, *under_test.opened):
            backend.close()
        harness.close()


def _harness(name: str) -> Harness:
    module, _, class_name = HARNESSES[name].partition(":")
    harness = getattr(import_module(module), class_name)()
    assert isinstance(harness, Harness)
    return harness


def _skip_unless_wanted(store: StoreUnderTest, request: pytest.FixtureRequest) -> None:
    for mark in request.node.iter_markers("layout"):
        if store.harness.layout not in mark.args:
            pytest.skip(f"{store.name}: not for the layout {store.harness.layout}")
    capabilities = store.backend.capabilities
    for mark in request.node.iter_markers("needs"):
        missing = [flag for flag in mark.args if not getattr(capabilities, flag)]
        if missing:
            pytest.skip(f"{store.name} has not: {', '.join(missing)}")
