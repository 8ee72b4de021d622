"""How a store grew: a curve of any range and class, the same as a table, and two counts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig, KeyNotFound
from stores.forms.keys import class_titles
from stores.models import Census, Store
from stores.services import census_schedule, history
from stores.services.filters import CUSTOM
from stores.services.history import RANGES, Point
from stores.services.permissions import Permission
from stores.templatetags import words
from stores.views.common import actor_of, go, needs, show, store_page

DEFAULT: Final = "7d"
CHOICES: Final = 200
"""Counts to choose from for a comparison."""


@dataclass(frozen=True, slots=True)
class TableLine:
    """A point, and how it differs from the one before."""

    point: Point
    before: int | None
    change: int | None


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A class in two counts."""

    title: str
    slug: str
    before: int
    after: int
    expired: int
    bytes: int
    change: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A count to choose."""

    pk: int
    label: str


def range_of(request: HttpRequest) -> str:
    """The range of the address; seven days where there is none or an unknown one."""
    name = request.GET.get("range", "")
    return name if name in RANGES else DEFAULT


def card(store: Store, name: str, week: Sequence[Census] = ()) -> dict[str, Any]:
    """What the growth card of a store's page shows; no query where the counts of the week are known."""
    points = history.week_curve(week) if week and name == DEFAULT else history.curve(store, name)
    return {"range": name, "points": points, "label": spoken(_("Keys of %(store_id)s") % {"store_id": store.pk}, points)}


@require_safe
@store_page
def growth(request: HttpRequest, store: Store) -> HttpResponse:
    """The large curve. Reads only censuses, asks no store."""
    slug, name = request.GET.get("class", ""), range_of(request)
    titles = class_titles()
    if slug and slug not in titles:
        raise BadConfig(_('There is no key class "%(slug)s".') % {"slug": slug[:40]}, field="class")
    points = history.curve(store, name, False if not slug else None if slug == CUSTOM else slug)
    subject = titles[slug] if slug else store.pk
    latest = Census.objects.filter(store=store).defer("details").first()
    met = {row["class"] or CUSTOM for row in latest.classes} if latest else set()
    context = {
        "store": store,
        "range": name,
        "slug": slug,
        "points": points,
        "last": points[-1] if points else None,
        "title": headline(subject, points),
        "label": spoken(subject, points),
        "table": table(points),
        "classes": [{"slug": known, "title": title} for known, title in titles.items() if known in met or known == slug],
    }
    return show(request, "stores/growth.html", context, fragment="growth")


@require_safe
@store_page
def compare(request: HttpRequest, store: Store) -> HttpResponse:
    """Two counts by class; without a choice the newest and the one a day before."""
    known = list(Census.objects.filter(store=store).defer("classes", "details", "steps")[:CHOICES])
    context: dict[str, Any] = {"store": store, "title": _("Two counts of %(store_id)s") % {"store_id": store.pk}}
    context["choices"] = [
        Choice(one.pk, f"{words.absolute(one.at.timestamp(), 'short')}: {words.plural(history.keys_of(one.total), 'key')}") for one in known
    ]
    if len(known) > 1:
        before, after = sorted((_asked(request, store, "from", _day_before(known)), _asked(request, store, "to", known[0])), key=_moment)
        lines = diff(before, after)
        whole = _line("", history.change_of("", before.total, after.total))
        context |= {"before": before, "after": after, "lines": lines, "all": whole, "apart": (after.at - before.at).total_seconds()}
        context["title"] = (
            f"{words.plural(abs(whole.change), 'key')} {'fewer' if whole.change < 0 else 'more'}"
            if whole.change
            else _("As many keys as before")
        )
    return show(request, "stores/compare.html", context)


@require_POST
@store_page
@needs(Permission.CONFIGURE)
def every(request: HttpRequest, store: Store) -> HttpResponse:
    """Set how often the store is counted by itself."""
    text = request.POST.get("minutes", "")
    census_schedule.set_interval(actor_of(request), store, int(text) if text.isascii() and text.isdigit() and len(text) < 8 else -1)
    said = dict(census_schedule.INTERVALS)[store.census_minutes].lower()
    return go(
        request, reverse("stores:store", args=[store.pk]), _("%(store_id)s is counted %(said)s.") % {"store_id": store.pk, "said": said}
    )


def diff(before: Census, after: Census) -> list[DiffLine]:
    """Every class of either count, the largest change first."""
    titles = class_titles()
    return [_line(titles.get(each.slug, each.slug), each) for each in history.changes(before, after)]


def table(points: list[Point]) -> list[TableLine]:
    """Newest first."""
    lines = [TableLine(point, before.id if before else None, point.keys - before.keys if before else None)
             for before, point in zip([None, *points], points, strict=False)]  # fmt: skip
    return lines[::-1]


def headline(subject: str, points: list[Point]) -> str:
    """What happened in one sentence."""
    if len(points) < 2:
        return f"{subject}: {words.plural(points[0].keys, 'key')}" if points else _("Growth of %(subject)s") % {"subject": subject}
    change = points[-1].keys - points[0].keys
    if not change:
        return _("%(subject)s has as many keys as before") % {"subject": subject}
    return (_("%(subject)s grew by %(keys)s") if change > 0 else _("%(subject)s shrank by %(keys)s")) % {
        "subject": subject,
        "keys": words.plural(abs(change), "key"),
    }


def spoken(subject: str, points: list[Point]) -> str:
    """The curve for readers who do not see it."""
    if not points:
        return _("%(subject)s: not counted in this time") % {"subject": subject}
    low, high = min(point.keys for point in points), max(point.keys for point in points)
    return _("%(subject)s: between %(low)s and %(high)s keys, %(keys)s at the last count") % {
        "subject": subject,
        "low": words.count(low),
        "high": words.count(high),
        "keys": words.count(points[-1].keys),
    }


def _asked(request: HttpRequest, store: Store, name: str, default: Census) -> Census:
    text = request.GET.get(name, "")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0 if text else default.pk
    found = Census.objects.filter(store=store, pk=wanted).defer("details").first()
    if found is None:
        raise KeyNotFound(_("That count is not kept any more."), _("Choose another one; counts are kept further apart as they grow old."))
    return found


def _day_before(known: list[Census]) -> Census:
    newest = known[0].at.timestamp()
    return min(known[1:], key=lambda census: abs(newest - history.DAY - census.at.timestamp()))


def _moment(census: Census) -> Any:
    return census.at


def _line(title: str, found: history.ClassChange) -> DiffLine:
    return DiffLine(title, found.slug, found.before, found.after, found.expired, found.bytes, found.change)
