"""Curves drawn on the server as SVG: no script, the same on paper, and a table says the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.translation import gettext

from stores.services.history import RANGES, Point
from stores.templatetags import words

register = template.Library()

_LEFT: Final = 34
_TOP: Final = 14
_BOTTOM: Final = 18


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid: where it is, and what stands beside it."""

    place: float
    label: str


@register.inclusion_tag("stores/shared/growth_chart.html")
def growth_chart(points: Sequence[Point], range_name: str, label: str, wide: bool = False) -> dict[str, Any]:
    """Live keys as an area, expired ones on top of it, from the first point of the range to the last."""
    width, height = (1080, 260) if wide else (376, 130)
    if len(points) < 2:
        return {"points": points}
    start, end = points[0].at.timestamp(), points[-1].at.timestamp()
    top = ceiling(max(point.keys for point in points))
    base = height - _BOTTOM

    def x(at: float) -> float:
        return round(_LEFT + (at - start) / (end - start) * (width - _LEFT), 1)

    def y(keys: float) -> float:
        return round(base - keys / top * (base - _TOP), 1)

    live = [f"{x(point.at.timestamp())},{y(point.live)}" for point in points]
    whole = [f"{x(point.at.timestamp())},{y(point.keys)}" for point in points]
    return {
        "points": points,
        "width": width,
        "height": height,
        "base": base,
        "left": _LEFT,
        "label": label,
        "wide": wide,
        "live_area": " ".join([f"{_LEFT},{base}", *live, f"{width},{base}"]),
        "live_line": " ".join(live),
        "expired_area": " ".join([*whole, *reversed(live)]) if any(point.expired for point in points) else "",
        "rows": [Tick(y(keys), words.short_count(keys)) for keys in rows(top)],
        "columns": [Tick(x(at), text) for at, text in columns(start, end, 8 if wide else 4) if x(at) < width - 18],
        "hits": _hits(points, [x(point.at.timestamp()) for point in points], width) if wide else [],
    }


def ceiling(number: int) -> int:
    """The next round figure: 1, 2, 4, 6, 8 times a power of ten; at least 4."""
    if number <= 4:
        return 4
    power = int(10 ** floor(log10(number)))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= number)


def rows(top: int) -> list[int]:
    """Two to four equal parts of the scale."""
    parts = 3 if str(top)[0] == "6" else 2 if str(top)[0] == "1" else 4 if top % 4 == 0 else 2
    return [top * part // parts for part in range(1, parts + 1)]


def columns(start: float, end: float, most: int) -> list[tuple[float, str]]:
    """Round local times between two moments, at most so many, and what to call them."""
    step, form = next(((step, form) for step, form in _STEPS if (end - start) / step <= most), _STEPS[-1])
    zone = timezone.get_current_timezone()
    first = ceil((start + _offset(start, zone)) / step) * step
    found = []
    at = float(first)
    while at - _offset(at, zone) <= end:
        moment = at - _offset(at, zone)
        there = datetime.fromtimestamp(moment, zone)
        found.append((moment, words.day(there) if form == "day" else words.weekday(there) if form == "weekday" else there.strftime(form)))
        at += step
    return found


_STEPS: Final = (
    (300, "%H:%M"),
    (900, "%H:%M"),
    (1800, "%H:%M"),
    (3600, "%H:%M"),
    (3 * 3600, "%H:%M"),
    (6 * 3600, "%H:%M"),
    (86400, "weekday"),
    (2 * 86400, "day"),
    (7 * 86400, "day"),
    (30 * 86400, "day"),
    (91 * 86400, "day"),
    (182 * 86400, "day"),
)


def _offset(at: float, zone: tzinfo) -> float:
    there = datetime.fromtimestamp(at, zone).utcoffset()
    return there.total_seconds() if there else 0.0


def _hits(points: Sequence[Point], places: Sequence[float], width: int) -> list[dict[str, Any]]:
    """A strip around each point that says its figures when it is pointed at."""
    edges = [_LEFT, *((left + right) / 2 for left, right in pairwise(places)), width]
    return [
        {
            "x": round(edges[number], 1),
            "width": round(edges[number + 1] - edges[number], 1),
            "text": gettext("%(timestamp)s: %(keys)s, %(expired)s expired")
            % {
                "timestamp": words.absolute(point.at.timestamp()),
                "keys": words.plural(point.keys, "key"),
                "expired": words.count(point.expired),
            },
        }
        for number, point in enumerate(points)
    ]


@register.simple_tag
def plot_points(points: Sequence[Point]) -> str:
    """Moments, keys and live keys as three JSON lists, for the script that draws the curve."""
    columns = ([int(point.at.timestamp()) for point in points], [point.keys for point in points], [point.live for point in points])
    return json.dumps(columns, separators=(",", ":"))


@register.simple_tag
def plot_zone() -> str:
    """The time zone of the pages by its IANA name."""
    return timezone.get_current_timezone_name()


@register.simple_tag
def range_links(chosen: str) -> list[dict[str, Any]]:
    """The ranges to choose from."""
    return [{"name": name, "label": label, "here": name == chosen} for name, (label, _, _) in RANGES.items()]


@register.filter
def signed(number: float) -> str:
    """A change: `+4`, `−41`, `0`."""
    whole = round(number)
    return f"+{words.count(whole)}" if whole > 0 else words.count(whole)


@register.filter
def signed_size(number: float) -> str:
    """A change in bytes: `+1.2 MB`, `−144 B`."""
    if not number:
        return "0"
    return f"{'+' if number > 0 else '−'}{words.size(abs(number))}"
