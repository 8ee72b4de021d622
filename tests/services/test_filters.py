from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import BadConfig
from stores.services.filters import KeyFilter, glob_head, glob_matches
from stores.types import Entry, KeyRange, Kind

NOW = 1_900_000_000


@pytest.mark.parametrize(
    ("glob", "key", "matches"),
    [
        ("*", b"", True),
        ("vip/*", b"vip/ana", True),
        ("vip/*", b"xvip/ana", False),
        ("*ana", b"vip/ana", True),
        ("*ana", b"vip/ana!", False),
        ("v?p", b"vip", True),
        ("v?p", "v\N{SNOWMAN}p".encode(), True),
        ("[a-c]x", b"bx", True),
        ("[!a-c]x", b"bx", False),
        (r"\*\?", b"*?", True),
        (r"\*", b"x", False),
        ("a*b*c", b"a--b--c", True),
        ("a*b*c", b"a--c--b", False),
        ("a*bc*bc", b"abcbc", True),
        ("a*bc*bc", b"abc", False),
        ("[", b"[", True),
        ("\x05*", b"\x05\xcb\x00\x71\x14", True),
        ("*\n*", b"a\nb", True),
        ("", b"", True),
    ],
)
def test_globs(glob: str, key: bytes, matches: bool) -> None:
    assert glob_matches(glob, key) is matches


def test_a_glob_of_many_stars_does_not_take_long() -> None:
    assert not glob_matches("*a" * 40 + "b", b"a" * 1000)


@given(st.text(max_size=8), st.binary(max_size=12))
def test_a_key_that_matches_begins_with_the_head(glob: str, key: bytes) -> None:
    try:
        KeyFilter.from_query({"match": glob})
    except BadConfig:
        return
    if glob_matches(glob, key):
        assert key.startswith(glob_head(glob))


@given(st.binary(max_size=12))
def test_a_quoted_key_matches_itself(key: bytes) -> None:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return
    quoted = "".join("\\" + char for char in text)
    assert glob_head(quoted) == key
    assert glob_matches(quoted, key)


def test_query_strings_go_both_ways() -> None:
    query = {
        "class": "rate-auth",
        "prefix": "05cb00",
        "match": "a*",
        "q": "203.0.113.0/24",
        "kind": "counter",
        "expiry": "live",
        "after": "60",
        "before": "3600",
        "count": "10",
        "size": "1000",
    }
    parsed = KeyFilter.from_query(query)
    assert parsed.to_query() == query
    assert KeyFilter.from_query(parsed.to_query()) == parsed
    assert KeyFilter.from_query({}).empty
    assert KeyFilter.from_query({"before": "1 h"}).expires_before == 3600


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class", "nonsense"),
        ("prefix", "0"),
        ("prefix", "zz"),
        ("match", "[z-a]"),
        ("kind", "things"),
        ("expiry", "soon"),
        ("after", "x"),
        ("count", "many"),
        ("size", "1.5"),
    ],
)
def test_bad_parts_name_their_parameter(field: str, value: str) -> None:
    with pytest.raises(BadConfig) as caught:
        KeyFilter.from_query({field: value})
    assert caught.value.field == field


def test_ranges() -> None:
    assert KeyFilter().ranges("0.11", True) == (KeyRange(),)
    assert KeyFilter(prefix=b"ab").ranges("0.11", True) == (KeyRange.of_prefix(b"ab"),)
    assert KeyFilter(match="vip/*", prefix=b"vi").ranges("0.11", True) == (KeyRange.of_prefix(b"vip/"),)
    assert KeyFilter(match="x*", prefix=b"vi").ranges("0.11", True) == ()
    assert KeyRange.of_prefix(b"\x05") in KeyFilter(class_slug="rate-auth").ranges("0.11", True)
    assert KeyFilter(class_slug="rate-auth", prefix=b"\x05\xcb").ranges("0.11", True) == (KeyRange.of_prefix(b"\x05\xcb"),)


def test_user_keys_are_looked_for_where_most_of_them_are_first() -> None:
    first, second = KeyFilter(class_slug="custom").ranges("0.11", True)
    assert b"vip" in first
    assert b"vip" not in second
    assert b"" in second
    assert b"\x05user" in second
    assert KeyFilter(class_slug="custom").ranges("0.11", False) == (KeyRange(),)


def test_classes_of_0_10_have_several_prefixes() -> None:
    found = KeyFilter(class_slug="rate-http-anonymous").ranges("0.10", True)
    assert {keys.prefix for keys in found} >= {b"jreq:", b"jauth:"}


ENTRY = Entry(b"k", Kind.COUNTER, None, 10, NOW + 100, b"\0" * 16)


@pytest.mark.parametrize(
    ("wanted", "entry", "answer"),
    [
        (KeyFilter(), ENTRY, True),
        (KeyFilter(kind=Kind.COUNTER), ENTRY, True),
        (KeyFilter(kind=Kind.VALUE), ENTRY, False),
        (KeyFilter(expiry="live"), ENTRY, True),
        (KeyFilter(expiry="expired"), ENTRY, False),
        (KeyFilter(expiry="never"), ENTRY, False),
        (KeyFilter(expiry="expired"), Entry(b"k", Kind.VALUE, b"", None, NOW, b""), True),
        (KeyFilter(expiry="live"), Entry(b"k", Kind.VALUE, b"", None, NOW, b""), False),
        (KeyFilter(expiry="never"), Entry(b"k", Kind.VALUE, b"", None, None, b""), True),
        (KeyFilter(expiry="live"), Entry(b"k", Kind.VALUE, b"", None, None, b""), True),
        (KeyFilter(expiry="never"), Entry(b"k", Kind.VALUE, None, None, None, b"abc", problem="short"), False),
        (KeyFilter(expires_after=100), ENTRY, True),
        (KeyFilter(expires_after=101), ENTRY, False),
        (KeyFilter(expires_before=101), ENTRY, True),
        (KeyFilter(expires_before=100), ENTRY, False),
        (KeyFilter(count_min=10), ENTRY, True),
        (KeyFilter(count_min=11), ENTRY, False),
        (KeyFilter(size_min=25), ENTRY, True),
        (KeyFilter(size_min=26), ENTRY, False),
    ],
)
def test_wants(wanted: KeyFilter, entry: Entry, answer: bool) -> None:
    assert wanted.wants(None, entry, NOW) is answer


def test_text_finds_parts_of_words_and_addresses_of_a_network() -> None:
    assert KeyFilter(text="ANA").wants_text(["john to ana@example.org"])
    assert not KeyFilter(text="ana").wants_text(["john"])
    assert KeyFilter(text="203.0.113.0/24").wants_text(["x", "203.0.113.20"])
    assert not KeyFilter(text="203.0.113.0/24").wants_text(["203.0.114.20"])
    assert KeyFilter(text="2001:db8::/32").wants_text(["2001:db8:1::1"])
    assert KeyFilter(text="a/b").wants_text(["xa/bx"])
