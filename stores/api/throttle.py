"""Guessing of tokens: wrong ones are counted by address, for all processes together; beyond the limit nothing is looked up for a while."""

from __future__ import annotations

from typing import Final

from allauth.core.internal import ratelimit
from django.core.cache import cache
from django.http import HttpRequest

from stores.services import audit
from stores.services.actor import Actor
from stores.services.tokens import API, TooMany
from stores.texts import say

WRONG_PER_MINUTE: Final = 30
WAIT_SECONDS: Final = 60
_ACTION: Final = "api_token"


def require_patience(request: HttpRequest) -> None:
    """Raise TooMany while the address of the request has to wait. One short query."""
    if cache.get(_name(request)):
        raise TooMany(say("Too many wrong tokens came from this address."), say("Wait a minute, and check the token."))


def wrong(request: HttpRequest) -> None:
    """Count a wrong token; the first one too many makes the address wait, and is on record."""
    rates = {_ACTION: f"{WRONG_PER_MINUTE}/m/ip"}
    if ratelimit.consume(request, app="stores", action=_ACTION, config=rates, limit_get=True) is not None:
        return
    if cache.add(_name(request), True, WAIT_SECONDS):
        actor = Actor("nobody", API, None, request.META.get("REMOTE_ADDR") or None)
        audit.record(actor, "token", after={"why": "too many wrong tokens"}, outcome=audit.REFUSED)


def _name(request: HttpRequest) -> str:
    return f"stores:api:waits:{ratelimit.get_ip(request)}"
