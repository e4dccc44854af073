"""The canary's judge: whether an accepted challenger, serving a share of the sessions, does worse there than the champion.

Pure: live trials of both sides in, a decision out. Not here: which trials those are and what a week makes of the decision
(``canary_week``), who serves whom (``routing/deployment``), the values (``policy``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.group_means import GroupedMean, bound_of_difference, mean_over_groups
from memloop_assets.benchmarks.intervals import tasks_needed
from memloop_assets.promotion.decision import Finding, PromotionDecision
from memloop_assets.promotion.pairs import FAILING_REWARD
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.reasons import REWARD, in_confidence, in_points

FEWEST_SESSIONS = 30
"""With fewer sessions on a side nothing is tested at all."""
_ROUNDING = 1e-9
_METRICS = ("reward", "failures", "latency")
_TITLES = {
    "reward": REWARD,
    "failures": f"Share of failed trials (reward below {FAILING_REWARD})",
    "latency": "Latency",
}
_REGRESSIONS = {"reward": "quality_regression", "failures": "failure_regression", "latency": "latency_regression"}
_NAMES = {
    "reward": ("reward", "reward_delta"),
    "failures": ("error_ratio", "error_rate_increase"),
    "latency": ("latency_ms", "latency_increase_ms"),
}


@dataclass(frozen=True, eq=False)
class Served:
    """The live trials that one router served; arrays are (n,), NaN where unknown.

    ``sessions``: the number of each trial's session, any whole number. ``failures``: 1 for a failed trial (a reward below 0.5, or known
    to have failed), else 0.
    """

    sessions: NDArray[np.intp]
    rewards: NDArray[np.float64]
    failures: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]

    @property
    def session_count(self) -> int:
        """Return the number of sessions with a known outcome."""
        return int(np.unique(self.sessions[~np.isnan(self.failures)]).size)


@dataclass(frozen=True, slots=True)
class _Difference:
    """One metric on both sides, and what the canary loses in it: more failures, more latency, less reward.

    ``surely_lost`` is the lower bound of the loss that ends a canary, ``possibly_lost`` the upper one that promotes it; ``tolerated`` and
    ``allowed`` are the losses that they are held against (None: any loss is allowed). ``variance``: of the loss.
    """

    name: str
    control: float
    canary: float
    surely_lost: float
    possibly_lost: float
    variance: float
    tolerated: float
    allowed: float | None

    @property
    def delta(self) -> float:
        """Return canary minus champion."""
        return self.canary - self.control

    @property
    def loss(self) -> float:
        """Return the difference turned so that more is worse."""
        return -self.delta if self.name == "reward" else self.delta

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the one-sided lower and upper bound of canary minus champion."""
        if self.name == "reward":
            return -self.possibly_lost, -self.surely_lost
        return self.surely_lost, self.possibly_lost

    @property
    def is_regression(self) -> bool:
        """Tell whether more is lost than is tolerated, beyond chance."""
        return self.surely_lost > self.tolerated + _ROUNDING

    @property
    def is_safe(self) -> bool:
        """Tell whether no more than is allowed can have been lost."""
        return self.allowed is None or self.possibly_lost < self.allowed - _ROUNDING


def judge_canary(control: Served, canary: Served, policy: PromotionPolicy) -> PromotionDecision:
    """Decide whether a canary is rejected, promoted or not decided yet (``hold``), by all live trials since it began.

    ``control``: what the champion served in the same time. The unit is the session, for sessions are what is assigned: whole sessions
    vary, their trials do not count one by one. What applies first:

    1. reject: reward, share of failed trials or latency is significantly worse (latency: by more than max_latency_increase_ms,
    where it is set). Each bound is sure to 1 - (1 - confidence) / (3 · canary_weeks): an equal canary ends so in at most
    1 - confidence of all canaries, over all metrics and weeks;
    2. hold: fewer than canary_min_sessions on a side;
    3. promote: the loss of reward is below reward_margin and that of failed trials below max_error_rate_increase (and latency's
    below max_latency_increase_ms, where it is set), each by a bound sure to 1 - (1 - confidence) / canary_weeks. All have
    to hold, so a canary at one of these limits is promoted in about 1 - confidence of all canaries (2 to 8 % measured at 0.95:
    ``benchmarks/canary_error_rates.py``);
    4. hold, with the number of sessions that would decide.
    """
    counts = _counts(control, canary)
    few = min(control.session_count, canary.session_count)
    told = f"The canary served {canary.session_count:,} sessions with a known outcome, the champion {control.session_count:,}"
    if few < FEWEST_SESSIONS:
        reason = f"{told}; nothing is compared below {FEWEST_SESSIONS} on each side."
        return PromotionDecision("hold", (reason,), counts, ())
    found = _differences(control, canary, policy)
    metrics = counts | _numbers(found)
    findings = tuple(_finding(one, policy, few) for one in found)
    worse = tuple(finding.sentence for finding in findings if finding.is_against)
    if worse:
        return PromotionDecision("reject", worse, metrics, findings)
    told_all = tuple(finding.sentence for finding in findings)
    if few < policy.canary_min_sessions:
        reason = f"{told}; {policy.canary_min_sessions:,} are required on each side (canary_min_sessions)."
        return PromotionDecision("hold", (reason, *told_all), metrics, findings)
    needed_metrics = _METRICS[: 2 if policy.max_latency_increase_ms is None else 3]
    unknown = [name for name in needed_metrics if name not in {one.name for one in found}]
    if unknown:
        reason = (
            f"Fewer than {FEWEST_SESSIONS} sessions of a side tell of {' and '.join(unknown)}: log it with the outcome."
        )
        return PromotionDecision("hold", (reason, *told_all), metrics, findings)
    if all(one.is_safe for one in found):
        reason = f"The canary does no worse than the champion, within what is tolerated: {told[0].lower()}{told[1:]}."
        return PromotionDecision("promote", (reason, *told_all), metrics, findings)
    needed = _needed(found, canary.session_count, policy)
    ending = (
        f"About {needed:,} sessions of the canary would decide a difference of this size four times in five."
        if needed
        else "At a difference of this size more sessions would not promote it."
    )
    metrics["needed_session_count"] = needed
    return PromotionDecision("hold", ("Not enough evidence.", *told_all, ending), metrics, findings)


def _confidences(policy: PromotionPolicy) -> tuple[float, float]:
    """Return how sure the bound that ends a canary is, and the one that promotes it (Bonferroni over weeks, and over metrics)."""
    error = (1.0 - policy.confidence) / policy.canary_weeks
    return 1.0 - error / len(_METRICS), 1.0 - error


def _differences(control: Served, canary: Served, policy: PromotionPolicy) -> list[_Difference]:
    """Return the metrics that enough sessions on both sides tell of."""
    limit = policy.max_latency_increase_ms
    ends, promotes = _confidences(policy)
    found = []
    for name, before, after, tolerated, allowed in (
        ("reward", control.rewards, canary.rewards, 0.0, policy.reward_margin),
        ("failures", control.failures, canary.failures, 0.0, policy.max_error_rate_increase),
        ("latency", control.latencies_ms, canary.latencies_ms, limit or 0.0, limit),
    ):
        first = _mean(control.sessions, before, is_ratio=name != "latency")
        second = _mean(canary.sessions, after, is_ratio=name != "latency")
        if first is None or second is None:
            continue
        more, less = (first, second) if name == "reward" else (second, first)
        found.append(
            _Difference(
                name,
                control=float(np.nanmean(before)),
                canary=float(np.nanmean(after)),
                surely_lost=bound_of_difference(more, less, 1.0 - ends),
                possibly_lost=bound_of_difference(more, less, promotes),
                variance=first.variance + second.variance,
                tolerated=tolerated,
                allowed=allowed,
            )
        )
    return found


def _mean(sessions: NDArray[np.intp], values: NDArray[np.float64], *, is_ratio: bool) -> GroupedMean | None:
    """Return the mean of the known values over sessions; None where fewer than 30 sessions know one.

    Values in [0, 1] get two sessions more, one of 0 and one of 1 (Agresti and Caffo, 2000): without a single failure among the first
    hundred sessions the variance would else be 0, and any bound far too sure.
    """
    is_known = ~np.isnan(values)
    known, numbers = values[is_known], sessions[is_known]
    if np.unique(numbers).size < FEWEST_SESSIONS:
        return None
    if is_ratio:
        known, numbers = np.append(known, (0.0, 1.0)), np.append(numbers, numbers.max() + np.array([1, 2]))
    return mean_over_groups(known, numbers)


def _finding(one: _Difference, policy: PromotionPolicy, session_count: int) -> Finding:
    """Return a metric as a finding; its sentence names the bound that decides about it."""
    lower, upper = one.bounds
    is_reward = one.name == "reward"
    ends, promotes = (in_confidence(round(sure, 4)) for sure in _confidences(policy))
    told = f"{_TITLES[one.name]} {_value(one, one.canary)} against the champion's {_value(one, one.control)}: {_change(one, one.delta)}"
    if one.is_regression:
        bound = f"below {_change(one, upper)}" if is_reward else f"above {_change(one, lower)}"
        fix = " (max_latency_increase_ms allows more)" if one.name == "latency" else ""
        told = f"{_REGRESSIONS[one.name]}: {told[0].lower()}{told[1:]}, {ends} {bound}{fix}"
    elif one.allowed is None:
        told = f"{told}, no more than chance explains {ends}"
    elif is_reward:
        told = f"{told}, {promotes} above {_change(one, lower)}; above {_change(one, -one.allowed)} is needed"
    else:
        told = f"{told}, {promotes} below {_change(one, upper)}; below {_change(one, one.allowed)} is needed"
    return Finding(one.name, one.is_regression, f"{told}.", one.delta, lower, upper, session_count)


def _value(one: _Difference, value: float) -> str:
    return f"{value:,.0f} ms" if one.name == "latency" else f"{value:.3f}"


def _change(one: _Difference, value: float) -> str:
    return f"{value:+,.0f} ms" if one.name == "latency" else in_points(value)


def _needed(found: list[_Difference], session_count: int, policy: PromotionPolicy) -> int | None:
    """Return how many sessions of the canary would promote it, were means and variances to stay; None where none would."""
    wanted = [session_count + 1]
    for one in found:
        if one.allowed is not None and not one.is_safe:
            needed = tasks_needed(
                one.allowed - one.loss, one.variance * session_count, confidence=_confidences(policy)[1]
            )
            if needed is None:
                return None
            wanted.append(needed)
    return max(wanted)


def _counts(control: Served, canary: Served) -> dict[str, float | int | None]:
    """Return how much each side served, and for how many trials nobody knows how they ended."""
    counts: dict[str, float | int | None] = {}
    for side, served in (("control", control), ("canary", canary)):
        counts |= {
            f"{side}_session_count": served.session_count,
            f"{side}_trial_count": served.sessions.size,
            f"{side}_unknown_count": int(np.isnan(served.failures).sum()),
        }
    return counts


def _numbers(found: list[_Difference]) -> dict[str, float | int | None]:
    """Return what was measured under the names of the other decisions."""
    numbers: dict[str, float | int | None] = {}
    for one in found:
        side, delta = _NAMES[one.name]
        lower, upper = one.bounds
        numbers |= {f"control_{side}": one.control, f"canary_{side}": one.canary}
        numbers |= {delta: one.delta, f"{delta}_lower": lower, f"{delta}_upper": upper}
    return numbers
