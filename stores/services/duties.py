"""What somebody has to do first after signing in: choose a password of their own, set up a second factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from stores.models import Account, Policy
from stores.services.actor import role_of
from stores.services.rights import Role

SESSION_KEY: Final = "kvadmin_due"
CHOOSE: Final = "choose"
FACTOR: Final = "factor"
PAGES: Final[Mapping[str, str]] = {CHOOSE: "account_change_password", FACTOR: "mfa_index"}
"""The page where each is done."""
_RANK: Final = {Role.NONE: 0, Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


def due(user: Any) -> list[str]:
    """What is due for an account, in order. Three queries, at sign-in only."""
    found = []
    if user.has_usable_password() and Account.objects.filter(user=user, must_change=True).exists():
        found.append(CHOOSE)
    policy = Policy.objects.first()
    if policy is not None and policy.second_factor_from and _RANK[role_of(user)] >= _RANK[Role(policy.second_factor_from)]:
        factors = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES)
        if not factors.exists() and user.has_usable_password():
            found.append(FACTOR)
    return found


def note(request: HttpRequest, user: Any) -> list[str]:
    """Keep in the session what is due now, and answer it; at sign-in, and as long as something is due."""
    found = due(user)
    if found:
        request.session[SESSION_KEY] = found
    else:
        request.session.pop(SESSION_KEY, None)
    return found
