"""Bytes in words: addresses, texts with odd characters, numbers, spans of time. Small, total, without I/O."""

from __future__ import annotations

import hashlib
import ipaddress
import math
from typing import Final

from stores.texts import Text, figure, joined, say

LONGEST: Final = 1000
"""Characters of a text that a field carries."""
LABEL: Final = 200
"""Characters of a label."""
RECOVERY: Final = 0xFFFFFFFF
"""Account number of the administrator who is in no directory (fallback administrator, from 0.16 recovery administrator)."""


def utf8(raw: bytes) -> str | None:
    """The text, None when the bytes are not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def to_bytes(text: str) -> bytes:
    """The bytes of a text somebody gave, also when a command line smuggled raw bytes into it."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def is_utf8(raw: bytes) -> bool:
    return utf8(raw) is not None


def printable(raw: bytes) -> bool:
    """UTF-8 without control characters."""
    text = utf8(raw)
    return text is not None and text.isprintable()


def printable_ascii(raw: bytes) -> bool:
    return raw.isascii() and utf8(raw) is not None and raw.decode().isprintable()


def shown(raw: bytes, longest: int = LONGEST) -> str:
    """One line for people whatever the bytes: `\\x00` for what cannot be printed, an ellipsis at the end of long ones."""
    cut = raw[: longest * 4]
    text = cut.decode(errors="backslashreplace")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    if len(text) > longest or len(cut) < len(raw):
        return text[:longest] + "…"
    return text


def _escaped(letter: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter) or "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="replace"))


def finite(number: float) -> float | str:
    """The number, as text when it is none that JSON knows."""
    return number if math.isfinite(number) else repr(number)


def cut(text: str, longest: int = LABEL) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= longest else text[:longest] + "…"


def ip_text(raw: bytes) -> str:
    """The address of 4 or 16 raw bytes; mapped ones as `::ffff:192.0.2.1`, as Stalwart prints them."""
    if len(raw) == 4:
        return ".".join(map(str, raw))
    address = ipaddress.IPv6Address(raw)
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def ip_bytes(text: str) -> bytes | None:
    """4 or 16 raw bytes, None when the text is no address. Zone ids are no part of a key."""
    try:
        return ipaddress.ip_address(text).packed if "%" not in text else None
    except ValueError:
        return None


def account(number: int, minor: int) -> str:
    """ "account 4", or who the account without a directory entry is."""
    if number == RECOVERY:
        return say("recovery administrator") if minor >= 16 else say("fallback administrator")
    return say("account %(number)s", number=number)


def digest(secret: bytes) -> str:
    """Six hex digits that tell secrets apart and do not give them away."""
    return hashlib.blake2b(secret, digest_size=3, person=b"kvadmin").hexdigest()


_UNITS: Final = ((86400, say("%(count)s d")), (3600, say("%(count)s h")), (60, say("%(count)s min")), (1, say("%(count)s s")))


def span(seconds: float) -> str:
    """The two largest units of a span: "3 d 4 h", "41 min", "0 s"."""
    left = max(0, int(seconds))
    units: list[Text] = []
    for size, name in _UNITS:
        if left >= size:
            units.append(name.filled(count=figure(left // size)))
            left %= size
        elif units:
            break
        if len(units) == 2:
            break
    return joined(*units) or say("%(count)s s", count=0)
