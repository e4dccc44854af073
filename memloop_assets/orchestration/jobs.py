"""The jobs: the whole weekly loop, its dry run, and the part of it that may run for several weeks at once."""

import dagster as dg

from memloop_assets.orchestration.run_tags import DRY_RUN_TAG

SERIAL_TAG = {"memloop/serial": "weekly_loop"}
DRY_RUN_OPS = {"training_report": {"config": {"dry_run": True}}}

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

dry_run = dg.define_asset_job(
    "dry_run",
    selection=dg.AssetSelection.groups("trajectories", "datasets", "routing", "benchmarks")
    | dg.AssetSelection.assets("training_report"),
    description="A week as the loop would run it: trained, evaluated, decided and reported. Nothing is promoted or recorded in the ledger.",
    tags={**SERIAL_TAG, DRY_RUN_TAG: "true"},
    config={"ops": DRY_RUN_OPS},
    executor_def=dg.in_process_executor,
)
