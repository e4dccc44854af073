"""The doorway of the room ``datasets``: three tables of examples, and the snapshot over all weeks."""

from collections.abc import Mapping

import dagster as dg
import pyarrow.compute as pc

from memloop_assets.datasets.graded import GradedWeek
from memloop_assets.datasets.leakage import HoldoutKeys, NearHoldout, holdout_keys, no_holdout_overlap
from memloop_assets.datasets.preferences import build_preference_pairs, read_trials
from memloop_assets.datasets.samples import build_router_samples
from memloop_assets.datasets.snapshot import (
    build_snapshot,
    drop_near_holdout,
    read_window,
    weigh_snapshot,
    window_of,
)
from memloop_assets.datasets.supervised import build_sft_examples
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, PREFERENCE_PAIRS, ROUTER_SAMPLES, SFT_EXAMPLES
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.table_metadata import MetadataValue, known
from memloop_assets.orchestration.week_loop import Built, run_weeks, weekly_asset
from memloop_assets.store import Store
from memloop_assets.trajectories.redaction import RedactionSettings
from memloop_assets.trajectories.secret_verdict import no_secrets
from memloop_assets.weeks import IsoWeek

GROUP = "datasets"
_HELD_OUT = ("holdout_excluded_count", "holdout_near_duplicate_count")


@weekly_asset(
    SFT_EXAMPLES, group=GROUP, kinds={"parquet"}, deps=["trajectories", "trajectory_quality", "benchmark_suite"]
)
def sft_examples(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Conversations worth imitating: HIGH or MEDIUM, never a known failure, never a holdout task."""
    opened = home.open()
    secretless = no_secrets(opened.settings.section("redaction", RedactionSettings).rules)
    near = NearHoldout(opened.store)

    def build(week: IsoWeek) -> Built:
        graded, holdout, inputs = _week_inputs(opened.store, week)
        told, near_count = near.drop(graded.trajectories())
        rows, counts = build_sft_examples(told, graded.quality(), holdout)
        counts["holdout_near_duplicate_count"] = near_count
        shown = _left_out(counts, "known_failure_count", "low_quality_count", "wrong_context_count")
        return Built(rows, inputs, rules=[no_holdout_overlap(holdout), secretless], metadata=shown)

    return run_weeks(context, opened, SFT_EXAMPLES, build)


@weekly_asset(
    PREFERENCE_PAIRS, group=GROUP, kinds={"parquet"}, deps=["trajectories", "trajectory_quality", "benchmark_suite"]
)
def preference_pairs(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Two answers to the same task, one of which earned more: of the week, or of the week and an earlier retained one."""
    opened = home.open()
    secretless = no_secrets(opened.settings.section("redaction", RedactionSettings).rules)
    near = NearHoldout(opened.store)

    def build(week: IsoWeek) -> Built:
        settings = opened.settings.datasets
        holdout = holdout_keys(opened.store.read("benchmark_suite", None))
        trials, inputs, missing, excluded = read_trials(
            opened.store, window_of(week, opened.first_week, settings.retention_weeks), holdout
        )
        trials, near_count = near.drop(trials)
        rows, counts = build_preference_pairs(week, trials, settings)
        counts |= {"holdout_excluded_count": excluded, "holdout_near_duplicate_count": near_count}
        shown = _left_out(counts, "different_prompt_count")
        return Built(
            rows,
            {**opened.store.input_of("benchmark_suite", None), **inputs},
            rules=[no_holdout_overlap(holdout), secretless],
            config=(settings,),
            metadata={
                **shown,
                "task_count": len(pc.unique(rows["task_key"])),
                "missing_weeks": ", ".join(missing) or "none",
            },
        )

    return run_weeks(context, opened, PREFERENCE_PAIRS, build)


@weekly_asset(
    ROUTER_SAMPLES, group=GROUP, kinds={"parquet"}, deps=["trajectories", "trajectory_quality", "benchmark_suite"]
)
def router_samples(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Trials that a router can learn from: a task, the arm that served it, the reward that it earned."""
    opened = home.open()
    secretless = no_secrets(opened.settings.section("redaction", RedactionSettings).rules)
    near = NearHoldout(opened.store)

    def build(week: IsoWeek) -> Built:
        graded, holdout, inputs = _week_inputs(opened.store, week)
        told, near_count = near.drop(graded.trajectories())
        rows, counts = build_router_samples(told, graded.quality(), holdout)
        counts["holdout_near_duplicate_count"] = near_count
        numbers = {"arm_count": len(pc.unique(rows["arm"])), "mean_reward": pc.mean(rows["reward"]).as_py()}
        shown = {**_left_out(counts, "no_reward_count"), **known(numbers)}
        return Built(rows, inputs, rules=[no_holdout_overlap(holdout), secretless], metadata=shown)

    return run_weeks(context, opened, ROUTER_SAMPLES, build)


@weekly_asset(
    DATASET_SNAPSHOT,
    group=GROUP,
    kinds={"parquet"},
    deps=["sft_examples", "preference_pairs", "router_samples", "benchmark_suite"],
)
def dataset_snapshot(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Everything that may be trained on as of the week: all retained weeks, deduplicated, free of the holdout and what is close to it."""
    opened = home.open()
    near = NearHoldout(opened.store)

    def build(week: IsoWeek) -> Built:
        holdout = holdout_keys(opened.store.read("benchmark_suite", None))
        window = window_of(week, opened.first_week, opened.settings.datasets.retention_weeks)
        examples, inputs, missing = read_window(opened.store, window)
        examples, near_count = drop_near_holdout(examples, near)
        rows, counts = build_snapshot(week, examples, holdout)
        rows, dropped = weigh_snapshot(rows, examples, opened.settings.datasets)
        return Built(
            rows,
            {**opened.store.input_of("benchmark_suite", None), **inputs},
            rules=[no_holdout_overlap(holdout)],
            config=(opened.settings.datasets,),
            metadata={
                **counts,
                "holdout_near_duplicate_count": near_count,
                **dropped,
                "sample_count": pc.sum(pc.equal(rows["table_name"], ROUTER_SAMPLES.name)).as_py() or 0,
                "missing_weeks": ", ".join(missing) or "none",
            },
        )

    return run_weeks(context, opened, DATASET_SNAPSHOT, build)


def _left_out(counts: Mapping[str, int], *charted: str) -> dict[str, MetadataValue]:
    """Return how many rows of a week teach nothing: the counts that chart every week, 0 included, and all of them as a list."""
    listed = "\n".join(
        f"- {count} x {reason.removesuffix('_count')}" for reason, count in sorted(counts.items()) if count
    )
    numbers = {name: counts.get(name, 0) for name in (*_HELD_OUT, *charted)}
    return {**numbers, "left_out": dg.MetadataValue.md(listed or "none")}


def _week_inputs(store: Store, week: IsoWeek) -> tuple[GradedWeek, HoldoutKeys, dict[str, str]]:
    graded = GradedWeek.pin(store, week)
    inputs = {**graded.inputs, **store.input_of("benchmark_suite", None)}
    return graded, holdout_keys(store.read("benchmark_suite", None)), inputs
