"""The course of a run as two curves: how fast it went, and how long its steps took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from stores.models import Run
from stores.templatetags import words
from stores.templatetags.kv_charts import ceiling, rows

register = template.Library()

WIDTH: Final = 420
HEIGHT: Final = 96
_LEFT: Final = 40
_TOP: Final = 8
_BASE: Final = HEIGHT - 18


@register.simple_tag
def run_rate(run: Run) -> SafeString | str:
    """Keys a second over the working time; empty for a run of two points or fewer."""
    pairs = list(pairwise([[0.0, 0, 0.0], *run.points]))
    course = [(later[0], (later[1] - earlier[1]) / max(0.001, later[0] - earlier[0])) for earlier, later in pairs]
    return _curve(course, gettext("keys a second"))


@register.simple_tag
def run_steps(run: Run) -> SafeString | str:
    """The longest step between two points, in milliseconds."""
    return _curve([(point[0], point[2]) for point in run.points], gettext("longest step, ms"))


def _curve(course: Sequence[tuple[float, float]], title: str) -> SafeString | str:
    if len(course) < 3:
        return ""
    last, most = course[-1][0], max(value for _, value in course)
    top = ceiling(round(most))
    places = [(_LEFT + at / last * (WIDTH - _LEFT), _BASE - value / top * (_BASE - _TOP)) for at, value in course]
    label = gettext("%(title)s: %(least)s to %(most)s, at the end %(last)s, over %(seconds)s") % {
        "title": title,
        "least": words.count(round(min(value for _, value in course))),
        "most": words.count(round(most)),
        "last": words.count(round(course[-1][1])),
        "seconds": words.seconds(last),
    }
    grid = [(_LEFT, WIDTH, f"{_BASE - row / top * (_BASE - _TOP):.1f}", words.short_count(row)) for row in rows(top)]
    return format_html(
        '<figure class="kv-course"><figcaption class="kv-xs kv-muted">{}</figcaption>'
        '<svg class="kv-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        '<polyline class="live-l" points="{}"/><line class="ax" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}">0</text><text x="{}" y="{}" text-anchor="end">{}</text></svg></figure>',
        title,
        WIDTH,
        HEIGHT,
        label,
        format_html_join("", '<line class="g" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="0" y="{2}" dy="4">{3}</text>', grid),
        " ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        _LEFT,
        WIDTH,
        _BASE,
        _BASE,
        _LEFT,
        HEIGHT - 4,
        WIDTH,
        HEIGHT - 4,
        words.seconds(last),
    )
