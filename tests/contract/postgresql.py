"""PostgreSQL under contract: a database in Stalwart's layout on a real server."""

from __future__ import annotations

from stores.backends.postgresql import PostgreSQLBackend
from stores.codecs.sqltables import create_statements
from tests.contract.harness import Harness, Plant, SettableClock
from tests.servers import postgresql


class PostgreSQLHarness(Harness):
    """One database for the test run, its tables emptied for each test."""

    database: str = ""

    def __init__(self) -> None:
        self.server = self.find_server()
        if not type(self).database:
            type(self).database = self.server.create_database()
            with self.server.connect(self.database) as connection:
                for statement in create_statements("postgresql"):
                    connection.execute(statement)
        self.connection = self.server.connect(self.database)
        self.connection.execute("TRUNCATE m, y")

    def find_server(self) -> postgresql.PostgreSQLServer:
        return postgresql.server()

    def open(self, clock: SettableClock) -> PostgreSQLBackend:
        return PostgreSQLBackend(self.server.settings(self.database), clock=clock)

    def plant(self, rows: list[Plant]) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for table, pairs in (
                ("m", [(plant.key, plant.row) for plant in rows if plant.row is not None]),
                ("y", [(plant.key, plant.number) for plant in rows if plant.number is not None]),
            ):
                statement = f"INSERT INTO {table} (k, v) VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
                cursor.executemany(statement.encode(), pairs)

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return (
            dict(self.connection.execute("SELECT k, v FROM m").fetchall()),  # type: ignore[arg-type]
            dict(self.connection.execute("SELECT k, v FROM y").fetchall()),  # type: ignore[arg-type]
        )

    def close(self) -> None:
        self.connection.close()


class PackagedPostgreSQLHarness(PostgreSQLHarness):
    """The newer server that comes as a package, beside the system's."""

    database = ""

    def find_server(self) -> postgresql.PostgreSQLServer:
        return postgresql.packaged_server()
