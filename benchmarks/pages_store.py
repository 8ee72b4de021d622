"""A running `up` with one large, counted store, for the measurements of pages: filled, defined, looked at from outside, and ended."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import fill, redis_census
from stores.backends.base import Backend
from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.redis import RedisBackend
from stores.backends.sqlite import SQLiteBackend
from tests.browser.conftest import PASSWORD
from tests.running_up import RunningUp, manage
from tests.servers import mariadb, postgresql
from tests.servers.redis import RedisServer

STORE = "measured"
MB = 1024 * 1024


class Filled(ABC):
    """A store of `rows` keys. `folder` keeps it for the next run, where the engine's data can be kept."""

    backend: type[Backend]

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Fill it unless it was kept; the settings of its definition."""

    def close(self) -> None:  # noqa: B027 - a file needs none
        """End its server."""

    def data(self) -> Iterator[fill.Row]:
        return fill.rows(self.rows, int(time.time()))


class SQLiteFile(Filled):
    backend = SQLiteBackend

    def settings(self) -> dict[str, str]:
        path = self.folder / f"sqlite-{self.rows}.db"
        if not path.exists():
            unfinished = path.with_suffix(".filling")
            unfinished.unlink(missing_ok=True)
            fill.fill_sqlite(unfinished, self.data())
            unfinished.rename(path)
        return {"path": str(path)}


class RedisKeys(Filled):
    """All keys live: Redis has no expired ones."""

    backend = RedisBackend

    def settings(self) -> dict[str, str]:
        folder = self.folder / f"redis-{self.rows}"
        folder.mkdir(exist_ok=True)
        self.server = RedisServer("redis", folder=folder)
        with self.server.client() as client:
            if client.dbsize() == 0:
                redis_census.fill_server(self.server, self.rows)
                client.save()
        return {"urls": self.server.url}

    def close(self) -> None:
        self.server.stop()

    def spent(self) -> dict[str, int]:
        """Calls of each command so far, those inside scripts too; `reads` are round trips: how often the server took something in."""
        with self.server.client() as client:
            calls: dict[str, Any] = client.info("commandstats")
            stats: dict[str, Any] = client.info("stats")
        found = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in calls.items()}
        return {**found, "reads": int(stats["total_reads_processed"])}


class PostgreSQLDatabase(Filled):
    """Filled anew each time."""

    backend = PostgreSQLBackend

    def settings(self) -> dict[str, str]:
        self.server = postgresql.server(durable=True)
        name = self.server.create_database()
        with self.server.connect(name) as connection:
            fill.fill_postgresql(connection, self.data())
        return self.server.settings(name)

    def close(self) -> None:
        self.server.stop()


class MariaDBDatabase(Filled):
    """Filled anew each time."""

    backend = MySQLBackend

    def settings(self) -> dict[str, str]:
        self.server = mariadb.server(durable=True)
        name = self.server.create_database()
        with self.server.connect(name) as connection:
            fill.fill_mysql(connection, self.data())
        return self.server.settings(name)

    def close(self) -> None:
        assert self.server.child is not None
        self.server.child.stop()


ENGINES: Mapping[str, type[Filled]] = {
    "sqlite": SQLiteFile,
    "redis": RedisKeys,
    "postgresql": PostgreSQLDatabase,
    "mysql": MariaDBDatabase,
}


class Measured:
    """The running `up` and its store."""

    def __init__(self, store: Filled, data_dir: Path, engine: str) -> None:
        self.store = store
        self.settings = store.settings()
        self.up = RunningUp(data_dir, KVADMIN_ADMIN_PASSWORD=PASSWORD)
        self.url = self.up.wait_ready().rstrip("/")
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        self._order("store-add", STORE, "--type", engine, "--set", *settings, "--version", "0.11", "--default")
        self._order("census", STORE)

    def _order(self, *arguments: str) -> None:
        done = manage(*arguments, KVADMIN_DATA_DIR=str(self.up.data_dir))
        if done.returncode:
            raise RuntimeError(done.stderr)

    def end(self) -> None:
        self.up.end()
        self.store.close()

    def web_memory(self) -> tuple[float, float]:
        """MB of the largest process of the web server: resident, and with what it shares with others counted in part."""
        processes = _below(self.up.pids()["web"] or 0)
        return max(_kilobytes(pid, "Rss") for pid in processes) / 1024, max(_kilobytes(pid, "Pss") for pid in processes) / 1024

    def database_part(self, pages: int) -> list[float]:
        """Milliseconds that the store takes for each of so many pages of 100 rows, one after another."""
        took: list[float] = []
        with self.store.backend(self.settings, version="0.11") as backend:
            backend.ping()
            cursor = None
            for _ in range(pages):
                began = time.perf_counter()
                page = backend.scan(cursor=cursor)
                took.append((time.perf_counter() - began) * 1000)
                cursor = page.next
                if cursor is None:
                    break
        return took


def _below(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _below(int(child)))]


def _kilobytes(pid: int, what: str) -> float:
    match = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return float(match[1]) if match else 0.0


@contextmanager
def measured(engine: str, rows: int, keep: Path | None) -> Iterator[Measured]:
    """The running thing; ended and removed afterwards, but for a store in the folder `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="kvadmin-pages-"))
    store = ENGINES[engine](keep or folder, rows)
    undo: list[Callable[[], object]] = []
    try:
        made = Measured(store, folder / "data", engine)
        undo.append(made.end)
        yield made
    finally:
        for each in undo:
            each()
        shutil.rmtree(folder, ignore_errors=True)
