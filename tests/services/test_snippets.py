"""The lines to copy really read what they stand beside."""

from __future__ import annotations

import pytest

from stores.expressions.sieve import compile_script
from stores.models import Store
from stores.services import snippets
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.console import evaluate_expression
from stores.services.lookup import Lookups
from tests.services.conftest import plant, plant_counter, plant_raw


def _lines(store: Store, key: bytes) -> dict[str, str]:
    row = read_key(store, key)
    assert row is not None
    return {snippet.place: snippet.line for snippet in snippets.of_key(store.pk, row)}


@pytest.mark.parametrize("key", ["plain", "it's", 'say "x"', "grün.example", ""])
def test_a_line_evaluates_to_the_value(memory: Store, actor: Actor, key: str) -> None:
    plant(memory, key.encode(), b"here")
    lines = _lines(memory, key.encode())
    with Lookups(actor) as lookups:
        assert evaluate_expression(lines["Expression"], {}, lookups).value == "here"
    compile_script(lines["Sieve script"])


def test_counters_are_read_as_numbers_and_have_no_line_in_sieve(memory: Store, actor: Actor) -> None:
    plant_counter(memory, b"n", 41)
    lines = _lines(memory, b"n")
    assert list(lines) == ["Expression"]
    with Lookups(actor) as lookups:
        assert evaluate_expression(lines["Expression"], {}, lookups).value == 41


@pytest.mark.parametrize("key", [b"back\\slash", b"both'\"", b"\xff\xfe", b"nul\x00", b"\x10a@b.orgc@d.org"])
def test_keys_that_no_rule_can_write_have_none(memory: Store, key: bytes) -> None:
    plant(memory, key)
    assert _lines(memory, key) == {}


def test_malformed_rows_have_none_and_stores_have_two(memory: Store) -> None:
    plant_raw(memory, b"bad", b"\x01")
    assert _lines(memory, b"bad") == {}
    assert [line.place for line in snippets.of_store("mem")] == ["Expression", "Sieve script"]
    compile_script(snippets.of_store("mem")[1].line)
