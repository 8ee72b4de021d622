"""Work on a store's space as a run: said first, confirmed where others feel it, one at a time, and it ends as it should."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from stores.codecs.sqltables import create_statements
from stores.errors import BadConfig, Busy, Forbidden, NotSupported, ReadOnly
from stores.models import AuditEntry, Run, RunAction, RunState, Store
from stores.services import run_control, runs, tidy
from stores.services.actor import Actor
from tests.accounts import make, sign_in

pytestmark = pytest.mark.django_db
MACHINE = Actor.command_line()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An SQLite store of which most rows have been removed."""
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", *create_statements("sqlite"), "BEGIN"):
        connection.execute(statement)
    connection.executemany("INSERT INTO m VALUES (?, ?)", [(b"k%05d" % number, b"\xff" * 8 + bytes(300)) for number in range(5000)])
    connection.execute("COMMIT")
    connection.execute("DELETE FROM m WHERE k >= ?", (b"k00100",))
    connection.close()
    found = Store(id="file", type="sqlite", version="0.11")
    found.settings = {"path": str(path)}
    found.save(force_insert=True)
    return found


def test_the_whole_file_asks_first_and_then_gives_its_space_back(store: Store) -> None:
    with pytest.raises(BadConfig, match="Stalwart is stopped"):
        tidy.start(MACHINE, store, "whole")
    assert not Run.objects.exists()
    run = tidy.run_in_foreground(MACHINE, store, "whole", sure=True)
    assert run.state == RunState.DONE, run.error
    assert run.bytes == run.params["before"] - run.params["after"] > 1_000_000
    assert Path(store.settings["path"]).stat().st_size < 200_000
    assert AuditEntry.objects.filter(action="tidy-start").count() == 1
    connection = sqlite3.connect(store.settings["path"])
    assert connection.execute("SELECT count(*) FROM m").fetchone() == (100,)
    connection.close()


def test_one_at_a_time_and_not_beside_a_purge(store: Store) -> None:
    first = tidy.start(MACHINE, store, "log")
    with pytest.raises(Busy):
        tidy.start(MACHINE, store, "log")
    runs.request_cancel(MACHINE, first)
    purge = runs.create(MACHINE, store, RunAction.PURGE)
    with pytest.raises(Busy, match="purge"):
        tidy.start(MACHINE, store, "log")
    runs.request_cancel(MACHINE, purge)
    again = tidy.start(MACHINE, store, "log")
    done = tidy.execute(again.pk)
    assert done is not None
    assert done.state == RunState.DONE
    assert tidy.execute(again.pk) is None


def test_a_wish_to_stop_ends_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.services.leases.SAVE_SECONDS", 0.0)
    run = tidy.start(MACHINE, store, "log")

    def wish(seen: Run) -> None:
        Run.objects.filter(pk=seen.pk).update(cancel_requested=True)

    monkeypatch.setattr("stores.backends.sqlite_tidy.TidyFile.tidy", _endless(wish, run))
    done = tidy.execute(run.pk)
    assert done is not None
    assert done.state == RunState.CANCELLED
    assert not run_control.can_go_on(done)


def _endless(wish: Callable[[Run], None], run: Run) -> Callable[..., Any]:
    from stores.types import TidyStep

    def steps(backend: object, way: str) -> Any:
        for _ in range(100):
            wish(run)
            yield TidyStep()
        raise AssertionError("it goes on after the wish to stop")

    return steps


def test_it_cannot_be_paused(store: Store) -> None:
    run = runs.claim(tidy.start(MACHINE, store, "log").pk)
    assert run is not None
    with pytest.raises(NotSupported, match="paused"):
        runs.request_pause(MACHINE, run)


def test_who_may_not_and_where_not(store: Store) -> None:
    with pytest.raises(Forbidden):
        tidy.start(Actor.of_user(make("vi", "viewer")), store, "log")
    with pytest.raises(NotSupported):
        tidy.start(MACHINE, store, "vacuum-full")
    store.read_only = True
    store.save()
    assert not tidy.offer(store).ways
    with pytest.raises(ReadOnly):
        tidy.start(MACHINE, store, "log")


def test_the_page_says_the_costs_and_starts_the_run(store: Store) -> None:
    client = sign_in(Client(), make("olga", "operator"))
    shown = client.get("/stores/file/tidy/").content.decode()
    for words in ("VACUUM", "Every writer waits", "are free", "a guess by the size"):
        assert words in shown
    refused = client.post("/stores/file/tidy/start/", {"way": "whole"})
    assert refused.status_code == 422
    assert "Confirm first" in refused.content.decode()
    started = client.post("/stores/file/tidy/start/", {"way": "whole", "sure": "on"})
    run = Run.objects.get()
    assert started["Location"] == f"/runs/{run.pk}/"
    tidy.execute(run.pk)
    page = client.get(started["Location"]).content.decode()
    assert "given back" in page
    assert "Tidying of file" in page
    assert "gave" in client.get("/runs/?action=tidy").content.decode()


def test_the_command_shows_and_does(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("tidy", "file", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert [way["name"] for way in shown["ways"]] == ["whole", "log"]
    assert shown["ways"][0]["asks"]
    call_command("tidy", "file", "--way", "whole", "--yes", "--json")
    done = json.loads(capsys.readouterr().out)
    assert done["state"] == "done"
    assert done["bytes"] > 1_000_000


def test_a_store_that_needs_nothing_says_why() -> None:
    fixed = Store.objects.create(id="fixed", type="static")
    assert not tidy.offer(fixed).ways
    assert "Nothing has to be done" in tidy.offer(fixed).why
