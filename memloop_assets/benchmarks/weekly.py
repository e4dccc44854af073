"""A week on the benchmark: the challenger, its controls and the baseline policies, scored on the same holdout tasks.

Joins suite, training samples and router; how a policy is scored is said in ``evaluation``.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from memloop_assets.benchmarks.evaluation import ArmStatistics, PolicyScores, score_baselines, score_policy
from memloop_assets.benchmarks.intervals import paired_bootstrap
from memloop_assets.benchmarks.suite import BenchmarkSuite, default_suite, load_suite
from memloop_assets.pictures import Point
from memloop_assets.routing.controls import fit_shuffled_control, fit_twin
from memloop_assets.routing.prior import Prior
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, best_single_arm

CHALLENGER = "challenger"
SHUFFLED = "shuffled-control"
TWIN = "aa-twin"
_SHUFFLING_SEED = 0


def current_suite(path: Path) -> BenchmarkSuite:
    """Return the imported suite, or the small default one where none was imported; raises BadInput for a damaged file."""
    return load_suite(path) if path.exists() else default_suite()


def score_router(
    suite: BenchmarkSuite, router: Router, name: str, expected_costs_usd: Mapping[str, float]
) -> PolicyScores:
    """Score a router on the holdout tasks, with what it predicted; it chooses by the prompt and the domain that the benchmark names."""
    tasks = suite.tasks_of("holdout")
    choices = {task.task_id: router.choose(task.prompt, domain=task.domain) for task in tasks}
    scored = score_policy(tasks, name, lambda task: choices[task.task_id].arm, expected_costs_usd)
    return replace(scored, predicted_rewards=np.array([choice.predicted_reward for choice in choices.values()]))


def score_week(  # noqa: PLR0913  # what the challenger was fitted on
    suite: BenchmarkSuite,
    router: Router,
    samples: pa.Table,
    prices: Mapping[str, float],
    training: TrainingSettings,
    *,
    prior: Prior | None = None,
) -> list[PolicyScores]:
    """Score the challenger, its shuffled control, its A/A twin and the five baseline policies, all from the same training samples.

    Raises BadInput for a router that was fitted on other samples.
    """
    statistics = ArmStatistics.of_samples(samples, prices)
    costs = statistics.mean_costs_usd
    best_arm, _ = best_single_arm(samples, prices, training)
    baselines = score_baselines(
        suite.tasks_of("holdout"), statistics, best_arm=best_arm, reference_arm=router.rule.reference_arm
    )
    return [
        score_router(suite, router, CHALLENGER, costs),
        score_router(suite, fit_shuffled_control(router, samples, training, seed=_SHUFFLING_SEED), SHUFFLED, costs),
        score_router(suite, fit_twin(router, samples, training, prior, seed=_twin_seed(router)), TWIN, costs),
        *baselines,
    ]


def _twin_seed(router: Router) -> int:
    """Return a seed that no challenger has, another one for every router: the luck of one for all weeks would stay on the same holdout."""
    return 1 + int(router.version[:7], 16)


def points_of(scores: list[PolicyScores], emphasised: str) -> list[Point]:
    """Return mean cost (USD per 1,000 calls) and mean reward with its interval for each policy that has both."""
    points = []
    for scored in scores:
        rewards = scored.rewards[scored.supported]
        if not rewards.size or scored.mean_cost_usd != scored.mean_cost_usd:
            continue
        interval = paired_bootstrap(rewards, resamples=500, seed=0)
        cost = 1000 * scored.mean_cost_usd
        points.append(
            Point(scored.policy, cost, interval.mean, interval.lower, interval.upper, scored.policy == emphasised)
        )
    return points
