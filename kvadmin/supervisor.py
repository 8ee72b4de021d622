"""Runs child processes: starts them again with back-off, forwards what they print, ends all of them within seconds.

Knows nothing of stores, Django or Celery. Single-threaded on purpose: the kernel's parent-death signal follows the thread that
made the child, and a fork in a process with threads is not safe.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from kvadmin.children import die_with_parent
from kvadmin.logs import mask

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0
STEADY_AFTER = 60.0
"""Seconds after which a child counts as healthy and the back-off begins again at its first step."""
HURRY_AFTER, KILL_AFTER = 4.0, 7.0
"""Seconds after the stop signal until the hurry signal and until kill -9."""
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `last` programs are ended after all others, because these still need them."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    hurry_signal: signal.Signals = signal.SIGQUIT
    death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when the supervisor itself is killed."""
    last: bool = False


@dataclass(slots=True)
class Child:
    """A program and its present process."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    backoff: float = FIRST_BACKOFF
    restarts: int = 0

    @property
    def running(self) -> bool:
        return self.process is not None


class Supervisor:
    """Use from the main thread: `start` each program, then `run`; `stop` ends all, whatever happened before."""

    def __init__(self, output: IO[bytes] | None = None, on_change: Callable[[list[Child]], None] = lambda children: None) -> None:
        self.children: dict[str, Child] = {}
        self.stopping = False
        self._output = output if output is not None else sys.stderr.buffer
        self._on_change = on_change
        self._selector = selectors.DefaultSelector()
        self._tails: dict[int, tuple[str, bytearray]] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def install_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP end `run`; a child's end wakes it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def start(self, program: Program) -> Child:
        """Start a program now. Raises OSError when it cannot be run at all."""
        child = self.children.setdefault(program.name, Child(program))
        read, write = os.pipe()
        parent = os.getpid()
        try:
            child.process = subprocess.Popen(  # noqa: S603
                list(program.command),
                cwd=program.folder,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                pass_fds=program.pass_fds,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(program.death_signal, parent),
            )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        os.set_blocking(read, False)
        self._tails[read] = (program.name, bytearray())
        self._selector.register(read, selectors.EVENT_READ)
        child.started_at = time.monotonic()
        self._on_change(list(self.children.values()))
        return child

    def run(self, until: Callable[[], bool] = lambda: False, pause: float = 1.0) -> bool:
        """Supervise until a stop signal (returns False) or until `until` says so (returns True); it is asked every `pause` seconds."""
        while not self.stopping:
            if until():
                return True
            self.step(pause)
        return False

    def step(self, pause: float) -> None:
        """Forward output, notice ends, start again what is due; returns after `pause` seconds or the first event."""
        now = time.monotonic()
        due = [child.due_at - now for child in self.children.values() if not child.running]
        self._forward(max(0.0, min([pause, *due])))
        for child in self.children.values():
            self._notice_end(child)
            if not child.running and time.monotonic() >= child.due_at and not self.stopping:
                self._start_again(child)

    def stop(self) -> None:
        """End everything: all but the last ones, then these. Takes at most 9 s; afterwards no process of theirs is left."""
        self.stopping = True
        for last in (False, True):
            self._stop_group([child for child in self.children.values() if child.program.last is last])
        self._forward(0.0)
        for child in self.children.values():
            child.process = None
        self._on_change(list(self.children.values()))

    def say(self, text: str, name: str = "kvadmin") -> None:
        """One line on the output, prefixed like the children's, secrets masked."""
        try:
            self._output.write(f"{name:<8}| {mask(text)}\n".encode(errors="replace"))
            self._output.flush()
        except (OSError, ValueError):
            pass

    def _stop_group(self, children: list[Child]) -> None:
        alive = [child for child in children if child.process is not None]
        began, hurried = time.monotonic(), False
        for child in alive:
            _send(child, signal.SIGTERM)
        while alive and (passed := time.monotonic() - began) < (KILL_AFTER if not children[0].program.last else 2.0):
            if passed >= HURRY_AFTER and not hurried:
                hurried = True
                for child in alive:
                    _send(child, child.program.hurry_signal)
            self._forward(0.05)
            alive = [child for child in alive if child.process is not None and child.process.poll() is None]
        for child in children:
            if child.process is not None:
                _kill_session(child.process)

    def _notice_end(self, child: Child) -> None:
        if child.process is None or (code := child.process.poll()) is None:
            return
        _kill_session(child.process)
        now = time.monotonic()
        if now - child.started_at >= STEADY_AFTER:
            child.backoff = FIRST_BACKOFF
        child.process, child.due_at = None, now + child.backoff
        if not self.stopping:
            self.say(f"{child.program.name} ended ({_how(code)}); starting it again in {child.backoff:.0f} s")
        child.backoff = min(child.backoff * 2, LONGEST_BACKOFF)
        self._on_change(list(self.children.values()))

    def _start_again(self, child: Child) -> None:
        child.restarts += 1
        try:
            self.start(child.program)
        except OSError as error:
            child.due_at = time.monotonic() + child.backoff
            child.backoff = min(child.backoff * 2, LONGEST_BACKOFF)
            self.say(f"{child.program.name} cannot be started: {error}")

    def _forward(self, timeout: float) -> None:
        for event, _ in self._selector.select(timeout):
            descriptor = event.fd
            try:
                data = os.read(descriptor, _LONGEST_LINE)
            except BlockingIOError:
                continue
            if descriptor == self._wake_read:
                continue
            name, tail = self._tails[descriptor]
            if not data:
                self._selector.unregister(descriptor)
                os.close(descriptor)
                del self._tails[descriptor]
            tail += data
            self._print_lines(name, tail, everything=not data or len(tail) > _LONGEST_LINE)

    def _print_lines(self, name: str, tail: bytearray, everything: bool) -> None:
        *lines, rest = bytes(tail).split(b"\n")
        tail[:] = b"" if everything else rest
        for line in [*lines, rest] if everything and rest else lines:
            self.say(line.decode(errors="replace").rstrip(), name)


def _send(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's own session: pool processes and workers it made."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
