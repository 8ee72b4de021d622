"""What all routes share: the token, problems as application/problem+json, keys in addresses, shapes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError
from ninja.security import HttpBearer

from stores.errors import BadConfig, Conflict, StoreError
from stores.models import ApiToken, Store
from stores.registry import find_store
from stores.services import keytokens, tokens
from stores.services.actor import Actor
from stores.services.rows import Row, json_row

PROBLEM = "application/problem+json"


class Problem(Schema):
    """RFC 9457. `code` is stable; `field` names the input at fault; `current` is the key as it is now, on a conflict."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    fix: str = ""
    field: str = ""
    current: dict[str, Any] | None = None


PROBLEMS: dict[int, Any] = {
    400: Problem, 401: Problem, 403: Problem, 404: Problem, 405: Problem, 409: Problem, 412: Problem, 422: Problem, 429: Problem,
    502: Problem, 503: Problem,
}  # fmt: skip


class ApiRequest(HttpRequest):
    """A request after its token was accepted."""

    auth: ApiToken


class Token(HttpBearer):
    """`Authorization: Bearer kva_...`. Wrong tokens answer 401, used-up ones 429."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        return tokens.find(token)


def actor(request: ApiRequest) -> Actor:
    """The token's owner, through the API."""
    return tokens.actor_of(request.auth, request.META.get("REMOTE_ADDR") or None)


def allowed_store(request: ApiRequest, store_id: str, scope: str) -> Store:
    """The store of an address, after the checks of scope and of the token's stores. Unknown ids are 404."""
    tokens.require(request.auth, scope, store_id)
    return find_store(store_id)


def key_of(token: str) -> bytes:
    """The key of an address: unpadded base64url, `-` for the empty key, or the sealed text of a masked one."""
    return keytokens.key_of(token)


def shown(row: Row) -> dict[str, Any]:
    """A key as the API answers it: as `keys --json`, but codes and secret values masked, plus `key` for addresses and `etag`."""
    body = json_row(row)
    secret_key, secret_value = row.decoded.secret_key, row.decoded.secret_value
    key = keytokens.SealedKey(row.entry.key) if secret_key else row.entry.key
    if secret_key:
        body["key_hex"] = None
    if secret_value:
        body["value_hex"] = None
        body["fields"].pop("row_hex", None)
    return {
        "key": keytokens.token_of(key),
        **body,
        "value_label": row.decoded.value_label,
        "masked": secret_key or secret_value,
        "etag": row.entry.etag,
    }


def problem(error: StoreError) -> tuple[int, dict[str, Any]]:
    """Status and body of an error."""
    status = 412 if isinstance(error, Conflict) and getattr(error, "precondition", False) else error.status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "fix": error.fix,
        "field": error.field if isinstance(error, BadConfig) else "",
    }
    return status, body


def install_problems(api: NinjaAPI) -> None:
    """Every error of the API as a problem document."""

    @api.exception_handler(StoreError)
    def store_error(request: HttpRequest, error: StoreError) -> HttpResponse:
        status, body = problem(error)
        return _answer(api, request, body, status)

    @api.exception_handler(ValidationError)
    def validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
        first = error.errors[0] if error.errors else {}
        where = ".".join(str(part) for part in first.get("loc", ())[1:])
        detail = str(first.get("msg", "The input is not valid."))
        return _answer(api, request, _body(422, detail, "bad-input", field=where), 422)

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        code = "unauthorized" if error.status_code == 401 else "bad-request"
        response = _answer(api, request, _body(error.status_code, str(error), code), error.status_code)
        if error.status_code == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


def _body(status: int, detail: str, code: str, field: str = "") -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "fix": "",
        "field": field,
    }


def _answer(api: NinjaAPI, request: HttpRequest, body: dict[str, Any], status: int) -> HttpResponse:
    response = api.create_response(request, body, status=status)
    response["Content-Type"] = PROBLEM
    return response
