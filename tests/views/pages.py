"""What every page has to be, checked on its HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())  # noqa: SIM905
SHAPES = frozenset("use rect line circle polyline polygon path".split())  # noqa: SIM905


class Reader(HTMLParser):
    """Elements of a page, and what is wrong with its nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice: {names}")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and tag not in SHAPES:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or tag in SHAPES:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()


def read(response: Any) -> Reader:
    """The elements of an answer."""
    reader = Reader()
    reader.feed(response.content.decode())
    reader.close()
    return reader


def assert_sound(response: Any) -> Reader:
    """Well nested, nothing inline, nothing from elsewhere, unique ids, labelled inputs."""
    reader = read(response)
    assert not reader.problems
    assert not reader.open, f"left open: {reader.open}"
    ids = [attrs["id"] for _, attrs in reader.elements if attrs.get("id")]
    assert len(ids) == len(set(ids)), [name for name in ids if ids.count(name) > 1]
    labelled = {attrs.get("for") for tag, attrs in reader.elements if tag == "label"}
    for tag, attrs in reader.elements:
        assert "style" not in attrs, (tag, attrs)
        assert tag != "style", "a style element"
        assert not (tag == "script" and "src" not in attrs), "an inline script"
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        for name in ("src", "href", "action", "hx-get", "hx-post"):
            assert not re.match(r"(?:[a-z]+:)?//", attrs.get(name) or ""), (tag, attrs)
        if tag in ("input", "select", "textarea") and attrs.get("type") not in ("hidden", "submit", "radio"):
            named = attrs.get("aria-label") or attrs.get("aria-labelledby") or attrs.get("id") in labelled
            assert named, f"no label: {attrs}"
    return reader


def text_of(response: Any) -> str:
    """The words of an answer, blanks collapsed."""
    plain = re.sub(r"<(?:script|style).*?</(?:script|style)>", " ", response.content.decode(), flags=re.S)
    plain = re.sub(r"<[^>]+>", " ", plain)
    for entity, char in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&#39;", "'")):
        plain = plain.replace(entity, char)
    return " ".join(plain.split())
