"""A real MariaDB on a free loopback port, one a test run: `server()` starts it at the first call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

from tests.servers.process import Child, free_port, hand_over, missing, own_folder, run
from tests.servers.tls import Certificates

PASSWORD = "s3cret-of-the-tests"
USER = "stalwart"
_MIB = 1 << 20


class MariaDBServer:
    """A running server. `settings()` are those of a kvadmin store on a fresh database."""

    def __init__(self, daemon: Path, installer: Path, durable: bool = False, options: Sequence[str] = ()) -> None:
        self.options = options
        self.daemon = daemon
        self.durable = durable
        self.folder = own_folder("kvadmin-maria-")
        self.port = free_port()
        self.child: Child | None = None
        self._databases = count()
        self.data = self.folder / "data"
        run([installer, "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db"])
        self.certificates = Certificates(self.folder)
        hand_over(self.certificates.server, self.certificates.server_key)
        self.start()
        with self.connect(None, "root", "") as connection:
            self._execute(connection, f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")

    def start(self) -> None:
        """Start (again) on the same port and data."""
        argv: list[str | Path] = [self.daemon, "--no-defaults", f"--datadir={self.data}", f"--port={self.port}"]
        argv += ["--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid", "--skip-name-resolve"]
        argv += ["--max-connections=100", f"--ssl-cert={self.certificates.server}", f"--ssl-key={self.certificates.server_key}"]
        argv += [f"--ssl-ca={self.certificates.ca}"]
        argv += self.options
        if not self.durable:
            argv += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-flush-method=nosync"]
        self.child = Child(argv, self.folder / "log")
        self.child.wait_until(self._answers)

    def stop(self) -> None:
        """Shut down as an administrator would."""
        assert self.child is not None
        self.child.stop()

    def connect(self, database: str | None, user: str = USER, password: str = PASSWORD) -> pymysql.Connection[Any]:
        """An autocommit connection for the tests' own statements."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=password,
            database=database,
            autocommit=True,
            connect_timeout=5,
        )

    def create_database(self) -> str:
        """A fresh, empty database on which the store's user has all rights."""
        name = f"kv_{next(self._databases)}"
        with self.connect(None, "root", "") as connection:
            self._execute(connection, f"CREATE DATABASE {name}")
            self._execute(connection, f"GRANT ALL ON {name}.* TO '{USER}'@'%'")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database."""
        with self.connect(None, "root", "") as connection:
            self._execute(connection, f"DROP DATABASE IF EXISTS {name}")

    def settings(self, database: str) -> dict[str, str]:
        """The settings of a store on this server, named as Stalwart's options."""
        return {"host": "127.0.0.1", "port": str(self.port), "database": database, "user": USER, "password": PASSWORD}

    @staticmethod
    def _execute(connection: pymysql.Connection[Any], statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def _answers(self) -> bool:
        try:
            self.connect(None, "root", "").close()
        except pymysql.OperationalError as error:
            return bool(error.args[0] == 1045)
        return True


def server(durable: bool = False) -> MariaDBServer:
    """The server of this test run. Skips, or fails where servers are required, when there is none.

    `durable` starts one that waits for the disk as in production, for measurements.
    """
    return _started(*_programs(), durable)


def own_server(*options: str) -> MariaDBServer:
    """Another server, which waits for the disk and which a test may break; `options` as on the command line."""
    return MariaDBServer(*_programs(), durable=True, options=options)


def _programs() -> tuple[Path, Path]:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    daemon, installer = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if daemon is None or installer is None:
        missing("MariaDB", "install the package mariadb-server")
        raise AssertionError
    return Path(daemon), Path(installer)


@cache
def _started(daemon: Path, installer: Path, durable: bool) -> MariaDBServer:
    return MariaDBServer(daemon, installer, durable)
