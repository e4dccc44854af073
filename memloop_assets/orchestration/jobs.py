"""The jobs: the whole weekly loop, the same for backfills from the UI, and the part that may run for several weeks at once."""

import dagster as dg

SERIAL_TAG = {"memloop/serial": "weekly_loop"}

weekly_loop = dg.define_asset_job(
    "weekly_loop",
    selection=dg.AssetSelection.groups("trajectories", "datasets", "routing", "benchmarks", "promotion"),
    description="The whole week, from log lines to a promotion decision. One at a time: the gate goes week by week.",
    tags=SERIAL_TAG,
    executor_def=dg.in_process_executor,
)

past_weeks = dg.define_asset_job(
    "past_weeks",
    selection=weekly_loop.selection - dg.AssetSelection.assets("benchmark_suite"),
    description="Chosen weeks, from the UI. Leaves the frozen benchmark as it is: three runs, where with it Dagster needs five.",
    tags=SERIAL_TAG,
    executor_def=dg.in_process_executor,
)

datasets = dg.define_asset_job(
    "datasets",
    selection=dg.AssetSelection.groups("trajectories", "datasets", "routing", "benchmarks"),
    description="A week up to its benchmark results, without a decision. Several weeks may run at once.",
    executor_def=dg.in_process_executor,
)
