"""Sign-ins in the audit, whichever way they are made: Django's own signals tell of each."""

from __future__ import annotations

from typing import Any, Final

from allauth.core.internal import ratelimit
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from stores.services import audit
from stores.services import held_up as held
from stores.services.actor import PAGE, Actor

SIGN_IN: Final = "sign-in"
SIGN_OUT: Final = "sign-out"
NOBODY: Final = "nobody"


def connect() -> None:
    """Called once, when the apps are ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit sign-in")
    user_logged_out.connect(_signed_out, dispatch_uid="audit sign-out")
    user_login_failed.connect(_refused, dispatch_uid="audit refused sign-in")


def _signed_in(sender: object, request: HttpRequest | None, user: Any, **_: Any) -> None:
    audit.record(_actor(user, request), SIGN_IN)


def _signed_out(sender: object, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is not None:
        audit.record(_actor(user, request), SIGN_OUT)


def held_up(request: HttpRequest, what: str, tried: str = "") -> None:
    """Put on record, a few times only, that an attempt was turned away because of too many before it."""
    user = getattr(request, "user", None)
    actor = _actor(user, request) if user is not None and user.is_authenticated else Actor(NOBODY, PAGE, None, _address(request))
    held.note(actor, ratelimit.get_ip(request), what, **(_tried(tried) if tried else {}))


def _refused(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    tried = str(credentials.get("username") or credentials.get("email") or credentials.get("login") or "")
    audit.record(Actor(NOBODY, PAGE, None, _address(request)), SIGN_IN, after=_tried(tried), outcome=audit.REFUSED)


def _tried(tried: str) -> dict[str, Any]:
    """The name only where there is such an account: people also type passwords into the field of the name."""
    known = get_user_model().objects.filter(username=tried).exists() if 0 < len(tried) <= 150 and "\0" not in tried else False
    return {"account": tried if known else audit.digest(tried.encode("utf-8", "replace")), "known": known}


def _actor(user: Any, request: HttpRequest | None) -> Actor:
    return Actor(user.get_username(), PAGE, user.pk, _address(request))


def _address(request: HttpRequest | None) -> str | None:
    return request.META.get("REMOTE_ADDR") if request is not None else None
