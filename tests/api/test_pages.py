"""Everything the pages can do, the API can do: each route of the pages beside those of the API, or why there is none."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, get_args

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from pydantic import BaseModel

from stores.api.counts import IntervalIn
from stores.api.describe import routes
from stores.api.subjects import ActionName, RateClass
from stores.api.v1 import ROUTERS, schema
from stores.services import census_schedule, limited, relief
from stores.urls import urlpatterns
from tests.views.test_routes import ACTS

S = "/stores/{store_id}"
K = f"{S}/keys/{{key}}"
ROUTES: dict[str, tuple[str, ...]] = {
    "overview": ("GET /overview",),
    "count-all": (f"POST {S}/census",),
    "find": ("GET /find",),
    "help": ("GET /verdict", "POST /acts", "POST /mail-server/lift/plan", "POST /mail-server/lift"),
    "limited": ("GET /limited",),
    "act": ("POST /acts/plan", "POST /acts", "POST /acts/undo"),
    "trash": ("GET /trash",),
    "trash-restore": ("POST /trash/restore", "POST /trash/{trash_id}/restore"),
    "runs": ("GET /runs",),
    "run": ("GET /runs/{run_id}",),
    "run-receipt": ("GET /runs/{run_id}/receipt",),
    "run-log": ("GET /runs/{run_id}/log",),
    "run-undo": ("POST /runs/{run_id}/undo",),
    "run-act": ("POST /runs/{run_id}/{act}", "POST /runs/{run_id}/pace"),
    "lookups": ("POST /lookups", "POST /lookups/evaluate", "POST /lookups/setting", "POST /lookups/sieve"),
    "audit": ("GET /audit",),
    "audit-export": ("GET /audit/export",),
    "audit-check": ("POST /audit/check", "GET /audit/check"),
    "settings": ("GET /stores", "GET /configuration"),
    "alerts": ("GET /alerts",),
    "alert-add": ("POST /alerts",),
    "alert": ("GET /alerts/{rule_id}", "PUT /alerts/{rule_id}"),
    "alert-act": ("POST /alerts/{rule_id}/mute", "POST /alerts/{rule_id}/test", "DELETE /alerts/{rule_id}"),
    "mail-server": ("GET /mail-server", "PUT /mail-server", "DELETE /mail-server"),
    "tokens": ("GET /tokens", "POST /tokens"),
    "token-revoke": ("POST /tokens/{token_id}/revoke",),
    "users": ("GET /accounts", "POST /accounts", "GET /switches"),
    "user": ("GET /accounts/{account_id}", "PATCH /accounts/{account_id}"),
    "user-act": ("PATCH /accounts/{account_id}", "POST /accounts/{account_id}/password"),
    "switches": ("PUT /switches", "GET /switches"),
    "account": ("GET /token", "GET /sessions"),
    "usersessions_list": ("GET /sessions",),
    "session-end": ("DELETE /sessions/{session_id}",),
    "import": ("POST /configuration/plan",),
    "import-server": ("POST /configuration/ask",),
    "import-asked": ("GET /configuration/asked/{errand_id}",),
    "import-settings": ("POST /configuration/plan", "POST /configuration/import"),
    "import-preview": ("POST /configuration/plan", "POST /configuration/import"),
    "import-tried": ("POST /store-types/test",),
    "store-add": ("GET /store-types",),
    "store-add-type": ("POST /stores", "POST /store-types/test"),
    "store": (f"GET {S}", f"GET {S}/census", f"GET {S}/health", f"GET {S}/snippets", f"GET {S}/answer", f"GET {S}/list"),
    "count": (f"POST {S}/census",),
    "count-every": (f"PUT {S}/census/interval", f"GET {S}/census/interval"),
    "growth": (f"GET {S}/growth",),
    "compare": (f"GET {S}/counts", f"GET {S}/diff"),
    "checks": (f"POST {S}/test",),
    "create-tables": (f"GET {S}/tables", f"POST {S}/tables"),
    "publish": (f"GET {S}/publications", f"POST {S}/publications"),
    "unpublish": (f"DELETE {S}/publications/{{publication_id}}",),
    "static-toml": (f"GET {S}/toml",),
    "fetch": (f"POST {S}/list",),
    "keys": (f"GET {S}/keys",),
    "key-new": (f"PUT {K}", f"PUT {K}/counter", f"POST {S}/build-key"),
    "keys-delete": (f"POST {S}/delete-keys",),
    "bulk": (f"POST {S}/bulk/preview",),
    "bulk-start": (f"POST {S}/bulk",),
    "bulk-export": (f"GET {S}/export",),
    "keys-import": (f"POST {S}/import/preview",),
    "keys-import-start": (f"POST {S}/import",),
    "spam": (f"GET {S}/spam/{{part}}", f"GET {S}/spam/bayes"),
    "leftovers": (f"GET {S}/leftovers",),
    "remove-set": (f"POST {S}/sets/preview", f"POST {S}/bulk"),
    "key": (f"GET {K}", f"GET {K}/snippets"),
    "key-raw": (f"GET {K}",),
    "key-owner": (f"GET {K}/owner",),
    "key-reveal": (f"POST {K}/reveal",),
    "key-value": (f"PUT {K}",),
    "key-counter": (f"PUT {K}/counter", f"POST {K}/increment"),
    "key-expiry": (f"PATCH {K}",),
    "key-delete": (f"DELETE {K}",),
    "purge": (f"GET {S}/purge",),
    "purge-start": (f"POST {S}/purge",),
    "tidy": (f"GET {S}/tidy",),
    "tidy-start": (f"POST {S}/tidy",),
    "schedule": (f"PUT {S}/schedule", f"GET {S}/schedule"),
    "store-settings": (f"GET {S}", f"PATCH {S}", f"GET {S}/entries"),
    "store-default": (f"POST {S}/default",),
    "store-delete": (f"DELETE {S}",),
}
ACCOUNT = "/accounts/{account_id}"
CHOSEN: dict[tuple[str, str], str] = {
    ("run-act", "pace"): "POST /runs/{run_id}/pace",
    **{("run-act", act): "POST /runs/{run_id}/{act}" for act in ("cancel", "pause", "resume", "go-on")},
    ("alert-act", "mute"): "POST /alerts/{rule_id}/mute",
    ("alert-act", "test"): "POST /alerts/{rule_id}/test",
    ("alert-act", "delete"): "DELETE /alerts/{rule_id}",
    ("user-act", "on"): f"PATCH {ACCOUNT}",
    ("user-act", "off"): f"PATCH {ACCOUNT}",
    ("user-act", "password"): f"POST {ACCOUNT}/password",
    ("user-act", "factors"): f"DELETE {ACCOUNT}/factors",
    ("user-act", "sessions"): f"DELETE {ACCOUNT}/sessions",
    ("mail-server", "save"): "PUT /mail-server",
    ("mail-server", "test"): "POST /mail-server/test",
    ("mail-server", "forget"): "DELETE /mail-server",
    ("mail-server", "maintain"): "POST /mail-server/maintenance",
    ("store-add-type", "save"): "POST /stores",
    ("store-add-type", "test"): "POST /store-types/test",
    ("store-settings", "save"): f"PATCH {S}",
    ("store-settings", "test"): "POST /store-types/test",
}
"""What one route does according to a word in its address or its form (`do`)."""
EXPORTS = {"audit-export", "bulk-export"}
"""Acts of the pages that only read."""
PERSON = "what a person does for itself, with a browser: a token is the account's already"
NONE: dict[str, str] = {
    **dict.fromkeys(("healthz", "readyz", "metrics", "published"), "for machines already"),
    **dict.fromkeys(("sign-in", "sign-out", "confirm-elsewhere"), PERSON),
    **dict.fromkeys(("theme", "language", "tour"), "how pages look to one person"),
    "errand": "an answer that a page waits for: the route that asks answers by itself",
}
"""Pages that have no route of the API, and why."""


def _named(patterns: list[Any]) -> set[str]:
    """Names of all pages, those of accounts included."""
    found: set[str] = set()
    for pattern in patterns:
        if isinstance(pattern, URLResolver) and pattern.namespace != "api-v1":
            found |= _named(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            found.add(str(pattern.name))
    return found


def _own(name: str) -> bool:
    """Whether a page of the sign-in library is about the own password, second factor, passkeys or provider."""
    return name.startswith(("account_", "mfa_", "socialaccount_", "openid_connect_"))


def test_every_page_has_its_routes_or_a_reason() -> None:
    names = {name for name in _named(get_resolver().url_patterns) if not _own(name)}
    assert names - ROUTES.keys() - NONE.keys() == set(), "say which routes of the API do what the page does"
    assert (ROUTES.keys() | NONE.keys()) - names == set()
    known = {f"{route.method} {route.path}" for route in routes(schema())}
    assert {each for wanted in ROUTES.values() for each in wanted} | set(CHOSEN.values()) <= known


@pytest.mark.parametrize("name", sorted(set(ACTS) - NONE.keys() - EXPORTS))
def test_every_act_of_the_pages_has_a_route_that_changes_something(name: str) -> None:
    assert any(not route.startswith("GET ") for route in ROUTES[name])


def _words_chosen(view: Callable[..., Any]) -> set[str]:
    """The words with which a view compares what its address or form says, in `match`, `==`, `in` and tables of acts."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(view))))):
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            found.add(str(node.value.value))
        elif isinstance(node, ast.Compare) and _asks(node.left):
            found |= {str(each.value) for each in node.comparators if isinstance(each, ast.Constant)}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "acts" and isinstance(node.value, ast.Dict):
            found |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return found


def _asks(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("act", "wanted")
    return isinstance(node, ast.Call) and [getattr(each, "value", None) for each in node.args[:1]] == ["do"]


@pytest.mark.parametrize("name", sorted({name for name, _ in CHOSEN}))
def test_every_word_that_a_page_understands_has_a_route(name: str) -> None:
    pattern = next(each for each in urlpatterns if each.name == name)
    listed = {act for route, act in CHOSEN if route == name}
    found = _words_chosen(pattern.callback)
    assert found and found <= listed, f"say which route of the API does {sorted(found - listed)}"


def test_pages_that_choose_by_a_word_are_all_listed() -> None:
    by_word = {each.name for each in urlpatterns if isinstance(each, URLPattern) and "act" in each.pattern.converters}
    assert by_word <= {name for name, _ in CHOSEN}
    assert set(get_args(ActionName)) == set(relief.ACTIONS)
    assert get_args(RateClass) == limited.CLASSES
    minutes_allowed = IntervalIn.model_json_schema()["properties"]["minutes"]["enum"]
    assert tuple(minutes_allowed) == tuple(minutes for minutes, _ in census_schedule.INTERVALS)


def test_no_two_shapes_have_one_name() -> None:
    """The description knows shapes by their names alone: the later of two would describe both."""
    found: dict[str, set[str]] = {}
    for module in ROUTERS:
        for name, each in vars(module).items():
            if isinstance(each, type) and issubclass(each, BaseModel):
                found.setdefault(name, set()).add(each.__module__)
    assert not {name: sorted(modules) for name, modules in found.items() if len(modules) > 1}
