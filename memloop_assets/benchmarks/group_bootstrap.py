"""The paired bootstrap over task groups: intervals where several rows speak of the same task.

Whole groups are drawn, never single rows, so that ten trials of one task do not count as ten tasks. Here: the draws. Not
here: what is estimated (``offpolicy``, ``regret``, ``tradeoff``), nor intervals of independent tasks (``intervals``).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.intervals import CHUNK_DRAWS, EVEN_CHANCE, Interval
from memloop_assets.errors import BadInput

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
OfMeans = Callable[[Floats], Floats]
OfRows = Callable[[Rows], float]


class Groups(NamedTuple):
    """Rows by task or another key: the number of the group of each row (n,), in the order of the sorted keys, and how many there are."""

    of_row: Rows
    group_count: int


class Resampling(NamedTuple):
    """How to draw: confidence of each one-sided bound, number of resamples, seed."""

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0


DEFAULT_RESAMPLING = Resampling()


def group_rows(task_keys: Sequence[str]) -> Groups:
    """Return which rows belong to the same task; raises BadInput where there are none."""
    if not len(task_keys):
        raise BadInput("task groups", "there are no tasks", "give one task key per row")
    keys, of_row = np.unique(np.asarray(task_keys, dtype=np.str_), return_inverse=True)
    return Groups(of_row.astype(np.intp), int(keys.size))


def sum_by_group(columns: Floats, groups: Groups) -> Floats:
    """Return the sums (groups, columns) of columns (n, columns)."""
    return np.stack([np.bincount(groups.of_row, column, minlength=groups.group_count) for column in columns.T], axis=1)


def bootstrap_means(
    columns: Floats, groups: Groups, statistic: OfMeans, resampling: Resampling = DEFAULT_RESAMPLING
) -> Interval:
    """Return a function of the means of columns (n, c) with one-sided bounds, each at the given confidence.

    ``statistic`` turns means (m, c) into m numbers: ratios and differences of means, which is what most metrics are.
    Percentile bootstrap over groups; ``n`` of the interval is their number. Bounds are NaN where one resample's number
    is. Raises BadInput for numbers that are not finite, or a confidence outside (0.5, 1).
    """
    _refuse(columns, resampling)
    resamples = resampling.resamples
    sums = np.column_stack([sum_by_group(columns, groups), np.bincount(groups.of_row, minlength=groups.group_count)])
    totals = np.empty((resamples, sums.shape[1]))
    rng = np.random.default_rng(resampling.seed)
    chunk = max(1, CHUNK_DRAWS // groups.group_count)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, groups.group_count, size=(size, groups.group_count))
        drawn += groups.group_count * np.arange(size)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=size * groups.group_count).reshape(size, groups.group_count)
        totals[start : start + size] = counts @ sums
    found = statistic(totals[:, :-1] / totals[:, -1:])
    point = float(statistic(columns.mean(axis=0, keepdims=True))[0])
    return _bounded(point, found, resampling, groups)


def bootstrap_rows(statistic: OfRows, groups: Groups, resampling: Resampling = DEFAULT_RESAMPLING) -> Interval:
    """Return any statistic of rows with one-sided bounds, each at the given confidence: for APGR, CPT, AIQ, ECE.

    ``statistic`` turns row numbers, repeated as they were drawn, into a number. Otherwise like ``bootstrap_means``.
    """
    _refuse(np.zeros((1, 1)), resampling)
    order = np.argsort(groups.of_row, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(groups.of_row, minlength=groups.group_count))[:-1])
    rng = np.random.default_rng(resampling.seed)
    found = np.array(
        [
            statistic(
                np.concatenate(
                    [members[group] for group in rng.integers(0, groups.group_count, size=groups.group_count)]
                )
            )
            for _ in range(resampling.resamples)
        ]
    )
    return _bounded(float(statistic(np.arange(groups.of_row.size))), found, resampling, groups)


def paired_difference(
    first: Floats, second: Floats, task_keys: Sequence[str], resampling: Resampling = DEFAULT_RESAMPLING
) -> Interval:
    """Return the mean of first minus second, both (n,), with one-sided bounds over task groups.

    Raises BadInput when lengths differ or a number is not finite.
    """
    if not first.shape == second.shape == (len(task_keys),):
        culprit = f"{first.shape} and {second.shape} numbers for {len(task_keys)} task keys"
        raise BadInput("paired difference", culprit, "give one of each per task")
    columns = (first - second)[:, np.newaxis]
    return bootstrap_means(columns, group_rows(task_keys), lambda means: means[:, 0], resampling)


def _refuse(columns: Floats, resampling: Resampling) -> None:
    """Raise BadInput for what no bootstrap can be made of."""
    if not np.isfinite(columns).all():
        fix = "drop that task, and say how many were dropped"
        raise BadInput("bootstrap over groups", "a number is not finite", fix)
    if not EVEN_CHANCE < resampling.confidence < 1.0 or resampling.resamples < 1:
        culprit = f"confidence {resampling.confidence!r} with {resampling.resamples!r} resamples"
        raise BadInput(
            "bootstrap over groups", culprit, "give a confidence between 0.5 and 1 and at least one resample"
        )


def _bounded(point: float, found: Floats, resampling: Resampling, groups: Groups) -> Interval:
    """Return the interval between the outer order statistics around both percentiles."""
    ordered = np.sort(found)
    if np.isnan(ordered[-1]):
        return Interval(point, math.nan, math.nan, groups.group_count)
    rank = math.floor((1.0 - resampling.confidence) * (ordered.size - 1) + 1e-9)
    return Interval(point, float(ordered[rank]), float(ordered[ordered.size - 1 - rank]), groups.group_count)
