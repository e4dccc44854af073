"""The schedule: every Monday, the week just closed."""

from collections.abc import Iterator

import dagster as dg

from memloop_assets.orchestration.jobs import weekly_loop
from memloop_assets.orchestration.partitions import FIRST_WEEK
from memloop_assets.weeks import IsoWeek


@dg.schedule(job=weekly_loop, cron_schedule="0 5 * * 1", execution_timezone="UTC")
def monday(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Run the weekly loop for the week that ended at Monday 00:00 UTC."""
    closed = IsoWeek.of(context.scheduled_execution_time).shift(-1)
    if closed < FIRST_WEEK:
        yield dg.SkipReason(f"{closed} lies before the first week {FIRST_WEEK}")
        return
    yield dg.RunRequest(run_key=str(closed), partition_key=closed.key, tags={"memloop/week": str(closed)})
