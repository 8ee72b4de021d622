"""A survey, which lets the engine count, gives the same figures as a census that looks at every key."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import fill
from stores.services.tally import Tally
from stores.types import CensusPlan
from tests.contract.harness import NOW, Plant, StoreUnderTest
from tests.contract.mixture import mixture

GOLDEN = Path(__file__).parents[1] / "golden"
WINDOW = (493_000).to_bytes(8, "big")


def figures(tally: Tally) -> dict[str, object]:
    return {"total": tally.total(), "classes": tally.classes(), "corrupt": tally.corrupt, **tally.details()}


def row_by_row(store: StoreUnderTest, version: str) -> dict[str, object]:
    tally = Tally(version, store.now, "data")
    for step in store.backend.census():
        tally.add(step.rows)
    return figures(tally)


def surveyed(store: StoreUnderTest, version: str, parts: int = 1, dumped: bool = False) -> dict[str, object]:
    """Each part by a tally of its own, as workers do."""
    whole = Tally(version, store.now, "data")
    for part in store.backend.census_parts(parts):
        tally = Tally(version, store.now, "data")
        for step in store.backend.survey(tally.plan(), part):
            tally.take(step)
        whole.load(tally.dump()) if dumped else whole.merge(tally)
    whole.settle(lambda key: entry.size if (entry := store.backend.get(key)) else None, store.backend.linked)
    return figures(whole)


def stalwart_rows(count: int, seed: int) -> list[Plant]:
    return [Plant(key, row, number) for key, row, number in fill.rows(count, NOW, seed)]


@pytest.mark.layout("data")
@pytest.mark.parametrize("version", ["0.11", "0.16"])
def test_the_rows_of_a_mail_server(store: StoreUnderTest, version: str) -> None:
    store.harness.plant(stalwart_rows(6000, 7))
    assert surveyed(store, version) == row_by_row(store, version)


@pytest.mark.layout("data")
@pytest.mark.parametrize("version", ["0.11", "0.15", "0.16"])
def test_what_real_servers_have_written(store: StoreUnderTest, version: str) -> None:
    lines = [json.loads(line) for line in (GOLDEN / version / "rows.jsonl").read_text().splitlines()]
    store.harness.plant(
        [
            Plant(bytes.fromhex(row["key_hex"]), bytes.fromhex(row["row_hex"]) if row["row_hex"] else None, row["counter"])
            for row in lines
            if row["store"] == "data"
        ]
    )
    store.clock.at = 1_795_000_000
    assert surveyed(store, version) == row_by_row(store, version)


@pytest.mark.layout("data")
def test_anything_that_can_be_in_a_store(store: StoreUnderTest) -> None:
    store.harness.plant([*mixture(2500, seed=3), *stalwart_rows(1500, 8), *odd_keys()])
    wanted = row_by_row(store, "0.11")
    assert surveyed(store, "0.11") == wanted
    assert surveyed(store, "0.11", parts=5, dumped=True) == wanted


@pytest.mark.layout("data")
@pytest.mark.parametrize("numbered", [3, 57])
def test_counters_of_which_some_have_lost_their_number(store: StoreUnderTest, numbered: int) -> None:
    """Few or most of the markers have a number beside them; what a purge removes counts these numbers only."""
    rows = []
    for number in range(60):
        at = (NOW - 10 if number % 3 else NOW + 10).to_bytes(8, "big")
        rows.append(Plant(b"\x05\xcb\x00\x71" + bytes([number]) + WINDOW, bytes(8) + at, 4 if number < numbered else None))
    store.harness.plant(rows)
    found = surveyed(store, "0.11")
    assert found == row_by_row(store, "0.11")
    assert found["expired"]["total"]["counters"] == 40  # type: ignore[index]


@pytest.mark.layout("data")
def test_an_empty_store(store: StoreUnderTest) -> None:
    assert surveyed(store, "0.11", parts=4) == row_by_row(store, "0.11")


@pytest.mark.layout("data")
def test_a_survey_goes_on_from_any_of_its_positions(store: StoreUnderTest) -> None:
    several_steps = {"sqlite": 60_000, "sql-read-replica": 60_000, "rocksdb": 120_000}
    store.harness.plant(stalwart_rows(several_steps.get(store.backend.TYPE, 30_000), 9))
    wanted = surveyed(store, "0.11")
    plan: CensusPlan | None = Tally("0.11", store.now, "data").plan()
    before, tried = Tally("0.11", store.now, "data"), 0
    for number, part in enumerate(parts := store.backend.census_parts()):
        for step in store.backend.survey(plan, part):
            before.take(step)
            if step.position in ("", "-") or (tried and random.Random(step.position).random() < 0.5):
                continue
            after = Tally("0.11", store.now, "data")
            after.load(before.dump())
            for left in (step.position, *parts[number + 1 :]):
                for rest in store.backend.survey(plan, left):
                    after.take(rest)
            after.settle(lambda key: entry.size if (entry := store.backend.get(key)) else None, store.backend.linked)
            assert figures(after) == wanted
            tried += 1
    assert tried, "no position was gone on from"


def odd_keys() -> list[Plant]:
    """Texts that are none, windows that are none, rows and keys of unusual length, numbers under values."""
    live, never = (NOW + 50).to_bytes(8, "big"), b"\xff" * 8
    keys = [
        b"\x10anna\x10bob", b"\x10\xc3", b"\x10\xa9x", b"\x10", b"\x13a\x7fb", b"\x13" + "ö@example.org".encode(), b"\x0d\x00x",
        b"\x05anna@example.org" + WINDOW, b"\x05\xff\xfeanna" + WINDOW, b"\x05" + WINDOW, b"\x06" + bytes(32) + b"\xff" * 8,
        b"\x02r@x" + b"\xff" * 8, b"\x18migrate_core_lock", b"\x16\x00" + bytes(8) + b"example.org", b"\x0b" + bytes(4),
        b"g:1.2.3.4.a@b.c.d@e.f", b"acme:x", b"black", b"vip/" + b"k" * 240, b"\x01" + b"A" * 40, b"\x19" + bytes(5),
    ]  # fmt: skip
    rows = [Plant(key, live + b"v" * (number * 40), None) for number, key in enumerate(keys)]
    rows += [Plant(b"both%d" % number, never + b"v", number) for number in range(30)]
    rows += [Plant(b"\x11both", live + b"v", 3), Plant(b"\x11short", b"abc", 3), Plant(b"\x12\0\0\0\x07" + b"word", None, 9)]
    return rows
