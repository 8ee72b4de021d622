"""Parts of a run in kvadmin's database: claimed, saved every few seconds, taken over when their worker gives no sign of life."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from stores.models import Census, Run, RunPart, Store
from stores.services import history
from stores.types import Pace

FAN_OUT_KEYS: Final = 2_000_000
"""From this many keys at the last count on, several workers count or purge a store together."""
FAN_OUT_PARTS: Final = 8
"""Parts that such a store is cut into at least."""
STALE: Final = timedelta(seconds=15)
"""A part whose worker has been silent for this long is gone on with by another one, from its last position."""
SIGN_OF_LIFE: Final = timedelta(seconds=2)
_LEADER: Final = "lead-"


class PartRows:
    """The parts of one run, as one worker sees them. Each write is conditional, so that two workers never add up one part.

    The worker that holds the run leads; others assist. A leader may always take a part, assistants as many as there are seats.
    """

    def __init__(self, run: Run, *, leads: bool = True) -> None:
        self._run = run
        self._mark = (_LEADER if leads else "") + uuid4().hex[: 32 - len(_LEADER)]
        self._told = timezone.now()

    def create(self, positions: Iterable[str]) -> None:
        """Divide the run. Parts that were there and are not done are given up: what they have counted stays, the rest begins anew."""
        self.rows().exclude(position="").update(position="", worker="")
        first = (self.rows().aggregate(last=Max("number"))["last"] or 0) + 1
        RunPart.objects.bulk_create(RunPart(run=self._run, number=number, position=at) for number, at in enumerate(positions, first))

    def take(self, seats: int = 0) -> RunPart | None:
        """The first part that is open and in nobody's hands; None without one, and where the seats are taken. One at a time looks."""
        with transaction.atomic():
            Run.objects.select_for_update().filter(pk=self._run.pk).values_list("pk").first()
            now = timezone.now()
            if seats and not self.may_stay(seats):
                return None
            free = Q(worker="") | Q(seen_at__lt=now - STALE)
            part: RunPart | None = self.rows().filter(free).exclude(position="").first()
            if part is not None:
                self.rows().filter(pk=part.pk).update(worker=self._mark, seen_at=now)
            return part

    def may_stay(self, seats: int) -> bool:
        """Whether there is a seat for this assistant: one is the leader's, the others go to the first of those at work."""
        held = self.rows().exclude(position="").filter(seen_at__gte=timezone.now() - STALE).exclude(worker="")
        others = {mark for mark in held.values_list("worker", flat=True) if not mark.startswith(_LEADER)}
        return sorted({*others, self._mark}).index(self._mark) < seats - 1 if self._mark in others else len(others) < seats - 1

    def open(self) -> bool:
        """Whether some part is not done, here or elsewhere."""
        return bool(self.rows().exclude(position="").exists())

    def held_elsewhere(self) -> bool:
        """Whether another worker that gives signs of life has a part."""
        held = self.rows().exclude(position="").filter(seen_at__gte=timezone.now() - STALE)
        return bool(held.exclude(worker__in=("", self._mark)).exists())

    def release(self) -> None:
        """Leave the parts that are not done to others, at once."""
        self.rows().filter(worker=self._mark).exclude(position="").update(worker="", seen_at=None)

    def forget(self) -> None:
        """Drop all parts."""
        self.rows().delete()

    def rows(self) -> Any:
        """The parts, in order."""
        return RunPart.objects.filter(run_id=self._run.pk)

    def write(self, number: int, **changes: Any) -> bool:
        """Change a part, if it is still this worker's."""
        return bool(self.rows().filter(number=number, worker=self._mark).update(**changes))

    def tell(self, numbers: Iterable[int]) -> None:
        """Give signs of life for parts at work here, now and then."""
        now = timezone.now()
        if now - self._told < SIGN_OF_LIFE:
            return
        self._told = now
        for number in numbers:
            self.write(number, seen_at=now)


def is_large(store: Store) -> bool:
    """Whether several workers are called for this store: it had very many keys at its last count."""
    last = Census.objects.filter(store=store).defer("classes", "details", "steps").first()
    return last is not None and history.keys_of(last.total) >= FAN_OUT_KEYS


def seats(pace: Pace | None = None) -> int:
    """Workers that may share a run: at gentle pace one, at normal pace half of those that are allowed, else all of them."""
    most = int(settings.KVADMIN_RUN_WORKERS)
    if pace is Pace.GENTLE:
        return 1
    return max(1, most // 2) if pace is Pace.NORMAL else most


def packed(state: dict[str, Any]) -> bytes:
    """Sums of a part as they are kept."""
    return zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 1)


def unpacked(state: bytes) -> dict[str, Any] | None:
    """The sums of a part; None where nothing was counted yet."""
    return json.loads(zlib.decompress(state)) if state else None
