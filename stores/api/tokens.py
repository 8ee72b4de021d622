"""Tokens: which there are, and ending one. They are made on a page, signed in: a token cannot make tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Router, Schema, Status

from stores.api.base import ApiRequest, Serial, actor, does
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


@router.post("/tokens/{token_id}/revoke", **does("admin", TokenOut, "End a token for good"))
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
    return {"id": token.pk, "owner": token.owner.get_username(), **{name: getattr(token, name) for name in names}}
