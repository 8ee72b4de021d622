"""MariaDB under contract: a database in Stalwart's layout on a real server."""

from __future__ import annotations

from stores.backends.mysql import MySQLBackend
from stores.codecs.sqltables import create_statements
from tests.contract.harness import Harness, Plant, SettableClock
from tests.servers import mariadb


class MariaDBHarness(Harness):
    """One database for the test run, its tables emptied for each test."""

    database: str = ""

    def __init__(self) -> None:
        self.server = mariadb.server()
        if not type(self).database:
            type(self).database = self.server.create_database()
            with self.server.connect(self.database) as connection, connection.cursor() as cursor:
                for statement in create_statements("mysql"):
                    cursor.execute(statement)
        self.connection = self.server.connect(self.database)
        self._execute("DELETE FROM m")
        self._execute("DELETE FROM y")

    def open(self, clock: SettableClock) -> MySQLBackend:
        return MySQLBackend(self.server.settings(self.database), clock=clock)

    def plant(self, rows: list[Plant]) -> None:
        self._execute("START TRANSACTION")
        with self.connection.cursor() as cursor:
            for table, pairs in (
                ("m", [(plant.key, plant.row) for plant in rows if plant.row is not None]),
                ("y", [(plant.key, plant.number) for plant in rows if plant.number is not None]),
            ):
                cursor.executemany(f"REPLACE INTO {table} (k, v) VALUES (%s, %s)", pairs)
        self._execute("COMMIT")
        if len(rows) > 1000:
            self._execute("ANALYZE TABLE m, y")

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return dict(self._execute("SELECT k, v FROM m")), dict(self._execute("SELECT k, v FROM y"))  # type: ignore[arg-type]

    def close(self) -> None:
        self.connection.close()

    def _execute(self, statement: str) -> list[tuple[object, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
