"""Purges by parts: seats at each pace, wishes and deadlines of all parts, and rows that move meanwhile. Parts of a store in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from stores.backends.base import IsLock
from stores.backends.memory import MemoryBackend
from stores.errors import CursorLost
from stores.models import Run, RunPart, RunState, Store
from stores.services import census, part_rows, purge, run_control, runs
from stores.services.actor import Actor
from stores.services.part_rows import PartRows, seats
from stores.types import Pace, PurgeSlice
from tests.services.conftest import everything, plant

EACH = 40
"""Expired keys of a part."""
LETTERS = "abcd"


def parts_of(self: MemoryBackend, most: int = 1) -> list[str]:
    return [f"{letter}:0" for letter in LETTERS]


def purge_of(self: MemoryBackend, now: int, pace: Pace, position: str, is_lock: IsLock) -> Iterator[PurgeSlice]:
    """Ten keys a step, of those that begin with the letter of the part."""
    letter, start = position.split(":")
    for number in range(int(start), EACH, 10):
        gone = [self.delete(b"%s%02d" % (letter.encode(), key)) for key in range(number, number + 10)]
        yield PurgeSlice(
            scanned=10, values=sum(entry is not None for entry in gone), position=f"{letter}:{number + 10}", progress=number / EACH
        )


@pytest.fixture
def large(memory: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Store:
    """A store that several workers purge together."""
    for letter in LETTERS:
        for number in range(EACH):
            plant(memory, b"%s%02d" % (letter.encode(), number), b"v", int(time.time()) - 10)
    plant(memory, b"stays", b"v")
    census.count(memory, actor)
    settings.KVADMIN_RUN_WORKERS = 4
    monkeypatch.setattr(part_rows, "FAN_OUT_KEYS", 1)
    monkeypatch.setattr(MemoryBackend, "purge_parts", parts_of)
    monkeypatch.setattr(MemoryBackend, "purge", purge_of)
    monkeypatch.setattr("stores.services.leases.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("stores.services.purge_parts.SAVE_SECONDS", 0.0)
    monkeypatch.setattr(runs, "call_assistants", lambda run, number: called.append(number))
    called.clear()
    return memory


called: list[int] = []


def after(steps: int, monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    """Let something happen after so many steps of any part."""
    done = [0]

    def watched(*arguments: Any) -> Iterator[PurgeSlice]:
        for step in purge_of(*arguments):
            done[0] += 1
            if done[0] == steps:
                what()
            yield step

    monkeypatch.setattr(MemoryBackend, "purge", watched)


def begun(large: Store, actor: Actor, pace: Pace) -> Run:
    """A run that another process leads and has divided."""
    run = runs.claim(purge.start(actor, large, pace).pk)
    assert run is not None
    PartRows(run).create(parts_of(None))  # type: ignore[arg-type]
    return run


def test_seats_at_each_pace(settings: Any) -> None:
    settings.KVADMIN_RUN_WORKERS = 4
    assert [seats(pace) for pace in (Pace.GENTLE, Pace.NORMAL, Pace.FAST)] == [1, 2, 4]
    settings.KVADMIN_RUN_WORKERS = 1
    assert [seats(pace) for pace in (Pace.GENTLE, Pace.NORMAL, Pace.FAST)] == [1, 1, 1]


@pytest.mark.parametrize(("pace", "wanted"), [(Pace.GENTLE, []), (Pace.NORMAL, [1]), (Pace.FAST, [3])])
def test_a_large_store_is_purged_by_parts_with_one_result(large: Store, actor: Actor, pace: Pace, wanted: list[int]) -> None:
    run = purge.execute(purge.start(actor, large, pace).pk)
    assert run is not None
    assert (run.state, run.error, run.removed, run.scanned, run.progress) == (RunState.DONE, "", 4 * EACH, 4 * EACH, 1.0)
    assert [part.position for part in RunPart.objects.filter(run=run)] == [""] * 4
    assert called == wanted
    assert list(everything(large)) == [b"stays"]


@pytest.mark.parametrize("how", ["pause", "cancel", "deadline"])
def test_what_stops_a_run_stops_all_parts_and_it_goes_on_with_them(
    large: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    started = purge.start(actor, large, Pace.FAST)
    ask = {"pause": "pause_requested", "cancel": "cancel_requested"}
    change: dict[str, Any] = {ask[how]: True} if how in ask else {}
    if how == "deadline":
        clock = [time.time()]
        Run.objects.filter(pk=started.pk).update(params={"until": clock[0] + 100})
        monkeypatch.setattr("stores.services.purge_parts.time.time", lambda: clock[0])
        after(6, monkeypatch, lambda: clock.__setitem__(0, clock[0] + 1000))
    else:
        after(6, monkeypatch, lambda: Run.objects.filter(pk=started.pk).update(**change))
    run = purge.execute(started.pk)
    assert run is not None
    states = {"pause": RunState.PAUSED, "cancel": RunState.CANCELLED, "deadline": RunState.STOPPED}
    assert run.state == states[how]
    assert run.removed == 4 * EACH + 1 - len(everything(large)) == 60
    assert not RunPart.objects.filter(run=run).exclude(position="").exclude(worker="").exists(), "no part is held any more"
    again = runs.resume(actor, run) if how == "pause" else run_control.go_on(actor, run)
    ended = purge.execute(again.pk)
    assert ended is not None
    assert (ended.state, ended.removed, ended.scanned) == (RunState.DONE, 4 * EACH, 4 * EACH)


@pytest.mark.parametrize(
    ("pace", "changes", "works"),
    [
        (Pace.FAST, {}, True),
        (Pace.NORMAL, {}, True),
        (Pace.GENTLE, {}, False),
        (Pace.FAST, {"cancel_requested": True}, False),
        (Pace.FAST, {"pause_requested": True}, False),
        (Pace.FAST, {"params": {"until": 1.0}}, False),
        (Pace.FAST, {"state": RunState.QUEUED}, False),
    ],
)
def test_an_assistant_works_only_while_the_run_wants_it(
    large: Store, actor: Actor, pace: Pace, changes: dict[str, Any], works: bool
) -> None:
    run = begun(large, actor, pace)
    Run.objects.filter(pk=run.pk).update(**changes)
    purge.assist(run.pk)
    done = RunPart.objects.filter(run=run, position="").count()
    assert done == (4 if works else 0)
    assert len(everything(large)) == (1 if works else 4 * EACH + 1)


def test_an_assistant_leaves_when_the_pace_has_no_seat_for_it(large: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(large, actor, Pace.FAST)
    after(6, monkeypatch, lambda: Run.objects.filter(pk=run.pk).update(pace=Pace.GENTLE))
    purge.assist(run.pk)
    parts = list(RunPart.objects.filter(run=run))
    assert [part.position for part in parts] == ["", "b:20", "c:0", "d:0"]
    assert {part.worker for part in parts[1:]} == {""}, "its part is free for the leader"


def test_assistants_are_never_more_than_the_seats(large: Store, actor: Actor) -> None:
    run = begun(large, actor, Pace.NORMAL)
    one, other, leader = PartRows(run, leads=False), PartRows(run, leads=False), PartRows(run)
    assert one.take(2) is not None
    assert other.take(2) is None
    assert leader.take() is not None
    assert other.take(3) is not None
    assert [worker.may_stay(3) for worker in (one, other)] == [True, True]
    assert sorted(worker.may_stay(2) for worker in (one, other)) == [False, True]


def test_rows_that_move_meanwhile_are_divided_anew_and_counted_once(large: Store, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = [False]
    malformed = b"a malformed row"

    def rewritten(self: MemoryBackend, now: int, pace: Pace, position: str, is_lock: IsLock) -> Iterator[PurgeSlice]:
        if position.startswith("c") and not moved[0]:
            moved[0] = True
            raise CursorLost("The rows lie elsewhere now.")
        for step in purge_of(self, now, pace, position, is_lock):
            found = int(step.position == "a:10")
            yield replace(step, corrupt=found, corrupt_keys=(malformed,) * found)

    monkeypatch.setattr(MemoryBackend, "purge", rewritten)
    run = purge.execute(purge.start(actor, large, Pace.FAST).pk)
    assert run is not None
    assert (run.state, run.removed, RunPart.objects.filter(run=run).count()) == (RunState.DONE, 4 * EACH, 8)
    assert run.scanned == 6 * EACH, "two parts were read again"
    assert run.corrupt == 1, "though it was met twice"
    assert list(everything(large)) == [b"stays"]
