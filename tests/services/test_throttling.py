"""Guessing names, codes and tokens: counted by address and account, for all processes together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.test import Client

from stores.api.throttle import WRONG_PER_MINUTE
from stores.models import AuditEntry, SharedValue
from stores.services import tokens
from stores.services.actor import Actor
from tests.accounts import make, sign_in
from tests.fixtures_path import ROOT

SCRIPT = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "kvadmin.settings"
import django
django.setup()
from django.test import Client
from django.conf import settings
settings.ALLOWED_HOSTS = ["*"]
said = []
for number in range(int(sys.argv[1])):
    page = Client(REMOTE_ADDR=f"192.0.2.{sys.argv[2]}{number}").post("/sign-in/", {"username": "ana", "password": f"guess {number}"})
    said.append("Too many attempts" in page.content.decode())
print(json.dumps(said))
"""


def test_attempts_are_counted_for_all_processes_together(tmp_path: Path) -> None:
    environment = {**os.environ, "KVADMIN_DATA_DIR": str(tmp_path), "KVADMIN_TIME_ZONE": "UTC", "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    def run(*arguments: str) -> str:
        return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    run("manage.py", "migrate", "--verbosity", "0")
    run("manage.py", "collectstatic", "--no-input", "--verbosity", "0")
    run("manage.py", "user-add", "ana", "--role", "viewer")
    first = json.loads(run("-c", SCRIPT, "3", "1").splitlines()[-1])
    second = json.loads(run("-c", SCRIPT, "4", "2").splitlines()[-1])
    assert (first, second) == ([False] * 3, [False, False, True, True])


def test_an_address_is_held_up_whatever_the_names(db: None) -> None:
    answers = [Client().post("/sign-in/", {"username": f"user{number}", "password": "wrong"}) for number in range(12)]
    assert "Too many attempts" not in answers[9].content.decode()
    assert "Too many attempts" in answers[10].content.decode() and "Too many attempts" in answers[11].content.decode()
    said = [entry.after for entry in AuditEntry.objects.filter(action="held-up", outcome="refused", address="127.0.0.1")]
    assert [(found["what"], found["attempts"], found["known"]) for found in said] == [("sign-in", 1, False)]
    assert "user1" not in str(said)
    other = Client(REMOTE_ADDR="192.0.2.9").post("/sign-in/", {"username": "user1", "password": "wrong"})
    assert "Too many attempts" not in other.content.decode()
    assert SharedValue.objects.exists()


def test_codes_are_counted_and_a_right_one_comes_too_late(db: None, rf: Any) -> None:
    user = make("ana", "viewer")
    secret = "JBSWY3DPEHPK3PXP"
    TOTP.activate(user, secret)
    assert secret not in str(Authenticator.objects.get(user=user).data)
    browser = Client()
    asked = browser.post("/sign-in/", {"username": "ana", "password": "correct horse"})
    assert asked["Location"] == "/sign-in/code/"
    for _ in range(5):
        browser.post("/sign-in/code/", {"code": "000000"})
    right = format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[1]))
    late = browser.post("/sign-in/code/", {"code": right})
    assert late.status_code == 200 and browser.get("/trash/").status_code == 302
    assert AuditEntry.objects.filter(action="factor", outcome="refused").count() == 5
    assert AuditEntry.objects.get(action="held-up").after["what"] == "code"


def test_a_code_lets_in_once(db: None) -> None:
    user = make("ana", "viewer")
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    right = format_hotp_value(hotp_value("JBSWY3DPEHPK3PXP", list(yield_hotp_counters_from_time())[1]))
    for expected in (302, 200):
        browser = Client()
        browser.post("/sign-in/", {"username": "ana", "password": "correct horse"})
        assert browser.post("/sign-in/code/", {"code": right}).status_code == expected
        assert browser.get("/trash/").status_code == (200 if expected == 302 else 302)


@pytest.mark.django_db
def test_wrong_tokens_make_an_address_wait() -> None:
    _, secret = tokens.issue(Actor.of_user(make("ana", "viewer")), "t", ["read"])
    wrong = Client(headers={"Authorization": "Bearer kva_" + "x" * 43})
    assert {wrong.get("/api/v1/stores").status_code for _ in range(WRONG_PER_MINUTE)} == {401}
    assert [wrong.get("/api/v1/stores").status_code for _ in range(2)] == [401, 429]
    right = {"Authorization": f"Bearer {secret}"}
    assert Client(headers=right).get("/api/v1/stores").status_code == 429
    assert Client(headers=right, REMOTE_ADDR="192.0.2.9").get("/api/v1/stores").status_code == 200
    assert AuditEntry.objects.filter(action="token", outcome="refused").count() == 1


def test_many_attempts_of_one_address_leave_few_entries(db: None) -> None:
    make("ana", "viewer")
    for number in range(45):
        Client().post("/sign-in/", {"username": "ana", "password": f"guess {number}"})
    entries = AuditEntry.objects.filter(address="127.0.0.1", outcome="refused").order_by("pk")
    assert entries.filter(action="sign-in").count() == 5
    found = [(entry.after["what"], entry.after["attempts"]) for entry in entries.filter(action="held-up")]
    assert found == [("sign-in", 1), ("sign-in", 10), ("account_login", 1), ("account_login", 10)]
    assert entries.filter(action="held-up").first().after["account"] == "ana"


def test_a_confirmation_that_is_tried_too_often_is_on_record(db: None) -> None:
    user = make("ana", "viewer")
    browser = sign_in(Client(), user)
    answers = [browser.post("/account/confirm/", {"password": "wrong"}).status_code for _ in range(11)]
    assert answers[-1] == 429
    entry = AuditEntry.objects.get(action="held-up", after__contains="account_reauthenticate")
    assert (entry.actor, entry.user_id, entry.outcome) == ("ana", user.pk, "refused")


def test_a_token_that_has_used_up_its_minute_is_on_record_a_few_times(db: None, settings: Any) -> None:
    settings.KVADMIN_API_RATE = 2
    token, secret = tokens.issue(Actor.of_user(make("ana", "viewer")), "robot", ["read"])
    client = Client(headers={"Authorization": f"Bearer {secret}"}, REMOTE_ADDR="192.0.2.9")
    assert [client.get("/api/v1/stores").status_code for _ in range(14)].count(429) >= 10
    entries = AuditEntry.objects.filter(action="held-up").order_by("pk")
    assert [entry.after["attempts"] for entry in entries] == [1, 10] and {entry.after["token"] for entry in entries} == {token.name}
    assert entries.first().address == "192.0.2.9" and secret not in str([entry.after for entry in entries])
