"""The doorway of the room ``benchmarks``: the frozen suite, and each week's results on it."""

import dagster as dg

from memloop_assets import __version__
from memloop_assets.benchmarks.evaluation import result_rows
from memloop_assets.benchmarks.standing import is_own, no_own_benchmark
from memloop_assets.benchmarks.tables import BENCHMARK_RESULTS, BENCHMARK_SUITE, suite_of_table, suite_table
from memloop_assets.benchmarks.weekly import CHALLENGER, SHUFFLED, TWIN, current_suite, points_of, score_week
from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.table_metadata import column_schema, known, picture, publication_metadata
from memloop_assets.orchestration.week_loop import HOOKS, OWNERS, Built, run_weeks, weekly_asset
from memloop_assets.pictures import draw_points
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.prior_files import load_prior
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.store import Provenance
from memloop_assets.weeks import IsoWeek

GROUP = "benchmarks"


@dg.asset(
    group_name=GROUP,
    kinds={"parquet"},
    owners=OWNERS,
    code_version=__version__,
    hooks=HOOKS,
    metadata={
        "dagster/column_schema": column_schema(BENCHMARK_SUITE),
        "row": BENCHMARK_SUITE.row,
        "key": "task_id, arm",
    },
)
def benchmark_suite(home: MemloopHome) -> dg.MaterializeResult:
    """The frozen tasks with the outcome of every arm: your own benchmark, or a small made-up one on which nothing is promoted.

    Your own: `memloop benchmark build` (from your logs) or `memloop benchmark import FILE`.
    """
    opened = home.open()
    suite = current_suite(opened.places.benchmark_suite)
    publication = opened.store.publish(BENCHMARK_SUITE, None, suite_table(suite), Provenance(code_version=__version__))
    return dg.MaterializeResult(
        metadata={
            **publication_metadata(publication),
            "benchmark": f"{suite.name} {suite.version}" if is_own(suite) else no_own_benchmark(),
            "name": suite.name,
            "fingerprint": suite.fingerprint,
            "arms": ", ".join(suite.arms),
            "holdout_task_count": len(suite.tasks_of("holdout")),
            "practice_task_count": len(suite.tasks_of("practice")),
        }
    )


@weekly_asset(
    BENCHMARK_RESULTS,
    group=GROUP,
    kinds={"numpy", "parquet"},
    deps=["router_checkpoint", "dataset_snapshot", "benchmark_suite"],
)
def benchmark_results(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """What the challenger, its controls and the baseline policies earn on the holdout tasks, task by task.

    They count for nothing on the made-up tasks that ship with memloop: `memloop benchmark build` or `memloop benchmark import FILE`.
    """
    opened = home.open()
    suite = suite_of_table(opened.store.read("benchmark_suite", None))
    training = opened.settings.section("routing", TrainingSettings)
    missing = {} if is_own(suite) else {"benchmark": no_own_benchmark()}

    def build(week: IsoWeek) -> Built:
        inputs = {**opened.store.input_of("router_checkpoint", week), **opened.store.input_of("benchmark_suite", None)}
        challengers = opened.store.read("router_checkpoint", week).to_pylist()
        if not challengers:
            return Built(BENCHMARK_RESULTS.table([]), inputs, metadata=missing)
        router = load_checkpoint(opened.places.router_versions, challengers[0]["version"])
        kept = challengers[0]["prior_version"]
        prior = load_prior(opened.places.router_priors, kept) if kept else None
        scores = score_week(suite, router, read_samples(opened.store, week), opened.arm_prices, training, prior=prior)
        drawn = draw_points(
            points_of([one for one in scores if one.policy != TWIN], CHALLENGER),  # it would lie on the challenger
            title=f"Reward against cost, {week}",
            x_label="USD per 1,000 calls",
            y_label="mean reward",
        )
        by_name = {scored.policy: scored for scored in scores}
        shown = {
            "challenger_reward": by_name[CHALLENGER].mean_reward,
            "challenger_cost_usd": by_name[CHALLENGER].mean_cost_usd,
            "best_single_arm_reward": by_name["best-single-arm"].mean_reward,
            "shuffled_control_reward": by_name[SHUFFLED].mean_reward,
            "oracle_reward": by_name["oracle"].mean_reward,
        }
        return Built(
            result_rows(scores, suite.tasks_of("holdout"), week),
            inputs,
            config=(opened.arm_prices, training),
            metadata={**missing, **known(shown), "reward_against_cost": picture(drawn, "reward against cost")},
        )

    return run_weeks(context, opened, BENCHMARK_RESULTS, build)
