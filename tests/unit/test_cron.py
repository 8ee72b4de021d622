"""The schedule grammar, its words, its runs across clock changes, and Stalwart's own reading of it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.cron import (
    Cron,
    celery_fields,
    clock_change,
    latest_run,
    next_runs,
    on_the_clock,
    parse,
    runs_between,
    stalwart_next,
    stalwart_notes,
    stalwart_reading,
    words,
)
from stores.errors import BadConfig

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")

crons = st.one_of(
    st.builds(Cron, st.integers(0, 59)),
    st.builds(Cron, st.integers(0, 59), st.integers(0, 23), st.none() | st.integers(1, 7)),
)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0 3 *", Cron(0, 3)),
            ("5 *", Cron(5)),
            ("30 * *", Cron(30)),
            ("0 3 1", Cron(0, 3, 1)),
            ("59 23 7", Cron(59, 23, 7)),
            ("0 0 1", Cron(0, 0, 1)),
            ("00 03 *", Cron(0, 3)),
            ("+5 +4 +3", Cron(5, 4, 3)),
            ("  0   3  * ", Cron(0, 3)),
        ],
    )
    def test_accepts(self, text: str, expected: Cron) -> None:
        assert parse(text) == expected

    @pytest.mark.parametrize(
        ("text", "field", "value", "accepted"),
        [
            ("60 3 *", "minute", "60", "0 to 59"),
            ("* 3 *", "minute", "*", "0 to 59"),
            ("-1 3 *", "minute", "-1", "0 to 59"),
            ("x 3 *", "minute", "x", "0 to 59"),
            ("1,2 3 *", "minute", "1,2", "lists"),
            ("٣ 3 *", "minute", "٣", "0 to 59"),
            ("9" * 5000 + " 3 *", "minute", "999", "0 to 59"),
            ("0 24 *", "hour", "24", "0 to 23"),
            ("0 1-5 *", "hour", "1-5", "0 to 23"),
            ("0 */2 *", "hour", "*/2", "`0 *`"),
            ("5 * 1", "weekday", "1", "every day"),
            ("0 3 0", "weekday", "0", "7 is Sunday"),
            ("0 3 8", "weekday", "8", "1 to 7"),
            ("0 3 99", "weekday", "99", "1 to 7"),
            ("0 3 Mon", "weekday", "Mon", "1 is Monday"),
            ("0 3 1,2", "weekday", "1,2", "1 to 7"),
            ("0 3", "weekday", "0 3", "`0 3 *`"),
            ("", "frequency", "empty", "minute hour weekday"),
            ("5", "frequency", "5", "minute hour weekday"),
            ("0 3 * extra", "frequency", "extra", "minute hour weekday"),
        ],
    )
    def test_refuses_with_field_value_and_accepted_form(self, text: str, field: str, value: str, accepted: str) -> None:
        with pytest.raises(BadConfig) as caught:
            parse(text)
        assert caught.value.field == field
        assert value in caught.value.message
        assert accepted in caught.value.fix

    @given(crons)
    def test_text_of_a_schedule_reads_back(self, cron: Cron) -> None:
        assert parse(str(cron)) == cron

    @given(st.text(max_size=30))
    def test_any_text_gives_a_schedule_or_a_typed_error(self, text: str) -> None:
        try:
            parse(text)
        except BadConfig as error:
            assert error.field and error.fix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 3 *", "Every day at 03:00"),
        ("5 *", "Every hour at 5 minutes past"),
        ("1 *", "Every hour at 1 minute past"),
        ("0 *", "Every hour on the hour"),
        ("0 3 1", "Every Monday at 03:00"),
        ("30 23 7", "Every Sunday at 23:30"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(parse(text)) == expected


def test_celery_counts_sunday_as_zero() -> None:
    assert celery_fields(Cron(0, 3, 7)) == {"minute": "0", "hour": "3", "day_of_week": "0", "day_of_month": "*", "month_of_year": "*"}
    assert celery_fields(Cron(0, 3, 1))["day_of_week"] == "1"
    assert celery_fields(Cron(5))["hour"] == "*"
    assert celery_fields(Cron(5))["day_of_week"] == "*"


def _stamps(text: str, zone: ZoneInfo, start: tuple[int, ...], count: int) -> list[str]:
    after = datetime(*start, tzinfo=UTC)  # type: ignore[arg-type,misc]
    return [run.strftime("%d %H:%M%z") for run in next_runs(parse(text), after, zone, count)]


class TestClockChanges:
    """Berlin: 29 Mar 2026 02-03, 25 Oct. New York: 8 Mar 02-03, 1 Nov. Lord Howe: half an hour, 4 Oct 02:00-02:30, 5 Apr."""

    @pytest.mark.parametrize(
        ("text", "zone", "start", "expected"),
        [
            ("30 2 *", BERLIN, (2026, 3, 28, 0), ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]),
            ("0 2 *", BERLIN, (2026, 3, 28, 0), ["28 02:00+0100", "29 03:00+0200", "30 02:00+0200"]),
            ("0 3 *", BERLIN, (2026, 3, 28, 0), ["28 03:00+0100", "29 03:00+0200", "30 03:00+0200"]),
            ("30 2 7", BERLIN, (2026, 3, 23, 0), ["29 03:00+0200", "05 02:30+0200"]),
            ("30 2 *", NEW_YORK, (2026, 3, 7, 6), ["07 02:30-0500", "08 03:00-0400", "09 02:30-0400"]),
            ("15 2 *", LORD_HOWE, (2026, 10, 2, 15), ["03 02:15+1030", "04 02:30+1100", "05 02:15+1100"]),
            ("30 2 *", LORD_HOWE, (2026, 10, 2, 15), ["03 02:30+1030", "04 02:30+1100", "05 02:30+1100"]),
        ],
    )
    def test_a_skipped_time_runs_at_the_first_moment_after(
        self, text: str, zone: ZoneInfo, start: tuple[int, ...], expected: list[str]
    ) -> None:
        assert _stamps(text, zone, start, len(expected)) == expected

    @pytest.mark.parametrize(
        ("text", "zone", "start", "expected"),
        [
            ("30 2 *", BERLIN, (2026, 10, 24, 0), ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]),
            ("0 3 *", BERLIN, (2026, 10, 24, 0), ["24 03:00+0200", "25 03:00+0100", "26 03:00+0100"]),
            ("30 1 *", NEW_YORK, (2026, 10, 31, 5), ["31 01:30-0400", "01 01:30-0400", "02 01:30-0500"]),
            ("45 1 *", LORD_HOWE, (2026, 4, 3, 13), ["04 01:45+1100", "05 01:45+1100", "06 01:45+1030"]),
        ],
    )
    def test_a_repeated_time_runs_once(self, text: str, zone: ZoneInfo, start: tuple[int, ...], expected: list[str]) -> None:
        assert _stamps(text, zone, start, len(expected)) == expected

    @pytest.mark.parametrize("minute", range(0, 60, 5))
    @pytest.mark.parametrize(
        ("zone", "start"),
        [
            (BERLIN, (2026, 3, 28, 20)),
            (BERLIN, (2026, 10, 24, 20)),
            (NEW_YORK, (2026, 3, 8, 3)),
            (NEW_YORK, (2026, 11, 1, 2)),
            (LORD_HOWE, (2026, 10, 3, 10)),
            (LORD_HOWE, (2026, 4, 4, 10)),
        ],
    )
    def test_hourly_runs_whenever_the_clock_shows_the_minute(self, zone: ZoneInfo, start: tuple[int, ...], minute: int) -> None:
        after = datetime(*start, tzinfo=UTC)  # type: ignore[arg-type,misc]
        every = (after + timedelta(minutes=n) for n in range(1, 12 * 60 + 1))
        expected = [moment for moment in every if moment.astimezone(zone).minute == minute]
        runs = runs_between(Cron(minute), after, after + timedelta(hours=12), zone)
        assert [run.astimezone(UTC) for run in runs] == expected

    def test_hourly_keeps_its_pace_where_the_clock_jumps_a_whole_hour(self) -> None:
        assert _stamps("10 *", BERLIN, (2026, 3, 29, 0), 3) == ["29 01:10+0100", "29 03:10+0200", "29 04:10+0200"]
        assert _stamps("10 *", BERLIN, (2026, 10, 24, 23, 30), 4) == ["25 02:10+0200", "25 02:10+0100", "25 03:10+0100", "25 04:10+0100"]

    def test_no_run_is_offered_twice_in_the_second_pass_of_an_hour(self) -> None:
        second_pass = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
        assert second_pass.astimezone(BERLIN).fold == 1
        assert next_runs(Cron(30, 2), second_pass, BERLIN, 1)[0].strftime("%d %H:%M") == "26 02:30"

    def test_day_that_a_country_left_out(self) -> None:
        apia = ZoneInfo("Pacific/Apia")
        runs = next_runs(Cron(0, 3), datetime(2011, 12, 29, 0, tzinfo=UTC), apia, 4)
        assert [run.strftime("%d %H:%M") for run in runs] == ["29 03:00", "31 00:00", "31 03:00", "01 03:00"]

    def test_runs_off_the_clock_are_told_apart(self) -> None:
        gap = next_runs(Cron(30, 2), datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN, 1)[0]
        assert not on_the_clock(Cron(30, 2), gap)
        first, second = next_runs(Cron(10), datetime(2026, 10, 24, 23, 30, tzinfo=UTC), BERLIN, 2)
        assert on_the_clock(Cron(10), first) and not on_the_clock(Cron(10), second)
        assert clock_change(first, second, BERLIN) == timedelta(hours=-1)
        assert clock_change(gap, gap + timedelta(days=1), BERLIN) is None

    @given(
        crons,
        st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Havana")]),
        st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    )
    def test_runs_ascend_and_the_latest_is_found_again(self, cron: Cron, zone: ZoneInfo, after: datetime) -> None:
        runs = [run.astimezone(UTC) for run in next_runs(cron, after, zone, 4)]
        assert runs[0] > after
        longest = timedelta(hours=2) if cron.hour is None else timedelta(hours=26) if cron.weekday is None else timedelta(days=7, hours=2)
        assert all(timedelta() < b - a <= longest for a, b in pairwise(runs))
        assert latest_run(cron, runs[2], zone) == runs[2]
        assert latest_run(cron, runs[2] - timedelta(seconds=1), zone) == runs[1]

    def test_a_moment_without_zone_is_a_programming_error(self) -> None:
        with pytest.raises(ValueError, match="zone"):
            next_runs(Cron(0), datetime(2026, 1, 1), BERLIN)


STARTED = datetime(2026, 11, 24, 8, 42, tzinfo=UTC)
"""A Tuesday: when the server whose choices are recorded below was started."""


class TestStalwart:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "25 Nov 05:00"),
            ("0 3 *", "25 Nov 03:00"),
            ("30 * *", "24 Nov 09:30"),
            ("5 *", "24 Nov 09:05"),
            ("50 *", "24 Nov 08:50"),
            ("0 3 1", "30 Nov 03:00"),
            ("0 3 8", "07 Dec 03:00"),
            ("0 3 0", "29 Nov 03:00"),
            ("0 3", "25 Nov 05:00"),
            ("0 0 1", "25 Nov 05:00"),
            ("0 12 7", "25 Nov 05:00"),
            ("0 3 * extra", "25 Nov 03:00"),
            ("00 03 *", "25 Nov 03:00"),
        ],
    )
    def test_next_run_as_recorded(self, text: str, expected: str) -> None:
        found = stalwart_next(text, STARTED)
        assert found is not None and found.strftime("%d %b %H:%M") == expected

    def test_weekly_fires_today_while_the_time_is_ahead(self) -> None:
        tuesday = datetime(2026, 11, 24, 1, 43, tzinfo=BERLIN)
        for text in ("0 3 1", "0 3 5"):
            assert stalwart_next(text, tuesday) == datetime(2026, 11, 24, 3, 0, tzinfo=BERLIN)

    def test_weekly_overshoots_by_a_week(self) -> None:
        wednesday = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
        assert stalwart_next("0 3 5", wednesday) == datetime(2026, 12, 4, 3, 0, tzinfo=UTC)

    def test_weekday_zero_on_a_sunday(self) -> None:
        sunday = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
        assert stalwart_next("0 3 0", sunday) is None
        assert stalwart_next("0 3 0", sunday, "0.15") == datetime(2026, 12, 6, 3, 0, tzinfo=UTC)

    def test_daily_is_off_by_the_shift_after_a_clock_change(self) -> None:
        assert stalwart_next("0 3 *", datetime(2026, 3, 28, 3, 0, tzinfo=BERLIN)) == datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)

    def test_time_that_does_not_exist_today(self) -> None:
        now = datetime(2026, 3, 29, 1, 0, tzinfo=BERLIN)
        found = stalwart_next("30 2 *", now)
        assert found is not None and found - now.astimezone(UTC) == timedelta(hours=24, seconds=-1)

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("0 0 1", "failed to parse weekday, invalid value: 0, range is 1 (Monday) to 7 (Sunday)."),
            ("0 12 7", "failed to parse weekday, invalid value: 12, range is 1 (Monday) to 7 (Sunday)."),
            ("0 3", "parse cron expression."),
            ("5", "parse cron expression."),
            ("x", "failed to parse cron minute"),
            ("", "failed to parse cron minute"),
            ("* * *", "failed to parse cron minute"),
            ("*/5 * *", "failed to parse cron minute"),
            ("4294967296 3 *", "failed to parse cron minute"),
            ("60 3 *", "failed to parse minute, invalid value: 60"),
            ("0 24 *", "failed to parse hour, invalid value: 24"),
            ("0  3 *", "failed to parse cron hour"),
            (" 0 3 *", "failed to parse cron minute"),
            ("0 3 ", "failed to parse cron weekday"),
            ("0 3 Mon", "failed to parse cron weekday"),
            ("0 3 1,2", "failed to parse cron weekday"),
        ],
    )
    def test_refusals_word_for_word(self, text: str, error: str) -> None:
        assert stalwart_reading(text).error == f"Invalid cron key: {error}"
        (note,) = stalwart_notes(text)
        assert note.kind == "rejects" and error in note.text and "`0 5 *`" in note.text

    @pytest.mark.parametrize("text", ["0 3 *", "30 * *", "5 *", "00 03 *", "+5 *"])
    def test_nothing_to_say_about_a_plain_schedule(self, text: str) -> None:
        assert stalwart_notes(text) == ()

    @pytest.mark.parametrize(
        ("text", "kind", "part"),
        [
            ("0 3 5", "misfires", "today, whatever the weekday, if 03:00 is still ahead"),
            ("0 3 0", "accepts", "crashes"),
            ("0 3 8", "accepts", "on a Monday every 14 days"),
            ("0 3 99", "accepts", "on a Monday every 105 days"),
            ("0 3 * extra", "ignores", "`0 3 *`"),
            ("5 */2 x", "ignores", "`5 *`"),
            ("5 * 1", "ignores", "every hour at 5 minutes past"),
        ],
    )
    def test_notes(self, text: str, kind: str, part: str) -> None:
        (note,) = stalwart_notes(text)
        assert note.kind == kind and part in note.text

    def test_blanks_and_the_odd_range_check_are_explained(self) -> None:
        assert "exactly one blank" in stalwart_notes("0  3 *")[0].text
        assert "1 to 7 o'clock" in stalwart_notes("0 12 7")[0].text
        assert "`0 3 *`" in stalwart_notes("x", default="0 3 *")[0].text

    def test_weekday_zero_from_0_12_on(self) -> None:
        assert "crashes" not in stalwart_notes("0 3 0", "0.15")[0].text

    def test_0_16_has_a_schedule_of_its_own(self) -> None:
        assert [note.kind for note in stalwart_notes("0 3 *", "0.16")] == ["own"]
        assert [note.kind for note in stalwart_notes("0 3 1", "0.16")] == ["own", "misfires"]

    @given(st.text(alphabet="0123456789+*/ -,xM", max_size=16))
    def test_what_both_accept_means_the_same(self, text: str) -> None:
        ours = None
        with suppress(BadConfig):
            ours = parse(text)
        theirs = stalwart_reading(text)
        if ours is not None and not theirs.error:
            assert theirs.cron == ours
