"""bincode as Stalwart used it: Sieve values (bincode 1 up to 0.11, bincode 2 from 0.12), OAuth codes and certificates (bincode 1).

Layouts are in store-formats c.5 and e.3. Decoders read exactly what Stalwart's encoder writes, to the last byte, and raise
ValueError for everything else, so that `encode(decode(x)) == x` holds whenever decoding succeeds.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple

from stores.codecs.numbers import I64_MAX, I64_MIN

Variable = str | int | float | list["Variable"]
"""A Sieve value. Truth is the integers 1 and 0; a Python bool is not accepted."""

Encoding = Literal["empty", "bincode 1", "bincode 2", "text", "binary"]

DEEPEST: Final = 32
"""Nesting of arrays; Sieve itself makes one or two levels."""
MOST_ITEMS: Final = 100_000
"""Items of one value, against a few bytes that claim millions."""
_STRING, _INTEGER, _FLOAT, _ARRAY = 0, 1, 2, 3


class OAuthCode(NamedTuple):
    """What stands behind an authorization, device or user code. The last three exist from 0.16 on."""

    status: int
    """0 authorized, 1 token issued, 2 pending."""
    account_id: int
    client_id: str
    nonce: str | None
    params: str
    """Redirect URI of an authorization code, device code of a device or user code."""
    challenge_method: str | None = None
    """S256 or plain."""
    code_challenge: str | None = None
    scope: str | None = None
    resources: tuple[str, ...] = ()


class Reader:
    """Takes fixed pieces off bytes from the left; ValueError when they run out."""

    __slots__ = ("at", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.raw):
            raise ValueError("the bytes end too early")
        piece = self.raw[self.at : end]
        self.at = end
        return piece

    def number(self, length: int, *, signed: bool = False) -> int:
        """Little-endian."""
        return int.from_bytes(self.take(length), "little", signed=signed)

    def text(self, length: int) -> str:
        return self.take(length).decode()

    def close(self) -> None:
        """Raise ValueError when bytes are left."""
        if self.at != len(self.raw):
            raise ValueError(f"{len(self.raw) - self.at} bytes too many")


# Sieve values, bincode 1: u32 LE tag, u64 LE lengths, i64 LE, f64 LE


def decode_variable_1(raw: bytes) -> Variable:
    reader = Reader(raw)
    value = _variable_1(reader, 0)
    reader.close()
    return value


def _variable_1(reader: Reader, depth: int) -> Variable:
    tag = reader.number(4)
    if tag == _STRING:
        return reader.text(reader.number(8))
    if tag == _INTEGER:
        return reader.number(8, signed=True)
    if tag == _FLOAT:
        return _float(reader)
    if tag != _ARRAY:
        raise ValueError(f"no Sieve value begins with {tag}")
    return [_variable_1(reader, depth + 1) for _ in range(_items(reader.number(8), depth, reader, smallest=12))]


def encode_variable_1(value: Variable) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return struct.pack("<IQ", _STRING, len(raw)) + raw
    if isinstance(value, float):
        return struct.pack("<Id", _FLOAT, value)
    if isinstance(value, int):
        return struct.pack("<Iq", _INTEGER, _i64(value))
    return struct.pack("<IQ", _ARRAY, len(value)) + b"".join(encode_variable_1(item) for item in value)


# Sieve values, bincode 2 "standard": variable-length tag and lengths, zigzag integers, f64 LE


def decode_variable_2(raw: bytes) -> Variable:
    reader = Reader(raw)
    value = _variable_2(reader, 0)
    reader.close()
    return value


def _variable_2(reader: Reader, depth: int) -> Variable:
    tag = _varint(reader)
    if tag == _STRING:
        return reader.text(_varint(reader))
    if tag == _INTEGER:
        number = _varint(reader)
        return number >> 1 ^ -(number & 1)
    if tag == _FLOAT:
        return _float(reader)
    if tag != _ARRAY:
        raise ValueError(f"no Sieve value begins with {tag}")
    return [_variable_2(reader, depth + 1) for _ in range(_items(_varint(reader), depth, reader, smallest=2))]


def encode_variable_2(value: Variable) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return b"\x00" + _put_varint(len(raw)) + raw
    if isinstance(value, float):
        return b"\x02" + struct.pack("<d", value)
    if isinstance(value, int):
        number = _i64(value)
        return b"\x01" + _put_varint(number << 1 if number >= 0 else (-number << 1) - 1)
    return b"\x03" + _put_varint(len(value)) + b"".join(encode_variable_2(item) for item in value)


_WIDTHS: Final = {0xFB: 2, 0xFC: 4, 0xFD: 8}


def _varint(reader: Reader) -> int:
    first = reader.number(1)
    if first < 0xFB:
        return first
    width = _WIDTHS.get(first)
    if width is None:
        raise ValueError("a number wider than 64 bits")
    number = reader.number(width)
    if number < 0xFB or (width > 2 and number < 1 << width * 4):
        raise ValueError("a number that is not in its shortest form")
    return number


def _put_varint(number: int) -> bytes:
    if number < 0xFB:
        return bytes([number])
    for first, width in _WIDTHS.items():
        if number < 1 << width * 8:
            return bytes([first]) + number.to_bytes(width, "little")
    raise ValueError("a number wider than 64 bits")


def _float(reader: Reader) -> float:
    value: float = struct.unpack("<d", reader.take(8))[0]
    return value


def _i64(value: int) -> int:
    if not I64_MIN <= value <= I64_MAX:
        raise ValueError("the number does not fit 64 bits")
    return int(value)


def _items(count: int, depth: int, reader: Reader, smallest: int) -> int:
    if depth >= DEEPEST:
        raise ValueError("nested too deeply")
    if count > MOST_ITEMS or count * smallest > len(reader.raw) - reader.at:
        raise ValueError(f"claims {count} items")
    return count


# a payload of unknown origin


def detect(payload: bytes) -> tuple[Encoding, Variable | None]:
    """How a user key's payload is encoded, and what it holds; for text the text itself, for binary None.

    bincode 1 only when it begins `0x 00 00 00` and fits to the last byte, else bincode 2 that fits to the last byte, else text.
    """
    if not payload:
        return "empty", ""
    if payload[0] <= _ARRAY:
        if payload[1:4] == b"\0\0\0" and len(payload) >= 12:
            try:
                return "bincode 1", decode_variable_1(payload)
            except ValueError:
                pass
        try:
            return "bincode 2", decode_variable_2(payload)
        except ValueError:
            pass
    try:
        return "text", payload.decode()
    except UnicodeDecodeError:
        return "binary", None


# a payload as a Sieve script of one version reads and writes it


def as_sieve_reads(payload: bytes, version: str) -> Variable:
    """What `key_get` gives a script: that version's bincode with trailing bytes allowed, else the payload as lossy text.

    A value of the other bincode is misread, exactly as Stalwart misreads it (a bincode 1 text becomes empty text from 0.12 on).
    """
    if not payload:
        return ""
    reader = Reader(payload)
    try:
        return _variable_1(reader, 0) if sieve_bincode(version) == 1 else _variable_2(reader, 0)
    except ValueError:
        return payload.decode("utf-8", "replace")


def as_sieve_writes(value: Variable, version: str) -> bytes:
    """The payload of `key_set`; empty text is an empty payload in every version."""
    if value == "" and isinstance(value, str):
        return b""
    return encode_variable_1(value) if sieve_bincode(version) == 1 else encode_variable_2(value)


def sieve_bincode(version: str) -> int:
    """1 up to 0.11, 2 from 0.12 on."""
    return 1 if int(version.partition(".")[2] or 11) < 12 else 2


# OAuth codes and certificates up to 0.11, inside an LZ4 block


def decode_oauth(raw: bytes) -> OAuthCode:
    reader = Reader(raw)
    code = OAuthCode(_status(reader.number(4)), reader.number(4), _text(reader), _option(reader), _text(reader))
    reader.close()
    return code


def encode_oauth(code: OAuthCode) -> bytes:
    """The fields that this layout has; the later ones are left out."""
    nonce = b"\x00" if code.nonce is None else b"\x01" + _put_text(code.nonce)
    return struct.pack("<II", code.status, code.account_id) + _put_text(code.client_id) + nonce + _put_text(code.params)


def decode_certificate(raw: bytes) -> tuple[bytes, bytes]:
    """(certificate DER, private key DER)."""
    reader = Reader(raw)
    certificate = reader.take(reader.number(8))
    key = reader.take(reader.number(8))
    reader.close()
    return certificate, key


def encode_certificate(certificate: bytes, key: bytes) -> bytes:
    return struct.pack("<Q", len(certificate)) + certificate + struct.pack("<Q", len(key)) + key


def _status(number: int) -> int:
    if number > 2:
        raise ValueError(f"no OAuth status {number}")
    return number


def _text(reader: Reader) -> str:
    return reader.text(reader.number(8))


def _put_text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _option(reader: Reader) -> str | None:
    tag = reader.number(1)
    if tag > 1:
        raise ValueError(f"no option is marked {tag}")
    return _text(reader) if tag else None
