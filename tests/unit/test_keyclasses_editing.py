"""Small forms and parts of keys: back to bytes, and clear refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.bincode import detect, encode_variable_1, encode_variable_2
from stores.codecs.rows import entry_from_rows, value_row
from stores.errors import BadConfig
from stores.keyclasses import build_key, classify, decode, editor_fields, editor_values, encode
from stores.types import Entry, Kind

I64 = st.integers(-(1 << 63), (1 << 63) - 1)
U32 = st.integers(0, 0xFFFFFFFF)
VALUES = st.recursive(
    st.text() | I64 | st.floats(allow_nan=False, allow_infinity=False), lambda inner: st.lists(inner, max_size=4), max_leaves=8
)


def entry(key: bytes, payload: bytes) -> Entry:
    return entry_from_rows(key, value_row(payload, None), None)


@given(VALUES, st.sampled_from(["0.10", "0.11", "0.12", "0.16"]))
def test_a_sieve_value_survives_its_form(value: Any, version: str) -> None:
    payload = encode_variable_1(value) if version in ("0.10", "0.11") else encode_variable_2(value)
    stored = entry(b"k", b"" if value == "" else payload)
    shown = decode(stored, version, "data", 0)
    assert encode("sieve-value", editor_values(shown, stored), version) == stored.value


@given(st.text(min_size=4).filter(lambda text: text[0] > "\x03"))
def test_plain_text_survives_its_form(text: str) -> None:
    stored = entry(b"k", text.encode())
    values = editor_values(decode(stored, "0.16", "data", 0), stored)
    assert values == {"type": "plain", "value": text}
    assert encode("sieve-value", values, "0.16") == stored.value


@given(U32, st.floats(allow_nan=False, allow_infinity=False))
def test_a_reputation_survives_its_form(count: int, score: float) -> None:
    payload = encode("reputation", {"count": str(count), "score": repr(score)}, "0.11")
    assert isinstance(payload, bytes)
    stored = entry(b"\x0c\xcb\x00\x71\x14", payload)
    shown = decode(stored, "0.11", "data", 0)
    assert (shown.fields["count"], shown.fields["score"]) == (count, score)
    assert encode(shown.editable, editor_values(shown, stored), "0.11") == payload


@given(U32, U32)
def test_weights_survive_their_form(ham: int, spam: int) -> None:
    number = encode("bayes-weights", {"ham": str(ham), "spam": str(spam)}, "0.11")
    assert isinstance(number, int)
    stored = Entry(b"\x11word", Kind.COUNTER, None, number)
    shown = decode(stored, "0.11", "data", 0)
    assert (shown.fields["ham"], shown.fields["spam"]) == (ham, spam)
    assert encode(shown.editable, editor_values(shown, stored), "0.11") == number


@given(I64)
def test_a_counter_survives_its_form(number: int) -> None:
    assert encode("counter", {"count": f" {number} "}, "0.11") == number


def test_the_known_encodings() -> None:
    assert encode("reputation", {"count": "2", "score": "16"}, "0.11") == bytes.fromhex("000000024030000000000000")
    assert encode("sieve-value", {"type": "text", "value": "hello"}, "0.11") == bytes.fromhex("00000000050000000000000068656c6c6f")
    assert encode("sieve-value", {"type": "text", "value": "hello"}, "0.12") == bytes.fromhex("000568656c6c6f")
    assert encode("sieve-value", {"type": "plain", "value": "hello"}, "0.12") == b"hello"
    assert encode("sieve-value", {"type": "list", "value": "[2.5, 3]"}, "0.16") == bytes.fromhex("03020200000000000004400106")
    assert encode("sieve-value", {"type": "list", "value": "[true]"}, "0.16") == bytes.fromhex("03010102")
    assert encode("greylist", {}, "0.16") == encode("trusted-reply", {}, "0.11") == b""
    assert detect(encode("reputation-sieve", {"count": "3", "score": "2.5"}, "0.10"))[1] == [2.5, 3]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("editable", "fields", "field"),
    [
        ("reputation", {"count": "-1", "score": "1"}, "count"),
        ("reputation", {"count": "4294967296", "score": "1"}, "count"),
        ("reputation", {"count": "1", "score": "nan"}, "score"),
        ("reputation", {"count": "1"}, "score"),
        ("reputation", {"count": "1", "score": "1_0"}, "score"),
        ("counter", {"count": "9223372036854775808"}, "count"),
        ("counter", {"count": "1.5"}, "count"),
        ("counter", {}, "count"),
        ("bayes-weights", {"ham": "x", "spam": "1"}, "ham"),
        ("bayes-weights", {"ham": "1", "spam": ""}, "spam"),
        ("sieve-value", {"type": "integer", "value": "1.5"}, "value"),
        ("sieve-value", {"type": "float", "value": "inf"}, "value"),
        ("sieve-value", {"type": "list", "value": "{}"}, "value"),
        ("sieve-value", {"type": "list", "value": "[null]"}, "value"),
        ("sieve-value", {"type": "list", "value": "[NaN]"}, "value"),
        ("sieve-value", {"type": "list", "value": "[1e999]"}, "value"),
        ("sieve-value", {"type": "list", "value": "[[[[[[[[[1]]]]]]]]]"}, "value"),
        ("sieve-value", {"type": "list", "value": "[" * 3000}, "value"),
        ("sieve-value", {"type": "list", "value": "[18446744073709551616]"}, "value"),
        ("sieve-value", {"type": "map", "value": ""}, "type"),
        ("sieve-value", {"type": "text", "value": "\ud800"}, "value"),
        ("no-such-form", {}, "editable"),
    ],
)
def test_bad_input_names_its_field(editable: str, fields: dict[str, str], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        encode(editable, fields, "0.11")
    assert caught.value.field == field
    assert caught.value.fix


def test_forms_have_labels() -> None:
    for name in ("reputation", "counter", "bayes-weights", "sieve-value", "reputation-sieve"):
        assert all(field.label for field in editor_fields(name))
    assert editor_fields("greylist") == editor_fields("trusted-reply") == ()


@pytest.mark.parametrize(
    ("slug", "fields", "version", "key"),
    [
        ("greylist", {"sender": "News@Good.org", "recipient": "John@example.com"}, "0.16", b"\x10news@good.orgjohn@example.com"),
        ("greylist", {"sender": "", "recipient": "john@example.com"}, "0.11", b"\x10john@example.com"),
        ("greylist", {"ip": "192.0.2.1", "sender": "a@b.org", "recipient": "c@d.org"}, "0.10", b"g:192.0.2.1.a@b.org.c@d.org"),
        ("trusted-reply", {"message_id": "<note@example.com>"}, "0.11", b"\x13note@example.com"),
        ("reputation-domain", {"domain": "x.org", "dmarc_pass": False}, "0.11", b"\x0e_x.org"),
        ("reputation-from", {"domain": "x.org"}, "0.11", b"\x0d_x.org"),
        ("reputation-asn", {"asn": "64500"}, "0.11", b"\x0f\x00\x00\xfb\xf4"),
        ("rate-auth", {"login": "john", "window_index": "5"}, "0.11", b"\x05john" + bytes(7) + b"\x05"),
        ("lock-queue-message", {"queue_id": 1, "queue_name": "remote"}, "0.16", b"\x15" + bytes(7) + b"\x01remote\0\0"),
    ],
)
def test_keys_from_parts(slug: str, fields: dict[str, Any], version: str, key: bytes) -> None:
    assert build_key(slug, fields, version) == key
    assert classify(key, version)[0] == slug


@pytest.mark.parametrize(
    ("slug", "fields", "field"),
    [
        ("reputation-ip", {"ip": "nowhere"}, "ip"),
        ("reputation-asn", {"asn": "-1"}, "asn"),
        ("rate-smtp", {"hash": "00", "window_index": 1}, "hash"),
        ("rate-auth", {"login": "john"}, "window_index"),
        ("greylist", {"sender": "a@b.org"}, "recipient"),
        ("lock-dav", {"account_id": 1, "collection": "books"}, "collection"),
        ("lock-queue-message", {"queue_id": 1, "queue_name": "much-too-long"}, "queue_name"),
        ("lock-housekeeper", {"store": "x"}, "store"),
        ("lock-email-task", {"task": "x", "due_raw": 1, "account_id": 1, "document_id": 1}, "task"),
        ("no-such-class", {}, "class"),
    ],
)
def test_bad_parts_are_named(slug: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        build_key(slug, fields, "0.11")
    assert caught.value.field == field
