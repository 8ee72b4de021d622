"""Giving the space of an SQLite file back: by pages where the file was made for that, else as a whole, and the write-ahead log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stores.backends.pacing import Feedback
from stores.backends.sql import LOCK_SECONDS
from stores.backends.sqlite_purge import LONGEST_ROOM, ROOM, WAIT_SLICE, _copy_log
from stores.backends.sqlite_survey import SurveyByRowId
from stores.backends.tidying import disk_free, guess, watched
from stores.texts import say
from stores.types import TidyOffer, TidyStep, TidyWay

PAGES: Final = "pages"
LOG: Final = "log"
WHOLE: Final = "whole"
INCREMENTAL: Final = 2
"""`PRAGMA auto_vacuum` of a file that keeps track of its pages, so that some can be given back at a time."""
BUDGET: Final = 0.01
"""Seconds that one step may hold the write lock."""


class TidyFile(SurveyByRowId):
    """The part of the SQLite backend that works on space."""

    def tidy_offer(self) -> TidyOffer:
        """Four pragmas and the sizes of files."""
        if not self.capabilities.tidies:
            return super().tidy_offer()
        pages, free, page, mode = (
            int(self._query(f"PRAGMA {name}")[0][0]) for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
        )
        log = self._log_size()
        by_pages = (_by_pages(free * page),) if mode == INCREMENTAL else (_whole(self.path, (pages - free) * page),)
        return TidyOffer((*by_pages, _only_log(log)), pages * page + log, free * page + log)

    def tidy(self, way: str) -> Iterator[TidyStep]:
        """By pages: a step holds the write lock for about 10 ms. As a whole: the write lock until the end."""
        self.tidy_way(way)
        if way == PAGES:
            yield from self._tidy_pages()
        elif way == WHOLE:
            yield from self._tidy_whole()
        yield from self._tidy_log()

    def _tidy_pages(self) -> Iterator[TidyStep]:
        free = first = self._free_pages()
        feedback = Feedback(BUDGET, 64, 16, 20_000)
        while free:
            began = time.monotonic()
            self._query(f"PRAGMA incremental_vacuum({feedback.size})")
            took = time.monotonic() - began
            feedback.took(took)
            left = self._free_pages()
            self._checkpoint()
            if left >= free:
                return
            free = left
            yield TidyStep(1 - free / first)
            time.sleep(min(took * ROOM, LONGEST_ROOM))

    def _tidy_whole(self) -> Iterator[TidyStep]:
        """The copy is made in a file, not in memory as other temporary tables of this connection."""
        with self._waiting(LOCK_SECONDS):
            self._query("PRAGMA temp_store = FILE")
            connection = self._open()
            try:
                for _ in watched(lambda: connection.execute("VACUUM"), connection.interrupt):
                    yield TidyStep()
            finally:
                connection.execute("PRAGMA temp_store = MEMORY")

    def _tidy_log(self) -> Iterator[TidyStep]:
        with self._waiting(0):
            _copy_log(self._open(), empty=True)
        yield TidyStep(1.0)

    def _free_pages(self) -> int:
        return int(self._query("PRAGMA freelist_count")[0][0])

    @contextmanager
    def _waiting(self, seconds: float) -> Iterator[None]:
        """Wait so long for another writer's turn; errors of the engine come out typed."""
        with self._translated():
            connection = self._open()
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            try:
                yield
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SLICE * 1000)}")


def _by_pages(free: int) -> TidyWay:
    return TidyWay(
        PAGES,
        say("Moves pages from the end of the file to free places and cuts the file, some pages at a time."),
        ("PRAGMA incremental_vacuum", "PRAGMA wal_checkpoint(TRUNCATE)"),
        say("The write lock is held for about 10 ms a step and left free in between."),
        guess(free, 20),
    )


def _whole(path: Path, used: int) -> TidyWay:
    room, disk = 2 * used, min(disk_free(path.parent), disk_free(_temporary_folder()))
    return TidyWay(
        WHOLE,
        say("Writes the whole database anew without its free pages; the file becomes as small as it can be."),
        ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"),
        say("Every writer waits until the end, Stalwart too, whose writes fail after some seconds. Better with Stalwart stopped."),
        guess(used, 40),
        room=room,
        disk=disk,
        asks=say("Stalwart is stopped, or may do without writing for so long"),
        refused=say("The disk has not enough room for the copy.") if room > disk else "",
    )


def _only_log(log: int) -> TidyWay:
    return TidyWay(
        LOG,
        say("Copies the write-ahead log into the database and empties it. Free pages inside the file stay and are used again."),
        ("PRAGMA wal_checkpoint(TRUNCATE)",),
        say("Nobody waits: it is given up when a reader or writer is in the way."),
        guess(log, 100),
    )


def _temporary_folder() -> Path:
    """Where SQLite puts the copy: the first folder of its list that can be written."""
    places = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - SQLite's own list
    found = (Path(place) for place in places if place)
    return next((place for place in found if place.is_dir() and os.access(place, os.W_OK | os.X_OK)), Path())
