"""Figures, times and bytes as text; keys as tokens; entries as lines."""

from __future__ import annotations

import pytest
from django import forms
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import BadConfig
from stores.forms.edit import is_text, typed_text
from stores.forms.entries import from_lines, to_lines
from stores.keyclasses.base import Decoded
from stores.services.keytokens import SealedKey, key_of, token_of
from stores.services.rows import Row
from stores.templatetags import words
from stores.templatetags.kv import bar, blacked, marked, spark
from stores.templatetags.kv_bytes import DOTS, hexview, keyline
from stores.types import Entry, Kind

NOW = 1_795_500_000.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (52, "52 s"), (60, "1 min"), (359, "5 min"), (3600, "1 h"), (18_720, "5 h 12 min"), (86_400, "1 d"),
        (2_347_200, "27 d 4 h"), (100 * 86_400, "100 d"), (730 * 86_400, "2.0 years"), (3650 * 86_400, "10.0 years"),
        (2**63, "292,471,208,677 years"),
    ],
)  # fmt: skip
def test_spans(seconds: int, text: str) -> None:
    assert words.span(seconds) == text


def test_relative_times() -> None:
    assert words.relative(NOW + 18 * 60, NOW) == "in 18 min"
    assert words.relative(NOW - 41 * 60, NOW) == "41 min ago"
    assert words.relative(NOW, NOW) == "now"


@pytest.mark.parametrize(
    ("style", "moment", "text"),
    [
        ("long", NOW, "Tue 24 Nov 2026, 07:00:00 CET"),
        ("utc", NOW, "Tue 24 Nov 2026, 06:00:00 UTC"),
        ("short", NOW + 60, "07:01 CET"),
        ("short", NOW + 86_400, "Wed 07:00 CET"),
        ("short", NOW + 20 * 86_400, "14 Dec, 07:00 CET"),
        ("short", NOW + 300 * 86_400, "20 Sep 2027, 08:00 CEST"),
        ("clock", NOW + 86_400, "Wed 07:00"),
        ("long", 2**64 - 2, "Unix second 18446744073709551614, beyond the calendar"),
        ("long", -(2**63), f"Unix second {-(2**63)}, beyond the calendar"),
    ],
)
def test_moments_name_their_zone(style: words.Style, moment: float, text: str) -> None:
    with timezone.override("Europe/Berlin"):
        assert words.absolute(moment, style, NOW) == text


def test_a_zone_without_a_name_shows_its_offset() -> None:
    with timezone.override("Asia/Almaty"):
        assert words.zone_name(NOW) == "UTC+05"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"), (144, "144 B"), (1023, "1023 B"), (1024, "1.0 KB"), (30_925, "30.2 KB"), (28_101_836, "26.8 MB"),
        (11 << 30, "11.0 GB"), (1 << 62, "4,096 PB"),
    ],
)  # fmt: skip
def test_sizes(number: int, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (3_214, "3.2k"), (229_871, "230k"), (1_500_000, "1.5M"), (12 * 10**9, "12G")]
)
def test_short_counts(number: int, text: str) -> None:
    assert words.short_count(number) == text


@pytest.mark.parametrize(("number", "text"), [(0.0001, "under 1 ms"), (0.018, "18 ms"), (0.6, "0.6 s"), (11 * 60, "11 min")])
def test_working_times(number: float, text: str) -> None:
    assert words.seconds(number) == text


def test_shares_and_plurals() -> None:
    assert words.percent(38, 100) == "38 %"
    assert words.percent(1, 100_000) == "<1 %"
    assert words.percent(0, 0) == "0 %"
    assert words.plural(1, "key") == "1 key"
    assert words.plural(1204, "entry", "entries") == "1,204 entries"
    assert words.count(-41) == "−41"
    assert words.countdown(NOW + 21 * 86_400 + 7 * 3600 + 22 * 60, NOW) == "21 d 07:22:00"
    assert words.countdown(NOW - 5, NOW) == "00:00:00"


def test_marks_escape_what_they_show() -> None:
    assert marked("write `0 3 *`, not <b>") == 'write <span class="kv-code">0 3 *</span>, not &lt;b&gt;'
    assert marked("a ` alone <") == "a ` alone &lt;"
    assert blacked("urls = redis://:••••••••@<host>") == "urls = redis://:<i>hidden</i>@&lt;host&gt;"
    assert "style" not in bar(1, 3)
    assert bar(1, 0) == ""
    assert spark([5], "x") == ""
    flat = spark([100, 101, 100], "x")
    heights = [float(point.split(",")[1]) for point in flat.split('points="')[1].split('"')[0].split()]
    assert max(heights) - min(heights) < 2, "flat data has to look flat"


@given(st.binary(max_size=300))
def test_every_key_has_one_token_and_comes_back(key: bytes) -> None:
    token = token_of(key)
    assert key_of(token) == key
    assert token_of(key_of(token)) == token


@given(st.binary(max_size=300))
def test_a_sealed_key_comes_back_and_does_not_show(key: bytes) -> None:
    token = token_of(SealedKey(key))
    back = key_of(token)
    assert isinstance(back, SealedKey)
    assert back == key
    assert len(key) < 6 or token_of(key) not in token


@given(st.text(max_size=60))
def test_no_other_text_is_a_key(text: str) -> None:
    try:
        key = key_of(text)
    except BadConfig:
        return
    assert token_of(key) == text


@given(st.binary(max_size=200))
def test_a_text_field_gives_back_what_it_was_offered(value: bytes) -> None:
    if is_text(value):
        assert typed_text(value.decode().replace("\n", "\r\n")) == value


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.text(max_size=30)), max_size=8, unique_by=lambda pair: pair[0]))
def test_entries_survive_the_text_field(entries: list[tuple[str, str]]) -> None:
    typed = to_lines(entries).replace("\n", "\r\n")
    assert from_lines(typed) == entries


@pytest.mark.parametrize("text", ["= 1", '"a = 1', '"a" b', 'a = "b', 'a = "b" c'])
def test_lines_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(forms.ValidationError, match="Line 2"):
        from_lines(f"fine = 1\n{text}")


def row_of(entry: Entry, **decoded: object) -> Row:
    return Row(entry, Decoded(None, "x", entry.kind, "x", **decoded), False)  # type: ignore[arg-type]


@given(st.binary(max_size=6000), st.binary(max_size=6000))
def test_the_hex_view_shows_every_byte_or_says_how_many_it_leaves_out(key: bytes, value: bytes) -> None:
    blocks = hexview(
        row_of(Entry(key, Kind.VALUE, value, row=b"\xff" * 8 + value), parts=((0, 1, "class"), (900, 20, "odd"), (3, 9, "field")))
    )
    shown = ["".join(line.bytes.replace(" ", "") for line in block.lines) for block in blocks]
    assert shown[0] == key[:4096].hex()
    assert shown[1] == (b"\xff" * 8 + value)[:4096].hex()
    for block, data in zip(blocks, (key, b"\xff" * 8 + value), strict=True):
        assert bool(block.note) == (len(data) > 4096)


def test_hidden_parts_are_dots() -> None:
    secret = row_of(Entry(b"\x01topsecret", Kind.VALUE, b"alsosecret", row=b"\xff" * 8 + b"alsosecret"), secret_key=True, secret_value=True)
    text = str(hexview(secret)) + keyline(secret)
    assert DOTS in text
    for hidden in (b"topsecret", b"alsosecret"):
        assert hidden.hex(" ") not in text
        assert hidden.hex() not in text
