"""Numbers as Stalwart stores them: big-endian key parts, little-endian counters, LEB128, base-32 ids. Pure inverse pairs.

Readers raise ValueError for bytes of the wrong length or form; they never guess.
"""

from __future__ import annotations

from typing import Final

U32_MAX: Final = (1 << 32) - 1
U64_MAX: Final = (1 << 64) - 1
I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1

BASE32: Final = "abcdefghijklmnopqrstuvwxyz792013"
"""Digits of the ids that Stalwart's JMAP shows, most significant first (0.16: task, message and account ids)."""
_BASE32_VALUES: Final = {digit: value for value, digit in enumerate(BASE32)}
_BASE32_LONGEST: Final = 13


def u32(raw: bytes) -> int:
    """Account ids, AS numbers, counts: 4 bytes, big-endian."""
    return _unsigned(raw, 4)


def put_u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(raw: bytes) -> int:
    """Windows, due times, queue ids, expiries: 8 bytes, big-endian."""
    return _unsigned(raw, 8)


def put_u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def i64_le(raw: bytes) -> int:
    """A counter of RocksDB and FoundationDB: signed, 8 bytes, little-endian."""
    if len(raw) != 8:
        raise ValueError(f"a counter has 8 bytes, not {len(raw)}")
    return int.from_bytes(raw, "little", signed=True)


def put_i64_le(number: int) -> bytes:
    """Raises OverflowError outside the signed 64-bit range."""
    return number.to_bytes(8, "little", signed=True)


def wrap_i64(number: int) -> int:
    """The signed 64-bit number with the same low 64 bits."""
    number &= U64_MAX
    return number - (1 << 64) if number > I64_MAX else number


def leb128(raw: bytes, at: int = 0, longest: int = 10) -> tuple[int, int]:
    """An unsigned LEB128 number at an offset: (number, offset after it). Raises ValueError when it is cut off or too long."""
    number = shift = 0
    for index in range(at, min(len(raw), at + longest)):
        byte = raw[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index + 1
        shift += 7
    raise ValueError("unfinished LEB128 number")


def put_leb128(number: int) -> bytes:
    """Shortest form. Raises ValueError for a negative number."""
    if number < 0:
        raise ValueError("LEB128 holds no negative numbers")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def base32_id(number: int) -> str:
    """The id as JMAP writes it: 0x04c0316a24e00e00 is `jqbrnisoadqa`, 0 is `a`."""
    if not 0 <= number <= U64_MAX:
        raise ValueError("ids are unsigned 64-bit numbers")
    digits = BASE32[number & 31]
    while number := number >> 5:
        digits = BASE32[number & 31] + digits
    return digits


def from_base32_id(text: str) -> int:
    """The number behind a JMAP id. Raises ValueError for other letters, a leading zero digit, or more than 64 bits."""
    if not text or len(text) > _BASE32_LONGEST or (len(text) > 1 and text[0] == BASE32[0]):
        raise ValueError(f"{text!r} is not a base-32 id")
    number = 0
    for digit in text:
        value = _BASE32_VALUES.get(digit)
        if value is None:
            raise ValueError(f"{text!r} is not a base-32 id")
        number = number << 5 | value
    if number > U64_MAX:
        raise ValueError(f"{text!r} does not fit 64 bits")
    return number


def _unsigned(raw: bytes, length: int) -> int:
    if len(raw) != length:
        raise ValueError(f"expected {length} bytes, not {len(raw)}")
    return int.from_bytes(raw, "big")
