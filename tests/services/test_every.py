"""Asking several stores at once: who is asked where, and that no thread keeps a connection to kvadmin's database."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections

from stores.backends.base import Backend
from stores.models import Store
from stores.services import definitions, pulse
from stores.services.every import ask_each
from stores.services.health import Health
from tests.services.conftest import ACTOR


def test_stores_in_our_database_are_read_where_its_connection_is(captured: Callable[..., Store]) -> None:
    path = "stalwart-0.11.8/sqlite/memstore-final.db"
    stores = [captured(path), captured(path, "other"), definitions.create_store(ACTOR, id="own", type="static", settings={})]

    def where(store: Store, backend: Backend) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert ask_each(stores, where) == {"memstore": False, "other": False, "own": True}


def test_a_thread_that_asks_closes_its_connection(captured: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    store, closed = captured("stalwart-0.11.8/sqlite/memstore-final.db"), []

    def health(asked: Store) -> Health:
        name = threading.current_thread().name
        monkeypatch.setattr(connections["default"], "close", lambda: closed.append(name))
        return Health("ok", 1.0)

    monkeypatch.setattr(pulse, "health", health)
    pulse.forget(store.id)
    assert pulse.ask_all([store], 30)[store.id].health.state == "ok"
    assert closed == [f"ask {store.id}"]
