"""Words for templates: figures, times, states and the small marks drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from stores.services.recall import recalled
from stores.services.store_settings import MASK
from stores.templatetags import words
from stores.texts import Text, shown

register = template.Library()

DOTS = {"ok": "", "warn": " is-warn", "bad": " is-bad", "off": " is-off"}


@register.filter
def count(number: int | None) -> str:
    """`612,403`; nothing for None."""
    return "" if number is None else words.count(int(number))


@register.filter
def compact(number: int) -> str:
    """`612k`."""
    return words.short_count(int(number))


@register.filter
def size(number: int | float | None) -> str:
    """`26.8 MB`."""
    return "" if number is None else words.size(number)


@register.filter
def seconds(number: float | None) -> str:
    """A working time, `6.2 s`."""
    return "" if number is None else words.seconds(number)


@register.filter
def milliseconds(number: float | None) -> str:
    """A round trip, `0.4 ms`."""
    return "" if number is None else words.milliseconds(number)


@register.filter
def span(number: float) -> str:
    """A length of time, `5 h 12 min`."""
    return words.span(number)


@register.filter
def countdown(moment: float) -> str:
    """Time left to the second, `21 d 07:22:00`."""
    return words.countdown(moment)


@register.filter
def times(number: int, word: str) -> str:
    """`3|times:"key"` -> `3 keys`; `"entry,entries"` names the plural."""
    one, _, many = word.partition(",")
    return words.plural(int(number), one, many)


@register.filter
def share(part: int | float, whole: int | float) -> str:
    """`part|share:whole` -> `38 %`."""
    return words.percent(part, whole)


@register.filter
def said(text: str) -> str:
    """A text of the pure modules in the reader's language, for filters that work on its letters; one that was stored, too."""
    return shown(text) if isinstance(text, Text) else recalled(str(text or ""))


def unix(moment: float | datetime) -> float:
    """Unix seconds of a moment given either way."""
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


@register.filter
def marked(text: str) -> SafeString:
    """Text with `quoted` settings set as code."""
    pieces = said(text).split("`")
    if len(pieces) % 2 == 0:
        return format_html("{}", said(text))
    forms = [('<span class="kv-code">{}</span>' if place % 2 else "{}", piece) for place, piece in enumerate(pieces)]
    return mark_safe("".join(format_html(form, piece) for form, piece in forms))  # noqa: S308


@register.filter
def blacked(text: str) -> SafeString:
    """A line of a configuration; the dots of a hidden secret become a black box that is read as "hidden"."""
    return mark_safe(format_html("<i>{}</i>", gettext("hidden")).join(format_html("{}", piece) for piece in str(text).split(MASK)))  # noqa: S308


@register.simple_tag
def ago(moment: float | datetime | None, style: Literal["alone", "beside"] = "alone") -> SafeString:
    """`41 min ago` or `in 18 min` as a `<time>`: the absolute time shows on hover and on focus, unless it stands `beside` it."""
    if moment is None:
        return mark_safe("")
    at = unix(moment)
    focus = mark_safe(' tabindex="0" class="kv-when"') if style == "alone" else ""
    return format_html(
        '<time datetime="{}" title="{}" data-kv-ago="{}"{}>{}</time>', words.iso(at), words.absolute(at), int(at), focus, words.relative(at)
    )


@register.simple_tag
def at(moment: float | datetime | None, style: words.Style = "short") -> SafeString:
    """The absolute time with its zone as a `<time>`."""
    if moment is None:
        return mark_safe("")
    stamp = unix(moment)
    return format_html('<time datetime="{}" title="{}">{}</time>', words.iso(stamp), words.absolute(stamp), words.absolute(stamp, style))


@register.simple_tag
def zone() -> str:
    """The server's zone now: `CEST`."""
    return words.zone_name()


@register.simple_tag
def icon(name: str, label: str = "", classes: str = "") -> SafeString:
    """One icon of the sprite. With a label it is read aloud, without it is decoration."""
    role = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="kv-i{}" {}><use href="{}#i-{}"/></svg>', f" {classes}" if classes else "", role, static("vendor/icons.svg"), name
    )


@register.simple_tag
def dot(state: str, label: str = "") -> SafeString:
    """A state mark: circle ok, triangle warn, square bad, ring off. A word has to stand beside it, or comes as `label`."""
    mark = format_html('<span class="kv-dot{}" aria-hidden="true"></span>', DOTS.get(state, DOTS["off"]))
    return format_html('{}<span class="kv-sr">{} </span>', mark, label) if label else mark


@register.simple_tag
def bar(part: float, whole: float, kind: str = "", classes: str = "is-mini") -> SafeString:
    """A share as a thin bar, hidden from readers: the figure stands beside it."""
    width = 0.0 if not whole else max(0.0, min(100.0, 100 * part / whole))
    if not width and not whole:
        return mark_safe("")
    return format_html(
        '<svg class="kv-bar {}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="t" width="100" height="4"/><rect class="f{}" width="{}" height="4"/></svg>',
        classes,
        f" is-{kind}" if kind else "",
        f"{width:.1f}".rstrip("0").rstrip("."),
    )


@register.simple_tag
def spark(points: Sequence[float], label: str, classes: str = "") -> SafeString:
    """A line of figures over equal steps. Flat data looks flat: the range is at least 12 % of the largest figure."""
    if len(points) < 2:
        return mark_safe("")
    wide, high, pad = (72, 18, 3) if "is-row" in classes else (104, 24, 3)
    low, top = min(points), max(points)
    reach = max(top - low, 0.12 * abs(top), 1e-9)
    middle = (top + low) / 2
    step = (wide - 4) / (len(points) - 1)
    spots = [(2 + index * step, high / 2 - (value - middle) / reach * (high - 2 * pad)) for index, value in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    return format_html(
        '<svg class="kv-spark {}" viewBox="0 0 {} {}" role="img" aria-label="{}"><polyline points="{}"/>'
        '<circle cx="{}" cy="{}" r="1.75"/></svg>',
        classes,
        wide,
        high,
        label,
        line,
        f"{spots[-1][0]:.1f}",
        f"{spots[-1][1]:.1f}",
    )


@register.filter
def get(mapping: Any, key: str) -> Any:
    """`mapping|get:key`, None when it is not there."""
    return mapping.get(key) if mapping else None
