"""Regret: what a policy leaves on the table beside another one, in reward, cost and latency.

Beside the oracle (each task's best arm in hindsight, the cheapest among equals) it is the regret of the literature;
beside the best single arm, a gain. Here: the differences with their intervals. Not here: how policies are scored
(``evaluation``), nor what difference may promote (the promotion room).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.group_bootstrap import (
    DEFAULT_RESAMPLING,
    Floats,
    OfMeans,
    Resampling,
    bootstrap_means,
    group_rows,
)
from memloop_assets.benchmarks.intervals import Interval
from memloop_assets.errors import BadInput

UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


class Regret(NamedTuple):
    """What a policy earns less, costs more and waits longer than a comparator on the same tasks.

    ``reward``: the comparator's minus the policy's, in [-1, 1]. ``cost_ratio``: the policy's mean cost over the
    comparator's, minus 1; below 0 it is cheaper. ``latency_ms``: the policy's minus the comparator's. Each over the
    tasks on which both are known; an interval of n = 0 and NaN where there is none.
    """

    reward: Interval
    cost_ratio: Interval
    latency_ms: Interval


def regret_against(
    policy: PolicyScores,
    comparator: PolicyScores,
    task_keys: Sequence[str],
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> Regret:
    """Return the regret of a policy beside a comparator, such as the oracle, with bounds over task groups.

    Raises BadInput unless both were scored on the same tasks in the same order, one key for each.
    """
    _refuse_other_tasks(task_keys, policy, comparator)
    pairs = (
        (comparator.rewards, policy.rewards),
        (policy.costs_usd, comparator.costs_usd),
        (policy.latencies_ms, comparator.latencies_ms),
    )
    statistics: tuple[OfMeans, ...] = (_difference, _excess, _difference)
    return Regret(
        *(
            _known(np.column_stack(pair), task_keys, statistic, resampling)
            for pair, statistic in zip(pairs, statistics, strict=True)
        )
    )


def oracle_gap_share(
    policy: PolicyScores,
    best_single: PolicyScores,
    oracle: PolicyScores,
    task_keys: Sequence[str],
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> Interval:
    """Return how much of the way from the best single arm to the oracle a policy goes in reward: 0 to 1, below 0 if worse.

    Over the tasks on which all three are known. NaN where the oracle earns no more than the best single arm; raises
    BadInput like ``regret_against``.
    """
    _refuse_other_tasks(task_keys, policy, best_single, oracle)
    columns = np.column_stack([policy.rewards, best_single.rewards, oracle.rewards])
    return _known(columns, task_keys, _share_of_gap, resampling)


def _difference(means: Floats) -> Floats:
    """Return the first column's mean minus the second's."""
    return np.asarray(means[:, 0] - means[:, 1])


def _excess(means: Floats) -> Floats:
    """Return the first column's mean over the second's, minus 1; NaN where the second is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, 1] > 0.0, means[:, 0] / means[:, 1] - 1.0, np.nan)


def _share_of_gap(means: Floats) -> Floats:
    """Return (policy - best) / (oracle - best); NaN where there is no gap."""
    gap = means[:, 2] - means[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap > 0.0, (means[:, 0] - means[:, 1]) / gap, np.nan)


def _known(columns: Floats, task_keys: Sequence[str], statistic: OfMeans, resampling: Resampling) -> Interval:
    """Return the interval of a statistic over the tasks on which every column is known."""
    rows = np.flatnonzero(~np.isnan(columns).any(axis=1))
    if not rows.size:
        return UNKNOWN
    return bootstrap_means(columns[rows], group_rows([task_keys[int(row)] for row in rows]), statistic, resampling)


def _refuse_other_tasks(task_keys: Sequence[str], *scores: PolicyScores) -> None:
    """Raise BadInput unless all were scored on the same tasks, one key for each."""
    first, *others = scores
    for other in others:
        if other.task_ids != first.task_ids:
            culprit = f"{first.policy} and {other.policy} were scored on different tasks"
            raise BadInput("regret", culprit, "score both on the same tasks, in one order")
    if len(task_keys) != len(first.task_ids):
        culprit = f"{len(task_keys)} keys for {len(first.task_ids)} tasks"
        raise BadInput("regret", culprit, "give one key per task")
