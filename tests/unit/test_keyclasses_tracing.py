"""From a subject to look-ups, and the keys that they find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.numbers import base32_id, put_u32, put_u64
from stores.keyclasses import Trace, build_key, class_rates, classify, traces, understand
from stores.keyclasses.limits import Rate, limiters_of, parse_rate

NOW = 1_795_510_085


def found(subject: str, key: bytes, version: str = "0.11", **more: float) -> list[Trace]:
    """Traces that lead to a key of the same class without a walk of the whole store."""
    slug, _ = classify(key, version)
    return [
        trace
        for trace in traces(subject, version, **more)  # type: ignore[arg-type]
        if trace.slug == slug
        and trace.key
        and trace.matches(key)
        and (trace.key == key if trace.kind == "exact" else key.startswith(trace.key))
    ]


WINDOW = put_u64(NOW // 86400)
IP = bytes([203, 0, 113, 20])
IP6 = bytes.fromhex("20010db8000100000000000000000014")


@pytest.mark.parametrize(
    ("subject", "key", "version", "kind"),
    [
        ("203.0.113.20", b"\x05" + IP + WINDOW, "0.11", "prefix"),
        ("203.0.113.20", b"\x09" + IP + WINDOW, "0.16", "prefix"),
        ("[203.0.113.20]", b"\x0c" + IP, "0.11", "exact"),
        ("2001:DB8:1::14", b"\x03" + IP6 + WINDOW, "0.15", "prefix"),
        ("203.0.113.0/24", b"\x04" + IP + WINDOW, "0.11", "prefix"),
        ("203.0.113.16/28", b"\x0c" + IP, "0.11", "prefix"),
        ("2001:db8:1::/48", b"\x07" + IP6 + WINDOW, "0.11", "prefix"),
        ("0.0.0.0/0", b"\x02" + IP + WINDOW, "0.11", "prefix"),
        ("203.0.113.20", b"b:203.0.113.20" + WINDOW, "0.10", "prefix"),
        ("203.0.113.20", b"i:203.0.113.20", "0.10", "exact"),
        ("203.0.113.20", b"g:203.0.113.20.a@b.org.c@d.org", "0.10", "prefix"),
        ("203.0.113.0/24", b"h:203.0.113.20" + WINDOW, "0.10", "scan"),
        ("203.0.113.0/24", b"i:203.0.113.20", "0.10", "scan"),
        ("john", b"\x05john" + WINDOW, "0.11", "prefix"),
        ("John", b"\x05John" + WINDOW, "0.11", "prefix"),
        ("John", b"\x05john" + WINDOW, "0.11", "prefix"),
        ("john@example.com", b"\x05john@example.com" + WINDOW, "0.16", "prefix"),
        ("john@example.com", b"\x02john@example.com" + WINDOW, "0.11", "prefix"),
        ("News@good.org", b"\x0dnews@good.org", "0.11", "exact"),
        ("news@mail.good.co.uk", b"\x0e_good.co.uk", "0.11", "exact"),
        ("news@good.org", b"\x10news@good.orgjohn@example.com", "0.15", "prefix"),
        ("john@example.com", b"\x10news@good.orgjohn@example.com", "0.15", "scan"),
        ("john@example.com", b"g:203.0.113.20.news@good.org.john@example.com", "0.10", "scan"),
        ("good.org", b"\x10news@good.orgjohn@example.com", "0.15", "scan"),
        ("good.org", b"\x0egood.org", "0.11", "exact"),
        ("good.org", b"\x0d_good.org", "0.11", "exact"),
        ("@good.org", b"\x0dnews@good.org", "0.11", "scan"),
        ("Good.org.", b"\x02nobody@good.org" + WINDOW, "0.11", "scan"),
        ("good.org", b"\x16\x00" + put_u64(NOW) + b"good.org", "0.11", "scan"),
        ("mail.good.org", b"\x00mail.good.org", "0.16", "exact"),
        ("good.org", b"d:good.org", "0.10", "exact"),
        ("AS64500", b"\x0f" + put_u32(64500), "0.11", "exact"),
        ("as 64500", b"\x11" + put_u32(64500) + b"\x03", "0.11", "exact"),
        ("AS64500", b"a:64500", "0.10", "exact"),
        ("<note-0@example.com>", b"\x13note-0@example.com", "0.11", "exact"),
        ("note-0@example.com", b"m:note-0@example.com", "0.10", "exact"),
        ("342318274813366278", bytes.fromhex("1504c028a842601006"), "0.11", "exact"),
        ("4c028a842601006", bytes.fromhex("1504c028a842601006"), "0.12", "exact"),
        ("0x04c0316a45e03000", bytes.fromhex("1504c0316a45e0300072656d6f74650000"), "0.16", "exact"),
        ("jqbrnjc1amaa", bytes.fromhex("1504c0316a45e030006d696e6500000000"), "0.16", "prefix"),
        ("jqbrnisoadqa", bytes.fromhex("1704c0316a24e00e00"), "0.16", "exact"),
        ("342318288453242880", bytes.fromhex("170004c028ab6f601000"), "0.11", "exact"),
        ("42", b"\x12" + put_u32(42) + b"word", "0.11", "prefix"),
        ("account 42", b"\x19" + put_u32(42) + b"\x0c", "0.15", "exact"),
        ("#42", b"\x0b" + put_u32(42) + WINDOW, "0.16", "prefix"),
        ("42", b"j:42" + WINDOW, "0.10", "prefix"),
        ("42", b"purge:42", "0.10", "exact"),
        ("my.key", b"my.key", "0.11", "exact"),
        ("Viagra", b"\x11viagra", "0.11", "exact"),
        ("buy cheap", b"\x11buy cheap", "0.11", "exact"),
        ("lotteri prescript", b"\x11lotterijxc\xa1\xd4\x8e\x89WU", "0.11", "exact"),
        ("averyveryverylongtoken", bytes.fromhex("26f2618d023ce89f1135e1bed4614f3d"), "0.10", "exact"),
    ],
)
def test_a_subject_leads_to_its_keys(subject: str, key: bytes, version: str, kind: str) -> None:
    assert classify(key, version)[0] is not None or key == b"my.key"
    assert kind in {trace.kind for trace in found(subject, key, version)}


@pytest.mark.parametrize(
    ("subject", "key", "version"),
    [
        ("203.0.113.20", b"\x05\xcb\x00\x71\x14" + bytes(12) + WINDOW, "0.11"),
        ("203.0.113.16/28", b"\x05\xcb\x00\x71\x20" + WINDOW, "0.11"),
        ("john", b"\x05johnny" + WINDOW, "0.11"),
        ("42", b"\x12" + put_u32(46) + b"word", "0.11"),
        ("good.org", b"\x02nobody@evilgood.org" + WINDOW, "0.11"),
    ],
)
def test_keys_of_others_do_not_match(subject: str, key: bytes, version: str) -> None:
    assert found(subject, key, version) == []


def test_the_running_window_is_an_exact_look_up() -> None:
    key = b"\x05" + IP + WINDOW
    assert [trace.kind for trace in found("203.0.113.20", key, "0.11", now=NOW)] == ["exact", "prefix"]
    other = b"\x05" + IP + put_u64(NOW // 600)
    rates = {"rate-auth": Rate(5, 600)}
    assert other in [trace.key for trace in traces("203.0.113.20", "0.11", now=NOW, rates=rates) if trace.kind == "exact"]


def test_traces_come_cheapest_first_and_once() -> None:
    listed = traces("john@example.com", "0.11", now=NOW)
    assert [trace.kind for trace in listed] == sorted((trace.kind for trace in listed), key=["exact", "prefix", "scan"].index)
    assert len({(trace.kind, trace.key, trace.slug) for trace in listed}) == len(listed)
    assert all(trace.why for trace in listed)
    own = [trace for trace in listed if trace.slug is None]
    assert [(trace.kind, trace.key) for trace in own] == [("exact", b"john@example.com"), ("scan", b"")]
    assert own[1].matches(b"seen:john@example.com")


@pytest.mark.parametrize(
    ("subject", "sorts"),
    [
        ("", []),
        ("  ", []),
        ("203.0.113.20", ["ip"]),
        ("::ffff:203.0.113.20", ["ip"]),
        ("203.0.113.0/24", ["network"]),
        ("203.0.113.0/99", ["login"]),
        ("AS64500", ["asn", "login"]),
        ("as99999999999", ["login"]),
        ("john", ["login"]),
        ("john@example.com", ["address", "login", "message-id"]),
        ("<john@example.com>", ["message-id", "address"]),
        ("@example.com", ["domain"]),
        ("mail.example.com", ["domain", "login"]),
        ("42", ["queue-id", "account", "login"]),
        ("99999999999999999999999", ["login"]),
        ("jqbrnisoadqa", ["queue-id", "login"]),
        ("account 7", ["account"]),
        ("two words", ["login"]),
    ],
)
def test_a_subject_is_understood(subject: str, sorts: list[str]) -> None:
    assert [meaning.sort for meaning in understand(subject)] == sorts


@given(st.integers(1_635_000_000_000, 1_900_000_000_000))
def test_any_recent_id_in_base_32_is_a_queue_id(milliseconds: int) -> None:
    number = milliseconds - 1_632_280_000_000 << 21
    assert ("queue-id", number) in [(meaning.sort, meaning.number) for meaning in understand(base32_id(number))]


# limits


@pytest.mark.parametrize(
    ("text", "requests", "period"), [("100/1d", 100, 86400), ("5/1s", 5, 1), ("1000/1m", 1000, 60), ("25 / 1h", 25, 3600), ("7/2000", 7, 2)]
)
def test_rates(text: str, requests: int, period: int) -> None:
    assert parse_rate(text) == Rate(requests, period)


@pytest.mark.parametrize("text", ["x", "5", "5/", "5/1w", "/1s", "0/1s", "5/0s", "5/100ms", "-5/1s", "5/1s/2"])
def test_texts_that_are_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate(text)


def test_a_rate_that_is_off_is_none() -> None:
    assert all(parse_rate(text) is None for text in ("false", "", "none", "0", "Disable"))


def test_limits_of_classes_come_from_the_settings_or_the_defaults() -> None:
    plain = class_rates()
    assert (plain["rate-auth"], plain["rate-http-anonymous"]) == (Rate(100, 86400), Rate(100, 60))
    told = class_rates(
        {
            "server.auto-ban.auth.rate": "7/1h",
            "http.rate-limit.account": "50/1m",
            "form.rate-limit": "false",
            "server.auto-ban.scan.rate": "?",
        }
    )
    assert told["rate-auth"] == Rate(7, 3600, "server.auto-ban.auth.rate")
    assert told["rate-http-authenticated"] == Rate(50, 60, "http.rate-limit.account")
    assert "rate-contact" not in told
    assert "rate-scan" not in told


def test_limiters_of_settings() -> None:
    settings = {
        "queue.limiter.inbound.ip.key": "remote_ip",
        "queue.limiter.inbound.ip.rate": "5/1s",
        "queue.limiter.inbound.ip.enable": "true",
        "queue.limiter.inbound.ip.match.0000.if": "x",
        "queue.limiter.outbound.my.dest.key.0000": "rcpt_domain",
        "queue.limiter.outbound.my.dest.key.0001": "sender_domain",
        "queue.limiter.outbound.my.dest.rate": "500/1h",
        "queue.limiter.outbound.my.dest.enable": "false",
        "queue.limiter.outbound.none.key": "mx",
        "queue.limiter.outbound.odd.key": "unknown_part",
        "queue.limiter.outbound.odd.rate": "1/1s",
        "queue.quota.size.enable": "true",
    }
    ip, dest = limiters_of(settings)
    assert (ip.id, ip.direction, ip.parts, ip.rate.requests, ip.rate.period, ip.enabled) == (
        "ip",
        "inbound",
        frozenset({"remote_ip"}),
        5,
        1,
        True,
    )
    assert (dest.id, dest.direction, dest.parts, dest.enabled) == (
        "my.dest",
        "outbound",
        frozenset({"rcpt_domain", "sender_domain"}),
        False,
    )
    assert dest.rate.setting == "queue.limiter.outbound.my.dest.rate"


def test_exact_traces_are_keys_of_their_class() -> None:
    for version in ("0.11", "0.15", "0.16"):
        for subject in ("203.0.113.20", "john@example.com", "good.org", "AS64500", "342318274813366278", "42"):
            for trace in traces(subject, version, now=NOW):
                if trace.kind == "exact":
                    assert classify(trace.key, version)[0] == trace.slug, trace
    assert build_key("rate-auth", {"ip": "203.0.113.20", "window_index": NOW // 86400}, "0.11") == b"\x05" + IP + WINDOW
