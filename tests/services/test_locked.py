"""Runs whose store another program holds locked: wishes take effect within a second, nothing is lost or counted twice."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.backends import sql_batch
from stores.models import Run, RunState, Store, TrashEntry
from stores.services import bulk, bulk_undo, definitions, keyfile_import, purge, run_control, runs
from stores.services.actor import Actor
from stores.services.bulk_change import Do, make_change
from stores.services.bulk_leftovers import Counted
from stores.services.bulk_preview import Confirmed
from stores.services.bulk_record import Record
from stores.services.filters import KeyFilter
from stores.services.leases import Lease
from stores.types import Pace
from tests.contract.conftest import _harness
from tests.contract.harness import Harness, Plant, SettableClock

KEYS, LOCKED = 60, 40
WITHIN = 1.5
"""Seconds: one for the wish to take effect, and some for a busy machine."""
ENGINES = ("sqlite", "postgresql", "mariadb")
KINDS = ("purge", "delete", "expiry", "copy", "import", "undo")
PAST, FUTURE = int(time.time()) - 1000, int(time.time()) + 100_000
CASES = list(zip(itertools.product(ENGINES, KINDS), itertools.cycle(("pause", "cancel", "cancel", "pause", "pause")), strict=False))


def key(number: int) -> bytes:
    return b"user:%03d" % number


def rows(expires_at: int) -> list[Plant]:
    return [Plant(key(number), expires_at.to_bytes(8, "big") + b"v%d" % number) for number in range(KEYS)]


class Locked:
    """A store that is filled, and a lock of another connection on it: on the file, or on one key in the middle."""

    def __init__(self, engine: str, actor: Actor, plants: list[Plant]) -> None:
        self.engine, self.harness = engine, _harness(engine)
        self.harness.plant(plants)
        with self.harness.open(SettableClock(time.time())) as backend:
            settings = dict(backend.settings)
            self.store = definitions.create_store(actor, id="locked", type=backend.TYPE, settings=settings, version="0.11")

    def lock(self) -> None:
        if self.engine == "sqlite":
            return self._execute("BEGIN IMMEDIATE")
        self._execute("BEGIN")
        hexed = key(LOCKED).hex()
        name = f"'\\x{hexed}'::bytea" if self.engine == "postgresql" else f"x'{hexed}'"
        there = key(LOCKED) in self.rows()
        return self._execute(f"UPDATE m SET v = v WHERE k = {name}" if there else f"INSERT INTO m (k, v) VALUES ({name}, {name})")

    def unlock(self) -> None:
        self._execute("ROLLBACK")

    def rows(self) -> dict[bytes, bytes]:
        return self.harness.raw()[0]

    def _execute(self, statement: str) -> None:
        connection: Any = self.harness.connection  # type: ignore[attr-defined]
        if self.engine == "mariadb":
            with connection.cursor() as cursor:
                cursor.execute(statement)
        else:
            connection.execute(statement)


@pytest.fixture
def uploads(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path / "data"


@pytest.fixture
def other(db: None, actor: Actor, tmp_path: Path) -> Iterator[Store]:
    """Where copies come from."""
    harness: Harness = _harness("sqlite")
    harness.plant(rows(FUTURE))
    with harness.open(SettableClock(time.time())) as backend:
        yield definitions.create_store(actor, id="other", type="sqlite", settings=dict(backend.settings), version="0.11")
    harness.close()


@pytest.fixture
def wish(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """`["pause"]` or `["cancel"]` is asked for right after the run has looked for the first time while it waits; the time is added."""
    real = Lease.look
    found: list[Any] = []

    def look(lease: Lease) -> None:
        real(lease)
        if len(found) == 1:
            Run.objects.filter(pk=lease.run.pk).update(**{f"{found[0]}_requested": True})
            found.append(time.monotonic())

    monkeypatch.setattr(Lease, "look", look)
    monkeypatch.setattr(sql_batch, "FIRST", 10)
    monkeypatch.setattr(sql_batch, "FEWEST", 10)
    yield found


@pytest.mark.usefixtures("uploads")
@pytest.mark.parametrize(("case", "what"), CASES, ids=["-".join((*case, what)) for case, what in CASES])
def test_a_wish_takes_effect_while_a_lock_is_in_the_way(
    case: tuple[str, str], what: str, actor: Actor, other: Store, wish: list[Any]
) -> None:
    engine, kind = case
    place = Locked(engine, actor, [] if kind in ("copy", "import") else rows(PAST if kind == "purge" else FUTURE))
    try:
        before = place.rows()
        run = started(kind, actor, place.store, other)
        execute = purge.execute if kind == "purge" else bulk.execute
        changed = place.rows() if kind == "undo" else before
        wish.append(what)
        place.lock()
        ended = execute(run.pk)
        took = time.monotonic() - wish[1]
        place.unlock()
        assert ended is not None
        assert (ended.state, ended.error) == (RunState.PAUSED if what == "pause" else RunState.CANCELLED, "")
        assert took < WITHIN
        check(kind, ended, changed, place.rows())
        again = runs.resume(actor, ended) if what == "pause" else run_control.go_on(actor, ended)
        finished = execute(again.pk)
        assert finished is not None
        assert (finished.state, finished.error) == (RunState.DONE, "")
        check(kind, finished, changed, place.rows())
        assert place.rows() == {"delete": {}, "purge": {}, "undo": before}.get(kind, place.rows())
        if kind != "purge":
            record = Record.of(finished)
            assert (record.done, record.same + record.kept + record.failed, len(finished.params.get("counted", ()))) == (KEYS, 0, 0)
            assert len(changed.items() ^ place.rows().items()) == (2 * KEYS if kind == "expiry" else KEYS)
    finally:
        place.harness.close()


def started(kind: str, actor: Actor, store: Store, other: Store) -> Run:
    """A queued run of that kind; one that undoes comes after a deletion."""
    if kind == "purge":
        return purge.start(actor, store, Pace.FAST)
    if kind == "import":
        text = "".join(json.dumps({"key": key(n).decode(), "value": f"v{n}", "expires_at": FUTURE}) + "\n" for n in range(KEYS))
        upload = keyfile_import.accept([text.encode()])
        options = keyfile_import.Options(at=time.time(), format="jsonl")
        return keyfile_import.start(actor, store, keyfile_import.Confirmed(upload, options, KEYS, True, 0), Pace.FAST)
    if kind == "copy":
        return bulk.start(actor, other, Confirmed(make_change(Do.COPY, KeyFilter(), time.time(), to="locked"), KEYS, True, 0), Pace.FAST)
    do = Do.EXPIRY if kind == "expiry" else Do.DELETE
    change = make_change(do, KeyFilter(prefix=b"user:"), time.time(), expiry="never")
    run = bulk.start(actor, store, Confirmed(change, KEYS, True, 0), Pace.FAST)
    if kind != "undo":
        return run
    deleted = bulk.execute(run.pk)
    assert deleted is not None
    return bulk_undo.start(actor, deleted)


def check(kind: str, run: Run, before: dict[bytes, bytes], now: dict[bytes, bytes]) -> None:
    """Exactly what was changed is counted, and can be undone."""
    changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    if kind == "purge":
        assert run.removed == len(changed)
        return
    assert Record.of(run).done == len(changed)
    if kind != "undo":
        assert {bytes(entry.key) for entry in TrashEntry.objects.filter(run=run)} == changed
        assert Record.of(run).undoable == len(changed)


def test_keys_that_are_met_again_are_told_once_and_after_a_break_once_more() -> None:
    run, counted = Run(params={}), Counted()
    counted.add([b"a", b"b"])
    assert (counted.hit(b"a"), counted.hit(b"a"), counted.hit(b"c")) == (True, False, False)
    counted.forget()
    assert counted.hit(b"a")
    counted.save_to(run)
    again = Counted.of(run)
    assert (again.hit(b"a"), again.hit(b"b")) == (False, True)
    again.save_to(run)
    assert run.params == {}


def test_a_chunk_that_is_broken_off_uses_up_no_key_that_is_met_again() -> None:
    record = Record(done=10)
    record.start_over(removes=False)
    mark = record.mark()
    record.count_same(4)
    record.forget_since(mark)
    record.count_same(10)
    assert record.same == 0, "all ten are the run's own"
    record.count_same(3)
    assert record.same == 3
