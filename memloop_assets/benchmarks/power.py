"""Power: what a suite lets the gate find, before any router exists.

Two routers differ at most where two arms differ, by at most what the best arm of a task earns more than the worst. So the mean square of
best minus worst, over tasks, bounds the mean square of any two routers' difference; for rewards of 0 and 1 it is the share of tasks on
which the arms' outcomes differ. Figures made from it are on the careful side: a difference is found at the latest there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memloop_assets.benchmarks.intervals import detectable_difference, tasks_needed
from memloop_assets.benchmarks.suite import BenchmarkSuite, BenchmarkTask

GOAL = 0.04


@dataclass(frozen=True, slots=True)
class Power:
    """What a suite lets the gate find at its confidence with 80 % power; rewards in [0, 1].

    ``differing_ratio``: share of the ``compared_count`` tasks on which the arms' rewards differ, ``mean_square``: of best minus worst;
    both over the tasks that all arms tried, where there are none over those that two or more did.
    ``detectable``: smallest true difference that the holdout finds; ``goal_count``: holdout tasks for a difference of 4 points;
    ``tie_count``: holdout tasks to show that an equally good router loses less than the gate's margin. ``headroom``: what the best arm of
    each task, in hindsight, earns more than the best single arm, over the tasks that all arms tried; None where there are none.
    """

    holdout_count: int
    compared_count: int
    differing_ratio: float
    mean_square: float
    detectable: float
    goal_count: int
    tie_count: int
    headroom: float | None


def measure_power(suite: BenchmarkSuite, *, reward_margin: float, confidence: float) -> Power:
    """Return the power of a suite, its share of differing tasks measured on holdout and practice together."""
    whole = [task for task in suite.tasks if len(task.outcomes) == len(suite.arms) > 1]
    compared = whole or [task for task in suite.tasks if len(task.outcomes) > 1]
    rewards = [[outcome.reward for outcome in task.outcomes.values()] for task in compared]
    spreads = [max(found) - min(found) for found in rewards]
    count = len(spreads)
    mean_square = sum(spread * spread for spread in spreads) / count if count else 0.0
    holdout_count = len(suite.tasks_of("holdout"))
    return Power(
        holdout_count=holdout_count,
        compared_count=count,
        differing_ratio=sum(spread > 0.0 for spread in spreads) / count if count else 0.0,
        mean_square=mean_square,
        detectable=detectable_difference(mean_square, holdout_count, confidence=confidence),
        goal_count=tasks_needed(GOAL, max(mean_square - GOAL * GOAL, 0.0), confidence=confidence) or 0,
        tie_count=tasks_needed(reward_margin, mean_square, confidence=confidence) or 0,
        headroom=_headroom(whole, suite.arms),
    )


def _headroom(whole: Sequence[BenchmarkTask], arms: Sequence[str]) -> float | None:
    if not whole:
        return None
    of_arm = [sum(task.outcomes[arm].reward for task in whole) for arm in arms]
    in_hindsight = sum(max(outcome.reward for outcome in task.outcomes.values()) for task in whole)
    return (in_hindsight - max(of_arm)) / len(whole)
