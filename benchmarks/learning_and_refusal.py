"""Whether the loop learns what is there, and refuses what is not: the simulated world with its truth, and with shuffled rewards.

Learning: `memloop demo`, sixteen weeks per seed; the last champion's true reward and cost on fresh tasks of the last week, beside the
truly best single arm's.

Refusing: worlds of eight weeks whose training samples are shuffled, once all rewards over all rows, once within each arm (each reward
keeps its propensity, so every arm keeps its mean, and only the tie to the task is lost). Logs are written, read and cut once per world;
each setting then runs the loop's own functions from the samples on: snapshot, fit, benchmark (not shuffled), gate, ledger.
A promotion is *truly worse* where the world's truth says so in the gate's own utility, on fresh tasks of the week.

Not measured: more than one world's prose, drifts other than this one's, weeks decided in parallel. Weeks of one world share champion and
benchmark, so the interval over weeks is somewhat too narrow; the one over worlds is beside it.

    python benchmarks/learning_and_refusal.py [--weeks 200] [--seeds 5] [--parts learning refusing]
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from memloop_assets.benchmarks.evaluation import result_rows
from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import BenchmarkSuite
from memloop_assets.benchmarks.tables import BENCHMARK_RESULTS, BENCHMARK_SUITE, suite_table
from memloop_assets.benchmarks.weekly import score_week
from memloop_assets.datasets.leakage import holdout_keys
from memloop_assets.datasets.samples import build_router_samples
from memloop_assets.datasets.snapshot import build_snapshot, read_samples, read_window, window_of
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, ROUTER_SAMPLES, SFT_EXAMPLES
from memloop_assets.home import open_home
from memloop_assets.promotion.evidence import Sources, champion_router
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.weekly import DecidedWeek, decide, record_first_decision
from memloop_assets.routing.checkpoint import load_checkpoint, save_checkpoint
from memloop_assets.routing.router import Router
from memloop_assets.routing.tables import ROUTER_CHECKPOINT, checkpoint_row
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.routing.versions import BUILT_IN, Ledger
from memloop_assets.simulate import (
    ARMS,
    World,
    best_single_arm_performance,
    evaluate_policy,
    write_benchmark,
    write_logs,
)
from memloop_assets.state import State
from memloop_assets.store import Provenance, Store
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.quality import RULE_NUMBER, grade_trajectory
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.trajectories.tables import TRAJECTORY_QUALITY, quality_row
from memloop_assets.weeks import IsoWeek

FIRST_WEEK = IsoWeek(2025, 2)
LONG_AFTER = datetime(2026, 1, 1, tzinfo=UTC)
PRICES_USD = {name: arm.price_usd for name, arm in ARMS.items()}
RETENTION_WEEKS = 26
Samples = Mapping[IsoWeek, pa.Table]


def read_world(world: World, folder: Path, task_count: int = 1_600) -> tuple[Samples, BenchmarkSuite]:
    """Write a world's logs and benchmark below a folder; return its router samples by week, read back as the loop does."""
    write_benchmark(world, folder / "benchmark.parquet", task_count)
    suite = import_long_table(folder / "benchmark.parquet", name="drawn", holdout_share=0.8)
    write_logs(world, folder / "logs")
    home = open_home(folder, {}, lambda: LONG_AFTER)
    for path in find_logs(folder / "logs"):
        home.landing.ingest(path, ReadOptions())
    reading, held = CutWeek(home.landing, home.settings.logs), holdout_keys(suite_table(suite))
    samples = {}
    for week in world.weeks:
        trajectories, _ = cut_week(reading, week, home.settings.arms)
        graded = (
            quality_row(row["trajectory_id"], grade_trajectory(SimpleNamespace(**row)), week, RULE_NUMBER)
            for row in trajectories.to_pylist()
        )
        samples[week], _ = build_router_samples(trajectories, TRAJECTORY_QUALITY.table(graded), held)
    home.state.close()
    return samples, suite


def shuffle_everywhere(samples: Samples, seed: int) -> Samples:
    """Deal the rewards of all weeks anew over all rows: neither task nor arm tells anything of them."""
    rng = np.random.default_rng([seed, 3])
    rewards = np.concatenate([rows["reward"].to_numpy() for rows in samples.values()])
    return _deal(samples, {"reward": rewards[rng.permutation(rewards.size)]})


def shuffle_within_arms(samples: Samples, seed: int) -> Samples:
    """Deal the rewards, each with its propensity, anew within each arm: what an arm is worth stays, for which task is lost."""
    rng = np.random.default_rng([seed, 4])
    columns = {
        name: np.concatenate([rows[name].to_numpy() for rows in samples.values()]) for name in ("reward", "propensity")
    }
    arms = np.array([arm for rows in samples.values() for arm in rows["arm"].to_pylist()])
    source = np.arange(arms.size)
    for arm in sorted(set(arms.tolist())):
        places = np.flatnonzero(arms == arm)
        source[places] = rng.permutation(places)
    return _deal(samples, {name: values[source] for name, values in columns.items()})


def _deal(samples: Samples, columns: Mapping[str, np.ndarray]) -> Samples:
    dealt, start = {}, 0
    for week, rows in samples.items():
        table = rows
        for name, values in columns.items():
            place = table.column_names.index(name)
            part = pa.array(values[start : start + rows.num_rows], pa.float64(), from_pandas=True)
            table = table.set_column(place, name, part)
        dealt[week], start = table, start + rows.num_rows
    return dealt


SHUFFLES: Mapping[str, Callable[[Samples, int], Samples]] = {
    "over all rows": shuffle_everywhere,
    "within each arm": shuffle_within_arms,
}


def decide_weeks(
    samples: Samples, suite: BenchmarkSuite, training: TrainingSettings, folder: Path
) -> Iterator[tuple[DecidedWeek, Router, Router]]:
    """Run the loop from the samples on, week by week; yield each decision with its champion and challenger.

    Raises AssertionError where a week that promotes nothing moves the champion.
    """
    store, state = Store(folder / "tables"), State(folder / "state.sqlite")
    sources = Sources(store, Ledger(state), folder / "routers", PRICES_USD, training, next(iter(samples)))
    policy, made = PromotionPolicy(), Provenance()
    store.publish(BENCHMARK_SUITE, None, suite_table(suite), made)
    held = holdout_keys(suite_table(suite))
    for week, rows in samples.items():
        store.publish(ROUTER_SAMPLES, week, rows, made)
        store.publish(SFT_EXAMPLES, week, SFT_EXAMPLES.table([]), made)
        examples, inputs, _ = read_window(store, window_of(week, sources.first_week, RETENTION_WEEKS))
        store.publish(DATASET_SNAPSHOT, week, build_snapshot(week, examples, held)[0], Provenance(inputs))
        retained = read_samples(store, week)
        challenger = fit_router(retained, PRICES_USD, training)
        save_checkpoint(challenger, sources.router_versions)
        row = checkpoint_row(challenger, week, retained.num_rows)
        store.publish(ROUTER_CHECKPOINT, week, ROUTER_CHECKPOINT.table([row]), made)
        scores = score_week(suite, challenger, retained, PRICES_USD, training)
        store.publish(BENCHMARK_RESULTS, week, result_rows(scores, suite.tasks_of("holdout"), week), made)
        before = sources.ledger.champion_as_of(week)
        champion = champion_router(before, week, sources, retained)
        decided = decide(week, sources, policy, LONG_AFTER)
        published = store.publish(PROMOTION_DECISION, week, PROMOTION_DECISION.table([decided.row]), made)
        record_first_decision(decided, sources, published.generation, LONG_AFTER)
        after = sources.ledger.champion_as_of(week.shift(1))
        assert after == (challenger.version if decided.decision.accepted else before), (week, decided.row)
        yield decided, champion, challenger
    state.close()
