"""Numbers, sizes, spans and times as a reader says them. Pure functions; the tag libraries and the views share them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal

from django.utils import timezone

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
YEAR: Final = 365 * DAY

_UNITS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
_SIZES: Final = ("KB", "MB", "GB", "TB", "PB")


def count(number: int) -> str:
    """`612403` -> `612,403`; a minus sign, not a hyphen."""
    return f"{number:,}".replace("-", "−")


def short_count(number: int) -> str:
    """`612403` -> `612k`, for charts."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= limit:
            figure = number / limit
            return f"{figure:.1f}{unit}" if abs(figure) < 10 else f"{figure:.0f}{unit}"
    return str(number)


def size(number: int | float) -> str:
    """Bytes in steps of 1,024: `144 B`, `30.2 KB`, `26.8 MB`."""
    if abs(number) < 1024:
        return f"{number:.0f} B"
    figure = float(number)
    for unit in _SIZES:
        figure /= 1024
        if abs(figure) < 999.5 or unit == _SIZES[-1]:
            break
    return f"{figure:.1f} {unit}" if abs(figure) < 100 else f"{figure:,.0f} {unit}"


def seconds(number: float) -> str:
    """A working time: `0.6 s`, `18 ms`, `11 min`."""
    if number < 0.0005:
        return "under 1 ms"
    if number < 0.1:
        return f"{number * 1000:.0f} ms"
    if number < 10:
        return f"{number:.1f} s"
    return span(number)


def milliseconds(number: float) -> str:
    """A round trip: `0.4 ms`, `41 ms`, `1.2 s`."""
    if number < 10:
        return f"{number:.1f} ms"
    return f"{number:.0f} ms" if number < 1000 else f"{number / 1000:.1f} s"


def span(number: float) -> str:
    """A length of time in its two largest units: `52 s`, `5 h 12 min`, `27 d 4 h`, `9.9 years`."""
    whole = int(abs(number))
    if whole >= 2 * YEAR:
        return f"{whole / YEAR:.1f} years" if whole < 1000 * YEAR else f"{count(whole // YEAR)} years"
    if whole < MINUTE:
        return f"{whole} s"
    if whole >= 100 * DAY:
        return f"{whole // DAY} d"
    for index, (length, unit) in enumerate(_UNITS):
        if whole >= length:
            rest, (smaller, small_unit) = whole % length, _UNITS[index + 1]
            tail = rest // smaller
            return f"{whole // length} {unit} {tail} {small_unit}" if tail and unit != "min" else f"{whole // length} {unit}"
    raise AssertionError(number)


def relative(moment: float, now: float | None = None) -> str:
    """`in 18 min`, `41 min ago`, `now`."""
    delta = moment - (time.time() if now is None else now)
    if abs(delta) < 1:
        return "now"
    return f"in {span(delta)}" if delta > 0 else f"{span(delta)} ago"


def local(moment: float, zone: tzinfo | None = None) -> datetime | None:
    """Unix seconds in the server's zone (or another one); None outside the calendar's years 1 to 9999."""
    try:
        return datetime.fromtimestamp(moment, zone or timezone.get_current_timezone())
    except (OverflowError, ValueError, OSError):
        return None


def zone_name(moment: float | None = None) -> str:
    """The abbreviation of the server's zone at a moment, `CEST`, or `UTC+05:30` for zones that have none."""
    there = local(time.time() if moment is None else moment)
    return _abbreviation(there) if there else "UTC"


def _abbreviation(there: datetime) -> str:
    name = there.tzname() or "UTC"
    return f"UTC{name}" if name[:1] in "+-" else name


Style = Literal["long", "short", "clock", "utc"]


def absolute(moment: float, style: Style = "long", now: float | None = None) -> str:
    """A moment with its zone.

    long: `Sat 24 Oct 2026, 02:41:08 CEST`; utc: the same in UTC; clock: `Sat 02:41`; short: as few words as tell it
    apart: `02:42 CEST`, `Sun 02:00 CEST`, `20 Nov, 05:41 CET`, `14 Nov 2036, 09:03 CET`.
    """
    there = local(moment, UTC if style == "utc" else None)
    if there is None:
        return f"Unix second {int(moment)}, beyond the calendar"
    if style in ("long", "utc"):
        return f"{there:%a} {there.day} {there:%b %Y, %H:%M:%S} {_abbreviation(there)}"
    today = local(time.time() if now is None else now)
    assert today is not None
    days = abs((there.date() - today.date()).days)
    zone = "" if style == "clock" else f" {_abbreviation(there)}"
    if days == 0:
        return f"{there:%H:%M}{zone}"
    if days < 7:
        return f"{there:%a %H:%M}{zone}"
    if there.year == today.year:
        return f"{there.day} {there:%b, %H:%M}{zone}"
    return f"{there.day} {there:%b %Y, %H:%M}{zone}"


def iso(moment: float) -> str:
    """For `datetime=`: ISO 8601 in UTC, empty outside the calendar."""
    there = local(moment, UTC)
    return there.isoformat(timespec="seconds").replace("+00:00", "Z") if there else ""


def percent(part: float, whole: float) -> str:
    """`38 %`; under one per cent but not nothing is `<1 %`."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    return "<1 %" if 0 < share < 1 else f"{share:.0f} %"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 key`, `3 keys`; with the figure."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def countdown(moment: float, now: float | None = None) -> str:
    """Time left to the second: `23:18:52`, `21 d 07:22:00`."""
    left = max(0, round(moment - (time.time() if now is None else now)))
    days, rest = divmod(left, DAY)
    clock = f"{rest // HOUR:02}:{rest // MINUTE % 60:02}:{rest % 60:02}"
    return f"{count(days)} d {clock}" if days else clock
