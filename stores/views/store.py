"""One store: classes of the last census, expiry, definition, schedule, connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from stores import keyclasses
from stores.errors import StoreError
from stores.forms.keys import OWN_KEYS, class_titles
from stores.models import Census, RunAction, Store
from stores.services import census as censuses
from stores.services import census_schedule, definitions, errands, history, permissions, runs, schedules, table_setup
from stores.services.filters import CUSTOM
from stores.services.history import Step
from stores.services.http_lookups import HTTP
from stores.services.permissions import Permission
from stores.services.pulse import ask
from stores.services.snippets import of_store
from stores.services.store_checks import STATIC
from stores.services.tally import BUCKETS
from stores.services.transport import transport
from stores.templatetags import words
from stores.templatetags.kv_shell import state_of
from stores.types import Check, CheckState, Entry, Kind
from stores.views import growth, tables
from stores.views.common import actor_of, go, needs, show, store_page
from stores.views.errands import answer_of

TEMPLATE = "stores/store.html"
_BARS: Final = (
    gettext_lazy("1 min"),
    gettext_lazy("5 min"),
    gettext_lazy("1 h"),
    gettext_lazy("6 h"),
    gettext_lazy("1 d"),
    gettext_lazy("7 d"),
    gettext_lazy("30 d"),
    gettext_lazy("1 y"),
)
"""Under these, one for each bucket of `BUCKETS`."""


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class of the table, as the census counted it."""

    slug: str
    byte: str
    title: str
    use: str
    keys: int
    bytes: int
    never: int
    expired: int
    new_family: bool
    left_over: bool
    growth: float | None
    """Keys a day, None while there is no count of a day ago."""
    step: Step | None
    """A jump within the last day."""
    points: tuple[int, ...]
    """Keys over the last week."""

    @property
    def spark_label(self) -> str:
        low, high = min(self.points, default=0), max(self.points, default=0)
        return gettext("%(title)s, 7 days: %(low)s to %(high)s") % {"title": self.title, "low": words.count(low), "high": words.count(high)}


@dataclass(frozen=True, slots=True)
class Largest:
    """A row among the largest; `key` None where the key itself is a secret."""

    title: str
    key: bytes | None
    label: str
    size: int


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of a class that own the most keys."""

    slug: str
    title: str
    found: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What the counts of a week say of each class."""

    growth: Mapping[str | None, history.Growth]
    total: history.Growth | None
    steps: Mapping[str | None, Step]
    week: Sequence[Census]
    sparks: Mapping[str | None, list[int]]

    @classmethod
    def of(cls, store: Store) -> Past:
        """Two queries."""
        week = history.week(store)
        since = timezone.now() - timedelta(days=1)
        jumps = {step.slug: step for census in week if census.at > since for step in history.steps_of(census)}
        return cls(history.growth(week), history.total_growth(week), jumps, week, history.sparks(week))


@dataclass(frozen=True, slots=True)
class TimeBar:
    """One bar of "keys by time left", with the list it opens."""

    label: str
    keys: int
    url: str
    kind: str
    x: int
    y: float
    height: float


@require_safe
@store_page
def store(request: HttpRequest, store: Store) -> HttpResponse:
    """The store's page. It opens also while the store is down: the figures are of the last census and say so."""
    census = censuses.latest(store)
    info = definitions.info(store)
    past = Past.of(store)
    context: dict[str, Any] = {"store": store, "info": info, "census": census} | counting(store, census, past)
    if request.headers.get("HX-Target") == "growth":
        return show(request, "stores/shared/growth_card.html", context | growth.card(store, growth.range_of(request)))
    if request.headers.get("HX-Request"):
        return show(request, TEMPLATE, context, fragment="classes")
    pulse = ask(store)
    state, dot = state_of(info, pulse)
    schedule = schedules.describe(store.purge_frequency, timezone.now()) if store.purge_frequency else None
    context |= {"transport": transport(store)}
    context |= {"pulse": pulse, "state": state, "dot": dot, "schedule": schedule, "last_purge": runs.latest(store)}
    context |= growth.card(store, growth.range_of(request), past.week) | {"largest": largest(store, census), "subjects": subjects(census)}
    context |= {"intervals": census_schedule.INTERVALS, "next_count": next_count(store, census)}
    context |= tables.cards(request, store)
    context |= {"bars": time_bars(store, census)} | (tested(request, store) if "checks" in request.GET else {"checks": None})
    return show(request, TEMPLATE, context | {"snippets": of_store(store.pk)})


def counting(store: Store, census: Census | None, past: Past) -> dict[str, Any]:
    """The class table and the census that is under way."""
    lines = class_lines(store, census, past)
    return {
        "lines": lines,
        "growth_total": past.total,
        "sparks": any(len(line.points) > 1 for line in lines),
        "run": next(iter(runs.active(store, RunAction.CENSUS)), None),
        "failed": failed_since(store, census),
        "keys": sum(line.keys for line in lines),
        "bytes": sum(line.bytes for line in lines),
        "never": sum(line.never for line in lines),
        "expired": sum(line.expired for line in lines),
    }


def failed_since(store: Store, census: Census | None) -> Any:
    """The last count, when it failed after the census that is shown."""
    last = runs.latest(store, RunAction.CENSUS)
    stale = census is None or (last is not None and last.created_at > census.at)
    return last if last is not None and last.state == "failed" and stale else None


@require_POST
@store_page
@needs(Permission.PURGE)
def count(request: HttpRequest, store: Store) -> HttpResponse:
    """Start a census and show its progress."""
    run = censuses.start(actor_of(request), store)
    if request.headers.get("HX-Request"):
        census = censuses.latest(store)
        context = {"store": store, "info": definitions.info(store), "census": census} | counting(store, census, Past.of(store))
        return show(request, TEMPLATE, context, fragment="classes")
    return go(
        request,
        reverse("stores:store", args=[store.pk]),
        gettext("A count of %(store_name)s has started.") % {"store_name": run.store_name},
    )


@require_safe
@store_page
def checks(request: HttpRequest, store: Store) -> HttpResponse:
    """The connection test of the saved definition, step by step."""
    if not request.headers.get("HX-Request"):
        return go(request, f"{reverse('stores:store', args=[store.pk])}?checks=1#checks")
    return show(request, TEMPLATE, {"store": store, "census": None} | tested(request, store), fragment="checks")


def tested(request: HttpRequest, store: Store) -> dict[str, Any]:
    """The steps; one that could not even begin is a failed step. Of a list at an address an errand that a worker does."""
    if store.type == HTTP and store.enabled:
        return answer_of(errands.test(actor_of(request), store))
    try:
        found = definitions.test_store(store)
        failed = any(check.state is CheckState.FAILED for check in found)
        may = failed and permissions.allows(actor_of(request), Permission.CONFIGURE, store)
        return {"checks": found, "creatable": may and table_setup.is_offered(store)}
    except StoreError as error:
        return {"checks": [Check(gettext("Settings"), CheckState.FAILED, error.message, error.fix)]}


def next_count(store: Store, census: Census | None) -> datetime | None:
    """When the store is counted by itself next; None when it is not."""
    return census_schedule.next_after(store, census, timezone.now()) if store.census_minutes and store.enabled else None


def largest(store: Store, census: Census | None) -> list[Largest]:
    """The largest rows of the last count."""
    titles = class_titles()
    found = []
    for row in (census.details.get("largest", []) if census else [])[:8]:
        key = None if row["key_hex"] is None else bytes.fromhex(row["key_hex"])
        found.append(Largest(titles[row["class"] or CUSTOM], key, "" if key is None else _subject(store, key), row["bytes"]))
    return found


def _subject(store: Store, key: bytes) -> str:
    """A key in words, without its value."""
    kind: keyclasses.StoreKind = "static" if store.type == STATIC else "data"
    return keyclasses.decode(Entry(key, Kind.UNKNOWN, b""), store.effective_version, kind, 0).label


def subjects(census: Census | None) -> list[Subjects]:
    """By class, the subjects with several keys."""
    titles, found = class_titles(), []
    for slug, rows in groupby(census.details.get("subjects", []) if census else [], key=lambda row: row.get("class")):
        several = tuple(row for row in rows if row["keys"] > 1)[:3]
        if slug and several:
            found.append(Subjects(slug, titles[slug], several))
    return found


def class_lines(store: Store, census: Census | None, past: Past) -> list[ClassLine]:
    """The census by class, families apart."""
    lines: list[ClassLine] = []
    family = ""
    for row in census.classes if census else []:
        line = _class_line(store, row, family, past)
        family = _family(row["class"])
        lines.append(line)
    return lines


def _class_line(store: Store, row: Mapping[str, Any], family: str, past: Past) -> ClassLine:
    slug = row["class"]
    found = keyclasses.CLASSES.get(slug or "")
    return ClassLine(
        slug=slug or keyclasses.CUSTOM_SLUG,
        byte="" if row["byte"] is None else f"{row['byte']:02x}",
        title=found.title if found else slug or str(OWN_KEYS),
        use=found.use if found else "" if slug else gettext("set by expressions, Sieve scripts or by hand"),
        keys=row["keys"] + row["counters"] + row["locks"],
        bytes=row["key_bytes"] + row["value_bytes"],
        never=row["never"],
        expired=row["expired"],
        new_family=bool(family) and family != _family(slug),
        left_over=bool(found and found.left_over(store.effective_version)),
        growth=past.growth[slug].per_day if slug in past.growth else None,
        step=past.steps.get(slug),
        points=tuple(past.sparks.get(slug, ())),
    )


def _family(slug: str | None) -> str:
    found = keyclasses.CLASSES.get(slug or "")
    return found.family if found else "custom"


def time_bars(store: Store, census: Census | None) -> list[TimeBar]:
    """Expired, by time left, never; each opens the list of its keys. Empty while the census has no histogram."""
    histogram = census.details.get("histogram") if census else None
    if not histogram:
        return []
    counts = histogram["total"]
    ends = [0, *(seconds for _, seconds in BUCKETS)]
    figures: list[tuple[str, int, dict[str, Any], str]] = [(gettext("expired"), counts[0], {"expiry": "expired"}, "b-warn")]
    for label, keys, (low, high) in zip(_BARS, counts[1:], pairwise(ends), strict=False):
        figures.append((str(label), keys, {"after": low, "before": high} if low else {"before": high}, "b"))
    figures.append((gettext("more"), counts[-2], {"after": ends[-1]}, "b"))
    figures.append((gettext("never"), counts[-1], {"expiry": "never"}, "b-soft"))
    top = max(1, *(keys for _, keys, _, _ in figures))
    here = reverse("stores:keys", args=[store.pk])
    return [_bar(place, label, keys, top, f"{here}?{urlencode(query)}", kind) for place, (label, keys, query, kind) in enumerate(figures)]


def _bar(place: int, label: str, keys: int, top: int, url: str, kind: str) -> TimeBar:
    height = 92 * keys / top
    height = round(max(2.0, height) if keys else 0.0, 1)
    return TimeBar(label, keys, url, kind, 2 + 38 * place, round(112 - height, 1), height)
