"""The whole API against its own description, with real stores behind it: invented requests of every route, good and bad ones.

Every check that there is applies. What a text means (a schedule, a glob, a store that is no static one) is more than a description
can say: such requests may be refused although they fit it, but only for the fields that are listed here.
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

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.api.v1 import schema
from stores.models import Store
from stores.registry import BACKENDS, HIDDEN, backend_class
from stores.services import census, definitions, edit, tokens
from stores.services.actor import Actor
from stores.services.keytokens import token_of
from tests.contract.sqlite import SQLiteHarness
from tests.servers.redis import single

ELSEWHERE = ("401", "403", "404", "409", "412", "413", "428", "429", "502", "503")
"""What does not depend on the request alone: rights, what there is, what was seen of it, and other machines."""
CONFIG = SchemathesisConfig.from_dict(
    {
        "base-url": "http://localhost",
        "generation": {"max-examples": 3, "deterministic": True},
        "phases": {"stateful": {"enabled": False}},
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", *ELSEWHERE, "400", "422"]},
            "negative_data_rejection": {"expected-statuses": [*ELSEWHERE, "400", "405", "422"]},
        },
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


MADE_HERE = {"key", "cursor", "token", "undo", "asked"}
"""Texts that only an answer of the API gives: an invented one is refused."""
FILTER = {"class", "match", "q", "after", "before", "count", "size", "expiry"}
SETTINGS = {"", "settings", *(setting.name for name in BACKENDS if name not in HIDDEN for setting in backend_class(name).SETTINGS)}
"""Which of them a type has to have is told by GET /store-types."""
MEANING: dict[str, set[str]] = {
    "POST /api/v1/stores": {"id", "version", "entries", *SETTINGS},
    "POST /api/v1/store-types/test": {"version", "entries", *SETTINGS},
    "PATCH /api/v1/stores/{store_id}": {"version", "entries", *SETTINGS},
    "DELETE /api/v1/stores/{store_id}": {"new_default"},
    "GET /api/v1/stores/{store_id}/keys": FILTER,
    "GET /api/v1/stores/{store_id}/export": FILTER,
    "PUT /api/v1/stores/{store_id}/keys/{key}": {"value", "expires", "parts"},
    "PATCH /api/v1/stores/{store_id}/keys/{key}": {"expires"},
    "PUT /api/v1/stores/{store_id}/keys/{key}/counter": {"expires"},
    "POST /api/v1/stores/{store_id}/keys/{key}/increment": {"expires", "by"},
    "POST /api/v1/stores/{store_id}/build-key": {"class", "parts"},
    "POST /api/v1/stores/{store_id}/bulk/preview": {*FILTER, "expires", "to"},
    "POST /api/v1/stores/{store_id}/sets/preview": {"what"},
    "POST /api/v1/stores/{store_id}/bulk": {"count"},
    "POST /api/v1/stores/{store_id}/import/preview": {"file"},
    "POST /api/v1/stores/{store_id}/import": {"count"},
    "PUT /api/v1/stores/{store_id}/schedule": {"frequency"},
    "GET /api/v1/stores/{store_id}/schedule": {"frequency"},
    "POST /api/v1/stores/{store_id}/purge": {"until"},
    "GET /api/v1/find": {"q"},
    "GET /api/v1/verdict": {"q"},
    "POST /api/v1/acts": {"pick"},
    "POST /api/v1/acts/plan": {"pick"},
    "POST /api/v1/lookups/setting": {"source"},
    "POST /api/v1/lookups/sieve": {"source"},
    "POST /api/v1/lookups/evaluate": {"expression"},
    "POST /api/v1/alerts": {"emails", "webhook", "store", "class", "threshold"},
    "PUT /api/v1/alerts/{rule_id}": {"emails", "webhook", "store", "class", "threshold"},
    "POST /api/v1/tokens": {"expires_at", "stores", "scopes"},
    "POST /api/v1/accounts": {"name", "password"},
    "POST /api/v1/accounts/{account_id}/password": {"password"},
    "PUT /api/v1/mail-server": {"url", "token"},
    "POST /api/v1/mail-server/lift": {"address"},
    "POST /api/v1/mail-server/lift/plan": {"address"},
    "POST /api/v1/mail-server/maintenance": {"sure", "store"},
    "GET /api/v1/mail-server/bans": {"address"},
    "POST /api/v1/configuration/ask": {"url", "user", "secret"},
    "POST /api/v1/configuration/plan": {"text", "file", "table"},
    "POST /api/v1/configuration/import": {"text", "file", "table"},
}
"""Routes -> fields of which a value may be refused for what it means, more than a description can say."""


@schemathesis.check
def refused_only_for_its_meaning(context: Any, response: Any, case: Any) -> None:
    """A request that fits the description is refused for no reason that the description could have told."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    problem = json.loads(response.content)
    field = problem["field"]
    if isinstance(case.body, dict) and field in case.body.get("settings", ()):
        return
    meant = MADE_HERE | MEANING.get(case.operation.label, set())
    expected = problem["code"] == "not-supported" or (problem["code"] == "bad-config" and field in meant)
    assert expected, f"{case.operation.label}: {problem['code']} {problem['field']}: {problem['detail']}"


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
    owner = Actor.of_user(django_user_model.objects.create_superuser("ana"))
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
        headers={"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"}, additional_checks=[refused_only_for_its_meaning]
    )
