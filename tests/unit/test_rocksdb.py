"""RocksDB: databases of real servers, a live writer beside, the LOCK, damaged and foreign folders, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from stores.backends import packs, rocksfiles, rockslocal, rocksopen, rocksprocess
from stores.backends.rocksdb import RocksDBBackend
from stores.backends.rockslocal import LocalDatabase
from stores.codecs.rows import marker_row, value_row
from stores.errors import BadConfig, Busy, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.types import Entry, Kind
from tests.contract.rocksdb import create, put_rows, read_rows
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.rocksdb import ROOT, LiveServer, log_additions

CAPTURES = FIXTURES / "stalwart-0.11.8" / "rocksdb"


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Links and logs under the test's own folder, and no reader left open."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield
    rocksprocess.close_idle()
    assert [folder.name for folder in rocksfiles.work_folder().glob("view-*")] == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database."""
    create(tmp_path / "database")
    return tmp_path / "database"


def backend(path: Path, version: str = "0.11") -> RocksDBBackend:
    return RocksDBBackend({"path": str(path)}, version=version, clock=lambda: 1_800_000_000)


def capture(name: str, folder: Path) -> Path:
    with tarfile.open(CAPTURES / f"memstore.rocks-{name}.tar.gz") as archive:
        for member in archive.getmembers():
            archive.extract(member, folder)
    return folder / "memstore.rocks"


def expected(name: str) -> list[tuple[bytes, Kind, bytes | None, int | None, int | None, bytes | None]]:
    found = []
    for line in (CAPTURES / f"rows-{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        counter = row["kind"] == "counter"
        found.append(
            (
                bytes.fromhex(row["key_hex"]),
                Kind.COUNTER if counter else Kind.VALUE,
                None if counter else bytes.fromhex(row.get("value_hex") or ""),
                row.get("counter"),
                row["expires_unix"],
                bytes.fromhex(row["m_value_hex"]) if row.get("m_value_hex") else None,
            )
        )
    return sorted(found, key=lambda row: row[0])


def process_of(store: RocksDBBackend) -> subprocess.Popen[bytes]:
    """The process that has the store's database open."""
    child = store.shared._child
    assert child is not None
    return child.process


def walk(store: RocksDBBackend, limit: int = 100) -> list[Entry]:
    found: list[Entry] = []
    cursor = None
    while True:
        page = store.scan(cursor=cursor, limit=limit)
        found += page.entries
        cursor = page.next
        if cursor is None:
            return found


def plain(entries: list[Entry]) -> list[tuple[bytes, Kind, bytes | None, int | None, int | None, bytes | None]]:
    return [(entry.key, entry.kind, entry.value, entry.counter, entry.expires_at, entry.row) for entry in entries]


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns) for entry in folder.iterdir()}


# databases of real servers


@needs_fixtures
@pytest.mark.parametrize(("archive", "rows"), [("live", "live"), ("clean", "final")])
def test_a_captured_database_is_read_completely_and_left_untouched(tmp_path: Path, archive: str, rows: str) -> None:
    path = capture(archive, tmp_path)
    before = contents(path)
    with backend(path) as store:
        assert plain(walk(store)) == expected(rows)
        for entry in walk(store):
            assert store.get(entry.key) == entry
        counted = [row for step in store.census() for row in step.rows]
        assert sorted((row.key, row.kind, row.expires_at) for row in counted) == [(r[0], r[1], r[4]) for r in expected(rows)]
        assert store.ping().server == "RocksDB 9.9.3"
        assert [check.state for check in store.check()] == ["ok"] * 4
        assert "26 column families" in store.check()[1].detail
    rocksprocess.close_idle()
    assert contents(path) == before


@needs_fixtures
def test_a_walk_that_pending_additions_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a merge operator the walk ends after 93 of 467 numbers, and RocksDB says so only when asked."""
    path = capture("live", tmp_path)
    monkeypatch.setattr(rocksopen, "options_text", lambda families, folder: "")
    monkeypatch.setattr(
        rocksopen, "_options", lambda families, folder: (Options(raw_mode=True), {name: Options(raw_mode=True) for name in families})
    )
    with closing(LocalDatabase(path, "0.11")) as store:
        with pytest.raises(StoreRefused, match="ended early"):
            store.page(b"", None, 1000, True)
        with pytest.raises(StoreRefused, match="ended early"):
            store.count(b"", None, 1000, True)
        monkeypatch.setattr(packs, "CHUNK", 4)
        monkeypatch.setattr(packs, "PACKED", 8)
        start, number = b"", store.census_begin(b"", True)
        with pytest.raises(StoreRefused, match="ended early"):
            while step := store.census_next(number):
                assert isinstance(step, packs.Step)
                start = step.last or start
        number = store.census_begin(start, True)
        with pytest.raises(StoreRefused, match="ended early"):
            while store.census_next(number):
                pass
        assert store.page(b"", None, 20, True), "what lies before the unreadable number is shown"


@needs_fixtures
def test_a_captured_database_is_edited_and_purged_and_opens_again(tmp_path: Path) -> None:
    path = capture("live", tmp_path)
    rows = {row[0]: row for row in expected("live")}
    now = 1_800_000_000
    gone = {key for key, row in rows.items() if row[4] is not None and row[4] <= now}
    assert gone
    with backend(path) as store:
        steps = list(store.purge(now))
        assert sum(step.values + step.counters + step.locks for step in steps) == len(gone)
        counter = next(row for key, row in rows.items() if row[1] is Kind.COUNTER and key not in gone)
        assert store.counter_incr(counter[0], 5) == (counter[3] or 0) + 5
    assert "rocksdict-config.json" not in contents(path)
    with LiveServer(path, tmp_path / "server"), backend(path) as store:
        after = {entry.key: entry.counter for entry in walk(store)}
    assert after == {key: row[3] + 5 if key == counter[0] else row[3] for key, row in rows.items() if key not in gone}  # type: ignore[operator]


def test_the_oldest_layout_shares_its_table_with_foreign_numbers(tmp_path: Path) -> None:
    path = tmp_path / "old"
    create(path, ("default", "m", "n", "s"))
    foreign, rate, marked = bytes(6) + b"\x01\x02\x03\x04", b"b:203.0.113.9" + bytes(8), b"\xfe\xfe"
    number = (5).to_bytes(8, "little")
    rows = {marked: marker_row(1_700_000_000), foreign: value_row(b"v", None)}
    put_rows(path, rows, {foreign: number, rate: number, marked: number}, "n")
    with backend(path, "0.10") as store:
        assert store.detect_version() == "0.10"
        assert "m and n" in store.check()[1].detail
        assert [(entry.key, entry.counter) for entry in walk(store)] == [(foreign, None), (rate, 5), (marked, 5)]
        assert store.get(foreign) == walk(store)[0]
        sizes = {row.key: row.value_bytes for step in store.census() for row in step.rows}
        assert sizes == {foreign: 9, rate: 8, marked: 24}
        with pytest.raises(BadConfig):
            store.counter_set(foreign, 1)
        assert store.delete(foreign) is not None
        assert sum(step.counters for step in store.purge(1_800_000_000)) == 1
    assert read_rows(path, "n") == ({}, {foreign: 5, rate: 5})


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({b"lookup.default.hostname": b"mx"}, ""),
        ({}, ""),
        ({b"\x00\x11\x04\xc0\x31\x50\x19\xe0\x0c\x00": b"object"}, "0.16"),
    ],
)
def test_the_version_and_the_servers_settings_are_read(path: Path, settings: dict[bytes, bytes], version: str) -> None:
    put_rows(path, settings, {}, values="s")
    with backend(path) as store:
        assert store.detect_version() == version
        if version != "0.16":
            assert store.server_settings(["lookup."]) == {key.decode(): value.decode() for key, value in settings.items()}
            assert store.server_settings(["queue."]) == {}
    with backend(path, "0.16") as store:
        assert store.server_settings(["lookup."]) is None


# beside a live server


def test_a_reader_sees_what_a_live_server_writes(path: Path, tmp_path: Path) -> None:
    put_rows(path, {b"old": value_row(b"1", None)}, {})
    with LiveServer(path, tmp_path / "server") as server:
        before = set(contents(path))
        with backend(path) as store:
            assert [entry.key for entry in walk(store)] == [b"old"]
        server.put("m", b"new", value_row(b"2", None))
        server.put("y", b"new", (7).to_bytes(8, "little"))
        with backend(path) as store:
            found = walk(store)
        assert [(entry.key, entry.value, entry.counter) for entry in found] == [(b"new", b"2", 7), (b"old", b"1", None)]
        for number in range(30):
            server.put("m", b"k%02d" % number, value_row(b"x" * 500, None))
            server.flush("m")
            server.compact("m")
            with backend(path) as store:
                assert len(walk(store, 7)) == number + 3
        assert {name for name in set(contents(path)) - before if not name[0].isdigit()} == set(), "only the server's own files"


def test_a_reader_follows_stops_restarts_and_a_killed_server(path: Path, tmp_path: Path) -> None:
    for number in range(3):
        server = LiveServer(path, tmp_path / "server")
        server.put("m", b"k%d" % number, value_row(b"", None))
        with backend(path) as store:
            assert [entry.key for entry in walk(store)] == [b"k%d" % n for n in range(number + 1)]
        if number == 1:
            server.kill()
        else:
            server.stop()
        with backend(path) as store:
            assert [entry.key for entry in walk(store)] == [b"k%d" % n for n in range(number + 1)]
    with backend(path) as store:
        store.key_set(b"mine", b"v")
    assert set(read_rows(path)[0]) == {b"k0", b"k1", b"k2", b"mine"}


def test_pending_additions_are_counted_once_whatever_the_server_does_with_its_log(path: Path, tmp_path: Path) -> None:
    put_rows(path, {}, {b"a": (100).to_bytes(8, "little")})
    database = Rdict(str(path), Options(raw_mode=True), {name: Options(raw_mode=True) for name in Rdict.list_cf(str(path))})
    sequence = database.latest_sequence_number()
    database.close()
    with backend(path) as store:
        assert counters(store) == {b"a": 100}
    log_additions(path, [(b"a", 7), (b"b", 5), (b"a", -2), (b"b", -6)], family=2, sequence=sequence + 1)
    with backend(path) as store:
        assert counters(store) == {b"a": 105, b"b": -1}
        with LiveServer(path, tmp_path / "server") as server:
            steps: list[Callable[[], object]] = [
                lambda: None,
                lambda: server.put("y", b"c", bytes(8)),
                lambda: server.flush("y"),
                lambda: server.compact("y"),
            ]
            for step in steps:
                step()
                with backend(path) as other:
                    found = counters(other)
                    assert {b"a": found[b"a"], b"b": found[b"b"]} == {b"a": 105, b"b": -1}
    with backend(path) as store:
        assert store.counter_incr(b"a", 1) == 106


def counters(store: RocksDBBackend) -> dict[bytes, int]:
    return {entry.key: entry.counter for entry in walk(store) if entry.counter is not None}


def test_a_database_put_in_the_place_of_another_is_read_anew(path: Path, tmp_path: Path) -> None:
    put_rows(path, {b"old": value_row(b"", None)}, {})
    with backend(path) as store:
        assert [entry.key for entry in walk(store)] == [b"old"]
    path.rename(tmp_path / "moved")
    with backend(path) as store, pytest.raises(StoreRefused, match="no folder"):
        store.scan()
    create(path)
    put_rows(path, {b"other": value_row(b"", None)}, {})
    with backend(path) as store:
        assert [entry.key for entry in walk(store)] == [b"other"]


def test_a_census_that_has_begun_is_not_disturbed(path: Path, tmp_path: Path) -> None:
    put_rows(path, {b"k%05d" % number: value_row(b"", None) for number in range(5000)}, {})
    with LiveServer(path, tmp_path / "server") as server, backend(path) as store:
        steps = store.census()
        first = next(steps)
        server.put("m", b"a", value_row(b"", None))
        server.delete("m", b"k04999")
        assert store.get(b"zz") is None
        rocksprocess.close_idle()
        assert len(first.rows) + sum(len(step.rows) for step in steps) == 5000


def test_writes_are_refused_while_the_server_runs_and_say_by_whom_it_is_held(path: Path, tmp_path: Path) -> None:
    with LiveServer(path, tmp_path / "server") as server, backend(path) as store:
        capabilities = store.capabilities
        assert not capabilities.writes
        assert not capabilities.purges
        for why in (capabilities.why["writes"], capabilities.why["purges"]):
            assert f"process {server.process.pid} (" in why
            assert "Stop the mail server" in why
        attempts = (lambda: store.key_set(b"k", b"v"), lambda: store.delete(b"k"), lambda: next(store.purge(1)), store.require_writes)
        for attempt in attempts:
            with pytest.raises(ReadOnly, match="Stop the mail server"):
                attempt()
        with pytest.raises(ReadOnly, match=f"process {server.process.pid} "):
            store.shared.ask("hold", 1)
        assert store.check()[-1].state == "warn"
        server.put("m", b"k", value_row(b"", None))
        assert store.get(b"k") is not None
    with backend(path) as store:
        assert store.capabilities.writes
        assert store.key_set(b"k", b"v").value == b"v"


def test_asking_who_holds_the_lock_does_not_give_it_away(path: Path) -> None:
    with backend(path) as store:
        store.key_set(b"k", b"v")
        with backend(path) as other:
            assert other.capabilities.writes
            assert other.check()[-1].state == "ok"
        probe = "import sys; from stores.backends.rocksfiles import *; print(holder(Path(sys.argv[1])))"
        said = subprocess.run([sys.executable, "-c", probe, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
        assert int(said.stdout) == process_of(store).pid
    said = subprocess.run([sys.executable, "-c", probe, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "None"


_HOLD = """
import sys
from stores.backends.rocksdb import RocksDBBackend
with RocksDBBackend({"path": sys.argv[1]}, version="0.11") as store:
    store.key_set(b"from", b"another process")
    print("written", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_of_kvadmin_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "TMPDIR": str(rocksfiles.work_folder().parent)}
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "written\n"
        monkeypatch.setattr(rockslocal, "WAIT_SECONDS", 0.1)
        with backend(path) as store, closing(LocalDatabase(path, "0.11")) as local:
            assert store.capabilities.writes, "kvadmin itself is no reason to call the store read only"
            with pytest.raises(Busy):
                local.hold(1)
            assert [entry.key for entry in walk(store)] == [b"from"]
        thread = threading.Timer(0.2, other.communicate, ("\n",))
        thread.start()
        with backend(path) as store:
            store.key_set(b"k", b"v")
        thread.join()
    finally:
        other.kill()
        other.wait(30)
    assert set(read_rows(path)[0]) == {b"from", b"k"}


def test_a_process_killed_while_it_writes_leaves_a_database_and_no_lock(path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(rocksfiles.work_folder().parent)}
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "written\n"
    other.kill()
    other.wait(30)
    assert list(rocksfiles.work_folder().glob("view-*"))
    with backend(path) as store:
        assert store.key_set(b"k", b"v").value == b"v"
        assert [entry.key for entry in walk(store)] == [b"from", b"k"]


# the folder


def test_editing_leaves_only_rocksdbs_own_files(path: Path) -> None:
    with backend(path) as store:
        store.key_set(b"k", b"v")
        store.counter_incr(b"c", 3, 1_900_000_000)
    (path / "rocksdict-config.json").unlink()
    for _ in range(30):
        with backend(path) as store:
            store.counter_incr(b"c", 1)
    names = set(contents(path))
    assert {name for name in names if not name.split(".")[0].isdigit()} == {
        "CURRENT",
        "IDENTITY",
        "LOCK",
        *(name for name in names if name.startswith(("MANIFEST-", "OPTIONS-", "LOG"))),
    }
    assert len([name for name in names if name.endswith(".sst")]) < 20, "small files are brought together"
    with backend(path) as store:
        assert store.counter_get(b"c") == 33


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_written_as_root_belong_to_the_owner_of_the_folder(path: Path) -> None:
    for file in (path, *path.iterdir()):
        os.chown(file, 65534, 65534)
    with backend(path) as store:
        store.key_set(b"k", b"v")
        assert {file.stat().st_uid for file in path.iterdir()} <= {65534}
    assert {(file.stat().st_uid, file.stat().st_gid) for file in path.iterdir()} == {(65534, 65534)}


_AS_NOBODY = """
import os, pickle, sys, tempfile
from contextlib import closing
from pathlib import Path
tempfile.tempdir = sys.argv[2]
from stores.backends.rockslocal import LocalDatabase
from stores.errors import StoreError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with closing(LocalDatabase(Path(sys.argv[1]), "0.11")) as store:
    try:
        print([key for key, _, _ in store.page(b"", None, 10, True)])
        store.hold(1)
    except StoreError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_another_user_reads_what_it_may_and_writes_nothing(path: Path, tmp_path: Path, mode: int) -> None:
    put_rows(path, {b"row": value_row(b"", None)}, {})
    path.chmod(mode)
    scratch = tmp_path / "theirs"
    scratch.mkdir(mode=0o777)
    scratch.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o055 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    before = contents(path)
    said = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(path), str(scratch)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if mode == 0o755:
        assert said.stdout.startswith("[b'row']\nReadOnly "), said.stderr
        assert "could not be read by the mail server. Run kvadmin as root" in said.stdout
    else:
        assert said.stdout.startswith("StoreRefused "), said.stderr
        assert "not readable for the user nobody" in said.stdout
    assert contents(path) == before


@pytest.mark.parametrize("given", ["", "relative/path", "/with\nbreak"])
def test_a_path_that_cannot_be_one_is_refused(given: str) -> None:
    with pytest.raises(BadConfig) as caught:
        RocksDBBackend({"path": given})
    assert caught.value.field == "path"


def test_what_is_no_database_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    strange = tmp_path / "strange"
    create(strange)
    (strange / "CURRENT").write_text("MANIFEST-999999\n")
    for name, words in (("missing", "no folder"), ("empty", "not a RocksDB database"), ("file", "is a file"), ("strange", "is missing")):
        with backend(tmp_path / name) as store:
            for attempt in (store.scan, store.ping, lambda: store.key_set(b"k", b"v"), lambda: next(store.census())):
                with pytest.raises(StoreError, match=words):
                    attempt()
            checks = store.check()
            assert checks[-1].state == "failed"
            assert words in checks[-1].detail
            assert checks[-1].fix


def test_a_database_without_the_tables_says_which_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "other"
    options = Options(raw_mode=True)
    Rdict(str(path), options).close()
    with backend(path) as store, pytest.raises(StoreRefused, match="no column family m and y"):
        store.scan()


def test_a_damaged_file_is_an_error_and_never_a_short_list(path: Path) -> None:
    put_rows(path, {b"k%05d" % number: value_row(os.urandom(60), None) for number in range(3000)}, {})
    put_rows(path, {}, {})
    table = max((file for file in path.iterdir() if file.suffix == ".sst"), key=lambda file: file.stat().st_size)
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(64)
    table.write_bytes(raw)
    with backend(path) as store:
        with pytest.raises(StoreRefused, match="damaged"):
            walk(store, 500)
        with pytest.raises(StoreRefused, match="damaged"):
            list(store.census())
        with pytest.raises(StoreRefused, match="damaged"):
            list(store.purge(1))


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", ReadOnly, "one process"),
        ("Corruption: Unknown Footer version. Maybe this file was created with newer version of RocksDB?", StoreRefused, "newer"),
        ("Not implemented: Unsupported format", StoreRefused, "newer"),
        ("Corruption: block checksum mismatch", StoreRefused, "damaged"),
        ("IO error: No space left on device: While appending to file", StoreUnavailable, "full"),
        ("IO error: No such file or directory: While open a file", StoreUnavailable, "missing"),
        ("IO error: Permission denied: While opening a file", StoreRefused, "not readable"),
        ("Busy: something new", StoreUnavailable, "could not read"),
    ],
)
def test_what_rocksdb_says_is_translated(said: str, kind: type[StoreError], words: str) -> None:
    with pytest.raises(kind, match=words), rocksopen.translated(Path("/x")):
        raise Exception(said)
    with pytest.raises(ZeroDivisionError), rocksopen.translated(Path("/x")):
        raise ZeroDivisionError


def test_a_number_of_the_wrong_length_is_shown_as_such(path: Path) -> None:
    put_rows(path, {}, {b"n": b"\x01\x02"})
    with backend(path) as store:
        (entry,) = walk(store)
        assert (entry.counter, entry.kind) == (0, Kind.COUNTER)
        assert "has 2 bytes" in entry.problem
        assert store.get(b"n") == entry
        assert store.delete(b"n", entry) is not None
    assert read_rows(path) == ({}, {})
