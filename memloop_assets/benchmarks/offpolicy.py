"""What a policy would have earned, from logs that hold only the outcome of the arm that was served.

Inverse propensity scoring (IPS), its self-normalised form (SNIPS), the direct method and the doubly robust estimator
with cross-fitting, of one target policy or of the difference between two. All four are functions of means over trials,
so that one delta method gives every standard error. Here belongs the estimation. Not here: whether such an estimate may
decide anything (``admissibility``), nor the outcome model, which is handed in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.clusters import Clusters, effective_count, student_quantile
from memloop_assets.benchmarks.group_bootstrap import Floats, OfMeans, Resampling, Rows, bootstrap_means, sum_by_group
from memloop_assets.benchmarks.logged_trials import ROUNDING, LoggedTrials, Target, probabilities_of
from memloop_assets.errors import BadInput

Predict = Callable[[Rows], Floats]
FitOutcome = Callable[[Rows, Floats], Predict]
"""Fits on training rows (m,) and their outcomes (m,); what it returns predicts rows (j,) for every arm, (j, arms)."""


@dataclass(frozen=True, slots=True)
class Estimation:
    """How to estimate: folds of the cross-fitting, weights at most this, confidence of the two-sided intervals.

    A weight is 1 / propensity, so 100 leaves every trial alone that was served with a propensity of 0.01 or more.
    ``pseudo_tasks``: the standard error is that of a log in which each side had so many further tasks, as far off as
    an outcome can be; with 0, rewards that are nearly always 1 make intervals that are too narrow (docs/evaluation.md).
    ``resamples`` 0 takes intervals from the standard error; above 0, from a bootstrap over tasks, or over askers where these vary more,
    which knows no further tasks. ``fit`` makes the outcome model (see ``FitOutcome``); by default the arm's mean.
    """

    folds: int = 5
    weight_limit: float = 100.0
    confidence: float = 0.95
    resamples: int = 0
    pseudo_tasks: float = 1.0
    seed: int = 0
    fit: FitOutcome | None = None

    def __post_init__(self) -> None:
        """Refuse settings under which nothing can be estimated."""
        is_sound = self.folds >= 2 and self.weight_limit > 0.0 and 0.0 < self.confidence < 1.0
        if not is_sound or self.pseudo_tasks < 0.0 or self.resamples < 0:
            fix = "give at least 2 folds, a positive limit, a confidence between 0 and 1 and nothing negative"
            raise BadInput("off-policy estimation", f"it is {self}", fix)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimator's answer: value, standard error over tasks and askers, two-sided interval; NaN where nothing speaks."""

    value: float
    standard_error: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Side:
    """What the logs hold for one side of a contrast.

    ``mass``: mean probability of what this side alone would serve (1 for a single policy). ``ess``: effective sample size of its weights
    in tasks, (Σw)²/Σw² (Kish, 1965), and ``asker_ess`` in askers. ``supported_ratio``: of its choices, how many the logging policy could
    have made (see ``LoggedTrials.supported``). ``weight_mean``: mean weight over mass, which is 1 in expectation where the propensities
    are true and everything is supported; with its standard error. ``unseen``: how far one further task moves this side's value, off by 1
    and as heavy as those on which the variance rests, mass · Σw³ / (Σw² · Σw): mass / ESS where weights are equal, infinite where no
    trial speaks for the side. Without mass (the champion's side of a single policy, or both of two that never differ) it, ``ess`` and
    ``asker_ess`` are 0 and the rest NaN.
    """

    mass: float
    ess: float
    asker_ess: float
    supported_ratio: float
    weight_mean: float
    weight_mean_error: float
    unseen: float


@dataclass(frozen=True, slots=True)
class OffPolicyEvaluation:
    """Four estimates of one contrast and what they rest on.

    ``target`` is the policy or the challenger; ``against`` the champion, without mass for a single policy. The ratios and
    ``min_propensity`` are over the trials on which the two sides differ: ``exploration_ratio``, mean of min(p, 1 - p), the
    probability that the logging policy left to arms other than its favourite; ``clipped_ratio``, weights above the limit
    among those that are not 0. Without any such trial they are NaN. ``degrees``: of freedom of Student's distribution behind the
    intervals: one less than the least effective sample size of both sides, in tasks or askers, and at least 1.
    """

    ips: Estimate
    snips: Estimate
    direct_method: Estimate
    doubly_robust: Estimate
    target: Side
    against: Side
    min_propensity: float
    exploration_ratio: float
    clipped_ratio: float
    trial_count: int
    task_count: int
    degrees: float


def evaluate_policy(
    trials: LoggedTrials,
    target: Target,
    *,
    outcomes: NDArray[np.float64] | None = None,
    estimation: Estimation | None = None,
) -> OffPolicyEvaluation:
    """Estimate what a target policy would earn per trial: rewards, or other outcomes (n,) such as costs.

    ``target`` is one arm per trial, or probabilities (n, arms) in the order of ``trials.arms``. Raises BadInput for
    shapes or numbers that do not fit.
    """
    return _evaluate(trials, probabilities_of(trials, target), outcomes, estimation or Estimation())


def evaluate_difference(
    trials: LoggedTrials,
    challenger: Target,
    champion: Target,
    *,
    outcomes: NDArray[np.float64] | None = None,
    estimation: Estimation | None = None,
) -> OffPolicyEvaluation:
    """Estimate challenger minus champion, paired: only trials on which they differ carry weight.

    SNIPS normalises what the challenger alone and what the champion alone would serve, each by its own weights. Else like
    ``evaluate_policy``.
    """
    contrast = probabilities_of(trials, challenger) - probabilities_of(trials, champion)
    contrast[np.abs(contrast) < ROUNDING] = 0.0
    return _evaluate(trials, contrast, outcomes, estimation or Estimation())


def fit_arm_means(trials: LoggedTrials) -> FitOutcome:
    """Return the plainest outcome model: an arm's mean outcome in the training folds, else the mean of all of them."""

    def fit(rows: Rows, outcomes: Floats) -> Predict:
        served = trials.served_index[rows]
        counts = np.bincount(served, minlength=len(trials.arms))
        sums = np.bincount(served, outcomes, minlength=len(trials.arms))
        means = np.where(counts > 0, sums / np.maximum(counts, 1), outcomes.mean())
        return lambda asked: np.tile(means, (asked.size, 1))

    return fit


def cross_fit(trials: LoggedTrials, outcomes: Floats, estimation: Estimation) -> Floats:
    """Return predictions (n, arms), each made by a model that saw no trial of the same task.

    Folds are cut by task key, evenly, in an order that the seed draws (Chernozhukov et al., 2018); with fewer tasks than
    folds, each task is one. Raises BadInput for a single task, and for a model that answers in another shape or not in finite numbers.
    """
    groups = trials.clusters.tasks
    if groups.group_count < 2:
        raise BadInput("cross-fitting", "all trials are of one task", "give trials of several tasks")
    folds = min(estimation.folds, groups.group_count)
    fit = estimation.fit or fit_arm_means(trials)
    drawn = np.random.default_rng(estimation.seed).permutation(groups.group_count)
    fold_of_row = (drawn % folds)[groups.of_row]
    predicted = np.empty((len(trials.task_keys), len(trials.arms)))
    for fold in range(folds):
        held, taught = np.flatnonzero(fold_of_row == fold), np.flatnonzero(fold_of_row != fold)
        answer = np.asarray(fit(taught, outcomes[taught])(held), dtype=np.float64)
        if answer.shape != (held.size, len(trials.arms)) or not np.isfinite(answer).all():
            culprit = f"it answers {answer.shape}, or not in finite numbers"
            raise BadInput(
                "outcome model", culprit, f"answer {(held.size, len(trials.arms))}: a number per row and arm"
            )
        predicted[held] = answer
    return predicted


def _evaluate(
    trials: LoggedTrials,
    contrast: Floats,
    outcomes: NDArray[np.float64] | None,
    estimation: Estimation,
) -> OffPolicyEvaluation:
    """Estimate the mean over trials of Σ contrast(arm) · outcome(arm)."""
    earned = trials.rewards if outcomes is None else np.asarray(outcomes, dtype=np.float64)
    if earned.shape != trials.rewards.shape or not np.isfinite(earned).all():
        raise BadInput("outcomes", "they are not one finite number per trial", "drop the trials where it is unknown")
    predicted = cross_fit(trials, earned, estimation)
    rows, limit, clusters = np.arange(earned.size), estimation.weight_limit, trials.clusters
    unclipped = contrast[rows, trials.served_index] / trials.propensities
    weights = np.clip(unclipped, -limit, limit)
    parts = [_Part(sign, (sign * contrast).clip(min=0.0), (sign * weights).clip(min=0.0)) for sign in (1.0, -1.0)]
    target, against = (part.side(trials, 1.0 / limit) for part in parts)
    spread = 1.0 if outcomes is None else float(np.ptp(earned))
    unseen = estimation.pseudo_tasks * spread * math.hypot(target.unseen, against.unseen)
    sizes = [size for side in (target, against) if side.mass > 0.0 for size in (side.ess, side.asker_ess)]
    degrees = max(1.0, min(sizes, default=0.0) - 1.0)
    by_weight = _Intervals(clusters, estimation, degrees, unseen, not math.isfinite(unseen))
    direct = (contrast * predicted).sum(axis=1)
    residuals = earned - predicted[rows, trials.served_index]
    differs = np.abs(contrast).sum(axis=1) > 0.0
    return OffPolicyEvaluation(
        ips=by_weight.of_mean(weights * earned),
        snips=by_weight.of_ratios(parts, earned),
        direct_method=_Intervals(clusters, estimation, clusters.degrees).of_mean(direct),
        doubly_robust=by_weight.of_mean(direct + weights * residuals),
        target=target,
        against=against,
        min_propensity=float(trials.propensities[differs].min()) if differs.any() else math.nan,
        exploration_ratio=_ratio(np.minimum(trials.propensities, 1.0 - trials.propensities) * differs, differs),
        clipped_ratio=_ratio(np.abs(unclipped) > limit, unclipped != 0.0),
        trial_count=int(earned.size),
        task_count=clusters.tasks.group_count,
        degrees=degrees,
    )


class _Part(NamedTuple):
    """One side of a contrast: its sign, its choices (n, arms) and its weights (n,), neither of them negative."""

    sign: float
    choices: Floats
    weights: Floats

    @property
    def masses(self) -> Floats:
        """Return how much of each trial (n,) is this side's alone."""
        return np.asarray(self.choices.sum(axis=1))

    def side(self, trials: LoggedTrials, min_propensity: float) -> Side:
        """Return what the logs hold for it."""
        masses, clusters = self.masses, trials.clusters
        of_task = sum_by_group(self.weights[:, np.newaxis], clusters.tasks)
        mass, total, squares, cubes = float(masses.mean()), *(float((of_task**power).sum()) for power in (1, 2, 3))
        if mass <= 0.0:
            return Side(0.0, 0.0, 0.0, math.nan, math.nan, math.nan, 0.0)
        return Side(
            mass=mass,
            ess=effective_count(self.weights, clusters.tasks),
            asker_ess=effective_count(self.weights, clusters.askers),
            supported_ratio=_ratio(trials.supported(self.choices, min_propensity), masses),
            weight_mean=total / float(masses.sum()),
            weight_mean_error=clusters.standard_error((self.weights - total / float(masses.sum()) * masses) / mass),
            unseen=mass * cubes / (squares * total) if squares > 0.0 else math.inf,
        )


@dataclass(frozen=True, slots=True)
class _Intervals:
    """Turns columns of numbers per trial into estimates; ``is_silent`` where no trial speaks for one of the sides."""

    clusters: Clusters
    estimation: Estimation
    degrees: float
    unseen: float = 0.0
    is_silent: bool = False

    def of_mean(self, values: Floats) -> Estimate:
        """Return the estimate that is the mean of values (n,)."""
        return self._of(values[:, np.newaxis], values - values.mean(), lambda means: means[:, 0])

    def of_ratios(self, parts: Sequence[_Part], earned: Floats) -> Estimate:
        """Return the self-normalised estimate: each side's mass times its weighted mean outcome, one minus the other.

        Influence of a trial on one side (delta method of a ratio; Owen, 2013, Monte Carlo theory, section 9.2): with
        mean mass m, mean weight W and weighted mean outcome μ, (s - m)·μ + m/W · w·(r - μ).
        """
        present = [] if self.is_silent else [part for part in parts if part.masses.any()]
        influence = np.zeros(earned.size)
        for part in present:
            sign, masses, weights = part.sign, part.masses, part.weights
            mean, mass = float(weights @ earned / weights.sum()), float(masses.mean())
            influence += sign * ((masses - mass) * mean + mass / weights.mean() * weights * (earned - mean))

        def statistic(means: Floats) -> Floats:
            found = np.zeros(len(means))
            with np.errstate(divide="ignore", invalid="ignore"):
                for place, part in enumerate(present):
                    mass, weight, weighted = means[:, 3 * place : 3 * place + 3].T
                    found += part.sign * mass * weighted / weight
            return found

        columns = [column for part in present for column in (part.masses, part.weights, part.weights * earned)]
        return self._of(np.column_stack(columns or [influence]), influence, statistic)

    def _of(self, columns: Floats, influence: Floats, statistic: OfMeans) -> Estimate:
        """Return a function of the means of columns with the interval that the estimation asks for."""
        if self.is_silent:
            return Estimate(math.nan, math.nan, math.nan, math.nan)
        error = math.hypot(self.clusters.standard_error(influence), self.unseen)
        value = float(statistic(columns.mean(axis=0, keepdims=True))[0])
        confidence, asked = 0.5 + self.estimation.confidence / 2.0, self.estimation
        if asked.resamples:
            drawn = Resampling(confidence, asked.resamples, asked.seed)
            bounds = bootstrap_means(columns, self.clusters.coarser(influence), statistic, drawn)
            return Estimate(value, error, bounds.lower, bounds.upper)
        half = student_quantile(confidence, self.degrees) * error
        return Estimate(value, error, value - half, value + half)


def _ratio(part: NDArray, whole: NDArray) -> float:
    """Return the sum of a part over that of the whole; NaN where there is no whole."""
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0.0 else math.nan
