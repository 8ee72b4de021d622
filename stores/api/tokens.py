"""Tokens: which there are, making and ending one. What a token makes may no more than itself, and ends with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from ninja import Field, Router, Schema, Status

from stores.api.base import ApiRequest, Body, Instant, Name, Scope, Serial, Text, actor, does
from stores.models import ApiToken
from stores.services import tokens
from stores.services.rights import Permission

router = Router(tags=["tokens"])


class TokenOut(Schema):
    """`hint`: the last characters of the secret, which itself is not kept. `stores` empty: all."""

    id: int
    name: str
    owner: str
    hint: str
    scopes: list[str]
    stores: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    made_with: int | None
    """The token that made it."""


class MadeOut(TokenOut):
    """`secret` is answered this once and kept nowhere."""

    secret: str


class TokenIn(Body):
    """No more than the token that asks: its scopes, its stores, its end."""

    name: Annotated[Text, Field(min_length=1, max_length=80, pattern=r"\S")]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    stores: Annotated[list[Name], Field(max_length=1000)] = []
    expires_at: Instant | None = None


class MeOut(TokenOut):
    """`permissions`: what the token allows here and now, cut to its owner's role."""

    permissions: list[str]
    per_minute: int
    used: int


@router.get("/token", **does("read", MeOut, "The token that asks, and what it may do"))
def get_own(request: ApiRequest) -> dict[str, Any]:
    tokens.require(request.auth, "read")
    token = ApiToken.objects.select_related("owner").get(pk=request.auth.pk)
    rights = tokens.rights(request.auth)
    allowed = sorted(permission.value for permission in Permission if rights.anywhere(permission))
    return _token(token) | {"permissions": allowed, "per_minute": tokens.per_minute(), "used": token.used}


@router.get("/tokens", **does("admin", list[TokenOut], "All tokens of the owner, for an administrator those of everybody"))
def list_tokens(request: ApiRequest) -> list[dict[str, Any]]:
    tokens.require(request.auth, "admin")
    return [_token(token) for token in tokens.listed(actor(request))]


@router.post("/tokens", **does("admin", MadeOut, "Make a token; its secret is answered this once", 201))
def make_token(request: ApiRequest, body: TokenIn) -> Status[dict[str, Any]]:
    """It is the owner's of the token that asks. One with `expires_at` in Unix seconds ends then."""
    tokens.require(request.auth, "admin")
    until = None if body.expires_at is None else datetime.fromtimestamp(body.expires_at, UTC)
    token, secret = tokens.issue(actor(request), body.name, body.scopes, body.stores, until, made_with=request.auth)
    return Status(201, _token(token) | {"secret": secret})


@router.post("/tokens/{token_id}/revoke", **does("admin", TokenOut, "End a token for good, and those that it made"))
def revoke_token(request: ApiRequest, token_id: Serial) -> dict[str, Any]:
    tokens.require(request.auth, "admin")
    return _token(tokens.revoke(actor(request), token_id))


@router.delete("/token", **does("read", None, "End the token that asks", 204))
def revoke_own(request: ApiRequest) -> Status[None]:
    """For whoever has found it in the wrong place."""
    tokens.require(request.auth, "read")
    tokens.revoke(actor(request), request.auth.pk)
    return Status(204, None)


def _token(token: ApiToken) -> dict[str, Any]:
    names = ("name", "hint", "scopes", "stores", "created_at", "expires_at", "last_used_at", "revoked_at")
    return {
        "id": token.pk,
        "made_with": token.made_with_id,
        "owner": token.owner.get_username(),
        **{name: getattr(token, name) for name in names},
    }
