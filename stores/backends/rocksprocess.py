"""The processes that have RocksDB databases open for this one: started when first asked, shared by all backends of a path.

They stay for a while after their last use, since opening a reader replays the server's write-ahead log. One that dies is replaced at
the next question. Every question has a limit of time; while one waits, this process goes on with everything else.
"""

from __future__ import annotations

import atexit
import marshal
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from stores import errors
from stores.errors import StoreError, StoreUnavailable
from stores.texts import say

IDLE_SECONDS: Final = 300.0
"""How long a process stays unused. Files that the server deletes meanwhile keep their space on the disk."""
READ_SECONDS: Final = 5.0
"""How long a page waits for an answer."""
WORK_SECONDS: Final = 120.0
"""How long background work and writes wait: opening a database takes 2 µs for each row in its write-ahead log."""
END_SECONDS: Final = 10.0
"""How long a process may take to close its database when it is no longer needed."""


class Died(Exception):
    """The process ended, or its socket broke, in the middle of a question."""


class Child:
    """One process with one database, asked over a socket. Answers come in the order of the questions."""

    def __init__(self, path: Path, version: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this Python, our module
                [sys.executable, "-m", "stores.backends.rockschild", str(theirs.fileno()), str(os.getpid()), str(path), version],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": tempfile.gettempdir()},
            )
        self.connection = Connection(ours.detach())
        self._owed = 0

    def ask(self, name: str, arguments: tuple[Any, ...], until: float) -> Any:
        """The answer. Raises the StoreError that it is, TimeoutError after `until` (monotonic), Died."""
        try:
            while self._owed:
                self._receive(until)
            self.connection.send_bytes(marshal.dumps((name, arguments)))
            self._owed += 1
            fine, found = self._receive(until)
        except (EOFError, ConnectionError) as error:
            raise Died from error
        if fine:
            return found
        kind, said = found
        message, fix = pickle.loads(said)  # noqa: S301 - from a process that this one started
        raise getattr(errors, kind, StoreUnavailable)(message, fix)

    def _receive(self, until: float) -> tuple[bool, Any]:
        if not self.connection.poll(max(0.0, until - time.monotonic())):
            raise TimeoutError
        answer: tuple[bool, Any] = marshal.loads(self.connection.recv_bytes())  # noqa: S302 - from a process that this one started
        self._owed -= 1
        return answer

    def end(self) -> None:
        """Have it close its database and end; one that does not is ended."""
        self.connection.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Shared:
    """What the backends of one database share: its process, once somebody has asked something."""

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        self.version = version
        self.users = 0
        self.used = 0.0
        self.generation = 1
        """The number of the process: what one of them was told, the next does not know."""
        self._child: Child | None = None
        self._lock = threading.Lock()
        """Held for one question and its answer."""

    def ask(self, name: str, *arguments: Any, seconds: float = READ_SECONDS, again: bool = True) -> Any:
        """Ask the database's process. Raises StoreUnavailable when it has not answered in time, and what it answers.

        `again`: whether a process that dies over the question is replaced and asked once more; not for what changes something.
        """
        with self._turn(seconds) as until:
            self.used = time.monotonic()
            try:
                return self._living().ask(name, arguments, until)
            except Died:
                self._drop()
                if not again:
                    raise _died(self.path) from None
            try:
                return self._living().ask(name, arguments, until)
            except Died:
                self._drop()
                raise _died(self.path) from None

    @contextmanager
    def _turn(self, seconds: float) -> Iterator[float]:
        """Wait for our turn; the monotonic time at which to give up."""
        until = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise _slow(self.path, seconds)
        try:
            yield until
        except TimeoutError:
            raise _slow(self.path, seconds) from None
        finally:
            self._lock.release()

    def _living(self) -> Child:
        if self._child is None or self._child.process.poll() is not None:
            self._drop()
            try:
                self._child = Child(self.path, self.version)
            except OSError as error:
                raise StoreUnavailable(
                    say("No process can be started: %(reason)s.", reason=error.strerror),
                    say("Look at this machine's memory and limits."),
                ) from None
        return self._child

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            self.generation += 1
            child.end()

    def knows(self, generation: int) -> bool:
        """Whether the process of this number still lives."""
        if self._lock.acquire(blocking=False):
            try:
                if self._child is not None and self._child.process.poll() is not None:
                    self._drop()
            finally:
                self._lock.release()
        return self.generation == generation

    def end(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._drop()

    def forget(self) -> None:
        """In a forked child: close its copy of the socket, so that the process ends with the one it belongs to."""
        if self._child is not None:
            self._child.connection.close()


def _slow(path: Path, seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        say("RocksDB has not answered within %(seconds)s s for %(path)s.", seconds=f"{seconds:g}", path=path),
        say("It is reading the mail server's write-ahead log, or the disk is slow; try again in a moment."),
    )


def _died(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        say("The process that reads %(path)s has ended.", path=path),
        say(
            "Try again; if this was a change, look first whether it was made. If it happens again look at kvadmin's log and at the memory."
        ),
    )


class _Process:
    """What belongs to this process alone; a forked child starts with a new one."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        """Held while `shared` is looked at or changed."""
        self.shared: dict[tuple[Path, bool], Shared] = {}
        self.reaper: threading.Thread | None = None
        self.holders = count(1)


_here = _Process()


def _start_over() -> None:
    global _here
    parents, _here = _here, _Process()
    for shared in parents.shared.values():
        shared.forget()


os.register_at_fork(after_in_child=_start_over)


def new_holder() -> int:
    """A number for somebody who holds a database open for writing."""
    return next(_here.holders)


def acquire(path: Path, version: str) -> Shared:
    """What this process shares of a database; `release` it after use. Starts nothing yet."""
    key = (path.resolve(), version.startswith("0.10"))
    with _here.guard:
        shared = _here.shared.setdefault(key, Shared(key[0], version))
        shared.users += 1
        if _here.reaper is None:
            _here.reaper = threading.Thread(target=_close_idle_for_ever, name="rocksdb-idle", daemon=True)
            _here.reaper.start()
        return shared


def release(shared: Shared) -> None:
    """Say that a backend is done; the process stays for the next one."""
    with _here.guard:
        shared.users -= 1
        shared.used = time.monotonic()


def close_idle(older_than: float = 0.0) -> None:
    """End the processes that nobody has used for this many seconds."""
    idle = []
    with _here.guard:
        for key, shared in list(_here.shared.items()):
            if shared.users == 0 and time.monotonic() - shared.used >= older_than:
                idle.append(_here.shared.pop(key))
    for shared in idle:
        shared.end()


def _close_idle_for_ever() -> None:
    while True:
        time.sleep(IDLE_SECONDS / 10)
        with suppress(StoreError):
            close_idle(IDLE_SECONDS)


atexit.register(close_idle)
