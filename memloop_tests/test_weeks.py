"""ISO weeks: the calendar's corners, what people type, and the round trips that everything else leans on."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.errors import BadWeek
from memloop_assets.weeks import IsoWeek, parse_week_range, weeks_between

A_SECOND = timedelta(seconds=1)

weeks = st.dates(min_value=date(1, 1, 8), max_value=date(9999, 12, 19)).map(
    lambda day: IsoWeek(day.isocalendar().year, day.isocalendar().week)
)


@pytest.mark.parametrize("year", [1992, 1998, 2004, 2009, 2015, 2020, 2026, 2032])
def test_a_long_year_has_week_53_and_the_next_one_is_week_1(year: int) -> None:
    assert IsoWeek(year, 53).shift(1) == IsoWeek(year + 1, 1)
    assert IsoWeek(year + 1, 1).shift(-1) == IsoWeek(year, 53)


@pytest.mark.parametrize("year", [2019, 2021, 2025, 2027])
def test_a_short_year_refuses_week_53(year: int) -> None:
    with pytest.raises(BadWeek, match=rf"{year}-W53 is not in the calendar.*some years have W53"):
        IsoWeek(year, 53)


@pytest.mark.parametrize(("year", "number"), [(2026, 0), (2026, 54), (2026, -1), (0, 1), (10_000, 1), (9999, 52)])
def test_a_week_that_the_calendar_lacks_or_cannot_end_is_refused(year: int, number: int) -> None:
    with pytest.raises(BadWeek, match="not in the calendar"):
        IsoWeek(year, number)


@pytest.mark.parametrize(
    ("day", "week"),
    [
        ((2027, 1, 3), "2026-W53"),
        ((2027, 1, 4), "2027-W01"),
        ((2025, 12, 29), "2026-W01"),
        ((2025, 12, 28), "2025-W52"),
        ((2024, 12, 30), "2025-W01"),
        ((2021, 1, 1), "2020-W53"),
        ((2023, 1, 1), "2022-W52"),
        ((2024, 2, 29), "2024-W09"),
    ],
)
def test_days_at_the_end_of_a_year_fall_in_the_iso_year(day: tuple[int, int, int], week: str) -> None:
    assert str(IsoWeek.of(datetime(*day, 23, 59, 59, 999_999, tzinfo=UTC))) == week


def test_monday_midnight_utc_belongs_to_the_week_that_it_starts() -> None:
    week = IsoWeek(2026, 12)
    assert week.start == datetime(2026, 3, 16, tzinfo=UTC)
    assert week.end == datetime(2026, 3, 23, tzinfo=UTC)
    assert IsoWeek.of(week.start) == week
    assert IsoWeek.of(week.start - timedelta(microseconds=1)) == IsoWeek(2026, 11)
    assert IsoWeek.of(week.end - timedelta(microseconds=1)) == week
    assert IsoWeek.of(week.end) == IsoWeek(2026, 13)


def test_a_week_is_closed_from_its_very_end() -> None:
    week = IsoWeek(2026, 53)
    assert not week.is_closed(week.end - timedelta(microseconds=1))
    assert week.is_closed(week.end)
    assert week.is_closed(week.end.astimezone(ZoneInfo("Pacific/Kiritimati")))


def test_other_time_zones_are_read_in_utc() -> None:
    assert IsoWeek.of(datetime(2026, 3, 16, 0, 59, tzinfo=ZoneInfo("Europe/Berlin"))) == IsoWeek(2026, 11)
    assert IsoWeek.of(datetime(2026, 3, 15, 23, 59, tzinfo=ZoneInfo("America/New_York"))) == IsoWeek(2026, 12)
    assert IsoWeek.of(datetime(2026, 3, 16, 13, 59, tzinfo=ZoneInfo("Pacific/Kiritimati"))) == IsoWeek(2026, 11)


def test_the_change_to_summer_time_moves_the_edge_of_the_local_week_by_an_hour() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert IsoWeek.of(datetime(2026, 3, 23, 0, 59, tzinfo=berlin)) == IsoWeek(2026, 12)  # winter: UTC+1
    assert IsoWeek.of(datetime(2026, 3, 23, 1, 0, tzinfo=berlin)) == IsoWeek(2026, 13)
    assert IsoWeek.of(datetime(2026, 3, 30, 1, 59, tzinfo=berlin)) == IsoWeek(2026, 13)  # summer: UTC+2
    assert IsoWeek.of(datetime(2026, 3, 30, 2, 0, tzinfo=berlin)) == IsoWeek(2026, 14)


def test_a_naive_time_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="aware"):
        IsoWeek.of(datetime(2026, 3, 16))  # noqa: DTZ001  # naive on purpose


@pytest.mark.parametrize(
    "text", ["2026-W12", "2026W12", "2026-w12", "2026w12", "2026-W12-1", "2026W121", " 2026-W12\n", "2026-w12-1"]
)
def test_every_way_to_write_a_week_is_read(text: str) -> None:
    assert IsoWeek.parse(text) == IsoWeek(2026, 12)


@pytest.mark.parametrize("text", ["2026-W2", "2026W2", "2026-W02", "2026-W2-1"])
def test_a_single_digit_is_enough(text: str) -> None:
    assert str(IsoWeek.parse(text)) == "2026-W02"


@pytest.mark.parametrize(
    "text",
    [
        *("", "W12", "12", "2026", "26-W12", "2026-W", "2026-W123-1", "2026-W1x", "next week"),
        *("20260-W12", "1e3-W12", "2026-99", "2026-W02, 2026-W03 and 2026-W04"),
    ],
)
def test_anything_else_is_refused_and_the_fix_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(BadWeek, match=r"is not an ISO week. Fix: write it like 2026-W12"):
        IsoWeek.parse(text)


@pytest.mark.parametrize("text", ["2026-W12-3", "2026-W12-0", "2026-W12-7", "2026W125"])
def test_a_day_inside_a_week_is_refused_rather_than_rounded(text: str) -> None:
    with pytest.raises(BadWeek, match=r"names a day inside a week. Fix: write 2026-W12, or 2026-W12-1 for its Monday"):
        IsoWeek.parse(text)


@given(weeks)
def test_what_is_printed_is_read_back(week: IsoWeek) -> None:
    assert IsoWeek.parse(str(week)) == week
    assert IsoWeek.parse(week.key) == week
    assert IsoWeek.of(week.start) == week
    assert week.start.isoweekday() == 1
    assert week.key == f"{week.start:%G-W%V-%u}".rjust(10, "0")


@given(weeks, weeks)
def test_weeks_order_by_time_and_their_texts_order_alike(one: IsoWeek, other: IsoWeek) -> None:
    assert (one < other) == (one.start < other.start) == (str(one) < str(other))


@given(st.datetimes(datetime(1950, 1, 1), datetime(2400, 1, 1)), st.integers(-1000, 1000), st.integers(-14, 14))  # noqa: DTZ001
def test_shifting_there_and_back_ends_where_it_began(naive: datetime, distance: int, hours: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    week = IsoWeek.of(moment)
    assert week.start <= moment < week.end
    assert week.shift(distance).shift(-distance) == week
    assert week.shift(distance).start - week.start == timedelta(weeks=distance)
    assert IsoWeek.of(week.end) == week.shift(1)
    assert IsoWeek.of(week.end - A_SECOND) == week


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *((text, "2026-W12") for text in ("2026-12", "2026-W12-", "2026--W12", "2026 W12", "2026-W12..", "2026/W12")),
        *((text, "2026-W12") for text in ("-2026-W12", "2026-W12.3", "2026-W12.", "week 2026w12")),
        *((text, "2026-W12, the week of that day") for text in ("2026-03-16", "2026-W12-12")),
        ("2027-01-03T10:00", "2026-W53, the week of that day"),
    ],
)
def test_the_fix_of_what_is_nearly_a_week_names_that_week(text: str, meant: str) -> None:
    with pytest.raises(BadWeek) as refused:
        IsoWeek.parse(text)
    assert refused.value.fix == f"did you mean {meant}?"


def test_a_range_holds_both_ends_and_every_week_between() -> None:
    found = list(weeks_between(IsoWeek(2026, 52), IsoWeek(2027, 2)))
    assert [str(week) for week in found] == ["2026-W52", "2026-W53", "2027-W01", "2027-W02"]
    assert list(weeks_between(IsoWeek(2026, 5), IsoWeek(2026, 5))) == [IsoWeek(2026, 5)]
    assert list(weeks_between(IsoWeek(2026, 5), IsoWeek(2026, 4))) == []


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-W02..2026-W17", "2026-W02", "2026-W17"),
        ("2026-W02 .. 2026W17", "2026-W02", "2026-W17"),
        ("2026-W05", "2026-W05", "2026-W05"),
        ("2026-W53..2027-W01", "2026-W53", "2027-W01"),
        ("2026-W02-1..2026-W17-1", "2026-W02", "2026-W17"),
    ],
)
def test_a_range_is_read(text: str, first: str, last: str) -> None:
    assert parse_week_range(text) == (IsoWeek.parse(first), IsoWeek.parse(last))


@pytest.mark.parametrize(
    "text",
    [
        *("2026-W02...2026-W05", "2026-W02-2026-W05", "2026-W02 to 2026-W05", "2026-02..2026-05"),
        *("2026-W02..05", "2026-W02..W5", "2026-W02-W05"),
    ],
)
def test_the_fix_of_what_is_nearly_a_range_names_that_range(text: str) -> None:
    with pytest.raises(BadWeek, match=r"did you mean 2026-W02\.\.2026-W05\?$"):
        parse_week_range(text)


@pytest.mark.parametrize("text", ["2026-W02..", "..2026-W05", "..", "2026-W02..2026-03-99"])
def test_a_range_that_lacks_an_end_is_refused(text: str) -> None:
    with pytest.raises(BadWeek, match="write it like 2026-W12"):
        parse_week_range(text)


def test_a_range_that_runs_backwards_is_refused_and_turned_round_in_the_fix() -> None:
    with pytest.raises(BadWeek, match=r"ends before it starts. Fix: write 2026-W02\.\.2026-W17"):
        parse_week_range("2026-W17..2026-W02")
