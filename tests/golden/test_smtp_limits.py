"""Hashed SMTP limits: with the limiters of the captured configurations every captured key is found from its subject again."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from stores.keyclasses import Limiter, Rate, limiters_of, smtp_limit_key, smtp_traces
from tests.fixtures_path import FIXTURES, needs_fixtures
from tests.golden.captured import FOLDERS

SEEDED = {
    "queue.limiter.inbound.ip.key": "remote_ip",
    "queue.limiter.inbound.ip.rate": "5/1s",
    "queue.limiter.inbound.sender.key.0": "sender_domain",
    "queue.limiter.inbound.sender.key.1": "rcpt",
    "queue.limiter.inbound.sender.rate": "25/1h",
}
"""What a first start writes into an empty settings table."""


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {name: text for key, inner in value.items() for name, text in flat(inner, f"{prefix}{key}.").items()}
    if isinstance(value, list):
        return {name: text for index, inner in enumerate(value) for name, text in flat(inner, f"{prefix}{index:04}.").items()}
    return {prefix[:-1]: str(value).lower() if isinstance(value, bool) else str(value)}


def limiters(folder: str) -> list[Limiter]:
    found = limiters_of(SEEDED)
    for path in sorted((FIXTURES / folder).glob("config-*.toml")):
        settings = flat(tomllib.loads(path.read_text()))
        found += limiters_of(settings)
        found += limiters_of({name: text.replace("3650d", "3s") for name, text in settings.items()})
    for path in sorted((FIXTURES / folder).glob("objects.json")):
        found += [throttle(item) for item in json.loads(path.read_text())["objects"] if item["object"].endswith("boundThrottle")]
    return found


def throttle(item: dict[str, Any]) -> Limiter:
    """A limiter of 0.16: camel-case parts and milliseconds."""
    value = item["value"]
    direction = "inbound" if "Inbound" in item["object"] else "outbound"
    [limiter] = limiters_of(
        {
            f"queue.limiter.{direction}.{item['id']}.key": " ".join(value["key"]),
            f"queue.limiter.{direction}.{item['id']}.rate": f"{value['rate']['count']}/{value['rate']['period']}ms",
        }
    )
    return limiter


def hashed_rows(folder: str) -> list[dict[str, Any]]:
    rows = json.loads((FIXTURES / folder / "manifest.json").read_text())["rows"]
    unique = {row["key_hex"]: row for phase in rows.values() for row in phase if row["class"] == "rate-smtp"}
    return list(unique.values())


def folders() -> list[Any]:
    if not FIXTURES.is_dir():
        return []
    return [pytest.param(folder, version, id=folder) for folder, version in FOLDERS if (FIXTURES / folder / "manifest.json").exists()]


@needs_fixtures
@pytest.mark.parametrize(("folder", "version"), folders())
def test_every_captured_limit_is_found_from_its_subject(folder: str, version: str) -> None:
    rules = limiters(folder)
    rows = hashed_rows(folder)
    assert len(rows) >= 20
    for row in rows:
        key = bytes.fromhex(row["key_hex"])
        subjects = re.findall(r"(?:rcpt|rcpt_domain|sender_domain|helo_domain|remote_ip)=(\S+)", row["identity"])
        assert subjects
        found = [trace for trace in smtp_traces(subjects, rules, version) if key.startswith(trace.key) and trace.matches(key)]
        assert found, row["identity"]
        window = int.from_bytes(key[-8:], "big")
        period = row["expires_unix"] // (window + 1)
        exact = smtp_traces(subjects, rules, version, now=window * period + period // 2)
        assert key in [trace.key for trace in exact], row["identity"]


@pytest.mark.parametrize(
    ("parts", "requests", "period", "expected"),
    [
        ({"remote_ip": "192.0.2.10"}, 5, 1, "7d9d0b506ee5d0386cd962249cc4d31de9787a922ce109ee4f0daee454d7d4b5"),
        (
            {"rcpt": "bob@example.org", "sender_domain": "example.com"}, 25, 3600,
            "ef1db0d59863984dec279cc645d8946997f45dfeb441f1c4b250911a3659b93a",
        ),
        ({"remote_ip": "127.0.0.1"}, 5, 1, "5a77639bd1f0af1a5cbeb8f48ec661d31065404ec7448ceb44895094845ee4e8"),
        (
            {"sender_domain": "example.com", "rcpt": "bob@test.org"}, 25, 3600,
            "7fdca609373cf31a0e638c4450a107532243de1355b2dc257963f7c84da8fb1e",
        ),
    ],
)  # fmt: skip
def test_published_vectors(parts: dict[str, str], requests: int, period: int, expected: str) -> None:
    key = smtp_limit_key(parts, requests=requests, period=period, direction="inbound", version="0.11.8")
    assert key.hex() == "06" + expected
    assert smtp_limit_key(parts, requests=requests, period=period, direction="inbound", version="0.15") == key
    assert smtp_limit_key(parts, requests=requests, period=period, direction="outbound") != key
    assert smtp_limit_key(parts, requests=requests, period=period, direction="inbound", window=7) == key + bytes(7) + b"\x07"


def test_the_recipe_before_0_11_4_is_another_one() -> None:
    arguments: dict[str, Any] = {"requests": 5, "period": 1, "direction": "inbound"}
    new = smtp_limit_key({"remote_ip": "192.0.2.10"}, version="0.11.4", **arguments)
    old = smtp_limit_key({"remote_ip": "192.0.2.10"}, version="0.11.3", **arguments)
    assert new != old
    assert old[0] == new[0] == 6
    assert smtp_limit_key({"remote_ip": "192.0.2.10"}, version="0.10", **arguments) == old[1:]
    assert smtp_limit_key({"remote_ip": "192.0.2.10"}, version="0.11.3", concurrency=3, **arguments) != old


def test_a_limiter_by_sender_tries_the_null_sender() -> None:
    limiter = Limiter("x", "inbound", frozenset({"sender_domain", "rcpt"}), Rate(25, 3600))
    keys = [trace.key for trace in smtp_traces(["john@example.com"], [limiter], "0.11")]
    arguments: dict[str, Any] = {"requests": 25, "period": 3600, "direction": "inbound"}
    assert smtp_limit_key({"rcpt": "john@example.com", "sender_domain": ""}, **arguments) in keys
    assert smtp_limit_key({"rcpt": "john@example.com", "sender_domain": "<>"}, **arguments) in keys
    assert smtp_limit_key({"rcpt": "john@example.com", "sender_domain": "example.com"}, **arguments) in keys
    assert smtp_traces(["203.0.113.9"], [limiter], "0.11") == []
