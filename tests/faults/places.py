"""The servers that the fault tests break: each can be killed, started again on its data, and made to stall; none is shared with others."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Generic, TypeVar

import psycopg
import pymysql

from stores.backends.base import Backend
from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.redis import RedisBackend
from stores.codecs.sqltables import create_statements
from tests.servers import mariadb, postgresql
from tests.servers.redis import Cluster, RedisServer, SentinelSet
from tests.servers.relay import Relay

LOGGED = ("--appendonly", "yes", "--appendfsync", "always")
"""What Redis acknowledged is there again after a kill."""
SECRET = "s3cret-of-the-tests"


class Place(ABC):
    """A kind of store on servers of its own."""

    secret = SECRET

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Settings of a store here."""

    @property
    @abstractmethod
    def stalling(self) -> dict[str, str]:
        """Settings of a store that `stall` reaches."""

    @abstractmethod
    def open(self, settings: dict[str, str] | None = None) -> Backend:
        """A store."""

    @abstractmethod
    def kill(self) -> None:
        """End the servers as a crash would: all of them, or the part that holds `k00000`."""

    @abstractmethod
    def start(self) -> None:
        """Start them again on what they have on the disk."""

    @abstractmethod
    def stall(self) -> None:
        """From now on nothing is answered."""

    @abstractmethod
    def resume(self) -> None:
        """As before."""

    @abstractmethod
    def clear(self) -> None:
        """No keys."""

    @abstractmethod
    def change_password(self, password: str) -> None:
        """Give the login another password and break every open connection."""

    @abstractmethod
    def exhaust(self) -> None:
        """Leave no connection free."""

    @abstractmethod
    def relieve(self) -> None:
        """End that."""

    @abstractmethod
    def close(self) -> None:
        """End everything."""


class RedisPlace(Place):
    """A single server, with its data logged."""

    def __init__(self) -> None:
        self.server = RedisServer("valkey", *LOGGED, password=SECRET)
        self.relay = Relay(self.server.port).__enter__()

    @property
    def servers(self) -> list[RedisServer]:
        return [self.server]

    @property
    def settings(self) -> dict[str, str]:
        return {"urls": self.server.url}

    @property
    def stalling(self) -> dict[str, str]:
        return {"urls": f"redis://:{SECRET}@127.0.0.1:{self.relay.port}"}

    def open(self, settings: dict[str, str] | None = None) -> RedisBackend:
        backend = RedisBackend(settings or self.settings)
        backend.link.patience = min(backend.link.patience, 0.5)
        return backend

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def stall(self) -> None:
        self.relay.silent = True

    def resume(self) -> None:
        self.relay.silent = False

    def clear(self) -> None:
        for server in self.servers:
            with server.client() as client:
                if client.info("replication")["role"] == "master":
                    client.flushall()

    def change_password(self, password: str) -> None:
        for server in self.servers:
            with server.client() as client:
                client.config_set("masterauth", password)
                client.config_set("requirepass", password)
                server.password = password
                client.execute_command("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")

    def exhaust(self) -> None:
        self._limit("1")

    def relieve(self) -> None:
        self._limit("1000")

    def _limit(self, number: str) -> None:
        for client in self._own:
            client.config_set("maxclients", number)
            client.execute_command("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")

    @property
    def _own(self) -> list[Any]:
        """A connection to each server that outlives the limit."""
        if not hasattr(self, "_clients"):
            self._clients = [server.client(single_connection_client=True) for server in self.servers]
        return self._clients

    def close(self) -> None:
        self.relay.__exit__()
        for server in self.servers:
            server.resume()
            server.stop()


class ClusterPlace(RedisPlace):
    """Three primaries without replicas: what one held is away until it is back."""

    def __init__(self) -> None:
        self.cluster = Cluster("valkey", password=SECRET, more=LOGGED)
        self.victim = self.cluster.home_of(b"k00000")

    @property
    def servers(self) -> list[RedisServer]:
        return self.cluster.nodes

    @property
    def settings(self) -> dict[str, str]:
        return {**self.cluster.settings(), "password": SECRET}

    stalling = settings

    def kill(self) -> None:
        self.victim.kill()

    def start(self) -> None:
        self.victim.start()

    def stall(self) -> None:
        for server in self.servers:
            server.pause()

    def resume(self) -> None:
        for server in self.servers:
            server.resume()

    def close(self) -> None:
        self.cluster.close()


class SentinelPlace(RedisPlace):
    """A primary, a replica and three sentinels; a kill takes both data servers."""

    def __init__(self) -> None:
        self.set = SentinelSet("valkey", password=SECRET, more=LOGGED)

    @property
    def servers(self) -> list[RedisServer]:
        return [self.set.primary, *self.set.replicas]

    @property
    def settings(self) -> dict[str, str]:
        return self.set.settings()

    stalling = settings

    def kill(self) -> None:
        for server in reversed(self.servers):
            server.kill()

    def start(self) -> None:
        for server in self.servers:
            server.start()

    def stall(self) -> None:
        for server in (*self.servers, *self.set.sentinels):
            server.pause()

    def resume(self) -> None:
        for server in (*self.servers, *self.set.sentinels):
            server.resume()

    def close(self) -> None:
        self.set.close()


S = TypeVar("S", postgresql.PostgreSQLServer, mariadb.MariaDBServer)


class SQLPlace(Place, Generic[S]):
    """A server that waits for its disk, and a relay before it."""

    def __init__(self, server: S) -> None:
        self.server: S = server
        self.database = server.create_database()
        self.relay = Relay(server.port).__enter__()

    @property
    def settings(self) -> dict[str, str]:
        return self.server.settings(self.database)

    @property
    def stalling(self) -> dict[str, str]:
        return {**self.settings, "port": str(self.relay.port)}

    def start(self) -> None:
        self.server.start()

    def stall(self) -> None:
        self.relay.silent = True

    def resume(self) -> None:
        self.relay.silent = False

    def close(self) -> None:
        self.relay.__exit__()
        self.server.stop()


class PostgreSQLPlace(SQLPlace[postgresql.PostgreSQLServer]):
    """A server that waits for its disk."""

    def __init__(self) -> None:
        super().__init__(postgresql.own_server())
        for statement in create_statements("postgresql"):
            self._execute(statement, postgresql.USER)

    def _execute(self, statement: str, user: str = "postgres") -> None:
        with self.server.connect(self.database, user) as connection:
            connection.execute(statement.encode())

    def open(self, settings: dict[str, str] | None = None) -> PostgreSQLBackend:
        return PostgreSQLBackend(settings or self.settings)

    def kill(self) -> None:
        """As a crash: every process of the server ends at once, nothing is written any more."""
        assert self.server.child is not None
        self.server.child.process.send_signal(signal.SIGQUIT)
        self.server.child.process.wait(20)

    def clear(self) -> None:
        self._execute("TRUNCATE m, y")

    def change_password(self, password: str) -> None:
        self._execute(f"ALTER ROLE {postgresql.USER} PASSWORD '{password}'")
        self._cut()

    def exhaust(self) -> None:
        self._execute(f"ALTER ROLE {postgresql.USER} CONNECTION LIMIT 0")
        self._cut()

    def relieve(self) -> None:
        self._execute(f"ALTER ROLE {postgresql.USER} CONNECTION LIMIT -1")

    def _cut(self) -> None:
        with suppress(psycopg.errors.AdminShutdown):
            self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{postgresql.USER}'")


class MariaDBPlace(SQLPlace[mariadb.MariaDBServer]):
    """A server that waits for its disk."""

    def __init__(self) -> None:
        super().__init__(mariadb.own_server())
        for statement in create_statements("mysql"):
            self._execute(statement)

    def _execute(self, *statements: str) -> None:
        with self.server.connect(self.database, "root", "") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def open(self, settings: dict[str, str] | None = None) -> MySQLBackend:
        return MySQLBackend(settings or self.settings)

    def kill(self) -> None:
        assert self.server.child is not None
        self.server.child.kill()

    def clear(self) -> None:
        self._execute("DELETE FROM m", "DELETE FROM y")

    def change_password(self, password: str) -> None:
        self._execute(f"ALTER USER '{mariadb.USER}'@'%' IDENTIFIED BY '{password}'")
        self._cut()

    def exhaust(self) -> None:
        """The login's own limit, held by a connection of the test."""
        self._cut()
        self._execute(f"ALTER USER '{mariadb.USER}'@'%' WITH MAX_USER_CONNECTIONS 1")
        self._taken = self.server.connect(self.database)

    def relieve(self) -> None:
        self._taken.close()
        self._execute(f"ALTER USER '{mariadb.USER}'@'%' WITH MAX_USER_CONNECTIONS 0")

    def _cut(self) -> None:
        with suppress(pymysql.Error):
            self._execute(f"KILL USER {mariadb.USER}")


KINDS: dict[str, type[Place]] = {
    "redis": RedisPlace,
    "cluster": ClusterPlace,
    "sentinel": SentinelPlace,
    "postgresql": PostgreSQLPlace,
    "mysql": MariaDBPlace,
}
