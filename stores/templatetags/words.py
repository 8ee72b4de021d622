"""Numbers, sizes, spans and times as a reader says them, in the language of the request. The tag libraries and the views share them."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Final, Literal

from django.utils import dateformat, timezone
from django.utils.formats import number_format
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
YEAR: Final = 365 * DAY


def _sizes() -> tuple[str, ...]:
    """Signs of sizes in steps of 1,024, the smallest first. French counts in octets."""
    # Translators: signs of units of sizes after a figure.
    kilo, mega, giga = pgettext("unit", "KB"), pgettext("unit", "MB"), pgettext("unit", "GB")
    return kilo, mega, giga, pgettext("unit", "TB"), pgettext("unit", "PB")


_HOUR, _MINUTE, _SECOND = "\x01", "\x02", "\x03"
_MARKS: Final = {"H": _HOUR, "i": _MINUTE, "s": _SECOND}
_CLOCK: Final = re.compile(r"(?<!\\)[His]")
"""Letters of a date form that are about the time of day."""


def units() -> tuple[tuple[int, str], ...]:
    """Seconds of each unit of a span and its sign, the largest first."""
    return _units(get_language())


@lru_cache(maxsize=16)
def _units(language: str | None) -> tuple[tuple[int, str], ...]:
    # Translators: signs of units after a figure: day, hour, minute, second.
    day, hour, minute, second = pgettext("unit", "d"), pgettext("unit", "h"), pgettext("unit", "min"), pgettext("unit", "s")
    return (DAY, day), (HOUR, hour), (MINUTE, minute), (1, second)


def figure(number: float, places: int = 0) -> str:
    """A number with so many decimal places, grouped as the language groups; a minus sign, not a hyphen."""
    return number_format(round(number, places) if places else round(number), places, use_l10n=True, force_grouping=True).replace("-", "−")


def count(number: int) -> str:
    """`612403` -> `612,403`; a minus sign, not a hyphen."""
    return number_format(number, use_l10n=True, force_grouping=True).replace("-", "−")


def short_count(number: int) -> str:
    """`612403` -> `612k`, for charts."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= limit:
            scaled = number / limit
            return f"{figure(scaled, 1 if abs(scaled) < 10 else 0)}{unit}"
    return str(number)


def size(number: int | float) -> str:
    """Bytes in steps of 1,024: `144 B`, `30.2 KB`, `26.8 MB`."""
    if abs(number) < 1024:
        return f"{number:.0f} {pgettext('unit', 'B')}"
    scaled = float(number)
    signs = _sizes()
    for unit in signs:
        scaled /= 1024
        if abs(scaled) < 999.5 or unit == signs[-1]:
            break
    return f"{figure(scaled, 1 if abs(scaled) < 100 else 0)} {unit}"


def seconds(number: float) -> str:
    """A working time: `0.6 s`, `18 ms`, `11 min`."""
    if number < 0.0005:
        return _("under 1 ms")
    if number < 0.1:
        return f"{figure(number * 1000)} {pgettext('unit', 'ms')}"
    if number < 10:
        return f"{figure(number, 1)} {pgettext('unit', 's')}"
    return span(number)


def milliseconds(number: float) -> str:
    """A round trip: `0.4 ms`, `41 ms`, `1.2 s`."""
    if number < 10:
        return f"{figure(number, 1)} {pgettext('unit', 'ms')}"
    if number < 1000:
        return f"{figure(number)} {pgettext('unit', 'ms')}"
    return f"{figure(number / 1000, 1)} {pgettext('unit', 's')}"


def span(number: float) -> str:
    """A length of time in its two largest units: `52 s`, `5 h 12 min`, `27 d 4 h`, `9.9 years`."""
    whole = int(abs(number))
    if whole >= 2 * YEAR:
        return _("%(count)s years") % {"count": figure(whole / YEAR, 1) if whole < 1000 * YEAR else count(whole // YEAR)}
    signs = units()
    if whole < MINUTE:
        return f"{whole} {signs[-1][1]}"
    if whole >= 100 * DAY:
        return f"{whole // DAY} {signs[0][1]}"
    for index, (length, unit) in enumerate(signs):
        if whole >= length:
            rest, (smaller, small_unit) = whole % length, signs[index + 1]
            tail = rest // smaller
            return f"{whole // length} {unit} {tail} {small_unit}" if tail and length != MINUTE else f"{whole // length} {unit}"
    raise AssertionError(number)


def relative(moment: float, now: float | None = None) -> str:
    """`in 18 min`, `41 min ago`, `now`."""
    delta = moment - (time.time() if now is None else now)
    if abs(delta) < 1:
        return _("now")
    later, before = _relative_forms(get_language())
    return (later if delta > 0 else before) % {"span": span(delta)}


@lru_cache(maxsize=16)
def _relative_forms(language: str | None) -> tuple[str, str]:
    return _("in %(span)s"), _("%(span)s ago")


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
        return _("Unix second %(second)s, beyond the calendar") % {"second": int(moment)}
    if style in ("long", "utc"):
        # Translators: form of a date in the letters of PHP's date(): D weekday, j day, M month, Y year, H:i:s time. 24-hour clock.
        return f"{_formed(there, pgettext('date form', 'D j M Y, H:i:s'))} {_abbreviation(there)}"
    today = local(time.time() if now is None else now)
    assert today is not None
    days = abs((there.date() - today.date()).days)
    zone = "" if style == "clock" else f" {_abbreviation(there)}"
    if days == 0:
        return f"{there:%H:%M}{zone}"
    if days < 7:
        return f"{_formed(there, pgettext('date form', 'D H:i'))}{zone}"
    form = pgettext("date form", "j M, H:i") if there.year == today.year else pgettext("date form", "j M Y, H:i")
    return f"{_formed(there, form)}{zone}"


def day(there: datetime) -> str:
    """`24 Nov`, for the axes of charts."""
    return _formed(there, pgettext("date form", "j M"))


def weekday(there: datetime) -> str:
    """`Tue`, for the axes of charts."""
    return _formed(there, "D")


def _formed(there: datetime, form: str) -> str:
    """The moment in a form of PHP's letters. The day's part is kept: a list shows the same few days again and again."""
    text = _day_formed(there.date(), form, get_language() or "")
    return text.replace(_HOUR, f"{there.hour:02}").replace(_MINUTE, f"{there.minute:02}").replace(_SECOND, f"{there.second:02}")


@lru_cache(maxsize=2048)
def _day_formed(there: date, form: str, language: str) -> str:
    """The form filled in for a day, with marks where the time goes."""
    return dateformat.DateFormat(there).format(_CLOCK.sub(lambda letter: _MARKS[letter[0]], form))


def iso(moment: float) -> str:
    """For `datetime=`: ISO 8601 in UTC, empty outside the calendar."""
    there = local(moment, UTC)
    return there.isoformat(timespec="seconds").replace("+00:00", "Z") if there else ""


def percent(part: float, whole: float) -> str:
    """`38 %`; under one per cent but not nothing is `<1 %`."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    return "<1 %" if 0 < share < 1 else f"{figure(share)} %"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 key`, `3 keys`; with the figure."""
    return ngettext(f"%(count)s {one}", f"%(count)s {many or one + 's'}", number) % {"count": count(number)}


def countdown(moment: float, now: float | None = None) -> str:
    """Time left to the second: `23:18:52`, `21 d 07:22:00`."""
    left = max(0, round(moment - (time.time() if now is None else now)))
    days, rest = divmod(left, DAY)
    clock = f"{rest // HOUR:02}:{rest // MINUTE % 60:02}:{rest % 60:02}"
    return f"{count(days)} {units()[0][1]} {clock}" if days else clock
