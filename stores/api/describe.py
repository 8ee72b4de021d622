"""The routes as lists for people: the table of the documentation, and what the page of the API draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

METHODS: Final = ("get", "post", "put", "patch", "delete")
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


def table(schema: Mapping[str, Any]) -> str:
    """The routes as a table in Markdown."""
    rows = (f"| `{route.method} {route.path}` | {route.scope} | {route.summary} |\n" for route in routes(schema))
    return HEAD + "".join(rows)
