"""In-memory static stores: typing, patterns, which entry answers, and that nothing can be written."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.backends.static import StaticBackend
from stores.codecs.staticlookup import as_text, compile_glob, consulted_for, escape, is_glob, plain, typed
from stores.errors import BadConfig, CursorLost, NotSupported, ReadOnly
from stores.types import ALL_KEYS, Cursor, Entry, KeyRange, Kind


def static(*entries: tuple[str, str], version: str = "0.11") -> StaticBackend:
    return StaticBackend({}, entries=entries, version=version)


RECORDED = [
    ("42", 42, "42"),
    ("-7", -7, "-7"),
    ("3.25", 3.25, "3.25"),
    ("-0.5", -0.5, "-0.5"),
    ("true", 1, "1"),
    ("false", 0, "0"),
    ("", "", ""),
    ("1.2.3", "1.2.3", "1.2.3"),
    (".5", ".5", ".5"),
    ("5.", 5.0, "5"),
    ("99999999999999999999", "99999999999999999999", "99999999999999999999"),
    ("-", "-", "-"),
    ("+5", "+5", "+5"),
    ("1e5", "1e5", "1e5"),
    (" 12 ", " 12 ", " 12 "),
    ("007", 7, "7"),
    ("True", "True", "True"),
    ("-.5", "-.5", "-.5"),
    ("5-", "5-", "5-"),
    ("--5", "--5", "--5"),
    ("9223372036854775807", 2**63 - 1, "9223372036854775807"),
    ("9223372036854775808", "9223372036854775808", "9223372036854775808"),
    ("-9223372036854775808", -(2**63), "-9223372036854775808"),
    ("٣", "٣", "٣"),
    ("12\n", "12\n", "12\n"),
]


@pytest.mark.parametrize(("raw", "value", "text"), RECORDED)
def test_values_are_typed_as_the_server_types_them(raw: str, value: object, text: str) -> None:
    store = static(("k", raw))
    answer = store.lookup("k")
    assert answer is not None
    assert (type(answer.value), answer.value) == (type(value), value)
    assert answer.text == text
    assert store.key_get(b"k") == text.encode()
    assert store.key_exists(b"k")


def test_a_number_of_any_length_is_no_error() -> None:
    assert typed("9" * 5000) == "9" * 5000
    assert typed("9" * 400 + ".5") == float("inf")
    assert as_text(typed("9" * 400 + ".5")) == "inf"
    assert as_text(1e22) == "10000000000000000000000"
    assert as_text(-1e-7) == "-0.0000001"


def test_newer_servers_answer_text_and_one_for_an_entry_without_value() -> None:
    store = static(("n", "42"), ("f", "3.25"), ("t", "true"), ("only", ""), version="0.16")
    assert [store.answer(key) for key in ("n", "f", "t", "only", "none")] == ["42", "3.25", "true", 1, None]


def test_exact_comes_before_patterns_and_a_star_shadows_all_the_rest() -> None:
    entries = (("*.example.org", "wild"), ("mail.example.org", "exact"), ("*", "all"), ("mail.*", "mail"))
    answer = static(*entries).lookup("mail.example.org")
    assert answer is not None
    assert (answer.key, answer.value, answer.glob) == ("mail.example.org", "exact", False)
    assert answer.shadows == (("*", "all"), ("*.example.org", "wild"), ("mail.*", "mail"))
    catch_all = static(*entries).lookup("www.example.org")
    assert catch_all is not None
    assert (catch_all.key, catch_all.shadows) == ("*", (("*.example.org", "wild"),))


def test_patterns_are_asked_in_order_of_creation_in_newer_servers() -> None:
    answer = static(("*.glob.example", "first"), ("*", "all"), version="0.16").lookup("a.glob.example")
    assert answer is not None
    assert (answer.key, answer.shadows) == ("*.glob.example", (("*", "all"),))


def test_of_two_keys_with_the_same_plain_text_the_later_wins() -> None:
    answer = static(("a\\b", "with"), ("ab", "without")).lookup("ab")
    assert answer is not None
    assert (answer.key, answer.shadows) == ("ab", (("a\\b", "with"),))


MATCHES = [
    ("*.example.com", "a.b.example.com", True),
    ("*.example.com", ".example.com", True),
    ("*.example.com", "example.com", False),
    ("a?c", "abc", True),
    ("a?c", "aüc", True),
    ("a?c", "ac", False),
    ("a?c", "abbc", False),
    ("[abc]*", "a", False),
    ("[abc]*", "[abc]d", True),
    ("Mail*", "mail", False),
    ("*", "", True),
    ("*", "line\nbreak", True),
    ("a**b", "ab", True),
    ("*a*b*", "xxaxxbxx", True),
    ("*a*b*", "xxbxxaxx", False),
    ("?\\*", "x*", True),
    ("?\\*", "xy", False),
    ("*.\\d", "x.d", True),
    ("ab*", "xab", False),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), MATCHES)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert is_glob(pattern)
    assert (static((pattern, "1")).lookup(text) is not None) is expected


def test_a_key_with_a_backslash_before_its_sign_is_exact() -> None:
    store = static(("who\\?", "q"), ("\\*", "star"))
    assert [store.answer(text) for text in ("who?", "whox", "*", "x")] == ["q", None, "star", None]
    assert not is_glob("\\*")


@given(st.text(alphabet="ab*?[.", max_size=12), st.text(alphabet="ab[.\n", max_size=12))
def test_patterns_match_what_shell_patterns_match(pattern: str, text: str) -> None:
    shell = pattern.replace("[", "[[]")
    assert (compile_glob(pattern).match(text) is not None) == (re.match(fnmatch.translate(shell), text) is not None)


def test_many_stars_cost_no_exponential_time() -> None:
    assert compile_glob("*a" * 40 + "b").match("a" * 4000) is None


@given(st.text())
def test_an_escaped_text_is_an_exact_key_for_itself(text: str) -> None:
    assert not is_glob(escape(text))
    assert plain(escape(text)) == text.replace("\\", "")


def test_entries_are_listed_in_byte_order_page_by_page() -> None:
    store = static(("b", "2"), ("a", "1"), ("*", "0"), ("ü", "4"))
    first = store.scan(limit=2)
    assert [entry.key for entry in first.entries] == [b"*", b"a"]
    assert first.entries[0] == Entry(b"*", Kind.VALUE, b"0", row=b"0")
    second = store.scan(ALL_KEYS, first.next, 2)
    assert [entry.key for entry in second.entries] == [b"b", "ü".encode()]
    assert second.next is None
    assert store.scan(KeyRange.of_prefix(b"a")).entries == (Entry(b"a", Kind.VALUE, b"1", row=b"1"),)
    assert store.count(KeyRange(b"a", b"c", None)) == (2, True)
    assert store.get(b"a") == Entry(b"a", Kind.VALUE, b"1", row=b"1")
    assert store.get(b"aa") is None
    assert [row.key for part in store.census() for row in part.rows] == [b"*", b"a", b"b", "ü".encode()]
    for keys, cursor in ((ALL_KEYS, Cursor("k!")), (ALL_KEYS, Cursor("")), (KeyRange.of_prefix(b"c"), first.next)):
        with pytest.raises(CursorLost):
            store.scan(keys, cursor)


def test_a_key_that_is_not_text_matches_nothing() -> None:
    assert static(("*", "all")).key_get(b"\xff\xfe") is None


def test_every_write_is_refused_and_counters_are_not_supported() -> None:
    store = static(("a", "1"))
    writes = (
        lambda: store.key_set(b"a", b"2"),
        lambda: store.counter_set(b"a", 2),
        lambda: store.counter_incr(b"a", 2),
        lambda: store.set_expiry(b"a", None),
        lambda: store.delete(b"a"),
        lambda: store.put(Entry(b"a", Kind.VALUE, b"2", row=b"2")),
        lambda: store.key_delete(b"a"),
        lambda: store.counter_delete(b"a"),
        store.require_writes,
    )
    for write in writes:
        with pytest.raises(ReadOnly, match="In-memory static stores are read only"):
            write()
    with pytest.raises(NotSupported, match="no counters"):
        store.counter_get(b"a")
    with pytest.raises(NotSupported, match="never expire"):
        store.purge(0)
    assert store.key_get(b"a") == b"1"
    assert not any((store.capabilities.writes, store.capabilities.purges, store.capabilities.counters, store.capabilities.expiry))
    assert "nothing to purge" in store.capabilities.why["purges"]


def test_a_store_without_entries_says_so_and_an_empty_key_is_refused() -> None:
    assert [check.state for check in static().check()] == ["warn"]
    assert static(("a", "1"), ("*", "2")).check()[0].detail == "2 entries, 1 of them patterns."
    with pytest.raises(BadConfig) as caught:
        static(("", "1"))
    assert caught.value.field == "entries"


def test_the_stores_that_the_server_asks_by_itself() -> None:
    assert consulted_for("trusted-domains", "0.15") == "domains it trusts in the spam filter"
    assert consulted_for("spam-traps", "0.11") and not consulted_for("spam-traps", "0.15") and not consulted_for("vip", "0.11")
