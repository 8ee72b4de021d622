"""The primary that a set of sentinels names: asked again on every new connection, so that a failover is followed."""

from __future__ import annotations

import time
from typing import Any, Final

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from stores.backends.redis_errors import DriverError, about_tls
from stores.backends.redis_link import PlainLink, connection_arguments, quiet_arguments, shared_limits, spare_eviction_order
from stores.backends.redis_settings import RedisConfig

QUICKLY: Final = 1.0
"""Seconds within which a refusal has come; later it was silence, and asking again would only take more time."""


class ExplainingSentinel(Sentinel):
    """The driver's sentinel client, which swallows why it cannot talk to a sentinel; what is wrong with TLS is worth telling."""

    def discover_master(self, service_name: str) -> Any:
        """Host and port of the primary. Raises MasterNotFoundError, or the error of TLS that keeps the sentinels from answering."""
        began = time.monotonic()
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            if time.monotonic() - began < QUICKLY:
                self._raise_trouble_with_tls()
            raise

    def _raise_trouble_with_tls(self) -> None:
        try:
            self.sentinels[0].ping()
        except DriverError as error:
            if about_tls(error):
                raise


class SentinelLink(PlainLink):
    """One primary at a time; which one, the driver's sentinel client finds out."""

    def __init__(self, config: RedisConfig, patience: float) -> None:
        super().__init__(config, patience)
        self._sentinel: Sentinel | None = None

    @property
    def sentinel(self) -> Sentinel:
        """The driver's sentinel client."""
        if self._sentinel is None:
            self._sentinel = open_sentinel(self.config)
        return self._sentinel

    def _open(self) -> redis.Redis:
        master: redis.Redis = self.sentinel.master_for(self.config.service)  # type: ignore[no-untyped-call]
        return master

    def refresh(self) -> None:
        """Drop the connections, so that the next attempt asks the sentinels anew."""
        if self._client is not None:
            self._client.connection_pool.disconnect()

    def close(self) -> None:
        super().close()
        if self._sentinel is not None:
            self._sentinel.close()
            self._sentinel = None


def open_sentinel(config: RedisConfig) -> Sentinel:
    """A sentinel client that has connected to nothing yet. Data servers use TLS exactly when the sentinels' URLs do."""
    sentinels: dict[str, Any] = {
        **connection_arguments(config, config.sentinel_user, config.sentinel_password),
        **shared_limits(config),
        **config.tls_arguments(),
        **quiet_arguments(),
    }
    servers: dict[str, Any] = {
        **connection_arguments(config, config.user, config.password),
        **config.tls_arguments(),
        "driver_info": None,
        "db": config.first.db,
        "redis_connect_func": _greet,
    }
    addresses = [(address.host, address.port) for address in config.addresses]
    sentinel: Any = ExplainingSentinel
    opened: Sentinel = sentinel(addresses, sentinel_kwargs=sentinels, **servers)
    return opened


def _greet(connection: Any) -> None:
    connection.on_connect()
    spare_eviction_order(connection)
