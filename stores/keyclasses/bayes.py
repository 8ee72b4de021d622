"""Bayes weights: classes 11 (everyone) and 12 (one account), written by 0.11 to 0.14; 0.10 has bare hashes (store-formats c.7).

The counter is ham << 32 | spam. A token of up to 16 bytes is kept in clear, longer ones are hashed, and a pair with a short first
word keeps that word in front of the hash of the second. Typed tokens end with a byte that says what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import xxhash

from stores.codecs import farmhash
from stores.codecs.numbers import put_u64, u32, wrap_i64
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields
from stores.keyclasses.reading import Parts, Reading, Rule, rule
from stores.keyclasses.reputation import AREA
from stores.keyclasses.words import account, ip_text, shown, to_bytes, utf8
from stores.texts import counted, figure, joined, say
from stores.types import Kind

GLOBAL: Final = KeyClass(
    "bayes-global", say("Bayes, everyone"), say("spam and ham words"), AREA, "bayes", 0x11, Kind.COUNTER, "0.10", "0.14", bare=True
)
ACCOUNT: Final = KeyClass(
    "bayes-account",
    say("Bayes, by account"),
    say("words one account has trained"),
    AREA,
    "bayes",
    0x12,
    Kind.COUNTER,
    "0.11",
    "0.14",
    personal=True,
)
CLASSES: Final = (GLOBAL, ACCOUNT)

LONGEST: Final = 16
_U32: Final = 0xFFFFFFFF
_TYPES: Final = {
    0: say("from name"),
    1: say("from address"),
    2: say("domain"),
    3: say("network"),
    4: say("remote address"),
    9: say("URL domain"),
    10: say("address in the body"),
    11: say("e-mail domain in the body"),
}
_NUMBERS: Final = {5: say("whole number"), 6: say("negative whole number"), 7: say("decimal number"), 8: say("negative decimal number")}
_NUMBER: Final = re.compile("([\x05-\x08])([\x00-\x1f])")
_FIRST_WORD: Final = re.compile(rb"(?:[a-z0-9]|[\xc2-\xf4][\x80-\xbf]+){3,8}")


def split_weights(number: int) -> tuple[int, int]:
    """(ham, spam) of a counter."""
    return number >> 32 & _U32, number & _U32


def join_weights(ham: int, spam: int) -> int:
    """The signed 64-bit counter of two 32-bit weights."""
    return wrap_i64(ham << 32 | spam)


def token_of(words: str) -> bytes | None:
    """The token of a word or of a pair with one blank, as the spam filter stores it; None for what it cannot hold.

    Words are kept stemmed and in lower case: "pills" is under "pill".
    """
    first, _, second = words.strip().lower().partition(" ")
    whole = to_bytes(f"{first} {second}" if second else first)
    if not first or " " in second or len(whole) > farmhash.LONGEST:
        return None
    if len(whole) <= LONGEST:
        return whole
    if not second:
        return _hashed(whole)
    head = to_bytes(first)
    if len(head) <= 8:
        return (head + _hashed(to_bytes(second)))[:LONGEST]
    return xxhash.xxh3_64_digest(whole) + put_u64(farmhash.fingerprint64(whole))


def _hashed(word: bytes) -> bytes:
    return xxhash.xxh3_64_digest(word) + put_u64(farmhash.hash64(word))


def hashed_token(word: str) -> bytes | None:
    """The token of a word in 0.10, where all are hashed."""
    raw = to_bytes(word.strip().lower())
    return _hashed(raw) if raw and b" " not in raw and len(raw) <= farmhash.LONGEST else None


def token_words(token: bytes) -> tuple[str, str]:
    """(text, form) of a token; form is totals, word, one of the types, number, mixed or hash."""
    if not token:
        return say("training totals"), say("totals")
    if typed := _typed(token):
        return typed
    text = utf8(token)
    if text is not None:
        plain = joined(*_pieces(text), between="")
        if plain.isprintable():
            return plain, say("word") if plain == text else say("number")
    if len(token) == LONGEST:
        if found := _FIRST_WORD.match(token):
            word = utf8(found[0])
            if word is not None:
                return say("%(word)s… + hashed word", word=word), say("mixed")
        return say("hashed %(token)s", token=token.hex()), say("hash")
    return shown(token), say("bytes")


def _pieces(text: str) -> Iterator[str]:
    """A token's text with the numbers in it described, which it holds by kind and length only."""
    at = 0
    for found in _NUMBER.finditer(text):
        yield text[at : found.start()]
        yield say("[%(kind)s, %(digits)s]", kind=_NUMBERS[ord(found[1])], digits=counted(ord(found[2]), "digit"))
        at = found.end()
    yield text[at:]


def _typed(token: bytes) -> tuple[str, str] | None:
    name, body = _TYPES.get(token[-1]), token[:-1]
    if name is None or not body or (len(token) == 2 and body[0] in _NUMBERS):
        return None
    if token[-1] == 3 and len(body) == 4:
        return f"AS{u32(body)}", name
    if token[-1] in (4, 10) and len(body) == 4:
        return ip_text(body), name
    text = utf8(body)
    return (text, name) if text is not None and text.isprintable() else None


def read_weights(reading: Reading, owner: dict[str, FieldValue], start: int, parts: Parts) -> Decoded:
    """A row of the model: whose, which token from offset `start` on, and its weights."""
    key = reading.key
    text, form = token_words(key[start:])
    label = say("%(text)s, %(whose)s", text=text, whose=account(u32(key[1:5]), reading.minor)) if owner else text
    fields: dict[str, FieldValue] = {**owner, "token": text, "form": form, "token_hex": key[start:].hex()}
    value, number = say("no number"), reading.number
    if number is not None:
        ham, spam = split_weights(number)
        fields |= {"ham": ham, "spam": spam}
        unit = say(" trained messages") if form == "totals" else ""
        value = say("ham %(ham)s, spam %(spam)s%(unit)s", ham=figure(ham), spam=figure(spam), unit=unit)
    if start < len(key):
        parts = (*parts, (start, len(key), say("token, %(form)s: %(text)s", form=form, text=text)))
    return reading.decoded(
        label, value, fields, parts=parts, editable="bayes-weights", problem=reading.number_problem
    )  # fmt: skip


def _read_global(reading: Reading) -> Decoded:
    return read_weights(reading, {}, 1, ((0, 1, say("class, %(title)s", title=reading.cls.title)),))


def _read_account(reading: Reading) -> Decoded:
    number = u32(reading.key[1:5])
    parts = ((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 5, account(number, reading.minor)))
    return read_weights(reading, account_fields(number, reading.minor), 5, parts)


RULES: Final[tuple[Rule, ...]] = (
    rule(GLOBAL, lambda key: len(key) <= 1 + LONGEST, _read_global, until=14, verified=(11,), sees="length"),
    rule(ACCOUNT, lambda key: 5 <= len(key) <= 5 + LONGEST, _read_account, until=14, verified=(11,), sees="length"),
)
