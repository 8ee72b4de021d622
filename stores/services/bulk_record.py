"""What a bulk run has done so far: kept in the run's row after every chunk, shown on its page, handed out as a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from stores.models import Run
from stores.types import Entry

FAILURES: Final = 200
"""Keys that are named with their reason; all are counted."""
_ALL: Final = 1 << 128
SMALLEST: Final = 300
"""Bytes of room below which no copy fits into the trash."""


@dataclass(slots=True)
class Record:
    """Counts of keys. Each key that was met is in exactly one of done, same, skipped, kept and failed."""

    done: int = 0
    same: int = 0
    """Were so already: gone, that expiry, the same content in the other store."""
    skipped: int = 0
    """Exist in the other store with another content, or had expired."""
    kept: int = 0
    """Changed by somebody else between being read and being written."""
    failed: int = 0
    left_out: int = 0
    """Of an import: rows that give access to something, where whoever started it may not write such."""
    undoable: int = 0
    undo_left: int = 0
    """Bytes of room in the trash that the run may still take."""
    trash_mark: int = 0
    """Newest trash row of the chunks that are counted here."""
    again: int = 0
    """Done keys that are met a second time, because the server lost its place in the walk: they count as done, not as `same`."""
    checksum: str = "0" * 32
    failures: list[list[str]] = field(default_factory=list)
    """[key, reason], the first 200."""

    @classmethod
    def of(cls, run: Run) -> Record:
        """What the run's row holds."""
        return cls(**run.params.get("record", {}))

    def save_to(self, run: Run) -> None:
        """Into the row in memory; whoever holds the run's lease writes it."""
        run.params = {**run.params, "record": asdict(self)}

    def touched(self, keys: Iterable[bytes]) -> None:
        """Count done keys into the checksum."""
        total = int(self.checksum, 16)
        for key in keys:
            self.done += 1
            total += int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")
        self.checksum = f"{total % _ALL:032x}"

    def touched_sum(self, count: int, digests: int) -> None:
        """The same for keys whose digests are added up already."""
        self.done += count
        self.checksum = f"{(int(self.checksum, 16) + digests) % _ALL:032x}"

    def mark(self) -> Record:
        """Where the counts stand, for `forget_since`."""
        return replace(self, failures=list(self.failures))

    def forget_since(self, mark: Record) -> None:
        """Take back the counts of all keys but the done ones: they are met again."""
        for name in ("same", "skipped", "kept", "failed", "left_out", "again", "failures"):
            setattr(self, name, getattr(mark, name))

    def start_over(self, removes: bool) -> None:
        """All keys are looked at from the start; `removes`: the done ones are gone and not met again."""
        self.forget_since(Record())
        self.again = 0 if removes else self.done

    def count_same(self, count: int) -> None:
        """Count keys that were so already, but for those that this run made so."""
        repeated = min(self.again, count)
        self.again -= repeated
        self.same += count - repeated

    def name_failure(self, key: str, reason: str) -> None:
        if len(self.failures) < FAILURES:
            self.failures.append([key, reason])


def size_in_trash(entry: Entry) -> int:
    """Bytes that a row takes in the trash, its own bookkeeping included."""
    return 250 + len(entry.key) + len(entry.row or b"") + len(entry.value or b"")


def size_of_note(entry: Entry) -> int:
    """Bytes that the note of a new key takes in the trash."""
    return 250 + len(entry.key)
