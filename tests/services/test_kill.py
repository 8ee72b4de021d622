"""kill -9 between any two steps of a run: nothing lost that should stay, nothing kept that should go, no key half-written."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
POINTS = 20
PAST, FUTURE = int(time.time()) - 1000, int(time.time()) + 100_000
Rows = dict[bytes, tuple[bytes | None, int | None]]


class Killable:
    """The process of killable.py in a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        keep = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_")}
        environment = {**keep, "KVADMIN_DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True, timeout=120)
        command = [sys.executable, "-m", "tests.services.killable"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, *order: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    found = Killable(tmp_path_factory.mktemp("kill"))
    yield found
    found.close()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """60 keys of each sort, of which a half has expired: values, counters of two rows; and values that never expire."""
    path = tmp_path / "filled.db"
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
        store.execute("CREATE TABLE y (k BLOB PRIMARY KEY, v BIGINT NOT NULL)")
        for number in range(60):
            at = (PAST if number % 2 else FUTURE).to_bytes(8, "big")
            counter = b"\x05\x01\x02" + number.to_bytes(2, "big") + bytes(8)
            store.execute("INSERT INTO m VALUES (?, ?)", (b"user:%03d" % number, at + b"value %d" % number))
            store.execute("INSERT INTO m VALUES (?, ?)", (counter, bytes(8) + at))
            store.execute("INSERT INTO y VALUES (?, ?)", (counter, number))
            store.execute("INSERT INTO m VALUES (?, ?)", (b"never:%03d" % number, b"\xff" * 8 + b"v"))
    return path


def rows(path: Path) -> Rows:
    with sqlite3.connect(path, timeout=30) as store:
        found: Rows = {bytes(key): (bytes(row), None) for key, row in store.execute("SELECT k, v FROM m")}
        for key, number in store.execute("SELECT k, v FROM y"):
            found[bytes(key)] = (found.get(bytes(key), (None, None))[0], number)
    return found


def expired(row: tuple[bytes | None, int | None]) -> bool:
    value = row[0] or b""
    at = value[8:16] if value[:8] == bytes(8) else value[:8]
    return int.from_bytes(at, "big") <= PAST


@pytest.mark.parametrize("kind", ["purge", "delete", "move"])
def test_a_run_that_is_killed_anywhere_is_finished(killable: Killable, filled: Path, tmp_path: Path, kind: str) -> None:
    before = rows(filled)
    users = {key: row for key, row in before.items() if key.startswith(b"user:")}
    live = {key: row for key, row in users.items() if not expired(row)}
    wanted_source = {
        "purge": {key: row for key, row in before.items() if not expired(row)},
        "delete": {key: row for key, row in before.items() if key not in users},
        "move": {key: row for key, row in before.items() if key not in live},
    }[kind]
    wanted_target = live if kind == "move" else {}
    statements = killed = 0
    dice = random.Random(f"kvadmin {kind}")
    for point in range(2 * POINTS):
        if killed == POINTS:
            break
        files = {"source": tmp_path / f"source-{point}.db", "target": tmp_path / f"target-{point}.db"}
        shutil.copy(filled, files["source"])
        _empty(files["target"])
        run = killable("begin", kind, {name: str(path) for name, path in files.items()})
        ended = killable("work", run, dice.randint(1, round(0.95 * statements)) if point else 0)
        statements = statements or ended["statements"]
        source, target = rows(files["source"]), rows(files["target"])
        if ended["killed"]:
            killed += 1
            _nothing_half_done(kind, before, source, target, set(map(bytes.fromhex, killable("look", run)["trash"])))
            killable("restart", run)
            killable("work", run, 0)
            source, target = rows(files["source"]), rows(files["target"])
        told = killable("look", run)
        assert (told["state"], told["error"]) == ("done", "")
        assert source == wanted_source
        assert target == wanted_target
        _undoable(kind, told, users, live)
    assert killed == POINTS


def _empty(path: Path) -> None:
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE m (k BLOB PRIMARY KEY, v BLOB NOT NULL)")
        store.execute("CREATE TABLE y (k BLOB PRIMARY KEY, v BIGINT NOT NULL)")


def _nothing_half_done(kind: str, before: Rows, source: Rows, target: Rows, trash: set[bytes]) -> None:
    """Right after the kill: every row is whole or gone, and what is gone may go and is kept elsewhere."""
    assert all(before[key] == row for key, row in source.items()), "no key is half-removed"
    assert all(before[key] == row for key, row in target.items()), "no key is half-written"
    gone = before.keys() - source.keys()
    if kind == "purge":
        assert all(expired(before[key]) for key in gone)
    else:
        assert gone <= trash, "what is removed is in the trash before"
    if kind == "move":
        assert gone <= target.keys(), "what is moved away is there"


def _undoable(kind: str, told: dict[str, Any], users: Rows, live: Rows) -> None:
    """At the end: exactly what was removed is in the trash, once, and the counts say so."""
    removed = {"purge": set(), "delete": set(users), "move": set(live)}[kind]
    assert told["trash"] == sorted(key.hex() for key in removed)
    if kind in ("delete", "move"):
        assert told["done"] == len(removed)
