"""A range of weeks in one run of one process: what ``memloop backfill`` starts as a subprocess.

Run as ``python -m memloop_assets.orchestration.backfill 2026-W02 2026-W17``, with DAGSTER_HOME and MEMLOOP_HOME set. Exit status 0 when the
run ended well (single weeks may still stand failed: they are printed), 1 when it did not, 2 when the weeks were refused and nothing ran.
"""

import logging
import sys
import warnings

import dagster as dg

from memloop_assets.errors import MemloopError
from memloop_assets.orchestration.partitions import offered_week
from memloop_assets.orchestration.progress import ProgressPrinter
from memloop_assets.orchestration.week_loop import PROGRESS

_NOTHING_RAN = 2
_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def run_range(first: str, last: str) -> bool:
    """Materialise every asset for a range of weeks in one run, in order; return whether the run ended well. Raises BadWeek."""
    from memloop_assets.definitions import defs

    start, end = offered_week(first), offered_week(last)
    job = defs.resolve_job_def("weekly_loop")
    tags = {"dagster/asset_partition_range_start": start.key, "dagster/asset_partition_range_end": end.key}
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, run_config=_QUIET, raise_on_error=False)
    return result.success


def main() -> int:
    """Run the range named on the command line."""
    printer = ProgressPrinter(sys.stdout)
    PROGRESS.addHandler(printer)
    PROGRESS.setLevel(logging.INFO)
    PROGRESS.propagate = False
    try:
        is_well = run_range(sys.argv[1], sys.argv[2])
    except MemloopError as error:
        print(f"memloop: {error}", file=sys.stderr)
        return _NOTHING_RAN
    finally:
        printer.finish()
    return 0 if is_well else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
