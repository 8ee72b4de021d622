"""The dry run of a bulk change: how many keys, how many bytes, which ones, how long, and how much of it could be undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core import signing

from stores.errors import BadConfig
from stores.models import Run, RunAction, RunState, Store
from stores.services import access
from stores.services.bulk_change import Change, Do
from stores.services.filterwalk import STEP, FilterWalk, Position
from stores.services.rows import Row
from stores.services.trash_room import Cover, cover
from stores.texts import say
from stores.types import Entry, Pace

SAMPLES: Final = 20
VALID_SECONDS: Final = 3600
"""A dry run that is older has to be made again."""
_SALT: Final = "stores.bulk"
_GUESS_MS: Final[Mapping[Do, float]] = {Do.DELETE: 0.1, Do.EXPIRY: 0.15, Do.COPY: 0.2, Do.MOVE: 0.3, Do.IMPORT: 0.15}
"""Milliseconds a key where no run of this kind has been done on the store yet."""
PAUSES: Final[Mapping[Pace, float]] = {Pace.GENTLE: 1.3, Pace.NORMAL: 1.0, Pace.FAST: 1.0}
"""How much longer a run takes because of its pauses; smaller chunks come on top."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a filter finds: `exact` when the store was read to the end, else there are at least so many."""

    keys: int
    exact: bool
    bytes: int
    scanned: int
    expired: int
    seconds: float
    samples: tuple[Row, ...]
    ordered: bool = True
    """The store keeps its keys in order, so that an export can go on after one."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do. `token` is this preview, sealed: a run is started with it and with nothing else."""

    change: Change
    found: Found
    cover: Cover | None
    """None for a change that removes and overwrites nothing, or keeps no copies."""
    seconds: Mapping[Pace, float]
    measured: bool
    """The times are from an earlier run on this store."""
    token: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A preview that came back with its confirmation."""

    change: Change
    keys: int
    exact: bool
    bytes: int


def look(store: Store, change: Change, budget_seconds: float | None = 2.0) -> Found:
    """Walk the filter for as long as the budget allows (None: to the end). Memory stays flat; raises what the store says."""
    began = time.monotonic()
    with access.opened(store) as backend:
        walk = FilterWalk(backend, store.effective_version, change.filter, change.at)
        return survey(walk, None if budget_seconds is None else began + budget_seconds)


def survey(walk: FilterWalk, deadline: float | None, stop: Callable[[], bool] = lambda: False) -> Found:
    """Count, weigh and sample an open walk until the deadline (monotonic seconds), or until somebody wants it to stop."""
    began = time.monotonic()
    keys = size = scanned = expired = 0
    spread = Spread()
    exact = True
    for step in walk.steps(Position(), 4 * STEP):
        scanned += step.scanned
        for entry in step.entries:
            keys += 1
            size += entry.size
            expired += entry.expired(walk.now)
            spread.offer(entry)
        if step.after is not None and (stop() or (deadline is not None and time.monotonic() >= deadline)):
            exact = False
            break
    return Found(
        keys, exact, size, scanned, expired, time.monotonic() - began, tuple(walk.row(entry) for entry in spread.chosen()), walk.ordered
    )


def preview(store: Store, change: Change, budget_seconds: float | None = 2.0) -> Preview:
    """The dry run; changes nothing. Costs a walk through the filter within the budget."""
    found = look(store, change, budget_seconds)
    covered = cover(found.keys, 0 if change.do is Do.COPY else found.bytes) if change.undo else None
    sealed = {"store": store.id, "params": change.params(), "keys": found.keys, "exact": found.exact, "bytes": found.bytes}
    seconds, measured = estimate(store, change.do, found.keys, found.seconds)
    return Preview(change, found, covered, seconds, measured, signing.dumps(sealed, salt=_SALT, compress=True))


def confirmed(store: Store, token: str, typed: str) -> Confirmed:
    """What a token of `preview` says, when the typed count is the counted one. Raises BadConfig(field="count" or "token")."""
    try:
        sealed: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=VALID_SECONDS)
    except signing.SignatureExpired:
        raise BadConfig(say("This dry run is more than an hour old."), say("Make it again: the keys may be others now."), "token") from None
    except signing.BadSignature:
        raise BadConfig(say("This is no dry run of kvadmin's."), say("Start from the list of keys."), "token") from None
    if sealed["store"] != store.id:
        raise BadConfig(say("This dry run is of another store."), say("Start from the list of keys."), "token")
    digits = "".join(char for char in typed if char not in ",. '\u202f\u00a0")
    if digits != str(sealed["keys"]):
        raise BadConfig(say("That is not the count."), say("Type %(sealed)s to confirm.", sealed=sealed["keys"]), "count")
    return Confirmed(Change.from_params(sealed["params"]), sealed["keys"], sealed["exact"], sealed["bytes"])


def estimate(store: Store, do: Do, keys: int, reading: float) -> tuple[dict[Pace, float], bool]:
    """Seconds by pace, and whether they are from the last run of this kind here, or from the reading and a guess of the writing."""
    past = Run.objects.filter(store=store, action=RunAction.BULK, state=RunState.DONE, params__do=do.value, seconds__gt=0.5).first()
    if past is not None and (done := past.params.get("record", {}).get("done", 0)):
        base = keys * past.seconds / done / PAUSES[Pace(past.pace)]
        return {pace: base * factor for pace, factor in PAUSES.items()}, True
    base = reading + keys * _GUESS_MS[do] / 1000
    return {pace: base * factor for pace, factor in PAUSES.items()}, False


class Spread:
    """Samples spread evenly over a stream of unknown length, in the memory of 40."""

    def __init__(self) -> None:
        self.seen = 0
        self.stride = 1
        self.held: list[Entry] = []

    def offer(self, entry: Entry) -> None:
        if self.seen % self.stride == 0:
            self.held.append(entry)
            if len(self.held) == 2 * SAMPLES:
                self.held = self.held[::2]
                self.stride *= 2
        self.seen += 1

    def chosen(self) -> list[Entry]:
        count = len(self.held)
        if count <= SAMPLES:
            return self.held
        return [self.held[index * count // SAMPLES] for index in range(SAMPLES)]
