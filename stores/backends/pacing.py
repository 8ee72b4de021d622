"""How large a step of background work may be, found by measuring the last ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Feedback:
    """The size of the next step, so that one step takes about `budget` seconds.

    Starts small, at most doubles, and falls at once when a step took longer: a fixed size that is right for a million rows is too
    large for ten million, and other load on the server changes the answer from minute to minute.
    """

    budget: float
    size: int
    lowest: int
    highest: int

    def took(self, seconds: float) -> None:
        """Adjust the size by what the last full step of that size took."""
        wanted = self.size * self.budget / max(seconds, self.budget / 8)
        grown = min(wanted, self.size * 1.5) if wanted > self.size else wanted
        self.size = max(self.lowest, min(self.highest, int(grown)))
