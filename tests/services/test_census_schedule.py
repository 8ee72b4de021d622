"""When stores are counted by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from stores.errors import BadConfig
from stores.models import AuditEntry, Census, Run, RunState, Store
from stores.services import census, census_schedule
from stores.services.actor import Actor
from tests.services.conftest import plant


@pytest.mark.django_db(transaction=True)
def test_a_store_is_counted_at_once_and_then_every_hour(memory: Store) -> None:
    plant(memory, b"k")
    now = timezone.now()
    (run,) = census_schedule.start_due(now)
    run.refresh_from_db()
    assert (run.state, run.started_by) == (RunState.DONE, "schedule")
    assert Census.objects.get().total["keys"] == 1
    assert census_schedule.start_due(now + timedelta(minutes=59)) == []
    assert len(census_schedule.start_due(now + timedelta(minutes=61))) == 1
    assert not AuditEntry.objects.filter(action="census-start").exists()


def test_one_that_is_off_or_switched_off_is_left_alone(memory: Store, actor: Actor) -> None:
    census_schedule.set_interval(actor, memory, 0)
    assert census_schedule.start_due() == []
    census_schedule.set_interval(actor, memory, 60)
    Store.objects.update(enabled=False)
    assert census_schedule.start_due() == []
    Store.objects.update(enabled=True, type="nats")
    assert census_schedule.start_due() == []
    assert not Run.objects.exists()


def test_a_count_on_request_counts_too_and_long_ones_rest_longer(memory: Store, actor: Actor) -> None:
    counted = census.count(memory, actor)
    now = timezone.now()
    assert not census_schedule.is_due(memory, now + timedelta(minutes=59))
    assert census_schedule.is_due(memory, now + timedelta(minutes=61))
    Census.objects.filter(pk=counted.pk).update(seconds=600)
    assert not census_schedule.is_due(memory, now + timedelta(minutes=190))
    assert census_schedule.is_due(memory, now + timedelta(minutes=201))


def test_the_interval_is_checked_and_on_record(memory: Store, actor: Actor) -> None:
    with pytest.raises(BadConfig) as error:
        census_schedule.set_interval(actor, memory, 7)
    assert error.value.field == "minutes"
    assert memory.census_minutes == 60
    census_schedule.set_interval(actor, memory, 1440)
    memory.refresh_from_db()
    entry = AuditEntry.objects.get(action="census-interval")
    assert (memory.census_minutes, entry.before, entry.after) == (1440, {"minutes": 60}, {"minutes": 1440})
    census_schedule.set_interval(actor, memory, 1440)
    assert AuditEntry.objects.filter(action="census-interval").count() == 1
