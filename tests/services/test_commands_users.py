"""Accounts from the terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from stores.models import AuditEntry, Store
from stores.services.actor import role_of
from stores.services.rights import Role
from tests.accounts import make
from tests.services.conftest import new_memory

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, Any]:
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out)
    except CommandError as error:
        return error.returncode, str(error)
    except SystemExit as error:
        return int(error.code or 0), out.getvalue()
    text = out.getvalue()
    return 0, json.loads(text) if "--json" in arguments else text


def test_an_account_from_its_beginning_to_its_end(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make("root", "admin")
    code, made = run("user-add", "ana", "--role", "operator", "--json")
    assert (code, made["name"], made["role"]) == (0, "ana", "operator")
    assert User.objects.get(username="ana").check_password(made["password"])
    assert run("user-add", "ANA")[0] == 1
    assert run("user-role", "ana", "viewer", "--store", "mem", "--json")[1] == {
        "name": "ana",
        "role": "operator",
        "grants": {"mem": "viewer"},
    }
    assert run("user-role", "ana", "default", "--store", "mem", "--json")[1]["grants"] == {}
    assert run("user-role", "ana", "default")[0] == 2
    assert run("user-role", "ana", "admin", "--json")[1]["role"] == "admin"
    assert run("user-role", "nobody", "admin")[0] == 1
    monkeypatch.setenv("NEW_PASSWORD", "correct horse battery")
    assert run("user-password", "ana", "--password-env", "NEW_PASSWORD", "--json") == (
        0,
        {"name": "ana", "password": None, "factors_removed": 0},
    )
    assert User.objects.get(username="ana").check_password("correct horse battery")
    monkeypatch.setenv("NEW_PASSWORD", "12345")
    assert run("user-password", "ana", "--password-env", "NEW_PASSWORD")[0] == 1
    monkeypatch.delenv("NEW_PASSWORD")
    assert run("user-password", "ana", "--password-env", "NEW_PASSWORD")[0] == 2
    assert run("user-password", "ana", "--off")[0] == 0 and not User.objects.get(username="ana").is_active
    assert run("user-password", "ana", "--on")[0] == 0 and User.objects.get(username="ana").is_active
    assert set(AuditEntry.objects.filter(via="command line").values_list("action", flat=True)) >= {
        "user-add",
        "user-grant",
        "user-password",
    }


def test_the_list(memory: Store) -> None:
    new_memory("other")
    make("ana", "viewer", other="none")
    make("root", "admin")
    code, listed = run("users", "--json")
    assert code == 0
    rest = {"active": True, "second_factor": False, "provider": False, "last_login": None}
    assert listed == [
        {"name": "ana", "role": "viewer", "grants": {"other": "none"}, **rest},
        {"name": "root", "role": "admin", "grants": {}, **rest},
    ]
    assert "other: none" in run("users")[1]


def test_the_last_administrator_stays_here_too(memory: Store) -> None:
    make("root", "admin")
    for arguments in (("user-role", "root", "viewer"), ("user-password", "root", "--off")):
        code, text = run(*arguments)
        assert code == 1 and "last administrator" in text
    assert role_of(User.objects.get()) is Role.ADMIN
