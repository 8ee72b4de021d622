"""Stores for the service tests: memory stores of one test each, and the captured SQLite databases in copies."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.backends.base import Backend
from stores.codecs.rows import entry_from_rows, marker_row, value_row
from stores.models import Run, Store
from stores.registry import open_store
from stores.services import bulk, definitions
from stores.services.actor import Actor
from stores.services.bulk_change import Change, Do
from stores.services.bulk_preview import Confirmed, Found, look
from stores.services.filters import KeyFilter
from stores.services.rights import EVERYTHING
from stores.types import Entry, Kind, Pace
from tests.fixtures_path import FIXTURES

ACTOR = Actor("ana", "page", rights=EVERYTHING)

_numbers = itertools.count()


@pytest.fixture
def actor() -> Actor:
    return ACTOR


@pytest.fixture
def memory(db: None) -> Store:
    """A store in this process, empty at the start of the test, the default lookup store."""
    return new_memory("mem")


def new_memory(store_id: str, **options: object) -> Store:
    settings = {"name": f"test-{next(_numbers)}"}
    return definitions.create_store(ACTOR, id=store_id, type="memory", settings=settings, **options)  # type: ignore[arg-type]


@pytest.fixture
def captured(db: None, tmp_path: Path) -> Callable[..., Store]:
    """A definition on a copy of a captured SQLite store: `captured("stalwart-0.11.8/sqlite/memstore-final.db")`."""

    def define(path: str, store_id: str = "memstore", version: str = "0.11") -> Store:
        source = FIXTURES / path
        target = tmp_path / f"{store_id}.db"
        shutil.copy(source, target)
        return definitions.create_store(ACTOR, id=store_id, type="sqlite", settings={"path": str(target)}, version=version)

    return define


@contextmanager
def opened(store: Store) -> Iterator[Backend]:
    with open_store(store) as backend:
        yield backend


def plant(store: Store, key: bytes, value: bytes = b"", expires_at: int | None = None) -> Entry:
    """A value as somebody else would write it, also one that has expired."""
    with opened(store) as backend:
        return backend.put(Entry(key, Kind.VALUE, value, None, expires_at, value_row(value, expires_at)))


def plant_counter(store: Store, key: bytes, number: int, expires_at: int | None = None) -> Entry:
    row = None if expires_at is None else marker_row(expires_at)
    with opened(store) as backend:
        return backend.put(Entry(key, Kind.COUNTER, None, number, expires_at, row))


def plant_raw(store: Store, key: bytes, row: bytes) -> Entry:
    """A row of `m` whatever its bytes."""
    with opened(store) as backend:
        return backend.put(entry_from_rows(key, row, None))


def stored(store: Store, key: bytes) -> Entry | None:
    with opened(store) as backend:
        return backend.get(key)


def everything(store: Store) -> dict[bytes, Entry]:
    with opened(store) as backend:
        found, cursor = {}, None
        while True:
            page = backend.scan(cursor=cursor, limit=500)
            found.update({entry.key: entry for entry in page.entries})
            cursor = page.next
            if cursor is None:
                return found


def matching(store: Store, filter: KeyFilter) -> Found:
    """What a filter finds, read to the end."""
    return look(store, Change(Do.DELETE, filter, time.time()), None)


def delete_matching(actor: Actor, store: Store, filter: KeyFilter, on_progress: bulk.Progress | None = None) -> Run:
    """Delete all keys of a filter in this process; answers the finished run."""
    return bulk.run_in_foreground(actor, store, Confirmed(Change(Do.DELETE, filter, time.time()), 0, False, 0), Pace.NORMAL, on_progress)


def soon(seconds: int = 3600) -> int:
    return int(time.time()) + seconds
