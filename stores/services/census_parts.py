"""Parts of a census in kvadmin's database: claimed, saved every few seconds, taken over when their worker gives no sign of life."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django.db.models import Q
from django.utils import timezone

from stores.models import ACTIVE_STATES, CensusPart, Run, RunState
from stores.services.counting import Held, Parts, Reached
from stores.services.tally import Tally

STALE: Final = timedelta(seconds=15)
"""A part whose worker has been silent for this long is counted on by another one, from its last position."""
SIGN_OF_LIFE: Final = timedelta(seconds=2)


class RunParts(Parts):
    """The parts of one run, as one worker sees them. Each write is conditional, so that two workers never count one part into a whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._mark = uuid4().hex
        self._told = timezone.now()

    def known(self) -> bool:
        """Whether the run was divided before."""
        return "moment" in self._run.params and bool(self._rows().exists())

    def create(self, positions: list[str]) -> None:
        """Divide the run."""
        self._rows().delete()
        CensusPart.objects.bulk_create(CensusPart(run=self._run, number=number, position=at) for number, at in enumerate(positions))

    def claim(self) -> Held | None:
        """The first part that is open and in nobody's hands."""
        free = Q(worker="") | Q(seen_at__lt=timezone.now() - STALE)
        for part in self._rows().filter(free).exclude(position=""):
            mine = self._rows().filter(free, pk=part.pk).update(worker=self._mark, seen_at=timezone.now())
            if mine:
                return Held(part.number, part.position, unpacked(bytes(part.state)))
        return None

    def reached(self, part: Reached) -> bool:
        """Save position and sums together."""
        return self._update(
            part.number,
            position=part.position,
            state=packed(part.state),
            rows=part.rows,
            corrupt=part.corrupt,
            progress=part.progress,
            seen_at=timezone.now(),
        )

    def open(self) -> bool:
        return bool(self._rows().exclude(position="").exists())

    def whole(self, empty: Callable[[], Tally]) -> Tally:
        found = empty()
        for state in self._rows().values_list("state", flat=True):
            dumped = unpacked(bytes(state))
            if dumped is not None:
                found.load(dumped)
        return found

    def sums(self, at_work: dict[int, tuple[int, float]]) -> tuple[int, int, float]:
        """Rows, malformed ones and progress of all parts; those at work here are ahead of what is saved. Gives signs of life."""
        self._tell(at_work)
        known = {number: (rows, corrupt, progress) for number, rows, corrupt, progress in self._figures()}
        rows = sum(at_work.get(number, (saved, 0.0))[0] for number, (saved, _, _) in known.items())
        progress = sum(at_work.get(number, (0, done))[1] for number, (_, _, done) in known.items())
        return rows, sum(corrupt for _, corrupt, _ in known.values()), progress / max(1, len(known))

    def watch(self, at_work: dict[int, tuple[int, float]]) -> bool:
        """For a worker that assists: give signs of life, and stop when the run does."""
        self._tell(at_work)
        return not Run.objects.filter(pk=self._run.pk, state=RunState.RUNNING, cancel_requested=False).exists()

    def release(self) -> None:
        """Leave the parts that are not done to others, at once."""
        self._rows().filter(worker=self._mark).exclude(position="").update(worker="", seen_at=None)

    def forget(self) -> None:
        """Drop all parts: the count begins anew."""
        self._rows().delete()

    def forget_ended(self) -> None:
        """Drop the parts of a run that has ended; those of one that waits for a worker stay, free for whoever is next."""
        if Run.objects.filter(pk=self._run.pk, state__in=ACTIVE_STATES).exists():
            self._rows().exclude(position="").update(worker="", seen_at=None)
        else:
            self.forget()

    def _rows(self) -> Any:
        return CensusPart.objects.filter(run_id=self._run.pk)

    def _figures(self) -> Any:
        return self._rows().values_list("number", "rows", "corrupt", "progress")

    def _tell(self, at_work: dict[int, tuple[int, float]]) -> None:
        now = timezone.now()
        if now - self._told < SIGN_OF_LIFE or not at_work:
            return
        self._told = now
        for number in at_work:
            self._update(number, seen_at=now)

    def _update(self, number: int, **changes: Any) -> bool:
        return bool(self._rows().filter(number=number, worker=self._mark).update(**changes))


def packed(state: dict[str, Any]) -> bytes:
    """Sums of a part as they are kept."""
    return zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 1)


def unpacked(state: bytes) -> dict[str, Any] | None:
    """The sums of a part; None where nothing was counted yet."""
    return json.loads(zlib.decompress(state)) if state else None
