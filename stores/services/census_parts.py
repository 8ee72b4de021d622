"""Parts of a census in kvadmin's database, each with its sums so far."""

from __future__ import annotations

from collections.abc import Callable

from django.utils import timezone

from stores.models import ACTIVE_STATES, Run, RunState
from stores.services.counting import Held, Parts, Reached
from stores.services.part_rows import PartRows, packed, seats, unpacked
from stores.services.tally import Tally


class RunParts(PartRows, Parts):
    """The parts of a census, as one worker sees them."""

    def __init__(self, run: Run, *, leads: bool = True) -> None:
        super().__init__(run, leads=leads)
        self._seats = 0 if leads else seats()

    def known(self) -> bool:
        """Whether the run was divided before."""
        return "moment" in self._run.params and bool(self.rows().exists())

    def claim(self) -> Held | None:
        part = self.take(self._seats)
        return None if part is None else Held(part.number, part.position, unpacked(bytes(part.state)))

    def reached(self, part: Reached) -> bool:
        """Save position and sums together."""
        return self.write(
            part.number,
            position=part.position,
            state=packed(part.state),
            rows=part.rows,
            corrupt=part.corrupt,
            progress=part.progress,
            seen_at=timezone.now(),
        )

    def whole(self, empty: Callable[[], Tally]) -> Tally:
        found = empty()
        for state in self.rows().values_list("state", flat=True):
            dumped = unpacked(bytes(state))
            if dumped is not None:
                found.load(dumped)
        return found

    def sums(self, at_work: dict[int, tuple[int, float]]) -> tuple[int, int, float]:
        """Rows, malformed ones and progress of all parts; those at work here are ahead of what is saved. Gives signs of life."""
        self.tell(at_work)
        known = {number: (rows, corrupt, progress) for number, rows, corrupt, progress in self._figures()}
        rows = sum(at_work.get(number, (saved, 0.0))[0] for number, (saved, _, _) in known.items())
        progress = sum(at_work.get(number, (0, done))[1] for number, (_, _, done) in known.items())
        return rows, sum(corrupt for _, corrupt, _ in known.values()), progress / max(1, len(known))

    def watch(self, at_work: dict[int, tuple[int, float]]) -> bool:
        """For a worker that assists: give signs of life, and stop when the run does."""
        self.tell(at_work)
        return not Run.objects.filter(pk=self._run.pk, state=RunState.RUNNING, cancel_requested=False).exists()

    def forget_ended(self) -> None:
        """Drop the parts of a run that has ended; those of one that waits for a worker stay, free for whoever is next."""
        if Run.objects.filter(pk=self._run.pk, state__in=ACTIVE_STATES).exists():
            self.rows().exclude(position="").update(worker="", seen_at=None)
        else:
            self.forget()

    def _figures(self) -> list[tuple[int, int, int, float]]:
        return list(self.rows().values_list("number", "rows", "corrupt", "progress"))
