"""Numbers of keys and counters: inverse pairs, and refusal of what they do not hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs import numbers

U64 = st.integers(0, numbers.U64_MAX)


@given(U64)
def test_unsigned_pairs(number: int) -> None:
    assert numbers.u64(numbers.put_u64(number)) == number
    assert numbers.u32(numbers.put_u32(number & 0xFFFFFFFF)) == number & 0xFFFFFFFF


@given(st.integers(numbers.I64_MIN, numbers.I64_MAX))
def test_counters_are_signed_and_little_endian(number: int) -> None:
    raw = numbers.put_i64_le(number)
    assert numbers.i64_le(raw) == number
    assert numbers.wrap_i64(number & numbers.U64_MAX) == number


def test_a_counter_of_another_length_is_refused() -> None:
    assert numbers.i64_le(bytes.fromhex("fdffffffffffffff")) == -3
    for raw in (b"", b"1234567", b"123456789"):
        with pytest.raises(ValueError, match="8 bytes"):
            numbers.i64_le(raw)
    with pytest.raises(ValueError, match="expected 4"):
        numbers.u32(b"12345")


@given(U64, st.binary(max_size=5), st.binary(max_size=5))
def test_leb128_pairs(number: int, before: bytes, after: bytes) -> None:
    raw = numbers.put_leb128(number)
    assert numbers.leb128(before + raw + after, len(before)) == (number, len(before) + len(raw))


@pytest.mark.parametrize("raw", ["", "80", "ff" * 11])
def test_unfinished_leb128_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="unfinished"):
        numbers.leb128(bytes.fromhex(raw))
    with pytest.raises(ValueError, match="negative"):
        numbers.put_leb128(-1)


@given(U64)
def test_base32_pairs(number: int) -> None:
    assert numbers.from_base32_id(numbers.base32_id(number)) == number


@pytest.mark.parametrize(
    ("number", "text"), [(0, "a"), (1, "b"), (31, "3"), (32, "ba"), (0xFFFFFFFF, "d333333"), (0x04C0316A24E00E00, "jqbrnisoadqa")]
)
def test_base32_of_known_ids(number: int, text: str) -> None:
    assert numbers.base32_id(number) == text


@pytest.mark.parametrize("text", ["", "A", "8", "ab", "aa", "3333333333333", "jqbrnisoadqaaa", "x y"])
def test_other_texts_are_no_ids(text: str) -> None:
    with pytest.raises(ValueError, match=r"base-32|64 bits"):
        numbers.from_base32_id(text)


def test_base32_of_numbers_outside_64_bits() -> None:
    for number in (-1, 1 << 64):
        with pytest.raises(ValueError, match="64-bit"):
            numbers.base32_id(number)
