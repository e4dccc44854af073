"""Reward against cost in USD, for any number of arms: the curve of a router's operating points and its summaries.

An operating point is one setting of a router (a willingness to pay, a margin, a threshold) with its mean cost and
reward. Here: AIQ, reward at a cost, and what a router saves at the reference arm's quality. Not here: two arms counted
in calls (``tradeoff``), nor how a router is set (``routing/router.py``). numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memloop_assets.benchmarks.group_bootstrap import (
    DEFAULT_RESAMPLING,
    Floats,
    Resampling,
    bootstrap_means,
    group_rows,
    paired_difference,
)
from memloop_assets.benchmarks.intervals import Interval
from memloop_assets.errors import BadInput


class CostCurve(NamedTuple):
    """Corners of the non-decreasing convex hull, by ascending mean cost in USD; flat to the right of the last."""

    cost_usd: Floats
    reward: Floats


@dataclass(frozen=True, eq=False)
class Sweep:
    """k operating points on n tasks, rewards and costs (k, n), beside the reference arm's own, each (n,).

    Raises BadInput for shapes or numbers that do not fit.
    """

    task_keys: Sequence[str]
    rewards: Floats
    costs_usd: Floats
    reference_rewards: Floats
    reference_costs_usd: Floats

    def __post_init__(self) -> None:
        """Refuse shapes and numbers that do not fit."""
        count = len(self.task_keys)
        shapes = (np.shape(self.rewards), np.shape(self.costs_usd))
        is_whole = shapes[0] == shapes[1] and len(shapes[0]) == 2 and shapes[0][0] > 0 and shapes[0][1] == count > 0
        references = (self.reference_rewards, self.reference_costs_usd)
        if not is_whole or any(np.shape(values) != (count,) for values in references):
            fix = "give (points, tasks) rewards and costs, and the reference arm's per task"
            raise BadInput("operating points", f"shapes {shapes} for {count} tasks", fix)
        if not all(np.isfinite(values).all() for values in (self.rewards, self.costs_usd, *references)):
            raise BadInput("operating points", "a reward or cost is not finite", "drop that task")


class Saving(NamedTuple):
    """What an operating point that was chosen elsewhere saves on the test tasks.

    ``point`` is its number, None where none was good enough and the reference arm itself serves. ``saved_ratio``: one
    minus its cost over the reference arm's; ``reward_difference``: its reward minus the reference arm's.
    """

    point: int | None
    saved_ratio: Interval
    reward_difference: Interval


def trace_frontier(costs_usd: ArrayLike, rewards: ArrayLike) -> CostCurve:
    """Return the best that mixing operating points can earn at each cost, given each one's mean cost and reward (m,).

    The upper convex hull, without the part in which more cost earns less: one may always spend more for nothing
    (RouterBench calls it the non-decreasing convex hull). Raises BadInput for no points or numbers that do not fit.
    """
    cost, reward = np.asarray(costs_usd, dtype=np.float64), np.asarray(rewards, dtype=np.float64)
    if cost.shape != reward.shape or cost.ndim != 1 or not cost.size:
        raise BadInput("cost curve", "costs and rewards differ in shape or are empty", "give one of each per point")
    if not (np.isfinite(cost).all() and np.isfinite(reward).all()):
        raise BadInput("cost curve", "a cost or reward is not finite", "drop that operating point")
    corners: list[tuple[float, float]] = []
    for place in np.lexsort((-reward, cost)):
        point = float(cost[place]), float(reward[place])
        if corners and point[1] <= corners[-1][1]:
            continue
        while len(corners) > 1 and _lies_below(corners[-1], corners[-2], point):
            corners.pop()
        corners.append(point)
    return CostCurve(*(np.array(values) for values in zip(*corners, strict=True)))


def reward_at_cost(curve: CostCurve, cost_usd: float) -> float:
    """Return the reward of the curve at a mean cost per task in USD.

    Raises BadInput for a cost below the cheapest operating point: nothing is known there.
    """
    if not cost_usd >= curve.cost_usd[0]:
        culprit = f"{cost_usd:g} USD is less than its cheapest operating point costs"
        raise BadInput("cost curve", culprit, f"ask for at least {curve.cost_usd[0]:g} USD")
    return float(np.interp(cost_usd, curve.cost_usd, curve.reward))


def average_improvement_in_quality(curve: CostCurve, cost_range_usd: tuple[float, float] | None = None) -> float:
    """Return RouterBench's AIQ: the mean reward of the curve over a range of costs, by default its own.

    AIQ = ∫ reward(c) dc / (c_max - c_min) (Hu et al., 2024, "RouterBench", arXiv:2403.12031, section 3). Routers are
    comparable over one range only: give the same to each. Raises BadInput for a range of no width, or one that begins
    below the cheapest operating point.
    """
    low, high = cost_range_usd or (float(curve.cost_usd[0]), float(curve.cost_usd[-1]))
    if not high > low:
        raise BadInput("AIQ", f"the costs range from {low:g} to {high:g} USD", "give a range of some width")
    inside = curve.cost_usd[(curve.cost_usd > low) & (curve.cost_usd < high)]
    costs = np.concatenate([[low], inside, [high]])
    rewards = [reward_at_cost(curve, float(cost)) for cost in costs]
    return float(np.trapezoid(rewards, costs)) / (high - low)


def choose_operating_point(calibration: Sweep, slack: float = 0.0) -> int | None:
    """Return the cheapest point whose mean reward is at least the reference arm's minus ``slack``; None for none."""
    rewards, costs = calibration.rewards.mean(axis=1), calibration.costs_usd.mean(axis=1)
    good = np.flatnonzero(rewards >= float(calibration.reference_rewards.mean()) - slack - 1e-12)
    return int(good[np.argmin(costs[good])]) if good.size else None


def saving_at_reference_quality(
    calibration: Sweep, test: Sweep, slack: float = 0.0, resampling: Resampling = DEFAULT_RESAMPLING
) -> Saving:
    """Return what a router saves on the test tasks at the operating point chosen on the calibration tasks.

    The point is never chosen on what it is scored on: a task on both sides raises BadInput. So does another number of
    points, and a reference arm that costs nothing on the test tasks. Bounds are over test task groups.
    """
    both = sorted(set(calibration.task_keys) & set(test.task_keys))
    if both:
        culprit = f"{len(both)} tasks stand in calibration and test, {both[0]!r} among them"
        raise BadInput("saving", culprit, "cut the tasks by their keys")
    if len(calibration.rewards) != len(test.rewards):
        culprit = f"{len(calibration.rewards)} operating points were calibrated and {len(test.rewards)} are tested"
        raise BadInput("saving", culprit, "sweep the same points on both parts")
    if not float(np.mean(test.reference_costs_usd)) > 0.0:
        raise BadInput("saving", "the reference arm costs nothing", "name a reference arm with a cost")
    point = choose_operating_point(calibration, slack)
    costs = test.reference_costs_usd if point is None else test.costs_usd[point]
    rewards = test.reference_rewards if point is None else test.rewards[point]
    columns = np.column_stack([costs, test.reference_costs_usd])
    saved = bootstrap_means(columns, group_rows(test.task_keys), _saved, resampling)
    return Saving(point, saved, paired_difference(rewards, test.reference_rewards, test.task_keys, resampling))


def _saved(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one minus the ratio of both columns' means; NaN where a resample's reference costs nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, 1] > 0.0, 1.0 - means[:, 0] / means[:, 1], np.nan)


def _lies_below(middle: tuple[float, float], left: tuple[float, float], right: tuple[float, float]) -> bool:
    """Tell whether the middle point does not rise above the line from left to right."""
    rise = (right[1] - left[1]) * (middle[0] - left[0])
    return (middle[1] - left[1]) * (right[0] - left[0]) <= rise
