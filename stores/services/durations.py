"""Durations and points in time as people write them, and back to words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from django.utils import timezone

from stores.errors import BadConfig
from stores.texts import say
from stores.types import KEEP, Keep

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
YEAR: Final = 365 * DAY
LAST_MOMENT: Final = 253_402_300_799
"""9999-12-31 23:59:59 UTC: the latest expiry that is accepted; later ones cannot be shown as a date."""

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * DAY),
    **dict.fromkeys(("month", "months"), 30 * DAY),
    **dict.fromkeys(("y", "yr", "year", "years"), YEAR),
}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*(?:,|and\b)?", re.ASCII)
_ABSOLUTE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")
_FORMS: Final = say('Write a duration such as "90", "1h30m" or "2 days", a time such as "2030-01-31 18:00", or "never".')


def parse_duration(text: str, field: str = "expiry") -> int:
    """Seconds of "90", "1h30m", "2 days", "3 h 5 min", "1.5 h". A bare number is seconds. Raises BadConfig."""
    rest, total, found = text.strip().lower(), 0.0, 0
    if rest.isascii() and rest.isdigit():
        return _bounded(int(rest), text, field)
    while rest:
        match = _PART.match(rest)
        unit = _UNITS.get(match[2]) if match else None
        if match is None or unit is None:
            raise BadConfig(say('"%(text)s" is not a duration.', text=text), _FORMS, field)
        total, found, rest = total + float(match[1]) * unit, found + 1, rest[match.end() :]
    if not found:
        raise BadConfig(say("The duration is empty."), _FORMS, field)
    return _bounded(round(total), text, field)


def parse_expiry(text: str, now: float, zone: tzinfo | None = None, field: str = "expiry") -> int | Keep | None:
    """Unix seconds of an expiry as typed; None for "never", KEEP for an empty text or "keep".

    Durations count from `now`. Times without an offset are in `zone`, the server's by default; `@1795510064` is Unix seconds.
    Raises BadConfig for a time that is past, does not exist (clock change) or lies after the year 9999.
    """
    words = text.strip()
    if words.lower() in ("", "keep"):
        return KEEP
    if words.lower() == "never":
        return None
    at = _moment(words, now, zone or timezone.get_default_timezone(), field)
    if at <= now:
        raise BadConfig(say('"%(text)s" is not in the future.', text=text), say("Give a later time, or delete the key."), field)
    if at > LAST_MOMENT:
        raise BadConfig(say('"%(text)s" lies after the year 9999.', text=text), say('Write "never" for a key that should stay.'), field)
    return at


def next_time(text: str, now: datetime | None = None) -> datetime:
    """The next moment at which the server's clock shows "06:00". Raises BadConfig(field="until") for what is no time of day."""
    match = _CLOCK.match(text.strip())
    if match is None:
        raise BadConfig(say('"%(text)s" is not a time of day.', text=text), say("Write it as 06:00."), "until")
    zone = timezone.get_default_timezone()
    local = (now or timezone.now()).astimezone(zone)
    at = local.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return at if at > local else at + timedelta(days=1)


def in_words(seconds: float) -> str:
    """At most two units: "3 d 4 h", "12 min 5 s", "less than 1 s"."""
    rest = int(seconds)
    parts: list[str] = []
    for name, unit in (("y", YEAR), ("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", 1)):
        if rest >= unit and len(parts) < 2:
            parts.append(f"{rest // unit} {name}")
            rest %= unit
        elif parts:
            break
    return " ".join(parts) or say("less than 1 s")


def _moment(words: str, now: float, zone: tzinfo, field: str) -> int:
    if words.startswith("@") and words[1:].isascii() and words[1:].isdigit():
        return int(words[1:])
    if not _ABSOLUTE.match(words):
        duration = words.lower().removeprefix("in ").removeprefix("+")
        return int(now) + parse_duration(duration, field)
    try:
        at = datetime.fromisoformat(words)
    except ValueError:
        raise BadConfig(say('"%(words)s" is not a time.', words=words), _FORMS, field) from None
    return int((at if at.tzinfo else _local(at, zone, field)).timestamp())


def _local(at: datetime, zone: tzinfo, field: str) -> datetime:
    """The earlier of two moments when a clock change repeats the time. Raises BadConfig when it skips it."""
    local = at.replace(tzinfo=zone)
    back = local.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None) != at:
        raise BadConfig(
            say("%(at)s does not exist in %(zone)s: the clock changes.", at=f"{at:%Y-%m-%d %H:%M}", zone=zone),
            say("Give a time an hour later."),
            field,
        )
    return local


def _bounded(seconds: int, text: str, field: str) -> int:
    if seconds > LAST_MOMENT:
        raise BadConfig(
            say('"%(text)s" is longer than any date allows.', text=text), say('Write "never" for a key that should stay.'), field
        )
    return seconds
