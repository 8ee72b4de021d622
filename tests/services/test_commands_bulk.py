"""`copy`, `export` and runs on the command line."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from stores.models import Run, Store
from stores.services import bulk
from stores.services.actor import Actor
from stores.services.bulk_change import Do, make_change
from stores.services.bulk_preview import Confirmed
from stores.services.filters import KeyFilter
from tests.services.conftest import everything, new_memory, plant, plant_counter, soon


@pytest.fixture
def stores(memory: Store) -> tuple[Store, Store]:
    for number in range(20):
        plant(memory, b"user:%02d" % number, b"=v%d" % number, soon())
    plant_counter(memory, b"number", 5)
    plant(memory, b"past", b"v", int(time.time()) - 5)
    plant(memory, b"\x01" + b"A" * 40, b"code", soon())
    return memory, new_memory("second")


def ran(*arguments: str) -> tuple[int, str]:
    out, code = io.StringIO(), 0
    try:
        call_command(*arguments, stdout=out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, out.getvalue()


def test_copy_counts_then_copies_then_finds_all_there(stores: tuple[Store, Store]) -> None:
    source, target = stores
    code, text = ran("copy", "mem", "second", "--dry-run", "--json")
    assert (code, json.loads(text)["matched"], everything(target)) == (0, 23, {})
    code, text = ran("copy", "mem", "second", "--yes", "--json")
    receipt: dict[str, Any] = json.loads(text)
    assert (code, receipt["done"], receipt["skipped"], receipt["state"]) == (0, 22, 1, "done")
    assert everything(target) == {key: entry for key, entry in everything(source).items() if key != b"past"}
    assert "0 keys copied, 22 were there already" in ran("copy", "mem", "second", "--yes")[1]


def test_copy_asks_and_refuses(stores: tuple[Store, Store]) -> None:
    with pytest.raises(CommandError, match="confirmation"):
        ran("copy", "mem", "second")
    with pytest.raises(CommandError, match="onto itself"):
        ran("copy", "mem", "mem", "--yes")
    plant(stores[1], b"user:07", b"theirs")
    with pytest.raises(CommandError, match="another content"):
        ran("copy", "mem", "second", "--prefix", b"user:".hex(), "--conflicts", "fail", "--yes")


def test_move_leaves_nothing_of_the_filter(stores: tuple[Store, Store]) -> None:
    assert ran("copy", "mem", "second", "--move", "--prefix", b"user:".hex(), "--yes")[0] == 0
    assert not [key for key in everything(stores[0]) if key.startswith(b"user:")]
    assert len(everything(stores[1])) == 20


def test_export_to_standard_output(stores: tuple[Store, Store]) -> None:
    lines = [json.loads(line) for line in ran("export", "mem")[1].splitlines()]
    assert {bytes.fromhex(line["key_hex"]) for line in lines} == set(everything(stores[0])) - {b"\x01" + b"A" * 40}
    rows = list(csv.DictReader(io.StringIO(ran("export", "mem", "--csv", "--prefix", b"user:".hex())[1], newline="")))
    assert len(rows) == 20
    assert {row["kind"] for row in rows} == {"value"}


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_an_export_that_was_cut_off_anywhere_goes_on(stores: tuple[Store, Store], tmp_path: Path, format: str) -> None:
    more = ["--csv"] if format == "csv" else []
    plant(stores[0], b"user:lines", b'first\nsecond\r\n"third"')
    whole = tmp_path / "whole"
    assert ran("export", "mem", "--file", str(whole), *more)[0] == 0
    assert stat.S_IMODE(whole.stat().st_mode) == 0o600
    data = whole.read_bytes()
    assert data.decode() == ran("export", "mem", *more)[1]
    dice = random.Random(format)
    for end in (0, 1, len(data) - 1, len(data), *(dice.randrange(len(data)) for _ in range(12))):
        part = tmp_path / "part"
        part.write_bytes(data[:end])
        assert ran("export", "mem", "--file", str(part), "--go-on", *more)[0] == 0
        assert part.read_bytes() == data, f"cut off at {end}"


def test_what_an_export_to_a_file_refuses(stores: tuple[Store, Store], tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"something else\n")
    for arguments, words in (
        (("--file", str(there)), "exists already"),
        (("--file", str(there), "--go-on"), "does not end as an export"),
        (("--file", str(there), "--go-on", "--csv", "--prefix", "ff"), "does not end as an export|not of this store"),
        (("--file", str(tmp_path / "none" / "x")), "No such file"),
        (("--go-on",), "takes --file"),
    ):
        with pytest.raises(CommandError, match=words):
            ran("export", "mem", *arguments)
        assert there.read_bytes() == b"something else\n"
    code, text = ran("export", "mem", "--dry-run", "--json")
    assert (code, json.loads(text)["matched"]) == (0, 24 - 1)
    lapsed = ran("export", "mem", "--expired", "--dry-run", "--json")[1]
    assert json.loads(lapsed)["matched"] == len(ran("export", "mem", "--expired")[1].splitlines()) == 1


def test_a_dry_run_names_samples_time_and_undo(stores: tuple[Store, Store], settings: Any) -> None:
    text = ran("delete", "mem", "--prefix", b"user:".hex(), "--dry-run")[1]
    assert text.count(b"user:".hex()) == 20
    assert "at normal pace, guessed. Undo covers all." in text
    settings.KVADMIN_TRASH_MB = 0.002
    assert re.search(r"Undo covers the first [1-9] keys", ran("copy", "mem", "second", "--dry-run")[1])
    assert json.loads(ran("copy", "mem", "second", "--dry-run", "--json")[1])["undoable"] < 10


def test_runs_are_listed_steered_and_go_on(stores: tuple[Store, Store], actor: Actor) -> None:
    change = make_change(Do.DELETE, KeyFilter(prefix=b"user:"), time.time())
    started = bulk.start(actor, stores[0], Confirmed(change, 20, True, 1))
    code, text = ran("runs", "--active", "--json")
    (listed,) = map(json.loads, text.splitlines())
    assert (code, listed["id"], listed["do"], listed["state"]) == (1, str(started.pk), "delete", "queued"), "no worker is alive here"
    assert ran("run", str(started.pk), "--pace", "fast", "--json")[0] == 0
    assert "cancelled" in ran("run", str(started.pk), "--cancel")[1]
    with pytest.raises(CommandError, match="can go on"):
        ran("run", str(started.pk), "--go-on")
    Run.objects.update(started_at=timezone.now())
    assert "delete of mem: done, 100%, 20 done" in ran("run", str(started.pk), "--go-on")[1]
    assert json.loads(ran("run", str(started.pk), "--receipt")[1])["done"] == 20
    assert "fast" in ran("run", str(started.pk), "--log")[1]
    assert "restore of mem: queued" in ran("run", str(started.pk), "--undo")[1]
    assert str(started.pk) in ran("runs")[1]
    with pytest.raises(CommandError, match="no such run"):
        ran("run", "nonsense")


def test_the_count_confirms_on_a_terminal(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for typed, code in (("yes", 1), ("19", 1), ("", 1), ("20", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(f"{typed}\n"))
        if code:
            with pytest.raises(CommandError, match="Nothing was done"):
                ran("delete", "mem", "--prefix", b"user:".hex())
            assert len([key for key in everything(stores[0]) if key.startswith(b"user:")]) == 20
        else:
            assert "20 keys deleted" in ran("delete", "mem", "--prefix", b"user:".hex())[1]
        assert "Type 20: " in capsys.readouterr().err
