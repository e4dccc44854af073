"""A range of weeks in one run of one process: what ``memloop backfill`` starts as a subprocess.

Run as ``python -m memloop_assets.orchestration.backfill 2026-W02 2026-W17 [--dry-run] [--no-resume]``, with DAGSTER_HOME and MEMLOOP_HOME
set. Exit status 0 when the run ended well (single weeks may still stand failed: they are printed), 1 when it did not, 2 when it was refused
or the disk ended it, after one line that says why.
"""

import logging
import os
import sys
import warnings
from pathlib import Path

import dagster as dg

from memloop_assets import errors
from memloop_assets.disk_faults import naming_disk_faults
from memloop_assets.errors import MemloopError
from memloop_assets.orchestration.own_runs import (
    FINGERPRINT_TAG,
    close_dead_runs,
    fingerprint,
    finished_before,
    finished_tag,
    own_tags,
    refuse_beside_other_runs,
    sole_backfill,
)
from memloop_assets.orchestration.partitions import offered_week
from memloop_assets.orchestration.progress import ProgressPrinter
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.run_tags import range_tags
from memloop_assets.orchestration.week_loop import PROGRESS
from memloop_assets.settings import find_home

_NOTHING_RAN = 2
_NAMED = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))


def run_range(first: str, last: str, *, is_dry_run: bool = False, may_resume: bool = True) -> bool:
    """Materialise every asset for a range of weeks in one run, in order; return whether the run ended well.

    A run that an earlier backfill left dead is closed; where nothing has changed since, what it finished is not run again.
    Raises BadWeek, and WriterConflict where another run is writing this home.
    """
    from memloop_assets.definitions import defs
    from memloop_assets.orchestration.jobs import DRY_RUN_OPS

    start, end = offered_week(first), offered_week(last)
    job = defs.resolve_job_def("dry_run" if is_dry_run else "weekly_loop")
    home = MemloopHome().open()
    with sole_backfill(home.places.backfill_lock), dg.DagsterInstance.get() as instance:
        for dead in close_dead_runs(instance, home):
            print(f"  closed run {dead.run_id[:8]}: its process had ended", flush=True)
        refuse_beside_other_runs(instance)
        mark = fingerprint(home, job.name, start, end)
        keys = job.asset_layer.selected_asset_keys
        weekly = {key.path[-1] for key in keys if job.asset_layer.get(key).is_partitioned}
        stopped, finished = finished_before(instance, home, mark, weekly) if may_resume else ("", frozenset())
        if finished:
            print(f"  resumes run {stopped[:8]}: {len(finished)} of {len(keys)} assets were finished", flush=True)
        result = job.execute_in_process(
            instance=instance,
            tags={**range_tags(start, end), **own_tags(), FINGERPRINT_TAG: mark, **finished_tag(finished)},
            asset_selection=[key for key in keys if key.path[-1] not in finished] if finished else None,
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": DRY_RUN_OPS if is_dry_run else {},
            },
            raise_on_error=False,
        )
    for event in result.filter_events(lambda event: event.is_step_failure):
        print(f"memloop: {why_failed(event)}", file=sys.stderr)
    return result.success


def why_failed(event: dg.DagsterEvent) -> str:
    """Return why a step failed: one line where memloop can name it, the whole trace of anything else."""
    whole = cause = event.step_failure_data.error
    while cause is not None and cause.cls_name not in _NAMED:
        cause = cause.cause
    if cause is not None:
        return str(cause.message.partition(": ")[2].strip())
    return f"{event.step_key}: {whole.to_string() if whole else 'Dagster does not say why'}"


def main() -> int:
    """Run the range named on the command line."""
    printer = ProgressPrinter(sys.stdout)
    PROGRESS.addHandler(printer)
    PROGRESS.setLevel(logging.INFO)
    PROGRESS.propagate = False
    flags = sys.argv[3:]
    try:
        with naming_disk_faults(find_home(os.environ, Path.cwd())):
            is_well = run_range(
                sys.argv[1], sys.argv[2], is_dry_run="--dry-run" in flags, may_resume="--no-resume" not in flags
            )
    except MemloopError as error:
        print(f"memloop: {error}", file=sys.stderr)
        return _NOTHING_RAN
    finally:
        printer.finish()
    return 0 if is_well else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
