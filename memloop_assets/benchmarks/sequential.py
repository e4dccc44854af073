"""Repeated looks: how sure each look must be so that all of them together err no more often than one.

Pure numbers in, pure numbers out. Which looks were taken is the promotion room's business.
"""

import math
from functools import cache
from statistics import NormalDist

import numpy as np

from memloop_assets.errors import BadInput

MOST_LOOKS = 104
_NORMAL = NormalDist()
_STEP = 0.02
_REACH = 7.0
_SUREST = 1.0 - 1e-15


def confidence_of_look(look: int, planned_looks: int, confidence: float) -> float:
    """Return the one-sided confidence that look number ``look`` (1, 2, …) of ``planned_looks`` must reach.

    The boundary of O'Brien and Fleming (1979) for looks at equal amounts of added data: z_k = C · sqrt(K / k), with C
    such that under no difference any of the K looks passes with probability 1 - confidence. One planned look: the plain
    bound. Never above 1 - 1e-15, which can still be told from 1. Raises BadInput for a look outside 1..K, more than 104 looks and a
    confidence outside (0.5, 1).
    """
    if not 1 <= look <= planned_looks <= MOST_LOOKS or not 0.5 < confidence < 1.0:
        culprit = f"look {look!r} of {planned_looks!r} at confidence {confidence!r}"
        raise BadInput(
            "repeated looks", culprit, f"give 1 <= look <= planned looks <= {MOST_LOOKS}, confidence in (0.5, 1)"
        )
    if planned_looks == 1:
        return confidence
    return min(_NORMAL.cdf(_final_z(planned_looks, round(confidence, 12)) * math.sqrt(planned_looks / look)), _SUREST)


@cache
def _final_z(planned_looks: int, confidence: float) -> float:
    """Return C, the boundary of the last look, by bisection."""
    low = _NORMAL.inv_cdf(confidence)
    high = _NORMAL.inv_cdf(1.0 - (1.0 - confidence) / planned_looks)  # Bonferroni's is never passed too often
    while high - low > 1e-5:
        middle = (low + high) / 2.0
        if _crossing_probability(middle * math.sqrt(planned_looks), planned_looks) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def _crossing_probability(bound: float, looks: int) -> float:
    """Return the probability that a sum of up to ``looks`` standard normal steps ever exceeds ``bound``.

    Density of the sums that have not crossed yet, step by step (Armitage, McPherson and Rowe, 1969), on a grid.
    """
    grid = np.arange(bound, -_REACH * max(2.0, math.sqrt(looks)), -_STEP)[::-1]
    weights = np.full(grid.size, _STEP)
    weights[[0, -1]] = _STEP / 2.0
    reach = np.arange(-int(_REACH / _STEP), int(_REACH / _STEP) + 1) * _STEP
    kernel = np.exp(-(reach**2) / 2.0) / math.sqrt(2.0 * math.pi)
    density = np.exp(-(grid**2) / 2.0) / math.sqrt(2.0 * math.pi)
    for _ in range(looks - 1):
        density = np.convolve(density * weights, kernel, mode="same")
    return 1.0 - float(density @ weights)
