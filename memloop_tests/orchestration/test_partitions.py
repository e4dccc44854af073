"""Weeks as partitions: what people type, what Dagster offers, and that both mean the same week."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from dagster._core.test_utils import freeze_time

from memloop_assets.errors import BadWeek
from memloop_assets.orchestration.partitions import FIRST_WEEK, PREVIOUS_WEEK, WEEKS, offered_week
from memloop_assets.weeks import IsoWeek

WEDNESDAY = datetime(2027, 1, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize("typed", ["2026-W12", "2026w12", " 2026-W12-1 ", "2026W12"])
def test_a_week_is_offered_however_it_is_typed(typed: str) -> None:
    with freeze_time(WEDNESDAY):
        assert offered_week(typed) == IsoWeek(2026, 12)


@pytest.mark.parametrize("typed", ["2026-W01", "2025-W52", "2027-W02", "2999-W01"])
def test_a_week_that_is_not_offered_is_refused_with_those_that_are(typed: str) -> None:
    with freeze_time(WEDNESDAY), pytest.raises(BadWeek, match="2026-W02 to 2027-W01"):
        offered_week(typed)


@pytest.mark.parametrize("typed", ["2026-W12-3", "2026-W54", "12", "2026-12", "latest"])
def test_what_names_no_week_is_refused_and_never_read_as_a_neighbour(typed: str) -> None:
    with freeze_time(WEDNESDAY), pytest.raises(BadWeek):
        offered_week(typed)


def test_the_offered_keys_are_the_weeks_from_the_first_to_the_running_one() -> None:
    keys = WEEKS.get_partition_keys(current_time=WEDNESDAY)
    weeks = [IsoWeek.parse(key) for key in keys]
    assert weeks[0] == FIRST_WEEK == IsoWeek(2026, 2)
    assert weeks[-1] == IsoWeek.of(WEDNESDAY)
    assert all(later == earlier.shift(1) for earlier, later in pairwise(weeks))
    assert [week.key for week in weeks] == keys


def test_a_decision_depends_on_the_week_before_and_the_first_on_none() -> None:
    with freeze_time(WEDNESDAY):
        subset = WEEKS.subset_with_partition_keys(["2026-W02-1", "2027-W01-1"])
        found = PREVIOUS_WEEK.get_upstream_mapped_partitions_result_for_partitions(subset, WEEKS, WEEKS)
        assert set(found.partitions_subset.get_partition_keys()) == {"2026-W53-1"}


def test_a_clock_that_stands_before_the_first_week_is_named() -> None:
    with freeze_time(FIRST_WEEK.start - timedelta(days=30)), pytest.raises(BadWeek, match="the clock stands before"):
        offered_week("2026-W03")
