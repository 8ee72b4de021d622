"""A signed-in browser without a browser, and stores to look at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.cache import caches
from django.test import Client

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.models import Store
from stores.services import definitions
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from tests.accounts import sign_in
from tests.fixtures_path import FIXTURES
from tests.services.conftest import new_memory

ACTOR = Actor("ana", "page", rights=EVERYTHING)


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    caches["process"].clear()


@pytest.fixture
def client(db: None, django_user_model: type) -> Client:
    """Signed in as ana."""
    user = django_user_model.objects.create_superuser("ana", password="correct horse")  # type: ignore[attr-defined]
    return sign_in(Client(), user)


@pytest.fixture
def hx(client: Client) -> Client:
    """The same user, asking for fragments."""
    fragments = Client(headers={"HX-Request": "true"})
    fragments.cookies = client.cookies
    return fragments


@pytest.fixture
def memory(db: None) -> Store:
    """An empty store in this process, the default lookup store."""
    return new_memory("mem")


@pytest.fixture
def captured(db: None, tmp_path: Path) -> Callable[..., Store]:
    """A definition on a copy of a captured SQLite store."""

    def define(path: str = "stalwart-0.11.8/sqlite/memstore-extras.db", store_id: str = "memstore", version: str = "0.11") -> Store:
        target = tmp_path / f"{store_id}.db"
        shutil.copy(FIXTURES / path, target)
        target.chmod(0o600)
        return definitions.create_store(ACTOR, id=store_id, type="sqlite", settings={"path": str(target)}, version=version)

    return define


@pytest.fixture
def down(db: None) -> Store:
    """A store whose server is not there."""
    return definitions.create_store(ACTOR, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1/0", "timeout": "1s"})
