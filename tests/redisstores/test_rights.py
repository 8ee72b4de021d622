"""The printed ACL lines are enough for everything, and allow nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from stores.backends.redis import RedisBackend
from stores.backends.redis_rights import CLUSTER, READING, WRITING, acl_line
from stores.errors import StoreRefused
from stores.types import ABSENT, KEEP, Check, CheckState, KeyRange
from tests.servers.redis import FLAVOURS, RedisServer, cluster, fill

READS: list[Callable[[RedisBackend], object]] = [
    lambda backend: backend.ping(),
    lambda backend: backend.get(b"k001"),
    lambda backend: backend.scan(KeyRange.of_prefix(b"k")),
    lambda backend: backend.count(),
    lambda backend: list(backend.census()),
    lambda backend: backend.key_get(b"k001"),
    lambda backend: backend.key_exists(b"k001"),
    lambda backend: backend.size_bytes(),
]


def writes(backend: RedisBackend) -> None:
    """Every verb that changes something."""
    soon = int(time.time()) + 600
    entry = backend.key_set(b"new", b"v", soon, ABSENT)
    entry = backend.set_expiry(b"new", None, entry)
    entry = backend.key_set(b"new", b"w", KEEP, entry)
    assert backend.delete(b"new", entry) == entry
    assert backend.put(entry, ABSENT) == entry
    assert backend.counter_incr(b"c", 2, soon) == 2
    assert backend.counter_set(b"c", 3).value == b"3"
    seen = [found for key in (b"new", b"c") if (found := backend.get(key))]
    assert backend.delete_each(seen) == seen
    backend.counter_incr(b"c", 1)
    backend.counter_delete(b"c")
    assert sum(part.count for part in backend.delete_range(KeyRange.of_prefix(b"k00"))) == 10


def with_password(line: str) -> str:
    assert ">PASSWORD" in line
    return line.replace("PASSWORD", "pw")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def printed(checks: list[Check], which: int) -> str:
    return by_name(checks)["Least rights"].detail.splitlines()[which].partition(": ")[2]


def use(servers: list[RedisServer], settings: dict[str, str], which: int) -> RedisBackend:
    """Create the user of the printed line on all servers and open the store as that user."""
    with RedisBackend(settings) as admin:
        line = with_password(printed(admin.check(), which))
    for server in servers:
        with server.client() as client:
            client.execute_command("ACL DELUSER kvadmin")
            client.execute_command(line)
    if settings.get("redis-type") == "cluster":
        return RedisBackend({**settings, "user": "kvadmin", "password": "pw"})
    return RedisBackend({"urls": settings["urls"].replace("redis://", "redis://kvadmin:pw@")})


@pytest.mark.parametrize("database", [0, 2])
def test_the_line_for_reading(server: RedisServer, database: int) -> None:
    with server.client(db=database) as client:
        fill(client, [(b"k%03d" % number, b"v", None) for number in range(100)])
    with use([server], {"urls": f"{server.url}/{database}"}, 0) as backend:
        for call in READS:
            assert call(backend)
        with pytest.raises(StoreRefused, match="may not run"):
            backend.key_set(b"k", b"v")
        checks = by_name(backend.check())
        assert checks["Reading"].state is CheckState.OK
        assert checks["Writing"].state is CheckState.WARN
        assert backend.link.dialect.read_scripts
        assert backend.link.dialect.pexpiretime


def test_the_line_for_reading_and_writing(server: RedisServer) -> None:
    with server.client() as client:
        fill(client, [(b"k%03d" % number, b"v", None) for number in range(100)])
    with use([server], {"urls": server.url}, 1) as backend:
        for call in READS:
            assert call(backend)
        writes(backend)
        assert {check.state for check in backend.check()} == {CheckState.OK}
        assert backend.link.dialect.scripts


def test_the_line_works_without_scripts_too(server: RedisServer) -> None:
    with server.client() as client:
        fill(client, [(b"k%03d" % number, b"v", None) for number in range(100)])
    with use([server], {"urls": server.url}, 1) as backend:
        backend.link.dialect.scripts = backend.link.dialect.read_scripts = False
        for call in READS:
            assert call(backend)
        writes(backend)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("scripts", [True, False])
def test_the_lines_of_a_cluster(flavour: str, scripts: bool) -> None:
    shared = cluster(flavour)
    shared.flush()
    with shared.client() as client:
        for number in range(100):
            client.set(b"k%03d" % number, b"v")
    with use(shared.primaries, shared.settings(), 0) as backend:
        for call in READS:
            assert call(backend)
        with pytest.raises(StoreRefused, match="may not run"):
            backend.key_set(b"k", b"v")
    with use(shared.primaries, shared.settings(), 1) as backend:
        backend.link.dialect.scripts = backend.link.dialect.read_scripts = scripts
        for call in READS:
            assert call(backend)
        writes(backend)
        assert {check.state for check in backend.check()} == {CheckState.OK}


@pytest.mark.parametrize("name", [*READING, *WRITING])
def test_a_command_that_is_taken_away_is_named(server: RedisServer, name: str) -> None:
    with server.client() as client:
        client.execute_command(f"ACL SETUSER partly reset on >pw ~* +@all -{name}")
    with RedisBackend({"urls": server.url.replace("redis://", "redis://partly:pw@")}) as backend:
        checks = by_name(backend.check())
    if name in ("multi", "discard", "exec", "watch", "pttl"):
        assert checks["Reading"].state is checks["Writing"].state is CheckState.OK, "there is another way"
        return
    fixes = " ".join(check.fix for check in checks.values() if check.state is not CheckState.OK)
    assert f"+{name}" in fixes or (name == "eval" and checks["Writing"].detail.endswith("without scripts")) or name == "evalsha"


def test_trying_the_rights_changes_nothing(server: RedisServer) -> None:
    with server.client() as client, RedisBackend({"urls": server.url}) as backend:
        client.set("k", "v")
        client.config_resetstat()
        backend.check()
        assert client.dbsize() == 1
        assert client.info("stats")["total_commands_processed"] < 200


def test_the_lines_name_nothing_twice() -> None:
    for line in (
        acl_line(RedisBackend({"urls": "redis://h"}).config, modern, writes) for modern in (True, False) for writes in (True, False)
    ):
        words = line.split()
        assert len(words) == len(set(words))
    assert not set(READING) & set(CLUSTER)
