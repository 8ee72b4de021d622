"""Parts are killed while people browse and runs go on: all of it comes back by itself, and nothing is lost."""

from __future__ import annotations

import threading

import pytest

from benchmarks import load, load_faults
from benchmarks.load_crowd import Crowd


def test_what_is_killed_under_load_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(load_faults, "AWAY_SECONDS", 1.5)
    faults = [fault for fault in load_faults.FAULTS if fault.name in ("web worker", "broker", "database", "store")]
    with load.installation(1000, 3) as made, Crowd(made.url, made.cookies, 0.3) as crowd:
        stop = threading.Event()
        busy = threading.Thread(target=load.keep_busy, args=(made, stop), daemon=True)
        busy.start()
        assert load_faults.all_of_them(made, crowd, faults) == 0, capsys.readouterr().out
        stop.set()
        busy.join(120)
        ended = made.order("end", str(made.folder))
    assert ended["sound"] and not ended["failed"] and not ended["expired_left"], ended
    assert ended["runs"].get("done", 0) >= 3
