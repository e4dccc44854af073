"""The control: where the training logs' rewards say nothing of the tasks, the loop refuses; a small, seeded piece of the benchmark of it.

The full run, two hundred weeks per setting with intervals, is ``benchmarks/learning_and_refusal.py``; its functions are used here.
"""

import tempfile
from collections.abc import Sequence
from functools import cache
from math import comb
from pathlib import Path

import pytest

from benchmarks.learning_and_refusal import (
    SHUFFLES,
    Samples,
    decide_weeks,
    open_sources,
    passes_thresholds,
    read_world,
)
from memloop_assets.benchmarks.suite import BenchmarkSuite, load_suite
from memloop_assets.promotion.weekly import DecidedWeek
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.simulate import World
from memloop_assets.weeks import weeks_between
from memloop_tests.scenario import FIRST, LAST_RUN, decisions, finished_home

SEEDS = range(5)
WEEKS_PER_WORLD = 8
WEEK_COUNT = len(SEEDS) * WEEKS_PER_WORLD
MOST_PROMOTIONS = 5
"""Of 40 weeks. A gate that errs in 5 % of them passes this in 1.4 % of all seeds (binomial), one that errs in 30 % fails it in 99 %."""


@cache
def small_world(seed: int) -> tuple[Samples, BenchmarkSuite]:
    """Return the samples and the benchmark (about 260 holdout tasks) of one small world, read back from its logs."""
    world = World(first_week=FIRST, seed=seed, week_count=WEEKS_PER_WORLD, trajectories_per_week=80)
    with tempfile.TemporaryDirectory(prefix="memloop-tests-") as folder:
        return read_world(world, Path(folder), task_count=320)


def run_chain(samples: Samples, suite: BenchmarkSuite, training: TrainingSettings) -> list[DecidedWeek]:
    """Decide every week in a home of its own; decide_weeks itself objects where a week that is not promoted moves the champion."""
    with tempfile.TemporaryDirectory(prefix="memloop-tests-") as folder:
        sources = open_sources(Path(folder), training, next(iter(samples)))
        return list(decide_weeks(samples, suite, sources))


def shuffled_decisions(shuffle: str, training: TrainingSettings) -> Sequence[DecidedWeek]:
    found = []
    for seed in SEEDS:
        samples, suite = small_world(seed)
        found += run_chain(SHUFFLES[shuffle](samples, seed), suite, training)
    assert len(found) == WEEK_COUNT
    return found


def chance_of_more_than(most: int, trials: int, share: float) -> float:
    return 1 - sum(comb(trials, n) * share**n * (1 - share) ** (trials - n) for n in range(most + 1))


def test_the_tolerance_lets_an_error_of_five_percent_pass_and_not_much_more() -> None:
    assert chance_of_more_than(MOST_PROMOTIONS, WEEK_COUNT, 0.05) < 0.02
    assert chance_of_more_than(MOST_PROMOTIONS, WEEK_COUNT, 0.30) > 0.98


def test_rewards_shuffled_over_all_rows_promote_at_most_one_week_in_twenty() -> None:
    decided = shuffled_decisions("over all rows", TrainingSettings())
    assert sum(one.decision.accepted for one in decided) <= WEEK_COUNT // 20


def test_rewards_shuffled_within_each_arm_promote_at_most_one_week_in_twenty_where_thresholds_alone_promote_many() -> (
    None
):
    decided = shuffled_decisions("within each arm", TrainingSettings())
    assert sum(one.decision.accepted for one in decided) <= MOST_PROMOTIONS
    assert sum(passes_thresholds(one) for one in decided) > 2 * MOST_PROMOTIONS


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_shuffle_changes_whose_reward_it_is_and_nothing_else(shuffle: str) -> None:
    samples, _ = small_world(0)
    shuffled = SHUFFLES[shuffle](samples, 0)
    before, after = ([row for rows in found.values() for row in rows.to_pylist()] for found in (samples, shuffled))
    dealt = {"reward"} if shuffle == "over all rows" else {"reward", "propensity"}
    assert [{k: v for k, v in row.items() if k not in dealt} for row in after] == [
        {k: v for k, v in row.items() if k not in dealt} for row in before
    ]
    kept = ("reward",) if shuffle == "over all rows" else ("arm", "reward", "propensity")
    assert sorted([str(row[k]) for k in kept] for row in after) == sorted([str(row[k]) for k in kept] for row in before)
    assert sum(one["reward"] != other["reward"] for one, other in zip(after, before, strict=True)) > len(before) / 3


def test_the_control_decides_real_samples_as_the_whole_loop_does(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    samples = {week: home.store.read("router_samples", week) for week in weeks_between(FIRST, LAST_RUN)}
    decided = run_chain(samples, load_suite(home.places.benchmark_suite), TrainingSettings())
    assert {str(one.week): one.decision.outcome for one in decided} == decisions(home)
    assert [one.row["champion_after"] for one in decided] == [row.to_version for row in home.ledger.rows()]


def test_an_empty_week_and_a_failed_one_leave_the_champion_as_it_was() -> None:
    samples, suite = small_world(0)
    broken = dict(samples)
    weeks = list(samples)
    broken[weeks[2]] = samples[weeks[2]].slice(0, 0)
    broken[weeks[4]] = None
    decided = run_chain(broken, suite, TrainingSettings())
    outcomes = [one.decision.outcome for one in decided]
    assert (outcomes[2], outcomes[4]) == ("skip", "error")
    for one in decided:
        assert one.row["champion_after"] == (
            one.row["challenger"] if one.decision.accepted else one.row["champion_before"]
        )
