"""What an OpenID Connect provider says of somebody, and the role that follows from it at each sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stores.models import Account
from stores.services import audit
from stores.services.accounts import end_sessions_of
from stores.services.actor import PAGE, Actor
from stores.services.actor import role_of as present_role
from stores.services.rights import Role

OTHER_ACCOUNT: Final = gettext_lazy("You are signed in with another account. Sign out first.")
_RANK: Final = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


class NoRole(Exception):
    """Nothing that the provider says gives a role."""


def role_of(data: Mapping[str, Any]) -> Role | None:
    """The highest role that the mapped claim gives; None where no mapping is set. Raises NoRole.

    Claims of the user info go before those of the ID token. A claim may be a text, a list of texts, or a number.
    """
    pairs: tuple[tuple[str, str], ...] = settings.KVADMIN_OIDC_ROLES
    if not pairs:
        return None
    values = _values(data, settings.KVADMIN_OIDC_ROLE_CLAIM)
    roles = [Role(role) for value, role in pairs if value == "*" or value in values]
    if not roles:
        raise NoRole(_("Your account there gives no role here. Ask your administrator."))
    return max(roles, key=_RANK.__getitem__)


def apply(user: User, role: Role | None, session_key: str | None = None) -> None:
    """Keep the role of a claim with the account; audited when it changes. Without a mapping a new account gets no role.

    A role counts from the next request on, wherever the account is signed in. Where it changes, all sessions but the one of
    `session_key` end, too: what they show is of another role.
    """
    found = Account.objects.filter(user=user).first()
    if role is None:
        if found is None:
            Account.objects.create(user=user, role=Role.NONE)
        return
    before = present_role(user)
    if found is not None and found.from_provider and before is role:
        return
    _change(user, before, role)
    if before is not role:
        end_sessions_of(user, session_key)


def withdraw(user: User) -> None:
    """The provider gives this account no role any more: it has none here from now on, and its sessions end. Audited."""
    before = present_role(user)
    if before is not Role.NONE:
        _change(user, before, Role.NONE)
    end_sessions_of(user)


def _change(user: User, before: Role, role: Role) -> None:
    with transaction.atomic():
        Account.objects.update_or_create(user=user, defaults={"role": role, "from_provider": True})
        user.is_superuser = user.is_staff = role is Role.ADMIN
        user.save(update_fields=["is_superuser", "is_staff"])
        after = {"account": user.get_username(), "role": role.value}
        audit.record(Actor.system("provider"), "user-role", before={"role": before.value}, after=after)


def record_refusal(sociallogin: Any, address: str | None) -> None:
    """Put on record that somebody of the provider was turned away, by the subject."""
    actor = Actor("nobody", PAGE, None, address)
    audit.record(actor, "sign-in", after={"subject": str(sociallogin.account.uid)[:200], "why": "no role"}, outcome=audit.REFUSED)


def _values(data: Mapping[str, Any], claim: str) -> frozenset[str]:
    for part in (data.get("userinfo"), data.get("id_token"), data):
        found = part.get(claim) if isinstance(part, Mapping) else None
        if found is not None:
            listed = found if isinstance(found, list) else [found]
            return frozenset(str(value) for value in listed if isinstance(value, str | int))
    return frozenset()
