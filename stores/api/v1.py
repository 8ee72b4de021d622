"""Puts the routes together."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.urls import URLPattern
from ninja import NinjaAPI
from ninja.security import django_auth

from stores.api import history, keys, stores
from stores.api.base import Token, install_problems

api = NinjaAPI(
    title="kvadmin",
    version="1",
    urls_namespace="api-v1",
    docs_url=None,
    openapi_url=None,
    auth=Token(),
    description="Keys, counts, purges and lookups of Stalwart's in-memory stores. Errors are application/problem+json.",
)
install_problems(api)


@api.get("/openapi.json", include_in_schema=False, auth=[Token(), django_auth])
def openapi(request: HttpRequest) -> dict[str, Any]:
    """The schema, for a token or a signed-in browser."""
    return dict(api.get_openapi_schema())


api.add_router("/stores", stores.router)
api.add_router("/stores", keys.router)
api.add_router("", history.router)


def urls() -> tuple[Any, str, str]:
    """Patterns, app name and namespace for `path`; they ask for a token, so the login page is not theirs."""
    patterns, app, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            login_not_required(pattern.callback)
    return patterns, app, namespace
