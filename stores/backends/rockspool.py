"""Open databases of this process, shared by all backends of one path.

Readers stay open for a while after their last use, since opening one replays the server's write-ahead log (seconds for a busy
server). A writer is closed the moment its last user lets go: while it is open the mail server cannot start.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from stores.backends import rocksfiles
from stores.backends.rocksopen import FileVanished, Secondary, Tables, Writer
from stores.errors import Busy, ReadOnly, StoreError

IDLE_SECONDS: Final = 300.0
"""How long a reader stays open unused. Files that the server deletes meanwhile keep their space on the disk."""
WAIT_SECONDS: Final = 5.0
"""How long a write waits for another process of kvadmin that has the database open."""
FRESH_SECONDS: Final = 0.25
"""A backend in use sees what the server wrote at least this long ago."""


class _Process:
    """What belongs to this process alone; a forked child starts with a new one and never touches its parent's."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        """Held while `shared` is looked at or changed."""
        self.probing = threading.Lock()
        """Held while the LOCK file is open here: closing it while a writer is open would give RocksDB's lock away."""
        self.shared: dict[tuple[Path, bool], Shared] = {}
        self.reaper: threading.Thread | None = None


class Shared:
    """What this process has open of one database."""

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        self.version = version
        self.lock = threading.RLock()
        """Held for a page, and from a decision to its commit."""
        self.users = 0
        self.used = 0.0
        self.writer: Writer | None = None
        self._writers = 0
        self._claim = -1
        self._reader: Secondary | None = None
        self._refreshed = 0.0

    @contextmanager
    def reading(self, newest: bool) -> Iterator[Tables]:
        """Tables for a short read, with writers of this process kept out. `newest`: what the server wrote up to now is in them."""
        with self.lock:
            yield self.writer.tables if self.writer is not None else self.reader(newest)

    def reader(self, newest: bool) -> Tables:
        """Tables beside whoever writes; a walk that has begun goes on undisturbed when the reader is renewed or closed."""
        with self.lock:
            now = self.used = time.monotonic()
            if self._reader is not None and (newest or now - self._refreshed > FRESH_SECONDS):
                self._refresh(self._reader)
            if self._reader is None:
                self._reader = Secondary(self.path, self.version)
                self._refreshed = time.monotonic()
            return self._reader.tables

    def _refresh(self, reader: Secondary) -> None:
        try:
            reader.refresh()
            self._refreshed = time.monotonic()
        except FileVanished:
            self.close_reader()
        except StoreError:
            self.close_reader()
            raise

    def close_reader(self) -> None:
        """Close the reader; the next read opens another."""
        with self.lock:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """The writer for one decision and its commit. Only between `acquire_writer` and `release_writer`."""
        with self.lock:
            assert self.writer is not None
            yield self.writer

    def acquire_writer(self) -> None:
        """Open for writing, or share what is open. Raises ReadOnly while the server has it, Busy while another kvadmin writes."""
        with self.lock:
            if self.writer is None:
                self._claim = _claim(self.path)
                try:
                    with _here.probing:
                        self.writer = Writer(self.path, self.version)
                except BaseException as error:
                    self._release_claim()
                    held = holder(self.path) if isinstance(error, ReadOnly) else None
                    if held is not None:
                        raise ReadOnly(rocksfiles.held_by(held)) from None
                    raise
            self._writers += 1

    def release_writer(self) -> None:
        """Let go; the last one closes the database and gives the LOCK back."""
        with self.lock:
            self._writers -= 1
            if self._writers or self.writer is None:
                return
            try:
                with _here.probing:
                    writer, self.writer = self.writer, None
                    writer.close()
            finally:
                self._release_claim()

    def _release_claim(self) -> None:
        if self._claim >= 0:
            rocksfiles.give_back(self.path, self._claim)
            self._claim = -1

    def why_no_writes(self) -> str:
        """Why nothing can be written now; empty when it can."""
        if self.writer is not None:
            return ""
        why = rocksfiles.why_not_writable(self.path)
        if why:
            return why
        held = holder(self.path)
        return "" if held is None or rocksfiles.claimed(self.path) else rocksfiles.held_by(held)


_here = _Process()
_inherited: list[_Process] = []
"""What a forked child got from its parent: kept so that nothing of it is ever closed, its threads being gone."""


def _start_over() -> None:
    global _here
    _inherited.append(_here)
    _here = _Process()


os.register_at_fork(after_in_child=_start_over)


def holder(path: Path) -> int | None:
    """The process that has the database open for writing, None when nobody or this process has."""
    with _here.probing:
        with _here.guard:
            ours = any(shared.writer is not None for (other, _), shared in _here.shared.items() if other == path)
        return None if ours else rocksfiles.holder(path)


def acquire(path: Path, version: str) -> Shared:
    """What this process shares of a database; `release` it after use. Opens nothing yet."""
    key = (path.resolve(), version.startswith("0.10"))
    with _here.guard:
        shared = _here.shared.setdefault(key, Shared(key[0], version))
        shared.users += 1
        if _here.reaper is None:
            _here.reaper = threading.Thread(target=_close_idle_for_ever, name="rocksdb-idle", daemon=True)
            _here.reaper.start()
        return shared


def release(shared: Shared) -> None:
    """Say that a backend is done; the reader stays open for the next one."""
    with _here.guard:
        shared.users -= 1
        shared.used = time.monotonic()


def close_idle(older_than: float = 0.0) -> None:
    """Close the readers that nobody has used for this many seconds."""
    with _here.guard:
        for key, shared in list(_here.shared.items()):
            if shared.users == 0 and time.monotonic() - shared.used >= older_than:
                del _here.shared[key]
                shared.close_reader()


def _close_idle_for_ever() -> None:
    while True:
        time.sleep(IDLE_SECONDS / 10)
        with suppress(StoreError):
            close_idle(IDLE_SECONDS)


atexit.register(close_idle)


def _claim(path: Path) -> int:
    """Wait for kvadmin's own turn at writing this database. Raises Busy."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        descriptor = rocksfiles.claim(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > until:
            raise Busy("Another purge or edit of this database is under way.", "Wait until it is done, then try again.")
        time.sleep(0.02)
