"""Intervals: how far a mean or a share can be trusted, and how many tasks would settle it.

Pure numbers in, pure numbers out, seeded. Knows nothing of arms, policies, tables or decisions.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput

EVEN_CHANCE = 0.5
FEW_DISTINCT = 64
CHUNK_DRAWS = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds, and the number of observations behind it."""

    mean: float
    lower: float
    upper: float
    n: int


def paired_bootstrap(
    differences: NDArray[np.float64], *, confidence: float = 0.95, resamples: int = 2000, seed: int
) -> Interval:
    """Return the mean of paired differences (n,) with one-sided bounds, each at the given confidence.

    Percentile bootstrap of the mean (Efron and Tibshirani, 1993, chapter 13): at 0.95 the true mean lies below
    ``lower`` in about 5 % of all data sets and above ``upper`` in another 5 %, so both together are a 90 % interval.
    Of the two order statistics around a percentile the outer one is taken. The order of the differences does not
    matter: the same set and seed give the same bounds. Differences with at most 64 distinct values are resampled by
    multinomial counts, in O(resamples); others by index, 2 million draws at a time, so 100,000 tasks need about 30 MB.
    Raises BadInput for no differences, for any that is not finite and for a confidence outside (0.5, 1).
    """
    values = np.sort(np.asarray(differences, dtype=np.float64).ravel())
    if not values.size or not np.isfinite(values).all():
        raise BadInput("paired differences", "there are none, or some are not finite", "give one number per task")
    if not EVEN_CHANCE < confidence < 1.0 or resamples < 1:
        culprit = f"confidence {confidence!r} with {resamples!r} resamples"
        raise BadInput("bootstrap", culprit, "give a confidence between 0.5 and 1 and at least one resample")
    means = np.sort(_resampled_means(values, resamples, np.random.default_rng(seed)))
    rank = math.floor((1.0 - confidence) * (resamples - 1) + 1e-9)
    mean = float(values[0]) if values[0] == values[-1] else math.fsum(values) / values.size
    return Interval(mean, float(means[rank]), float(means[resamples - 1 - rank]), int(values.size))


def _resampled_means(values: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means (resamples,) of samples drawn with replacement from sorted values (n,)."""
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        return np.full(resamples, distinct[0])
    if distinct.size <= FEW_DISTINCT:
        drawn = rng.multinomial(values.size, counts / values.size, size=resamples)
        return np.asarray(drawn @ distinct / values.size)
    means = np.empty(resamples)
    rows = max(1, CHUNK_DRAWS // values.size)
    for start in range(0, resamples, rows):
        chunk = means[start : start + rows]
        chunk[:] = values[rng.integers(0, values.size, size=(chunk.size, values.size), dtype=np.int32)].mean(axis=1)
    return means


def normal_interval(differences: NDArray[np.float64], *, confidence: float) -> Interval:
    """Return the mean of paired differences (n,) with one-sided normal bounds, mean ± z · s / √n.

    For confidences so near 1 that a bootstrap has no resample beyond them. Raises BadInput for fewer than two differences.
    """
    values = np.sort(np.asarray(differences, dtype=np.float64).ravel())
    if values.size < 2 or not np.isfinite(values).all():
        raise BadInput("paired differences", "there are fewer than two, or some are not finite", "give more tasks")
    mean = math.fsum(values) / values.size
    reach = NormalDist().inv_cdf(confidence) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Interval(mean, mean - reach, mean + reach, int(values.size))


def tasks_needed(mean: float, variance: float, *, confidence: float = 0.95, power: float = 0.8) -> int | None:
    """Return how many paired tasks lift a one-sided bound above 0 with the given power; None for a mean not above 0.

    n = (z_confidence + z_power)² · variance / mean², which is 6.2 · variance / mean² at 95 % and 80 %. For binary
    rewards that differ on a share d of the tasks the variance is d - mean² (Connor, 1987, sample size for paired
    proportions).
    """
    if not mean > 0.0 or not math.isfinite(mean) or not math.isfinite(variance):
        return None
    return max(1, math.ceil(_squared_quantiles(confidence, power) * variance / (mean * mean)))


def detectable_difference(mean_square: float, n: int, *, confidence: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest mean difference that n paired tasks find with the given power: ``tasks_needed`` solved for the mean.

    ``mean_square`` is the mean of the squared differences, which for binary rewards is the share of tasks that differ; the variance is
    that minus the squared mean. So n = k (m - x²) / x² gives x = sqrt(k m / (n + k)) with k = 6.2 at 95 % and 80 %.
    """
    k = _squared_quantiles(confidence, power)
    return math.sqrt(k * mean_square / (n + k))


def _squared_quantiles(confidence: float, power: float) -> float:
    normal = NormalDist()
    return (normal.inv_cdf(confidence) + normal.inv_cdf(power)) ** 2


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Return a share with its two-sided interval (Wilson, 1927); honest near 0 and 1, where the textbook one is not.

    Raises BadInput unless 0 <= successes <= trials and trials > 0.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise BadInput(
            "count", f"{successes} successes in {trials} trials", "give 0 <= successes <= trials, trials > 0"
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / trials
    shrink = 1.0 + z * z / trials
    centre = (share + z * z / (2.0 * trials)) / shrink
    half = z / shrink * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    lower = 0.0 if successes == 0 else centre - half
    upper = 1.0 if successes == trials else centre + half
    return Interval(share, lower, upper, trials)
