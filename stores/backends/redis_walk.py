"""Walking over the keys of one server with SCAN: pages of names, and the census.

A SCAN cursor belongs to one running server process (its hash seed is its own), so a position carries the server's run id: after a
restart or a failover the walk raises CursorLost instead of silently leaving keys out. A key that stays is met at least once. It is
met twice only when the table shrinks in between, and then right after its first time; the census remembers its last slices and
counts such a key once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from stores.backends.redis_halves import ends_half, halves, last_of_half, share_of
from stores.backends.redis_link import Link
from stores.backends.redis_measure import CENSUS_COUNT, Recent, Tempo
from stores.backends.redis_pages import join_position, scan_names, share_before, split_position
from stores.backends.redis_pump import SlicePump
from stores.backends.redis_server import same_server
from stores.types import CensusSlice, KeyRange


class Walk(ABC):
    """An order over all keys of a store. Positions are short URL-safe texts; the empty one is the beginning."""

    @abstractmethod
    def names(self, keys: KeyRange, position: str, want: int, strings: bool = False) -> tuple[list[bytes], str | None]:
        """About `want` names of the range, each once, and where to go on; None at the end. `strings`: leave out other types.

        Bounded by `STEP_KEYS`: a rare prefix gives few names, or none, and a position. Raises CursorLost.
        """

    @abstractmethod
    def parts(self, most: int) -> list[tuple[str, str]]:
        """Mark and first position of parts that can be counted side by side; together they are all keys."""

    @abstractmethod
    def census(self, position: str, mark: str = "") -> Iterator[CensusSlice]:
        """Every key of a part once, as columns, in slices of less than a millisecond of a server's time. Raises CursorLost.

        The empty mark is that of the whole.
        """

    @abstractmethod
    def progress(self, position: str) -> float | None:
        """The share of the keys that lies before a position."""


class ScanWalk(Walk):
    """The walk over a single server, or over whichever is primary."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def names(self, keys: KeyRange, position: str, want: int, strings: bool = False) -> tuple[list[bytes], str | None]:
        client = self.link.run(self.link.primaries)[0].client
        return scan_names(self.link, client, keys, split_position(position), want, strings)

    def progress(self, position: str) -> float | None:
        return share_before(split_position(position)[1])

    def parts(self, most: int) -> list[tuple[str, str]]:
        return halves(self.link) if most > 1 else [("", "")]

    def census(self, position: str, mark: str = "") -> Iterator[CensusSlice]:
        run_id, cursor = split_position(position)
        tempo, recent = Tempo(CENSUS_COUNT), Recent()
        patience: AbstractContextManager[None] = nullcontext()
        with SlicePump(self.link) as pump:
            pump.ask(cursor, tempo.count)
            while True:
                with patience:
                    part = pump.answer()
                run_id, patience = same_server(run_id, part.run_id), self.link.working()
                tempo.note(part.micros)
                over = ends_half(mark, part.cursor)
                if not over:
                    pump.ask(part.cursor, tempo.count)
                columns = recent.new(part.columns)
                if over and mark:
                    columns = last_of_half(self.link, mark, (run_id, part.cursor), columns)
                yield CensusSlice(
                    (), "" if over else join_position(run_id, part.cursor), share_of(mark, part.cursor, over), columns=columns
                )
                if over:
                    return
