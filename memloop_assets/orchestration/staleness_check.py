"""The check ``inputs_current``: no dataset rests on inputs that have moved on. It warns and stops nothing."""

import dagster as dg

from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.staleness import moved_weeks, stale_range

UP_TO_THE_SNAPSHOT = (
    "session_logs",
    "trajectories",
    "quarantined_lines",
    "trajectory_quality",
    "sft_examples",
    "router_samples",
    "dataset_snapshot",
)


@dg.asset_check(asset=dg.AssetKey("dataset_snapshot"), name="inputs_current")
def inputs_current(home: MemloopHome) -> dg.AssetCheckResult:
    """Every week of the snapshot, and of the tables that it rests on, was built from what its inputs are now."""
    opened = home.open()
    moved = moved_weeks(opened.store, UP_TO_THE_SNAPSHOT, opened.landing.landed_lines())
    span = stale_range(moved)
    listed = "\n".join(
        f"- {name} {week}: {', '.join(inputs)}" for name, weeks in moved.items() for week, inputs in weeks.items()
    )
    stale = sorted({week for weeks in moved.values() for week in weeks})
    return dg.AssetCheckResult(
        passed=not moved,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "stale_week_count": len(stale),
            "stale_weeks": ", ".join(map(str, stale)) or "none",
            "inputs_moved": dg.MetadataValue.md(listed or "none"),
            "fix": f"memloop backfill {span[0]}..{span[1]}" if span else "nothing to do",
        },
    )
