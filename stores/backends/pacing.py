"""How large a step of background work may be, found by measuring the last ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Feedback:
    """The size of the next step, so that one step takes about `budget` seconds.

    Starts small, grows by half at most, and falls to half at most when a step took longer: a fixed size that is right for a million
    rows is too large for ten million, and other load on the server changes the answer from minute to minute. `lowest` is where the
    fixed cost of a step outweighs its rows, so that waiting for a busy disk does not shrink the steps to nothing.
    """

    budget: float
    size: int
    lowest: int
    highest: int

    def took(self, seconds: float) -> None:
        """Adjust the size by what the last full step of that size took."""
        wanted = self.size * self.budget / max(seconds, self.budget / 8)
        self.size = max(self.lowest, min(self.highest, int(min(max(wanted, self.size / 2), self.size * 1.5))))
