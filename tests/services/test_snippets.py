"""The lines to copy really read what they stand beside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stores.codecs import bincode
from stores.expressions.sieve import compile_script
from stores.models import Store
from stores.services import snippets
from stores.services.actor import Actor
from stores.services.browse import list_keys, read_key
from stores.services.console import evaluate_expression, run_sieve
from stores.services.filters import KeyFilter
from stores.services.lookup import Lookups
from tests.services.conftest import captured as captured
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


AWKWARD = [b"back\\slash", b"both'\"", b"nul\x00", b"\x10a@b.orgc@d.org", b"${env.x}", b"a\nb", b"42", "gr\u00fcn\u200b".encode(), b" x "]


@pytest.mark.parametrize("key", AWKWARD)
def test_a_script_reads_keys_that_no_expression_can_write(memory: Store, actor: Actor, key: bytes) -> None:
    plant(memory, key, bincode.as_sieve_writes("here", "0.11"))
    row = read_key(memory, key)
    assert row is not None
    lines = _lines(memory, key)
    with Lookups(actor) as lookups:
        result = run_sieve(lines["Sieve script"] + " if eval \"found == 'here'\" { discard; }", {}, lookups, version="0.11")
    assert (result.error, result.action) == ("", "discard")
    assert [(question.key, question.hit) for question in result.trace] == [(key.decode(), True)]
    if len(lines) == 1:
        assert snippets.why_missing(row, snippets.of_key(memory.pk, row)).startswith("No expression")


def test_secrets_have_none_and_say_why(captured: Callable[..., Store]) -> None:
    store = captured("stalwart-0.11.8/sqlite/memstore-final.db")
    rows = list_keys(store, KeyFilter.from_query({"class": "oauth"}), "", 5).rows
    assert rows
    for row in rows:
        assert snippets.of_key(store.pk, row) == ()
        assert "secret" in snippets.why_missing(row, ())


def test_bytes_that_are_no_text_have_none_and_say_why(memory: Store) -> None:
    plant(memory, b"\xff\xfe")
    assert _lines(memory, b"\xff\xfe") == {}
    row = read_key(memory, b"\xff\xfe")
    assert row is not None and "UTF-8" in snippets.why_missing(row, ())


def test_malformed_rows_have_none_and_stores_have_two(memory: Store) -> None:
    plant_raw(memory, b"bad", b"\x01")
    assert _lines(memory, b"bad") == {}
    assert [line.place for line in snippets.of_store("mem")] == ["Expression", "Sieve script"]
    compile_script(snippets.of_store("mem")[1].line)
