"""What all routes share: the token, what it may touch, keys in addresses, shapes of input and output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal

from django.http import HttpRequest
from ninja import Field, Schema
from ninja.security import HttpBearer
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from stores.api import throttle
from stores.errors import BadConfig
from stores.models import ApiToken, Store
from stores.registry import find_store, visible_stores
from stores.services import keytokens, tokens
from stores.services.actor import Actor
from stores.services.rows import Row, json_row

RowKind = Literal["value", "counter", "lock", "unknown"]


class Problem(Schema):
    """RFC 9457. `code` is stable; `fix` says what to do; `field` names the input at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    fix: str = ""
    field: str = ""


PROBLEMS: dict[int, Any] = dict.fromkeys((400, 401, 403, 404, 405, 409, 412, 413, 422, 428, 429, 502, 503), Problem)  # fmt: skip
"""What any route may answer besides its result."""


def does(scope: str, result: Any, summary: str, status: int = 200) -> dict[str, Any]:
    """How a route describes itself: the scope that a token needs for it, what it answers, and what it does in a line."""
    return {"response": {status: result, **PROBLEMS}, "by_alias": True, "summary": summary, "openapi_extra": {"x-scope": scope}}


def gives_file(scope: str, summary: str, *types: str) -> dict[str, Any]:
    """The same for a route that answers a file of one of these content types, streamed."""
    content = {name: {"schema": {"type": "string"}} for name in types}
    extra = {"x-scope": scope, "responses": {200: {"content": content}}}
    return {"response": {200: Any, **PROBLEMS}, "summary": summary, "openapi_extra": extra}


class Body(BaseModel):
    """What a route takes: a name that it does not know and a value of another type are refused, not passed over."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


def _printable(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


Text = Annotated[str, AfterValidator(_printable)]
"""A text that every database can keep."""
Name = Annotated[str, Field(max_length=191), AfterValidator(_printable)]
StoreId = Annotated[str, Field(min_length=1, max_length=191, pattern=r"^[^\x00-\x20/\\?#%\x7f]+$")]
Address = Annotated[str, Field(max_length=300, pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/@]+"), AfterValidator(_printable)]
"""Of a server, without a login in it."""
KeyToken = Annotated[str, Field(max_length=65_536, pattern=r"^(-|~?[A-Za-z0-9_-]+)$")]
"""A key as it stands in addresses: unpadded base64url, `-` for the empty key, sealed where it begins with `~`."""
Cursor = Annotated[str, Field(max_length=65_536)]


def integral(value: Any) -> Any:
    """JSON has one kind of number: 4.0 is the integer 4."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(integral)
Number = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1), WHOLE]
"""A counter: signed 64 bits."""
Serial = Annotated[int, Field(ge=0, le=(1 << 62)), WHOLE]
"""A number that kvadmin has given to something."""
Instant = Annotated[int, Field(ge=0, le=253_402_300_799), WHOLE]
"""Unix seconds, up to the year 9999."""
Reference = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
"""A UUID."""
Scope = Literal["read", "edit", "purge", "admin"]


class KeyOut(Schema):
    key: str
    """For addresses: unpadded base64url, `-` for the empty key, sealed where the key is secret."""
    key_hex: str | None
    kind: RowKind
    class_: str | None = Field(alias="class")
    """Slug of the key class, null for user keys."""
    value_hex: str | None
    counter: int | None
    expires_at: int | None
    expired: bool
    label: str
    value_label: str
    fields: dict[str, Any]
    masked: bool
    etag: str


class ApiRequest(HttpRequest):
    """A request after its token was accepted."""

    auth: ApiToken


Known = Callable[[str, str], frozenset[str]]
"""Method and route of a request -> the query parameters that it takes."""


class Token(HttpBearer):
    """`Authorization: Bearer kva_...`. Wrong tokens answer 401, used-up ones 429, parameters that the route does not have 422."""

    def __init__(self, known: Known, scope: Callable[[str, str], str]) -> None:
        super().__init__()
        self.known, self.scope = known, scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        throttle.require_patience(request)
        found = tokens.find(token, request.META.get("REMOTE_ADDR") or None)
        if found is None:
            throttle.wrong(request)
            return None
        request.rights = tokens.rights(found)  # type: ignore[attr-defined]  # read by the middleware that hides stores
        route = request.method or "", request.resolver_match.route if request.resolver_match else ""
        _require_scope(request, found, self.scope(*route))
        known = self.known(*route)
        if unknown := sorted(set(request.GET) - known):
            takes = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
            raise BadConfig(f'The route has no parameter "{unknown[0][:40]}".', takes, unknown[0][:40])
        return found


def _require_scope(request: HttpRequest, token: ApiToken, scope: str) -> None:
    """Before anything of the request is read: the scope that the route declares, of the token and of its owner's role."""
    store_id = str(request.resolver_match.kwargs.get("store_id", "")) if request.resolver_match else ""
    if scope in tokens.SCOPES:
        tokens.require(token, scope, store_id)
    if not tokens.rights(token).sight().sees(store_id):
        find_store(store_id)  # a store without access is not found


def actor(request: ApiRequest) -> Actor:
    """The token's owner, through the API."""
    return tokens.actor_of(request.auth, request.META.get("REMOTE_ADDR") or None)


def allowed_store(request: ApiRequest, store_id: str, scope: str) -> Store:
    """The store of an address, after the checks of scope and of the token's stores. Unknown ids are 404."""
    tokens.require(request.auth, scope, store_id)
    return find_store(store_id)


def whole(request: ApiRequest, scope: str) -> None:
    """For what is about no single store: a token that is limited to some may not. Raises NotAllowed."""
    tokens.require(request.auth, scope)
    if request.auth.stores:
        raise tokens.NotAllowed("This token is limited to single stores.", "Use a token for all stores.")


def one_or_all(request: ApiRequest, scope: str, store: str) -> None:
    """For a list that may be narrowed to one store: a token that is limited to some has to narrow it."""
    tokens.require(request.auth, scope, store)
    if request.auth.stores and not store:
        raise BadConfig("This token sees single stores only.", "Name the store.", "store")


def asked_stores(request: ApiRequest, store: str) -> list[Store]:
    """The switched-on stores that a search covers: the one that is named, else all that the token may read."""
    tokens.require(request.auth, "read", store)
    if store:
        return [find_store(store)]
    return list(visible_stores().filter(enabled=True))


def key_of(token: str) -> bytes:
    """The key of an address: unpadded base64url, `-` for the empty key, or the sealed text of a masked one."""
    return keytokens.key_of(token)


def shown(row: Row) -> dict[str, Any]:
    """A key as the API answers it: as `keys --json`, but codes and secret values masked, plus `key` for addresses and `etag`."""
    return masked(json_row(row), row) | {"value_label": row.decoded.value_label, "etag": row.entry.etag}


def masked(body: dict[str, Any], row: Row) -> dict[str, Any]:
    """A shape that is built on `json_row`, without the bytes of secrets, and with `key` and `masked`."""
    secret_key, secret_value = row.decoded.secret_key, row.decoded.secret_value
    if secret_key:
        body["key_hex"] = None
    if secret_value:
        body["value_hex"] = None
    if secret_key or secret_value:
        body["fields"].pop("row_hex", None)
    return {"key": key_token(row), **body, "masked": secret_key or secret_value}


def key_token(row: Row) -> str:
    """What stands for the key of a row in addresses; sealed where the key is a secret."""
    return keytokens.token_of(keytokens.SealedKey(row.entry.key) if row.decoded.secret_key else row.entry.key)
