"""What reading a configuration gives: a flat map of settings, and what could not be read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """One value as Stalwart sees it, and where it stands. Not shown by repr: it may be a password."""

    value: str
    line: int = 0
    """First line of the value, from 1; 0 when it does not come from the file."""
    span: tuple[int, int] = (0, 0)
    """Slice of the text that holds the value as written, quotes included."""
    listed: bool = False
    """An element of an array: the last part of the key is its index."""
    from_database: bool = False
    """Read from the settings in the data store, where macros are never expanded."""

    def __repr__(self) -> str:
        return f"Setting(line={self.line})"


@dataclass(frozen=True, slots=True)
class Fault:
    """A statement, or a part of one, that could not be read. Messages hold keys and single characters, never values."""

    line: int
    column: int
    message: str
    fix: str = ""
    start_line: int = 0
    """First line of the statement that was left out."""
    end_line: int = 0
    """Last line that was left out."""
    repairs: tuple[str, ...] = ()
    """Keys that could be read as if the key had been in quotes."""
    repaired: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """What was read: settings in byte order of their keys, and every fault in order of lines."""

    settings: Mapping[str, Setting]
    faults: tuple[Fault, ...] = ()
    names: list[str] = field(default_factory=list, init=False)
    """Names of the settings, in order."""

    def __post_init__(self) -> None:
        self.names.extend(self.settings)

    def __repr__(self) -> str:
        return f"Document({len(self.settings)} settings, {len(self.faults)} faults)"

    def under(self, prefix: str) -> list[str]:
        """Names that begin with a prefix, in order. Cost: their number."""
        first = bisect_left(self.names, prefix)
        return list(takewhile(lambda name: name.startswith(prefix), islice(self.names, first, None)))

    def many(self, key: str) -> list[str]:
        """Names that hold a value that is one text or an array: the single one, else those by index, in order."""
        if key in self.settings:
            return [key]
        start = len(key) + 1
        return sorted((name for name in self.under(f"{key}.") if name[start:].isdecimal()), key=lambda name: (int(name[start:]), name))

    def owners(self, prefix: str, ids: Iterable[str]) -> dict[str, list[str]]:
        """The names under `<prefix><id>.` for each id; with ids that begin alike, the longest that fits owns a name."""
        found: dict[str, list[str]] = {store_id: [] for store_id in ids}
        longest = max((store_id.count(".") for store_id in found), default=0)
        for name in self.under(prefix):
            parts = name[len(prefix) :].split(".", longest + 1)
            owner = next((head for end in range(len(parts) - 1, 0, -1) if (head := ".".join(parts[:end])) in found), None)
            if owner is not None:
                found[owner].append(name)
        return found
