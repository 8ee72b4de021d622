"""Walks of pages: one at a time, and slower while other pages are made."""

from __future__ import annotations

import time

import pytest

from stores.services import turns


def test_only_one_walk_has_its_turn() -> None:
    with turns.turn(1.0) as first, turns.turn(1.0) as second:
        assert (first, second) == (1.0, 0.0)
    with turns.turn(0.5) as after:
        assert after == 0.5


def test_a_walk_rests_only_while_other_pages_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    turns.give_way(0.004)
    with turns.answering():
        turns.give_way(0.004)
        assert not rests, "the page of the walk itself is no reason"
        with turns.answering():
            turns.give_way(0.004)
            turns.give_way(9.0)
    turns.give_way(0.004)
    assert rests == [pytest.approx(0.012), turns.LONGEST_REST]
