"""What arms share: the weights of words that are hard for all of them, for an arm that few tasks were tried with.

Here: these weights, and how much of them an arm takes over. Not here: the arm's own regression, which is held at them (``fitting``).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memloop_assets.routing.calibration import fit_slope
from memloop_assets.routing.fitting import Material, arm_rows
from memloop_assets.routing.logistic import fit_logistic

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_SHARED_TRIALS = 20.0
"""An arm is taken to share what the others' weights say, as by so many trials."""


def find_shared(
    material: Material, rows: NDArray[np.intp], *, penalty: float, min_rows: int
) -> dict[str, NDArray[np.float64]]:
    """Return for each arm the coefficients (terms, hand features, domains) at which its own regression is held; none for the rest.

    They are those of one regression on all these trials in which each arm has a level of its own, since which arm served where says
    nothing of the words. An arm takes over the product of two shares of them: ``measure_share``, and of the outcomes that could be
    known beside one per task, those that are not (1 for logs of one arm per task, 0 where every arm was tried on every task: then each
    knows all itself). Arms of fewer than ``min_rows`` trials take none.
    """
    from scipy import sparse

    trials = material.trials
    names, of_row, counts = np.unique(trials.arms[rows], return_inverse=True, return_counts=True)
    own = {str(name): rows[of_row == number] for number, name in enumerate(names) if counts[number] >= min_rows}
    unknown = _unknown_share(material.text_places[rows], of_row)
    if len(own) <= 1 or not unknown:
        return {}
    levels = sparse.csr_array((np.ones(len(rows)), (np.arange(len(rows)), of_row)), shape=(len(rows), len(names)))
    features = sparse.hstack([arm_rows(material, rows), levels]).tocsr()
    common = _coefficients(features, material, rows, penalty)[: -len(names)]
    alone = {arm: _coefficients(arm_rows(material, its), material, its, penalty) for arm, its in own.items()}
    total = np.sum(list(alone.values()), axis=0)
    return {
        arm: unknown * measure_share(material, its, (total - alone[arm]) / (len(own) - 1)) * common
        for arm, its in own.items()
    }


def measure_share(material: Material, own: NDArray[np.intp], others: NDArray[np.float64]) -> float:
    """Return how far (0 to 1) the mean coefficients of the other arms tell the rewards of one arm's trials ``own``.

    It is the slope of a logistic regression on their score, held at 1 as by ``_SHARED_TRIALS`` trials: arms that are good at
    different things share nothing.
    """
    trials = material.trials
    scores = arm_rows(material, own) @ others
    slope, _ = fit_slope(scores - scores.mean(), trials.rewards[own], trials.weights[own], _SHARED_TRIALS)
    return min(max(slope, 0.0), 1.0)


def _unknown_share(tasks: NDArray[np.intp], arms: NDArray[np.intp]) -> float:
    """Return which share of the outcomes beside one per task no trial tells; ``tasks`` and ``arms`` are numbers, one per trial."""
    task_count, arm_count = len(np.unique(tasks)), len(np.unique(arms))
    known = len(np.unique(np.stack([tasks, arms]), axis=1).T) - task_count
    return 1.0 - known / (task_count * (arm_count - 1)) if arm_count > 1 else 0.0


def _coefficients(
    features: "csr_array", material: Material, rows: NDArray[np.intp], penalty: float
) -> NDArray[np.float64]:
    return fit_logistic(features, material.trials.rewards[rows], material.trials.weights[rows], penalty)[0]
