"""RocksDB under contract: a database folder made with the engine itself, in Stalwart's layout."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from rocksdict import AccessType, Options, Rdict, WriteBatch

from stores.backends import rocksprocess
from stores.backends.rocksdb import RocksDBBackend
from tests.contract.harness import Harness, Plant, SettableClock

FAMILIES = ("default", "m", "y", "n", "u", "s")


def create(folder: Path, families: tuple[str, ...] = FAMILIES) -> None:
    """An empty database with the column families that matter, numbered in this order."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(folder), options)
    for name in families[1:]:
        database.create_column_family(name, Options(raw_mode=True)).close()
    database.close()


def put_rows(folder: Path, m: dict[bytes, bytes], y: dict[bytes, bytes], numbers: str = "y", values: str = "m") -> None:
    """Write rows as another process would; the database must not be open."""
    database = Rdict(str(folder), Options(raw_mode=True), {name: Options(raw_mode=True) for name in Rdict.list_cf(str(folder))})
    batch = WriteBatch(raw_mode=True)
    for table, rows in ((values, m), (numbers, y)):
        handle = database.get_column_family_handle(table)
        for key, value in rows.items():
            batch.put(key, value, handle)
        del handle
    database.write(batch)
    database.close()


def read_rows(folder: Path, numbers: str = "y") -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """All of `m` and `y`, read without the backend."""
    families = {name: Options(raw_mode=True) for name in ("default", "m", numbers)}
    database = Rdict(str(folder), Options(raw_mode=True), families, AccessType.read_only(False))
    m: Any = database.get_column_family("m")
    y: Any = database.get_column_family(numbers)
    try:
        return dict(m.items()), {key: int.from_bytes(value, "little", signed=True) for key, value in y.items()}
    finally:
        m.close()
        y.close()
        database.close()


class RocksDBHarness(Harness):
    """A folder of its own; the backends let go of it whenever the test looks behind them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kvadmin-test-"))
        self.path = self.folder / "database"
        self.backends: list[RocksDBBackend] = []
        create(self.path)

    def open(self, clock: SettableClock) -> RocksDBBackend:
        self.backends.append(RocksDBBackend({"path": str(self.path)}, version="0.11", clock=clock))
        return self.backends[-1]

    def plant(self, rows: list[Plant]) -> None:
        self._let_go()
        m = {row.key: row.row for row in rows if row.row is not None}
        put_rows(self.path, m, {row.key: row.number.to_bytes(8, "little", signed=True) for row in rows if row.number is not None})

    def raw(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        self._let_go()
        return read_rows(self.path)

    def _let_go(self) -> None:
        for backend in self.backends:
            backend.close()

    def close(self) -> None:
        self._let_go()
        rocksprocess.close_idle()
        shutil.rmtree(self.folder)
