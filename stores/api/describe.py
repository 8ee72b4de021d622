"""The routes as lists for people: the table of the documentation, and what the page of the API draws."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stores.api.problems import PROBLEM

METHODS: Final = ("get", "post", "put", "patch", "delete")
JSON: Final = "application/json"
HEAD: Final = "| Route | Scope | What it does |\n|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the OpenAPI document."""

    method: str
    path: str
    tag: str
    scope: str
    summary: str
    description: str
    operation: Mapping[str, Any]


def routes(schema: Mapping[str, Any], prefix: str = "/api/v1") -> Iterator[Route]:
    """All routes in the order of the document; `path` without the prefix."""
    for path, methods in schema["paths"].items():
        for method in METHODS:
            if (found := methods.get(method)) is not None:
                tag = (found.get("tags") or [""])[0]
                text = found.get("description", "")
                yield Route(method.upper(), path.removeprefix(prefix), tag, found["x-scope"], found["summary"], text, found)


def corrected(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the content types that are answered: problems are no plain JSON, and neither is what a route names itself."""
    found = copy.deepcopy(dict(schema))
    for methods in found["paths"].values():
        for operation in methods.values():
            for response in operation.get("responses", {}).values():
                content = response.get("content", {})
                shape = content.get(JSON, {}).get("schema", {})
                if shape.get("$ref", "").endswith("/Problem"):
                    response["content"] = {PROBLEM: content[JSON]}
                elif len(content) > 1:
                    del content[JSON]
    return found


def parameters(schema: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[str]]:
    """(method, route as Django names it) -> the query parameters that it takes."""
    found = {}
    for route in routes(schema, ""):
        names = frozenset(each["name"] for each in route.operation.get("parameters", []) if each["in"] == "query")
        found[route.method, route.path.strip("/").replace("{", "<").replace("}", ">")] = names
    return found


def scopes(schema: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(method, route as Django names it) -> the scope that it declares."""
    return {(route.method, route.path.strip("/").replace("{", "<").replace("}", ">")): route.scope for route in routes(schema, "")}


def table(schema: Mapping[str, Any]) -> str:
    """The routes as a table in Markdown."""
    rows = (f"| `{route.method} {route.path}` | {route.scope} | {route.summary} |\n" for route in routes(schema))
    return HEAD + "".join(rows)


# the page


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter, or one field of a shape. `shape` is the name of the shape that it is made of, empty for plain values."""

    name: str
    kind: str
    """path, query, body or answer"""
    required: bool
    words: str
    shape: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A named object of the document."""

    name: str
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A route with what it takes and answers."""

    route: Route
    fields: tuple[Field, ...]
    status: str
    """Of success."""


def entries(schema: Mapping[str, Any]) -> dict[str, list[Entry]]:
    """The routes by subject, each with its parameters, its body and its answer."""
    found: dict[str, list[Entry]] = {}
    for route in routes(schema):
        operation = route.operation
        fields = [
            Field(each["name"], each["in"], each.get("required", False), *_words(each["schema"]))
            for each in operation.get("parameters", [])
        ]
        body = _content(operation.get("requestBody", {}))
        if body is not None:
            fields.append(Field("body", "body", True, *_words(body)))
        status = next(code for code in map(str, operation["responses"]) if code.startswith("2"))
        answer = _content(operation["responses"].get(status) or operation["responses"].get(int(status)) or {})
        if answer is not None:
            fields.append(Field(status, "answer", True, *_words(answer)))
        found.setdefault(route.tag, []).append(Entry(route, tuple(fields), status))
    return found


def shapes(schema: Mapping[str, Any]) -> list[Shape]:
    """All named objects, by name."""
    found = []
    for name, shape in sorted(schema["components"]["schemas"].items()):
        required = set(shape.get("required", ()))
        fields = tuple(Field(each, "", each in required, *_words(given)) for each, given in shape.get("properties", {}).items())
        found.append(Shape(name, shape.get("description", ""), fields))
    return found


def _content(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a body or an answer; None without one."""
    for content in holder.get("content", {}).values():
        found: Mapping[str, Any] = content.get("schema", {})
        return found
    return None


def _words(given: Mapping[str, Any]) -> tuple[str, str]:
    """What a value is, in words, and the shape that it is made of."""
    if ref := given.get("$ref", ""):
        return "object", ref.rpartition("/")[2]
    if "anyOf" in given:
        parts = [_words(each) for each in given["anyOf"]]
        return " or ".join(dict.fromkeys(words for words, _ in parts)), next((shape for _, shape in parts if shape), "")
    if "enum" in given:
        return "one of " + ", ".join(str(each) if each != "" else "empty" for each in given["enum"]), ""
    kind = given.get("type", "anything")
    if kind == "array":
        words, shape = _words(given.get("items", {}))
        return f"list of {words}", shape
    if kind == "string":
        return {"date-time": "time"}.get(given.get("format", ""), "text"), ""
    return {"null": "null", "boolean": "true or false", "number": "number"}.get(kind, kind), ""
