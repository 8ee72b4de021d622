"""Accounts, their roles and grants, sessions, and the switches of the installation. For tokens of administrators, for all stores.

A token is not asked to confirm itself as a page asks its user: whoever has one with the scope admin may do what its owner may.
What only a person can do (the own password, second factor and passkeys) has no route.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from ninja import Field, Router, Schema, Status

from stores.api.base import ApiRequest, Body, Name, Serial, Text, actor, does, whole
from stores.models import Policy
from stores.registry import find_store
from stores.services import accounts, switches
from stores.services.permissions import Permission, require
from stores.services.rights import Role

router = Router(tags=["accounts"])

RoleName = Literal["none", "viewer", "operator", "admin"]
Username = Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[\w.@+-]+$")]
Password = Annotated[Text, Field(min_length=10, max_length=128)]


class AccountOut(Schema):
    """`grants` maps stores to roles that hold there instead; `factors` counts authenticator apps and passkeys."""

    id: int
    name: str
    role: RoleName
    grants: dict[str, RoleName]
    active: bool
    last_login: datetime | None
    factors: int
    sessions: int
    from_provider: bool
    must_change: bool
    has_password: bool


class AccountIn(Body):
    """Without `password` one is made up for the first sign-in and answered this once."""

    name: Username
    role: RoleName
    password: Password | None = None


class AddedOut(AccountOut):
    """`password` null: it is the one that was given."""

    password: str | None


class AccountChange(Body):
    """What is left out stays. `grants` changes the named stores only; null gives one the role for all stores again."""

    role: RoleName | None = None
    active: bool | None = None
    grants: Annotated[dict[Name, RoleName | None], Field(max_length=1000)] = {}


class PasswordIn(Body):
    """Without `password` one is made up, answered this once, and has to be changed at the next sign-in."""

    password: Password | None = None


class PasswordOut(Schema):
    """`password` null: it is the one that was given."""

    password: str | None


class NumberOut(Schema):
    count: int


class SessionOut(Schema):
    id: int
    address: str
    browser: str
    created_at: datetime
    last_seen_at: datetime


class SwitchesIn(Body):
    """`read_only`: kvadmin writes into no store. `second_factor_from`: the least role that needs one, null for nobody."""

    read_only: bool
    second_factor_from: Literal["viewer", "operator", "admin"] | None


class SwitchesOut(Schema):
    """`forced`: KVADMIN_READ_ONLY forbids writing, whatever the switch says."""

    read_only: bool
    second_factor_from: str | None
    forced: bool


@router.get("/accounts", **does("admin", list[AccountOut], "All accounts by name"))
def list_accounts(request: ApiRequest) -> list[dict[str, Any]]:
    whole(request, "admin")
    return [_shown(info) for info in accounts.listed(actor(request))]


@router.post("/accounts", **does("admin", AddedOut, "Add an account", 201))
def add_account(request: ApiRequest, body: AccountIn) -> Status[dict[str, Any]]:
    whole(request, "admin")
    user, password = accounts.add(actor(request), body.name, Role(body.role), body.password or "")
    return Status(201, _shown(accounts.info(user)) | {"password": None if body.password else password})


@router.get("/accounts/{account_id}", **does("admin", AccountOut, "One account"))
def get_account(request: ApiRequest, account_id: Serial) -> dict[str, Any]:
    return _shown(accounts.info(_account(request, account_id)))


@router.patch("/accounts/{account_id}", **does("admin", AccountOut, "Change role and grants, switch it on or off"))
def change_account(request: ApiRequest, account_id: Serial, body: AccountChange) -> dict[str, Any]:
    """All or nothing. Switching an account off ends its sessions, and its tokens answer 401."""
    user, by = _account(request, account_id), actor(request)
    with transaction.atomic():
        if body.role is not None and Role(body.role) is not accounts.info(user).role:
            accounts.set_role(by, user, Role(body.role))
        for store_id, role in body.grants.items():
            accounts.set_grant(by, user, find_store(store_id), None if role is None else Role(role))
        if body.active is not None and body.active is not user.is_active:
            accounts.set_active(by, user, body.active)
    return _shown(accounts.info(accounts.by_id(user.pk)))


@router.post("/accounts/{account_id}/password", **does("admin", PasswordOut, "Give an account a new password; its sessions end"))
def new_password(request: ApiRequest, account_id: Serial, body: PasswordIn) -> dict[str, Any]:
    chosen = accounts.reset_password(actor(request), _account(request, account_id), body.password or "")
    return {"password": None if body.password else chosen}


@router.delete("/accounts/{account_id}/factors", **does("admin", NumberOut, "Remove a lost second factor: apps, passkeys, codes"))
def remove_factors(request: ApiRequest, account_id: Serial) -> dict[str, Any]:
    return {"count": accounts.reset_factors(actor(request), _account(request, account_id))}


@router.delete("/accounts/{account_id}/sessions", **does("admin", NumberOut, "Sign an account out everywhere"))
def end_sessions(request: ApiRequest, account_id: Serial) -> dict[str, Any]:
    return {"count": accounts.end_sessions(actor(request), _account(request, account_id))}


@router.get("/sessions", **does("admin", list[SessionOut], "Where the owner of the token is signed in"))
def list_sessions(request: ApiRequest) -> list[dict[str, Any]]:
    whole(request, "admin")
    found = UserSession.objects.purge_and_list(request.auth.owner)
    return [
        {"id": each.pk, "address": each.ip, "browser": each.user_agent, "created_at": each.created_at, "last_seen_at": each.last_seen_at}
        for each in found
    ]


@router.delete("/sessions/{session_id}", **does("admin", None, "End a session of the token's owner", 204))
def end_session(request: ApiRequest, session_id: Serial) -> Status[None]:
    whole(request, "admin")
    accounts.end_session(actor(request), session_id)
    return Status(204, None)


@router.get("/switches", **does("admin", SwitchesOut, "The switches of the installation"))
def get_switches(request: ApiRequest) -> dict[str, Any]:
    whole(request, "admin")
    require(actor(request), Permission.ADMIN)
    return _switches(switches.policy())


@router.put("/switches", **does("admin", SwitchesOut, "Set read only for all stores, and who needs a second factor"))
def set_switches(request: ApiRequest, body: SwitchesIn) -> dict[str, Any]:
    whole(request, "admin")
    least = None if body.second_factor_from is None else Role(body.second_factor_from)
    return _switches(switches.save(actor(request), read_only=body.read_only, second_factor_from=least))


def _account(request: ApiRequest, account_id: int) -> User:
    whole(request, "admin")
    require(actor(request), Permission.ADMIN)
    return accounts.by_id(account_id)


def _shown(info: accounts.Info) -> dict[str, Any]:
    names = ("role", "grants", "active", "last_login", "factors", "from_provider", "must_change", "has_password")
    sessions = accounts.session_count(info.user)
    return {"id": info.user.pk, "name": info.user.username, "sessions": sessions, **{name: getattr(info, name) for name in names}}


def _switches(found: Policy) -> dict[str, Any]:
    least = found.second_factor_from or None
    return {"read_only": found.read_only, "second_factor_from": least, "forced": settings.KVADMIN_READ_ONLY}
