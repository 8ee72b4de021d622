"""A slice of `benchmarks.requests`: no route answers with a mistake of ours, whatever it is asked and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from benchmarks.requests import Soak, only_here


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [11, 12])
def test_odd_requests_of_every_role_never_end_in_a_mistake(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.KVADMIN_API_RATE = 1_000_000
    monkeypatch.setattr("socket.getaddrinfo", only_here)
    report = Soak(seed, tmp_path).run(400)
    assert not report.failures, "\n\n".join(report.failures[:3])
    assert len(report.routes) > 60 and report.statuses[200] > 40
