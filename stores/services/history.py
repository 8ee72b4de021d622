"""What earlier censuses tell: which of them are kept, curves of any range, growth a day, and sudden steps.

A census counts what is in the store; growth therefore compares the same time of day, so that a daily purge does not show as growth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Final

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from stores.models import Census, Store
from stores.registry import seen_only
from stores.services.filters import CUSTOM

Slug = str | None

HOUR: Final = 3600
DAY: Final = 86400

TIERS: Final = ((600, 10), (HOUR, 60), (DAY, 600), (8 * DAY, HOUR), (32 * DAY, 6 * HOUR), (400 * DAY, DAY))
"""Up to this age in seconds, one census is kept in each slot of so many seconds. Wider slots are multiples of the narrower ones."""
MOST_KEPT: Final = 60 + 50 + 138 + 168 + 96 + 368 + 2 * len(TIERS)
"""Censuses of one store at most: the slots of all tiers, and those that a tier's end cuts in two."""

RANGES: Final[Mapping[str, tuple[str, int, int]]] = {
    "1h": ("1 h", HOUR, 60),
    "1d": ("1 d", DAY, 900),
    "7d": ("7 d", 7 * DAY, 2 * HOUR),
    "30d": ("30 d", 30 * DAY, 6 * HOUR),
    "1y": ("1 y", 365 * DAY, 4 * DAY),
}
"""Range -> its name, its length, and the seconds between points, so that a curve has at most about 120."""

STEP_KEYS: Final = 100
STEP_SHARE: Final = 0.2
STEP_TIMES: Final = 5.0
_SAME_TIME: Final = 2 * HOUR
_FEWEST_CHANGES: Final = 6


@dataclass(frozen=True, slots=True)
class Point:
    """One census of a curve. Keys count a counter with its marker once."""

    id: int
    at: datetime
    keys: int
    expired: int
    bytes: int

    @property
    def live(self) -> int:
        """Keys that had not expired."""
        return self.keys - self.expired


@dataclass(frozen=True, slots=True)
class Growth:
    """How many keys a class gained a day, on average over `days` days; `share` of what it had before, None when that was nothing."""

    per_day: float
    days: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """Live keys of a class that jumped between two censuses."""

    slug: Slug
    at: datetime
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


def keys_of(row: Mapping[str, Any]) -> int:
    """Keys of a class or of the total: values, counters and locks."""
    return int(row["keys"] + row["counters"] + row["locks"])


def bytes_of(row: Mapping[str, Any]) -> int:
    """Bytes of keys and values of a class or of the total."""
    return int(row["key_bytes"] + row["value_bytes"])


def surplus(moments: Iterable[tuple[int, float]], now: float) -> list[int]:
    """Which of these (id, Unix seconds) are beyond the newest of their slot, or too old; the newest of all stays."""
    taken: set[tuple[int, int]] = set()
    extra = []
    for number, (pk, at) in enumerate(sorted(moments, key=lambda moment: -moment[1])):
        width = next((slot for age, slot in TIERS if now - at <= age), 0)
        slot = (width, int(at // width)) if width else None
        if number and (slot is None or slot in taken):
            extra.append(pk)
        if slot is not None:
            taken.add(slot)
    return extra


def thin(store: Store, now: datetime | None = None) -> int:
    """Drop the censuses that are too close together for their age; answers how many. Two queries."""
    found = Census.objects.filter(store=store).order_by().values_list("pk", "at")
    extra = surplus(((pk, at.timestamp()) for pk, at in found), (now or timezone.now()).timestamp())
    return Census.objects.filter(pk__in=extra).delete()[0] if extra else 0


def curve(store: Store, name: str, slug: Slug | bool = False, now: datetime | None = None) -> list[Point]:
    """The points of a range, oldest first: the last census of each slot. False: all classes together. Two queries."""
    _, length, width = RANGES[name]
    chosen = _spread(store, length, width, now or timezone.now())
    found = Census.objects.filter(pk__in=chosen).order_by("at").defer("details", "steps")
    if slug is False:
        return [_point(census, census.total) for census in found.defer("details", "steps", "classes")]
    return [_point(census, _row(census, slug)) for census in found]


def week_curve(past: Sequence[Census]) -> list[Point]:
    """The curve of seven days from what `week` has read already."""
    return [_point(census, census.total) for census in thinned(past, 84)]


def week(store: Store, now: datetime | None = None) -> list[Census]:
    """A census of each hour of the last seven days, oldest first, with its classes. Two queries, about 0.5 MB at most."""
    chosen = _spread(store, 7 * DAY + HOUR, HOUR, now or timezone.now())
    return list(Census.objects.filter(pk__in=chosen).order_by("at").defer("details"))


def week_of_all(now: datetime | None = None, width: int = 2 * HOUR) -> dict[str, list[Census]]:
    """Totals of every store, one each two hours of the last week and the newest in any case, oldest first. Three queries."""
    since = (now or timezone.now()) - timedelta(days=7, hours=2)
    recent = Census.objects.filter(at__gt=since).order_by("at").values_list("pk", "store_id", "at")
    chosen = {(store_id, int(at.timestamp() // width)): pk for pk, store_id, at in recent}
    newest = Census.objects.filter(store=OuterRef("pk")).order_by("-at").values("pk")[:1]
    latest = Store.objects.annotate(newest=Subquery(newest)).filter(newest__isnull=False).values_list("newest", flat=True)
    found: dict[str, list[Census]] = {}
    for census in Census.objects.filter(pk__in={*chosen.values(), *latest}).order_by("at").defer("classes", "details", "steps"):
        found.setdefault(census.store_id, []).append(census)
    return found


def sparks(past: Sequence[Census], points: int = 56) -> dict[Slug, list[int]]:
    """Keys of each class over a week, in equal steps of time."""
    chosen = thinned(past, points)
    slugs = {row["class"] for census in chosen for row in census.classes}
    return {slug: [keys_of(_row(census, slug)) for census in chosen] for slug in slugs}


def thinned(past: Sequence[Census], points: int = 56) -> list[Census]:
    """The last census of each of so many equal parts of the time between the first and the last."""
    if len(past) <= points:
        return list(past)
    start, end = past[0].at.timestamp(), past[-1].at.timestamp()
    width = max(1.0, (end - start) / points)
    return list({min(points - 1, int((census.at.timestamp() - start) / width)): census for census in past}.values())


def growth(past: Sequence[Census], most_days: int = 7) -> dict[Slug, Growth]:
    """Growth of each class against the oldest census of the same time of day, one to seven days ago; empty without one."""
    then, days = _same_time(past, most_days)
    if then is None:
        return {}
    now = past[-1]
    found = {}
    for slug in {row["class"] for census in (then, now) for row in census.classes}:
        before, after = keys_of(_row(then, slug)), keys_of(_row(now, slug))
        found[slug] = Growth((after - before) / days, days, (after - before) / before / days if before else None)
    return found


def total_growth(past: Sequence[Census], most_days: int = 7) -> Growth | None:
    """The same for all classes together."""
    then, days = _same_time(past, most_days)
    if then is None:
        return None
    before, after = keys_of(then.total), keys_of(past[-1].total)
    return Growth((after - before) / days, days, (after - before) / before / days if before else None)


def steps(past: Sequence[Census]) -> list[Step]:
    """Classes whose live keys jumped with the last census.

    A step is at least 100 keys, a fifth of what there was, and five times the usual change in an hour. It takes eight counts to
    know what is usual. Expired keys do not count, so that a purge is no step.
    """
    if len(past) < _FEWEST_CHANGES + 2:
        return []
    found = []
    for slug in {row["class"] for census in past[-2:] for row in census.classes}:
        lives = [(census.at, _live(census, slug)) for census in past]
        rates = [abs(after - before) / _hours(earlier, later) for (earlier, before), (later, after) in pairwise(lives)]
        before, after = lives[-2][1], lives[-1][1]
        large = abs(after - before) >= max(STEP_KEYS, STEP_SHARE * before)
        if large and rates[-1] >= STEP_TIMES * median(rates[:-1]):
            found.append(Step(slug, past[-1].at, before, after))
    return sorted(found, key=lambda step: -abs(step.change))


def json_steps(found: Iterable[Step]) -> list[dict[str, Any]]:
    """As a census keeps its steps."""
    return [{"class": step.slug, "before": step.before, "after": step.after} for step in found]


def steps_of(census: Census) -> list[Step]:
    """The steps that were seen when this census was made."""
    return [Step(step["class"], census.at, step["before"], step["after"]) for step in census.steps]


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A class in two censuses: keys then and now, and by how much the expired ones and the bytes changed."""

    slug: str
    """`custom` for user keys."""
    before: int
    after: int
    expired: int
    bytes: int

    @property
    def change(self) -> int:
        return self.after - self.before


def change_of(slug: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> ClassChange:
    """The rows of one class in two censuses, or their totals; None where a census has none."""
    then, now = before or NOTHING, after or NOTHING
    expired, size = int(now["expired"]) - int(then["expired"]), bytes_of(now) - bytes_of(then)
    return ClassChange(slug, keys_of(then), keys_of(now), expired, size)


def changes(before: Census, after: Census) -> list[ClassChange]:
    """Every class of either census, the largest change first."""
    then, now = ({row["class"] or CUSTOM: row for row in census.classes} for census in (before, after))
    found = [change_of(slug, then.get(slug), now.get(slug)) for slug in then | now]
    return sorted(found, key=lambda change: (-abs(change.change), -abs(change.bytes), change.slug))


def recent_steps(since: datetime, limit: int) -> list[Census]:
    """The newest censuses of all stores that saw a step."""
    found = seen_only(Census.objects.filter(at__gte=since).exclude(steps=[]), "store_id")
    return list(found.defer("classes", "details")[:limit])


def _hours(earlier: datetime, later: datetime) -> float:
    return max((later - earlier).total_seconds() / HOUR, 1 / 60)


def _same_time(past: Sequence[Census], most_days: int) -> tuple[Census | None, int]:
    if not past:
        return None, 0
    end = past[-1].at.timestamp()
    for days in range(most_days, 0, -1):
        near = [census for census in past[:-1] if abs(end - census.at.timestamp() - days * DAY) <= _SAME_TIME]
        if near:
            return min(near, key=lambda census: abs(end - census.at.timestamp() - days * DAY)), days
    return None, 0


def _spread(store: Store, length: int, width: int, now: datetime) -> list[int]:
    """Ids of the last census of each slot within the range."""
    found = Census.objects.filter(store=store, at__gt=now - timedelta(seconds=length)).order_by("at").values_list("pk", "at")
    return list({int(at.timestamp() // width): pk for pk, at in found}.values())


NOTHING: Final = dict.fromkeys(("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired"), 0)


def _row(census: Census, slug: Slug | bool) -> Mapping[str, Any]:
    """A class of a census; the index over its classes is made once and stays with the object."""
    index: dict[Slug, Mapping[str, Any]] | None = census.__dict__.get("_by_class")
    if index is None:
        index = census.__dict__["_by_class"] = {row["class"]: row for row in census.classes}
    return index.get(slug, NOTHING) if isinstance(slug, str) or slug is None else NOTHING


def _live(census: Census, slug: Slug) -> int:
    row = _row(census, slug)
    return keys_of(row) - int(row["expired"])


def _point(census: Census, row: Mapping[str, Any]) -> Point:
    return Point(census.pk, census.at, keys_of(row), int(row["expired"]), bytes_of(row))
