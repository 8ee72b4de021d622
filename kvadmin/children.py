"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
"""Loaded at import: between fork and exec nothing may be loaded any more."""


def die_with_parent(death_signal: signal.Signals, parent: int = 0) -> None:
    """Ask the kernel to send this process the signal as soon as its parent ends, kill -9 included (Linux only).

    `parent` is the expected parent's pid: when it has died in the meantime, the signal is sent at once.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if parent and os.getppid() != parent:
        os.kill(os.getpid(), death_signal)
