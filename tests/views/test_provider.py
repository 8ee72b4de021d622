"""Signing in with an OpenID Connect provider: the code flow against a small real one, roles from its claims."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client

from stores.models import AuditEntry
from stores.services import tokens
from stores.services.actor import Actor, role_of
from stores.services.rights import Role
from tests.accounts import make
from tests.servers.oidc import Provider, provider


@pytest.fixture
def there(db: None, settings: Any) -> Iterator[Provider]:
    with provider() as found:
        app = {"provider_id": "oidc", "name": "Stalwart", "client_id": "kvadmin", "secret": "hush", "settings": {"server_url": found.url}}
        settings.KVADMIN_PROVIDERS = [app]
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        settings.KVADMIN_OIDC_ROLES = (("admins", "admin"), ("staff", "viewer"))
        settings.KVADMIN_OIDC_ROLE_CLAIM = "groups"
        yield found


def agreed(address: str) -> str:
    """Where the provider sends a browser whose user agrees."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=5)
    connection.request("GET", f"{parts.path}?{parts.query}")
    return connection.getresponse().getheader("Location", "")


def sign_in(browser: Client, there: Provider, **claims: Any) -> Any:
    """Follow the redirects as a browser would; the answer of the callback."""
    there.claims = {"sub": "ana-1", "preferred_username": "ana", "email": "ana@example.org", **claims}
    asked = browser.get("/sign-in/with/oidc/?next=/trash/")
    assert asked.status_code == 302 and asked["Location"].startswith(f"{there.url}/authorize")
    query = parse_qs(urlsplit(asked["Location"]).query)
    assert query["code_challenge_method"] == ["S256"] and query["redirect_uri"] == ["http://testserver/sign-in/with/oidc/back/"]
    back = urlsplit(agreed(asked["Location"]))
    return browser.get(f"{back.path}?{back.query}")


def test_the_sign_in_page_offers_it(there: Provider) -> None:
    page = Client().get("/sign-in/?next=/trash/").content.decode()
    assert "Sign in with Stalwart" in page and "/sign-in/with/oidc/?next=/trash/" in page


def test_the_first_sign_in_makes_the_account_with_the_role_of_the_claim(there: Provider) -> None:
    browser = Client()
    answer = sign_in(browser, there, groups=["staff", "others"])
    assert (answer.status_code, answer["Location"]) == (302, "/trash/")
    user = User.objects.get()
    assert (user.username, user.has_usable_password(), role_of(user), user.account.from_provider) == ("ana", False, Role.VIEWER, True)
    assert browser.get("/trash/").status_code == 200
    assert AuditEntry.objects.filter(action="user-role", outcome="done").count() == 1


def test_the_role_is_asked_anew_each_time(there: Provider) -> None:
    sign_in(Client(), there, groups=["staff"])
    sign_in(Client(), there, groups=["admins", "staff"])
    assert role_of(User.objects.get()) is Role.ADMIN
    sign_in(Client(), there, groups="staff")
    assert role_of(User.objects.select_related("account").get()) is Role.VIEWER


@pytest.mark.parametrize("groups", [[], ["others"], None, {"admins": 1}])
def test_whoever_gets_no_role_is_turned_away(there: Provider, groups: Any) -> None:
    browser = Client()
    answer = sign_in(browser, there, groups=groups)
    assert answer.status_code == 403 and "gives no role here" in answer.content.decode()
    assert not User.objects.exists() and browser.get("/trash/").status_code == 302
    assert AuditEntry.objects.get(action="sign-in").outcome == "refused"


def test_somebody_who_has_lost_the_role_is_turned_away(there: Provider) -> None:
    sign_in(Client(), there, groups=["admins"])
    assert sign_in(Client(), there, groups=["others"]).status_code == 403


def test_a_role_that_changes_ends_the_other_sessions_and_counts_at_once(there: Provider) -> None:
    desk, phone = Client(), Client()
    sign_in(desk, there, groups=["admins"])
    assert desk.get("/audit/").status_code == 200
    sign_in(phone, there, groups=["admins"])
    assert desk.get("/audit/").status_code == 200, "the same role: nothing ends"
    sign_in(phone, there, groups=["staff"])
    assert desk.get("/trash/").status_code == 302
    assert (phone.get("/trash/").status_code, phone.get("/audit/").status_code) == (200, 403)


def test_a_role_that_is_gone_ends_all_sessions_and_tokens_can_do_nothing(there: Provider) -> None:
    desk = Client()
    sign_in(desk, there, groups=["staff"])
    user = User.objects.get()
    _, secret = tokens.issue(Actor.of_user(user), "t", ["read"])
    robot = Client(headers={"Authorization": f"Bearer {secret}"})
    assert robot.get("/api/v1/stores").status_code == 200
    assert sign_in(Client(), there, groups=["others"]).status_code == 403
    assert desk.get("/trash/").status_code == 302
    assert role_of(User.objects.select_related("account").get()) is Role.NONE
    assert robot.get("/api/v1/stores").status_code == 403
    assert AuditEntry.objects.filter(action="user-role").first().after == {"account": "ana", "role": "none"}


def test_its_accounts_confirm_there_who_they_are(there: Provider) -> None:
    browser = Client()
    sign_in(browser, there, groups=["staff"])
    session = browser.session
    session["account_authentication_methods"] = [{**session["account_authentication_methods"][0], "at": 0}]
    session.save()
    asked = browser.get("/settings/tokens/")
    assert asked["Location"] == "/account/confirm/elsewhere/?next=%2Fsettings%2Ftokens%2F"
    assert "prompt%3Dlogin" in browser.get(asked["Location"]).content.decode()
    again = browser.get("/sign-in/with/oidc/?next=/settings/tokens/&auth_params=prompt%3Dlogin")
    assert parse_qs(urlsplit(again["Location"]).query)["prompt"] == ["login"]
    back = urlsplit(agreed(again["Location"]))
    assert browser.get(f"{back.path}?{back.query}")["Location"] == "/settings/tokens/"
    assert browser.get("/settings/tokens/").status_code == 200


def test_an_account_of_the_same_name_is_not_taken_over(there: Provider) -> None:
    local = make("ana", "admin")
    local.email = "ana@example.org"
    local.save()
    sign_in(Client(), there, groups=["staff"], email_verified=True)
    other = SocialAccount.objects.get().user
    assert other.pk != local.pk and other.username != "ana" and role_of(other) is Role.VIEWER


def test_without_a_mapping_an_administrator_gives_the_role(there: Provider, settings: Any) -> None:
    settings.KVADMIN_OIDC_ROLES = ()
    browser = Client()
    sign_in(browser, there)
    assert role_of(User.objects.get()) is Role.NONE
    assert "No store is open to you" in browser.get("/").content.decode()


def test_a_callback_of_somebody_else_is_refused(there: Provider) -> None:
    browser = Client()
    there.claims = {"sub": "ana-1", "groups": ["admins"]}
    asked = browser.get("/sign-in/with/oidc/")
    back = urlsplit(agreed(asked["Location"]))
    assert Client().get(f"{back.path}?{back.query}").status_code in (401, 403)
    assert browser.get(f"{back.path}?code=made-up&{back.query.partition('&')[2]}").status_code == 401
    assert not User.objects.exists()


def test_a_provider_that_does_not_answer_is_said_so(there: Provider, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = "http://127.0.0.1:1"
    answer = Client().get("/sign-in/with/oidc/")
    assert answer.status_code in (401, 403, 502, 503) and "did not answer" in answer.content.decode()
