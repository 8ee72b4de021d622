"""The first page: how every store is, what runs, what changed; a welcome page for visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import Busy, NotSupported
from stores.forms.keys import class_titles
from stores.models import ACTIVE_STATES, AuditEntry, Census, Run, RunAction, RunState, Store
from stores.registry import seen_only
from stores.services import alerts, history, runs, schedules
from stores.services import census as censuses
from stores.services.actor import SCHEDULE, Actor
from stores.services.definitions import StoreInfo, list_stores
from stores.services.filters import CUSTOM
from stores.services.permissions import Permission, allows, require_somewhere
from stores.services.pulse import Pulse, ask_all
from stores.templatetags import words
from stores.templatetags.kv_shell import state_of
from stores.views.common import actor_of, go, page, show

CHANGES = 12
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Line:
    """One store of the table. Figures are of the last census, None while there is none."""

    info: StoreInfo
    state: str
    dot: str
    message: str
    server: str
    milliseconds: float | None
    seen: float | None
    no_purge: str
    keys: int | None
    bytes: int
    expired: int
    counted_at: datetime | None
    change: str
    points: tuple[int, ...]
    next_purge: datetime | None
    purging: bool
    last_run: Run | None

    @property
    def no_purge_short(self) -> str:
        """Room for three words."""
        return _("read-only here") if self.info.read_only else _("nothing to purge")

    @property
    def spark_label(self) -> str:
        low, high = (min(self.points), max(self.points)) if self.points else (0, 0)
        return _("Keys of %(id)s, 7 days: %(low)s to %(high)s") % {"id": self.info.id, "low": words.count(low), "high": words.count(high)}


@dataclass(frozen=True, slots=True)
class Jump:
    """A class whose live keys jumped."""

    slug: str
    title: str
    change: int

    @property
    def fewer(self) -> int:
        return -self.change


@dataclass(frozen=True, slots=True)
class Jumps:
    """What a count saw jump: the largest two, and how many more."""

    store_id: str
    found: tuple[Jump, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened: a run that ended, an act of somebody, or classes that jumped."""

    at: datetime
    run: Run | None = None
    audit: AuditEntry | None = None
    steps: Jumps | None = None

    @property
    def dot(self) -> str:
        state = self.run.state if self.run else ""
        return (
            {RunState.DONE: "ok", RunState.FAILED: "bad", RunState.MISSED: "warn", RunState.STOPPED: "warn"}.get(RunState(state), "off")
            if state
            else "off"
        )


@login_not_required
@require_safe
@page
def overview(request: HttpRequest) -> HttpResponse:
    """All stores in one look. Asks the stores at most 1.5 s, and those asked 15 s ago not again."""
    if not request.user.is_authenticated:
        return show(request, "stores/landing.html", {})
    infos = sorted(list_stores(), key=lambda info: (not info.default, info.id))
    active = runs.active()
    lines = store_lines(infos, active)
    context = {
        "lines": lines,
        "title": headline(lines) if lines or actor_of(request).rights.sight().whole else _("No store is open to you"),
        "troubled": [line for line in lines if line.dot in ("warn", "bad")],
        "totals": totals(lines),
        "sparks": any(len(line.points) > 1 for line in lines),
        "first_run": len(lines) <= 1,
        "active": active,
        "background": runs.background(),
        "changes": changes(actor_of(request)),
        "alerts": alerts.firing(),
    }
    return show(request, "stores/overview.html", context, fragment="overview")


@require_POST
@page
def count_all(request: HttpRequest) -> HttpResponse:
    """Start a census of every store that can be asked."""
    started, actor = 0, actor_of(request)
    require_somewhere(actor, Permission.PURGE)
    for info in list_stores():
        if info.enabled and info.supported and allows(actor, Permission.PURGE, info.store):
            try:
                censuses.start(actor, info.store)
                started += 1
            except (Busy, NotSupported):
                continue
    return go(request, "stores:overview", _("%(counts)s started.") % {"counts": words.plural(started, "count")})


def headline(lines: Sequence[Line]) -> str:
    """The answer to "is everything well?"."""
    asked = [line for line in lines if line.info.enabled and line.info.supported]
    well = sum(line.dot == "ok" for line in asked)
    if not lines:
        return _("No store yet")
    if not asked:
        return _("No store is switched on")
    if well == len(asked):
        return _("All %(well)s stores are well") % {"well": well} if well > 1 else _("%(id)s is well") % {"id": asked[0].info.id}
    return _("%(well)s of %(count)s stores are well") % {"well": well, "count": len(asked)}


def totals(lines: Sequence[Line]) -> dict[str, int]:
    """Sums over the last censuses, and how many stores have none."""
    counted = [line for line in lines if line.keys is not None]
    return {
        "counted": len(counted),
        "uncounted": len([line for line in lines if line.info.enabled and line.info.supported]) - len(counted),
        "keys": sum(line.keys or 0 for line in counted),
        "bytes": sum(line.bytes for line in counted),
        "expired": sum(line.expired for line in counted if not line.no_purge),
    }


def store_lines(infos: Sequence[StoreInfo], active: Sequence[Run]) -> list[Line]:
    """One line a store; three queries for all of them together."""
    pulses = ask_all(info.store for info in infos if info.enabled and info.supported)
    past = history.week_of_all()
    ended = Run.objects.exclude(state__in=ACTIVE_STATES)
    last_runs = {run.store_id: run for run in Run.objects.filter(pk__in=_latest(ended))}
    purging = {run.store_id for run in active if run.action == "purge"}
    return [_line(info, pulses.get(info.id), past.get(info.id, []), last_runs.get(info.id), info.id in purging) for info in infos]


def _line(info: StoreInfo, pulse: Pulse | None, past: list[Census], last_run: Run | None, purging: bool) -> Line:
    state, dot = state_of(info, pulse)
    if pulse is None and info.enabled and info.supported:
        state, dot = _("no answer yet"), "warn"
    health = pulse.health if pulse else None
    census = past[-1] if past else None
    keys = census.total["keys"] + census.total["counters"] + census.total["locks"] if census else None
    next_runs = schedules.describe(info.purge, timezone.now()).next_runs if info.purge and not info.purge_paused else ()
    return Line(
        info=info,
        state=state,
        dot=dot,
        message=health.message if health else "",
        server=health.server if health else "",
        milliseconds=health.milliseconds if health else None,
        seen=pulse.at if pulse else None,
        no_purge=pulse.no_purge if pulse else "",
        keys=keys,
        bytes=census.total["key_bytes"] + census.total["value_bytes"] if census else 0,
        expired=census.total["expired"] if census else 0,
        counted_at=census.at if census else None,
        change=_change(past),
        points=tuple(_keys(each) for each in past),
        next_purge=next_runs[0].at if next_runs else None,
        purging=purging,
        last_run=last_run,
    )


def _latest(rows: Any) -> Any:
    newest = rows.filter(store=OuterRef("pk")).order_by(*rows.model._meta.ordering).values("pk")[:1]
    return Store.objects.annotate(newest=Subquery(newest)).filter(newest__isnull=False).values("newest")


def _keys(census: Census) -> int:
    return int(census.total["keys"] + census.total["counters"] + census.total["locks"])


def _change(past: Sequence[Census]) -> str:
    """Growth against the count of the same time a day ago."""
    grown = history.total_growth(past, most_days=1)
    if grown is None:
        return ""
    if not grown.per_day:
        return _("no change in a day")
    change = _("%(per_day)s in a day") % {"per_day": words.count(round(grown.per_day))}
    if grown.share is None:
        return f"+{change}"
    return f"{100 * grown.share:+.1f} % in a day".replace("-", "−")


def changes(actor: Actor) -> list[Change]:
    """The newest acts, ended runs and growth steps that the actor may see, newest first; three queries.

    Counts by schedule are no news unless they fail.
    """
    quiet = Q(action=RunAction.CENSUS, started_by=SCHEDULE, state=RunState.DONE)
    ended = seen_only(Run.objects.filter(finished_at__isnull=False).exclude(quiet).order_by("-finished_at"), "store_name")[:CHANGES]
    about = AuditEntry.objects.filter(run=None)
    acts = (about if allows(actor, Permission.AUDIT) else seen_only(about.exclude(store_name=""), "store_name"))[:CHANGES]
    found = [Change(run.finished_at or run.created_at, run=run) for run in ended] + [Change(act.at, audit=act) for act in acts]
    found += [Change(census.at, steps=_jumps(census)) for census in history.recent_steps(timezone.now() - WEEK, CHANGES)]
    return sorted(found, key=lambda change: change.at, reverse=True)[:CHANGES]


def _jumps(census: Census) -> Jumps:
    titles = class_titles()
    found = history.steps_of(census)
    jumps = tuple(Jump(step.slug or CUSTOM, titles.get(step.slug or CUSTOM, ""), step.change) for step in found[:2])
    return Jumps(census.store_id, jumps, len(found) - len(jumps))
