"""Values that only Stalwart writes: OAuth codes, certificates, WebDAV locks, built as in store-formats c.5. For the demo alone."""

from __future__ import annotations

import datetime
import struct
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stores.codecs import bincode
from stores.codecs.bincode import OAuthCode
from stores.codecs.lz4block import pack
from stores.keyclasses.base import minor

_FLAGS: Final = b"\x80"
_METHODS: Final = {None: 0, "S256": 1, "plain": 2}


def oauth(code: OAuthCode, version: str) -> bytes:
    """The value behind an OAuth code in the layout of that Stalwart version."""
    if minor(version) < 12:
        return pack(bincode.encode_oauth(code))
    return _oauth_archive(code, minor(version) >= 16)


def certificate(domain: str, at: int, version: str) -> bytes:
    """The tls-alpn-01 challenge certificate of a domain and its key."""
    cert, key = _challenge(domain, at)
    if minor(version) < 12:
        return pack(bincode.encode_certificate(cert, key))
    body = cert + key
    body += bytes(-len(body) % 4)
    root = len(body)
    return body + struct.pack("<iIiI", -root, len(cert), len(cert) - root - 8, len(key)) + _FLAGS


def dav_locks(owner: str, account: int, token: int, expires_at: int) -> bytes:
    """A map with one exclusive lock on `doc.txt`, as an archive: property, lock, hash table of one entry, root."""
    namespace, href = b'xmlns="DAV:"', owner.encode()
    parts = bytearray(namespace + href)
    parts += bytes(-len(parts) % 4)
    elements = len(parts)
    parts += bytes(4) + _string(b"href", 0) + b"\x01\x00\x00\x00" + _string(namespace, -len(parts) - 16)
    parts += b"\x02\x00\x00\x00" + _string(href, len(namespace) - len(parts) - 4) + bytes(12)
    parts += b"\x01" + bytes(23)
    parts += bytes(-len(parts) % 8)
    item = len(parts)
    parts += struct.pack("<QI4xQBBxx", token, account, expires_at, 1, 1) + b"\x01\x00\x00\x00"
    parts += struct.pack("<iI", elements - len(parts), 3)
    parts += bytes(16)
    parts += _string(b"doc.txt", 0) + struct.pack("<iI", item - len(parts) - 8, 1)
    control = len(parts)
    parts += b"\x70\xff\x70" + b"\xff" * 28 + b"\x00"
    parts += struct.pack("<iII", control - len(parts), 1, 2)
    return bytes(parts) + _FLAGS


def _oauth_archive(code: OAuthCode, with_pkce: bool) -> bytes:
    texts = [code.client_id, code.nonce, code.params, *((code.code_challenge, code.scope) if with_pkce else ())]
    body, places = bytearray(), {}
    for text in texts:
        if text is not None and len(text.encode()) > 8:
            places[text] = len(body)
            body += text.encode()
    body += bytes(-len(body) % 4)
    root = len(body)

    def string(text: str, offset: int) -> bytes:
        return _string(text.encode(), places.get(text, 0) - root - offset)

    def option(text: str | None, offset: int) -> bytes:
        return bytes(12) if text is None else b"\x01\x00\x00\x00" + string(text, offset + 4)

    body += (
        struct.pack("<B3xI", code.status, code.account_id) + string(code.client_id, 8) + option(code.nonce, 16) + string(code.params, 28)
    )
    if with_pkce:
        challenge = code.code_challenge
        body += struct.pack("<B3x", _METHODS[code.challenge_method])
        body += bytes(8) if challenge is None else string(challenge, 40)
        body += option(code.scope, 48) + struct.pack("<iI", -60, 0)
    return bytes(body) + _FLAGS


def _string(raw: bytes, offset: int) -> bytes:
    """An rkyv string cell: inline up to 8 bytes, else length (marked by the bits 10) and pointer relative to the cell."""
    if len(raw) <= 8:
        return raw.ljust(8, b"\xff")
    word = len(raw) & 0x3F | 0x80 | len(raw) >> 6 << 8
    return struct.pack("<Ii", word, offset)


@lru_cache(maxsize=32)
def _challenge(domain: str, at: int) -> tuple[bytes, bytes]:
    key = ec.derive_private_key(int.from_bytes(domain.encode()[:24], "big") + 1, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    start = datetime.datetime.fromtimestamp(at, datetime.UTC)
    proof = hashes.Hash(hashes.SHA256())
    proof.update(domain.encode())
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(at)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"), b"\x04\x20" + proof.finalize()), critical=True
        )
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    private = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return built.public_bytes(serialization.Encoding.DER), private
