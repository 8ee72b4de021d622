"""Redis and Valkey under contract: single server, cluster, sentinel set, shards."""

from __future__ import annotations

from typing import Any

from xxhash import xxh3_64_intdigest

from stores.backends.base import Backend
from stores.backends.redis import RedisBackend
from stores.backends.sharded import ShardedBackend
from tests.contract.harness import Harness, Plant, SettableClock
from tests.servers.redis import RedisServer, cluster, sentinels, single


class RedisHarness(Harness):
    """One server, emptied before each test."""

    layout = "redis"
    native_time = True
    flavour = "valkey"

    def __init__(self) -> None:
        self.servers = self.find_servers()
        for server in self.servers:
            with server.client() as client:
                client.flushall()

    def find_servers(self) -> list[RedisServer]:
        return [single(self.flavour)]

    def settings(self) -> dict[str, str]:
        return {"urls": self.servers[0].url}

    def open(self, clock: SettableClock) -> Backend:
        return RedisBackend(self.settings(), clock=clock)

    def server_of(self, key: bytes) -> RedisServer:
        return self.servers[0]

    def plant(self, rows: list[Plant]) -> None:
        for server in self.servers:
            with server.client() as client, client.pipeline(transaction=False) as pipe:
                for row in rows:
                    if self.server_of(row.key) is server and row.row is not None:
                        pipe.set(row.key, row.row, exat=row.expires_at)
                pipe.execute()

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        found: dict[bytes, bytes] = {}
        for server in self.servers:
            with server.client() as client:
                names: list[Any] = list(client.scan_iter(count=1000))
                found |= {name: client.get(name) for name in names}
        return found, {}


class Redis7Harness(RedisHarness):
    flavour = "redis"


class LimitedHarness(RedisHarness):
    """A user who may run every command but these."""

    forbidden: tuple[str, ...] = ("eval", "evalsha", "eval_ro", "evalsha_ro", "script")

    def __init__(self) -> None:
        super().__init__()
        with self.servers[0].client() as client:
            limits = " ".join(f"-{name}" for name in self.forbidden)
            client.execute_command(f"ACL SETUSER limited reset on >pw ~* +@all {limits}")

    def settings(self) -> dict[str, str]:
        return {"urls": self.servers[0].url.replace("redis://", "redis://limited:pw@")}


class LeastRightsHarness(RedisHarness):
    """The user that the connection test's line for reading and writing makes, word for word."""

    def __init__(self) -> None:
        super().__init__()
        with RedisBackend({"urls": self.servers[0].url}) as admin:
            (line,) = [check.detail.splitlines()[1] for check in admin.check() if check.name == "Least rights"]
        with self.servers[0].client() as client:
            client.execute_command("ACL DELUSER kvadmin")
            client.execute_command(line.partition(": ")[2].replace("PASSWORD", "pw"))

    def settings(self) -> dict[str, str]:
        return {"urls": self.servers[0].url.replace("redis://", "redis://kvadmin:pw@")}


class LeastRights7Harness(LeastRightsHarness):
    flavour = "redis"


class OldHarness(LimitedHarness):
    """The commands of Redis 6: no exact expiry, no read-only scripts."""

    flavour = "redis"
    forbidden = ("pexpiretime", "expiretime", "eval_ro", "evalsha_ro")


class ClusterHarness(RedisHarness):
    """Three primaries; a key lives where its slot is."""

    def find_servers(self) -> list[RedisServer]:
        return cluster(self.flavour).primaries

    def settings(self) -> dict[str, str]:
        return cluster(self.flavour).settings()

    def server_of(self, key: bytes) -> RedisServer:
        return cluster(self.flavour).home_of(key)


class LimitedClusterHarness(ClusterHarness):
    """A cluster whose user may run no scripts."""

    def __init__(self) -> None:
        super().__init__()
        for server in self.servers:
            with server.client() as client:
                client.execute_command("ACL SETUSER limited reset on >pw ~* +@all -eval -evalsha -eval_ro -evalsha_ro")

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "user": "limited", "password": "pw"}


class Cluster7Harness(ClusterHarness):
    flavour = "redis"


class SentinelHarness(RedisHarness):
    """Whatever the sentinels name as primary."""

    def find_servers(self) -> list[RedisServer]:
        return [sentinels(self.flavour).primary]

    def settings(self) -> dict[str, str]:
        return sentinels(self.flavour).settings()


class Sentinel7Harness(SentinelHarness):
    flavour = "redis"


class ShardedHarness(RedisHarness):
    """Two servers that share the keys by hash."""

    def find_servers(self) -> list[RedisServer]:
        return [single("valkey"), single("redis")]

    def open(self, clock: SettableClock) -> Backend:
        members = [RedisBackend({"urls": server.url}, clock=clock) for server in self.servers]
        return ShardedBackend({"stores": "one two"}, members=members, clock=clock)

    def server_of(self, key: bytes) -> RedisServer:
        return self.servers[xxh3_64_intdigest(key) % 2]
