"""Calibration of a router: that of the tasks predicted at 0.7, about 70 % earn their reward.

A slope and a shift of the logit per arm (Platt, 1999), fitted on tasks that nothing else was fitted on.
"""

import numpy as np
from numpy.typing import NDArray

from memloop_assets.routing.linear import logit, sigmoid

MIN_ROWS = 50
_TRUST_ROWS = 20.0
_STEPS = 50


def fit_calibration(
    predicted: NDArray[np.float64], rewards: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Return slope and shift of one arm's logit from its rows; (1, 0) for fewer than MIN_ROWS rows.

    Both are held at no change as by ``_TRUST_ROWS`` rows: a slice is small. The slope stays above 0, so that tasks keep their order.
    """
    if rewards.size < MIN_ROWS:
        return 1.0, 0.0
    scores, weights = logit(predicted), weights * (rewards.size / weights.sum())
    design = np.column_stack([scores, np.ones_like(scores)])
    identity = np.array([1.0, 0.0])
    hold = 0.25 * _TRUST_ROWS * np.array([max(float(np.mean(scores**2)), 0.1), 1.0])
    found = identity.copy()
    for _ in range(_STEPS):
        chances = sigmoid(design @ found)
        gradient = design.T @ (weights * (chances - rewards)) + hold * (found - identity)
        bends = (design.T * (weights * chances * (1.0 - chances))) @ design + np.diag(hold)
        step = np.linalg.solve(bends, gradient)
        found -= step
        if float(np.abs(step).max()) < 1e-12:
            break
    slope, shift = found.tolist()
    return (slope, shift) if slope > 0.0 else (1.0, 0.0)
