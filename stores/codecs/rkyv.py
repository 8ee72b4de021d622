"""Archives that Stalwart writes from 0.12 on: OAuth codes, ACME certificates, WebDAV locks (store-formats c.4, c.5).

An archive is rkyv 0.8 (little-endian, 4-byte relative pointers, root object at the end) followed by a flags byte. Every pointer is
checked against the bytes at hand; ValueError for anything that does not fit. Nothing here writes: these values are not edited.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import xxhash

from stores.codecs.bincode import OAuthCode
from stores.codecs.lz4block import unpack

ALWAYS: Final = 0x80
VERSIONED: Final = 0x40
HASHED: Final = 0x20
LZ4: Final = 0x10

OAUTH_ROOT: Final = 36
OAUTH_ROOT_016: Final = 68
CERTIFICATE_ROOT: Final = 16
DAV_ROOT: Final = 12
DAV_ENTRY: Final = 16
DAV_ITEM: Final = 40
_MOST_BUCKETS: Final = 1 << 16
_MOST_LOCKS: Final = 1000
_METHODS: Final = {0: None, 1: "S256", 2: "plain"}


class DavLock(NamedTuple):
    """One WebDAV lock. `token` is the secret part of the lock token."""

    path: str
    token: int
    owner_id: int
    expires_at: int
    """Unix seconds: the real expiry, unlike the row's."""
    infinite: bool
    """Depth infinity."""
    exclusive: bool


def body(value: bytes) -> bytes:
    """The rkyv bytes of an archive: flags, checksum and change id taken off, LZ4 undone, checksum verified."""
    if not value or not value[-1] & ALWAYS or value[-1] & 0x0F:
        raise ValueError("no archive flags at the end")
    flags, rest = value[-1], value[:-1]
    if flags & VERSIONED:
        if len(rest) < 8:
            raise ValueError("too short for an archive with a change id")
        rest = rest[:-8]
    if flags & HASHED:
        if len(rest) < 4:
            raise ValueError("too short for an archive with a checksum")
        rest, digest = rest[:-4], int.from_bytes(rest[-4:], "big")
        if xxhash.xxh3_64_intdigest(rest) & 0xFFFFFFFF != digest:
            raise ValueError("the checksum does not fit")
    return unpack(rest) if flags & LZ4 else rest


def decode_oauth(value: bytes, root_size: int) -> OAuthCode:
    """An OAuth code with a root of 36 bytes (0.12 to 0.15) or 68 (0.16)."""
    raw = body(value)
    root = len(raw) - root_size
    if root < 0:
        raise ValueError("too short for an OAuth code")
    status = raw[root]
    if status > 2 or any(raw[root + 1 : root + 4]):
        raise ValueError(f"no OAuth status {status}")
    code = OAuthCode(
        status, _u32(raw, root + 4), _string(raw, root + 8), _option(raw, root + 16), _string(raw, root + 28)
    )  # fmt: skip
    if root_size < OAUTH_ROOT_016:
        return code
    tag = raw[root + 36]
    if tag not in _METHODS or any(raw[root + 37 : root + 40]):
        raise ValueError(f"no PKCE method {tag}")
    return code._replace(
        challenge_method=_METHODS[tag],
        code_challenge=_string(raw, root + 40) if tag else None,
        scope=_option(raw, root + 48),
        resources=tuple(_string(raw, at) for at in _vector(raw, root + 60, 8, 100)),
    )


def decode_certificate(value: bytes) -> tuple[bytes, bytes]:
    """(certificate DER, private key DER)."""
    raw = body(value)
    root = len(raw) - CERTIFICATE_ROOT
    if root < 0:
        raise ValueError("too short for a certificate")
    return _blob(raw, root), _blob(raw, root + 8)


def decode_dav_locks(value: bytes) -> list[DavLock]:
    """All locks of an account's collection, by path.

    The map is a hash table: control bytes at the root's pointer (top bit clear = used), entries of path and list laid out backwards
    in front of them. Raises ValueError unless the table's own count comes out.
    """
    raw = body(value)
    root = len(raw) - DAV_ROOT
    if root < 0:
        raise ValueError("too short for a map of locks")
    control, count, capacity = root + _i32(raw, root), _u32(raw, root + 4), _u32(raw, root + 8)
    if count > capacity or capacity > _MOST_BUCKETS:
        raise ValueError(f"a map of {count} entries with room for {capacity}")
    if count and not 0 <= control <= root - capacity:
        raise ValueError("the table lies outside the archive")
    used = [index for index in range(capacity) if raw[control + index] < 0x80] if count else []
    if len(used) != count:
        raise ValueError(f"the table says {count} entries but has {len(used)}")
    locks: list[DavLock] = []
    for index in used:
        at = control - (index + 1) * DAV_ENTRY
        path = _string(raw, at)
        locks += [_dav_lock(raw, item, path) for item in _vector(raw, at + 8, DAV_ITEM, _MOST_LOCKS - len(locks))]
    return locks


def _dav_lock(raw: bytes, at: int, path: str) -> DavLock:
    infinite, exclusive = raw[at + 24], raw[at + 25]
    if infinite > 1 or exclusive > 1:
        raise ValueError("the flags of a lock are neither 0 nor 1")
    return DavLock(path, _u64(raw, at), _u32(raw, at + 8), _u64(raw, at + 16), bool(infinite), bool(exclusive))


def _slice(raw: bytes, at: int, length: int) -> bytes:
    if at < 0 or length < 0 or at + length > len(raw):
        raise ValueError("a pointer leads outside the archive")
    return raw[at : at + length]


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(_slice(raw, at, 4), "little")


def _i32(raw: bytes, at: int) -> int:
    return int.from_bytes(_slice(raw, at, 4), "little", signed=True)


def _u64(raw: bytes, at: int) -> int:
    return int.from_bytes(_slice(raw, at, 8), "little")


def _string(raw: bytes, at: int) -> str:
    """Inline up to 8 bytes, padded with FF; longer ones by length and pointer, marked by the bits 10 of the first byte."""
    cell = _slice(raw, at, 8)
    if cell[0] & 0xC0 != 0x80:
        end = cell.find(b"\xff")
        return cell[: end if end >= 0 else 8].decode()
    word = int.from_bytes(cell[:4], "little")
    length = word & 0x3F | (word & 0xFFFFFF00) >> 2
    return _slice(raw, at + int.from_bytes(cell[4:], "little", signed=True), length).decode()


def _option(raw: bytes, at: int) -> str | None:
    tag = _slice(raw, at, 4)
    if tag == b"\x00\x00\x00\x00":
        return None
    if tag != b"\x01\x00\x00\x00":
        raise ValueError("an option is marked neither 0 nor 1")
    return _string(raw, at + 4)


def _vector(raw: bytes, at: int, size: int, most: int) -> list[int]:
    """Offsets of a vector's items."""
    start, count = at + _i32(raw, at), _u32(raw, at + 4)
    if count > most:
        raise ValueError(f"a list of {count} items")
    _slice(raw, start, count * size)
    return [start + index * size for index in range(count)]


def _blob(raw: bytes, at: int) -> bytes:
    return _slice(raw, at + _i32(raw, at), _u32(raw, at + 4))
