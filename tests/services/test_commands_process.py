"""The command line as its users meet it: real processes, exit codes, pipes, signals, and a purge that is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stores.codecs.rows import marker_row, value_row
from tests.fixtures_path import ROOT

PYTHON = sys.executable
FINISH = """
import django; django.setup()
from stores.models import Run
from stores.services import purge, runs
print(runs.sweep())
run = Run.objects.get()
print(purge.execute(run.pk))
"""


class Installation:
    """A data folder with its database, and commands run in it as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keep = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_")}
        self.environment = {**keep, "KVADMIN_DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [PYTHON, "-m", "kvadmin", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()

    def python(self, code: str) -> str:
        return subprocess.run(
            [PYTHON, "-c", code], cwd=ROOT, env=self.environment, capture_output=True, check=True, timeout=120
        ).stdout.decode()

    def database(self, sql: str, *parameters: Any) -> list[Any]:
        with sqlite3.connect(self.folder / "data" / "kvadmin.sqlite3", timeout=30) as database:
            return database.execute(sql, parameters).fetchall()

    def store(self, name: str, m: list[tuple[bytes, bytes]], y: list[tuple[bytes, int]] | None = None) -> Path:
        """A database file in the mail server's layout, defined as a store."""
        path = self.folder / f"{name}.db"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA journal_mode=WAL")
            for table, kind in (("m", "BLOB NOT NULL"), ("y", "INTEGER NOT NULL DEFAULT 0")):
                database.execute(f"CREATE TABLE {table} (k BLOB PRIMARY KEY, v {kind})")
            database.executemany("INSERT INTO m VALUES (?, ?)", m)
            database.executemany("INSERT INTO y VALUES (?, ?)", y or [])
        database.close()
        code, _, errors = self.run("store-add", name, "--type", "sqlite", "--set", f"path={path}")
        assert code == 0, errors
        return path


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    found = Installation(tmp_path_factory.mktemp("installation"))
    code, _, errors = found.run("migrate", "--verbosity", "0")
    assert code == 0, errors
    return found


@pytest.fixture(scope="module")
def small(installation: Installation) -> str:
    soon = int(time.time()) + 3600
    installation.store("small", [(b"k%05d" % number, value_row(b"v" * 50, soon)) for number in range(20_000)])
    return "small"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("stores",), 0, ""),
        (("get", "small", "k00001"), 0, ""),
        (("get", "small", "nothing"), 1, "no such key"),
        (("keys", "nowhere"), 1, "no store"),
        (("store-add", "x", "--type", "sqlite"), 1, "path"),
        (("store-add", "x"), 2, "usage"),
        (("purge", "small", "--pace", "warp"), 2, "usage"),
        (("keys", "small", "--class", "nonsense"), 2, "nonsense"),
        (("delete", "small", "--match", "*"), 2, "--yes"),
        (("nonsense",), 1, "Unknown command"),
    ],
)
def test_exit_codes(installation: Installation, small: str, arguments: tuple[str, ...], code: int, words: str) -> None:
    found, out, errors = installation.run(*arguments)
    assert found == code, errors
    assert words in errors
    assert bool(out) is (code == 0)
    assert "Traceback" not in errors


def test_help_and_version_options_do_not_collide(installation: Installation) -> None:
    code, out, _ = installation.run("store-add", "--help")
    assert code == 0
    assert "--version V" in out


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    code, _, errors = Installation(tmp_path).run("stores")
    assert code == 1
    assert "migrate" in errors
    assert "Traceback" not in errors


def test_a_reader_that_stops_reading_is_no_error(installation: Installation, small: str) -> None:
    process = installation.start("keys", small, "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert first["key_hex"] == b"k00000".hex()
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_long_list_takes_no_more_memory_than_a_short_one(installation: Installation) -> None:
    soon = int(time.time()) + 3600
    installation.store("long", [(b"k%06d" % number, value_row(b"v" * 100, soon)) for number in range(100_000)])

    def peak(*arguments: str) -> int:
        process = installation.start("keys", "long", "--json", *arguments)
        assert process.stdout is not None
        lines = sum(1 for _ in process.stdout)
        assert lines == (100_000 if not arguments else 10)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
        return used.ru_maxrss

    assert peak() - peak("--limit", "10") < 15_000  # KiB


def test_ctrl_c_ends_in_a_line(installation: Installation, small: str) -> None:
    process = installation.start("keys", small, "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 1)  # it may have been done just before
    assert b"Traceback" not in errors


def waiting_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the purge ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_purge_killed_twice_is_finished_by_a_worker(installation: Installation) -> None:
    """kill -9 of the process that purges: the run's row keeps its place, and nothing that should stay is lost."""
    past, soon = int(time.time()) - 60, int(time.time()) + 36_000
    gone = 250_000
    m = [(b"gone%06d" % number, value_row(b"v" * 200, past)) for number in range(gone)]
    m += [(b"live%06d" % number, value_row(b"v" * 20, soon)) for number in range(5_000)]
    m += [(b"\x05" + number.to_bytes(4, "big") + bytes(7) + b"\x07", marker_row(past)) for number in range(5_000)]
    y = [(key, 3) for key, _ in m[gone + 5_000 :]] + [(b"forever", 9)]
    path = installation.store("big", m, y)
    run = "SELECT state, scanned, attempts FROM stores_run"

    killed = installation.start("purge", "big", "--pace", "gentle")
    waiting_for(lambda: any(scanned > 0 for _, scanned, _ in installation.database(run)), killed)
    killed.kill()
    killed.communicate()
    [(state, first, attempts)] = installation.database(run)
    assert (state, attempts) == ("running", 1)
    assert 0 < first < gone

    installation.database("UPDATE stores_run SET heartbeat_at = '2020-01-01 00:00:00'")
    second = subprocess.Popen(
        [PYTHON, "-c", FINISH], cwd=ROOT, env=installation.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    waiting_for(lambda: any(scanned > first for _, scanned, _ in installation.database(run)), second)
    second.kill()
    second.wait()

    installation.database("UPDATE stores_run SET heartbeat_at = '2020-01-01 00:00:00'")
    installation.python(FINISH)
    [(state, _, attempts)] = installation.database(run)
    assert (state, attempts) == ("done", 3)
    [(active,)] = installation.database("SELECT active_key FROM stores_run")
    assert active is None
    with sqlite3.connect(path) as database:
        left = dict(database.execute("SELECT k, v FROM m"))
        numbers = dict(database.execute("SELECT k, v FROM y"))
    database.close()
    assert left == dict(m[gone : gone + 5_000])
    assert numbers == {b"forever": 9}
    [(removed, log)] = installation.database('SELECT "values" + counters, log FROM stores_run')
    assert removed <= gone + 5_000
    assert "disappeared" in log
