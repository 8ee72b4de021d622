"""The services on databases that real servers wrote: every row listed, edited, deleted, restored, counted and purged."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stores.models import RunState, Store
from stores.services import browse, census, edit, purge, trash
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, list_keys, stream_keys
from stores.services.rows import json_row
from stores.types import ANYTHING, Kind, Pace
from tests.fixtures_path import FIXTURES, needs_fixtures

pytestmark = [needs_fixtures, pytest.mark.django_db]

Define = Callable[..., Store]

STORES = [
    ("stalwart-0.11.8/sqlite/memstore-live.db", "stalwart-0.11.8/sqlite", "live", "0.11"),
    ("stalwart-0.11.8/sqlite/memstore-final.db", "stalwart-0.11.8/sqlite", "final", "0.11"),
    ("stalwart-0.15.5/sqlite/memstore-live.db", "stalwart-0.15.5/sqlite", "live", "0.15"),
    ("stalwart-0.15.5/sqlite/memstore-final.db", "stalwart-0.15.5/sqlite", "final", "0.15"),
]


def truth(folder: str, phase: str) -> dict[str, dict[str, Any]]:
    manifest = json.loads((FIXTURES / folder / "manifest.json").read_text())
    return {row["key_hex"]: row for row in manifest["rows"][phase]}


def raw(store: Store) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    with sqlite3.connect(store.settings["path"]) as database:
        return dict(database.execute("SELECT k, v FROM m")), dict(database.execute("SELECT k, v FROM y"))


@pytest.mark.parametrize(("path", "folder", "phase", "version"), STORES)
def test_every_row_is_listed_with_class_kind_value_and_expiry(captured: Define, path: str, folder: str, phase: str, version: str) -> None:
    store = captured(path, version=version)
    wanted = truth(folder, phase)
    found = {row.entry.key.hex(): json_row(row) for row in stream_keys(store, KeyFilter())}
    assert set(found) == set(wanted)
    kinds = {"key": "value", "counter": "counter", "lock": "lock"}
    for key, row in found.items():
        true = wanted[key]
        assert row["class"] == (None if true["class"] == "custom" else true["class"]), key
        assert row["kind"] == kinds[true["kind"]], key
        assert row["expires_at"] == true["expires_unix"], key
        assert row["counter"] == true.get("counter"), key
        assert row["value_hex"] == (None if row["kind"] == "counter" else true.get("value_hex", "")), key


@pytest.mark.parametrize(("path", "folder", "phase", "version"), STORES)
def test_a_census_counts_what_the_manifest_names(captured: Define, actor: Actor, path: str, folder: str, phase: str, version: str) -> None:
    store = captured(path, version=version)
    wanted = Counter(row["class"] for row in truth(folder, phase).values())
    found = census.json_census(census.count(store, actor))
    assert {row["class"] or "custom": row["keys"] + row["counters"] + row["locks"] for row in found["classes"]} == dict(wanted)
    m, y = raw(store)
    keys = set(m) | set(y)
    assert found["total"]["key_bytes"] == sum(map(len, keys))
    assert found["total"]["value_bytes"] == sum(map(len, m.values())) + 8 * len(y)


def test_each_class_is_found_by_its_filter(captured: Define) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-live.db")
    wanted = Counter(row["class"] for row in truth("stalwart-0.11.8/sqlite", "live").values())
    for slug, count in wanted.items():
        assert sum(1 for _ in stream_keys(store, KeyFilter(class_slug=slug))) == count, slug
        assert len(list_keys(store, KeyFilter(class_slug=slug), limit=1000).rows) == count, slug


def test_delete_and_restore_of_every_row_leaves_the_file_as_it_was(captured: Define, actor: Actor) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-extras.db")
    before = raw(store)
    keys = [row.entry.key for row in stream_keys(store, KeyFilter())]
    outcomes = edit.delete_many(actor, store, [(key, ANYTHING) for key in keys])
    assert {outcome.state for outcome in outcomes} == {"deleted"}
    assert raw(store) == ({}, {})
    page = trash.list_trash(limit=10_000)
    assert {outcome.state for outcome in trash.restore_many(actor, [row.trash.pk for row in page.rows])} == {"restored"}
    assert raw(store) == before


def test_a_purge_removes_exactly_what_has_expired(captured: Define, actor: Actor) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-final.db")
    m, y = raw(store)
    rows = [json_row(row) for row in stream_keys(store, KeyFilter())]
    gone = {bytes.fromhex(row["key_hex"]) for row in rows if row["expired"]}
    assert gone
    shown = purge.preview(store, actor)
    run = purge.run_in_foreground(actor, store, Pace.FAST)
    assert run.state == RunState.DONE
    assert raw(store) == ({k: v for k, v in m.items() if k not in gone}, {k: v for k, v in y.items() if k not in gone})
    assert run.removed == len(gone) == shown.values + shown.counters + shown.locks
    assert Counter(row["kind"] for row in rows if row["expired"]) == Counter(value=run.values, counter=run.counters, lock=run.locks)
    assert run.bytes == shown.bytes


def test_edits_change_their_row_and_no_other(captured: Define, actor: Actor) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-final.db")
    at = int(time.time()) + 5000
    rows = list(stream_keys(store, KeyFilter(expiry="live")))
    for kind in (Kind.VALUE, Kind.COUNTER):
        row = next(row for row in rows if row.entry.kind is kind and row.entry.expires_at)
        m, y = raw(store)
        key = row.entry.key
        edit.set_expiry(actor, store, key, at, row.entry)
        changed, numbers = raw(store)
        assert {k for k in m if m[k] != changed[k]} == {key}
        assert numbers == y
        assert at.to_bytes(8, "big") in changed[key]


def test_masked_where_people_look_and_real_where_machines_do(captured: Define) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-live.db")
    for row in stream_keys(store, KeyFilter(class_slug="oauth")):
        shown = browse.json_row(row)
        code = row.entry.key[1:].decode()
        assert shown["key_hex"] == row.entry.key.hex()
        assert code not in json.dumps({"label": shown["label"], "fields": shown["fields"]})


def test_a_file_that_is_no_database_is_refused_in_words(captured: Define, tmp_path: Path) -> None:
    from stores.errors import StoreError

    store = captured("stalwart-0.11.8/sqlite/memstore-final.db")
    Path(store.settings["path"]).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError) as caught:
        list_keys(store, KeyFilter())
    assert caught.value.message
