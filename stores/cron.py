"""Stalwart's purge schedule `minute hour weekday`: read it, say it, compute it, and say what Stalwart itself makes of it.

Times are wall-clock times of one zone. A daily or weekly time that the clocks skip runs at the first moment after the gap;
one that occurs twice runs once, the first time. An hourly schedule follows the clock face: it runs whenever the clock
shows the minute, so it runs twice in an hour that is repeated and not at all in one that is skipped (store-formats d.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from stores.errors import BadConfig
from stores.texts import Text, counted, say

STALWART_DEFAULT: Final = "0 5 *"
"""What Stalwart uses for the lookup store when nothing, or nothing readable, is set; the data store has `0 3 *`, blobs `0 4 *`."""
ACCEPTED: Final = say("minute hour weekday: `0 3 *` is every day at 03:00, `0 3 1` every Monday, `5 *` every hour at 5 past")
_NUMBER: Final = re.compile(r"\+?[0-9]{1,12}", re.ASCII)
_U32: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Cron:
    """A valid schedule. `hour` None is every hour; `weekday` None is every day, else 1 (Monday) to 7 (Sunday)."""

    minute: int
    hour: int | None = None
    weekday: int | None = None

    def __str__(self) -> str:
        """As Stalwart writes it: `5 *`, `0 3 *`, `0 3 1`."""
        if self.hour is None:
            return f"{self.minute} *"
        return f"{self.minute} {self.hour} {self.weekday or '*'}"


def parse(text: str) -> Cron:
    """The schedule that the text means. Blanks at the ends and between fields do not matter.

    Raises BadConfig whose `field` is `minute`, `hour`, `weekday` or, for a wrong number of fields, `frequency`.
    """
    fields = text.split()
    if not 2 <= len(fields) <= 3:
        raise _bad(
            "frequency",
            text.strip() or say("empty"),
            say("Write %(accepted)s.", accepted=ACCEPTED),
            say("A schedule has three fields, this one has %(count)s", count=len(fields)),
        )
    minute = _number(fields[0], "minute", 0, 59)
    if fields[1].startswith("*"):
        return _hourly(minute, fields)
    hour = _number(fields[1], "hour", 0, 23, star=say("`*` for every hour"))
    if len(fields) == 2:
        fix = say("Write `%(minute)s %(hour)s *` for every day, or 1 (Monday) to 7 (Sunday) at the end.", minute=minute, hour=hour)
        raise _bad("weekday", text.strip(), fix, say("The weekday is missing"))
    if fields[2] == "*":
        return Cron(minute, hour)
    return Cron(minute, hour, _number(fields[2], "weekday", 1, 7, star=say("`*` for every day, 1 is Monday, 7 is Sunday")))


def _hourly(minute: int, fields: list[str]) -> Cron:
    if fields[1] != "*":
        raise _bad(
            "hour",
            fields[1],
            say("Write `%(minute)s *` for every hour, or one hour from 0 to 23; steps and lists do not exist.", minute=minute),
        )
    if len(fields) == 3 and fields[2] != "*":
        raise _bad("weekday", fields[2], say("Write `%(minute)s *`: an hourly schedule runs on every day.", minute=minute))
    return Cron(minute)


def _number(value: str, field: str, low: int, high: int, star: str = "") -> int:
    if _NUMBER.fullmatch(value) and low <= int(value) <= high:
        return int(value)
    fix = (
        say("Write a whole number from %(low)s to %(high)s, or %(star)s.", low=low, high=high, star=star)
        if star
        else say("Write a whole number from %(low)s to %(high)s; `*`, lists and steps are not possible here.", low=low, high=high)
    )
    raise _bad(field, value, fix)


def _bad(field: str, value: str, fix: str, message: str = "") -> BadConfig:
    return BadConfig(say("%(message)s: %(value)s.", message=message or _CANNOT[field], value=value), fix, field)


_CANNOT: Final = {
    "minute": say("The minute cannot be"),
    "hour": say("The hour cannot be"),
    "weekday": say("The weekday cannot be"),
    "frequency": say("The schedule cannot be"),
}


def words(cron: Cron) -> str:
    """The schedule in words: "Every day at 03:00", "Every Monday at 03:00", "Every hour at 5 minutes past"."""
    if cron.hour is None:
        if cron.minute == 0:
            return say("Every hour on the hour")
        return say("Every hour at %(minutes)s past", minutes=counted(cron.minute, "minute"))
    day = say("day") if cron.weekday is None else _days()[cron.weekday - 1]
    return say("Every %(day)s at %(hour)s:%(minute)s", day=day, hour=f"{cron.hour:02}", minute=f"{cron.minute:02}")


def _days() -> tuple[Text, ...]:
    return (say("Monday"), say("Tuesday"), say("Wednesday"), say("Thursday"), say("Friday"), say("Saturday"), say("Sunday"))


def celery_fields(cron: Cron) -> dict[str, str]:
    """The fields of a crontab, in which Sunday is 0."""
    return {
        "minute": str(cron.minute),
        "hour": "*" if cron.hour is None else str(cron.hour),
        "day_of_week": "*" if cron.weekday is None else str(cron.weekday % 7),
        "day_of_month": "*",
        "month_of_year": "*",
    }


# when


def runs_after(cron: Cron, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Every run strictly after a moment, in order and without end, as aware datetimes of the zone. Cost: microseconds a run."""
    if after.tzinfo is None:
        raise ValueError("the moment needs a zone")
    if cron.hour is None:
        return _hourly_runs(cron.minute, after, zone)
    expression = f"{cron.minute} {cron.hour} * * {cron.weekday or '*'}"
    # A day earlier, because the wall clock alone does not tell before from after while an hour is repeated.
    start = after.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    runs = CronSim(expression, start.replace(tzinfo=zone))
    return (run for run in runs if run.astimezone(UTC) > after.astimezone(UTC))


def _hourly_runs(minute: int, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    # Own arithmetic: CronSim jumps whole hours and loses the runs of a day whose clocks change by half an hour.
    moment = after.astimezone(UTC).replace(second=0, microsecond=0)
    while True:
        moment += timedelta(minutes=1)
        local = moment.astimezone(zone)
        ahead = moment + timedelta(minutes=(minute - local.minute) % 60)
        if ahead.astimezone(zone).utcoffset() == local.utcoffset():
            moment = ahead
            yield moment.astimezone(zone)


def next_runs(cron: Cron, after: datetime, zone: ZoneInfo, count: int = 6) -> list[datetime]:
    """The next runs strictly after an aware moment, in the zone."""
    return list(islice(runs_after(cron, after, zone), count))


def runs_between(cron: Cron, after: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The runs with `after < run <= until`."""
    return takewhile(lambda run: run.astimezone(UTC) <= until.astimezone(UTC), runs_after(cron, after, zone))


def latest_run(cron: Cron, at: datetime, zone: ZoneInfo) -> datetime:
    """The last run at or before a moment."""
    back = timedelta(hours=4) if cron.hour is None else timedelta(days=3 if cron.weekday is None else 16)
    *_, last = runs_between(cron, at - back, at, zone)
    return last


def on_the_clock(cron: Cron, run: datetime) -> bool:
    """Whether a run happens at its written time, once: False after a gap, and in the second pass of a repeated hour."""
    return run.minute == cron.minute and (cron.hour is None or run.hour == cron.hour) and run.fold == 0


def clock_change(before: datetime, run: datetime, zone: ZoneInfo) -> timedelta | None:
    """How far the clocks of the zone went forward (or back, negative) between two moments; None when they did not."""
    offsets = [moment.astimezone(zone).utcoffset() or timedelta() for moment in (before, run)]
    return offsets[1] - offsets[0] or None


# what Stalwart makes of it


@dataclass(frozen=True, slots=True)
class StalwartReading:
    """What Stalwart's own reader gets out of a text: the numbers, or the error it records. The weekday is not checked."""

    minute: int = 0
    hour: int | None = None
    weekday: int | None = None
    error: str = ""

    @property
    def cron(self) -> Cron | None:
        """The schedule it means; None for an error and for a weekday that does not exist."""
        if self.error or not (self.weekday is None or 1 <= self.weekday <= 7):
            return None
        return Cron(self.minute, self.hour, self.weekday)


@dataclass(frozen=True, slots=True)
class Note:
    """One remark. `rejects`: Stalwart refuses the text; `misfires`: it runs at other times; `accepts`: it takes what is
    refused here; `ignores`: it does not look at a part of the text; `own`: how its own schedule works."""

    kind: Literal["rejects", "misfires", "accepts", "ignores", "own"]
    text: str


def stalwart_reading(text: str) -> StalwartReading:
    """Read the text exactly as Stalwart does, with its errors word for word."""
    numbers: dict[str, int] = {}
    for name, field, limit in zip(("minute", "hour", "weekday"), text.split(" "), (59, 23, _U32), strict=False):
        if name != "minute" and field.startswith("*"):
            break
        number = _u32(field)
        if number is None:
            return StalwartReading(error=say("Invalid cron key: failed to parse cron %(name)s", name=name))
        if number > limit:
            return StalwartReading(
                error=say("Invalid cron key: failed to parse %(name)s, invalid value: %(number)s", name=name, number=number)
            )
        numbers[name] = number
    else:
        return _weekly_reading(numbers)
    return StalwartReading(numbers["minute"], numbers.get("hour"))


def _weekly_reading(numbers: dict[str, int]) -> StalwartReading:
    if len(numbers) < 3:
        return StalwartReading(error=say("Invalid cron key: parse cron expression."))
    if not 1 <= (hour := numbers["hour"]) <= 7:
        return StalwartReading(
            error=say("Invalid cron key: failed to parse weekday, invalid value: %(hour)s, range is 1 (Monday) to 7 (Sunday).", hour=hour)
        )
    return StalwartReading(numbers["minute"], hour, numbers["weekday"])


def _u32(field: str) -> int | None:
    match = re.fullmatch(r"\+?0*([0-9]{0,10})", field, re.ASCII)
    if match is None or field in ("", "+"):
        return None
    number = int(match[1] or 0)
    return number if number < _U32 else None


def stalwart_notes(text: str, version: str = "0.11", default: str = STALWART_DEFAULT) -> tuple[Note, ...]:
    """What Stalwart itself would do with the text as `purge.frequency`, where that differs from what is done here.

    `default` is the schedule it falls back to when it cannot read the text. Empty when there is no difference.
    """
    if version == "0.16":
        return _notes_of_objects(text)
    reading = stalwart_reading(text)
    if reading.error:
        return (Note("rejects", _rejection(text, reading.error, default)),)
    notes: list[Note] = []
    if reading.weekday is not None:
        notes.append(_weekday_note(reading.weekday, reading.hour or 0, reading.minute, version))
    canonical = reading.cron
    if canonical is not None and text != str(canonical) and _fields_differ(text, canonical):
        notes.append(
            Note(
                "ignores",
                say(
                    "Stalwart reads this as `%(canonical)s`, %(canonical_2)s, and ignores the rest.",
                    canonical=canonical,
                    canonical_2=words(canonical).lower(),
                ),
            )
        )
    return tuple(notes)


def _notes_of_objects(text: str) -> tuple[Note, ...]:
    own = say("Stalwart 0.16 has one clean-up schedule for the whole server (dataCleanupSchedule) and none a store.")
    notes = [Note("own", own)]
    reading = stalwart_reading(text)
    if reading.weekday is not None and not reading.error:
        notes.append(Note("misfires", say("Weekly there, it runs on the day it was started too, as long as the time is still ahead.")))
    return tuple(notes)


def _rejection(text: str, error: str, default: str) -> str:
    reason = ""
    if "range is 1" in error:
        reason = say(
            " Its range check looks at the hour instead of the weekday, so that it takes weekly schedules only from 1 to 7 o'clock."
        )
    elif "" in text.split(" "):
        reason = say(" It allows exactly one blank between the fields and none around them.")
    return say(
        'Stalwart refuses this: "%(error)s". It would use its default `%(default)s` instead.%(reason)s',
        error=error,
        default=default,
        reason=reason,
    )


def _weekday_note(weekday: int, hour: int, minute: int, version: str) -> Note:
    if 1 <= weekday <= 7:
        return Note(
            "misfires",
            say(
                "Stalwart itself runs this today, whatever the weekday, if %(hour)s:%(minute)s is still ahead when "
                "it starts; if the time has passed and %(weekdays)s comes later in the week, it skips that week. "
                "From the second run on it is right.",
                hour=f"{hour:02}",
                minute=f"{minute:02}",
                weekdays=_days()[weekday - 1],
            ),
        )
    if weekday:
        index = (weekday - 1) % 7
        effect = say(
            "accepts the weekday %(weekday)s, which does not exist, and runs on a %(weekdays)s every %(index)s days",
            weekday=weekday,
            weekdays=_days()[index],
            index=6 - index + weekday,
        )
    elif version in ("0.10", "0.11"):
        effect = say("accepts the weekday 0 as Sunday, and its purge task crashes at the first run")
    else:
        effect = say("accepts the weekday 0 as Sunday")
    return Note("accepts", say("Stalwart %(effect)s. Write 1 (Monday) to 7 (Sunday).", effect=effect))


def _fields_differ(text: str, canonical: Cron) -> bool:
    try:
        return parse(text) != canonical
    except BadConfig:
        return True


def stalwart_next(text: str, now: datetime, version: str = "0.11", default: str = STALWART_DEFAULT) -> datetime | None:
    """When Stalwart's own algorithm would run next, computed at an aware `now` in the server's zone.

    A text it cannot read (or an empty one) gives the next run of `default`. None: its purge task crashes (weekday 0 computed
    on a Sunday, up to 0.11).
    """
    reading = stalwart_reading(text)
    if reading.error:
        reading = stalwart_reading(default)
    zone = now.tzinfo
    if reading.hour is None:
        base = now.replace(minute=reading.minute, second=0, microsecond=0)
        return base if base > now else _later(base, timedelta(hours=1))
    base = now.replace(hour=reading.hour, minute=reading.minute, second=0, microsecond=0, fold=0)
    if base.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != base.replace(tzinfo=None):
        base = _later(now, -timedelta(seconds=1))
    if base.astimezone(UTC) > now.astimezone(UTC):
        return base
    if reading.weekday is None:
        return _later(base, timedelta(days=1))
    days = 7 - now.isoweekday() + reading.weekday
    if days == 0:
        return None if version in ("0.10", "0.11") else _later(base, timedelta(days=7))
    return _later(base, timedelta(days=days))


def _later(moment: datetime, delta: timedelta) -> datetime:
    """Add elapsed time, not wall-clock time."""
    return (moment.astimezone(UTC) + delta).astimezone(moment.tzinfo)
