"""What the pages of administrators do, through the API: accounts, switches, tokens that make tokens, asking a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

import stores.tasks  # noqa: F401  (registers the task that does errands)
from stores.errors import BadConfig
from stores.models import ApiToken, AuditEntry, Errand, MailServer, Store, StoreGrant
from stores.services import accounts, tokens
from stores.services.actor import Actor
from tests.accounts import make, sign_in
from tests.api.test_api import caller
from tests.api.test_api import owner as owner
from tests.servers.configured import PASSWORD, USER, Configured, configured
from tests.services.conftest import memory as memory
from tests.services.conftest import plant

Call = Callable[..., Any]


@pytest.fixture
def far() -> Iterator[Configured]:
    with configured() as found:
        yield found


def test_an_account_is_added_changed_switched_off_and_let_in_again(owner: Actor, memory: Store) -> None:
    call = caller(owner, "admin")
    made = call("POST", "/accounts", {"name": "ben", "role": "viewer"})
    assert made.status_code == 201, made.content
    assert made["Cache-Control"] == "no-store"
    ben = User.objects.get(username="ben")
    assert ben.check_password(made.json()["password"]) and made.json()["must_change"]
    path = f"/accounts/{made.json()['id']}"
    changed = call("PATCH", path, {"role": "operator", "grants": {"mem": "none"}}).json()
    assert (changed["role"], changed["grants"], changed["active"]) == ("operator", {"mem": "none"}, True)
    assert call("PATCH", path, {"grants": {"mem": None}}).json()["grants"] == {}
    session = sign_in(Client(), ben)
    assert session.get("/trash/")["Location"] == "/account/password/"
    assert call("PATCH", path, {"active": False}).json()["active"] is False
    assert session.get("/trash/")["Location"].startswith("/sign-in/")
    assert call("PATCH", path, {"active": True}).json()["active"] is True
    again = call("POST", f"{path}/password", {}).json()["password"]
    given = call("POST", f"{path}/password", {"password": "a rather long one"})
    assert given.json()["password"] is None
    ben.refresh_from_db()
    assert again and ben.check_password("a rather long one")
    assert call("DELETE", f"{path}/factors").json() == {"count": 0}
    assert call("GET", path).json()["name"] == "ben"
    assert [each["name"] for each in call("GET", "/accounts").json()] == ["ana", "ben"]
    wanted = {"user-add", "user-role", "user-grant", "user-off", "user-on", "user-password", "user-factors"}
    assert wanted <= set(AuditEntry.objects.filter(via="api").values_list("action", flat=True))
    assert "a rather long one" not in repr(list(AuditEntry.objects.values_list()))


def test_a_change_of_an_account_is_whole_or_nothing(owner: Actor, memory: Store) -> None:
    call, ben = caller(owner, "admin"), make("ben", "viewer")
    refused = call("PATCH", f"/accounts/{ben.pk}", {"role": "operator", "grants": {"mem": "viewer", "nosuch": "none"}})
    assert refused.status_code == 404
    assert accounts.info(accounts.by_id(ben.pk)).role == "viewer"
    assert not StoreGrant.objects.exists()
    for body, status in (({"role": "root"}, 422), ({"active": "no"}, 422), ({"rolle": "admin"}, 422)):
        assert call("PATCH", f"/accounts/{ben.pk}", body).status_code == status
    assert call("POST", "/accounts", {"name": "BEN", "role": "viewer"}).json()["field"] == "name"
    assert call("POST", f"/accounts/{ben.pk}/password", {"password": "1234567890"}).json()["field"] == "password"


def test_nobody_changes_the_own_role_or_loses_the_last_administrator(owner: Actor, memory: Store) -> None:
    call = caller(owner, "admin")
    for body in ({"role": "viewer"}, {"active": False}):
        assert call("PATCH", f"/accounts/{owner.user_id}", body).json()["code"] == "not-supported"
    assert User.objects.get().is_superuser and User.objects.get().is_active


def test_accounts_and_switches_are_for_tokens_of_administrators_for_all_stores(owner: Actor, memory: Store) -> None:
    operator, keeper = Actor.of_user(make("op", "operator")), Actor.of_user(make("keep", "viewer", mem="admin"))
    for call in (caller(owner, "read", "edit", "purge"), caller(owner, "admin", stores=("mem",)), caller(operator, *tokens.SCOPES),
                 caller(keeper, *tokens.SCOPES)):  # fmt: skip
        for method, path, body in (
            ("GET", "/accounts", None),
            ("POST", "/accounts", {"name": "eve", "role": "admin"}),
            ("GET", f"/accounts/{owner.user_id}", None),
            ("POST", f"/accounts/{owner.user_id}/password", {}),
            ("DELETE", f"/accounts/{owner.user_id}/sessions", None),
            ("GET", "/switches", None),
            ("PUT", "/switches", {"read_only": False, "second_factor_from": None}),
        ):
            assert call(method, path, body).status_code == 403, (method, path)
    assert not User.objects.filter(username="eve").exists()


def test_the_switches_hold_for_every_write(owner: Actor, memory: Store, settings: Any) -> None:
    plant(memory, b"k")
    call = caller(owner, "admin")
    assert call("GET", "/switches").json() == {"read_only": False, "second_factor_from": None, "forced": False}
    on = call("PUT", "/switches", {"read_only": True, "second_factor_from": "admin"})
    assert on.json() == {"read_only": True, "second_factor_from": "admin", "forced": False}
    refused = call("DELETE", "/stores/mem/keys/aw", If_Match="*")
    assert refused.status_code == 403 and "read only" in refused.json()["detail"]
    call("PUT", "/switches", {"read_only": False, "second_factor_from": None})
    assert call("DELETE", "/stores/mem/keys/aw", If_Match="*").status_code == 200


def test_sessions_of_the_owner_are_listed_and_ended(owner: Actor, memory: Store) -> None:
    user = User.objects.get()
    user.set_password("correct horse")
    user.save()
    call, here = caller(owner, "admin"), Client()
    assert here.post("/sign-in/", {"username": "ana", "password": "correct horse"}).status_code == 302
    assert here.get("/trash/").status_code == 200
    listed = call("GET", "/sessions").json()
    assert len(listed) == 1 and listed[0]["address"] == "127.0.0.1"
    assert call("DELETE", f"/sessions/{listed[0]['id']}").status_code == 204
    assert here.get("/trash/").status_code == 302
    assert call("DELETE", f"/sessions/{listed[0]['id']}").status_code == 404


def test_a_token_makes_tokens_that_may_no_more_and_end_with_it(owner: Actor, memory: Store) -> None:
    soon = timezone.now() + timedelta(hours=1)
    maker, secret = tokens.issue(owner, "maker", ["admin"], expires_at=soon)
    client = Client(headers={"Authorization": f"Bearer {secret}"})

    def make_token(**body: Any) -> Any:
        return client.post("/api/v1/tokens", {"name": "made", "scopes": ["read"], **body}, content_type="application/json")

    assert make_token().json()["field"] == "expires_at"
    assert make_token(expires_at=int(soon.timestamp()) + 60).json()["field"] == "expires_at"
    made = make_token(expires_at=int(soon.timestamp()) - 60, stores=["mem"])
    assert made.status_code == 201, made.content
    assert made["Cache-Control"] == "no-store"
    child = tokens.find(made.json()["secret"])
    assert child is not None and child.stores == ["mem"] and made.json()["made_with"] == maker.pk
    assert made.json()["secret"] not in client.get("/api/v1/tokens").content.decode()
    assert client.post(f"/api/v1/tokens/{maker.pk}/revoke").status_code == 200
    assert tokens.find(made.json()["secret"]) is None and tokens.find(secret) is None
    assert ApiToken.objects.filter(revoked_at=None).count() == 0


def test_a_token_for_single_stores_makes_none_for_others(owner: Actor, memory: Store) -> None:
    limited = caller(owner, "admin", stores=("mem",))
    assert limited("POST", "/tokens", {"name": "x", "scopes": ["read"]}).json()["field"] == "stores"
    assert limited("POST", "/tokens", {"name": "x", "scopes": ["read"], "stores": ["mem"]}).status_code == 201
    reader, _ = tokens.issue(owner, "r", ["read"])
    with pytest.raises(BadConfig) as caught:
        tokens.issue(owner, "x", ["edit"], made_with=reader)
    assert caught.value.field == "scopes"


def test_a_running_server_is_asked_and_its_configuration_imported(
    owner: Actor, memory: Store, far: Configured, django_capture_on_commit_callbacks: Any
) -> None:
    far.settings = {"store.m.type": "redis", "store.m.urls": "redis://:in-the-url@127.0.0.1", "lookup.vip.ana": "7"}
    call = caller(owner, "admin")
    with django_capture_on_commit_callbacks(execute=True):
        body = {"url": far.url, "user": USER, "secret": PASSWORD, "allow_private": True, "keep": True}
        asked = call("POST", "/configuration/ask", body)
    assert asked.status_code == 202, asked.content
    reference = asked.json()["asked"]
    found = call("GET", f"/configuration/asked/{reference}")
    assert found.json()["state"] == "done", found.content
    planned = call("POST", "/configuration/plan", {"asked": reference})
    assert {store["id"] for store in planned.json()["stores"]} == {"m", "vip"}
    assert "in-the-url" not in found.content.decode() + planned.content.decode()
    kept = MailServer.objects.get()
    assert (kept.url, kept.secret["token"]) == (far.url, f"{USER}:{PASSWORD}")
    assert Errand.objects.get().result["keep"] is None
    assert set(call("POST", "/configuration/import", {"asked": reference}).json()["created"]) == {"m", "vip"}
    assert caller(owner, "admin")("GET", f"/configuration/asked/{reference}").status_code == 200
    _, other = tokens.issue(owner, "other", ["admin"])
    stranger = Client(headers={"Authorization": f"Bearer {other}"})
    assert stranger.get(f"/api/v1/configuration/asked/{reference}").status_code == 404
    assert call("POST", "/configuration/plan", {"asked": reference, "text": ""}).json()["field"] == "text"
    assert call("POST", "/configuration/plan", {"store": "mem"}).json()["code"] == "not-supported"


def test_a_server_that_refuses_is_named_by_its_field(
    owner: Actor, memory: Store, far: Configured, django_capture_on_commit_callbacks: Any
) -> None:
    call = caller(owner, "admin")
    with django_capture_on_commit_callbacks(execute=True):
        asked = call("POST", "/configuration/ask", {"url": far.url, "user": USER, "secret": "wrong", "allow_private": True}).json()["asked"]
    failed = call("GET", f"/configuration/asked/{asked}").json()
    assert (failed["state"], failed["field"]) == ("failed", "secret")
    assert call("POST", "/configuration/import", {"asked": asked}).status_code == 409
    assert call("POST", "/configuration/ask", {"url": far.url}).json()["field"] == "secret"
    assert call("POST", "/configuration/ask", {"url": "ftp://x", "secret": "x"}).json()["field"] == "url"
