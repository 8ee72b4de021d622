"""A Redis Cluster: commands go where their key lives, the driver follows MOVED and ASK; links only, the walk is in redis_slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ResponseError, SlotNotCoveredError, TryAgainError
from redis.retry import Retry

from stores.backends.redis_errors import DriverError, not_applied
from stores.backends.redis_link import (
    Command,
    Link,
    Node,
    connection_arguments,
    pipelined,
    quiet_arguments,
    shared_limits,
    spare_eviction_order,
)
from stores.backends.redis_settings import Address, RedisConfig

_REDIRECTED = (AskError, TryAgainError, ClusterDownError)


class _FirstKey:
    """Where a command has its key. The driver would fetch the table of all commands (a large reply) to know."""

    def get_keys(self, connection: object, *command: Any) -> list[Any]:
        return [key_of(command)]


class KeyedCluster(redis.RedisCluster):
    """The driver's cluster client, for single-key commands only."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands_parser: Any = _FirstKey()
        manager: Any = self.nodes_manager
        self._read_map = manager.initialize
        manager.initialize = self._initialize

    def _initialize(self, *arguments: Any, last_failed_node_name: str | None = None, **others: Any) -> None:
        """Read the map of slots; not right after a node has failed: the driver would wait for every other node too, its time over."""
        if last_failed_node_name is None:
            self._read_map(*arguments, **others)

    def command(self, **arguments: Any) -> Any:
        """The table of commands that the constructor asks for: not needed, see `_FirstKey`."""
        return {}

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        """A node by address, also one that owns no slot yet: the target of an ASK may be such a newcomer."""
        found: Any = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        if found is None and node_name:
            host, _, port = str(node_name).rpartition(":")
            new: Any = ClusterNode
            found = self.nodes_manager.nodes_cache[node_name] = new(host, int(port), "primary")
        return found


class ClusterLink(Link):
    """All nodes of a cluster. Reads and writes go to primaries only."""

    def __init__(self, config: RedisConfig, patience: float) -> None:
        super().__init__(config, patience)
        self._client: KeyedCluster | None = None

    @property
    def client(self) -> KeyedCluster:
        """The driver's client; the first use asks one of the nodes for the map of slots."""
        if self._client is None:
            self._client = open_cluster(self.config)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def refresh(self) -> None:
        """Read the map of slots anew."""
        self.client.nodes_manager.initialize()

    def execute(self, *command: Any) -> Any:
        client: Any = self.client
        return client.execute_command(*command)

    def node_of(self, key: bytes) -> redis.Redis:
        return self.owner_of_slot(key_slot(key))

    def owner_name(self, slot: int) -> str:
        """host:port of the primary that owns a slot, as last heard. Raises SlotNotCoveredError."""
        nodes = self.client.nodes_manager.slots_cache.get(slot)
        if not nodes:
            raise SlotNotCoveredError(f"slot {slot} is not covered")
        return str(nodes[0].name)

    def owner_of_slot(self, slot: int) -> redis.Redis:
        """The client of that primary."""
        return self.client_of(self.owner_name(slot))

    def client_of(self, name: str) -> redis.Redis:
        """The client of a node by host:port."""
        client: Any = self.client
        found: redis.Redis = client.get_redis_connection(client.get_node(node_name=name))
        return found

    def primaries(self) -> list[Node]:
        """Every primary that owns a slot. Raises SlotNotCoveredError when there is none."""
        manager = self.client.nodes_manager
        if not manager.slots_cache:
            raise SlotNotCoveredError("the cluster has no slots")
        names = sorted({str(nodes[0].name) for nodes in manager.slots_cache.values() if nodes})
        return [Node(name, name, self.client_of(name)) for name in names]

    def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip a node. Commands whose key has moved are sent again by themselves, to where it is now."""
        groups: dict[str, list[int]] = {}
        for place, command in enumerate(commands):
            groups.setdefault(self.owner_name(key_slot(key_of(command))), []).append(place)
        replies: list[Any] = [None] * len(commands)
        for name, places in groups.items():
            found = pipelined(self.client_of(name), [commands[place] for place in places])
            for place, reply in zip(places, found, strict=True):
                replies[place] = self._followed(commands[place], reply)
        return replies

    def batches(self, keys: Sequence[bytes], size: int) -> list[list[bytes]]:
        """The keys by slot: one command may name only keys of one slot."""
        slots: dict[int, list[bytes]] = {}
        for key in keys:
            slots.setdefault(key_slot(key), []).append(key)
        return [batch for group in slots.values() for batch in super(ClusterLink, self).batches(group, size)]

    def _followed(self, command: Command, reply: Any) -> Any:
        if not isinstance(reply, _REDIRECTED):
            return reply
        try:
            return self.execute(*command)
        except ResponseError as error:
            if not_applied(error):
                raise
            return error


def key_of(command: Sequence[Any]) -> bytes:
    """The key of a single-key command; scripts have it after the number of keys."""
    return bytes(command[3] if str(command[0]).startswith("EVAL") else command[1])


def open_cluster(config: RedisConfig) -> KeyedCluster:
    """A cluster client; reads the map of slots from the first node that answers. Raises driver errors."""
    node: Any = ClusterNode
    first = _answering(config)
    return KeyedCluster(
        startup_nodes=[node(address.host, address.port) for address in (first, *config.addresses)],
        require_full_coverage=False,
        redis_connect_func=spare_eviction_order,
        **{**connection_arguments(config, config.user, config.password), "retry": Retry(NoBackoff(), 0)},
        **config.tls_arguments(),
        **quiet_arguments(),
    )


def _answering(config: RedisConfig) -> Address:
    """The first address at which somebody answers. All of them together get the time that one call may take."""
    arguments: dict[str, Any] = {
        **connection_arguments(config, config.user, config.password),
        **shared_limits(config),
        **config.tls_arguments(),
        **quiet_arguments(),
    }
    failed: Exception | None = None
    for address in config.addresses:
        with redis.Redis(host=address.host, port=address.port, **arguments) as client:
            try:
                client.ping()
            except ResponseError:
                return address
            except DriverError as error:
                failed = error
            else:
                return address
    assert failed is not None
    raise failed
