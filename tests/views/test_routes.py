"""Every route: named, closed to visitors, sound HTML, a fragment of itself, and nothing changed by looking."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from stores.models import AlertRule, AuditEntry, Run, RunAction, Store
from stores.services import alerts, census, runs
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from stores.urls import urlpatterns
from tests.services.conftest import new_memory, plant, plant_counter
from tests.views.pages import assert_sound, read

KEY = bytes.fromhex("05cb007114000000000000510e")
RUN = uuid.UUID(int=7)
STORE: dict[str, Any] = {"store_id": "mem"}
PAGES: dict[str, dict[str, Any]] = {
    "overview": {},
    "sign-in": {},
    "account": {},
    "confirm-elsewhere": {},
    "users": {},
    "user": {"user_id": 1},
    "trash": {},
    "runs": {},
    "run": {"run_id": RUN},
    "audit": {},
    "lookups": {},
    "find": {},
    "help": {},
    "limited": {},
    "mail-server": {},
    "spam": STORE,
    "leftovers": STORE,
    "remove-set": {**STORE, "kind": "rates", "what": "rate-auth"},
    "growth": STORE,
    "compare": STORE,
    "settings": {},
    "alerts": {},
    "tokens": {},
    "alert-add": {},
    "alert": {"rule_id": 7},
    "import": {},
    "store-add": {},
    "store-add-type": {"type_name": "sqlite"},
    "store": STORE,
    "keys": STORE,
    "key-new": STORE,
    "key": {**STORE, "key": KEY},
    "bulk": STORE,
    "keys-import": STORE,
    "purge": STORE,
    "store-settings": STORE,
    "store-delete": STORE,
    "publish": STORE,
}
"""Routes that show a page."""
OTHERS: dict[str, dict[str, Any]] = {
    "create-tables": STORE,
    "import-preview": {},
    "import-asked": {"errand_id": uuid.UUID(int=7)},
    "errand": {"errand_id": uuid.UUID(int=7)},
    "import-tried": STORE,
    "checks": STORE,
    "static-toml": STORE,
    "key-raw": {**STORE, "key": KEY},
    "tidy": STORE,
    "key-owner": {**STORE, "key": KEY},
    "run-receipt": {"run_id": RUN},
    "run-log": {"run_id": RUN},
}
"""Routes that answer a GET with something else: a part, a file, another page."""
ACTS: dict[str, dict[str, Any]] = {
    "sign-out": {},
    "theme": {},
    "language": {},
    "tour": {},
    "count-all": {},
    "act": {},
    "trash-restore": {},
    "run-act": {"run_id": RUN, "act": "cancel"},
    "count": STORE,
    "count-every": STORE,
    "fetch": STORE,
    "unpublish": {**STORE, "publication_id": 7},
    "alert-act": {"rule_id": 7, "act": "mute"},
    "token-revoke": {"token_id": 7},
    "keys-delete": STORE,
    "bulk-start": STORE,
    "keys-import-start": STORE,
    "bulk-export": STORE,
    "audit-export": {},
    "audit-check": {},
    "run-undo": {"run_id": RUN},
    "key-reveal": {**STORE, "key": KEY},
    "key-value": {**STORE, "key": KEY},
    "key-counter": {**STORE, "key": KEY},
    "key-expiry": {**STORE, "key": KEY},
    "key-delete": {**STORE, "key": KEY},
    "purge-start": STORE,
    "tidy-start": STORE,
    "schedule": STORE,
    "store-default": STORE,
    "import-server": {},
    "user-act": {"user_id": 1, "act": "sessions"},
    "switches": {},
    "session-end": {"session_id": 1},
    "import-settings": {},
}
"""Routes that change something, and only answer a POST."""
FRAGMENTS = ("overview", "trash", "runs", "run", "audit", "store", "keys", "key", "key-new")
"""Pages that refresh a part of themselves."""
CONFIRMED = {
    "bulk", "bulk-export", "bulk-start", "key-reveal", "keys-delete", "keys-import", "keys-import-start", "remove-set", "run-undo",
    "switches", "tidy-start", "token-revoke", "tokens", "user", "user-act", "users",
}  # fmt: skip
"""Routes that ask for password, code or passkey again when the session is not fresh."""
MACHINES = {"healthz", "readyz", "metrics", "published"}
"""Routes that machines ask, without an account; tested by themselves."""
OPEN = {"overview", "sign-in", "theme", "language"}
"""Routes that answer without a login."""


@pytest.fixture
def filled(memory: Store) -> Store:
    plant(memory, b"greeting", b"hello")
    plant_counter(memory, KEY, 37, 2_000_000_000)
    plant(memory, b"old", b"x", 1_000)
    census.count(memory, Actor("ana", "page", rights=EVERYTHING))
    runs.create(Actor("ana", "page", rights=EVERYTHING), memory, RunAction.PURGE, id=RUN)
    alerts.save(Actor("ana", "page", rights=EVERYTHING), AlertRule(id=7), kind="down", store=memory, webhook="https://example.org/hook")
    return memory


def test_every_route_has_a_name_and_is_tested_here() -> None:
    names = [pattern.name for pattern in urlpatterns if isinstance(pattern, URLPattern)]
    assert len(names) == len(set(names)) == len(urlpatterns)
    assert set(names) == set(PAGES) | set(OTHERS) | set(ACTS) | MACHINES


def test_dangerous_routes_want_a_fresh_confirmation() -> None:
    asked = {each.name for each in urlpatterns if isinstance(each, URLPattern) and _wants_confirmation(each.callback)}
    assert asked == CONFIRMED


def _wants_confirmation(view: Any) -> bool:
    while view is not None:
        if getattr(view, "needs_confirmation", False):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


@pytest.mark.parametrize("name", [*PAGES, *OTHERS])
def test_visitors_are_asked_to_sign_in(db: None, filled: Store, name: str) -> None:
    address = reverse(f"stores:{name}", kwargs={**PAGES, **OTHERS}[name])
    response = Client().get(address)
    if name in OPEN:
        assert response.status_code == 200
    else:
        assert (response.status_code, response["Location"]) == (302, f"/sign-in/?next={address}")


@pytest.mark.parametrize("name", sorted(set(ACTS) - OPEN))
def test_visitors_change_nothing(filled: Store, name: str) -> None:
    before = (AuditEntry.objects.count(), Run.objects.count())
    response = Client().post(reverse(f"stores:{name}", kwargs=ACTS[name]))
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/sign-in/")
    assert (AuditEntry.objects.count(), Run.objects.count()) == before


@pytest.mark.parametrize("name", [name for name in PAGES if name != "sign-in"])
def test_pages_are_sound_and_looking_changes_nothing(client: Client, filled: Store, name: str) -> None:
    before = (AuditEntry.objects.count(), Run.objects.count())
    response = client.get(reverse(f"stores:{name}", kwargs=PAGES[name]))
    assert response.status_code == 200
    reader = assert_sound(response)
    assert [tag for tag, _ in reader.elements].count("h1") == 1
    assert (AuditEntry.objects.count(), Run.objects.count()) == before


@pytest.mark.parametrize("name", [name for name in PAGES if name != "sign-in"])
def test_the_policy_forbids_everything_from_elsewhere(client: Client, filled: Store, name: str) -> None:
    policy = client.get(reverse(f"stores:{name}", kwargs=PAGES[name]))["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_is_a_part_of_its_page(client: Client, hx: Client, filled: Store, name: str) -> None:
    address = reverse(f"stores:{name}", kwargs=PAGES[name])
    page, part = client.get(address), hx.get(address)
    assert part.status_code == 200
    assert "HX-Request" in page["Vary"]
    assert "HX-Request" in part["Vary"]
    assert b"<html" not in part.content
    reader = read(part)
    assert not reader.problems
    assert not reader.open
    outer = next(attrs["id"] for tag, attrs in reader.elements if attrs.get("id"))
    assert f'id="{outer}"'.encode() in page.content


@pytest.mark.parametrize("name", ACTS)
def test_what_changes_something_does_not_answer_a_get(client: Client, filled: Store, name: str) -> None:
    response = client.get(reverse(f"stores:{name}", kwargs=ACTS[name]))
    assert response.status_code == 405
    assert "POST" in response["Allow"]


OF_A_STORE = [name for name, kwargs in {**PAGES, **OTHERS, **ACTS}.items() if "store_id" in kwargs and name != "import-tried"]


@pytest.mark.parametrize("name", OF_A_STORE)
def test_an_unknown_store_is_a_page_that_says_so(client: Client, memory: Store, name: str) -> None:
    kwargs = {**PAGES, **OTHERS, **ACTS}[name]
    address = reverse(f"stores:{name}", kwargs={**kwargs, "store_id": "nowhere"})
    response = client.post(address) if name in ACTS else client.get(address)
    assert response.status_code == 404
    assert "nowhere" in response.content.decode()
    assert_sound(response)


BUDGETS = {"overview": 19, "store": 18, "keys": 7, "key": 9, "purge": 17, "trash": 6, "runs": 8, "audit": 9, "settings": 6}
"""Most queries to kvadmin's own database a page may need, session and user among them."""


@pytest.mark.parametrize("name", BUDGETS)
def test_queries_stay_few_and_do_not_grow_with_the_stores(
    client: Client, filled: Store, name: str, django_assert_max_num_queries: type
) -> None:
    address = reverse(f"stores:{name}", kwargs=PAGES[name])
    for number in range(5):
        plant(filled, b"more-%d" % number, b"x")
        census.count(filled, Actor("ana", "page", rights=EVERYTHING))
        new_memory(f"extra-{number}")
    client.get(address)
    with django_assert_max_num_queries(BUDGETS[name]):
        client.get(address)
