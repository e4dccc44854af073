"""Reward against calls to the dear arm: how good a two-arm router is at every price at once.

Here belong the field's summary numbers of that trade-off. Not here: more arms than two and costs in USD
(``cost_curve``), which arm a router serves (``routing/router.py``), nor intervals around a number
(``group_bootstrap``). numpy only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memloop_assets.errors import BadInput

DEFAULT_BINS = 10
Floats = NDArray[np.float64]


class TradeoffCurve(NamedTuple):
    """Mean reward at each swept threshold, by ascending share (0 to 1) of the tasks that the strong arm served."""

    strong_ratio: Floats
    reward: Floats


def sweep_thresholds(scores: ArrayLike, strong: ArrayLike, weak: ArrayLike, bins: int = DEFAULT_BINS) -> TradeoffCurve:
    """Return the curve of a router that sends a task to the strong arm when its score reaches the threshold.

    ``scores`` say per task how much the strong arm is worth, on any monotone scale: predicted strong minus predicted
    weak will do. ``strong`` and ``weak`` are the rewards that both arms earned on it. The ``bins`` + 1 thresholds are
    the scores' quantiles at equal steps (linear interpolation, as ``pandas.qcut`` takes them), reached with >=, but the
    last with >, so that the curve starts at no strong call. Equal scores stay together.
    Raises BadInput for shapes or numbers that do not fit.
    """
    score, strong_reward, weak_reward = _numbers(scores, strong, weak)
    if bins < 1:
        raise BadInput("trade-off", f"{bins} bins", "give at least one")
    thresholds = np.quantile(score, np.linspace(0.0, 1.0, bins + 1))
    is_strong = score >= thresholds[:, np.newaxis]
    is_strong[-1] = score > thresholds[-1]
    strong_ratio = is_strong.mean(axis=1)
    reward = np.where(is_strong, strong_reward, weak_reward).mean(axis=1)
    order = np.argsort(strong_ratio, kind="stable")
    return TradeoffCurve(strong_ratio[order], reward[order])


def trace_every_threshold(scores: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> TradeoffCurve:
    """Return the exact curve: a point for no strong call and one for each distinct score, highest first.

    Equal scores stay together; the line between two points is what drawing among them at random would earn. Raises
    BadInput like ``sweep_thresholds``.
    """
    score, strong_reward, weak_reward = _numbers(scores, strong, weak)
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0.0, True))
    gained = np.cumsum((strong_reward - weak_reward)[order])[ends] / score.size
    reward = weak_reward.mean() + np.concatenate([[0.0], gained])
    return TradeoffCurve(np.concatenate([[0.0], (ends + 1) / score.size]), reward)


def average_gap_recovered(scores: ArrayLike, strong: ArrayLike, weak: ArrayLike, bins: int = DEFAULT_BINS) -> float:
    """Return RouteLLM's APGR: the share of the strong arm's lead that a router keeps, averaged over shares of calls.

    0 is the weak arm alone, 1 the strong one alone; random scores earn 0.5; where the arms err on different tasks, a
    router may pass 1. Definition: APGR = (A - W) / (S - W), where A, W and S are the trapezoidal areas under
    the router's, the weak arm's and the strong arm's reward, over the swept shares of strong calls (Ong et al., 2024,
    "RouteLLM", arXiv:2406.18665, section 2; code: lm-sys/RouteLLM, routellm/evals/evaluate.py ``apgr_metric`` and
    benchmarks.py, thresholds at the edges of ten equally filled bins). One difference: where many equal scores make two
    edges coincide, theirs stops with an error; here the coinciding points stay, and the line between neighbours counts.
    Raises BadInput like ``sweep_thresholds``, and when both arms earn the same on average.
    """
    return _share_of_gap(sweep_thresholds(scores, strong, weak, bins), strong, weak)


def exact_gap_recovered(scores: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> float:
    """Return the APGR over the exact curve instead of ten bins; else like ``average_gap_recovered``.

    Ten bins join eleven points of a curve that bends, so they give a little less.
    """
    return _share_of_gap(trace_every_threshold(scores, strong, weak), strong, weak)


def call_performance_threshold(
    scores: ArrayLike, strong: ArrayLike, weak: ArrayLike, recovered: float, bins: int | None = DEFAULT_BINS
) -> float:
    """Return the smallest share (0 to 1) of strong calls that recovers this share of the strong arm's lead.

    RouteLLM's CPT(50 %) and CPT(80 %) (Ong et al., 2024, section 2.2) are ``recovered`` 0.5 and 0.8; random scores need
    as much as they recover. Read off the line between the points of ten bins, as RouteLLM reads it, at its first
    crossing; with ``bins`` None, off the exact curve, whose first crossing lies a little lower by luck. Where a curve
    falls before it rises, RouteLLM's interpolation is undefined; the first crossing is not. Raises BadInput like
    ``sweep_thresholds``, for a share outside (0, 1], and when the strong arm earns no more than the weak one.
    """
    if not 0.0 < recovered <= 1.0:
        raise BadInput("trade-off", f"recovered share {recovered!r}", "give a share above 0 and at most 1")
    curve = (
        trace_every_threshold(scores, strong, weak) if bins is None else sweep_thresholds(scores, strong, weak, bins)
    )
    weak_mean, strong_mean = (float(np.asarray(values, dtype=np.float64).mean()) for values in (weak, strong))
    if strong_mean <= weak_mean:
        raise BadInput(
            "trade-off", "the strong arm earns no more than the weak one", "swap the arms, or compare others"
        )
    wanted = weak_mean + recovered * (strong_mean - weak_mean)
    after = int(np.argmax(curve.reward >= wanted - 1e-12))
    ratios, rewards = curve.strong_ratio[after - 1 : after + 1], curve.reward[after - 1 : after + 1]
    return float(np.interp(wanted, rewards, ratios))


def _numbers(scores: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return three arrays of one shape (n,); raises BadInput for anything else."""
    score, strong_reward, weak_reward = (np.asarray(values, dtype=np.float64) for values in (scores, strong, weak))
    if not score.shape == strong_reward.shape == weak_reward.shape or score.ndim != 1 or not score.size:
        raise BadInput(
            "trade-off", "scores and rewards differ in shape or are empty", "give one score and two rewards per task"
        )
    if not all(np.isfinite(values).all() for values in (score, strong_reward, weak_reward)):
        raise BadInput("trade-off", "a score or reward is not finite", "drop that task")
    return score, strong_reward, weak_reward


def _share_of_gap(curve: TradeoffCurve, strong: ArrayLike, weak: ArrayLike) -> float:
    """Return (A - W) / (S - W) of a curve; raises BadInput when both arms earn the same on average."""
    strong_mean, weak_mean = (float(np.asarray(values, dtype=np.float64).mean()) for values in (strong, weak))
    if strong_mean == weak_mean:
        raise BadInput(
            "trade-off", "both arms earn the same on average: there is no gap to recover", "compare other arms"
        )
    width = float(curve.strong_ratio[-1] - curve.strong_ratio[0])
    area = float(np.trapezoid(curve.reward, curve.strong_ratio))
    return (area - weak_mean * width) / ((strong_mean - weak_mean) * width)
