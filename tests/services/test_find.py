"""Finding subjects in the stores that real servers wrote, and in stores of every kind at once."""

from __future__ import annotations

import json
import re
import sqlite3
import tarfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from stores.backends.rocksdb import RocksDBBackend
from stores.errors import BadConfig, CursorLost, StoreUnavailable
from stores.models import ImportedLimits, Store
from stores.registry import open_store
from stores.services import definitions, find, importer, limits
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.servers.redis import RedisServer
from tests.services.conftest import ACTOR, new_memory, plant, plant_counter, soon

pytestmark = [needs_fixtures, pytest.mark.django_db]

Define = Callable[..., Store]
FOLDER = "stalwart-0.11.8/sqlite"
LIVE = f"{FOLDER}/memstore-live.db"
LIMITERS = {"queue.limiter.inbound.long.key": "remote_ip", "queue.limiter.inbound.long.rate": "1000/3650d"}


def manifest(folder: str = FOLDER, phase: str = "live") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FIXTURES / folder / "manifest.json").read_text())["rows"][phase]
    return rows


def identities(pattern: str, *classes: str, folder: str = FOLDER, phase: str = "live") -> dict[str, set[str]]:
    """Subject that the manifest names -> keys."""
    found: dict[str, set[str]] = {}
    for row in manifest(folder, phase):
        match = re.search(pattern, str(row["identity"])) if not classes or row["class"] in classes else None
        if match:
            found.setdefault(match[1], set()).add(row["key_hex"])
    return found


def give_settings(store: Store, settings: dict[str, str]) -> None:
    """Write into table `s`, where the server itself keeps its settings."""
    with sqlite3.connect(store.settings["path"]) as database:
        rows = [(name.encode(), value.encode()) for name, value in settings.items()]
        database.executemany("INSERT OR REPLACE INTO s (k, v) VALUES (?, ?)", rows)


def keys_of(found: find.Found) -> set[str]:
    return {finding.row.entry.key.hex() for finding in found.findings}


def whole(subject: str, *stores: Store) -> find.Found:
    return find.search(subject, stores or None, budget_seconds=None)


@pytest.mark.parametrize(
    ("pattern", "classes", "at_least"),
    [
        (r"^ip=(\S+)", ("rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-contact", "rate-http-anonymous", "reputation-ip"), 10),
        (r"^(?:rcpt|from)=(\S+@\S+)", ("rate-rcpt", "reputation-from"), 2),
        (r"^login=(\S+)", ("rate-auth",), 1),
        (r"^(AS\d+)", ("reputation-asn",), 2),
        (r"^message-id=(\S+)", ("trusted-reply",), 5),
        (r"^queue_id=(\d+)", ("lock-queue-message",), 2),
        (r"(?:^| )id=(\d+)", (), 2),
        (r"^domain=(\S+)", ("reputation-domain",), 1),
        (r"^(\S+@\S+) -> ", ("greylist",), 3),
        (r" -> (\S+@\S+)", ("greylist",), 2),
    ],
)
def test_every_subject_finds_the_rows_that_the_manifest_names(
    captured: Define, pattern: str, classes: tuple[str, ...], at_least: int
) -> None:
    store = captured(LIVE)
    named = identities(pattern, *classes)
    assert len(named) >= at_least
    for subject, keys in named.items():
        found = whole(subject, store)
        assert keys <= keys_of(found), subject
        assert all(searched.complete for searched in found.stores)
        assert all(finding.why for finding in found.findings)


def test_sign_in_codes_are_found_by_account_and_by_the_code_itself(captured: Define) -> None:
    store = captured(LIVE)
    codes = [row for row in manifest() if row["class"] == "oauth"]
    of_account = {row["key_hex"] for row in codes if row["decoded"]["account_id"] == 4}
    assert of_account and {key for key in keys_of(whole("account 4", store)) if key.startswith("01")} == of_account
    for row in codes:
        assert row["key_hex"] in keys_of(whole(row["identity"].removeprefix("code="), store))


def test_a_network_finds_its_addresses_and_no_other(captured: Define) -> None:
    store = captured(LIVE)
    classes = ("rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-contact", "rate-http-anonymous", "reputation-ip")
    wanted = {key for ip, keys in identities(r"^ip=(\S+)", *classes).items() if ip.startswith("203.0.113.") for key in keys}
    found = {finding.row.entry.key.hex() for finding in whole("203.0.113.0/24", store).findings}
    assert wanted and found == wanted


def test_hashed_limits_are_found_where_the_settings_can_be_read(captured: Define) -> None:
    store = captured(LIVE)
    rows = [row for row in manifest() if row["class"] == "rate-smtp" and "remote_ip" in row["identity"]]
    longs = {row["identity"].rpartition("remote_ip=")[2]: row["key_hex"] for row in rows if "1000/315360000s" in row["identity"]}
    assert len(longs) >= 3
    assert not any(finding.row.decoded.slug == "rate-smtp" for finding in whole(next(iter(longs)), store).findings)
    give_settings(store, LIMITERS)
    for address, key in longs.items():
        found = whole(address, store)
        assert key in keys_of(found)
        [finding] = [finding for finding in found.findings if finding.row.entry.key.hex() == key]
        assert "limiter long" in finding.why and address in finding.why


def test_hashed_limits_of_past_windows_are_found_from_two_subjects(captured: Define) -> None:
    store = captured(LIVE)
    pairs: dict[str, str] = {}
    for name, rate in (("short", "250/3s"), ("long", "250/3650d"), ("seeded", "25/1h")):
        base = f"queue.limiter.inbound.{name}"
        pairs |= {f"{base}.rate": rate, f"{base}.key.0": "sender_domain", f"{base}.key.1": "rcpt"}
    give_settings(store, pairs)
    named = {
        row["key_hex"]: f"{match[1]} {'' if match[2] == '<>' else match[2]}"
        for row in manifest()
        if row["class"] == "rate-smtp" and (match := re.search(r"rcpt=(\S+) sender_domain=(\S+)", row["identity"]))
    }
    assert len(named) > 5
    for key, subjects in named.items():
        assert key in keys_of(whole(subjects, store)), subjects


def test_an_imported_configuration_names_limiters_for_other_stores(captured: Define) -> None:
    store = captured(LIVE)
    text = (FIXTURES / FOLDER / "config-long.toml").read_text()
    importer.apply(ACTOR, importer.plan(text, "config-long.toml"), chosen=[])
    kept = ImportedLimits.objects.get()
    assert kept.source == "config-long.toml" and kept.limits
    known = limits.known([store])
    assert known.source == "config-long.toml" and known.limiters
    longs = {row["identity"].rpartition("=")[2]: row["key_hex"] for row in manifest() if "1000/315360000s remote_ip" in row["identity"]}
    assert longs
    for address, key in longs.items():
        assert key in keys_of(whole(address, store)), address


def test_settings_of_a_rocksdb_store(tmp_path: Path) -> None:
    archive = FIXTURES / "stalwart-0.11.8/rocksdb/memstore.rocks-clean.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    [folder] = [path.parent for path in tmp_path.rglob("CURRENT")]
    with RocksDBBackend({"path": str(folder)}, version="0.11") as backend:
        assert backend.server_settings(["queue."]) == {}
        assert backend.get(b"\x11") is not None


def test_bans_and_rates_are_read_from_the_settings(captured: Define) -> None:
    store = captured(LIVE)
    bans = {"server.blocked-ip.203.0.113.20": "", "server.blocked-ip.198.51.100.0/24": "", "server.blocked-ip.nonsense": ""}
    give_settings(store, bans | {"server.auto-ban.auth.rate": "5/1h", "form.rate-limit": "false"})
    known = limits.known([store])
    assert [ban.setting for ban in known.bans_of("198.51.100.7")] == ["server.blocked-ip.198.51.100.0/24"]
    assert [ban.network for ban in known.bans_of("203.0.113.20")] == ["203.0.113.20"]
    assert known.bans_of("203.0.113.21") == ()
    assert (known.rates["rate-auth"].requests, known.rates["rate-auth"].period) == (5, 3600)
    assert "rate-contact" not in known.rates
    assert known.rates["rate-scan"].requests == 30


def test_a_bounded_walk_goes_on_where_it_ended(memory: Store) -> None:
    for number in range(1800):
        plant(memory, f"list/{number:05}".encode())
    plant(memory, b"list/zz-needle")
    plant(memory, b"\x05needle" + bytes(6) + b"\x4e\x20")
    first = find.search("needle", [memory], budget_seconds=0.0)
    assert first.next and first.unfinished
    assert first.stores[0].scanned < 1800
    seen, steps, found = keys_of(first), 0, first
    while found.next:
        found = find.search("needle", [memory], found.next, budget_seconds=0.0)
        seen |= keys_of(found)
        steps += 1
    assert steps >= 3
    assert {b"list/zz-needle".hex(), (b"\x05needle" + bytes(6) + b"\x4e\x20").hex()} <= seen
    with pytest.raises(CursorLost):
        find.search("another", [memory], first.next)
    with pytest.raises(CursorLost):
        find.search("needle", [memory], "nonsense")


def test_a_store_that_does_not_answer_is_no_store_without_traces(memory: Store) -> None:
    plant_counter(memory, b"\x05" + bytes([203, 0, 113, 20]) + (7).to_bytes(8, "big"), 3, soon())
    definitions.create_store(ACTOR, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1"}, version="0.11")
    found = find.search("203.0.113.20")
    states = {searched.store_id: searched for searched in found.stores}
    assert isinstance(states["gone"].error, StoreUnavailable) and not states["gone"].complete
    assert len(states["mem"].findings) == 1 and states["mem"].complete


def test_static_lists_and_switched_off_stores(memory: Store) -> None:
    definitions.create_store(ACTOR, id="spam", type="static", settings={}, entries=[("evil.example", ""), ("other.example", "x")])
    off = new_memory("off")
    plant(off, b"evil.example")
    definitions.update_store(ACTOR, off, enabled=False)
    found = find.search("evil.example")
    assert [(finding.store_id, finding.row.entry.key) for finding in found.findings] == [("spam", b"evil.example")]
    assert {searched.store_id for searched in found.stores} == {"mem", "spam"}


@pytest.mark.parametrize("subject", ["", "   ", "x" * 1001])
def test_nothing_to_look_for(memory: Store, subject: str) -> None:
    with pytest.raises(BadConfig) as caught:
        find.search(subject)
    assert caught.value.field == "subject"


def test_captured_redis_store_is_looked_through_without_key_order(db: None) -> None:
    server = RedisServer(dump=FIXTURES / "stalwart-0.11.8/redis/dump-final.rdb")
    server.start()
    try:
        store = definitions.create_store(ACTOR, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
        with open_store(store) as backend:
            present = {entry.key.hex() for entry in backend.scan(limit=10_000).entries}
        named = identities(r"^ip=(\S+)", "rate-auth", "rate-rcpt", "reputation-ip", folder="stalwart-0.11.8/redis", phase="final")
        checked = 0
        for subject, keys in list(named.items())[:8]:
            wanted = keys & present
            assert wanted <= keys_of(whole(subject, store)), subject
            checked += len(wanted)
        assert checked >= 3
    finally:
        server.stop()


def test_the_command_prints_one_line_a_key_and_names_what_is_not_known(memory: Store) -> None:
    plant_counter(memory, b"\x05" + bytes([203, 0, 113, 20]) + (7).to_bytes(8, "big"), 3, soon())
    out, errors = StringIO(), StringIO()
    call_command("find", "203.0.113.20", "--json", stdout=out, stderr=errors)
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["store"], line["class"], line["counter"], line["why"]) == ("mem", "rate-auth", 3, "failed logins from this address")
    definitions.create_store(ACTOR, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1"}, version="0.11")
    with pytest.raises(SystemExit) as ended:
        call_command("find", "203.0.113.20", "--json", stdout=StringIO(), stderr=errors)
    assert ended.value.code == 1 and "gone: not known." in errors.getvalue()
    call_command("find", "203.0.113.20", "--store", "mem", "--json", stdout=StringIO(), stderr=errors)
