"""The disk is full, or cannot be written: said so, nothing half written, and the same open store works once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from stores.backends import rocksprocess
from stores.backends.base import Backend
from stores.backends.mysql import MySQLBackend
from stores.backends.postgresql import PostgreSQLBackend
from stores.backends.redis import RedisBackend
from stores.backends.rocksdb import RocksDBBackend
from stores.backends.sqlite import SQLiteBackend, create_file
from stores.errors import ReadOnly, StoreError, StoreRefused, StoreUnavailable
from tests.contract.rocksdb import create
from tests.faults.conftest import place_of, presentable
from tests.faults.places import SECRET, MariaDBPlace, PostgreSQLPlace
from tests.servers.process import own_folder, unprivileged
from tests.servers.redis import RedisServer, wait_for

SIZE = 12 << 20
LARGE = b"x" * 200_000


class SmallDisk:
    """A file system of a few megabytes in memory."""

    def __init__(self) -> None:
        self.folder = own_folder("kvadmin-disk-")
        self._run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(self.folder))
        self.folder.chmod(0o777)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)

    def writable(self, yes: bool) -> None:
        self._run("mount", "-o", f"remount,{'rw' if yes else 'ro'}", str(self.folder))

    def close(self) -> None:
        self._run("umount", "-l", str(self.folder))


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    try:
        small = SmallDisk()
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("a small file system cannot be mounted here")
    yield small
    small.close()


def refuses_until_there_is_room(disk: SmallDisk, backend: Backend, kinds: tuple[type[StoreError], ...], *words: str) -> None:
    """Write until the disk is full: what was acknowledged stays, what was refused is not there, then all is well again."""
    backend.key_set(b"before", b"v")
    disk.fill()
    kept, error, key = [], None, b""
    for number in range(200):
        key = b"k%03d" % number
        try:
            backend.key_set(key, LARGE)
            kept.append(key)
        except kinds as raised:
            error = raised
            break
    assert error is not None, "the disk has room"
    presentable(error, SECRET)
    assert any(word in str(error) for word in words), error
    assert backend.key_get(b"before") == b"v", "reading goes on"
    disk.empty()
    wait_for(lambda: _writes(backend), what="the store to take writes again")
    found = {entry.key for entry in backend.scan(limit=300).entries}
    unknown = {key} if "does not answer" in str(error) else set()
    assert {b"before", b"after", *kept} <= found <= {b"before", b"after", *kept, *unknown}
    assert all(backend.key_get(key) == LARGE for key in found if key.startswith(b"k"))


def _writes(backend: Backend) -> bool:
    try:
        return backend.key_set(b"after", b"v").value == b"v"
    except StoreError:
        return False


def test_sqlite(disk: SmallDisk) -> None:
    create_file(disk.folder / "store.db")
    with SQLiteBackend({"path": str(disk.folder / "store.db")}) as backend:
        refuses_until_there_is_room(disk, backend, (StoreUnavailable,), "full")
        assert backend.delete(b"before") is not None


def test_rocksdb(disk: SmallDisk) -> None:
    create(disk.folder / "database")
    with RocksDBBackend({"path": str(disk.folder / "database")}) as backend:
        refuses_until_there_is_room(disk, backend, (StoreUnavailable,), "full")
        assert backend.delete(b"before") is not None
    rocksprocess.close_idle()


def test_postgresql(disk: SmallDisk) -> None:
    place = place_of("postgresql")
    assert isinstance(place, PostgreSQLPlace)
    (disk.folder / "space").mkdir()
    user = unprivileged()
    if user is not None:
        os.chown(disk.folder / "space", user.pw_uid, user.pw_gid)
    place._execute(f"CREATE TABLESPACE small LOCATION '{disk.folder}/space'")
    place._execute("ALTER TABLE m SET TABLESPACE small")
    try:
        with place.open() as backend:
            assert isinstance(backend, PostgreSQLBackend)
            place._execute("ALTER TABLE m ALTER COLUMN v SET STORAGE EXTERNAL")
            refuses_until_there_is_room(disk, backend, (StoreUnavailable,), "full")
    finally:
        disk.empty()
        place._execute("TRUNCATE m")
        place._execute("ALTER TABLE m SET TABLESPACE pg_default")
        place._execute("DROP TABLESPACE small")


def test_mariadb(disk: SmallDisk) -> None:
    place = place_of("mysql")
    assert isinstance(place, MariaDBPlace)
    place._execute("DROP TABLE m")
    columns = "k TINYBLOB, v MEDIUMBLOB NOT NULL, PRIMARY KEY (k(255))"
    place._execute(f"CREATE TABLE m ({columns}) ENGINE = InnoDB DATA DIRECTORY = '{disk.folder}'")
    try:
        with place.open() as backend:
            assert isinstance(backend, MySQLBackend)
            refuses_until_there_is_room(disk, backend, (StoreUnavailable,), "full", "does not answer")
    finally:
        disk.empty()
        place._execute("DROP TABLE m", f"CREATE TABLE m ({columns}) ENGINE = InnoDB")


def test_redis_that_logs_every_change(disk: SmallDisk) -> None:
    server = RedisServer("valkey", "--appendonly", "yes", "--appendfsync", "everysec", password=SECRET, folder=disk.folder)
    with RedisBackend({"urls": server.url}) as backend:
        refuses_until_there_is_room(disk, backend, (StoreRefused, StoreUnavailable), "cannot save")
    server.kill()


@pytest.mark.parametrize("kind", ["sqlite", "rocksdb"])
def test_a_disk_that_cannot_be_written(disk: SmallDisk, kind: str) -> None:
    path = disk.folder / kind

    def opened() -> Backend:
        return SQLiteBackend({"path": str(path)}) if kind == "sqlite" else RocksDBBackend({"path": str(path)})

    if kind == "sqlite":
        create_file(path)
    else:
        create(path)
    with opened() as backend:
        backend.key_set(b"k", b"v")
    rocksprocess.close_idle()
    disk.writable(False)
    try:
        with opened() as backend:
            for call in (lambda: backend.key_set(b"k", b"w"), lambda: list(backend.purge(1))):
                with pytest.raises((ReadOnly, StoreRefused)) as caught:
                    call()
                assert "write" in caught.value.message or "read only" in caught.value.message
            try:
                assert [entry.key for entry in backend.scan().entries] == [b"k"]
            except StoreRefused as error:  # SQLite needs its log files beside the database
                assert kind == "sqlite"
                presentable(error, SECRET)
    finally:
        rocksprocess.close_idle()
        disk.writable(True)
    with opened() as backend:
        assert backend.key_get(b"k") == b"v"
        assert backend.key_set(b"k", b"w").value == b"w"
    rocksprocess.close_idle()
