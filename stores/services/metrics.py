"""Figures for Prometheus, from the last censuses, runs and heartbeats; reading them counts nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import Count, OuterRef, Subquery, Sum
from django.utils import timezone
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from stores.models import ACTIVE_STATES, Census, Heartbeat, Run, RunAction, RunState, Store
from stores.services import history
from stores.services.filters import CUSTOM
from stores.services.pulse import ask_all

PREFIX: Final = "kvadmin_"
_WAIT_SECONDS: Final = 1.0
ENDS: Final = tuple(state.value for state in RunState if state.finished)
"""How a purge ends; each is told, also when none has, so that an alert on failures has a figure to look at."""


def text() -> bytes:
    """The text format 0.0.4. Six queries, and one round trip to each store that was not asked for 15 s, 1 s at most in all."""
    registry = CollectorRegistry()
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    """Everything there is to tell, read at once."""

    def collect(self) -> Iterator[Metric]:
        stores = list(Store.objects.all())
        yield from _health(stores)
        yield from _counts()
        yield from _purges()
        yield from _background()

    def describe(self) -> list[Metric]:
        """Nothing in advance: to know the names would take the queries."""
        return []


def _gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, help_text, labels=labels)


def _health(stores: list[Store]) -> Iterator[Metric]:
    wanted = [store for store in stores if store.enabled]
    pulses = ask_all(wanted, _WAIT_SECONDS)
    up = _gauge("store_up", "1 where the store answered when it was last asked, at most 15 s ago.", "store", "type")
    took = _gauge("store_latency_seconds", "Round trip to the store.", "store")
    for store in wanted:
        pulse = pulses.get(store.pk)
        milliseconds = pulse.health.milliseconds if pulse else None
        up.add_metric([store.pk, store.type], 0 if milliseconds is None else 1)
        if milliseconds is not None:
            took.add_metric([store.pk], milliseconds / 1000)
    yield up
    yield took


def _counts() -> Iterator[Metric]:
    """The last census of each store."""
    keys = _gauge("store_keys", "Keys at the last count; a counter with its expiry row is one.", "store", "class")
    size = _gauge("store_bytes", "Bytes of keys and values at the last count.", "store", "class")
    expired = _gauge("store_expired_keys", "Expired keys that no purge has removed, at the last count.", "store", "class")
    never = _gauge("store_never_expiring_keys", "Keys without expiry at the last count.", "store", "class")
    corrupt = _gauge("store_malformed_rows", "Malformed rows at the last count.", "store")
    at = _gauge("census_timestamp_seconds", "When the store was last counted.", "store")
    age = _gauge("census_age_seconds", "Seconds since the store was last counted.", "store")
    took = _gauge("census_duration_seconds", "How long the last count took.", "store")
    now = time.time()
    for census in Census.objects.filter(pk__in=_newest(Census.objects.all())).defer("details", "steps"):
        for row in census.classes:
            labels = [census.store_id, row["class"] or CUSTOM]
            keys.add_metric(labels, history.keys_of(row))
            size.add_metric(labels, history.bytes_of(row))
            expired.add_metric(labels, row["expired"])
            never.add_metric(labels, row["never"])
        corrupt.add_metric([census.store_id], census.corrupt)
        at.add_metric([census.store_id], census.at.timestamp())
        age.add_metric([census.store_id], max(0.0, now - census.at.timestamp()))
        took.add_metric([census.store_id], census.seconds)
    yield from (keys, size, expired, never, corrupt, at, age, took)


def _purges() -> Iterator[Metric]:
    """Purges: how many of which end are on record, and the last one that ended."""
    ended = Run.objects.filter(action=RunAction.PURGE, store__isnull=False).exclude(state__in=ACTIVE_STATES)
    runs = _gauge("purge_runs", "Purges on record (the last 500 of a store) by how they ended.", "store", "state")
    spent = _gauge("purge_seconds", "Working time of the purges on record.", "store")
    known: dict[str, dict[str, tuple[int, float]]] = {}
    for row in ended.order_by().values("store_id", "state").annotate(runs=Count("pk"), spent=Sum("seconds")):
        known.setdefault(row["store_id"], {})[row["state"]] = (row["runs"], row["spent"])
    for store_id, states in known.items():
        for state in ENDS:
            runs.add_metric([store_id, state], states.get(state, (0, 0.0))[0])
        spent.add_metric([store_id], sum(seconds for _, seconds in states.values()))
    at = _gauge("purge_last_timestamp_seconds", "When the last purge ended.", "store")
    good = _gauge("purge_last_success", "1 where the last purge was done to its end, 0 where it failed, was missed or cancelled.", "store")
    took = _gauge("purge_last_duration_seconds", "Working time of the last purge.", "store")
    keys = _gauge("purge_last_removed_keys", "Keys that the last purge removed.", "store")
    longest = _gauge("purge_last_longest_step_seconds", "The longest single transaction of the last purge.", "store")
    for run in ended.filter(pk__in=_newest(ended)).defer("log", "params"):
        name = [str(run.store_id)]
        at.add_metric(name, (run.finished_at or run.created_at).timestamp())
        good.add_metric(name, int(run.state == RunState.DONE))
        took.add_metric(name, run.seconds)
        keys.add_metric(name, run.removed)
        longest.add_metric(name, run.longest_ms / 1000)
    yield from (runs, spent, at, good, took, keys, longest)


def _background() -> Iterator[Metric]:
    waiting = _gauge("runs_active", "Runs that are queued, running or paused.", "action", "state")
    for row in Run.objects.filter(state__in=ACTIVE_STATES).order_by().values("action", "state").annotate(runs=Count("pk")):
        waiting.add_metric([row["action"], row["state"]], row["runs"])
    silent = _gauge("heartbeat_age_seconds", "Seconds since worker and beat gave a sign of life.", "part")
    for name, at in Heartbeat.objects.values_list("name", "at"):
        silent.add_metric([name], max(0.0, (timezone.now() - at).total_seconds()))
    yield from (waiting, silent)


def _newest(rows: Any) -> Any:
    """Ids of the newest row of each store."""
    newest = rows.filter(store=OuterRef("pk")).order_by(*rows.model._meta.ordering).values("pk")[:1]
    return Store.objects.annotate(newest=Subquery(newest)).filter(newest__isnull=False).values("newest")
