"""Confirming who one is before something dangerous: by password, code or passkey, or at the provider; good for some minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import ReauthenticateView as CodeView
from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stores.views.common import show, wants_fragment

P = ParamSpec("P")


def is_fresh(request: HttpRequest) -> bool:
    """Whether the session was signed in, or confirmed, less than `KVADMIN_CONFIRM_MINUTES` ago. No query."""
    records = get_authentication_records(request, request.user)
    return bool(records) and time.time() - float(records[-1]["at"]) < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def freshly_confirmed(view: Callable[Concatenate[HttpRequest, P], HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that needs a fresh session, above `page` or `store_page`. Nothing is done before that; the way leads back to the page."""

    @wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if is_fresh(request):
            return view(request, *args, **kwargs)
        return _ask(request)

    inner.needs_confirmation = True  # type: ignore[attr-defined]  # read by the test that lists the dangerous pages
    return inner


def _ask(request: HttpRequest) -> HttpResponse:
    """To the confirmation. A form that was sent is not kept: it may hold secrets, so it is filled in again."""
    if request.method not in ("GET", "HEAD"):
        messages.warning(request, _("Confirm that it is you, then do it again. Nothing has been done yet."))
    target = f"{_way_to_confirm(request)}?{urlencode({'next': _back(request)})}"
    if wants_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    return HttpResponse(status=303, headers={"Location": target})


def _way_to_confirm(request: HttpRequest) -> str:
    """The first way that the account has; one that has none is confirmed by its provider."""
    flows = get_reauthentication_flows(request.user)
    if not flows:
        return reverse("stores:confirm-elsewhere")
    if flows[0]["id"] == "mfa_reauthenticate" and flows[0]["types"] == ["webauthn"]:
        return reverse("mfa_reauthenticate_webauthn")
    return reverse({"reauthenticate": "account_reauthenticate"}.get(flows[0]["id"], "mfa_reauthenticate"))


def _back(request: HttpRequest) -> str:
    """The page itself; for what was sent the page that sent it."""
    if request.method in ("GET", "HEAD") and not wants_fragment(request):
        return request.get_full_path()
    referer = request.META.get("HTTP_HX_CURRENT_URL") or request.META.get("HTTP_REFERER", "")
    if url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure()):
        parts = urlsplit(referer)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return reverse("stores:overview")


@require_safe
def elsewhere(request: HttpRequest) -> HttpResponse:
    """For accounts that have neither password nor second factor here: the provider asks again."""
    next_url = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(next_url, {request.get_host()}, require_https=request.is_secure())
    query = urlencode({"next": next_url if safe else reverse("stores:overview"), "auth_params": "prompt=login"})
    known = ((app["name"], reverse("openid_connect_login", args=[app["provider_id"]])) for app in settings.KVADMIN_PROVIDERS)
    providers = [{"name": name, "url": f"{url}?{query}"} for name, url in known]
    minutes = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT // 60
    return show(request, "stores/confirm_elsewhere.html", {"providers": providers, "minutes": minutes})


class _Confirm:
    """What the three ways share: where the way back leads, and how long a confirmation is good."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return context | {"minutes": settings.ACCOUNT_REAUTHENTICATION_TIMEOUT // 60}


class Confirm(_Confirm, ReauthenticateView):  # type: ignore[misc]
    """By password."""


class ConfirmByCode(_Confirm, CodeView):  # type: ignore[misc]
    """By a code of an authenticator app, or a recovery code."""


class ConfirmByPasskey(_Confirm, ReauthenticateWebAuthnView):  # type: ignore[misc]
    """By a passkey or security key."""


confirm = Confirm.as_view()
confirm_by_code = ConfirmByCode.as_view()
confirm_by_passkey = ConfirmByPasskey.as_view()
