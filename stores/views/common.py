"""What every page shares: the store of the address, the actor, page or fragment, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from stores.errors import ReadOnly, StoreError
from stores.models import Store
from stores.registry import find_store
from stores.services import audit
from stores.services.actor import PAGE, Actor
from stores.services.permissions import Permission, require, require_somewhere

P = ParamSpec("P")


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in user with its rights, and the client's address."""
    return Actor.of_user(request.user, PAGE, request.META.get("REMOTE_ADDR") or None)


def wants_fragment(request: HttpRequest) -> bool:
    """Whether the request came from a part of the page that replaces itself."""
    htmx = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def show(request: HttpRequest, template: str, context: Mapping[str, Any], *, fragment: str = "", status: int = 200) -> HttpResponse:
    """The whole page, or the named part of the same template for a request that replaces just that part."""
    name = f"{template}#{fragment}" if fragment and wants_fragment(request) else template
    response = render(request, name, dict(context), status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def posted(request: HttpRequest) -> QueryDict | None:
    """What a POST sent, also when that is nothing at all; None for other methods, so that a form stays blank."""
    return request.POST if request.method == "POST" else None


def go(request: HttpRequest, target: str | Any, message: str = "", level: int = messages.SUCCESS) -> HttpResponse:
    """After a plain POST: say what was done on the page that comes next."""
    if message:
        messages.add_message(request, level, message)
    response = redirect(target)
    if wants_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
    assert isinstance(response, HttpResponseRedirect)
    response.status_code = 303
    return response


def error_page(request: HttpRequest, error: StoreError, store: Store | None = None) -> HttpResponse:
    """The designed page of an error; for a fragment the notice, put above the page so that no input is lost."""
    context = {"error": error, "store": store, "retry": request.get_full_path() if request.method == "GET" else ""}
    response = show(request, "stores/error.html", context, fragment="notice", status=error.status)
    if wants_fragment(request):
        response["HX-Retarget"] = "#notice"
        response["HX-Reswap"] = "innerHTML show:window:top"
    return response


def page(view: Callable[Concatenate[HttpRequest, P], HttpResponse]) -> Callable[..., HttpResponse]:
    """A view of no particular store, with StoreErrors as pages."""

    @wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except StoreError as error:
            _on_record(request, error, None)
            return error_page(request, error)

    return inner


def needs(permission: Permission, anywhere: bool = False) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Below `page` or `store_page`: for a page that is of no use without the permission, in its store, or in any with `anywhere`."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            store = args[0] if args and isinstance(args[0], Store) else None
            if anywhere:
                require_somewhere(actor_of(request), permission)
            else:
                require(actor_of(request), permission, store)
            return view(request, *args, **kwargs)

        return inner

    return decorate


def store_page(
    view: Callable[Concatenate[HttpRequest, Store, P], HttpResponse],
) -> Callable[..., HttpResponse]:
    """A view of one store: looks the definition up by the id of the address. Unknown ids are a 404 page."""

    @wraps(view)
    def inner(request: HttpRequest, store_id: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        store = None
        try:
            store = find_store(store_id)
            return view(request, store, *args, **kwargs)
        except StoreError as error:
            _on_record(request, error, store)
            return error_page(request, error, store)

    return inner


def _on_record(request: HttpRequest, error: StoreError, store: Store | None) -> None:
    """A change that a switch forbids is an attempt that was refused. What the account may not do is on record already."""
    if isinstance(error, ReadOnly) and request.method == "POST" and request.user.is_authenticated:
        name = request.resolver_match.url_name if request.resolver_match else ""
        audit.refused(actor_of(request), name or "change", store or "", error)
