"""API tokens: made once, kept as digests, checked and counted on each request."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from stores.errors import BadConfig, Forbidden, KeyNotFound, StoreError
from stores.models import ApiToken
from stores.registry import visible_stores
from stores.services import audit, held_up
from stores.services.actor import Actor, rights_of
from stores.services.permissions import Permission, allows
from stores.services.permissions import require as require_permission
from stores.services.rights import Rights, of_scopes
from stores.texts import say

PREFIX: Final = "kva_"
SCOPES: Final = ("read", "edit", "purge", "admin")
PER_MINUTE: Final = 600
"""Requests a token may make in a minute unless KVADMIN_API_RATE says otherwise."""
API: Final = "api"
_OF_SCOPE: Final = {"read": Permission.VIEW, "edit": Permission.EDIT, "purge": Permission.PURGE, "admin": Permission.CONFIGURE}


class NotAllowed(Forbidden):
    """The token is good, but not for this."""

    code = "not-allowed"


class TooMany(StoreError):
    """The token has used up its minute."""

    code = "too-many-requests"
    status = 429


def issue(
    actor: Actor,
    name: str,
    scopes: Sequence[str],
    stores: Sequence[str] = (),
    expires_at: datetime | None = None,
    *,
    made_with: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """A new token of the actor's and its secret, which is not kept. One that a token makes may no more than that, and ends with it.

    Raises BadConfig that names the field, NotAllowed through the API without `made_with`.
    """
    if not name.strip():
        raise BadConfig(say("A token needs a name."), say("Say what will use it."), "name")
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise BadConfig(say("A token needs scopes out of %(names)s.", names=", ".join(SCOPES)), say("Choose at least one."), "scopes")
    unknown = set(stores) - set(visible_stores().filter(pk__in=stores).values_list("pk", flat=True))
    if unknown:
        raise BadConfig(say("There is no store %(unknown)s.", unknown=sorted(unknown)[0]), say("Choose stores that are defined."), "stores")
    if expires_at is not None and expires_at <= timezone.now():
        raise BadConfig(say("The token would have expired already."), say("Choose a later time."), "expires_at")
    if actor.user_id is None:
        raise BadConfig(say("A token belongs to an account."), say("Make it signed in."), "owner")
    if actor.via == API and made_with is None:
        raise NotAllowed(say("A token cannot make tokens."), say("Make it on the page, signed in."))
    if made_with is not None:
        _within(made_with, scopes, stores, expires_at)
    require_permission(actor, Permission.VIEW)
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            name=name.strip()[:80],
            owner_id=actor.user_id,
            digest=_digest(secret),
            hint=secret[-4:],
            scopes=[scope for scope in SCOPES if scope in scopes],
            stores=sorted(stores),
            expires_at=expires_at,
            made_with=made_with,
        )
        audit.record(actor, "token-add", after={"token": token.name, "scopes": token.scopes, "stores": token.stores})
    return token, secret


def _within(maker: ApiToken, scopes: Sequence[str], stores: Sequence[str], expires_at: datetime | None) -> None:
    """Raise BadConfig that names the field where a new token would be worth more than the one that makes it."""
    fix = say("A token makes tokens that may no more than itself. Make this one on the page, signed in.")
    if beyond := [scope for scope in scopes if scope not in maker.scopes and "admin" not in maker.scopes]:
        raise BadConfig(say("This token lacks the scope %(scope)s.", scope=beyond[0]), fix, "scopes")
    if maker.stores and not (stores and set(stores) <= set(maker.stores)):
        raise BadConfig(say("This token is limited to %(stores)s.", stores=", ".join(maker.stores)), fix, "stores")
    if maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at):
        raise BadConfig(say("This token ends before that."), fix, "expires_at")


def revoke(actor: Actor, token_id: int) -> ApiToken:
    """End a token for good, and those that were made with it; those of others only as an administrator.

    Raises KeyNotFound; ending it twice changes nothing.
    """
    token = ApiToken.objects.filter(pk=token_id).first()
    if token is None or (token.owner_id != actor.user_id and not allows(actor, Permission.ADMIN)):
        raise KeyNotFound(say("There is no such token."))
    if token.revoked_at is None:
        with audit.together():
            _end(actor, token)
    return token


def _end(actor: Actor, token: ApiToken) -> None:
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    audit.record(actor, "token-revoke", before={"token": token.name})
    for made in token.made.filter(revoked_at=None):
        _end(actor, made)


def listed(actor: Actor) -> list[ApiToken]:
    """The actor's tokens, for an administrator those of everybody; newest first, ended ones included."""
    found = ApiToken.objects.select_related("owner", "made_with")
    return list(found if allows(actor, Permission.ADMIN) else found.filter(owner=actor.user_id))


def find(secret: str, address: str | None = None) -> ApiToken | None:
    """The living token of a secret whose owner may sign in, or None. Two queries, one a day more to note the use.

    Raises TooMany for a token that has used up its minute, which is on record with the address.
    """
    if not secret.startswith(PREFIX) or len(secret) > 100:
        return None
    token = ApiToken.objects.select_related("owner__account").filter(digest=_digest(secret), revoked_at=None, owner__is_active=True).first()
    if token is None or (token.expires_at is not None and token.expires_at <= timezone.now()):
        return None
    try:
        _count(token)
    except TooMany:
        held_up.note(actor_of(token, address), str(token.pk), "token", token=token.name, limit=per_minute())
        raise
    return token


def rights(token: ApiToken) -> Rights:
    """What the owner may do now, cut to the scopes and stores of the token."""
    return rights_of(token.owner).cut(of_scopes(token.scopes), frozenset(token.stores) or None)


def actor_of(token: ApiToken, address: str | None) -> Actor:
    """The owner, acting through the token."""
    return Actor(f"{token.owner.get_username()} ({token.name})"[:150], API, token.owner_id, address, rights(token))


def require(token: ApiToken, scope: str, store_id: str = "") -> None:
    """Raise NotAllowed when the token lacks the scope (admin has all), may not touch the store, or its owner may not.

    Without a store the owner needs the right in any, for the scope admin in all: the services ask again for the stores at hand.
    """
    if scope not in token.scopes and "admin" not in token.scopes:
        raise NotAllowed(say("This token lacks the scope %(scope)s.", scope=scope), say("Use a token that has it."))
    if store_id and token.stores and store_id not in token.stores:
        raise NotAllowed(say("This token may not touch the store %(store_id)s.", store_id=store_id), say("Use a token for that store."))
    owner, wanted = rights_of(token.owner), _OF_SCOPE[scope]
    if not owner.sight().sees(store_id):
        return  # whoever looks for the store does not find it
    if not (owner.has(wanted, store_id) if store_id else owner.has(wanted) if scope == "admin" else owner.anywhere(wanted)):
        raise Forbidden(say("The owner of this token may not do that."), say("An administrator can give the account a higher role."))


def per_minute() -> int:
    """Requests that a token may make in a minute."""
    return int(getattr(settings, "KVADMIN_API_RATE", PER_MINUTE))


def _count(token: ApiToken) -> None:
    """Count the request in its minute, shared by all processes through the database. Raises TooMany."""
    minute = int(time.time() // 60)
    limit = per_minute()
    mine = ApiToken.objects.filter(pk=token.pk)
    if mine.filter(window=minute, used__gte=limit).exists():
        raise TooMany(say("This token may make %(limit)s requests a minute.", limit=limit), say("Wait for the next minute."))
    now = timezone.now()
    fresh = {"last_used_at": now} if token.last_used_at is None or now - token.last_used_at > timedelta(seconds=30) else {}
    changed = mine.filter(window=minute).update(used=models.F("used") + 1, **fresh)
    if not changed:
        mine.exclude(window=minute).update(window=minute, used=1, last_used_at=now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
