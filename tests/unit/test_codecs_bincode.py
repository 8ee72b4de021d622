"""Sieve values in both encodings, and what stood in OAuth codes and certificates up to 0.11."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs import bincode
from stores.codecs.bincode import OAuthCode

SCALARS = st.text() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
VARIABLES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=6), max_leaves=12)
PAIRS = [(bincode.encode_variable_1, bincode.decode_variable_1), (bincode.encode_variable_2, bincode.decode_variable_2)]


@pytest.mark.parametrize(
    ("value", "first", "second"),
    [
        ("hello", "00000000 0500000000000000 68656c6c6f", "00 05 68656c6c6f"),
        (300, "01000000 2c01000000000000", "01 fb5802"),
        (-1, "01000000 ffffffffffffffff", "01 01"),
        (1.5, "02000000 000000000000f83f", "02 000000000000f83f"),
        ([2.5, 3], "03000000 0200000000000000 02000000 0000000000000440 01000000 0300000000000000", "03 02 02 0000000000000440 01 06"),
        ("x" * 300, "00000000 2c01000000000000 " + "78" * 300, "00 fb2c01 " + "78" * 300),
        (42, "01000000 2a00000000000000", "01 54"),
        (-42, "01000000 d6ffffffffffffff", "01 53"),
        (9007199254740993, "01000000 0100000000002000", "01 fd0200000000004000"),
        (125, "01000000 7d00000000000000", "01 fa"),
        (126, "01000000 7e00000000000000", "01 fbfc00"),
        (1 << 40, "01000000 0000000000010000", "01 fd0000000000020000"),
        (1 << 20, "01000000 0000100000000000", "01 fc00002000"),
    ],
)
def test_known_values(value: Any, first: str, second: str) -> None:
    one, two = bytes.fromhex(first), bytes.fromhex(second)
    assert bincode.encode_variable_1(value) == one
    assert bincode.decode_variable_1(one) == value
    assert bincode.encode_variable_2(value) == two
    assert bincode.decode_variable_2(two) == value
    assert bincode.detect(one) == ("bincode 1", value)
    assert bincode.detect(two) == ("bincode 2", value)


@given(VARIABLES)
def test_values_are_inverse_pairs(value: Any) -> None:
    for encode, decode in PAIRS:
        assert decode(encode(value)) == value


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda raw: bytes([raw[0] & 3 if raw else 0]) + raw))
def test_what_decodes_encodes_to_the_same_bytes(raw: bytes) -> None:
    for encode, decode in PAIRS:
        try:
            value = decode(raw)
        except ValueError:
            continue
        assert encode(value) == raw


@given(st.binary(max_size=200))
def test_detection_never_fails_and_rebuilds(raw: bytes) -> None:
    encoding, value = bincode.detect(raw)
    if encoding == "binary":
        assert value is None
    elif encoding in ("text", "empty"):
        assert isinstance(value, str)
        assert value.encode() == raw
    else:
        assert value is not None
        assert (bincode.encode_variable_1 if encoding == "bincode 1" else bincode.encode_variable_2)(value) == raw


def test_not_a_number_keeps_its_bits() -> None:
    raw = b"\x02" + struct.pack("<Q", 0x7FF8000000000001)
    value = bincode.decode_variable_2(raw)
    assert isinstance(value, float)
    assert math.isnan(value)
    assert bincode.encode_variable_2(value) == raw


@pytest.mark.parametrize(
    "raw", ["03" + "fd" + "ff" * 8, "03" * 200 + "00", "0301" * 40 + "0000", "fe" + "00" * 16, "01 fb 0500", "01 fd 0100000000000000"]
)
def test_bombs_and_other_spellings_are_no_values(raw: str) -> None:
    with pytest.raises(ValueError, match=r"claims|deeply|early|shortest|wider|begins"):
        bincode.decode_variable_2(bytes.fromhex(raw))


def test_a_number_outside_64_bits_is_refused() -> None:
    for encode, _ in PAIRS:
        with pytest.raises(ValueError, match="64 bits"):
            encode(1 << 63)


def test_plain_text_stays_text() -> None:
    assert bincode.detect(b"rawvalue") == ("text", "rawvalue")
    assert bincode.detect(b"") == ("empty", "")
    assert bincode.detect("wért".encode()) == ("text", "wért")
    assert bincode.detect(b"\xff\xfe") == ("binary", None)
    assert bincode.detect(b"\x00\x05hello!") == ("text", "\x00\x05hello!")


CODES = st.tuples(st.integers(0, 2), st.integers(0, 0xFFFFFFFF), st.text(), st.none() | st.text(), st.text()).map(
    lambda parts: OAuthCode(*parts)
)


@given(CODES)
def test_oauth_codes_are_an_inverse_pair(code: OAuthCode) -> None:
    assert bincode.decode_oauth(bincode.encode_oauth(code)) == code


@given(st.binary(max_size=80))
def test_oauth_bytes_decode_exactly_or_not_at_all(raw: bytes) -> None:
    try:
        code = bincode.decode_oauth(raw)
    except ValueError:
        return
    assert bincode.encode_oauth(code) == raw


@given(st.binary(), st.binary())
def test_certificates_are_an_inverse_pair(certificate: bytes, key: bytes) -> None:
    raw = bincode.encode_certificate(certificate, key)
    assert bincode.decode_certificate(raw) == (certificate, key)
    with pytest.raises(ValueError, match="too many"):
        bincode.decode_certificate(raw + b"x")
