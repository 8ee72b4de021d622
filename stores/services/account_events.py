"""What people do with their own accounts, in the audit; and what is due after signing in. Told by allauth's signals."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_changed
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed, authenticator_added, authenticator_removed, authenticator_reset
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

from stores.models import Account
from stores.services import audit, duties
from stores.services.actor import PAGE, Actor


def connect() -> None:
    """Called once, when the apps are ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="duties after sign-in")
    password_changed.connect(_password, dispatch_uid="audit password")
    authenticator_added.connect(_added, dispatch_uid="audit factor added")
    authenticator_removed.connect(_removed, dispatch_uid="audit factor removed")
    authenticator_reset.connect(_renewed, dispatch_uid="audit codes renewed")
    authentication_failed.connect(_wrong_code, dispatch_uid="audit wrong code")


def _signed_in(sender: object, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if request is not None:
        duties.note(request, user)


def _password(sender: object, request: HttpRequest, user: Any, **_: Any) -> None:
    Account.objects.filter(user=user).update(must_change=False)
    audit.record(_actor(user, request), "password")


def _added(sender: object, request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    audit.record(_actor(user, request), "factor-add", after={"kind": authenticator.type})


def _removed(sender: object, request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    audit.record(_actor(user, request), "factor-remove", before={"kind": authenticator.type})


def _renewed(sender: object, request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    audit.record(_actor(user, request), "factor-renew", after={"kind": authenticator.type})


def _wrong_code(sender: object, request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    audit.record(_actor(user, request), "factor", after={"kind": authenticator.type}, outcome=audit.REFUSED)


def _actor(user: Any, request: HttpRequest | None) -> Actor:
    return Actor(user.get_username(), PAGE, user.pk, request.META.get("REMOTE_ADDR") if request is not None else None)
