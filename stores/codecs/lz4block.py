"""`u32 LE length || LZ4 block`, the wrapping of OAuth codes and certificates up to 0.11 and of large archives (store-formats c.5)."""

from __future__ import annotations

from typing import Final

import lz4.block

LARGEST: Final = 1 << 20
"""Nothing Stalwart wraps like this comes near 1 MB; a larger claim is refused before any memory is taken."""


def unpack(raw: bytes, largest: int = LARGEST) -> bytes:
    """The bytes inside. Raises ValueError when the block is broken, of another length than it says, or larger than `largest`."""
    if len(raw) < 4:
        raise ValueError("too short for an LZ4 block with its length")
    length = int.from_bytes(raw[:4], "little")
    if length > largest:
        raise ValueError(f"claims {length} bytes, {largest} is the limit")
    try:
        data: bytes = lz4.block.decompress(raw[4:], uncompressed_size=length)
    except (lz4.block.LZ4BlockError, MemoryError, OverflowError) as error:
        raise ValueError(f"broken LZ4 block: {error}") from None
    if len(data) != length:
        raise ValueError(f"the block holds {len(data)} bytes but says {length}")
    return data


def pack(data: bytes) -> bytes:
    """The reverse. The block is valid but need not be the one Stalwart's compressor would choose."""
    block: bytes = lz4.block.compress(data, store_size=False)
    return len(data).to_bytes(4, "little") + block
