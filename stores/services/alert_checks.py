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
from stores.texts import say

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
    AlertKind.BACKLOG: KindInfo(
        say("Expired keys wait for a purge"), say("keys"), 100_000, say("More expired keys than this at the last count.")
    ),
    AlertKind.PURGE: KindInfo(say("A purge failed or was missed"), help=say("The last purge of the store did not end well.")),
    AlertKind.STALE: KindInfo(say("The last count is too old"), say("hours"), 6, say("No count for more hours than this.")),
    AlertKind.GROWTH: KindInfo(
        say("A class grows too fast"), say("% a day"), 50, say("Keys of a class grew by more than this in a day, and by 100 at least.")
    ),
    AlertKind.DOWN: KindInfo(say("The store does not answer"), say("minutes"), 2, say("Silent for longer than this.")),
    AlertKind.BEAT: KindInfo(say("The scheduler is silent"), say("minutes"), 5, say("No sign of life of beat for longer than this.")),
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
    return (
        say(
            "%(expired)s expired keys wait for a purge, more than %(threshold)s.",
            expired=f"{expired:,}",
            threshold=f"{rule.threshold:,.0f}",
        )
        if expired > rule.threshold
        else ""
    )


def _purge(rule: AlertRule, now: datetime) -> str:
    done = Run.objects.filter(store=_store(rule), action=RunAction.PURGE).exclude(state__in=ACTIVE_STATES)
    last = done.exclude(state=RunState.CANCELLED).defer("log").first()
    if last is None or last.state not in (RunState.FAILED, RunState.MISSED):
        return ""
    error = last.error or say("no reason is on record")
    if last.state == RunState.FAILED:
        return say("The last purge failed: %(error)s", error=error)
    return say("The last purge was missed: %(error)s", error=error)


def _stale(rule: AlertRule, now: datetime) -> str:
    census = _latest(rule)
    age = now - (census.at if census else _store(rule).created_at)
    if age <= timedelta(hours=rule.threshold):
        return ""
    hours = age.total_seconds() / 3600
    return (
        say("The last count is %(hours)s hours old.", hours=f"{hours:,.1f}")
        if census
        else say("Not counted in the %(hours)s hours since it was defined.", hours=f"{hours:,.1f}")
    )


def _growth(rule: AlertRule, now: datetime) -> str:
    found = []
    for slug, grown in history.growth(history.week(_store(rule), now), most_days=1).items():
        wanted = not rule.class_slug or rule.class_slug == (slug or CUSTOM)
        share = 100 * grown.share if grown.share is not None else float("inf")
        if wanted and grown.per_day >= LEAST_GROWTH and share > rule.threshold:
            title = keyclasses.CLASSES[slug].title if slug else say("Your own keys")
            percent = say("from nothing") if grown.share is None else say("by %(share)s %%", share=f"{share:,.0f}")
            found.append(
                (
                    grown.per_day,
                    say(
                        "%(title)s grew %(percent)s in a day, %(per_day)s keys",
                        title=title,
                        percent=percent,
                        per_day=f"{grown.per_day:+,.0f}",
                    ),
                )
            )
    return "; ".join(text for _, text in sorted(found, reverse=True)[:3]) + "." if found else ""


def _down(rule: AlertRule, now: datetime) -> str:
    store = _store(rule)
    if not store.enabled:
        return ""
    health = ask(store).health
    return "" if health.milliseconds is not None else say("The store does not answer: %(message)s", message=health.message or health.state)


def _beat(rule: AlertRule, now: datetime) -> str:
    at = Heartbeat.objects.filter(pk=runs.BEAT).values_list("at", flat=True).first()
    if at is None or now - at > timedelta(minutes=rule.threshold):
        since = say("since %(at)s UTC", at=f"{at:%Y-%m-%d %H:%M}") if at else say("and was never seen")
        return say("The scheduler is silent %(since)s: no purge and no count starts by itself.", since=since)
    return ""


_CHECKS: Final[Mapping[AlertKind, Callable[[AlertRule, datetime], str]]] = {
    AlertKind.BACKLOG: _backlog,
    AlertKind.PURGE: _purge,
    AlertKind.STALE: _stale,
    AlertKind.GROWTH: _growth,
    AlertKind.DOWN: _down,
    AlertKind.BEAT: _beat,
}
