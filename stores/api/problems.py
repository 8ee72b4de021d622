"""Every error of the API as application/problem+json, also those that Django and the router answer themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from stores.errors import BadConfig, StoreError

PROBLEM: Final = "application/problem+json"
CODES: Final = {400: "bad-request", 401: "unauthorized", 404: "no-such-route", 405: "method-not-allowed", 413: "too-large"}

View = Callable[..., HttpResponseBase]


def document(status: int, detail: str, code: str, fix: str = "", field: str = "") -> dict[str, Any]:
    """RFC 9457, with `code`, `fix` and `field`."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code, "fix": fix, "field": field}


def answer(status: int, detail: str, code: str = "", fix: str = "", field: str = "") -> HttpResponse:
    """The problem as a response, with the headers that its status asks for."""
    body = document(status, detail, code or CODES.get(status, "error"), fix, field)
    response = JsonResponse(body, status=status, content_type=PROBLEM)
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 429:
        response["Retry-After"] = "60"
    return response


def install(api: NinjaAPI) -> None:
    """Have the API answer its errors as problems."""

    @api.exception_handler(StoreError)
    def store_error(request: HttpRequest, error: StoreError) -> HttpResponse:
        return answer(error.status, error.message, error.code, error.fix, error.field if isinstance(error, BadConfig) else "")

    @api.exception_handler(ValidationError)
    def validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
        first = error.errors[0] if error.errors else {}
        where = [str(part) for part in first.get("loc", ())[1:]]
        field = ".".join(where[1:] if where and where[0] == "body" else where)
        return answer(422, f"{field}: {first.get('msg', 'the input is not valid')}".removeprefix(": "), "bad-input", field=field)

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        return answer(error.status_code, str(error))

    @api.exception_handler(RequestDataTooBig)
    def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return answer(413, "The request is too large.", fix="Send it in parts.")


def no_route(request: HttpRequest, **_: str) -> HttpResponse:
    """An address under the API that none of its routes has."""
    return answer(404, "The API has no such route.", fix="GET openapi.json lists all of them.")


def refusing(view: View) -> View:
    """A route whose answer to a method that it does not have is a problem too, and whose answers nobody on the way keeps."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        if response.status_code != 405:
            return response
        refused = answer(405, f"This route does not take {request.method}.")
        if "Allow" in response:
            refused["Allow"] = response["Allow"]
        return refused

    return inner
