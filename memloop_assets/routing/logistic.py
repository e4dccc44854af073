"""Logistic regression with rewards between 0 and 1 as targets, by a truncated Newton method that is the same at every run.

scikit-learn's takes classes only, so that a graded reward would be two rows, and knows no prior mean but zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class Pull:
    """What rows that are gone say of the coefficients: their cross-entropy to the second order, at ``centre``.

    It is ``slope`` @ s + s @ H @ s / 2, where s = coefficients - ``centre`` and H = diag(``diagonal``) + ``factor``.T @ ``factor``.
    Shapes: (features + 1,), the intercept last; ``factor`` (rank, features + 1).
    """

    centre: NDArray[np.float64]
    slope: NDArray[np.float64]
    diagonal: NDArray[np.float64]
    factor: NDArray[np.floating]

    def bend(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return H @ ``step``."""
        return np.asarray(self.diagonal * step + self.factor.T @ (self.factor @ step))

    def in_double(self) -> "Pull":
        """Return it with a factor that is converted once, not at every product."""
        return replace(self, factor=self.factor.astype(np.float64))

    def bends(self) -> NDArray[np.float64]:
        """Return the diagonal of H."""
        return np.asarray(self.diagonal + np.einsum("ij,ij->j", self.factor, self.factor, dtype=np.float64))


def no_pull(count: int) -> Pull:
    """Return what no rows at all say of ``count`` coefficients and an intercept."""
    none = np.zeros(count + 1)
    return Pull(none, none, none, np.zeros((0, count + 1), dtype=np.float32))


def fit_logistic(  # noqa: PLR0913, PLR0917  # the rows, and what else is known of the coefficients
    features: "csr_array",
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: float,
    pull: Pull | None = None,
    centre: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Return coefficients (features,) and intercept of least loss.

    The loss is the weighted cross-entropy, plus ``penalty`` / 2 times the squared distance of the coefficients from ``centre`` (None:
    0), plus ``pull``; the intercept is free. From 0 it is scikit-learn's with ``C = 1 / penalty``, ``targets`` in [0, 1] being shares
    of the class 1 (Nocedal and Wright, "Numerical Optimization", 7.1: Newton steps by conjugate gradients).
    """
    transposed, squared = features.T.tocsr(), features.multiply(features).T.tocsr()
    gone = (pull or no_pull(features.shape[1])).in_double()
    middle = np.zeros(features.shape[1] + 1) if centre is None else np.append(centre, 0.0)
    point = gone.centre if pull else middle
    ridge = np.append(np.full(features.shape[1], penalty), 0.0)

    def scores_at(where: NDArray[np.float64]) -> NDArray[np.float64]:
        return features @ where[:-1] + where[-1]

    def loss_at(where: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        entropy = np.logaddexp(0.0, scores) - targets * scores
        away = where - gone.centre
        return float(
            weights @ entropy
            + 0.5 * (ridge * (where - middle)) @ (where - middle)
            + (gone.slope + 0.5 * gone.bend(away)) @ away
        )

    scores, gone_bends = scores_at(point), gone.bends()
    loss = loss_at(point, scores)
    for _ in range(_STEPS):
        chances = sigmoid(scores)
        errors = weights * (chances - targets)
        gradient = np.append(transposed @ errors, errors.sum()) + gone.slope + gone.bend(point - gone.centre)
        gradient += ridge * (point - middle)
        size = float(np.abs(gradient).max())
        if size <= _GRADIENT:
            break
        bends = weights * chances * (1.0 - chances)
        diagonal = np.append(squared @ bends, bends.sum()) + ridge + gone_bends + 1e-12

        def bend(step: NDArray[np.float64], bends: NDArray[np.float64] = bends) -> NDArray[np.float64]:
            bent = bends * scores_at(step)
            return np.append(transposed @ bent, bent.sum()) + ridge * step + gone.bend(step)

        step, rate = _solve(bend, -gradient, diagonal, min(0.1, size)), 1.0
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
