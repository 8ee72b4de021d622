"""Signing in and out, the page for visitors, appearance and language."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from allauth.account.views import LoginView
from allauth.socialaccount.providers.openid_connect import views as openid
from django.conf import settings
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from requests import RequestException

from stores.errors import NotSupported
from stores.forms.account import LanguageForm, ThemeForm
from stores.services import accounts, signins, tokens
from stores.views.common import actor_of, go, page, show
from stores.views.confirm import confirm, confirm_by_code, confirm_by_passkey

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "account",
    "confirm",
    "confirm_by_code",
    "confirm_by_passkey",
    "language",
    "no_sign_up",
    "password_elsewhere",
    "session_end",
    "sign_in",
    "sign_out",
    "theme",
    "too_many",
    "with_provider",
]

logger = logging.getLogger(__name__)


class SignIn(LoginView):  # type: ignore[misc]
    """By password, by passkey, or with the account of a provider. Attempts are counted for all processes together."""

    template_name = "stores/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        next_url = self.get_next_url() or ""
        return context | {
            "next": next_url,
            "providers": [{"name": app["name"], "id": app["provider_id"]} for app in settings.KVADMIN_PROVIDERS],
        }


def too_many(request: HttpRequest) -> HttpResponse:
    """An address, or an account that confirms who it is, has to wait; on record."""
    signins.held_up(request, (request.resolver_match.url_name or "") if request.resolver_match else "")
    return show(request, "429.html", {}, status=429)


sign_in = SignIn.as_view()
sign_out = auth.LogoutView.as_view(next_page="stores:overview", http_method_names=["post", "options"])


@login_not_required
@require_safe
def with_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the provider. One that does not answer, or answers something else, is said to be away."""
    try:
        response: HttpResponse = openid.login(request, provider_id)
    except (RequestException, KeyError) as error:
        logger.warning("The OpenID Connect provider %s cannot be used: %s", provider_id, type(error).__name__)
        return show(request, "socialaccount/authentication_error.html", {}, status=503)
    return response


@login_not_required
@require_safe
def no_sign_up(request: HttpRequest) -> HttpResponse:
    """Nobody makes an account here; whoever was about to is back at the door."""
    return redirect("account_login")


@require_safe
@page
def account(request: HttpRequest) -> HttpResponse:
    """The signed-in user's own account: rights, password, second factor, sessions, tokens."""
    actor, user = actor_of(request), cast("User", request.user)
    context = {
        "rights": actor.rights,
        "has_password": user.has_usable_password(),
        "factors": accounts.factors(user),
        "sessions": accounts.session_count(user),
        "tokens": len([token for token in tokens.listed(actor) if token.owner_id == user.pk and token.revoked_at is None]),
    }
    return show(request, "stores/account.html", context)


@require_POST
@page
def session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one session of the signed-in user."""
    accounts.end_session(actor_of(request), session_id)
    return go(request, "usersessions_list", _("The session is ended."))


@require_safe
@page
def password_elsewhere(request: HttpRequest) -> HttpResponse:
    """An account of a provider has its password there."""
    raise NotSupported(_("Your password is kept by the provider that you sign in with."), _("Change it there."))


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the appearance in a cookie, so that the server draws it from the first byte on."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        return HttpResponse("Choose auto, light or dark.", status=400, content_type="text/plain")
    response = redirect(_back(request, form))
    if form.cleaned_data["theme"] == "auto":
        response.delete_cookie("kv_theme", samesite="Lax")
    else:
        response.set_cookie("kv_theme", form.cleaned_data["theme"], max_age=31_536_000, samesite="Lax", secure=request.is_secure())
    return response


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Keep the language in a cookie; `auto` goes back to what the browser asks for."""
    form = LanguageForm(request.POST)
    if not form.is_valid():
        return HttpResponse("Choose auto or one of the languages.", status=400, content_type="text/plain")
    response = redirect(_back(request, form))
    name = settings.LANGUAGE_COOKIE_NAME
    if form.cleaned_data["language"] == "auto":
        response.delete_cookie(name, samesite="Lax")
    else:
        age = settings.LANGUAGE_COOKIE_AGE
        response.set_cookie(name, form.cleaned_data["language"], max_age=age, samesite="Lax", secure=request.is_secure())
    return response


def _back(request: HttpRequest, form: ThemeForm | LanguageForm) -> str:
    """Where the choice was made, unless that is another server."""
    target: str = form.cleaned_data["next"]
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if safe and target.startswith("/") else reverse("stores:overview")
