"""One request to a mail server's management API: bounded in time and size, without redirects, with errors that say what to do."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

from stores.errors import BadConfig, StoreRefused, StoreUnavailable
from stores.models import MailServer

TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 8 << 20


def request(server: MailServer, method: str, path: str, body: object = None) -> Any:
    """The JSON of the answer. Raises StoreUnavailable, StoreRefused (login, permission, no such thing), BadConfig (address)."""
    host, port, secure, base = address_of(server.url)
    payload = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": _authorization(server), "Accept": "application/json", "Content-Type": "application/json"}
    try:
        with closing(_connection(host, port, secure, server.allow_invalid_certs)) as connection:
            connection.request(method, base + path, payload, headers)
            response = connection.getresponse()
            status, raw = response.status, response.read(MOST_BYTES + 1)
    except ssl.SSLError:
        raise StoreUnavailable(f"TLS with {host} failed.", "Check the certificate, or allow invalid ones for this server.") from None
    except (TimeoutError, OSError, http.client.HTTPException) as error:
        raise StoreUnavailable(
            f"The mail server at {host} did not answer ({type(error).__name__}).", "Check its address and port."
        ) from None
    return _answer(status, raw, host)


def address_of(url: str) -> tuple[str, int, bool, str]:
    """Host, port, whether TLS is used, and the path before `/api`. Raises BadConfig(field="url")."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadConfig("This is no address of a server.", "Write it as https://mail.example.org, without a login in it.", "url")
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), secure, parts.path.rstrip("/")


def _connection(host: str, port: int, secure: bool, unchecked: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context()
    if unchecked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _authorization(server: MailServer) -> str:
    token = str(server.secret.get("token", ""))
    if ":" in token:
        return f"Basic {base64.b64encode(token.encode()).decode()}"
    return f"Bearer {token}"


def _answer(status: int, raw: bytes, host: str) -> Any:
    if status in (401, 403):
        said = "does not accept the credential" if status == 401 else "does not allow that to this account"
        raise StoreRefused(f"{host} {said}.", "Check the token and its permissions under Settings, Mail server.")
    if status == 404:
        raise StoreRefused(f"{host} knows no such thing (404).", "Check the store's id and the version of the server.")
    if not 200 <= status < 300 or len(raw) > MOST_BYTES:
        raise StoreUnavailable(f"{host} answered with status {status}.", "Look at the server's log.")
    try:
        return json.loads(raw)
    except ValueError:
        raise StoreRefused(f"{host} did not answer in JSON.", "Is this the address of Stalwart's management interface?") from None
