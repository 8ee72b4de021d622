"""FarmHash for up to 64 bytes, the second half of hashed Bayes tokens (store-formats c.7). Pure integer arithmetic modulo 2^64.

`hash64` and `fingerprint64` agree up to 32 bytes and part above. Longer input is refused: no word of the spam filter is that long.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 64
_K0: Final = 0xC3A5C85C97CB3127
_K1: Final = 0xB492B66FBE98F273
_K2: Final = 0x9AE16A3B2F90404F
_MASK: Final = (1 << 64) - 1


def hash64(data: bytes) -> int:
    """Raises ValueError for more than 64 bytes."""
    if len(data) <= 32:
        return _short(data)
    _check(data)
    first, second = _K2 - 30, _K2 - 30 + 2 * len(data) & _MASK
    low, high = _half(data[:32], first), _half(data[-32:], second)
    return (high * second + low) * second & _MASK


def fingerprint64(data: bytes) -> int:
    """Raises ValueError for more than 64 bytes."""
    if len(data) <= 32:
        return _short(data)
    _check(data)
    mul = _K2 + len(data) * 2 & _MASK
    a, b = _word(data, 0) * _K2 & _MASK, _word(data, 8)
    c, d = _word(data, len(data) - 8) * mul & _MASK, _word(data, len(data) - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d & _MASK
    z = _mix(y, a + _rotate(b + _K2, 18) + c, mul)
    e, f = _word(data, 16) * mul & _MASK, _word(data, 24)
    g = (y + _word(data, len(data) - 32)) * mul & _MASK
    h = (z + _word(data, len(data) - 24)) * mul & _MASK
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, mul)


def _short(data: bytes) -> int:
    size = len(data)
    if size > 16:
        mul = _K2 + size * 2 & _MASK
        a, b = _word(data, 0) * _K1 & _MASK, _word(data, 8)
        c, d = _word(data, size - 8) * mul & _MASK, _word(data, size - 16) * _K2
        return _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c, mul)
    if size >= 8:
        mul = _K2 + size * 2 & _MASK
        a, b = _word(data, 0) + _K2 & _MASK, _word(data, size - 8)
        return _mix(_rotate(b, 37) * mul + a, (_rotate(a, 25) + b) * mul, mul)
    if size >= 4:
        mul = _K2 + size * 2 & _MASK
        low = int.from_bytes(data[:4], "little")
        return _mix(size + (low << 3), int.from_bytes(data[-4:], "little"), mul)
    if size:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _shift(y * _K2 ^ z * _K0) * _K2 & _MASK
    return _K2


def _half(data: bytes, mul: int) -> int:
    a, b = _word(data, 0) * _K1 & _MASK, _word(data, 8)
    c, d = _word(data, 24) * mul & _MASK, _word(data, 16) * _K2
    u = _rotate(a + b, 43) + _rotate(c, 30) + d & _MASK
    v = a + _rotate(b + _K2, 18) + c & _MASK
    return _shift((v ^ _shift((u ^ v) * mul)) * mul)


def _mix(u: int, v: int, mul: int) -> int:
    u, v = u & _MASK, v & _MASK
    a = _shift((u ^ v) * mul)
    return _shift((v ^ a) * mul) * mul & _MASK


def _shift(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _rotate(value: int, bits: int) -> int:
    value &= _MASK
    return (value >> bits | value << 64 - bits) & _MASK


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _check(data: bytes) -> None:
    if len(data) > LONGEST:
        raise ValueError(f"{len(data)} bytes are more than {LONGEST}")
