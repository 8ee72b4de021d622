"""Which censuses are kept, and what they tell. All moments are set, none is waited for."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from stores.models import Census, Store
from stores.services import census, history
from stores.services.actor import Actor
from tests.services.conftest import plant, soon

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DAY = 86400


def counted(store: Store, at: datetime, expired: int = 0, **classes: int) -> Census:
    """A census with so many values of each class, the expired ones among the user keys."""
    rows: list[dict[str, Any]] = [
        {"class": None if slug == "own" else slug.replace("_", "-"), "byte": None, "keys": keys, "counters": 0, "locks": 0,
         "key_bytes": keys * 10, "value_bytes": keys * 20, "never": 0, "expired": expired if slug == "own" else 0}
        for slug, keys in classes.items()
    ]  # fmt: skip
    names = ("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired")
    total = {name: sum(row[name] for row in rows) for name in names}
    return Census.objects.create(store=store, at=at, seconds=0.5, total=total, classes=rows)


def keep(moments: list[tuple[int, float]], now: float) -> list[tuple[int, float]]:
    extra = set(history.surplus(moments, now))
    return [moment for moment in moments if moment[0] not in extra]


def test_the_table_stays_bounded_for_years() -> None:
    """Hourly counts for two years and a bit, a burst of hand-made ones each day, thinned after each as the service does."""
    source = random.Random(7)
    kept: list[tuple[int, float]] = []
    most, number, now = 0, 0, 1_700_000_000.0
    for hour in range(780 * 24):
        for at in [now, *(now + second for second in (range(1, 600, 7) if hour % 24 == 9 else ()))]:
            number += 1
            kept.append((number, at + source.random()))
        now += 3600
        if hour % 6 == 0 or hour % 24 == 9:
            kept = keep(kept, now)
            most = max(most, len(kept))
    assert most <= history.MOST_KEPT
    ages = sorted((now - at) / DAY for _, at in kept)
    assert sum(age <= 1 for age in ages) >= 24
    assert sum(age <= 7 for age in ages) >= 7 * 24
    assert sum(30 <= age <= 365 for age in ages) >= 330
    assert 399 <= max(ages) <= 401


def test_only_the_newest_of_a_slot_stays_and_the_newest_of_all_always() -> None:
    now = 1_700_000_000.0 + 3 * DAY
    hour = (now - 2 * DAY) // 3600 * 3600
    moments = [(1, hour + 5), (2, hour + 1800), (3, hour + 3599), (4, hour + 3600)]
    assert history.surplus(moments, now) == [2, 1]
    assert history.surplus([(9, now - 900 * DAY)], now) == []
    assert history.surplus([(9, now - 900 * DAY), (8, now - 901 * DAY)], now) == [8]
    assert history.surplus([(1, now + 500), (2, now)], now) == []


def test_every_count_thins(memory: Store, actor: Actor) -> None:
    for minutes in range(0, 600, 5):
        counted(memory, datetime.now(UTC) - timedelta(days=20, minutes=minutes), own=minutes)
    census.count(memory, actor)
    assert Census.objects.count() <= 4
    assert Census.objects.filter(at__lt=datetime.now(UTC) - timedelta(days=19)).latest("at").total["keys"] == 0


@pytest.fixture
def fortnight(memory: Store) -> Callable[[], list[Census]]:
    """Counts of each hour for two weeks: greylist grows by 48 a day, user keys expire and are purged at 03:00."""
    rows = []
    for hour in range(14 * 24, -1, -1):
        at = NOW - timedelta(hours=hour)
        rows.append(counted(memory, at, expired=20 * ((at.hour - 3) % 24), greylist=10_000 - 2 * hour, own=500 + 20 * ((at.hour - 3) % 24)))
    return lambda: history.week(memory, NOW)


def test_growth_compares_the_same_time_of_day(fortnight: Callable[[], list[Census]]) -> None:
    week = fortnight()
    assert 168 <= len(week) <= 170
    found = history.growth(week)
    assert (found["greylist"].per_day, found["greylist"].days) == (48.0, 7)
    assert found["greylist"].share == pytest.approx(48 / (10_000 - 2 * 168))
    assert found[None].per_day == 0.0
    total = history.total_growth(week)
    assert total is not None and total.per_day == 48.0
    assert history.growth(week, most_days=1)["greylist"].days == 1


def test_no_growth_without_a_count_of_the_day_before(memory: Store) -> None:
    assert history.growth([]) == {}
    assert history.total_growth([]) is None
    assert history.growth([counted(memory, NOW - timedelta(hours=12), own=1), counted(memory, NOW, own=5)]) == {}


def test_a_new_class_has_no_share(memory: Store) -> None:
    found = history.growth([counted(memory, NOW - timedelta(days=1), own=1), counted(memory, NOW, own=1, greylist=50)])
    assert (found["greylist"].per_day, found["greylist"].share) == (50.0, None)


def test_curves_have_few_points_of_the_whole_range(memory: Store, fortnight: Callable[[], list[Census]]) -> None:
    points = history.curve(memory, "7d", now=NOW)
    assert 84 <= len(points) <= 86
    assert points[-1].at == NOW and points[-1].keys == 10_000 + 500 + 20 * 9
    assert points[-1].live == 10_500 and points[-1].bytes == points[-1].keys * 30
    assert all(earlier.at < later.at for earlier, later in pairwise(points))
    assert len(history.curve(memory, "30d", now=NOW)) in (56, 57, 58)
    assert [point.keys for point in history.curve(memory, "1h", "greylist", now=NOW)] == [10_000]
    assert history.curve(memory, "1h", "oauth", now=NOW)[0].keys == 0
    own = history.curve(memory, "1d", None, now=NOW)
    assert {point.live for point in own} == {500} and max(point.expired for point in own) == 460
    sparks = history.sparks(history.week(memory, NOW))
    assert len(sparks["greylist"]) == 56 and sparks["greylist"][-1] == 10_000


def test_a_jump_of_live_keys_is_a_step_and_a_purge_is_none(memory: Store, fortnight: Callable[[], list[Census]]) -> None:
    week = fortnight()
    assert all(history.steps(week[:end]) == [] for end in range(1, len(week), 5))
    later = counted(memory, NOW + timedelta(hours=1), expired=200, greylist=10_002, own=500 + 200 + 900)
    steps = history.steps([*week, later])
    assert [(step.slug, step.before, step.after, step.change) for step in steps] == [(None, 500, 1400, 900)]
    small = counted(memory, NOW + timedelta(hours=1), expired=200, greylist=10_050, own=500 + 200 + 90)
    assert history.steps([*week, small]) == []


def test_a_count_keeps_the_steps_it_shows(memory: Store, actor: Actor) -> None:
    now = datetime.now(UTC)
    for hour in range(10, 0, -1):
        counted(memory, now - timedelta(hours=hour), own=3)
    for number in range(150):
        plant(memory, b"key%d" % number, b"", soon())
    found = census.count(memory, actor)
    assert found.steps == [{"class": None, "before": 3, "after": 150}]
    assert history.steps_of(found)[0].change == 147
    assert [census.pk for census in history.recent_steps(now - timedelta(days=1), 5)] == [found.pk]
