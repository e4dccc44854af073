"""Calibration of a router: that of the tasks predicted at 0.7, about 70 % earn their reward.

A slope and a shift of the logit (Platt, 1999), the same for all arms, so that their order on a task stays; fitted on predictions of
tasks that the predicting fit had not seen.
"""

import numpy as np
from numpy.typing import NDArray

from memloop_assets.routing.linear import logit
from memloop_assets.routing.logistic import fit_logistic

MIN_ROWS = 50
LEAST_SLOPE = 0.05
"""Predictions that tell nothing of new tasks, or the opposite, come near their mean; the order of tasks stays."""

_TRUST_ROWS = 100.0
_FIXED = 1e12


def fit_calibration(
    predicted: NDArray[np.float64], rewards: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the logit's slope and shift from predicted and earned rewards; (1, 0) for fewer than MIN_ROWS rows.

    All rows together weigh their effective number (Kish, 1965). The slope is held at 1 as by ``_TRUST_ROWS`` of them, and is at least
    LEAST_SLOPE.
    """
    if rewards.size < MIN_ROWS:
        return 1.0, 0.0
    scores = logit(predicted)
    middle = float(np.average(scores, weights=weights))
    weights = weights * (weights.sum() / (weights @ weights))
    slope, level = fit_slope(scores - middle, rewards, weights, _TRUST_ROWS)
    if slope < LEAST_SLOPE:
        slope, (_, level) = LEAST_SLOPE, fit_slope(LEAST_SLOPE * (scores - middle), rewards, weights, _FIXED)
    return slope, level - slope * middle


def fit_slope(
    scores: NDArray[np.float64], rewards: NDArray[np.float64], weights: NDArray[np.float64], trust_rows: float
) -> tuple[float, float]:
    """Return the slope and the intercept of a logistic regression of rewards on one score of mean 0.

    The slope is held at 1 as by so many rows, a row weighing a quarter of its squared score at most.
    """
    from scipy import sparse

    column = sparse.csr_array(scores[:, np.newaxis])
    hold = 0.25 * trust_rows * float(scores @ scores) / scores.size + 1e-9
    found, intercept = fit_logistic(column, rewards, weights, hold, centre=np.ones(1))
    return float(found[0]), intercept
