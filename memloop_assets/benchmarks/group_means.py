"""Means over groups of rows in closed form: how far two groups' means lie apart where whole groups were drawn, not rows.

For two independent samples, as users served by one of two routers. Not here: paired differences and resampling
(``group_bootstrap``), intervals of independent rows (``intervals``), what a difference is worth.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput

FEWEST_GROUPS = 2


@dataclass(frozen=True, slots=True)
class GroupedMean:
    """A mean over rows, the variance of that mean over groups, and the number of groups."""

    mean: float
    variance: float
    group_count: int


def mean_over_groups(values: NDArray[np.float64], groups: NDArray[np.intp]) -> GroupedMean:
    """Return the mean of values (n,) and its variance where whole groups are drawn at random; ``groups`` (n,) numbers each value's.

    A ratio of two sums over groups, its variance linearised (Cochran, 1977, chapter 6): with m the mean, y and n a group's sum
    and size and G groups, G / (G - 1) · Σ (y - m n)² / (Σ n)². Raises BadInput for fewer than two groups and for a number
    that is not finite.
    """
    if not np.isfinite(values).all():
        raise BadInput("mean over groups", "a number is not finite", "leave such rows out, and say how many they are")
    numbers, of_row = np.unique(groups, return_inverse=True)
    count = int(numbers.size)
    if count < FEWEST_GROUPS:
        raise BadInput("mean over groups", "there are fewer than two groups", "give at least two")
    mean = math.fsum(values) / values.size
    residuals = np.bincount(of_row, values - mean, minlength=count)
    return GroupedMean(mean, count / (count - 1) * float(residuals @ residuals) / values.size**2, count)


def bound_of_difference(first: GroupedMean, second: GroupedMean, confidence: float) -> float:
    """Return the one-sided upper bound of first minus second, by the normal distribution; for a lower one give 1 - confidence."""
    reach = NormalDist().inv_cdf(confidence) * math.sqrt(first.variance + second.variance)
    return first.mean - second.mean + reach
