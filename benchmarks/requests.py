"""Random requests over all routes as each role: nothing may end in an error of ours.

    python -m benchmarks.requests --requests 100000 [--seed 1]

Runs in this process on a database of its own. What a page offers (links, forms) is followed and filled in with odd values;
other addresses, methods, headers and bodies are made up from the routes and from the description of the API. An answer of 500
or a raised exception is a failure and printed with what led to it; 502 and 503 are answers about stores and only counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from benchmarks.requests_words import NAMES, NASTY

KINDS: Final = ("application/json", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
METHODS: Final = ("GET",) * 10 + ("POST",) * 8 + ("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY")
RENEW_EVERY: Final = 2_000
"""After so many requests everything is set up anew: forms delete what others need."""
look_up: Final[Any] = socket.getaddrinfo


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes and what it would send."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)


class Harvest(HTMLParser):
    """Links and forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(
                Form(given.get("action") or given.get("hx-get") or given.get("hx-post", ""), given.get("method", "get").upper())
            )
        self.links += [given[name] for name in ("href", "hx-get") if given.get(name, "").startswith(("/", "?"))]
        if not self.forms:
            return
        if tag in ("input", "textarea", "button") and given.get("name"):
            self.forms[-1].fields.append((given["name"], given.get("value", "")))
        if tag == "select":
            self._select = given.get("name", "")
        if tag == "option" and self._select:
            self.forms[-1].fields.append((self._select, given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""


@dataclass(slots=True)
class Report:
    """What came of it."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    routes: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Soak:
    """Needs Django set up and an empty database; `renew` fills it, `run` asks."""

    def __init__(self, seed: int, folder: Path) -> None:
        from django.core.signals import got_request_exception

        self.random = random.Random(seed)
        self.folder = folder
        self.report = Report()
        self.raised: list[str] = []
        self.routes = list(_routes())
        self.round = 0
        got_request_exception.connect(self._note, weak=False, dispatch_uid="soak")

    def _note(self, **_: Any) -> None:
        self.raised.append(traceback.format_exc())

    def renew(self) -> None:
        """Everything from the beginning: accounts of each role, tokens of each scope, stores with odd keys, something of everything."""
        from benchmarks import requests_setup

        self.round += 1
        found = requests_setup.fill(self.folder / str(self.round))
        self.clients, self.tokens, self.values = found.clients, found.tokens, found.values
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.bodies = _bodies()

    def run(self, count: int) -> Report:
        """So many requests, one after another."""
        for number in range(count):
            if number % RENEW_EVERY == 0:
                self.renew()
            self._one()
        return self.report

    def _one(self) -> None:
        role = self.random.choice(list(self.clients))
        method, path, data, body, headers = self._request()
        if path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.random.choice(self.tokens)}"
        self.raised.clear()
        try:
            response = self._ask(role, method, path, data, body, headers)
            content = b"".join(response.streaming_content) if response.streaming else response.content
        except Exception:  # noqa: BLE001  (whatever it is, it is what is looked for)
            self._failed(role, method, path, data, body, traceback.format_exc())
            return
        self.report.requests += 1
        self.report.statuses[response.status_code] += 1
        if response.status_code != 404:
            self.report.routes.add(_route_of(response))
        if response.status_code == 500 or self.raised:
            self._failed(role, method, path, data, body, "".join(self.raised) or f"status {response.status_code}")
        elif response.status_code == 200 and response.get("Content-Type", "").startswith("text/html"):
            self._harvest(path, content.decode("utf-8", "replace"))

    def _ask(self, role: str, method: str, path: str, data: Any, body: bytes | None, headers: dict[str, str]) -> Any:
        client = self.clients[role]
        client.defaults["REMOTE_ADDR"] = f"192.0.2.{self.random.randrange(256)}"  # one address would soon have to wait for wrong tokens
        if body is not None:
            return client.generic(method, path, body, content_type=self.random.choice(KINDS), headers=headers)
        if method == "GET":
            return client.generic("GET", path, QUERY_STRING=urlencode(data, doseq=True, errors="replace"), headers=headers)
        return client.generic(
            method, path, urlencode(data, doseq=True, errors="replace"), "application/x-www-form-urlencoded", headers=headers
        )

    def _request(self) -> tuple[str, str, dict[str, Any], bytes | None, dict[str, str]]:
        chance, headers = self.random.random(), self._headers()
        if chance < 0.4 and self.forms:
            form = self.random.choice(self.forms[-400:])
            return form.method if form.method == "POST" else "GET", form.action, self._filled(form), None, headers
        if chance < 0.55 and self.links:
            return "GET", self.random.choice(self.links[-2000:]), {}, None, headers
        if chance < 0.75:
            method, path, body = self._of_the_api()
            return method, path, {}, body, headers
        data = {self.random.choice(NAMES): self._value() for _ in range(self.random.randrange(4))}
        return self.random.choice(METHODS), self._path(self.random.choice(self.routes)), data, None, headers

    def _headers(self) -> dict[str, str]:
        if self.random.random() < 0.6:
            return {}
        odd = {
            "HX-Request": "true",
            "Accept-Language": self.random.choice(("de", "xx", "*", ",;q=", "é")),
            "If-Match": self.random.choice(('"x"', "*", 'W/"a"')),
            "X-Forwarded-For": self.random.choice(("1.2.3.4", "nonsense", "::1, 10.0.0.1")),
            "Referer": self.random.choice(("https://evil.example/", "/", "::")),
            "Accept": self.random.choice(("application/json", "x/y", "")),
            "Range": "bytes=0-1",
        }
        return dict(self.random.sample(sorted(odd.items()), self.random.randrange(1, 4)))

    def _value(self) -> str:
        """Something odd, or something that is there."""
        known = [value for values in self.values.values() for value in values]
        return self.random.choice(NASTY) if self.random.random() < 0.6 else self.random.choice(known)

    def _filled(self, form: Form) -> dict[str, Any]:
        """What the form would send, with some of it replaced, left out or doubled."""
        data: dict[str, list[str]] = {}
        for name, value in form.fields:
            if self.random.random() < 0.9:
                data.setdefault(name, []).append(value)
        few = {name: values if self.random.random() < 0.1 else [self.random.choice(values)] for name, values in data.items()}
        for name in list(few):
            if self.random.random() < 0.25:
                few[name] = [self._value()]
        return few

    def _path(self, route: str) -> str:
        def filled(match: re.Match[str]) -> str:
            name = match[1]
            pool = self.values.get(name, [])
            value = self.random.choice(pool) if pool and self.random.random() < 0.8 else self.random.choice(NASTY)
            return quote(value.encode("utf-8", "replace"), safe="") or "-"

        return "/" + re.sub(r"<(?:[a-z]+:)?(\w+)>", filled, route)

    def _of_the_api(self) -> tuple[str, str, bytes | None]:
        method, path, schema = self.random.choice(self.bodies)
        route = self._path(path.lstrip("/").replace("{", "<").replace("}", ">"))
        if self.random.random() < 0.3:
            route += "?" + urlencode({self.random.choice(NAMES): self._value()}, errors="replace")
        if schema is None:
            return method, route, None
        if self.random.random() < 0.15:
            return method, route, self.random.choice((b"", b"{", b"[]", b'"', b"\xff", b"[" * 20_000, b'{"a":' * 3_000, b"1e999", b"nul"))
        return method, route, json.dumps(self._made(schema, 0)).encode()

    def _made(self, schema: Mapping[str, Any], depth: int) -> Any:
        """A value that fits the schema, mostly."""
        if self.random.random() < 0.1 or depth > 6:
            return self.random.choice((None, True, 0, -1, 1.5, 1 << 70, [], {}, [[]], {"a": 1}, self._value()))
        if "anyOf" in schema or "oneOf" in schema:
            return self._made(self.random.choice(schema.get("anyOf") or schema["oneOf"]), depth + 1)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        match schema.get("type"):
            case "object" if "properties" in schema:
                return {name: self._made(part, depth + 1) for name, part in schema["properties"].items() if self.random.random() < 0.85}
            case "object":
                return {self._value(): self._value()}
            case "array":
                return [self._made(schema.get("items", {}), depth + 1) for _ in range(self.random.randrange(4))]
            case "integer":
                return self.random.choice((0, 1, 2, 60, -1, 1 << 31, 1 << 63, 1 << 64, 10**40))
            case "number":
                return self.random.choice((0, 0.5, -1, 1e308))
            case "boolean":
                return self.random.random() < 0.5
        return self._value()

    def _harvest(self, path: str, text: str) -> None:
        found = Harvest()
        found.feed(text)
        base = urlsplit(path).path
        self.links += [link if link.startswith("/") else base + link for link in found.links if not link.startswith(("//", "/static"))]
        for form in found.forms:
            form.action = base if not form.action else form.action if form.action.startswith("/") else base + form.action
            if form.fields and "sign-out" not in form.action:
                self.forms.append(form)
        del self.forms[:-2000], self.links[:-10_000]

    def _failed(self, role: str, method: str, path: str, data: Any, body: bytes | None, trace: str) -> None:
        self.report.failures.append(f"{role} {method} {path[:300]} {str(data)[:600]} {(body or b'')[:600]!r}\n{trace[-3000:]}")


def _route_of(response: Any) -> str:
    from django.urls import Resolver404

    try:
        return str(response.resolver_match.route)
    except Resolver404:
        return ""


def _routes() -> Iterator[str]:
    """Every route of the project, parameters in angle brackets."""
    from django.urls import URLPattern, get_resolver

    def walk(patterns: Sequence[Any], before: str) -> Iterator[str]:
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield route
            else:
                yield from walk(pattern.url_patterns, route)

    yield from walk(get_resolver().url_patterns, "")


def _bodies() -> list[tuple[str, str, Mapping[str, Any] | None]]:
    """Method, path and schema of the body of each route of the API."""
    from stores.api.v1 import schema

    document = schema()

    def whole(part: Any, depth: int = 0) -> Any:
        if isinstance(part, dict):
            if "$ref" in part and depth < 12:
                return whole(document["components"]["schemas"][part["$ref"].rpartition("/")[2]], depth + 1)
            return {name: whole(value, depth + 1) for name, value in part.items()}
        return [whole(value, depth + 1) for value in part] if isinstance(part, list) else part

    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            found.append((method.upper(), path, None if content is None else whole(content)))
    return found


def only_here(host: object, *arguments: Any, **named: Any) -> Any:
    """`getaddrinfo` for this machine alone: names lead nowhere and addresses elsewhere fail, so that no made-up host is waited for."""
    if str(host) not in ("127.0.0.1", "localhost", "::1"):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return look_up(host, *arguments, **named)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "kvadmin.settings_test"
    import django
    from django.conf import settings

    django.setup()
    settings.DEBUG, settings.KVADMIN_API_RATE = False, 1_000_000
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    socket.getaddrinfo = only_here
    with tempfile.TemporaryDirectory(prefix="kvadmin-soak-") as folder:
        soak = Soak(options.seed, Path(folder))
        began = time.monotonic()
        for done in range(0, options.requests, RENEW_EVERY):
            call_command("flush", interactive=False, verbosity=0)
            before = len(soak.report.failures)
            soak.run(min(RENEW_EVERY, options.requests - done))
            for failure in soak.report.failures[before:]:
                print(f"--- {failure}", flush=True)
            print(f"{soak.report.requests} requests, {len(soak.report.failures)} failures, {time.monotonic() - began:.0f} s", flush=True)
    print(f"statuses {dict(sorted(soak.report.statuses.items()))}; {len(soak.report.routes - {''})} of {len(soak.routes)} routes")
    sys.exit(bool(soak.report.failures))


if __name__ == "__main__":
    main()
