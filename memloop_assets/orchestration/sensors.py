"""The sensor: new and late log lines, and the datasets of exactly the weeks that they fall in. Never the gate.

Lands what has changed in the configured folders and asks Dagster; which weeks to ask for is decided in ``week_requests``.
"""

import dagster as dg

from memloop_assets.errors import MemloopError
from memloop_assets.orchestration.jobs import datasets
from memloop_assets.orchestration.partitions import FIRST_WEEK, WEEKS
from memloop_assets.orchestration.resources import Home, MemloopHome
from memloop_assets.orchestration.week_requests import RunOutcome, plan_requests
from memloop_assets.trajectories.landing import landed_label
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.trajectories.watching import Watched, land_changes
from memloop_assets.weeks import IsoWeek

_RUN_KEY = "dagster/run_key"
_MEGABYTE = 1 << 20


@dg.sensor(job=datasets, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def new_log_lines(context: dg.SensorEvaluationContext, home: MemloopHome) -> dg.SensorResult | dg.SkipReason:
    """Land new lines of the log folders and rebuild the datasets of their weeks, late ones included."""
    opened = home.open()
    sensing = opened.settings.sensor
    watched = land_changes(
        opened.landing,
        opened.settings.log_folders,
        ReadOptions(timezone=opened.settings.logs.timezone),
        file_limit=sensing.files_per_tick,
        byte_limit=sensing.megabytes_per_tick * _MEGABYTE,
    )
    landed = opened.landing.index.digests()
    offered = {week: digest for week, digest in landed.items() if WEEKS.has_partition_key(week.key)}
    plan = plan_requests(
        offered,
        lambda week: _built_from(opened, week),
        opened.landing.index.requests(),
        lambda key: _outcome_of(context.instance, key),
        sensing.runs_per_tick,
    )
    opened.landing.index.write_requests([*plan.settled, *plan.asked])
    notes = [*_notes_on(watched), *_notes_on_weeks("not offered", sorted(set(landed) - set(offered)))]
    if set(landed) - set(offered):
        notes[-1] += f": kept; the first week is {FIRST_WEEK}"
    notes += _notes_on_weeks("asked for on the next ticks", plan.later)
    notes += _notes_on_weeks("failed three times, mend and `memloop backfill`", plan.given_up)
    for note in notes:
        context.log.info(note)
    if not plan.asked:
        return dg.SkipReason("; ".join([f"no week to ask for, {watched.file_count} files", *notes]))
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=request.run_key, partition_key=request.week.key, tags={"memloop/week": str(request.week)}
            )
            for request in plan.asked
        ]
    )


def _built_from(opened: Home, week: IsoWeek) -> str | None:
    """Return the digest of the lines that a week's ``session_logs`` was built from, None where it does not stand."""
    try:
        inputs = opened.store.manifest("session_logs", week)["inputs"]
    except MemloopError:
        return None
    return inputs.get(landed_label(week))


def _outcome_of(instance: dg.DagsterInstance, run_key: str) -> RunOutcome:
    """Return what became of the newest run of a key. A run that a person has cancelled is done with."""
    runs = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: run_key}), limit=1)
    if not runs:
        return "none"
    if runs[0].status == dg.DagsterRunStatus.FAILURE:
        return "failed"
    return "done" if runs[0].is_finished else "underway"


def _notes_on(watched: Watched) -> list[str]:
    notes = [f"folder {folder} is not there" for folder in watched.missing]
    notes += watched.faults
    if watched.left_count:
        notes.append(f"{watched.left_count} changed files left for the next tick")
    return notes


def _notes_on_weeks(text: str, weeks: list[IsoWeek]) -> list[str]:
    return [f"{', '.join(map(str, weeks))} {text}"] if weeks else []
