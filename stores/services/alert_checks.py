"""Whether a rule's condition is met now: empty when all is well, else one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stores import keyclasses
from stores.models import ACTIVE_STATES, Census, Heartbeat, Run, RunAction, RunState, Store
from stores.models.alert import AlertKind, AlertRule
from stores.services import history, runs
from stores.services.filters import CUSTOM
from stores.services.pulse import ask

LEAST_GROWTH: Final = 100
"""Keys a day under which growth is no matter, whatever its share."""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """How a kind is called, the unit and default of its threshold, and what the threshold means."""

    title: str
    unit: str = ""
    default: float = 0
    help: str = ""


KINDS: Final[Mapping[str, KindInfo]] = {
    AlertKind.BACKLOG: KindInfo("Expired keys wait for a purge", "keys", 100_000, "More expired keys than this at the last count."),
    AlertKind.PURGE: KindInfo("A purge failed or was missed", help="The last purge of the store did not end well."),
    AlertKind.STALE: KindInfo("The last count is too old", "hours", 6, "No count for more hours than this."),
    AlertKind.GROWTH: KindInfo(
        "A class grows too fast", "% a day", 50, "Keys of a class grew by more than this in a day, and by 100 at least."
    ),
    AlertKind.DOWN: KindInfo("The store does not answer", "minutes", 2, "Silent for longer than this."),
    AlertKind.BEAT: KindInfo("The scheduler is silent", "minutes", 5, "No sign of life of beat for longer than this."),
}


def problem(rule: AlertRule, now: datetime) -> str:
    """One to three queries; a round trip to the store for `down`."""
    return _CHECKS[AlertKind(rule.kind)](rule, now)


def hold(rule: AlertRule) -> timedelta:
    """How long the condition has to last before anybody is told."""
    return timedelta(minutes=rule.threshold) if rule.kind == AlertKind.DOWN else timedelta()


def _store(rule: AlertRule) -> Store:
    assert rule.store is not None
    return rule.store


def _latest(rule: AlertRule) -> Census | None:
    return Census.objects.filter(store=_store(rule)).defer("classes", "details", "steps").first()


def _backlog(rule: AlertRule, now: datetime) -> str:
    census = _latest(rule)
    expired = int(census.total["expired"]) if census else 0
    return f"{expired:,} expired keys wait for a purge, more than {rule.threshold:,.0f}." if expired > rule.threshold else ""


def _purge(rule: AlertRule, now: datetime) -> str:
    done = Run.objects.filter(store=_store(rule), action=RunAction.PURGE).exclude(state__in=ACTIVE_STATES)
    last = done.exclude(state=RunState.CANCELLED).defer("log").first()
    if last is None or last.state not in (RunState.FAILED, RunState.MISSED):
        return ""
    return f"The last purge {'failed' if last.state == RunState.FAILED else 'was missed'}: {last.error or 'no reason is on record'}"


def _stale(rule: AlertRule, now: datetime) -> str:
    census = _latest(rule)
    age = now - (census.at if census else _store(rule).created_at)
    if age <= timedelta(hours=rule.threshold):
        return ""
    hours = age.total_seconds() / 3600
    return f"The last count is {hours:,.1f} hours old." if census else f"Not counted in the {hours:,.1f} hours since it was defined."


def _growth(rule: AlertRule, now: datetime) -> str:
    found = []
    for slug, grown in history.growth(history.week(_store(rule), now), most_days=1).items():
        wanted = not rule.class_slug or rule.class_slug == (slug or CUSTOM)
        share = 100 * grown.share if grown.share is not None else float("inf")
        if wanted and grown.per_day >= LEAST_GROWTH and share > rule.threshold:
            title = keyclasses.CLASSES[slug].title if slug else "Your own keys"
            percent = "from nothing" if grown.share is None else f"by {share:,.0f} %"
            found.append((grown.per_day, f"{title} grew {percent} in a day, {grown.per_day:+,.0f} keys"))
    return "; ".join(text for _, text in sorted(found, reverse=True)[:3]) + "." if found else ""


def _down(rule: AlertRule, now: datetime) -> str:
    store = _store(rule)
    if not store.enabled:
        return ""
    health = ask(store).health
    return "" if health.milliseconds is not None else f"The store does not answer: {health.message or health.state}"


def _beat(rule: AlertRule, now: datetime) -> str:
    at = Heartbeat.objects.filter(pk=runs.BEAT).values_list("at", flat=True).first()
    if at is None or now - at > timedelta(minutes=rule.threshold):
        since = f"since {at:%Y-%m-%d %H:%M} UTC" if at else "and was never seen"
        return f"The scheduler is silent {since}: no purge and no count starts by itself."
    return ""


_CHECKS: Final[Mapping[AlertKind, Callable[[AlertRule, datetime], str]]] = {
    AlertKind.BACKLOG: _backlog,
    AlertKind.PURGE: _purge,
    AlertKind.STALE: _stale,
    AlertKind.GROWTH: _growth,
    AlertKind.DOWN: _down,
    AlertKind.BEAT: _beat,
}
