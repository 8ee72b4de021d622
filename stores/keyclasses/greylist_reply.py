"""Greylist pairs (class 10) and tracked Message-IDs (13); both have an empty value (store-formats c.1, c.8)."""

from __future__ import annotations

from typing import Final

from stores.keyclasses.addresses import Split, splits
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.reading import Parts, Reading, Rule, every_text, rule
from stores.keyclasses.reputation import AREA
from stores.keyclasses.words import printable, shown
from stores.texts import counted, say
from stores.types import Kind

GREYLIST: Final = KeyClass(
    "greylist", "Greylist", say("sender and recipient pairs"), AREA, "greylist", 0x10, Kind.VALUE, "0.10", personal=True, texts=(b"g:",)
)
TRUSTED_REPLY: Final = KeyClass(
    "trusted-reply", say("Trusted replies"), say("replies to these messages pass"), AREA, "greylist", 0x13, Kind.VALUE, "0.10", "0.14",
    personal=True, texts=(b"m:",), strict_texts=False,
)  # fmt: skip
CLASSES: Final = (GREYLIST, TRUSTED_REPLY)


def empty_value(reading: Reading, words: str) -> str:
    """Words for a value that is empty by nature, and what else may be there."""
    value = reading.entry.value
    if value is None:
        return say("no value")
    return say("%(words)s, and %(bytes)s that Stalwart ignores", words=words, bytes=counted(len(value), "byte")) if value else words


def _read_greylist(reading: Reading) -> Decoded:
    joined = reading.key[1:]
    fields, ways = pair_fields(joined)
    head = (0, 1, say("class, %(title)s", title=reading.cls.title))
    parts: Parts = (head, (1, len(reading.key), say("sender and recipient")))
    label, note = shown(joined), ""
    if ways:
        cut = 1 + len(ways[0].sender.encode())
        parts = (
            head,
            (1, cut, say("sender %(sender)s", sender=ways[0].sender)),
            (cut, len(reading.key), say("recipient %(recipient)s", recipient=ways[0].recipient)),
        )
        parts = (
            parts
            if cut > 1
            else (head, (1, len(reading.key), say("recipient %(recipient)s, from the null sender", recipient=ways[0].recipient)))
        )
        label = say(
            "%(sender)s to %(recipient)s", sender=shown(ways[0].sender.encode()) or "<>", recipient=shown(ways[0].recipient.encode())
        )
    if len(ways) != 1:
        note = say("Stalwart stores no separator; where the sender ends is a guess.")
    words = empty_value(reading, say("seen once, the next try passes"))
    return reading.decoded(label, words, fields, parts=parts, editable="greylist", note=note)


def pair_fields(joined: bytes) -> tuple[dict[str, FieldValue], list[Split]]:
    """The likeliest sender and recipient, all candidates, and whether there is more than one."""
    text = shown(joined)
    ways = splits(text)
    fields: dict[str, FieldValue] = {"joined": text}
    if ways:
        fields |= {"sender": ways[0].sender, "recipient": ways[0].recipient}
    fields |= {"ambiguous": len(ways) != 1, "candidates": [way.words for way in ways]}
    return fields, ways


def _read_reply(reading: Reading) -> Decoded:
    text = shown(reading.key[1:])
    return reading.decoded(
        shown(reading.key[1:]), empty_value(reading, say("sent, a reply to it passes")), {"message_id": text}, editable="trusted-reply",
        parts=(
            (0, 1, say("class, %(title)s", title=reading.cls.title)), (1, len(reading.key), say("message id %(text)s", text=text)),
        ),
    )  # fmt: skip


def _text_shape(key: bytes) -> bool:
    return len(key) > 1 and printable(key[1:])


RULES: Final[tuple[Rule, ...]] = (
    rule(GREYLIST, _text_shape, _read_greylist, verified=(11, 12, 13, 14, 15, 16), every=every_text),
    rule(TRUSTED_REPLY, _text_shape, _read_reply, until=14, verified=(11,), every=every_text),
)
