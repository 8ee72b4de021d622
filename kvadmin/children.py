"""Child processes: they never outlive their parent, and background work lets pages and the mail server go first."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
"""Loaded at import: between fork and exec nothing may be loaded any more."""


BACKGROUND_NICE: Final = 5
"""Of two processes that want the same core, one with this value gets about a quarter of it."""
_AUTOGROUP: Final = Path("/proc/self/autogroup")


def step_back() -> None:
    """Let everything else on this machine go first: for background work, which takes what is left of the processor.

    A process that leads a session of its own is also weighed as a group by Linux, whatever its own value, so the group steps back too.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(BACKGROUND_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    with suppress(OSError):
        if os.getsid(0) == os.getpid():
            _AUTOGROUP.write_text(str(BACKGROUND_NICE))


def die_with_parent(death_signal: signal.Signals, parent: int = 0) -> None:
    """Ask the kernel to send this process the signal as soon as its parent ends, kill -9 included (Linux only).

    `parent` is the expected parent's pid: when it has died in the meantime, the signal is sent at once.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if parent and os.getppid() != parent:
        os.kill(os.getpid(), death_signal)
