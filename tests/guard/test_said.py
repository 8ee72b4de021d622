"""Faults are said, not written: their words go through the catalogs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores import errors
from tests.fixtures_path import ROOT

FAULTS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.StoreError)} | {"Check"}
PURE = ("backends", "codecs", "keyclasses", "services", "stalwart_toml", "cron.py")
"""What pages show; the API and the command line answer in English."""


def bare_words(source: str) -> Iterator[tuple[int, str]]:
    """Line and words of every fault or step of a test that is made of a bare literal."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in FAULTS:
            continue
        for given in [*node.args, *(word.value for word in node.keywords)]:
            for part in (given.body, given.orelse) if isinstance(given, ast.IfExp) else (given,):
                words = "".join(str(piece.value) for piece in ast.walk(part) if isinstance(piece, ast.Constant))
                if isinstance(part, ast.Constant | ast.JoinedStr) and " " in words.strip() and "ACL SETUSER" not in words:
                    yield node.lineno, words


@pytest.mark.parametrize("place", PURE)
def test_no_fault_is_a_bare_literal(place: str) -> None:
    path = ROOT / "stores" / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    found = [(Path(file).name, *each) for file in files for each in bare_words(file.read_text("utf-8"))]
    assert files
    assert not found


def test_a_bare_literal_is_noticed() -> None:
    assert list(bare_words('raise BadConfig("It is wrong.", say("Correct it."))')) == [(1, "It is wrong.")]
    assert list(bare_words('Check(say("Name"), OK, f"{name} is there")'))
    assert not list(bare_words('raise Conflict(say("It is wrong."), current)'))
