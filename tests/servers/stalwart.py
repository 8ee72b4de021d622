"""A stand-in for a Stalwart's management API that answers as recorded on real ones, its traps included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CLASSES = frozenset("acme oauth rate-auth rate-rcpt rate-scan rate-loiter rate-smtp rate-contact greylist lock-queue-message".split())  # noqa: SIM905
TOKEN = "Bearer API_secret"


class Stalwart:
    """State of the stand-in. `banned` and `loaded`: bans as set, and as in force; `done`: what maintenance did."""

    def __init__(self) -> None:
        self.banned: dict[str, str] = {}
        self.loaded: dict[str, str] = {}
        self.stores = {"memstore"}
        self.done: list[str] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.fails = ""
        self.polls = 0
        self.asked: list[str] = []
        self.forbidden = False
        self.url = ""

    # 0.11 to 0.15

    def http(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        path = [unquote(piece) for piece in parts.path.strip("/").split("/")]
        if path[:3] == ["api", "settings", "list"]:
            prefix = parse_qs(parts.query)["prefix"][0]
            found = {f"server.blocked-ip.{name}": "" for name in self.banned}
            items = {name.removeprefix(prefix): text for name, text in found.items() if name.startswith(prefix)}
            return 200, {"data": {"total": len(items), "items": items}}
        if path == ["api", "settings"] and method == "POST":
            for change in body:
                for key in change["keys"] if change["type"] == "delete" else ():
                    self.banned.pop(key.removeprefix("server.blocked-ip."), None)
            return 200, {"data": None}
        if path == ["api", "reload"]:
            self.loaded = dict(self.banned)
            return 200, {"data": {"warnings": {}, "errors": {}}}
        if path[:4] == ["api", "store", "purge", "in-memory"] and method == "GET":
            store, slug = [*path[4:], "default"][0], [*path[5:], ""][0]
            if store != "default" and store not in self.stores:
                return 404, {"type": "about:blank", "status": 404, "title": "Not Found"}
            self.done.append(f"reset {slug} of {store}" if slug in CLASSES else f"purge of {store}")
            return 200, {"data": None}
        return 404, {"status": 404}

    # 0.16

    def jmap(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name == "x:BlockedIp/get":
            return {"list": [{"id": ref, "address": address} for ref, address in self.banned.items()]}
        if name == "x:BlockedIp/set":
            for ref in arguments["destroy"]:
                self.banned.pop(ref, None)
            return {"destroyed": arguments["destroy"]}
        if name == "x:Action/set":
            self.loaded = dict(self.banned)
            return {"created": {"a": {"id": "a1"}}}
        if name == "x:Task/set":
            task = arguments["create"]["t"]
            if self.forbidden:
                return {"notCreated": {"t": {"type": "forbidden", "description": "Insufficient permissions to create task"}}}
            self.tasks["jqb"] = {"polls": self.polls}
            self.done.append(task.get("maintenanceType", "reindexAccounts"))
            return {"created": {"t": {"id": "jqb"}}}
        if name == "x:QueuedMessage/get":
            return {"list": [self.messages[ref] for ref in arguments["ids"] if ref in self.messages]}
        if name == "x:Task/get":
            task = self.tasks[arguments["ids"][0]]
            if self.fails:
                return {"list": [{"id": "jqb", "status": {"@type": "Retry", "failureReason": self.fails}}]}
            task["polls"] -= 1
            return {"list": [{"id": "jqb", "status": {"@type": "Pending"}}] if task["polls"] >= 0 else []}
        raise AssertionError(name)


@contextmanager
def stalwart() -> Iterator[Stalwart]:
    """A stand-in on a free loopback port."""
    state = Stalwart()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body: Any = json.loads(raw) if raw else None
            answer: Any
            state.asked.append(f"{self.command} {self.path}")
            if self.headers.get("Authorization") != TOKEN:
                status, answer = 401, {"status": 401}
            elif self.path == "/jmap":
                [[name, arguments, call]] = body["methodCalls"]
                status, answer = 200, {"methodResponses": [[name, state.jmap(name, arguments), call]]}
            else:
                status, answer = state.http(self.command, self.path, body)
            shown = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(shown)))
            self.end_headers()
            self.wfile.write(shown)

        do_GET = do_POST = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
