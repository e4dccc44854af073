"""The jobs: the whole weekly loop, and the part of it that may run for several weeks at once."""

import dagster as dg

SERIAL_TAG = {"memloop/serial": "weekly_loop"}

weekly_loop = dg.define_asset_job(
    "weekly_loop",
    selection=dg.AssetSelection.groups("trajectories", "datasets", "routing", "benchmarks", "promotion"),
    description="The whole week, from log lines to a promotion decision. Chosen weeks started from this page are one run, in order.",
    tags=SERIAL_TAG,
    executor_def=dg.in_process_executor,
)

datasets = dg.define_asset_job(
    "datasets",
    selection=dg.AssetSelection.groups("trajectories", "datasets", "routing", "benchmarks"),
    description="A week up to its benchmark results, without a decision. Several weeks may run at once.",
    executor_def=dg.in_process_executor,
)
