"""A stand-in for a Stalwart that tells its configuration: the settings API of 0.11 to 0.15, JMAP of 0.16, fed from the captured ones."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stores.stalwart_toml import parse
from stores.stalwart_toml.objects import Object

USER, PASSWORD = "kvadmin", "pw-of-the-server"
SINGLE = frozenset({"InMemoryStore", "DataRetention", "Security", "Http", "HttpForm", "Imap", "SpamSettings", "OidcProvider", "Jmap"})
MASKED = frozenset({"authSecret", "sentinelSecret"})
ALPHABET = "abcdefghijklmnopqrstuvwxyz792013"

Answer = tuple[int, Any]


class Configured:
    """What the server holds and how it misbehaves. `asked`: every request line."""

    def __init__(self) -> None:
        self.url = ""
        self.settings: dict[str, str] | None = None
        self.objects: list[tuple[str, str, dict[str, Any]]] = []
        """Kind, id and fields, in order of creation."""
        self.closed: set[str] = set()
        """Kinds that the account may not read."""
        self.asked: list[str] = []
        self.odd: Callable[[Any], bool] | None = None
        """Gets the handler; true when it has answered itself."""

    def load(self, objects: list[Object]) -> None:
        """Take over objects; ids grow with creation, as on a real server."""
        for number, (kind, fields) in enumerate(objects, 1000):
            self.objects.append((kind, "singleton" if kind in SINGLE else name_of(number), dict(fields)))

    def answer(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        if parts.path == "/api/settings/list" and self.settings is not None:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            items = {name[len(prefix) :]: text for name, text in self.settings.items() if name.startswith(prefix)}
            return 200, {"data": {"total": len(items), "items": items}}
        if parts.path == "/jmap" and method == "POST" and self.settings is None:
            assert body["using"] == ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"]
            return 200, {"methodResponses": [self.call(*call) for call in body["methodCalls"]], "sessionState": "3e25b2a0"}
        return 404, {"type": "about:blank", "status": 404, "title": "Not Found", "detail": "The requested resource was not found."}

    def call(self, name: str, arguments: dict[str, Any], ref: str) -> list[Any]:
        kind, _, verb = name.removeprefix("x:").partition("/")
        if kind in self.closed:
            return ["error", {"type": "forbidden", "description": "You are not authorized to perform this action."}, ref]
        own = {key: fields for known, key, fields in self.objects if known == kind}
        if verb == "query":
            ids = list(own)[arguments["position"] :][: arguments["limit"]]
            return [name, {"accountId": "d333333", "ids": ids, "position": arguments["position"]}, ref]
        # null names no singleton; of other objects at most 500 are sent
        wanted = list(own)[:500] if arguments["ids"] is None else arguments["ids"]
        found = [{"id": key, **masked(own[key])} for key in wanted if key in own and (kind not in SINGLE or arguments["ids"])]
        return [name, {"accountId": "d333333", "state": "s", "list": sorted(found, key=lambda each: hash(each["id"])), "notFound": []}, ref]


def name_of(number: int) -> str:
    """An id in the server's base 32."""
    signs = ""
    while number:
        number, digit = divmod(number, 32)
        signs = ALPHABET[digit] + signs
    return signs


def masked(value: Any) -> Any:
    """Secrets as the server shows them."""
    if not isinstance(value, dict):
        return value
    shown = {name: masked(field) for name, field in value.items()}
    for name in MASKED & shown.keys():
        if shown[name].get("@type") == "Value":
            shown[name] = {"@type": "Value", "secret": "****"}
    return shown


def settings_of(config: Path, table: Path) -> dict[str, str]:
    """File and data store together, as the server lists them: the file's macros unexpanded."""
    document = parse(config.read_text())
    found: dict[str, str] = json.loads(table.read_text())
    return found | {name: setting.value for name, setting in document.settings.items()}


@contextmanager
def configured() -> Iterator[Configured]:
    """The stand-in on a free loopback port."""
    state = Configured()
    allowed = {"Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), f"Bearer API_{PASSWORD}"}

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.asked.append(f"{self.command} {self.path}")
            if state.odd is not None and state.odd(self):
                return
            status, found = state.answer(self.command, self.path, json.loads(raw) if raw else None)
            if status == 200 and self.headers.get("Authorization") not in allowed:
                status, found = 401, {"type": "about:blank", "status": 401, "title": "Unauthorized"}
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
