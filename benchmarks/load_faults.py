"""Everything killed under load, one after another: how long pages failed, what was said meanwhile, whether it came back by itself."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.load import Installation
    from benchmarks.load_crowd import Crowd

AWAY_SECONDS = 5.0
"""How long the database and the store stay away."""
LONGEST = 120.0


@dataclass(slots=True)
class Fault:
    """What is done to which part, and what has to be true again afterwards."""

    name: str
    strike: Callable[[Installation], None]


def _kill(program: str) -> Callable[[Installation], None]:
    def strike(made: Installation) -> None:
        pid = made.up.pids()[program]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    return strike


def _kill_web_worker(made: Installation) -> None:
    """One of gunicorn's processes, as the kernel would when memory runs out."""
    web = made.up.pids()["web"]
    children = [pid for pid, parent in made.up.all_processes().items() if parent == web]
    os.kill(children[0], signal.SIGKILL)


def _lose_database(made: Installation) -> None:
    """PostgreSQL ends without a goodbye and recovers; a SQLite file has no server, and is locked."""
    if made.postgresql is not None:
        assert made.postgresql.child is not None
        os.kill(made.postgresql.child.pid, signal.SIGQUIT)
        made.postgresql.child.process.wait(30)
        time.sleep(AWAY_SECONDS)
        made.postgresql.start()
        return
    with closing(sqlite3.connect(made.folder / "data" / "kvadmin.sqlite3", timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(AWAY_SECONDS)
        connection.execute("ROLLBACK")


def _restart_store(made: Installation) -> None:
    made.valkey.kill()
    time.sleep(AWAY_SECONDS)
    made.valkey.start()


FAULTS = (
    Fault("web worker", _kill_web_worker),
    Fault("web", _kill("web")),
    Fault("worker", _kill("worker")),
    Fault("beat", _kill("beat")),
    Fault("broker", _kill("broker")),
    Fault("database", _lose_database),
    Fault("store", _restart_store),
)


def all_of_them(made: Installation, crowd: Crowd, faults: Sequence[Fault] = FAULTS) -> int:
    """Strike each part; answers how many did not come back by themselves."""
    lost = 0
    print(f"{'killed':12}{'pages failed for s':>20}{'failed':>8}{'ready after s':>15}  said meanwhile")
    for fault in faults:
        if _wait(lambda: _all_ready(made)) is None:
            return lost + 1
        crowd.forget()
        began = time.monotonic()
        with _Witness(made) as witness:
            fault.strike(made)
            time.sleep(AWAY_SECONDS)
            back = _wait(lambda: _all_ready(made))
        time.sleep(AWAY_SECONDS)
        with crowd.lock:
            failed = list(crowd.failed_at)
        span = max(failed) - began if failed else 0.0
        print(f"{fault.name:12}{span:20.1f}{len(failed):8}{back - began if back else -1:15.1f}  {witness.said}", flush=True)
        if back is None:
            print(made.up.log[-3000:], made.ready(), sep="\n")
        lost += back is None or (bool(failed) and time.monotonic() - max(failed) < AWAY_SECONDS / 2)
    return lost


class _Witness:
    """What /readyz says while something is away, and whether the overview shows the store's outage."""

    def __init__(self, made: Installation) -> None:
        self.made = made
        self.heard: set[str] = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Witness:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)

    @property
    def said(self) -> str:
        return "; ".join(sorted(self.heard)) or "nothing"

    def _watch(self) -> None:
        while not self.stop.wait(0.2):
            found = self.made.ready()
            if not found:
                self.heard.add("no answer")
            self.heard |= {f"{name}: {detail}" for name, detail in found.get("parts", {}).items() if detail != "ok"}
            if "does not answer" in self.made.page("/").replace("kvadmin itself does not answer", ""):  # words for the script
                self.heard.add("overview: a store does not answer")


def _all_ready(made: Installation) -> bool:
    return bool(made.ready().get("ready"))


def _wait(condition: Callable[[], bool]) -> float | None:
    """When the condition held; None when it did not in time."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if condition():
            return time.monotonic()
        time.sleep(0.1)
    return None
