"""Static stores published under a token, and as a TOML file."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers, get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stores.errors import BadConfig
from stores.models import Store
from stores.services import publishing
from stores.services.permissions import Permission
from stores.services.tokens import TooMany
from stores.views.common import actor_of, go, needs, show, store_page

TEMPLATE = "stores/publish.html"
TYPES = {"list": "text/plain; charset=utf-8", "csv": "text/csv; charset=utf-8"}


@require_http_methods(["GET", "HEAD", "POST"])
@store_page
@needs(Permission.CONFIGURE)
def publish(request: HttpRequest, store: Store) -> HttpResponse:
    """GET lists the addresses; POST makes one and shows it, this once and never again."""
    context: dict[str, Any] = {"store": store, "why": publishing.why_not(store)}
    status = 200
    if request.method == "POST":
        try:
            made, token = publishing.add(actor_of(request), store, request.POST.get("form", ""))
            context |= {"made": made, "url": request.build_absolute_uri(reverse("stores:published", args=[token]))}
        except BadConfig as error:
            context["error"], status = error, 422
    if not context["why"]:
        context |= {"publications": publishing.listed(store), "now": {form: publishing.published(store, form) for form in TYPES}}
    response = show(request, TEMPLATE, context, status=status)
    add_never_cache_headers(response)
    return response


@require_POST
@store_page
@needs(Permission.CONFIGURE)
def revoke(request: HttpRequest, store: Store, publication_id: int) -> HttpResponse:
    """End an address; whoever reads it gets 404 from now on."""
    found = publishing.revoke(actor_of(request), store, publication_id)
    return go(
        request, reverse("stores:publish", args=[store.pk]), _("The address that ends in %(hint)s is revoked.") % {"hint": found.hint}
    )


@require_safe
@store_page
def toml(request: HttpRequest, store: Store) -> HttpResponse:
    """The store as a file for Stalwart's configuration; what could not be said is named in comments."""
    written = publishing.toml(store)
    text = "".join(f"# Left out: {line}\n" for line in written.left_out) + written.text
    name = quote(f"{store.pk}.toml", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return HttpResponse(text, content_type="application/toml; charset=utf-8", headers=headers)


@login_not_required
@require_safe
def published(request: HttpRequest, token: str) -> HttpResponse:
    """The list itself, for whoever has the address."""
    try:
        found = publishing.find(token)
    except TooMany as error:
        return _refused(429, str(error), {"Retry-After": "60"})
    if found is None:
        return _refused(404, _("There is no list at this address."), {})
    body = publishing.published(found.store, found.form).body
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    response = HttpResponse(body, content_type=TYPES[found.form], headers={"ETag": etag, "Cache-Control": "private, no-cache"})
    return get_conditional_response(request, etag=etag, response=response) or response


def _refused(status: int, text: str, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers)
