"""The purge page, its schedule, and the runs."""

from __future__ import annotations

import uuid
from dataclasses import asdict

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from stores.models import Run, RunAction, RunPart, RunState, Store
from stores.services import census, definitions, purge, runs
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.part_rows import packed
from stores.services.purge_parts import Sums
from stores.services.rights import EVERYTHING
from stores.types import Pace
from tests.services.conftest import plant, plant_counter
from tests.views.pages import assert_sound, read, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)
OLD, LATER = 1_000, 2_000_000_000
FAILED_LOGIN = bytes.fromhex("05cb007114000000000000510e")


def at(store: Store, name: str = "purge") -> str:
    return reverse(f"stores:{name}", args=[store.pk])


@pytest.fixture
def waiting(memory: Store) -> Store:
    plant(memory, b"old", b"x", OLD)
    plant_counter(memory, FAILED_LOGIN, 3, OLD)
    plant(memory, b"new", b"x", LATER)
    return memory


def test_before_the_first_count_nothing_is_claimed(client: Client, waiting: Store) -> None:
    words = text_of(client.get(at(waiting)))
    assert "How much has expired is known after the first count." in words
    assert "Not counted yet" in words
    assert "have expired" not in words


def test_what_waits_is_shown_by_class_in_keys_and_rows(client: Client, waiting: Store) -> None:
    census.count(waiting, ACTOR)
    response = client.get(at(waiting))
    words = text_of(response)
    assert "2 keys have expired" in words
    assert "in 3 rows" in words
    assert "05 Failed logins 1 2" in words
    assert "Your own keys 1 1" in words
    assert "Purge 2 keys" in words
    assert_sound(response)


def test_a_purge_started_here_removes_what_has_expired(client: Client, waiting: Store, django_capture_on_commit_callbacks: type) -> None:
    census.count(waiting, ACTOR)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(at(waiting, "purge-start"), {"pace": "fast"})
    assert response.status_code == 303
    run = Run.objects.get()
    assert (run.state, run.started_by, run.pace, run.removed) == (RunState.DONE, "ana", "fast", 2)
    assert read_key(waiting, b"old") is None
    assert read_key(waiting, b"new") is not None
    words = text_of(client.get(at(waiting)))
    assert "2 keys removed since the last count" in words
    assert "from before the purge" in words
    assert "Purge now" in words


def test_a_purge_that_waits_shows_itself_and_asks_again_until_it_is_over(client: Client, hx: Client, waiting: Store) -> None:
    part = hx.post(at(waiting, "purge-start"), {"pace": "gentle"})
    assert part.status_code == 200
    reader = read(part)
    assert [attrs.get("hx-trigger") for tag, attrs in reader.elements if attrs.get("id") == "now"] == ["every 1s"]
    again = hx.post(at(waiting, "purge-start"), {"pace": "gentle"})
    assert again.status_code == 409
    assert "already under way" in text_of(again)
    run = Run.objects.get()
    runs.request_cancel(ACTOR, run)
    over = hx.get(at(waiting), headers={"HX-Target": "now"})
    assert [attrs.get("hx-trigger") for tag, attrs in read(over).elements if attrs.get("id") == "now"] == [None]
    assert over["HX-Retarget"] == over["HX-Reselect"] == "#main", "the figures around it changed too"
    assert [attrs.get("hx-preserve") for tag, attrs in read(over).elements if attrs.get("id") == "schedule"] == ["true"], (
        "it may be typed in"
    )
    assert "before it was cancelled" in text_of(over)


@pytest.mark.parametrize("pace", ["", "reckless"])
def test_a_pace_that_is_none_starts_nothing(client: Client, waiting: Store, pace: str) -> None:
    response = client.post(at(waiting, "purge-start"), {"pace": pace})
    assert response.status_code == 422
    assert "gentle, normal or fast" in text_of(response)
    assert not Run.objects.exists()


def test_a_store_without_purge_draws_no_button_and_says_why(client: Client, db: None) -> None:
    store = definitions.create_store(ACTOR, id="lists", type="static", settings={}, entries=[("a", "1")])
    response = client.get(at(store))
    words = text_of(response)
    assert response.status_code == 200
    assert "lists is not purged from here" in words
    assert "Purge now" not in words
    assert "Save the schedule" not in words
    refused = client.post(at(store, "purge-start"), {"pace": "gentle"})
    assert refused.status_code in (400, 403)
    assert not Run.objects.exists()


def test_a_store_that_is_down_says_so_on_its_purge_page(client: Client, down: Store) -> None:
    response = client.get(at(down))
    assert response.status_code in (200, 503)
    assert "gone" in text_of(response)
    assert_sound(response)


def test_a_schedule_is_shown_before_it_is_saved(client: Client, waiting: Store) -> None:
    response = client.get(at(waiting), {"source": "raw", "frequency": "0 3 1", "active": "on"})
    words = text_of(response)
    assert "Every Monday at 03:00" in words
    assert words.count("03:00:00 UTC") == 6
    assert "Not saved yet" in words
    waiting.refresh_from_db()
    assert waiting.purge_frequency == ""


def test_picker_and_text_keep_in_step(hx: Client, waiting: Store) -> None:
    for query, frequency, picked in (
        ({"source": "picker", "repeat": "day", "at": "02:30", "frequency": "9 9 9"}, "30 2 *", {"day"}),
        ({"source": "picker", "repeat": "week", "weekday": "7", "at": "4:05"}, "5 4 7", {"week", "7"}),
        ({"source": "picker", "repeat": "hour", "at": "00:15"}, "15 *", {"hour"}),
        ({"source": "raw", "frequency": "0 3 5", "repeat": "hour"}, "0 3 5", {"week", "5"}),
        ({"source": "raw", "frequency": "7 *"}, "7 *", {"hour"}),
    ):
        part = hx.get(at(waiting), query, headers={"HX-Target": "schedule"})
        reader = read(part)
        values = {attrs.get("name"): attrs.get("value") for tag, attrs in reader.elements if tag == "input"}
        chosen = {attrs.get("value") for tag, attrs in reader.elements if tag == "option" and "selected" in attrs}
        assert part.status_code == 200
        assert values["frequency"] == frequency
        assert picked <= chosen


@pytest.mark.parametrize("frequency", ["0 3", "0 25 *", "60 3 *", "0 3 8", "*/5 * *", "nonsense", "0 3 0"])
def test_a_schedule_that_cannot_be_read_changes_nothing(client: Client, hx: Client, waiting: Store, frequency: str) -> None:
    for who in (client, hx):
        response = who.post(at(waiting, "schedule"), {"frequency": frequency, "active": "on", "pace": "gentle"})
        assert response.status_code == 422
        assert 'role="alert"' in response.content.decode()
        assert frequency in response.content.decode()
    waiting.refresh_from_db()
    assert waiting.purge_frequency == ""
    assert not PeriodicTask.objects.filter(task="stores.tasks.scheduled_purge").exists()


def test_a_schedule_is_saved_paused_resumed_and_taken_away(client: Client, waiting: Store) -> None:
    saved = client.post(at(waiting, "schedule"), {"frequency": " 0  3 * ", "active": "on", "pace": "normal"}, follow=True)
    assert "mem is purged every day at 03:00." in text_of(saved)
    waiting.refresh_from_db()
    assert (waiting.purge_frequency, waiting.purge_paused, waiting.purge_pace) == ("0 3 *", False, "normal")
    assert PeriodicTask.objects.get(name="purge mem").enabled
    client.post(at(waiting, "schedule"), {"frequency": "0 3 *", "pace": "normal"})
    waiting.refresh_from_db()
    assert waiting.purge_paused
    assert not PeriodicTask.objects.get(name="purge mem").enabled
    gone = client.post(at(waiting, "schedule"), {"source": "picker", "repeat": "", "active": "on", "pace": "normal"}, follow=True)
    assert "mem has no purge schedule any more." in text_of(gone)
    waiting.refresh_from_db()
    assert waiting.purge_frequency == ""


def test_stalwarts_own_reading_is_noted(client: Client, waiting: Store) -> None:
    words = text_of(client.get(at(waiting), {"source": "raw", "frequency": "0 3 1", "active": "on"}))
    assert "Stalwart" in words.split("Next 6 runs")[-1] or "Stalwart itself" in words


def test_history_shows_failed_and_missed_runs(client: Client, waiting: Store) -> None:
    for state, error in ((RunState.FAILED, "database is locked"), (RunState.MISSED, "no worker was running")):
        made = runs.create(ACTOR, waiting, RunAction.PURGE)
        Run.objects.filter(pk=made.pk).update(state=state, error=error, active_key=None, finished_at=made.created_at)
    words = text_of(client.get(at(waiting)))
    assert "failed: database is locked" in words
    assert "missed: no worker was running" in words


def test_runs_are_listed_filtered_and_followed(client: Client, waiting: Store) -> None:
    purge.run_in_foreground(ACTOR, waiting)
    census.start(ACTOR, waiting)
    everything = client.get(reverse("stores:runs"))
    words = text_of(everything)
    assert "Purge of mem" in words
    assert "Count of mem" in words
    assert "removed 2 keys" in words
    assert [attrs.get("hx-trigger") for tag, attrs in read(everything).elements if attrs.get("id") == "runs"] == ["every 2s"]
    only = client.get(reverse("stores:runs"), {"action": "purge", "store": "mem"})
    assert "Count of mem" not in text_of(only)
    assert [attrs.get("hx-trigger") for tag, attrs in read(only).elements if attrs.get("id") == "runs"] == [None]


@pytest.mark.parametrize("query", [{"store": "nowhere"}, {"action": "dance"}, {"cursor": "x"}])
def test_a_run_filter_that_cannot_be_read_is_refused(client: Client, waiting: Store, query: dict[str, str]) -> None:
    assert client.get(reverse("stores:runs"), query).status_code in (400, 422)


def test_one_run_is_cancelled_from_its_page(client: Client, hx: Client, waiting: Store) -> None:
    run = purge.start(ACTOR, waiting)
    page = client.get(reverse("stores:run", args=[run.pk]))
    assert "Cancel" in text_of(page)
    assert client.post(reverse("stores:run-act", args=[run.pk, "cancel"])).status_code == 303
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    over = client.get(reverse("stores:run", args=[run.pk]))
    assert [attrs.get("hx-trigger") for tag, attrs in read(over).elements if attrs.get("id") == "run"] == [None]
    assert hx.post(reverse("stores:run-act", args=[run.pk, "cancel"])).status_code == 400
    assert client.post(reverse("stores:run-act", args=[run.pk, "explode"])).status_code == 422
    assert client.post(reverse("stores:run-act", args=[run.pk, "pace"]), {"pace": "warp"}).status_code == 422


def test_a_run_that_is_not_there_is_a_404(client: Client, waiting: Store) -> None:
    assert client.get(reverse("stores:run", args=[uuid.uuid4()])).status_code == 404


def test_a_run_shows_its_course_takes_another_pace_and_hands_out_its_log(client: Client, memory: Store) -> None:
    run = purge.start(ACTOR, memory)
    points = [[seconds, 1000 * seconds, 7.5] for seconds in range(1, 9)]
    Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING, points=points, seconds=8, log=[[1_900_000_000, "A line."]])
    page = client.get(reverse("stores:run", args=[run.pk])).content.decode()
    assert "keys a second: 1,000 to 1,000" in page
    assert "longest step, ms: 8 to 8" in page
    assert client.post(reverse("stores:run-act", args=[run.pk, "pace"]), {"pace": "fast"}).status_code == 303
    run.refresh_from_db()
    assert run.pace == "fast"
    log = client.get(reverse("stores:run-log", args=[run.pk]))
    assert "attachment" in log["Content-Disposition"]
    assert "2030-03-17 17:46:40 UTC A line." in log.content.decode()
    assert "after 8.0 s: 8000 keys read, longest step 7.5 ms" in log.content.decode()
    assert "Go on" not in page
    Run.objects.filter(pk=run.pk).update(state=RunState.STOPPED, active_key=None)
    run.refresh_from_db()
    assert "stopped at its deadline" in client.get(reverse("stores:run", args=[run.pk])).content.decode()
    assert client.post(reverse("stores:run-act", args=[run.pk, "go-on"])).status_code in (303, 400)


def test_a_shared_run_shows_its_parts(client: Client, memory: Store) -> None:
    run = purge.start(ACTOR, memory, Pace.FAST)
    Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING)
    done = packed(asdict(Sums(scanned=4000, values=1200, counters=30, locks=4)))
    RunPart.objects.create(run=run, number=1, position="", state=done, rows=4000, progress=1.0)
    RunPart.objects.create(run=run, number=2, position="p:05::", rows=1500, progress=0.64, worker="w")
    RunPart.objects.create(run=run, number=3, position="p:06::")
    words = text_of(client.get(reverse("stores:run", args=[run.pk])))
    assert "Parts of the store, shared by several workers" in words
    assert "1 done 4,000 1,234 2 64 %, at work 1,500 0 3 0 %, waiting 0 0" in words
    Run.objects.filter(pk=run.pk).update(action=RunAction.CENSUS)
    assert "1 done 4,000 2 64 %, at work 1,500 3 0 %, waiting 0" in text_of(client.get(reverse("stores:run", args=[run.pk])))
    RunPart.objects.filter(number=3).delete()
    assert "shared by several workers" not in text_of(client.get(reverse("stores:run", args=[run.pk])))


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_a_count_that_came_to_no_end_is_made_again_from_its_page(client: Client, memory: Store, state: RunState) -> None:
    run = census.start(ACTOR, memory)
    Run.objects.filter(pk=run.pk).update(state=state, active_key=None, started_at=timezone.now(), finished_at=timezone.now())
    page = client.get(reverse("stores:run", args=[run.pk]))
    assert "Count again" in text_of(page)
    assert "Go on" not in text_of(page)
    assert client.post(reverse("stores:run-act", args=[run.pk, "go-on"])).status_code == 303
    again = client.get(reverse("stores:run", args=[run.pk]))
    assert "started the count again." in text_of(again)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
