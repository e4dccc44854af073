"""The Monday schedule: the week just closed, and nothing before the first week."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from memloop_assets.definitions import defs
from memloop_assets.orchestration.schedules import monday
from memloop_assets.weeks import IsoWeek


def tick(moment: datetime) -> tuple[list[dg.RunRequest], str | None]:
    """Evaluate the schedule as the daemon does at a moment: what it asks for, and why it asks for nothing."""
    context = dg.build_schedule_context(
        instance=dg.DagsterInstance.ephemeral(),
        scheduled_execution_time=moment,
        repository_def=defs.get_repository_def(),
    )
    data = monday.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


@pytest.mark.parametrize(
    ("moment", "closed"),
    [
        (datetime(2026, 1, 12, 5, tzinfo=UTC), "2026-W02"),
        (datetime(2026, 3, 30, 5, tzinfo=UTC), "2026-W13"),
        (datetime(2026, 12, 28, 5, tzinfo=UTC), "2026-W52"),
        (datetime(2027, 1, 4, 5, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 11, 5, tzinfo=UTC), "2027-W01"),
    ],
)
def test_monday_asks_for_the_week_that_has_just_closed(moment: datetime, closed: str) -> None:
    (request,), _ = tick(moment)
    week = IsoWeek.parse(closed)
    assert request.partition_key == week.key
    assert (request.run_key, request.tags["memloop/week"]) == (closed, closed)
    assert week.is_closed(moment)
    assert not week.shift(1).is_closed(moment)


def test_a_late_tick_asks_for_the_same_week_under_the_same_key() -> None:
    on_time, late = (tick(datetime(2026, 3, day, 5, tzinfo=UTC))[0][0] for day in (16, 18))
    assert on_time.run_key == late.run_key == "2026-W11"


def test_before_the_first_week_has_closed_there_is_nothing_to_run() -> None:
    requests, reason = tick(datetime(2026, 1, 5, 5, tzinfo=UTC))
    assert not requests
    assert reason == "2026-W01 lies before the first week 2026-W02"


def test_it_ticks_on_mondays_at_five_utc_for_the_whole_loop() -> None:
    assert (monday.cron_schedule, monday.execution_timezone, monday.job_name) == ("0 5 * * 1", "UTC", "weekly_loop")
