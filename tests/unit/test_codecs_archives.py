"""LZ4 blocks and archives: the documented vectors, and bytes that lie about lengths and pointers."""

from __future__ import annotations

from contextlib import suppress

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs import bincode, rkyv
from stores.codecs.bincode import OAuthCode
from stores.codecs.lz4block import LARGEST, pack, unpack

PENDING = bytes.fromhex(
    "49000000a202000000ffffffff08000100a277656261646d696e00281000f01a00"
    "4142434445464748494a4b4c4d4e4f505152535455565758595a6162636465666768696a6b6c6d6e"
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
ROOT_36 = bytes.fromhex(
    "6d792d636c69656e742d3031323334353637383968747470733a2f2f6170702e6578616d706c652e6f72672f63620000"
    "000000000700000094000000c8ffffff010000006e2d313233ffffff9a000000c8ffffff80"
)
ROOT_68 = (
    LETTERS.encode()
    + b"abcdefghijkl"
    + bytes.fromhex(
        "02000000ffffffff77656261646d696e000000000000000000000000a8000000b0ffffff010000008c000000ccffffff"
        "010000006f70656e6964ffffc4ffffff0000000080"
    )
)
DAV = bytes.fromhex(
    "786d6c6e733d224441563a22687474703a2f2f6578616d706c652e6f72672f7e6a6f686e0000000068726566ffffffff010000008c000000ccffffff"
    "0200000098000000ccffffff00000000000000000000000001000000000000000000000000000000000000000000000000000000cf069762ce376283"
    "0200000000000000e75e056b00000000010100000100000094ffffff0300000000000000000000000000000000000000646f632e747874ffc0ffffff"
    "0100000070ff70ffffffffffffffffffffffffffffffffffffffffffffffffffffffff00e0ffffff010000000200000080"
)


@given(st.binary(max_size=3000))
def test_blocks_are_an_inverse_pair(data: bytes) -> None:
    assert unpack(pack(data)) == data


def test_a_block_that_claims_too_much_is_refused_before_it_is_read() -> None:
    bomb = (1 << 31).to_bytes(4, "little") + b"\x1f"
    with pytest.raises(ValueError, match="limit"):
        unpack(bomb)
    with pytest.raises(ValueError, match="limit"):
        unpack(pack(bytes(LARGEST + 1)))
    assert unpack(pack(bytes(LARGEST))) == bytes(LARGEST)


@pytest.mark.parametrize(
    "raw", [b"", b"\x01\x00", b"\x05\x00\x00\x00\xff\xff", b"\x09\x00\x00\x00\x10a", b"\x05\x00\x00\x00" + pack(b"abc")[4:]]
)
def test_broken_blocks(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"block|short|holds"):
        unpack(raw)


@given(st.binary(max_size=100))
def test_random_blocks_never_escape(raw: bytes) -> None:
    with suppress(ValueError):
        unpack(raw)


def test_oauth_of_0_11() -> None:
    expected = OAuthCode(2, 0xFFFFFFFF, "webadmin", None, LETTERS)
    assert bincode.decode_oauth(unpack(PENDING)) == expected
    assert bincode.encode_oauth(expected) == unpack(PENDING)


def test_oauth_of_0_15() -> None:
    code = rkyv.decode_oauth(ROOT_36, 36)
    assert code == OAuthCode(0, 7, "my-client-0123456789", "n-123", "https://app.example.org/cb")


def test_oauth_of_0_16() -> None:
    code = rkyv.decode_oauth(ROOT_68, 68)
    assert code == OAuthCode(2, 0xFFFFFFFF, "webadmin", None, LETTERS, "S256", "abcdefghijkl", "openid", ())


def test_dav_locks_carry_their_real_expiry() -> None:
    [lock] = rkyv.decode_dav_locks(DAV)
    assert lock == rkyv.DavLock("doc.txt", 0x836237CE629706CF, 2, 1795514087, infinite=True, exclusive=True)


@pytest.mark.parametrize("size", [36, 68])
@given(st.binary(max_size=120))
def test_random_archives_raise_only_value_errors(size: int, raw: bytes) -> None:
    for read in (
        lambda: rkyv.decode_oauth(raw + b"\x80", size),
        lambda: rkyv.decode_dav_locks(raw + b"\x80"),
        lambda: rkyv.decode_certificate(raw + b"\x80"),
    ):
        with suppress(ValueError):
            read()


@given(st.sampled_from([ROOT_36, ROOT_68, DAV]), st.integers(0, 400), st.integers(0, 255))
def test_one_wrong_byte_never_leads_outside(value: bytes, at: int, byte: int) -> None:
    at %= len(value)
    raw = value[:at] + bytes([byte]) + value[at + 1 :]
    for read in (lambda: rkyv.decode_oauth(raw, 36), lambda: rkyv.decode_oauth(raw, 68), lambda: rkyv.decode_dav_locks(raw)):
        with suppress(ValueError):
            read()


def test_flags_checksum_change_id_and_compression() -> None:
    plain = ROOT_36[:-1]
    digest = (xxhash.xxh3_64_intdigest(plain) & 0xFFFFFFFF).to_bytes(4, "big")
    assert rkyv.body(plain + b"\x80") == plain
    assert rkyv.body(plain + digest + b"\xa0") == plain
    assert rkyv.body(plain + digest + bytes(8) + b"\xe0") == plain
    assert rkyv.body(pack(plain) + b"\x90") == plain
    for wrong in (b"", plain, plain + b"\x00", plain + b"\x81", plain + bytes(4) + b"\xa0", b"\xe0", b"\xa0"):
        with pytest.raises(ValueError, match=r"flags|checksum|short"):
            rkyv.body(wrong)


def test_a_map_with_a_wrong_count_is_not_believed() -> None:
    raw = DAV[:-9] + (2).to_bytes(4, "little") + DAV[-5:]
    with pytest.raises(ValueError, match="entries"):
        rkyv.decode_dav_locks(raw)
