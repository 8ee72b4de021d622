"""kill -9 between any two steps of a run: nothing lost that should stay, nothing kept that should go, no key half-written."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.codecs.rows import entry_from_rows
from tests.contract.conftest import HARNESSES, _harness
from tests.contract.harness import Harness, Plant, SettableClock

ROOT = Path(__file__).resolve().parents[2]
PAST, FUTURE = int(time.time()) - 1000, int(time.time()) + 100_000
POINTS = {"sqlite": 20, "postgresql": 3, "mariadb": 3, "rocksdb": 2, "redis-valkey9": 3}
"""How often a run of each kind is killed on a store of this sort."""
KINDS = ("purge", "delete", "expiry", "copy", "move", "import")
CASES = [("sqlite", kind) for kind in KINDS]
CASES += [(engine, kind) for engine in POINTS if engine != "sqlite" for kind in ("purge", "delete", "import")]
Rows = dict[bytes, tuple[bytes | None, int | None]]


class Killable:
    """The process of killable.py in a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        keep = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_")}
        environment = {**keep, "KVADMIN_DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}
        command = [sys.executable, "-m", "tests.services.killable"]
        with (folder / "stderr.log").open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
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


class Place:
    """A real store that is filled anew for each point."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.harness: Harness = _harness(engine)
        with self.harness.open(SettableClock(time.time())) as backend:
            self.definition = {"type": backend.TYPE, "settings": dict(backend.settings)}

    def fill(self, plants: list[Plant]) -> None:
        self.harness.close()
        self.harness = _harness(self.engine)
        with self.harness.open(SettableClock(time.time())) as backend:
            self.definition["settings"] = dict(backend.settings)
        self.harness.plant(plants)

    def rows(self) -> Rows:
        values, numbers = self.harness.raw()
        return {key: (values.get(key), numbers.get(key)) for key in values.keys() | numbers.keys()}


def plants(layout: str) -> list[Plant]:
    """60 keys of each sort, of which a half has expired: values, counters of two rows; and values that never expire."""
    found = []
    for number in range(60):
        at = PAST if number % 2 else FUTURE
        counter = b"\x05\x01\x02" + number.to_bytes(2, "big") + bytes(8)
        if layout == "redis":
            found += [Plant(b"user:%03d" % number, b"value %d" % number, None, FUTURE), Plant(counter, b"%d" % number, None, FUTURE)]
            continue
        header = at.to_bytes(8, "big")
        found += [Plant(b"user:%03d" % number, header + b"value %d" % number), Plant(counter, bytes(8) + header, number)]
        found.append(Plant(b"never:%03d" % number, b"\xff" * 8 + b"v"))
    return found


def expired(row: tuple[bytes | None, int | None], layout: str) -> bool:
    value = row[0] or b""
    at = value[8:16] if value[:8] == bytes(8) else value[:8]
    return layout == "data" and int.from_bytes(at, "big") <= PAST


@pytest.mark.parametrize(("engine", "kind"), CASES, ids=["-".join(case) for case in CASES])
def test_a_run_that_is_killed_anywhere_is_finished(killable: Killable, tmp_path: Path, engine: str, kind: str) -> None:
    assert engine in HARNESSES
    if (engine, kind) == ("redis-valkey9", "purge"):
        pytest.skip("Redis purges by itself")
    place, other = Place(engine), Place("sqlite")
    layout = place.harness.layout
    filling = plants(layout)
    users = [plant for plant in plants("data") if plant.key.startswith(b"user:")]
    file = tmp_path / "users.jsonl"
    file.write_text("".join(json.dumps(_line(plant)) + "\n" for plant in users))
    statements = killed = halfway = 0
    dice = random.Random(f"kvadmin {engine} {kind}")
    for point in range(3 * POINTS[engine]):
        if killed == POINTS[engine]:
            break
        place.fill([] if kind == "import" else filling)
        other.fill([])
        before = place.rows()
        run = killable("begin", kind, {"source": place.definition, "target": other.definition}, str(file))
        ended = killable("work", run, dice.randint(1, round(0.95 * statements)) if point else 0)
        statements = statements or ended["statements"]
        if ended["killed"]:
            killed += 1
            left = place.rows()
            halfway += len(_wanted(kind, layout, before)[0]) < len(left) < len(before)
            _nothing_half_done(kind, layout, before, left, other.rows(), killable("look", run)["trash"])
            killable("restart", run)
            killable("work", run, 0)
        _all_done(kind, layout, before, place, other, killable("look", run))
    assert killed == POINTS[engine]
    assert halfway or engine != "sqlite" or kind not in ("purge", "delete", "move"), "some died between two of many steps"
    place.harness.close()
    other.harness.close()


def _line(plant: Plant) -> dict[str, Any]:
    assert plant.row is not None
    return {"key": plant.key.decode(), "value_hex": plant.row[8:].hex(), "expires_at": int.from_bytes(plant.row[:8], "big")}


def _wanted(kind: str, layout: str, before: Rows) -> tuple[Rows, Rows]:
    """What the two stores hold at the end."""
    users = {key: row for key, row in before.items() if key.startswith(b"user:")}
    live = {key: row for key, row in users.items() if not expired(row, layout)}
    if kind == "import":
        rows = {
            plant.key: plant.row for plant in plants("data") if plant.key.startswith(b"user:") and not expired((plant.row, None), "data")
        }
        return {key: (row if layout == "data" else row[8:], None) for key, row in rows.items() if row}, {}
    if kind == "expiry":
        return {key: ((b"\xff" * 8 + (row[0] or b"")[8:], None) if key in users else row) for key, row in before.items()}, {}
    gone = {"purge": {key for key, row in before.items() if expired(row, layout)}, "delete": users, "move": live}.get(kind, set())
    return {key: row for key, row in before.items() if key not in gone}, live if kind in ("copy", "move") else {}


def _nothing_half_done(kind: str, layout: str, before: Rows, source: Rows, target: Rows, trash: list[list[str]]) -> None:
    """Right after the kill: every row is whole, as it was or as it is to be, and what is gone may go and is kept elsewhere."""
    wanted_source, wanted_target = _wanted(kind, layout, before)
    assert all(row in (before.get(key), wanted_source.get(key)) for key, row in source.items()), "no key is half-changed"
    assert all(wanted_target[key] == row for key, row in target.items()), "no key is half-written"
    gone = before.keys() - source.keys()
    assert not gone & wanted_source.keys(), "nothing is lost that should stay"
    kept = {bytes.fromhex(key) for key, reason, _ in trash if reason == "deleted"}
    if kind != "purge":
        assert gone <= kept, "what is removed is in the trash before"
    if kind == "move":
        assert gone <= target.keys(), "what is moved away is there"
    new = {bytes.fromhex(key) for key, reason, _ in trash if reason == "created"}
    assert (source.keys() - before.keys()) | target.keys() <= new, "what is new is noted before"


def _all_done(kind: str, layout: str, before: Rows, place: Place, other: Place, told: dict[str, Any]) -> None:
    """At the end: both stores as they should be, and exactly what was changed can be undone, once."""
    assert (told["state"], told["error"]) == ("done", "")
    source, target = place.rows(), other.rows()
    assert (source, target) == _wanted(kind, layout, before)
    changed = {key for key in before.keys() | source.keys() if before.get(key) != source.get(key)}
    trash = {(bytes.fromhex(key), reason): etag for key, reason, etag in told["trash"]}
    assert len(trash) == len(told["trash"]), "nothing is noted twice"
    reasons = {"purge": None, "delete": "deleted", "move": "deleted", "expiry": "overwritten", "import": "created", "copy": None}
    expected = {(key, reason) for key in changed if (reason := reasons[kind])}
    expected |= {(key, "created") for key in target}
    assert set(trash) == expected
    if kind != "purge":
        assert told["done"] == len(target if kind == "copy" else changed)
    for (key, reason), etag in trash.items():
        row = target.get(key) if kind in ("copy", "move") else source.get(key)
        if layout == "data" and reason != "deleted" and row is not None:
            assert etag == entry_from_rows(key, *row).etag, "what was written can be told from what is newer"
