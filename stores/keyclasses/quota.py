"""Class 0B: token revisions (0.11.2 to 0.12.5), reused by 0.16 for the quota of temporary uploads (store-formats c.1, c.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stores.codecs.numbers import U64_MAX, u32
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields, has_window, read_window
from stores.keyclasses.reading import Reading, Rule, rule
from stores.keyclasses.words import account
from stores.texts import counted, say
from stores.types import Kind

TOKEN_REVISION: Final = KeyClass(
    "token-revision", say("Token revisions"), say("a new password ends old sessions"), "oauth", "oauth", 0x0B, Kind.COUNTER, "0.11", "0.12"
)
QUOTA: Final = KeyClass(
    "quota-blob", say("Upload quota"), say("temporary uploads by account"), "quota", "quota", 0x0B, Kind.COUNTER, "0.16"
)
CLASSES: Final = (TOKEN_REVISION, QUOTA)

BYTES_BITS: Final = 44
"""The number of the quota is uploads << 44 | bytes."""


def split_quota(number: int) -> tuple[int, int]:
    """(uploads, bytes) of the counter."""
    return (number & U64_MAX) >> BYTES_BITS, number & ((1 << BYTES_BITS) - 1)


def _read_revision(reading: Reading) -> Decoded:
    number, changes = u32(reading.key[1:5]), reading.number
    return reading.decoded(
        account(number, reading.minor),
        say("no number") if changes is None else counted(changes, "change"),
        {**account_fields(number, reading.minor), "count": changes},
        parts=((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 5, account(number, reading.minor))),
        editable="counter", problem=reading.number_problem,
    )  # fmt: skip


def _read_quota(reading: Reading) -> Decoded:
    number = u32(reading.key[1:5])
    fields: dict[str, FieldValue] = {**account_fields(number, reading.minor)}
    if reading.number is not None:
        fields["uploads"], fields["bytes"] = split_quota(reading.number)
    parts = ((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 5, account(number, reading.minor)))
    found = read_window(reading, account(number, reading.minor), fields, parts)
    if reading.number is None or found.problem:
        return found
    uploads, size = split_quota(reading.number)
    held = {"uploads": counted(uploads, "upload"), "bytes": counted(size, "byte")}
    over = fields["running"] is False
    return replace(found, value_label=say("%(uploads)s, %(bytes)s, window over", **held) if over else say("%(uploads)s, %(bytes)s", **held))


RULES: Final[tuple[Rule, ...]] = (
    rule(TOKEN_REVISION, lambda key: len(key) == 5, _read_revision, until=12, verified=(11,), sees="length"),
    rule(QUOTA, lambda key: len(key) == 13 and has_window(key), _read_quota, since=16, verified=(16,), sees="window"),
)
