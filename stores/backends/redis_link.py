"""The way to the servers: one driver client, what it may do, and when a failed call is tried again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from stores.backends.redis_errors import DriverError, connection_lost, not_applied, translate
from stores.backends.redis_settings import Address, RedisConfig
from stores.errors import ReadOnly, StoreError, StoreUnavailable
from stores.texts import say

T = TypeVar("T")
Command = tuple[Any, ...]
"""A command and its arguments; the key is the first argument."""

REQUEST_PATIENCE: Final = 5.0
"""Seconds in which a cluster or a set of sentinels may elect a new primary before a request gives up."""
WORK_PATIENCE: Final = 30.0
"""The same for background work."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Node:
    """A primary. `id` is the cluster's own node id, empty outside a cluster."""

    id: str
    where: str
    client: redis.Redis


class Dialect:
    """What the servers understand and allow; starts hopeful and learns from refusals, per open store."""

    def __init__(self) -> None:
        self.scripts = True
        """EVALSHA and EVAL may be used."""
        self.read_scripts = True
        """Their read-only forms exist (Redis 7, Valkey)."""
        self.pexpiretime = True
        """The exact expiry can be asked for (Redis 7, Valkey)."""


class Link(ABC):
    """A lazily opened driver client. Not thread-safe. Every driver error leaves as a StoreError."""

    def __init__(self, config: RedisConfig, patience: float) -> None:
        self.config = config
        self.patience = patience
        self.dialect = Dialect()

    @abstractmethod
    def close(self) -> None:
        """Give back every connection. Safe to call twice."""

    @abstractmethod
    def execute(self, *command: Any) -> Any:
        """Run one keyed command where its key lives. Raises driver errors."""

    @abstractmethod
    def node_of(self, key: bytes) -> redis.Redis:
        """The client of the server that holds the key."""

    @abstractmethod
    def primaries(self) -> list[Node]:
        """Every primary, so that together they hold every key once. Raises driver errors."""

    @abstractmethod
    def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Run keyed commands in one round trip a server; refusals come back in their place. Raises when a server is lost."""

    def refresh(self) -> None:
        """Forget what is known of the servers' roles before the next attempt; a single server has nothing to forget."""
        return

    def batches(self, keys: Sequence[bytes], size: int) -> list[list[bytes]]:
        """The keys in groups that one command may name together."""
        return [list(keys[first : first + size]) for first in range(0, len(keys), size)]

    def connect(self, key: bytes) -> None:
        """Make sure of a live connection to the key's server, so that a later failure means that the command was sent."""
        pool = self.node_of(key).connection_pool
        pool.release(pool.get_connection())

    def run(self, action: Callable[[], T], write_to: bytes | None = None) -> T:
        """Do it, and again for up to `patience` seconds while servers change roles. Raises StoreError.

        A write (`write_to` is its key) is repeated only when it certainly was not carried out.
        """
        deadline, pause = time.monotonic() + self.patience, _FIRST_PAUSE
        while True:
            sent = False
            try:
                if write_to is not None:
                    self.connect(write_to)
                    sent = True
                return action()
            except DriverError as error:
                found = self._verdict(error, sent)
                if found is not None or time.monotonic() + pause > deadline:
                    raise (found or translate(error, self.config)) from None
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            self._refresh_quietly()

    def read(self, commands: Sequence[Command]) -> list[Any]:
        """`pipeline` with `run` around it."""
        return self.run(lambda: self.pipeline(commands))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Background work under way waits longer for a new primary than a request does. A single server has no other to wait for."""
        before, self.patience = self.patience, WORK_PATIENCE if self.patience > 0 else 0.0
        try:
            yield
        finally:
            self.patience = before

    def _verdict(self, error: BaseException, sent: bool) -> StoreError | None:
        """The final error, None when another attempt may help."""
        found = translate(error, self.config)
        if sent and connection_lost(error):
            fix = say("It is not known whether the change was made: look at the key before you try again.")
            return StoreUnavailable(found.message, fix)
        if self.patience <= 0 or not (not_applied(error) or connection_lost(error)):
            return found
        return None if isinstance(found, (StoreUnavailable, ReadOnly)) else found

    def _refresh_quietly(self) -> None:
        try:
            self.refresh()
        except DriverError:
            return  # the next attempt meets the same trouble and reports it


class PlainLink(Link):
    """One server at a time: a single one, or whichever is primary now."""

    def __init__(self, config: RedisConfig, patience: float = 0.0) -> None:
        super().__init__(config, patience)
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """The driver's client; its pool keeps connections for as long as the store is open."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def _open(self) -> redis.Redis:
        return open_client(self.config, self.config.first, self.config.user, self.config.password)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def execute(self, *command: Any) -> Any:
        client: Any = self.client
        return client.execute_command(*command)

    def node_of(self, key: bytes) -> redis.Redis:
        return self.client

    def primaries(self) -> list[Node]:
        return [Node("", self.config.where, self.client)]

    def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        return pipelined(self.client, commands)


def pipelined(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """The replies in order, refusals as exceptions in their place. Raises when the connection fails."""
    pipe: Any
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = pipe.execute(raise_on_error=False)
    return replies


def open_client(config: RedisConfig, address: Address, user: str, password: str) -> redis.Redis:
    """A client of one server that has connected to nothing yet."""
    arguments: dict[str, Any] = {"db": address.db, "redis_connect_func": _greet, **quiet_arguments()}
    arguments |= connection_arguments(config, user, password)
    if address.path:
        arguments["unix_socket_path"] = address.path
    else:
        arguments |= {"host": address.host, "port": address.port, **config.tls_arguments()}
    return redis.Redis(**arguments)


def connection_arguments(config: RedisConfig, user: str, password: str) -> dict[str, Any]:
    """What every connection needs. The driver itself never retries: only `Link.run` knows which commands may run twice."""
    return {
        "username": user or None,
        "password": password or None,
        "socket_connect_timeout": config.connect_seconds,
        "socket_timeout": config.read_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": config.protocol,
    }


def shared_limits(config: RedisConfig) -> dict[str, float]:
    """Limits for asking several servers the same: together they get the time that one call may take."""
    share = (config.connect_seconds + config.read_seconds) / len(config.addresses)
    return {"socket_connect_timeout": min(config.connect_seconds, share), "socket_timeout": min(config.read_seconds, share)}


def quiet_arguments() -> dict[str, Any]:
    """Leave out the driver's own chatter: library names, maintenance notices."""
    return {"driver_info": None, "maint_notifications_config": MaintNotificationsConfig(enabled=False)}


def spare_eviction_order(connection: Any) -> None:
    """Ask the server not to count our reads as use (Redis and Valkey 7.2), so that looking does not change what gets evicted."""
    connection.send_command("CLIENT", "NO-TOUCH", "ON")
    try:
        connection.read_response()
    except ResponseError:
        return  # an older server, or one that does not allow it


def _greet(connection: Any) -> None:
    connection.on_connect()
    spare_eviction_order(connection)
