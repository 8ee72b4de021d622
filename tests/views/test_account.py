"""One's own account: password, second factor, recovery codes, sessions, confirmation; the page Accounts for administrators."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from stores.models import AuditEntry, Policy, Store, StoreGrant
from stores.services import accounts
from stores.services.actor import Actor, role_of
from stores.services.rights import Role
from tests.accounts import make, sign_in, signed_in
from tests.services.conftest import plant
from tests.views.pages import assert_sound, text_of

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def door(name: str, password: str = "correct horse") -> Client:
    """A browser that has signed in at the door."""
    browser = Client()
    browser.post("/sign-in/", {"username": name, "password": password})
    return browser


def code(secret: str, step: int = 0) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step)))


PAGES = ["stores:account", "mfa_index", "account_change_password", "usersessions_list", "mfa_activate_totp", "mfa_list_webauthn",
         "mfa_add_webauthn", "account_reauthenticate", "stores:confirm-elsewhere"]  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_sound_and_drawn_as_the_others(name: str) -> None:
    page = signed_in("ana", "viewer").get(reverse(name))
    assert page.status_code == 200
    assert_sound(page)
    assert "css/app.css" in page.content.decode() and "Menu:" not in page.content.decode()


def test_an_app_is_set_up_and_asked_for_and_its_codes_help_out(django_capture_on_commit_callbacks: Any) -> None:
    browser = signed_in("ana", "viewer")
    page = browser.get(reverse("mfa_activate_totp"))
    secret = re.search(r'id="authenticator_secret" value="(\w+)"', page.content.decode())
    assert secret
    assert "Incorrect code" in text_of(browser.post(reverse("mfa_activate_totp"), {"code": "000000"}))
    with django_capture_on_commit_callbacks(execute=True):
        done = browser.post(reverse("mfa_activate_totp"), {"code": code(secret[1])})
    assert (done.status_code, done["Location"]) == (302, reverse("mfa_view_recovery_codes"))
    shown = browser.get(reverse("mfa_view_recovery_codes"))
    assert_sound(shown)
    codes = re.findall(r'<li class="kv-code">(\d+)</li>', shown.content.decode())
    assert len(codes) == 10
    assert [entry.after["kind"] for entry in AuditEntry.objects.filter(action="factor-add").order_by("pk")] == ["totp", "recovery_codes"]
    for expected in (200, 302):
        other = door("ana")
        page = other.get("/sign-in/code/")
        assert_sound(page)
        assert other.get("/trash/").status_code == 302
        other.post("/sign-in/code/", {"code": codes[0]})
        assert other.get("/trash/").status_code == expected


def test_a_first_password_has_to_be_changed() -> None:
    user, first = accounts.add(Actor.command_line(), "ana", Role.VIEWER)
    browser = door("ana", first)
    assert browser.get("/trash/")["Location"] == "/account/password/"
    assert "set by somebody else" in text_of(browser.get("/account/password/"))
    for wrong in ("short", "12345678901"):
        assert browser.post("/account/password/", {"oldpassword": first, "password1": wrong, "password2": wrong}).status_code == 200
    assert browser.get("/trash/").status_code == 302 and not User.objects.get(pk=user.pk).check_password("short")
    changed = browser.post("/account/password/", {"oldpassword": first, "password1": PASSWORD, "password2": PASSWORD})
    assert changed.status_code == 302 and browser.get("/trash/").status_code == 200
    assert AuditEntry.objects.filter(action="password", actor="ana").exists()


def test_a_new_password_ends_the_other_sessions() -> None:
    make("ana", "viewer")
    here, there = door("ana"), door("ana")
    here.post("/account/password/", {"oldpassword": "correct horse", "password1": PASSWORD, "password2": PASSWORD})
    assert (here.get("/trash/").status_code, there.get("/trash/").status_code) == (200, 302)


def test_sessions_are_listed_and_ended_one_by_one_and_all() -> None:
    make("ana", "viewer")
    here, there, third, ben = door("ana"), door("ana"), door("ana"), signed_in("ben", "viewer")
    page = here.get("/account/sessions/")
    assert_sound(page)
    ends = re.findall(r'action="(/account/sessions/\d+/end/)"', page.content.decode())
    assert len(ends) == 2 and text_of(page).count("this one") == 1
    assert ben.post(ends[0]).status_code == 404
    here.post(ends[0])
    assert sorted(each.get("/trash/").status_code for each in (there, third)) == [200, 302]
    here.post("/account/sessions/")
    assert [each.get("/trash/").status_code for each in (here, there, third)] == [200, 302, 302]


def test_the_policy_asks_for_a_second_factor_first(django_capture_on_commit_callbacks: Any) -> None:
    Policy.objects.create(second_factor_from="operator")
    make("ana", "operator")
    make("ben", "viewer")
    browser = door("ana")
    assert browser.get("/trash/")["Location"] == "/account/second-factor/"
    assert "needs a second factor" in text_of(browser.get("/account/second-factor/"))
    assert door("ben").get("/trash/").status_code == 200
    browser.post("/account/confirm/", {"password": "correct horse"})
    page = browser.get("/account/second-factor/app/").content.decode()
    secret = re.search(r'id="authenticator_secret" value="(\w+)"', page)
    assert secret
    with django_capture_on_commit_callbacks(execute=True):
        browser.post("/account/second-factor/app/", {"code": code(secret[1])})
    assert browser.get("/trash/").status_code == 200


DANGEROUS = ["stores:tokens", "stores:users", "stores:bulk", "stores:remove-set"]


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_pages_ask_who_one_is(memory: Store, name: str, settings: Any) -> None:
    parts = {"stores:bulk": ["mem"], "stores:remove-set": ["mem", "rates", "rate-auth"]}.get(name, [])
    address, user = reverse(name, args=parts), make("ana", "admin")
    browser = sign_in(Client(), user, seconds_ago=settings.ACCOUNT_REAUTHENTICATION_TIMEOUT + 1)
    asked = browser.get(address)
    assert (asked.status_code, asked["Location"]) == (303, f"/account/confirm/?next={address.replace('/', '%2F')}")
    assert_sound(browser.get(asked["Location"]))
    wrong = browser.post("/account/confirm/", {"password": "wrong", "next": address})
    assert wrong.status_code == 200 and browser.get(address).status_code == 303
    right = browser.post("/account/confirm/", {"password": "correct horse", "next": address})
    assert (right.status_code, right["Location"]) == (302, address)
    assert browser.get(address).status_code == 200


def test_what_was_sent_unconfirmed_is_not_done(memory: Store) -> None:
    browser = sign_in(Client(), make("ana", "admin"), seconds_ago=100_000)
    sent = browser.post(
        reverse("stores:tokens"), {"name": "t", "scopes": ["read"]}, headers={"referer": "http://testserver/settings/tokens/"}
    )
    assert sent["Location"] == "/account/confirm/?next=%2Fsettings%2Ftokens%2F"
    elsewhere = browser.post(reverse("stores:tokens"), {"name": "t"}, headers={"referer": "https://example.net/"})
    assert elsewhere["Location"] == "/account/confirm/?next=%2F"
    fragment = browser.post(reverse("stores:tokens"), headers={"HX-Request": "true"})
    assert fragment.status_code == 204 and fragment["HX-Redirect"].startswith("/account/confirm/")
    assert not AuditEntry.objects.filter(action="token-add").exists()


def test_accounts_are_managed_on_the_page(memory: Store) -> None:
    browser = signed_in("root", "admin")
    assert_sound(browser.get("/settings/users/"))
    assert browser.post("/settings/users/", {"name": "root", "role": "viewer"}).status_code == 422
    made = browser.post("/settings/users/", {"name": "ana", "role": "viewer"})
    assert_sound(made)
    password = re.search(r'<code class="kv-code kv-wrap">([a-z0-9-]{19})</code>', made.content.decode())
    assert password and made["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    ana = User.objects.get(username="ana")
    assert ana.check_password(password[1])
    page = f"/settings/users/{ana.pk}/"
    assert_sound(browser.get(page))
    browser.post(page, {"role": "operator", "store-0": "none"})
    assert role_of(User.objects.get(pk=ana.pk)) is Role.OPERATOR and StoreGrant.objects.get().role == "none"
    assert door("ana", password[1]).get("/stores/mem/").status_code == 302
    for act in ("password", "sessions", "factors", "off"):
        assert browser.post(f"{page}{act}/").status_code in (200, 303)
    assert not User.objects.get(pk=ana.pk).is_active
    assert browser.post(f"{page}burn/").status_code == 400
    me = User.objects.get(username="root").pk
    assert browser.post(f"/settings/users/{me}/off/").status_code == 400
    actions = AuditEntry.objects.order_by("pk").exclude(action__in=("store-add", "refused")).values_list("action", flat=True)
    assert set(actions) >= {"user-add", "user-role", "user-grant", "user-password", "user-sessions", "user-factors", "user-off"}


def test_the_switch_makes_all_stores_read_only(memory: Store) -> None:
    browser = signed_in("root", "admin")
    assert browser.post("/settings/switches/", {"read_only": "on", "second_factor_from": ""}).status_code == 303
    assert browser.post("/stores/mem/keys/new/", {"kind": "value", "key": "k", "value": "v"}).status_code in (403, 422)
    assert browser.post("/settings/switches/", {"second_factor_from": "everybody"}).status_code == 422
    assert Policy.objects.get().read_only


def test_pages_draw_only_what_is_allowed(memory: Store) -> None:
    plant(memory, b"k", b"v")
    viewer, operator = signed_in("ana", "viewer"), signed_in("ben", "operator")
    for address, act in (("/stores/mem/keys/", "/stores/mem/bulk/"), ("/stores/mem/", "/stores/mem/count/"), ("/", "/count/")):
        assert act not in viewer.get(address).content.decode(), address
        assert act in operator.get(address).content.decode(), address
    assert "Your account may not change keys" in text_of(viewer.get("/stores/mem/keys/"))
    settings_page = operator.get("/settings/").content.decode()
    assert "/settings/users/" not in settings_page and "/stores/add/" not in settings_page
    assert 'href="/audit/"' not in operator.get("/").content.decode()
