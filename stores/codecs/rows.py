"""Rows of table `m`: expiry header, counter marker, lock (store-formats b.1). Pure, no I/O.

    value, live or expired   u64 BE expiry || payload          expiry FF x8 = never
    counter marker           00 x8 || u64 BE expiry            the number itself is in `y`
    lock                     u64 BE expiry                     looks like a value without payload; the key's class tells
    malformed                under 8 bytes, or expiry 0 and under 16 bytes

Times are whole Unix seconds, None = never.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stores.errors import BadConfig, CorruptRow
from stores.texts import say
from stores.types import NEVER_HEADER, Entry, Kind

HEADER: Final = 8
"""Bytes of the expiry header."""
MARKER_HEADER: Final = b"\x00" * 8
MARKER_SIZE: Final = 16
NEVER_NUMBER: Final = (1 << 64) - 1
LAST_EXPIRY: Final = NEVER_NUMBER - 1
"""The latest expiry a header can hold; one more means never."""

TOO_SHORT: Final = say("The row has %(count)s bytes; a row needs 8 bytes of expiry.")
HALF_MARKER: Final = say("The row has expiry 0 like the marker of a counter but only %(count)s of its 16 bytes.")


class RowParts(NamedTuple):
    """What a row of `m` says. `problem` is set, and all else empty, when the row is malformed."""

    kind: Kind
    """VALUE (also for locks) or COUNTER (a marker)."""
    expires_at: int | None
    payload: bytes | None
    """Bytes after the header of a value; None for a marker and for a malformed row."""
    problem: str = ""


def split_row(row: bytes) -> RowParts:
    """Classify a row of `m` and take it apart. Total on any bytes, about 1 µs."""
    if len(row) < HEADER:
        return RowParts(Kind.VALUE, None, None, TOO_SHORT.filled(count=len(row)))
    header = row[:HEADER]
    if header == NEVER_HEADER:
        return RowParts(Kind.VALUE, None, row[HEADER:])
    if header == MARKER_HEADER:
        if len(row) < MARKER_SIZE:
            return RowParts(Kind.VALUE, None, None, HALF_MARKER.filled(count=len(row)))
        return RowParts(Kind.COUNTER, _expiry(row[HEADER:MARKER_SIZE]), None)
    return RowParts(Kind.VALUE, int.from_bytes(header, "big"), row[HEADER:])


def value_row(payload: bytes, expires_at: int | None) -> bytes:
    """The row of a value; of a lock when the payload is empty.

    Raises BadConfig for an expiry that a value cannot hold: below 1 (0 would turn the row into a counter's marker).
    """
    return (NEVER_HEADER if expires_at is None else _checked(expires_at, 1)) + payload


def marker_row(expires_at: int) -> bytes:
    """The row that carries a counter's expiry. A counter that never expires has no such row. Raises BadConfig below 0."""
    return MARKER_HEADER + _checked(expires_at, 0)


def with_expiry(row: bytes, expires_at: int | None, key: bytes = b"") -> bytes:
    """The same row with another expiry: header of a value or lock, second number of a marker; the rest stays byte for byte.

    Raises CorruptRow (for `key`) when the row is malformed, and ValueError for a marker with None: delete the marker instead.
    """
    parts = split_row(row)
    if parts.problem:
        raise CorruptRow(key, row, parts.problem)
    if parts.kind is Kind.COUNTER:
        if expires_at is None:
            raise ValueError("a counter that never expires has no marker row")
        return marker_row(expires_at) + row[MARKER_SIZE:]
    return value_row(row[HEADER:], expires_at)


def entry_from_rows(key: bytes, m_row: bytes | None, number: int | None) -> Entry:
    """One entry from what `m` and `y` hold under a key; at least one of the two is given.

    Kind is VALUE or COUNTER; a lock is a VALUE here, its key class settles it. A value with a number beside it is a VALUE whose
    `counter` is set. A marker without a number is a COUNTER whose `counter` is None (Stalwart reads it as 0, and the marker
    goes at its expiry). A malformed row is a VALUE with `value` None and `problem` set.
    """
    if m_row is None:
        return Entry(key, Kind.COUNTER, None, number)
    kind, expires_at, payload, problem = split_row(m_row)
    return Entry(key, kind, payload, number, expires_at, m_row, None, problem)


def _expiry(raw: bytes) -> int | None:
    number = int.from_bytes(raw, "big")
    return None if number == NEVER_NUMBER else number


def _checked(expires_at: int, lowest: int) -> bytes:
    if not lowest <= expires_at <= LAST_EXPIRY:
        raise BadConfig(
            say("An expiry of %(expires_at)s cannot be stored.", expires_at=expires_at),
            say("Give Unix seconds after 1970, or no expiry at all."),
            field="expires_at",
        )
    return expires_at.to_bytes(HEADER, "big")
