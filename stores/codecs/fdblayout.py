"""How Stalwart lays its tables out in FoundationDB's one keyspace (store-formats a.5). Pure, no I/O.

    value      "m" || key            pieces of 100,000 bytes; the second piece under key || 00, the third under key || 01, ...
    number     "y" || key            8 bytes, little-endian ("n" in 0.10)

A row whose first piece is shorter than 100,000 bytes is complete; otherwise every key || 00, 01, ... that exists belongs to it,
up to the first that is missing. So a long value and an unrelated key that ends in such a byte can collide: what the server would
read as a piece is a piece here too, and nothing is written that the server would read back differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from stores.codecs.sqltables import tables_of
from stores.errors import BadConfig
from stores.texts import say

VALUES: Final = b"m"
PIECE: Final = 100_000
"""Bytes of a full piece: FoundationDB's limit for a value."""
LAST_SUFFIX: Final = 0xFE
"""The last byte that a piece's key may end in."""
LONGEST_KEY: Final = 10_000 - 2
"""FoundationDB takes 10,000 bytes; the table's letter and the suffix of a piece are part of them."""

Pair = tuple[bytes, bytes]
Read = Callable[[bytes], bytes | None]
"""What table `m` holds under exactly this key, without joining; None when nothing."""


def numbers_table(version: str) -> bytes:
    """The letter of the table that holds the numbers."""
    return tables_of(version).counters.encode()


def table_range(table: bytes) -> tuple[bytes, bytes]:
    """First key of a table and first key after it."""
    return table, bytes([table[0] + 1])


def piece_keys(key: bytes) -> Iterator[bytes]:
    """The keys under which further pieces of this key's value lie, in order."""
    return (key + bytes([suffix]) for suffix in range(LAST_SUFFIX + 1))


def split(key: bytes, row: bytes) -> list[Pair]:
    """The pairs that make up a row. Raises BadConfig when it needs more pieces than there are suffixes."""
    pieces = [row[at : at + PIECE] for at in range(0, len(row), PIECE)] or [b""]
    if len(pieces) > LAST_SUFFIX + 2:
        raise BadConfig(
            say("The value has %(count)s bytes; FoundationDB takes at most %(piece)s.", count=len(row), piece=PIECE * (LAST_SUFFIX + 2)),
            say("Shorten it."),
            "value",
        )
    return list(zip((key, *piece_keys(key)), pieces, strict=False))


def assemble(key: bytes, first: bytes, read: Read) -> tuple[bytes, list[bytes]]:
    """The whole row whose first piece was read under `key`, and the keys of its further pieces. One read a piece, and one more."""
    if len(first) < PIECE:
        return first, []
    parts, keys = [first], []
    for piece in piece_keys(key):
        found = read(piece)
        if found is None:
            break
        parts.append(found)
        keys.append(piece)
    return b"".join(parts), keys


def is_piece(key: bytes, read: Read) -> bool:
    """Whether the server would read what lies under this key as a piece of a longer value. Mostly one read."""
    if not key or key[-1] > LAST_SUFFIX:
        return False
    owner = key[:-1]
    first = read(owner)
    if first is None or len(first) < PIECE:
        return False
    if any(read(owner + bytes([suffix])) is None for suffix in range(key[-1])):
        return False
    return not is_piece(owner, read)


def joined(rows: Iterable[Pair], start: bytes, read: Read) -> Iterator[Pair]:
    """Rows of a walk over `m` that began at `start`, long values whole, their further pieces left out.

    Keys come without the table's letter. A walk that begins behind the first piece of a long value knows its later pieces.
    """
    pieces: set[bytes] = set()
    for key, value in rows:
        if pieces and key in pieces:
            pieces.discard(key)
            continue
        if key[:-1] < start and is_piece(key, read):
            continue
        if len(value) >= PIECE:
            whole, own = assemble(key, value, read)
            pieces.update(own)
            yield key, whole
        else:
            yield key, value


def changes(key: bytes, own: Iterable[bytes], row: bytes | None, read: Read) -> tuple[list[Pair], list[bytes]]:
    """What to set and what to clear so that the server reads `row` under `key`; `own`: the further pieces stored now.

    Clears single keys, never a range: keys that begin with this key are others. Raises BadConfig when a piece would fall on
    another key, or when the server would take another key for a piece.
    """
    mine = set(own)
    pairs = [] if row is None else split(key, row)
    if pairs and len(pairs[0][1]) == PIECE:
        needed = [piece for piece, _ in pairs[1:]]
        behind = key + bytes([len(needed)])
        for piece in (*needed, behind):
            if piece not in mine and read(piece) is not None:
                raise BadConfig(
                    say(
                        "A value of %(count)s bytes is stored in pieces, and %(hex)s among them is another key.",
                        count=len(row or b""),
                        hex=piece.hex(),
                    ),
                    say("Shorten the value to less than 100,000 bytes, or delete that key first."),
                    "value",
                )
    written = {piece for piece, _ in pairs}
    gone = sorted((mine | {key}) - written)
    return pairs, gone
