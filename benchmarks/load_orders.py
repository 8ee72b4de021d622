"""Orders of `benchmarks.load`, carried out on the database of the running installation: a JSON list a line in, its answer a line out.

One process for all of them: starting Python for each would take more of the machine than what is measured.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model, login  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import OperationalError, connection  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from benchmarks import fill  # noqa: E402
from stores.errors import StoreError  # noqa: E402
from stores.models import ACTIVE_STATES, Run, RunAction, RunState, Store  # noqa: E402
from stores.services import bulk, census, definitions, purge  # noqa: E402
from stores.services.actor import Actor  # noqa: E402
from stores.services.audit_verify import verify  # noqa: E402
from stores.services.bulk_change import Do, make_change  # noqa: E402
from stores.services.bulk_preview import Confirmed  # noqa: E402
from stores.services.filters import KeyFilter  # noqa: E402
from stores.types import Pace  # noqa: E402

ACTOR = Actor.command_line()
STORES = ("purged", "counted", "changed")
LONGEST_END = 300.0


def prepare(folder: str, rows: str, admins: str, valkey: str) -> dict[str, Any]:
    """Stores, rows, accounts, and a signed-in session of each."""
    for number, name in enumerate(STORES):
        path = Path(folder) / f"{name}.sqlite3"
        fill.fill_sqlite(path, fill.rows(int(rows), int(time.time()), seed=number))
        definitions.create_store(ACTOR, id=name, type="sqlite", settings={"path": str(path)}, version="0.11")
    cache = definitions.create_store(ACTOR, id="cache", type="redis", settings={"urls": valkey}, version="0.11")
    census.count(cache, ACTOR)
    for name in STORES:
        census.count(Store.objects.get(pk=name), ACTOR)
    return {"cookies": [_session(number) for number in range(int(admins))]}


def _session(number: int) -> str:
    user = get_user_model().objects.create_user(f"admin-{number}", is_superuser=True)
    request = RequestFactory().get("/")
    request.session = SessionStore()
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "username": user.get_username()}]
    request.session.save()
    return f"{settings.SESSION_COOKIE_NAME}={request.session.session_key}"


def work(folder: str, rows: str) -> dict[str, Any]:
    """Begin what is not going on: a purge with new rows to remove, a census, a bulk run. Answers what was begun."""
    begun = []
    for name, action in zip(STORES, (RunAction.PURGE, RunAction.CENSUS, RunAction.BULK), strict=True):
        store = Store.objects.get(pk=name)
        if Run.objects.filter(store=store, action=action, state__in=ACTIVE_STATES).exists():
            continue
        try:
            _begin(store, action, Path(folder) / f"{name}.sqlite3", int(rows))
        except StoreError as error:
            begun.append(f"{name}: {error}")
        else:
            begun.append(name)
    return {"begun": begun}


def _begin(store: Store, action: RunAction, path: Path, rows: int) -> None:
    if action == RunAction.PURGE:
        _expire_again(path, rows)
        purge.start(ACTOR, store, Pace.GENTLE)
    elif action == RunAction.CENSUS:
        census.start(ACTOR, store)
    else:
        change = make_change(Do.EXPIRY, KeyFilter(prefix=b"\x10"), time.time(), expiry=f"{1 + int(time.time()) % 50} days")
        bulk.start(ACTOR, store, Confirmed(change, 0, False, 0), Pace.GENTLE)


def _expire_again(path: Path, rows: int) -> None:
    """Rows that expired, in small transactions as a mail server would write them."""
    past, base = (int(time.time()) - 60).to_bytes(8, "big"), time.time_ns()
    with sqlite3.connect(path, timeout=20) as connection:
        for first in range(0, rows // 2, 500):
            keys = [(b"\x10again%d-%d@example.com" % (base, number), past) for number in range(first, first + 500)]
            with connection:
                connection.executemany("INSERT OR REPLACE INTO m (k, v) VALUES (?, ?)", keys)


def end(folder: str) -> dict[str, Any]:
    """Wait for the end of all runs, and say whether everything is as it has to be."""
    deadline = time.monotonic() + LONGEST_END
    while Run.objects.filter(state__in=ACTIVE_STATES).exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    states: dict[str, int] = {}
    for state in Run.objects.values_list("state", flat=True):
        states[state] = states.get(state, 0) + 1
    unfinished = sum(states.get(state.value, 0) for state in ACTIVE_STATES)
    verdict = verify()
    found = {
        "runs": states,
        "failed": states.get(RunState.FAILED.value, 0) + unfinished,
        "sound": verdict.sound,
        "entries": verdict.entries,
    }
    return {**found, "problem": verdict.problem, "expired_left": _expired_left(Path(folder) / "purged.sqlite3")}


def _expired_left(path: Path) -> int:
    """Greylist rows that had expired a minute ago and are still there."""
    with sqlite3.connect(path) as connection:
        limit = (int(time.time()) - 3600).to_bytes(8, "big")
        row = connection.execute("SELECT count(*) FROM m WHERE k >= x'10' AND k < x'11' AND v < ?", (limit,)).fetchone()
        return int(row[0])


if __name__ == "__main__":
    orders: dict[str, Callable[..., dict[str, Any]]] = {"prepare": prepare, "work": work, "end": end}
    for line in sys.stdin:
        name, *given = json.loads(line)
        try:
            answer = orders[name](*given)
        except OperationalError as error:  # the database is away for a while: the next order may find it again
            answer = {"away": str(error)}
        print(json.dumps(answer), flush=True)
        connection.close()
