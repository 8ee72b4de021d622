from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stores.errors import BadConfig
from stores.services.durations import LAST_MOMENT, in_words, parse_duration, parse_expiry
from stores.types import KEEP

NOW = datetime(2026, 11, 24, 12, 0, 0, 500_000, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("1h30m", 5400),
        ("2 days", 172_800),
        ("3 h 5 min", 11_100),
        ("1.5 h", 5400),
        ("1 week, 2 days and 3 hours", 788_400),
        ("  10S ", 10),
        ("1y", 31_536_000),
        ("1d2d", 259_200),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-5", "5 fortnights", "1h 30", "h", "1..5h", "٣h", "9" * 30, "1h;2h", "99999999999y"])
def test_what_is_no_duration_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_duration(text, "ttl")
    assert caught.value.field == "ttl"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90", int(NOW) + 90),
        ("in 5 h", int(NOW) + 18_000),
        ("+1d", int(NOW) + 86_400),
        ("2026-12-24 18:00", datetime(2026, 12, 24, 17, 0, tzinfo=UTC).timestamp()),
        ("2026-12-24T18:00:30Z", datetime(2026, 12, 24, 18, 0, 30, tzinfo=UTC).timestamp()),
        ("2026-12-24 18:00+05:30", datetime(2026, 12, 24, 12, 30, tzinfo=UTC).timestamp()),
        ("2027-01-01", datetime(2026, 12, 31, 23, 0, tzinfo=UTC).timestamp()),
        ("@1999999999", 1_999_999_999),
        ("never", None),
        ("Never", None),
        ("", KEEP),
        ("keep", KEEP),
    ],
)
def test_expiries(text: str, at: float | None) -> None:
    assert parse_expiry(text, NOW, BERLIN) == at


@pytest.mark.parametrize(
    "text", ["2026-11-24 13:00", "@5", "0", "2026-13-01", "2026-02-30 10:00", "tomorrow", f"@{LAST_MOMENT + 1}", "9000 y", "12-24-2026"]
)
def test_expiries_that_are_refused(text: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_expiry(text, NOW, BERLIN)
    assert caught.value.field == "expiry"


def test_a_time_that_the_clock_change_skips_is_refused_and_a_repeated_one_is_the_earlier() -> None:
    with pytest.raises(BadConfig, match="does not exist"):
        parse_expiry("2027-03-28 02:30", NOW, BERLIN)
    assert parse_expiry("2027-10-31 02:30", NOW, BERLIN) == datetime(2027, 10, 31, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than 1 s"),
        (0.4, "less than 1 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (90_000, "1 d 1 h"),
        (31_536_000, "1 y"),
    ],
)
def test_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
