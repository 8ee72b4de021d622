"""The whole API against its own description, with real stores behind it: invented requests of every route, good and bad ones.

Left out is the check that every request which fits the description is accepted: what a text has to look like (a schedule, a glob,
an address) is more than a description can say, and is refused with 422.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.api.v1 import schema
from stores.models import Store
from stores.services import census, definitions, edit, tokens
from stores.services.actor import Actor
from stores.services.keytokens import token_of
from tests.contract.sqlite import SQLiteHarness
from tests.servers.redis import single

CONFIG = SchemathesisConfig.from_dict(
    {
        "base-url": "http://localhost",
        "generation": {"max-examples": 3, "deterministic": True},
        "phases": {"stateful": {"enabled": False}},
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
)
SCHEMA = schemathesis.openapi.from_dict(schema(), config=CONFIG)
SCHEMA.app = get_wsgi_application()


@schemathesis.deserializer("application/problem+json")
def read_problem(context: Any, response: Any) -> Any:
    return json.loads(response.content)


@schemathesis.deserializer("application/jsonl", "text/csv")
def read_text(context: Any, response: Any) -> Any:
    return response.content.decode()


IDS = ("lite", "redis", "words", "nosuch")
KEYS = tuple(token_of(key) for key in (b"plain", b"count", b"", b"\x10ana@example.orgbob@example.net", b"gone"))


@SCHEMA.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Most invented ids name nothing: every second one is exchanged for one that does."""
    for name, known in (("store_id", IDS), ("key", KEYS)):
        if path_parameters and name in path_parameters:
            number = crc32(str(path_parameters[name]).encode("utf-8", "replace"))
            if number % 4:
                path_parameters[name] = known[number // 4 % len(known)]
    return path_parameters


@pytest.fixture(scope="module")
def lite() -> Iterator[SQLiteHarness]:
    harness = SQLiteHarness()
    yield harness
    harness.close()


@pytest.fixture
def secret(db: None, settings: Any, lite: SQLiteHarness, django_user_model: Any) -> str:
    """A token for everything, and three stores with rows: SQLite, Redis and a static one."""
    settings.KVADMIN_API_RATE = 1_000_000
    settings.ALLOWED_HOSTS = ["*"]
    owner = Actor.of_user(django_user_model.objects.create_superuser("ana", password="not used here"))
    server = single("valkey")
    with server.client() as client:
        client.flushall()
        client.mset({"plain": "value", "count": "7"})
    definitions.create_store(owner, id="lite", type="sqlite", settings={"path": str(lite.path)}, version="0.11")
    definitions.create_store(owner, id="redis", type="redis", settings={"urls": server.url}, version="0.15")
    definitions.create_store(owner, id="words", type="static", settings={}, entries=[("ana", "7"), ("*.org", "x")])
    for name in ("lite", "redis"):
        store = Store.objects.get(pk=name)
        edit.set_value(owner, store, b"\x10ana@example.orgbob@example.net", b"", int(time.time()) + 900)
        census.count(store, owner)
    edit.delete_key(owner, Store.objects.get(pk="lite"), b"\x10ana@example.orgbob@example.net")
    return tokens.issue(owner, "schema", tokens.SCOPES)[1]


@SCHEMA.parametrize()
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_the_api_keeps_to_its_description(case: Any, secret: str) -> None:
    case.call_and_validate(
        headers={"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"}, excluded_checks=[positive_data_acceptance]
    )
