"""Asks every address of the pages and of the API as every role, and compares with `who_may.txt`, where each has to be listed."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.api.describe import routes
from stores.api.v1 import schema
from stores.models import RunAction
from stores.models.alert import AlertRule
from stores.services import alerts, census, runs, tokens
from stores.services.actor import Actor
from stores.services.keytokens import token_of
from tests.accounts import make, sign_in
from tests.services.conftest import new_memory, plant

TABLE = Path(__file__).with_name("who_may.txt")
EVERYTHING = {"anyone", "account", "view", "edit", "bulk", "purge", "reveal", "configure", "all", "audit", "admin"}
OPERATOR = {"anyone", "account", "view", "edit", "bulk", "purge"}
MAY: Mapping[str, set[str]] = {
    "visitor": {"anyone"},
    "none": {"anyone", "account"},
    "viewer": {"anyone", "account", "view"},
    "operator": OPERATOR,
    "admin": EVERYTHING,
    "granted": OPERATOR,
    "keeper": EVERYTHING - {"all", "audit", "admin"},
    "shut-out": OPERATOR,
}
"""Accounts of the test -> the words of the table that they may. `granted`: no role, operator in the store; `keeper`: viewer,
administrator of the store; `shut-out`: operator, no access to the store."""
RUN, ERRAND = uuid.UUID(int=7), uuid.UUID(int=8)
KEY = b"greeting"


@dataclass(frozen=True, slots=True)
class Row:
    right: str
    method: str
    route: str

    @property
    def api(self) -> bool:
        return self.route.startswith("/")


def rows() -> list[Row]:
    lines = (line.split("#")[0].split() for line in TABLE.read_text().splitlines())
    return [Row(*parts) for parts in lines if parts]


def page_routes(patterns: list[Any], namespace: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "api-v1":
                yield from page_routes(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else namespace)
        elif isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}"


def test_every_route_is_listed_once() -> None:
    listed = [row.route for row in rows() if not row.api]
    assert len(listed) == len(set(listed))
    known = set(page_routes(get_resolver().url_patterns))
    assert set(listed) == known, f"add to the table or take out: {sorted(set(listed) ^ known)}"
    described = {(route.method, route.path) for route in routes(schema())}
    api = [(row.method, row.route) for row in rows() if row.api]
    assert len(api) == len(set(api))
    assert set(api) == described, f"add to the table or take out: {sorted(set(api) ^ described)}"
    assert {row.right for row in rows()} <= EVERYTHING


@pytest.fixture
def world(db: None) -> dict[str, Any]:
    """A store with a key, a run and a rule, and an account and token of each kind."""
    memory = new_memory("mem")
    plant(memory, KEY, b"hello")
    machine = Actor.command_line()
    census.count(memory, machine)
    runs.create(machine, memory, RunAction.PURGE, id=RUN)
    alerts.save(machine, AlertRule(id=7), kind="down", store=memory, webhook="https://example.org/hook")
    users = {name: make(name, name) for name in ("none", "viewer", "operator", "admin")}
    users["granted"] = make("granted", "none", mem="operator")
    users["keeper"] = make("keeper", "viewer", mem="admin")
    users["shut-out"] = make("shut-out", "operator", mem="none")
    clients = {"visitor": Client()} | {name: sign_in(Client(), user) for name, user in users.items()}
    # whoever has no role may make no token: this one was made before the role was taken away
    secrets = {name: tokens.issue(Actor.of_user(user), "t", tokens.SCOPES)[1] for name, user in users.items() if name != "none"}
    return {"clients": clients, "secrets": secrets}


PARTS: Mapping[str, Any] = {
    "store_id": "mem", "key": KEY, "run_id": RUN, "errand_id": ERRAND, "rule_id": 7, "user_id": 999_999, "token_id": 999_999,
    "session_id": 999_999, "account_id": 999_999, "publication_id": 999_999, "pk": 999_999, "type_name": "sqlite",
    "kind": "rates", "what": "rate-auth",
    "provider_id": "oidc", "token": "nonsense",
}  # fmt: skip


def address(row: Row) -> str:
    if row.api:
        names = {**PARTS, "key": token_of(KEY), "act": "cancel", "part": "reputation", "trash_id": 1, "count_id": 1}
        return "/api/v1" + re.sub(r"\{(\w+)\}", lambda match: str(names[match[1]]), row.route)
    acts = {"stores:run-act": "cancel", "stores:alert-act": "mute", "stores:user-act": "on"}
    found = next(pattern for pattern in _patterns(get_resolver().url_patterns) if pattern.name == row.route.rpartition(":")[2])
    names = {name: PARTS.get(name, acts.get(row.route)) for name in found.pattern.converters}
    return reverse(row.route, kwargs=names)


def _patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern


def refused(row: Row, response: Any) -> bool:
    """Whether the answer is a refusal: no account, no right, or a store that does not exist for the asker."""
    assert response.status_code != 500, row
    if row.right == "anyone":
        return False
    if response.status_code in (401, 403):
        return True
    return response.status_code in (302, 303) and response["Location"].startswith("/sign-in/?next=")


def about_the_store(row: Row) -> bool:
    return any(part in address(row).split("/") for part in ("mem", str(RUN)))


def expected(row: Row, name: str) -> bool:
    """Whether the account may, by the table."""
    if row.right != "anyone" and name == "shut-out" and about_the_store(row):
        return False
    return row.right in MAY[name]


BODIES: Mapping[str, str] = {"/runs/{run_id}/pace": '{"pace": "gentle"}'}
"""For routes that look at what was sent before they look for what it is about."""


def ask(world: Mapping[str, Any], row: Row, name: str) -> Any:
    if not row.api:
        client = Client()  # a new one each time: some answers take the cookies away
        client.cookies = copy.copy(world["clients"][name].cookies)
        return client.generic("POST", address(row)) if row.method == "POST" else client.get(address(row))
    headers = {"Authorization": f"Bearer {world['secrets'][name]}"} if name in world["secrets"] else {}
    body = "" if row.method in ("GET", "DELETE") else BODIES.get(row.route, "{}")
    return Client(headers=headers).generic(row.method, address(row), body, "application/json")


@pytest.mark.parametrize("api", [False, True], ids=["pages", "api"])
def test_every_role_gets_what_the_table_says(world: dict[str, Any], api: bool) -> None:
    wrong = []
    for row in (row for row in rows() if row.api is api):
        for name in MAY:
            if api and name == "none":
                continue
            with transaction.atomic():
                response = ask(world, row, name)
                response.close()
                transaction.set_rollback(True)
            hidden = response.status_code == 404 and name in ("none", "shut-out") and about_the_store(row)
            if expected(row, name) == (refused(row, response) or hidden):
                wrong.append(f"{row.method} {row.route} as {name}: {response.status_code}, the table says {row.right}")
    assert not wrong, "\n".join(wrong)
