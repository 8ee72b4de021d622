"""Reputation: classes 0C to 0F, written by 0.11 to 0.14 (store-formats c.1); 0.10 keeps it in Sieve arrays under text prefixes.

The value is u32 BE count || f64 BE score. The score is a sum over the messages, not a mean: score / count leans to spam above 0.
"""

from __future__ import annotations

import struct
from typing import Final

from stores.codecs.numbers import u32
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.reading import Parts, Reading, Rule, every_text, rule
from stores.keyclasses.words import finite, ip_text, printable, shown
from stores.texts import counted, figure, say
from stores.types import Kind

AREA: Final = "spam filter DB"
SIZE: Final = 12


def _class(slug: str, what: str, use: str, byte: int, text: bytes, *, personal: bool = False) -> KeyClass:
    return KeyClass(
        slug, say("Reputation: %(what)s", what=what), use, AREA, "reputation", byte, Kind.VALUE, "0.10", "0.14",
        personal=personal, texts=(text,), strict_texts=False,
    )  # fmt: skip


IP: Final = _class("reputation-ip", "address", say("spam score of a sending IP"), 0x0C, b"i:")
FROM: Final = _class("reputation-from", "sender", say("spam score of a From address"), 0x0D, b"f:", personal=True)
DOMAIN: Final = _class("reputation-domain", "domain", say("spam score of a domain"), 0x0E, b"d:")
ASN: Final = _class("reputation-asn", "network", say("spam score of an AS number"), 0x0F, b"a:")
CLASSES: Final = (IP, FROM, DOMAIN, ASN)


def unpack(value: bytes) -> tuple[int, float]:
    """(count, score). Raises ValueError for any other length than 12."""
    if len(value) != SIZE:
        raise ValueError(f"a reputation has 12 bytes, not {len(value)}")
    count, score = struct.unpack(">Id", value)
    return count, score


def pack(count: int, score: float) -> bytes:
    """Raises struct.error for a count outside 32 bits."""
    return struct.pack(">Id", count, score)


def score_words(count: int, score: float) -> str:
    """ "score +16.00 over 2 messages, leans to spam"."""
    mean = score / count if count else score
    leaning = "neutral" if abs(mean) < 0.005 or mean != mean else say("leans to spam") if mean > 0 else "good"
    return say("score %(score)s over %(messages)s, %(leaning)s", score=f"{score:+.2f}", messages=counted(count, "message"), leaning=leaning)


def score_fields(count: int, score: float) -> dict[str, FieldValue]:
    return {"count": count, "score": finite(score), "mean": finite(score / count) if count else None}


def _read(reading: Reading, label: str, fields: dict[str, FieldValue], meaning: str) -> Decoded:
    parts: Parts = ((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, len(reading.key), meaning))
    value = reading.entry.value
    if value is None or len(value) != SIZE:
        problem = "" if value is None else say("A reputation has 12 bytes, this value has %(count)s.", count=len(value))
        return reading.decoded(label, say("not readable"), fields, parts=parts, problem=problem)
    count, score = unpack(value)
    return reading.decoded(
        label, score_words(count, score), fields | score_fields(count, score), parts=parts,
        value_parts=(
            (0, 4, say("count %(count)s", count=figure(count))), (4, 12, say("score %(score)s, a 64-bit float", score=repr(score))),
        ),
        editable="reputation",
    )  # fmt: skip


def _read_ip(reading: Reading) -> Decoded:
    text = ip_text(reading.key[1:])
    return _read(reading, text, {"ip": text}, say("address %(text)s", text=text))


def sender_fields(text: str, *, from_class: bool) -> tuple[str, dict[str, FieldValue], str]:
    """Label, fields and meaning of a sender or domain; a leading underscore marks a domain without a DMARC pass."""
    if text.startswith("_") and not (from_class and "@" in text):
        return text[1:], {"domain": text[1:], "dmarc_pass": False}, say("domain %(text)s, no DMARC pass", text=text[1:])
    name = "address" if from_class else "domain"
    return (
        text,
        {name: text, "dmarc_pass": True},
        (say("address %(text)s, DMARC pass", text=text) if from_class else say("domain %(text)s, DMARC pass", text=text)),
    )


def _read_from(reading: Reading) -> Decoded:
    return _read(reading, *sender_fields(shown(reading.key[1:]), from_class=True))


def _read_domain(reading: Reading) -> Decoded:
    return _read(reading, *sender_fields(shown(reading.key[1:]), from_class=False))


def _read_asn(reading: Reading) -> Decoded:
    number = u32(reading.key[1:])
    return _read(reading, f"AS{number}", {"asn": number}, say("AS number %(number)s", number=number))


def _text_shape(key: bytes) -> bool:
    return len(key) > 1 and printable(key[1:])


RULES: Final[tuple[Rule, ...]] = (
    rule(IP, lambda key: len(key) in (5, 17), _read_ip, until=14, verified=(11,), sees="length"),
    rule(FROM, _text_shape, _read_from, until=14, verified=(11,), every=every_text),
    rule(DOMAIN, _text_shape, _read_domain, until=14, verified=(11,), every=every_text),
    rule(ASN, lambda key: len(key) == 5, _read_asn, until=14, verified=(11,), sees="length"),
)
