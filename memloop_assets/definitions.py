"""Everything that Dagster serves: the rooms in the order in which data flows, and what runs them."""

import dagster as dg

from memloop_assets.benchmarks import assets as benchmarks
from memloop_assets.datasets import assets as datasets
from memloop_assets.orchestration import jobs, schedules, sensors, staleness_check
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.promotion import assets as promotion
from memloop_assets.routing import assets as routing
from memloop_assets.trajectories import assets as trajectories

defs = dg.Definitions(
    assets=[
        trajectories.session_logs,
        trajectories.trajectories,
        trajectories.quarantined_lines,
        trajectories.trajectory_quality,
        datasets.sft_examples,
        datasets.preference_pairs,
        datasets.router_samples,
        datasets.dataset_snapshot,
        routing.router_checkpoint,
        benchmarks.benchmark_suite,
        benchmarks.benchmark_results,
        promotion.promotion_decision,
        promotion.champion,
        promotion.training_report,
    ],
    asset_checks=[staleness_check.inputs_current],
    jobs=[jobs.weekly_loop, jobs.datasets, jobs.dry_run],
    schedules=[schedules.monday],
    sensors=[sensors.new_log_lines],
    resources={"home": MemloopHome()},
    executor=dg.in_process_executor,
)
