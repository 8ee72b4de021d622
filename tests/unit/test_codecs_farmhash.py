"""FarmHash against published values, for every length class it serves."""

from __future__ import annotations

import pytest

from stores.codecs.farmhash import fingerprint64, hash64


@pytest.mark.parametrize(
    ("size", "hashed", "fingerprint"),
    [
        (0, 0x9AE16A3B2F90404F, 0x9AE16A3B2F90404F),
        (1, 0xBE6056EDF5E94B54, 0xBE6056EDF5E94B54),
        (3, 0x94A13D22E9EBA49A, 0x94A13D22E9EBA49A),
        (4, 0x82BFFD898958E540, 0x82BFFD898958E540),
        (7, 0xA2E0BFF20DB0A6A1, 0xA2E0BFF20DB0A6A1),
        (8, 0xAD5A13E1E8E93B98, 0xAD5A13E1E8E93B98),
        (16, 0x0EFD25A0A34156D4, 0x0EFD25A0A34156D4),
        (17, 0xBBB6A6F8F20D1F1C, 0xBBB6A6F8F20D1F1C),
        (32, 0x1A9D8199972CDF49, 0x1A9D8199972CDF49),
        (33, 0x196E4E2FDF2A8FB2, 0xE8756EC1CB75524E),
        (40, 0xA9E9BF4A637EFA02, 0x08F45B937B49468C),
        (63, 0x6F5D6E9856253E0E, 0x01C1F788A248076F),
        (64, 0x726FC82B6F70C73B, 0xF58504BB53DECC4B),
    ],
)
def test_lengths(size: int, hashed: int, fingerprint: int) -> None:
    data = bytes(range(size))
    assert hash64(data) == hashed
    assert fingerprint64(data) == fingerprint


def test_words() -> None:
    assert hash64(b"averyveryverylongtoken") == 0x1135E1BED4614F3D
    assert fingerprint64(b"firstlongword secondlongword") == 0x2C03A01D7AA4B739


def test_longer_input_is_refused() -> None:
    for function in (hash64, fingerprint64):
        with pytest.raises(ValueError, match="more than 64"):
            function(bytes(65))
