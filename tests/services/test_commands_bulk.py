"""`copy` and `export` on the command line."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from stores.models import Store
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
