"""Work on the space of a store that is one long call of its engine: done in a thread, so that the run stays alive and can be stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.25
MEGABYTE: Final = 1_000_000


def watched(work: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Do the work in a thread, a turn four times a second until it has ended; its error is raised here.

    Closed early, `stop` is called until the work has ended: a call that comes before the engine has begun stops nothing.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            while not wait([future], LOOK_SECONDS).done:
                yield
            future.result()
        finally:
            while not future.done():
                stop()
                wait([future], LOOK_SECONDS)


def guess(size: int, megabytes_a_second: float) -> float:
    """Seconds that an engine needs for so many bytes at such a rate, one at least."""
    return max(1.0, size / (megabytes_a_second * MEGABYTE))


def disk_free(folder: Path) -> int:
    """Bytes that this process may still write on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
