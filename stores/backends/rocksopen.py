"""Opening RocksDB through rocksdict: beside a live server as a reader, or alone as the one writer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

from rocksdict import AccessType, DbClosedError, Options, Rdict, WriteBatch, WriteOptions

from stores.backends import rocksfiles
from stores.backends.merging import Pair
from stores.codecs.rocksoptions import options_text
from stores.codecs.sqltables import SETTINGS, tables_of
from stores.errors import ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say

ATTEMPTS: Final = 8
"""How often to look again when the server removes a file between the look at its folder and the opening."""
CLOCK_TICK: Final = 1.0
"""Seconds within which two changes of a folder may carry the same time."""
MANY_FILES: Final = 12
"""Compact a table when this many small files have gathered: each session of edits adds one."""
_DRIVER_FILE: Final = "rocksdict-config.json"
"""What the driver leaves in every folder it opens; removed from the server's."""


class FileVanished(StoreUnavailable):
    """A file of the database went away while it was opened: look again."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what RocksDB says into errors that tell what to do.

    The driver raises RocksDB's words as bare `Exception`s, which no narrower clause can name; its subclasses pass through.
    """
    try:
        yield
    except DbClosedError:
        raise StoreUnavailable(say("The database %(path)s was closed meanwhile.", path=path), say("Try again.")) from None
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise _translate(path, str(error)) from None


def _translate(path: Path, said: str) -> StoreError:
    low = said.lower()
    if "lock file" in low or "lock hold by current process" in low:
        return ReadOnly(rocksfiles.held_by(0))
    if "no such file or directory" in low:
        return FileVanished(
            say("A file of the database %(path)s is missing: %(said)s", path=path, said=said),
            say("Try again; if it stays away the database is damaged."),
        )
    if "permission denied" in low:
        return StoreRefused(
            say(
                "Files of the database %(path)s are not readable for %(user_name)s.",
                path=path,
                user_name=rocksfiles.user_name(os.geteuid()),
            ),
            say("Run kvadmin as the mail server's user, or let its group read the folder."),
        )
    if "no space left" in low:
        return StoreUnavailable(say("The disk of %(path)s is full.", path=path), say("Make room; nothing was written."))
    if low.startswith("not implemented") or "newer version" in low or "unknown footer" in low or "unsupported" in low:
        return StoreRefused(
            say("The database %(path)s was written by a newer RocksDB than this one can read: %(said)s", path=path, said=said),
            say("Update kvadmin's Python package rocksdict."),
        )
    if "merge operator" in low or "merge_operator" in low:
        return StoreRefused(
            say("The walk over %(path)s ended early: %(said)s", path=path, said=said),
            say("Report this; what was read so far is not complete."),
        )
    if low.startswith("corruption"):
        return StoreRefused(
            say("The database %(path)s is damaged: %(said)s", path=path, said=said),
            say("Restore it from a backup, or let the mail server repair it."),
        )
    return StoreUnavailable(
        say("RocksDB could not read %(path)s: %(said)s", path=path, said=said), say("Look at the mail server's log and the disk.")
    )


class Tables:
    """An open database: the tables `m` and `y` (`n` before 0.11) of one store."""

    def __init__(self, path: Path, database: Rdict, counters: str, families: tuple[str, ...]) -> None:
        self.path = path
        self.database = database
        self.families = families
        """All column families of the database."""
        self.values = database.get_column_family("m")
        self.numbers = database.get_column_family(counters)
        self.settings = database.get_column_family(SETTINGS) if SETTINGS in families else None
        """The server's own settings, None where it keeps none here."""

    def close(self) -> None:
        """Close the database. Walks that are still running end with StoreUnavailable. Raises what the engine could not bring to disk."""
        with ExitStack() as closing:
            for table in (self.database, self.settings, self.numbers, self.values):
                if table is not None:
                    closing.callback(self._close, table)

    def _close(self, table: Rdict) -> None:
        with translated(self.path):
            table.close()

    def items(self, table: Rdict, start: bytes) -> Iterator[Pair]:
        """Rows of a table from `start` on, as of now. Ends quietly on errors: call `require_end` after the last row."""
        return cast(Iterator[Pair], table.items(from_key=start))

    def keys(self, table: Rdict, start: bytes) -> Iterator[bytes]:
        """Their keys alone. Ends quietly on errors too."""
        return cast(Iterator[bytes], table.keys(from_key=start))

    def require_end(self, table: Rdict, last: bytes) -> None:
        """Raise what stopped a walk whose last row was `last` (or that began there and saw none), if it was not the end."""
        with translated(self.path):
            iterator = table.iter()
            iterator.seek(last)
            if iterator.valid() and iterator.key() == last:
                iterator.next()
            iterator.status()

    def rows(self, table: Rdict, start: bytes, end: bytes | None = None) -> Iterator[Pair]:
        """Rows from `start` up to, not including, `end`, as of now. Raises when the walk is cut short."""
        return self._checked(table, self.items(table, start), start, end)

    def _checked(self, table: Rdict, found: Iterator[Pair], start: bytes, end: bytes | None) -> Iterator[Pair]:
        last = start
        for pair in found:
            last = pair[0]
            if end is not None and last >= end:
                return
            yield pair
        self.require_end(table, last)


def families_of(path: Path) -> tuple[str, ...]:
    """The column families of the database, as its manifest lists them."""
    rocksfiles.inspect(path)
    with translated(path):
        return tuple(Rdict.list_cf(str(path)))


def counter_family(path: Path, families: tuple[str, ...], version: str) -> str:
    """The family that holds the numbers. Raises StoreRefused when a table of this version is missing."""
    tables = tables_of(version)
    wanted = tables.counters
    missing = [name for name in (tables.values, wanted) if name not in families]
    if missing:
        raise StoreRefused(
            say("The database %(path)s has no column family %(missing)s.", path=path, missing=" and ".join(missing)),
            say("Check the server's version: up to 0.10 the numbers are in `n`, later in `y`; other programs' databases have neither."),
        )
    return wanted


def _options(families: tuple[str, ...], folder: Path) -> tuple[Options, dict[str, Options]]:
    """Options made from a file of ours; the driver has no other way to name a merge operator."""
    options = folder / "options"
    options.mkdir(exist_ok=True)
    (options / "OPTIONS-000001").write_text(options_text(families, str(folder)))
    return Options.load_latest(str(options))


class Secondary:
    """A reader beside the live server: sees its writes after `refresh`, takes no lock, leaves nothing in its folder.

    Opening costs 5 to 20 ms plus 2 µs for each row in the server's write-ahead log, which can be seconds.
    """

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        self.families = families_of(path)
        self.counters = counter_family(path, self.families, version)
        self._scratch = rocksfiles.ScratchFolder()
        self._generation = b""
        self._linked_at = 0.0
        try:
            self.tables = self._open()
        except BaseException:
            self._scratch.remove()
            raise

    def _open(self) -> Tables:
        picture = self._scratch.path / "database"
        picture.mkdir()
        wanted = tuple(name for name in ("default", "m", self.counters, SETTINGS) if name in self.families)
        options, of_family = _options(wanted, self._scratch.path)
        for attempt in range(ATTEMPTS):
            self._generation = rocksfiles.generation(self.path)
            rocksfiles.link_live_files(self.path, picture)
            own = self._scratch.path / f"own-{attempt}"
            try:
                with translated(self.path):
                    opened = Rdict(str(picture), options, of_family, AccessType.secondary(str(own)))
                    tables = Tables(self.path, opened, self.counters, self.families)
            except FileVanished:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            if rocksfiles.generation(self.path) == self._generation:
                return tables
        raise _never_still(self.path)

    def refresh(self) -> None:
        """See what the server has logged since. Costs about 1 ms. Raises FileVanished when another reader has to be opened.

        Only the tail of the log is read: when the server turns its log into tables, a reader that goes on counts the pending
        additions twice, in the table and in its own memory.
        """
        if rocksfiles.generation(self.path) != self._generation:
            raise FileVanished(say("The tables of %(path)s have changed.", path=self.path), say("Try again."))
        self._link_new_logs()
        with translated(self.path):
            self.tables.database.try_catch_up_with_primary()
        if rocksfiles.generation(self.path) != self._generation:
            raise FileVanished(say("The tables of %(path)s have changed.", path=self.path), say("Try again."))

    def _link_new_logs(self) -> None:
        """Bring the links up to date unless the folder's time says that no file has come or gone since the last look."""
        with rocksfiles.refused_by_system(self.path):
            changed = self.path.stat().st_mtime
        if changed != self._linked_at or time.time() - changed < CLOCK_TICK:
            rocksfiles.link_live_files(self.path, self._scratch.path / "database")
            self._linked_at = changed

    def close(self) -> None:
        """Remove the links. The database closes when the last one who reads its tables lets go: a census may be on its way."""
        self._scratch.remove()


def _never_still(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        say("The files of %(path)s change faster than they can be read.", path=path), say("Try again when the server is less busy.")
    )


class Writer:
    """The database opened alone, RocksDB's LOCK held: while it is open the mail server cannot start.

    The caller has made sure that nobody of this process holds it. Raises ReadOnly when somebody else does.
    """

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        why = rocksfiles.why_not_writable(path)
        if why:
            raise ReadOnly(why)
        families = families_of(path)
        counters = counter_family(path, families, version)
        self._scratch = rocksfiles.ScratchFolder()
        self._before = rocksfiles.files_in(path)
        try:
            options, of_family = _options(families, self._scratch.path)
            with translated(path):
                self.tables = Tables(path, Rdict(str(path), options, of_family, AccessType.read_write()), counters, families)
        except BaseException:
            self._tidy()
            raise
        rocksfiles.give_to_owner(path, self._before)
        self.values_handle = self.tables.database.get_column_family_handle("m")
        self.numbers_handle = self.tables.database.get_column_family_handle(counters)

    def write(self, batch: WriteBatch, durable: bool = True) -> None:
        """Commit in one step. `durable` waits for the disk."""
        options = WriteOptions()
        options.sync = durable
        with translated(self.path):
            self.tables.database.write(batch, options)

    def sync(self) -> None:
        """Bring to the disk what was written without waiting."""
        with translated(self.path):
            self.tables.database.flush_wal(sync=True)

    def close(self) -> None:
        """Give the LOCK back and leave the folder as the server expects it."""
        del self.values_handle, self.numbers_handle
        try:
            with translated(self.path):
                for table in (self.tables.values, self.tables.numbers):
                    if int(table.property_value("rocksdb.num-files-at-level0") or 0) >= MANY_FILES:
                        table.compact_range(None, None)
        finally:
            try:
                self.tables.close()
            finally:
                self._tidy()

    def _tidy(self) -> None:
        if not any(name == _DRIVER_FILE for name, _ in self._before):
            (self.path / _DRIVER_FILE).unlink(missing_ok=True)
        rocksfiles.give_to_owner(self.path, self._before)
        self._scratch.remove()
