"""Positions inside one stretch of a store that keeps its keys in order: where it begins and ends, and what of it is left.

As text `p:NEXT:START:END`, keys in hex, END empty at the open end. A position of the whole store is a cursor, as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from stores.codecs.cursors import cursor_after, key_of_cursor, start_after
from stores.errors import CursorLost
from stores.texts import say
from stores.types import ALL_KEYS


@dataclass(frozen=True, slots=True)
class Stretch:
    """Keys from `start` up to and without `end`, of which those from `next` on are left. `whole`: no part, but all of a store."""

    next: bytes = b""
    start: bytes = b""
    end: bytes | None = None
    whole: bool = True

    @classmethod
    def of(cls, position: str) -> Stretch:
        """Read a position, also an empty one. Raises CursorLost for what is none."""
        if not position.startswith("p:"):
            return cls(start_after(position or None, ALL_KEYS))
        try:
            following, start, end = (bytes.fromhex(piece) for piece in position[2:].split(":"))
        except ValueError:
            raise CursorLost(say("This position is not of this store."), say("Start again.")) from None
        return cls(following, start, end or None, False)

    @classmethod
    def between(cls, cuts: list[bytes]) -> list[str]:
        """The positions of the stretches that these keys, in ascending order, cut a store into. Without cuts the whole store."""
        if not cuts:
            return [""]
        return [str(cls(start, start, end or None, False)) for start, end in pairwise([b"", *cuts, b""])]

    def __str__(self) -> str:
        return f"p:{self.next.hex()}:{self.start.hex()}:{(self.end or b'').hex()}"

    def after(self, key: bytes) -> str:
        """The position behind a key."""
        return cursor_after(key) if self.whole else str(replace(self, next=key + b"\x00"))

    def moved(self, cursor: str) -> str:
        """The position behind the key of a cursor; empty for an empty one."""
        return self.after(key_of_cursor(cursor)) if cursor else ""

    def share(self, key: bytes) -> float | None:
        """About how far a key is between both ends, by its first bytes; None for a whole store."""
        if self.whole:
            return None
        ends = self.end if self.end is not None else b"\xff" * 12
        start, end, here = (int.from_bytes(edge[:12].ljust(12, b"\0"), "big") for edge in (self.start, ends, key))
        return min(0.99, max(0.0, (here - start) / max(1, end - start)))
