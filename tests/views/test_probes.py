"""What machines ask: alive, ready, figures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from kombu import Connection
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from stores.models import Heartbeat, Run, Store
from stores.services import census, purge, runs
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.services.conftest import new_memory, plant, plant_counter

ACTOR = Actor("ana", "page", rights=EVERYTHING)
OLD, LATER = 1_000, 2_000_000_000
LABELS = ("store", "type", "class", "part", "action", "state")


@pytest.fixture
def stranger(db: None) -> Client:
    """Not signed in."""
    return Client()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "connection_for_write", lambda **_: Connection("memory://"))


def figures(client: Client, **headers: str) -> dict[str, dict[tuple[str, ...], float]]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in LABELS if name in sample.labels)] = sample.value
    return found


def test_alive_without_account_and_without_database(client: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", _broken)
        response = Client().get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")


def test_ready_when_all_four_are_well(stranger: Client, broker: None) -> None:
    assert stranger.get("/readyz").json() == {
        "ready": False,
        "parts": {"database": "ok", "broker": "ok", "worker": "never seen", "beat": "never seen"},
    }
    runs.beat()
    runs.sign_of_life(runs.BEAT)
    response = stranger.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)
    assert "no-store" in response["Cache-Control"]
    Heartbeat.objects.filter(pk="beat").update(at=timezone.now() - timedelta(seconds=200))
    response = stranger.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["beat"].startswith("silent for 20")


def test_not_ready_without_broker_or_database(stranger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    response = stranger.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["broker"] not in ("ok", "")
    assert "/" not in response.json()["parts"]["broker"]
    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", _broken)
        patch.setattr("stores.services.readiness.connection.close", lambda: None)
        response = stranger.get("/readyz")
    assert (response.status_code, response.json()["parts"]["database"]) == (503, "DatabaseError")


def test_figures_of_counts_purges_and_stores(stranger: Client, memory: Store, down: Store) -> None:
    plant(memory, b"old", b"x", OLD)
    plant(memory, b"never", b"xy")
    for number in range(3):
        plant_counter(memory, bytes.fromhex("05cb007114") + number.to_bytes(8, "big"), 3, LATER)
    census.count(memory, ACTOR)
    found = figures(stranger)
    assert found["kvadmin_store_keys"] == {("mem", "rate-auth"): 3, ("mem", "custom"): 2}
    assert found["kvadmin_store_expired_keys"] == {("mem", "rate-auth"): 0, ("mem", "custom"): 1}
    assert found["kvadmin_store_bytes"]["mem", "custom"] == 3 + 9 + 5 + 10
    assert 0 <= found["kvadmin_census_age_seconds"]["mem",] < 10
    assert found["kvadmin_store_up"] == {("mem", "memory"): 1, ("gone", "redis"): 0}
    assert "kvadmin_purge_runs" not in found
    purge.run_in_foreground(ACTOR, memory)
    runs.beat()
    found = figures(stranger)
    ends = ("done", "failed", "cancelled", "stopped", "missed")
    assert found["kvadmin_purge_runs"] == {("mem", state): int(state == "done") for state in ends}
    assert found["kvadmin_purge_seconds"]["mem",] > 0
    assert found["kvadmin_purge_last_success"] == {("mem",): 1}
    assert found["kvadmin_purge_last_removed_keys"] == {("mem",): 1}
    assert found["kvadmin_heartbeat_age_seconds"]["worker",] < 10
    Run.objects.update(state="failed", seconds=7.5)
    found = figures(stranger)
    assert (found["kvadmin_purge_runs"]["mem", "failed"], found["kvadmin_purge_runs"]["mem", "done"]) == (1, 0)
    assert found["kvadmin_purge_seconds"] == {("mem",): 7.5} == found["kvadmin_purge_last_duration_seconds"]
    assert figures(stranger)["kvadmin_purge_last_success"] == {("mem",): 0}


def test_reading_figures_counts_nothing(stranger: Client, memory: Store) -> None:
    figures(stranger)
    assert not Run.objects.exists()
    assert census.latest(memory) is None


def test_a_hostile_store_id_stays_a_label(stranger: Client, memory: Store) -> None:
    new_memory('a"}')
    assert ('a"}', "memory") in figures(stranger)["kvadmin_store_up"]


def test_without_token_only_this_machine(stranger: Client) -> None:
    assert stranger.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    assert stranger.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403
    assert stranger.get("/metrics", REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403


def test_with_a_token_everybody_who_has_it(stranger: Client, settings: Settings) -> None:
    settings.KVADMIN_METRICS_TOKEN = "0123456789abcdef"
    refused = stranger.get("/metrics")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    assert b"0123456789abcdef" not in refused.content
    assert stranger.get("/metrics", headers={"Authorization": "Bearer 0123456789abcdeF"}).status_code == 401
    response = stranger.get("/metrics", headers={"Authorization": "Bearer 0123456789abcdef"}, REMOTE_ADDR="203.0.113.9")
    assert response.status_code == 200
    assert stranger.post("/metrics").status_code == 405


def _broken(*_: object, **__: object) -> None:
    raise DatabaseError("no database")
