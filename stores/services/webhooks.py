"""Sending a small JSON document to an address that an administrator chose: one try, no redirects, by default not into private networks."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from stores.errors import BadConfig
from stores.hostrules import is_never
from stores.texts import say

TIMEOUT_SECONDS: Final = 5.0


class NotDelivered(Exception):
    """The message did not arrive; the text says why, without the address's secrets."""


def check_url(url: str) -> None:
    """Raises BadConfig(field="webhook") for what cannot be posted to. Asks no name server."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or any(ord(char) < 33 for char in url):
        raise BadConfig(say("That is no address of a webhook."), say("Write https://host/path."), "webhook")
    if parts.username or parts.password:
        raise BadConfig(say("A name and password in the address are not sent."), say("Put a secret into the path or query."), "webhook")


def post(url: str, document: Mapping[str, Any]) -> None:
    """POST the document as JSON. Raises NotDelivered unless the answer is a 2xx within five seconds."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = _resolve(host, port)
    link = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()) if secure else (
        http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    )  # fmt: skip
    link._create_connection = lambda _, timeout, source: socket.create_connection(address, timeout, source)  # type: ignore[attr-defined]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        headers = {"Content-Type": "application/json", "User-Agent": "kvadmin"}
        link.request("POST", target, json.dumps(document).encode(), headers)
        status = link.getresponse().status
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise NotDelivered(f"{host} did not take it: {type(error).__name__}.") from None
    finally:
        link.close()
    if 300 <= status < 400:
        raise NotDelivered(f"{host} answered with a redirect ({status}), which is not followed. Enter the final address.")
    if not 200 <= status < 300:
        raise NotDelivered(f"{host} answered {status}.")


def _resolve(host: str, port: int) -> tuple[str, int]:
    """The address that is connected to: checked here, so that a name cannot mean something else a moment later."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotDelivered(f"The name {host} is not known.") from None
    for *_, place in found:
        if is_never(str(place[0])):
            raise NotDelivered(f"{host} leads to {place[0]}, where no webhook may be.")
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if settings.KVADMIN_ALERT_PRIVATE_HOSTS or (mapped or address).is_global:
            return str(place[0]), port
    raise NotDelivered(f"{host} is in a private network. Set KVADMIN_ALERT_PRIVATE_HOSTS=on to allow that.")
