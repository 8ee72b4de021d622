"""How fast a run went and how long its steps took, as points that stay few however long it lasts."""

from __future__ import annotations

from typing import Final

MOST: Final = 120
"""Points kept; when there are more, each two become one."""
SHORTEST: Final = 0.5
"""Seconds between two points at least."""

Point = list[float]
"""Seconds of working time, keys looked at so far, the longest step since the point before in milliseconds."""


class Curve:
    """The points of one run, continued by whoever works on it."""

    def __init__(self, points: list[Point]) -> None:
        self.points = points
        self._worst = 0.0

    def add(self, seconds: float, keys: int, milliseconds: float) -> None:
        """Take note of a step; a point is made when the last one is long enough ago."""
        self._worst = max(self._worst, milliseconds)
        last = self.points[-1][0] if self.points else 0.0
        if seconds - last < max(SHORTEST, seconds / MOST):
            return
        self.points.append([round(seconds, 2), keys, round(self._worst, 1)])
        self._worst = 0.0
        if len(self.points) > MOST:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            rest = self.points[-1:] if len(self.points) % 2 else []
            self.points = [[later[0], later[1], max(earlier[2], later[2])] for earlier, later in pairs] + rest
