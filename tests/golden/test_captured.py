"""Every row that a real Stalwart wrote: classified, decoded and rebuilt byte for byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stores.codecs import numbers
from stores.codecs.rows import entry_from_rows
from stores.keyclasses import build_key, classify, decode, editor_values, encode, is_lock
from stores.types import Entry, Kind
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.golden.captured import FOLDERS, entry_of, read_lines, rebuilt, rows_of_database, store_kind

pytestmark = needs_fixtures

KINDS = {"key": Kind.VALUE, "counter": Kind.COUNTER, "lock": Kind.LOCK}
BY_BYTE = {
    0x01: "oauth", 0x02: "rate-rcpt", 0x03: "rate-scan", 0x04: "rate-loiter", 0x05: "rate-auth", 0x06: "rate-smtp", 0x07: "rate-contact",
    0x08: "rate-http-authenticated", 0x09: "rate-http-anonymous", 0x10: "greylist", 0x15: "lock-queue-message", 0x17: "lock-task",
    0x19: "lock-dav", 0x1A: "sieve-seen-id", 0x0B: "quota-blob",
}  # fmt: skip
NOW = 1795510085.0


def row_files() -> list[Any]:
    if not FIXTURES.is_dir():
        return []
    return [
        pytest.param(path, version, store_kind(folder), id=f"{folder}/{path.name}")
        for folder, version in FOLDERS
        for path in sorted((FIXTURES / folder).glob("rows-*.jsonl"))
    ]


def manifests() -> list[Any]:
    if not FIXTURES.is_dir():
        return []
    return [
        pytest.param(json.loads((FIXTURES / folder / "manifest.json").read_text())["rows"], version, store_kind(folder), id=folder)
        for folder, version in FOLDERS
        if (FIXTURES / folder / "manifest.json").exists()
    ]


def test_the_captured_stores_are_there() -> None:
    """Without them the tests below have no parameters; that must not pass for a success where they belong."""
    assert len(row_files()) >= 18
    assert len(manifests()) == 9


@pytest.mark.parametrize(("path", "version", "store"), row_files())
def test_every_row_decodes_and_is_rebuilt(path: Any, version: str, store: Any) -> None:
    rows = read_lines(path)
    assert rows
    for row in rows:
        entry = entry_of(row, redis=store == "redis")
        if store == "data":
            check_row(row, entry)
        check_decoded(entry, version, store, row.get("kind"))


def check_row(row: dict[str, Any], entry: Entry) -> None:
    """Kind, payload, expiry and bytes of a data store's row."""
    assert entry.problem == ""
    assert entry.expires_at == row["expires_unix"]
    stored = rebuilt(row)
    assert entry.row == stored
    if row["kind"] == "counter":
        assert (entry.kind, entry.counter, entry.value) == (Kind.COUNTER, row["counter"], None)
    else:
        assert (entry.kind, entry.value) == (Kind.VALUE, bytes.fromhex(row["value_hex"]))


def check_decoded(entry: Entry, version: str, store: Any, kind: str | None) -> None:
    found = decode(entry, version, store, NOW, reveal=True)
    assert found.problem == "", (entry.key.hex(), found)
    assert (found.slug, found.kind) == classify(entry.key, version, entry.kind)
    assert not found.unverified
    assert is_lock(entry.key, version) == (found.kind is Kind.LOCK)
    if kind is not None:
        assert found.kind is KINDS[kind]
    check_parts(found.parts, len(entry.key))
    check_parts(found.value_parts, len(entry.value or b""))
    if found.slug is not None:
        assert build_key(found.slug, found.fields, version) == entry.key
    if found.editable:
        again = encode(found.editable, editor_values(found, entry), version)
        if isinstance(again, bytes) or store == "redis":
            assert (again if isinstance(again, bytes) else b"%d" % again) == entry.value
        else:
            assert again == entry.counter


def check_parts(parts: Any, size: int) -> None:
    """Slices that follow one another from the first byte to the last."""
    at = 0
    for start, end, meaning in parts:
        assert start == at
        assert end > start
        assert meaning
        at = end
    assert at in (0, size)


@pytest.mark.parametrize(("phases", "version", "store"), manifests())
def test_class_and_identity_are_those_of_the_manifest(phases: dict[str, Any], version: str, store: Any) -> None:
    for row in (row for rows in phases.values() for row in rows):
        entry = entry_of(row, redis=store == "redis")
        found = decode(entry, version, store, NOW, reveal=True)
        assert (found.slug or "custom") == row["class"], entry.key.hex()
        check_identity(found.fields, row)
        check_truth(found.fields, row)


def check_identity(fields: Any, row: dict[str, Any]) -> None:
    identity = row["identity"]
    for name in ("ip", "rcpt", "login", "code"):
        if row["class"] != "rate-smtp" and identity.startswith(f"{name}="):
            assert str(fields[name]) == identity.partition("=")[2]
    if row["class"] in ("rate-http-authenticated", "token-revision", "lock-purge-account", "quota-blob"):
        found = re.search(r"id=(\d+)", identity)
        assert found is None or fields["account_id"] == int(found[1])
    if row["class"] == "greylist":
        sender, _, recipient = identity.partition(" -> ")
        assert fields["sender"] == sender.lower().replace("<>", "")
        assert fields["recipient"] == recipient.lower()
    if row["class"] == "trusted-reply":
        assert identity.partition(" (")[0] == f"message-id={fields['message_id']}"
    if row["class"] == "reputation-asn":
        assert f"AS{fields['asn']}" == identity
    if found := re.match(r"(?:from|domain)=(\S+) \((no )?DMARC", identity):
        assert found[1] in (fields.get("address"), fields.get("domain"))
        assert fields["dmarc_pass"] is (found[2] is None)
    if found := re.match(r"queue_id=(\d+)", identity):
        assert fields["queue_id"] == int(found[1])
    if found := re.match(r"task_id=(\d+)", identity):
        assert fields["task_id"] == int(found[1])


def check_truth(fields: Any, row: dict[str, Any]) -> None:
    """What the capturing driver decoded by its own means."""
    if row.get("window_period") is not None:
        assert fields["window_period"] == row["window_period"]
    if "window_index" in row:
        assert fields["window_index"] == row["window_index"]
        assert fields["window_end"] == row["window_period"] * (row["window_index"] + 1)
    if "counter_value" in row and row["class"].startswith("rate"):
        assert fields["count"] == row["counter_value"]
    truth = dict(row.get("decoded") or {})
    if isinstance(truth.get("code_challenge"), dict):
        [(method, challenge)] = truth["code_challenge"].items()
        truth |= {"challenge_method": {"Plain": "plain"}.get(method, method), "code_challenge": challenge}
    if "sieve_value" in truth:
        check_sieve(fields, truth.pop("sieve_value"))
    if "text" in truth:
        truth = {"value": truth["text"], "encoding": "text"}
    for name, value in truth.items():
        assert fields[name] == value, name


def check_sieve(fields: Any, value: object) -> None:
    if isinstance(value, list):
        assert fields["type"] == "list"
        assert len(fields["value"]) == len(value)
    elif isinstance(value, str) and len(value) > 1000:
        assert fields["value"] == value[:1000]
    else:
        assert fields["value"] == value


def databases() -> list[Any]:
    if not FIXTURES.is_dir():
        return []
    found = [(path, version) for folder, version in FOLDERS for path in sorted((FIXTURES / folder).glob("*.db"))]
    return [pytest.param(path, version, id=f"{path.parent.parent.name}/{path.name}") for path, version in found]


@pytest.mark.parametrize(("path", "version"), databases())
def test_every_row_of_the_database_files(path: Any, version: str) -> None:
    """The files hold rows that no list names: ACME proofs, report locks, tasks."""
    for key, row, number in rows_of_database(path):
        entry = entry_from_rows(key, row, number)
        assert entry.problem == ""
        found = decode(entry, version, "data", NOW, reveal=True)
        assert found.problem == "", (key.hex(), found)
        assert not found.unverified
        if found.slug is not None:
            assert build_key(found.slug, found.fields, version) == key


def test_acme_rows_show_the_certificate_and_hide_the_key() -> None:
    rows = list(rows_of_database(FIXTURES / "stalwart-0.16.18/sqlite/memstore-acme-alpn01.db"))
    rows += list(rows_of_database(FIXTURES / "stalwart-0.11.8/sqlite/memstore-extras.db"))
    found = []
    for key, row, number in rows:
        if key[:1] != b"\x00":
            continue
        entry = entry_from_rows(key, row, number)
        decoded = decode(entry, "0.16" if b"alpn01" in key else "0.11", "data", NOW, reveal=True)
        if decoded.fields["challenge"] == "tls-alpn-01":
            found.append(decoded.fields["names"])
            assert decoded.fields["acme_identifier"] is True
            assert isinstance(decoded.fields["not_after"], int)
            assert decoded.secret_value
            check_no_key(str(decoded), entry.value or b"")
    assert sorted(map(str, found)) == ["['autoconfig.example.com']", "['mail.alpn01.example.org']"]


def check_no_key(text: str, value: bytes) -> None:
    """No run of eight bytes of the private key's end shows up, as hex or as it is."""
    secret = value[-40:-8]
    for start in range(len(secret) - 8):
        piece = secret[start : start + 8]
        assert piece.hex() not in text
        assert repr(piece)[2:-1] not in text


@pytest.mark.parametrize(("phases", "version", "store"), manifests())
def test_nothing_secret_shows_without_reveal(phases: dict[str, Any], version: str, store: Any) -> None:
    seen = 0
    for row in (row for rows in phases.values() for row in rows if row["class"] in ("oauth", "acme")):
        found = decode(entry_of(row, redis=store == "redis"), version, store, NOW)
        assert found.secret_key
        assert found.secret_value
        shown = str(found)
        truth = row["decoded"]
        challenge = truth.get("code_challenge") or {}
        for secret in (bytes.fromhex(row["key_hex"])[1:].decode(), truth["params"], truth["nonce"], *challenge.values()):
            assert not secret or secret not in shown
        seen += 1
    assert seen > 0


def test_wire_order_of_ids() -> None:
    """0.16 shows the same numbers in base 32 (behaviour on running servers)."""
    assert numbers.base32_id(0x04C0316A24E00E00) == "jqbrnisoadqa"
    assert numbers.base32_id(0x04C0316A45E03000) == "jqbrnjc1amaa"
    assert numbers.base32_id(1) == "b"
    assert numbers.base32_id(0xFFFFFFFF) == "d333333"


def test_redis_cluster_classes_by_first_byte() -> None:
    for row in read_lines(FIXTURES / "stalwart-0.16.18/redis-cluster/rows-cluster.jsonl"):
        key = bytes.fromhex(row["key_hex"])
        slug, kind = classify(key, "0.16")
        assert slug == (BY_BYTE[key[0]] if key and key[0] < 0x20 else None)
        assert kind is not Kind.UNKNOWN or slug is None
