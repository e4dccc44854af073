"""How far predicted rewards can be taken at their word: Brier score, expected calibration error, reliability bins.

Not here: how a router is calibrated (``routing/``). numpy only.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from memloop_assets.benchmarks.group_bootstrap import (
    DEFAULT_RESAMPLING,
    Floats,
    Resampling,
    paired_difference,
)
from memloop_assets.benchmarks.intervals import Interval
from memloop_assets.errors import BadInput

Binning = Literal["equal_width", "equal_mass"]


class ReliabilityBin(NamedTuple):
    """Tasks of similar prediction: how many, the mean prediction and the mean reward."""

    task_count: int
    mean_prediction: float
    mean_reward: float


def brier_score(predictions: ArrayLike, rewards: ArrayLike) -> float:
    """Return the mean squared difference of predicted and earned reward, both in [0, 1] (Brier, 1950); 0 is best.

    For rewards of 0 and 1 the square of a probability's error; for graded ones the same formula. Raises BadInput for
    shapes or numbers that do not fit.
    """
    return float(_squared_errors(predictions, rewards).mean())


def reliability_bins(
    predictions: ArrayLike, rewards: ArrayLike, bins: int = 10, binning: Binning = "equal_width"
) -> tuple[ReliabilityBin, ...]:
    """Return the bins of a reliability diagram in ascending order, empty ones left out.

    ``equal_width`` cuts [0, 1] into equal steps, a prediction on a border belonging to the lower bin, as in Guo et al.
    (2017); ``equal_mass`` cuts at the predictions' quantiles (Nguyen and O'Connor, 2015), equal ones staying together.
    """
    predicted, earned = _numbers(predictions, rewards)
    if bins < 1 or binning not in {"equal_width", "equal_mass"}:
        raise BadInput(
            "reliability bins", f"{bins} bins of {binning!r}", "give at least one, equal_width or equal_mass"
        )
    steps = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    borders = steps if binning == "equal_width" else np.quantile(predicted, steps)
    bin_of = np.searchsorted(borders, predicted, side="left")
    members = [np.flatnonzero(bin_of == number) for number in range(bins)]
    return tuple(
        ReliabilityBin(int(rows.size), float(predicted[rows].mean()), float(earned[rows].mean()))
        for rows in members
        if rows.size
    )


def expected_calibration_error(
    predictions: ArrayLike, rewards: ArrayLike, bins: int = 10, binning: Binning = "equal_width"
) -> float:
    """Return the ECE: the mean over tasks of the gap between mean prediction and mean reward of the task's bin.

    ECE = Σ n_b/n · |prediction_b - reward_b| (Naeini et al., 2015; Guo et al., 2017). It depends on the binning, which
    therefore stands beside every figure, and is above 0 for a perfectly calibrated model by chance alone: with b bins
    of n/b tasks by about 0.8 · sqrt(p(1-p)·b/n). Two models are compared by ``paired_brier_difference``, not by ECE.
    """
    found = reliability_bins(predictions, rewards, bins, binning)
    total = sum(found_bin.task_count for found_bin in found)
    return sum(each.task_count * abs(each.mean_prediction - each.mean_reward) for each in found) / total


class Predicted(NamedTuple):
    """One policy's predicted and earned rewards on its own choices, each (n,)."""

    predictions: ArrayLike
    rewards: ArrayLike


def paired_brier_difference(
    challenger: Predicted,
    champion: Predicted,
    task_keys: Sequence[str],
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> Interval:
    """Return the challenger's Brier score minus the champion's on the same tasks, with bounds over task groups.

    Above 0: the challenger is calibrated worse, or serves what is harder to predict.
    """
    return paired_difference(_squared_errors(*challenger), _squared_errors(*champion), task_keys, resampling)


def _squared_errors(predictions: ArrayLike, rewards: ArrayLike) -> Floats:
    """Return the squared error per task (n,)."""
    predicted, earned = _numbers(predictions, rewards)
    return np.asarray((predicted - earned) ** 2)


def _numbers(predictions: ArrayLike, rewards: ArrayLike) -> tuple[Floats, Floats]:
    """Return two arrays (n,) of numbers in [0, 1]; raises BadInput for anything else."""
    predicted, earned = (np.asarray(values, dtype=np.float64) for values in (predictions, rewards))
    if predicted.shape != earned.shape or predicted.ndim != 1 or not predicted.size:
        culprit = f"{predicted.shape} predictions for {earned.shape} rewards"
        raise BadInput("calibration", culprit, "give one of each per task, and at least one task")
    for name, values in (("prediction", predicted), ("reward", earned)):
        if not ((values >= 0.0) & (values <= 1.0)).all():
            raise BadInput("calibration", f"a {name} is not a number in [0, 1]", "drop that task, or scale it")
    return predicted, earned
