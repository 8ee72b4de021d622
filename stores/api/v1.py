"""Puts the routes together."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.security import django_auth

from stores.api import (
    accounts,
    alerts,
    audit,
    bulk,
    configuration,
    counts,
    keyfiles,
    keys,
    lookups,
    mailserver,
    overview,
    problems,
    purges,
    runs,
    spam,
    stores,
    subjects,
    tables,
    tokens,
    trash,
)
from stores.api.base import Token
from stores.api.describe import corrected, parameters, scopes
from stores.api.docs import docs
from stores.api.parsing import StrictParser

PREFIX: Final = "/api/v1/"


def _known(method: str, route: str) -> frozenset[str]:
    return _parameters().get((method, route.strip("/")), frozenset())


@cache
def _parameters() -> dict[tuple[str, str], frozenset[str]]:
    return parameters(schema())


def _scope(method: str, route: str) -> str:
    return _scopes().get((method, route.strip("/")), "")


@cache
def _scopes() -> dict[tuple[str, str], str]:
    return scopes(schema())


token = Token(_known, _scope)
api = NinjaAPI(
    title="kvadmin",
    version="1",
    urls_namespace="api-v1",
    docs_url=None,
    openapi_url=None,
    auth=token,
    parser=StrictParser(),
    description="Keys, counts, purges and lookups of Stalwart's in-memory stores. Errors are application/problem+json.",
)
problems.install(api)


@api.get("/openapi.json", include_in_schema=False, auth=[token, django_auth])
def openapi(request: HttpRequest) -> dict[str, Any]:
    """The schema, for a token or a signed-in browser."""
    return schema()


ROUTERS = (
    overview, stores, keys, bulk, keyfiles, counts, purges, runs, trash, subjects, spam, tables, lookups, alerts, audit, tokens, accounts,
    mailserver, configuration,
)  # fmt: skip
for module in ROUTERS:
    api.add_router("", module.router)


def schema() -> dict[str, Any]:
    """The OpenAPI document of all routes."""
    return corrected(api.get_openapi_schema(path_prefix=PREFIX))


no_route = csrf_exempt(login_not_required(problems.no_route))


def urls() -> tuple[Any, str, str]:
    """Patterns, app name and namespace for `path`; they ask for a token, so the login page is not theirs."""
    patterns, app, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            pattern.callback = login_not_required(problems.refusing(pattern.callback))
    page = path("docs", docs, {"document": schema, "prefix": PREFIX}, name="docs")
    rest = [page, path("", no_route), path("<path:rest>", no_route)]
    return [*patterns, *rest], app, namespace
