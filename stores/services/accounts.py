"""Accounts: made, given roles and grants, switched off, let in again. The last administrator always stays one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from stores.errors import BadConfig, Busy, KeyNotFound, NotSupported
from stores.models import Account, Store, StoreGrant
from stores.services import audit
from stores.services.actor import Actor, role_of
from stores.services.permissions import Permission, require
from stores.services.rights import Role

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without the letters and digits that look alike."""


@dataclass(frozen=True, slots=True)
class Info:
    """An account for showing. `grants` maps store ids to roles; `factors` counts apps and passkeys."""

    user: User
    role: Role
    grants: Mapping[str, Role]
    active: bool
    last_login: datetime | None
    factors: int
    from_provider: bool
    must_change: bool
    has_password: bool


def listed(actor: Actor) -> list[Info]:
    """All accounts by name; two queries. Raises Forbidden."""
    require(actor, Permission.ADMIN)
    apps = Count("authenticator", filter=~Q(authenticator__type=Authenticator.Type.RECOVERY_CODES))
    users = User.objects.select_related("account").prefetch_related("store_grants").annotate(factor_count=apps).order_by("username")
    return [_info(user, int(user.factor_count)) for user in users]


def info(user: User) -> Info:
    """One account for showing."""
    return _info(user, factors(user))


def find(name: str) -> User:
    """By name, whatever its case. Raises KeyNotFound."""
    user = User.objects.select_related("account").filter(username__iexact=name).first() if "\0" not in name else None
    if user is None:
        raise KeyNotFound(_("There is no account %(name)s.") % {"name": name[:150]}, _("The page Accounts lists them."))
    return user


def by_id(user_id: int) -> User:
    """By number. Raises KeyNotFound."""
    user = User.objects.select_related("account").filter(pk=user_id).first()
    if user is None:
        raise KeyNotFound(_("There is no such account."), _("The page Accounts lists them."))
    return user


def add(actor: Actor, name: str, role: Role, password: str = "") -> tuple[User, str]:
    """A new account and its password: the one given, which has to pass the validators, or a generated one for the first sign-in.

    Raises Forbidden, BadConfig(field="name" or "password").
    """
    require(actor, Permission.ADMIN)
    user = User(username=User.normalize_username(name.strip()), is_superuser=role is Role.ADMIN, is_staff=role is Role.ADMIN)
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise BadConfig(" ".join(error.messages), _("Choose another name."), "name") from None
    if User.objects.filter(username__iexact=user.username).exists():
        raise BadConfig(_("There is an account of this name."), _("Choose another name."), "name")
    chosen = _checked(password, user) if password else one_time_password()
    user.set_password(chosen)
    with transaction.atomic():
        user.save(force_insert=True)
        Account.objects.create(user=user, role=role, must_change=not password)
        audit.record(actor, "user-add", after={"account": user.username, "role": role.value})
    return user, chosen


def set_role(actor: Actor, user: User, role: Role) -> None:
    """Raises Forbidden; Busy for the last administrator; NotSupported for oneself and where the provider's claims decide."""
    require(actor, Permission.ADMIN)
    _not_oneself(actor, user)
    account, _made = Account.objects.get_or_create(user=user)
    if account.from_provider and settings.KVADMIN_OIDC_ROLES:
        raise NotSupported(_("The provider decides the role of this account at each sign-in."), _("Change it there."))
    with transaction.atomic():
        before = role_of(user)
        if before is Role.ADMIN and role is not Role.ADMIN:
            _keep_an_administrator(user)
        account.role, account.from_provider = role, False
        account.save()
        user.is_superuser = user.is_staff = role is Role.ADMIN
        user.save(update_fields=["is_superuser", "is_staff"])
        audit.record(actor, "user-role", before={"role": before.value}, after={"account": user.username, "role": role.value})


def set_grant(actor: Actor, user: User, store: Store, role: Role | None) -> None:
    """The role of an account for one store, None to have the one for all there too. Raises Forbidden, NotSupported."""
    require(actor, Permission.ADMIN)
    if role_of(user) is Role.ADMIN and role is not None:
        raise NotSupported(_("An administrator may do everything in every store."), _("Give the account another role first."))
    before = StoreGrant.objects.filter(user=user, store=store).first()
    with transaction.atomic():
        if role is None:
            StoreGrant.objects.filter(user=user, store=store).delete()
        else:
            StoreGrant.objects.update_or_create(user=user, store=store, defaults={"role": role})
        after = {"account": user.username, "role": None if role is None else role.value}
        audit.record(actor, "user-grant", store, before={"role": before.role if before else None}, after=after)


def set_active(actor: Actor, user: User, active: bool) -> None:
    """Switch an account on or off; off ends its sessions and its tokens answer 401. Raises Forbidden, Busy, NotSupported."""
    require(actor, Permission.ADMIN)
    _not_oneself(actor, user)
    with transaction.atomic():
        if not active and role_of(user) is Role.ADMIN:
            _keep_an_administrator(user)
        user.is_active = active
        user.save(update_fields=["is_active"])
        audit.record(actor, "user-on" if active else "user-off", after={"account": user.username})
    if not active:
        end_sessions_of(user)


def reset_password(actor: Actor, user: User, password: str = "") -> str:
    """A new password: the one given, or a generated one that has to be changed at the next sign-in. Ends all sessions.

    Raises Forbidden, BadConfig(field="password").
    """
    require(actor, Permission.ADMIN)
    chosen = _checked(password, user) if password else one_time_password()
    user.set_password(chosen)
    with transaction.atomic():
        user.save(update_fields=["password"])
        Account.objects.update_or_create(
            user=user, defaults={"must_change": not password}, create_defaults={"role": role_of(user), "must_change": not password}
        )
        audit.record(actor, "user-password", after={"account": user.username})
    end_sessions_of(user)
    return chosen


def reset_factors(actor: Actor, user: User) -> int:
    """Remove apps, passkeys and recovery codes of somebody who has lost them; answers how many. Raises Forbidden."""
    require(actor, Permission.ADMIN)
    with transaction.atomic():
        removed = int(Authenticator.objects.filter(user=user).delete()[0])
        audit.record(actor, "user-factors", after={"account": user.username, "removed": removed})
    return removed


def end_sessions(actor: Actor, user: User) -> int:
    """Sign an account out everywhere; answers how many sessions there were. Raises Forbidden."""
    require(actor, Permission.ADMIN)
    audit.record(actor, "user-sessions", after={"account": user.username})
    return end_sessions_of(user)


def end_session(actor: Actor, session_id: int) -> None:
    """End one session of the actor's own. Raises KeyNotFound, also for those of others."""
    session = UserSession.objects.filter(user_id=actor.user_id, pk=session_id).first()
    if session is None:
        raise KeyNotFound(_("There is no such session."), _("It may have ended already."))
    session.end()
    audit.record(actor, "session-end", after={"address": session.ip})


def factors(user: User) -> int:
    """How many authenticator apps and passkeys an account has."""
    return int(Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).count())


def session_count(user: User) -> int:
    """Where an account is signed in now."""
    return len(UserSession.objects.purge_and_list(user))


def one_time_password() -> str:
    """80 bits that can be read out on the telephone."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def _info(user: User, factor_count: int) -> Info:
    account = getattr(user, "account", None)
    return Info(
        user=user,
        role=role_of(user),
        grants={grant.store_id: Role(grant.role) for grant in user.store_grants.all()},
        active=user.is_active,
        last_login=user.last_login,
        factors=factor_count,
        from_provider=bool(account and account.from_provider),
        must_change=bool(account and account.must_change),
        has_password=user.has_usable_password(),
    )


def _checked(password: str, user: User) -> str:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadConfig(" ".join(error.messages), "", "password") from None
    return password


def _not_oneself(actor: Actor, user: User) -> None:
    if actor.user_id == user.pk:
        raise NotSupported(_("Nobody changes the own role or switches the own account off."), _("Ask another administrator."))


def _keep_an_administrator(user: User) -> None:
    """Raise Busy when no other account could do everything. Locks those rows until the transaction ends."""
    others = User.objects.select_for_update().filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if not list(others.values_list("pk", flat=True)):
        raise Busy(_("This is the last administrator."), _("Make another account an administrator first."))


def end_sessions_of(user: User, session_key: str | None = None) -> int:
    """Sign an account out everywhere but in the session of the key; answers how many sessions that were."""
    sessions = list(UserSession.objects.filter(user=user).exclude(session_key=session_key or ""))
    for session in sessions:
        session.end()
    return len(sessions)
