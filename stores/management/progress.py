"""How far a run in the foreground has come, for people who wait: a line on stderr every two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from stores.models import Run, RunAction
from stores.services.bulk_record import Record
from stores.services.durations import in_words
from stores.services.runs import eta_seconds

EVERY_SECONDS: Final = 2.0


class Written(Protocol):
    """The part of a command's stderr that is used."""

    def write(self, msg: str = "") -> None: ...


def progress(stderr: Written) -> Callable[[Run], None]:
    """What a run calls after each step."""
    last = time.monotonic()

    def show(run: Run) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            stderr.write(words(run))

    return show


def words(run: Run) -> str:
    """ "42% scanned 1200, removed 300, 4000 keys/s, 20 s left"."""
    share = "" if run.progress is None else f"{run.progress:.0%} "
    done = f"done {Record.of(run).done}" if run.action == RunAction.BULK else f"removed {run.removed}"
    rate = f", {run.scanned / run.seconds:.0f} keys/s" if run.seconds >= 1 else ""
    left = eta_seconds(run)
    return f"{share}scanned {run.scanned}, {done}{rate}" + ("" if left is None else f", {in_words(left)} left")
