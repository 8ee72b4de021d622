"""Tokens of the JSON API: made, listed, revoked; and what the API offers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from stores.errors import BadConfig
from stores.forms.tokens import TokenForm
from stores.services import tokens as service
from stores.views.common import actor_of, go, page, show
from stores.views.confirm import freshly_confirmed

TEMPLATE = "stores/tokens.html"


@require_http_methods(["GET", "HEAD", "POST"])
@freshly_confirmed
@page
def tokens(request: HttpRequest) -> HttpResponse:
    """GET lists; POST makes one and shows its secret, this once and never again."""
    form = TokenForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    status = 200
    if request.method == "POST":
        context |= _made(request, form)
        status = 200 if "secret" in context else 422
    context |= {"tokens": service.listed(actor_of(request)), "base": request.build_absolute_uri("/api/v1/")}
    response = show(request, TEMPLATE, context, status=status)
    add_never_cache_headers(response)
    return response


def _made(request: HttpRequest, form: TokenForm) -> dict[str, Any]:
    if not form.is_valid():
        return {}
    data = form.cleaned_data
    try:
        token, secret = service.issue(actor_of(request), data["name"], data["scopes"], data["stores"], data["expires_at"])
    except BadConfig as error:
        form.blame(error)
        return {}
    return {"made": token, "secret": secret, "form": TokenForm()}


@require_POST
@freshly_confirmed
@page
def token_revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """End a token; what uses it gets 401 from now on."""
    token = service.revoke(actor_of(request), token_id)
    return go(request, "stores:tokens", _("The token %(token)s is revoked.") % {"token": token.name})
