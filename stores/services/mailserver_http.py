"""One request to a mail server's management API: bounded in time and size, without redirects, with errors that say what to do."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from stores.backends.httpwire import Limits, checked, exchange
from stores.errors import BadConfig, StoreError, StoreRefused, StoreUnavailable
from stores.models import MailServer
from stores.texts import say

TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 8 << 20
PIECE: Final = 65_536


class LoginRefused(StoreRefused):
    """The server does not know the credential (401)."""


class NotAllowed(StoreRefused):
    """The account may not do that (403)."""


class NoSuchThing(StoreRefused):
    """The server has no such address (404)."""


class Unusable(StoreRefused):
    """What answers is not the management interface: a redirect, too large an answer, or no JSON."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request, or of several that share a deadline. `deadline` in monotonic seconds; None: ten seconds from now."""

    deadline: float | None = None
    allow_private: bool = True
    """Whether addresses of this machine and of private networks may be reached."""
    private_fix: str = say("Give another address.")
    most_bytes: int = MOST_BYTES


DEFAULT_BOUNDS: Final = Bounds()


def request(server: MailServer, method: str, path: str, body: object = None, bounds: Bounds = DEFAULT_BOUNDS) -> Any:
    """The JSON of the answer. Blocks up to the deadline.

    Raises StoreUnavailable, StoreRefused (as LoginRefused, NotAllowed, NoSuchThing or Unusable where it is one), BadConfig (address).
    """
    host, _, _, _ = address_of(server.url)
    payload = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": _authorization(server), "Accept": "application/json", "Content-Type": "application/json"}
    began = time.monotonic()
    deadline = began + TIMEOUT_SECONDS if bounds.deadline is None else bounds.deadline
    limits = Limits(max(1.0, round(deadline - began)), bounds.allow_private, bounds.private_fix, server.allow_invalid_certs)
    parts = checked(server.url.strip().rstrip("/") + path)
    raw = bytearray()
    with exchange(parts, limits, deadline, headers, method, payload) as response:
        if refused := _refusal(response.status, host):
            raise refused
        while piece := response.read1(PIECE):
            raw += piece
            if len(raw) > bounds.most_bytes:
                words = say("%(host)s answers with more than %(most_bytes)s MiB.", host=host, most_bytes=bounds.most_bytes >> 20)
                raise Unusable(words, say("Is this the address of Stalwart's management interface?"))
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise Unusable(
            say("%(host)s did not answer in JSON.", host=host), say("Is this the address of Stalwart's management interface?")
        ) from None


def address_of(url: str) -> tuple[str, int, bool, str]:
    """Host, port, whether TLS is used, and the path before `/api`. Raises BadConfig(field="url")."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadConfig(say("This is no address of a server."), say("Write it as https://mail.example.org, without a login in it."), "url")
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), secure, parts.path.rstrip("/")


def _authorization(server: MailServer) -> str:
    token = str(server.secret.get("token", ""))
    if ":" in token:
        return f"Basic {base64.b64encode(token.encode()).decode()}"
    return f"Bearer {token}"


def _refusal(status: int, host: str) -> StoreError | None:
    """The error of a status that is none of success."""
    if 200 <= status < 300:
        return None
    fix = say("Check the credential and the permissions of its account.")
    if status == 401:
        return LoginRefused(say("%(host)s does not accept the credential.", host=host), fix)
    if status == 403:
        return NotAllowed(say("%(host)s does not allow that to this account.", host=host), fix)
    if status == 404:
        return NoSuchThing(
            say("%(host)s knows no such thing (404).", host=host), say("Check the store's id and the version of the server.")
        )
    if 300 <= status < 400:
        return Unusable(
            say("%(host)s sends elsewhere (status %(status)s).", host=host, status=status),
            say("Give the final address: a credential is never sent along a redirect."),
        )
    return StoreUnavailable(say("%(host)s answered with status %(status)s.", host=host, status=status), say("Look at the server's log."))
