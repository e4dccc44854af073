"""Logistic regression with rewards between 0 and 1 as targets, by a truncated Newton method that is the same at every run.

scikit-learn's takes classes only, so that a graded reward would be two rows, and knows no prior but zero.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memloop_assets.routing.linear import sigmoid

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_STEPS = 50
_ROUNDING = 1e-14
_INNER_STEPS = 400
_GRADIENT = 1e-11


def fit_logistic(
    features: "csr_array", targets: NDArray[np.float64], weights: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Return coefficients (features,) and intercept of least loss.

    The loss is the weighted cross-entropy plus ``penalty`` / 2 times the squared coefficients; the intercept is free. It is
    scikit-learn's with ``C = 1 / penalty``, where ``targets`` in [0, 1] are the shares of the class 1 (Nocedal and Wright,
    "Numerical Optimization", 7.1: Newton steps by conjugate gradients, halved until the loss falls).
    """
    transposed, squared = features.T.tocsr(), features.multiply(features).T.tocsr()
    point = np.zeros(features.shape[1] + 1)
    ridge = np.append(np.full(features.shape[1], penalty), 0.0)

    def scores_at(where: NDArray[np.float64]) -> NDArray[np.float64]:
        return features @ where[:-1] + where[-1]

    def loss_at(where: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        entropy = np.logaddexp(0.0, scores) - targets * scores
        return float(weights @ entropy + 0.5 * (ridge * where) @ where)

    scores = scores_at(point)
    loss = loss_at(point, scores)
    for _ in range(_STEPS):
        chances = sigmoid(scores)
        errors = weights * (chances - targets)
        gradient = np.append(transposed @ errors, errors.sum()) + ridge * point
        size = float(np.abs(gradient).max())
        if size <= _GRADIENT:
            break
        bends = weights * chances * (1.0 - chances)
        diagonal = np.append(squared @ bends, bends.sum()) + ridge + 1e-12

        def bend(step: NDArray[np.float64], bends: NDArray[np.float64] = bends) -> NDArray[np.float64]:
            bent = bends * scores_at(step)
            return np.append(transposed @ bent, bent.sum()) + ridge * step

        step = _solve(bend, -gradient, diagonal, min(0.1, size))
        rate = 1.0
        while rate > 1e-6:
            scores = scores_at(point + rate * step)
            found = loss_at(point + rate * step, scores)
            if found <= loss + _ROUNDING * (1.0 + abs(loss)):
                break
            rate /= 2.0
        else:
            break  # as low as floating point can tell
        point, loss = point + rate * step, found
    return point[:-1], float(point[-1])


def _solve(
    apply: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    target: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return the solution of a symmetric positive system by conjugate gradients, preconditioned by its diagonal."""
    solution = np.zeros_like(target)
    rest = target.copy()
    scaled = rest / diagonal
    direction, strength = scaled.copy(), float(rest @ scaled)
    enough = tolerance**2 * strength
    for _ in range(_INNER_STEPS):
        if strength <= enough:
            break
        bent = apply(direction)
        along = strength / float(direction @ bent)
        solution += along * direction
        rest -= along * bent
        scaled = rest / diagonal
        before, strength = strength, float(rest @ scaled)
        direction = scaled + (strength / before) * direction
    return solution
