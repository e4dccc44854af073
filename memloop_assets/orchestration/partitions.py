"""The one partitions definition: ISO weeks from the configured first week to the running one.

Its keys are the ISO dates of Mondays (``2026-W12-1``). This is the only module that reads settings while it is imported: Dagster needs
the first week to define the assets at all.
"""

import os
import warnings
from pathlib import Path

import dagster as dg

from memloop_assets.errors import BadWeek
from memloop_assets.settings import DEFAULT_FIRST_WEEK, find_home, load_settings
from memloop_assets.weeks import IsoWeek

# Dagster calls backfill policies and this mapping's parameter beta: known, pinned to one version, and tested as characterised behaviour.
warnings.filterwarnings(
    "ignore", category=dg.BetaWarning, message=".*(backfill_policy|allow_nonexistent_upstream_partitions)"
)

FIRST_WEEK = load_settings(find_home(os.environ, Path.cwd()), os.environ).first_week or DEFAULT_FIRST_WEEK

WEEKS = dg.WeeklyPartitionsDefinition(start_date=FIRST_WEEK.key, fmt="%G-W%V-%u", day_offset=1, end_offset=1)

PREVIOUS_WEEK = dg.TimeWindowPartitionMapping(
    start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
)


def offered_week(text: str) -> IsoWeek:
    """Return a week that people typed, once Dagster offers it as a partition; raises BadWeek otherwise."""
    week = IsoWeek.parse(text)
    if not WEEKS.has_partition_key(week.key):
        newest = WEEKS.get_last_partition_key()
        if newest is None:
            culprit = f"{week} is not offered, for the clock stands before the first week {FIRST_WEEK}"
            raise BadWeek("week", culprit, "set the clock right, or first_week in memloop.toml")
        fix = f"use {FIRST_WEEK} to {IsoWeek.parse(newest)}, or set first_week in memloop.toml"
        raise BadWeek("week", f"{week} is not offered", fix)
    return week
