"""Vetoes: what forbids a challenger that passed both bounds, each a test of its own with a known error rate.

Pure: scores in, findings out. That a veto stands above a promotion is said in ``policy``; how the rivals come about in ``evidence``.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.calibration_metrics import Predicted, paired_brier_difference
from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.group_bootstrap import Resampling
from memloop_assets.benchmarks.intervals import Interval, paired_bootstrap
from memloop_assets.promotion.decision import Finding
from memloop_assets.promotion.pairs import PairedScores
from memloop_assets.promotion.reasons import in_points

_CONTROLS = {
    "chance": "random choice at the same arm shares",
    "shuffled": "the same recipe on shuffled rewards",
}
VETO_BASELINES = ("best-single-arm", "cheapest-arm")
VETOES = ("baseline", "chance", "calibration", "stratum", "shuffled")
_NORMAL = NormalDist()
_FEWEST_TASKS = 30
_ROUNDING = 1e-9
_POWER = 0.8
_UNKNOWN = f"outcomes and costs of both are known on fewer than {_FEWEST_TASKS} tasks"


@dataclass(frozen=True, eq=False)
class Rivals:
    """What a challenger has to stand beside, apart from the champion; what cannot be had is left out.

    ``baselines``: policies that need no router. ``chance``: the expectation of a policy that takes each arm as often as the
    challenger, on tasks drawn at random; None where the challenger takes one arm throughout. ``shuffled``: the same recipe fitted
    on shuffled rewards. ``strata``: the stratum of each task id.
    """

    baselines: tuple[PolicyScores, ...] = ()
    chance: PolicyScores | None = None
    shuffled: PolicyScores | None = None
    strata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VetoRules:
    """The values by which vetoes are raised; ``PromotionPolicy`` carries and documents them."""

    confidence: float
    control_confidence: float
    cost_weight: float
    reference_cost_usd: float | None
    stratum_task_count: int
    stratum_margin: float
    resamples: int
    seed: int
    baselines: tuple[str, ...] = VETO_BASELINES
    off: tuple[str, ...] = ()


def find_vetoes(
    champion: PolicyScores, challenger: PolicyScores, rivals: Rivals, rules: VetoRules
) -> tuple[Finding, ...]:
    """Return every test of a challenger beside the comparison with the champion, in the order of VETOES.

    * baseline: significantly worse in utility than a policy without a router (Bonferroni over ``rules.baselines``; others are
      only shown);
    * chance: not better in utility than its own arm shares on tasks at random, at ``control_confidence``;
    * calibration: the paired difference of its Brier score to the champion's has a lower bound above 0;
    * stratum: a stratum of ``stratum_task_count`` or more tasks loses more than ``stratum_margin`` (Holm over the strata);
    * shuffled: not better in utility than the same recipe on shuffled rewards, at ``control_confidence``.
    """
    found: list[Finding] = []
    if "baseline" not in rules.off:
        found += [_beside_baseline(challenger, one, rules) for one in rivals.baselines]
    if "chance" not in rules.off and rivals.chance is not None:
        found.append(_above_control("chance", challenger, rivals.chance, rules))
    if "calibration" not in rules.off:
        found += _calibration(champion, challenger, rules)
    if "stratum" not in rules.off:
        found += _strata(champion, challenger, rivals.strata, rules)
    if "shuffled" not in rules.off and rivals.shuffled is not None:
        found.append(_above_control("shuffled", challenger, rivals.shuffled, rules))
    return tuple(found)


def utility_deltas(pairs: PairedScores, cost_weight: float, reference_cost_usd: float | None) -> NDArray[np.float64]:
    """Return Δreward - cost_weight · Δcost / cost(reference arm) of each task (n,); NaN where a cost in it is not known."""
    rewards = pairs.reward_deltas
    return np.asarray(rewards - cost_weight * pairs.cost_ratios(reference_cost_usd)) if cost_weight else rewards


def _beside_baseline(challenger: PolicyScores, baseline: PolicyScores, rules: VetoRules) -> Finding:
    name, may_veto = f"baseline {baseline.policy}", baseline.policy in rules.baselines
    confidence = 1.0 - (1.0 - rules.confidence) / len(rules.baselines) if may_veto else rules.confidence
    found = _utility_over(baseline, challenger, confidence, rules)
    if found is None:
        return Finding(
            name,
            is_against=False,
            sentence=f"{baseline.policy} could not be compared: {_UNKNOWN}.",
        )
    is_worse = found.upper < -_ROUNDING
    verdict = "significantly worse" if is_worse else "not significantly worse"
    verdict += "" if may_veto else " (shown, no veto)"
    interval = f"{in_points(found.mean)} [{in_points(found.lower)}, {in_points(found.upper)}]"
    sentence = f"Net of cost {interval} against {baseline.policy}{_partly(found, challenger)}: {verdict}."
    return _finding(name, is_worse and may_veto, sentence, found)


def _above_control(name: str, challenger: PolicyScores, control: PolicyScores, rules: VetoRules) -> Finding:
    found = _utility_over(control, challenger, rules.control_confidence, rules)
    if found is None:
        sentence = f"It could not be held against {_CONTROLS[name]}: {_UNKNOWN}."
        return Finding(name, is_against=False, sentence=sentence)
    is_against = found.lower <= _ROUNDING
    verdict = "not shown to be better" if is_against else "better"
    sure = f"at {100 * rules.control_confidence:g} % confidence more than {in_points(found.lower)}"
    against = f"{_CONTROLS[name]}{_partly(found, challenger)}"
    sentence = f"Net of cost {in_points(found.mean)} against {against}, {sure}: {verdict}."
    return _finding(name, is_against, sentence, found)


def _utility_over(
    rival: PolicyScores, challenger: PolicyScores, confidence: float, rules: VetoRules
) -> Interval | None:
    """Return the interval of challenger minus rival in utility over the tasks on which both are known; None where these are too few."""
    deltas = utility_deltas(PairedScores.of(rival, challenger), rules.cost_weight, rules.reference_cost_usd)
    deltas = deltas[np.isfinite(deltas)]
    if deltas.size < _FEWEST_TASKS:
        return None
    return paired_bootstrap(deltas, confidence=confidence, resamples=rules.resamples, seed=rules.seed)


def _partly(found: Interval, challenger: PolicyScores) -> str:
    """Return on how many of the tasks a rival was compared, nothing where it was on all of them."""
    count = len(challenger.task_ids)
    return "" if found.n == count else f" on {found.n:,} of {count:,} tasks"


def _calibration(champion: PolicyScores, challenger: PolicyScores, rules: VetoRules) -> list[Finding]:
    """Return the paired difference of Brier scores (Brier, 1950): the squared error of the predicted reward of the arm chosen."""
    pairs = PairedScores.of(champion, challenger)
    sides = (pairs.challenger, pairs.baseline)
    known = np.isfinite(sides[0].predicted_rewards) & np.isfinite(sides[1].predicted_rewards)
    if known.sum() < _FEWEST_TASKS:
        return []
    after, before = (Predicted(one.predicted_rewards[known], one.rewards[known]) for one in sides)
    keys = [task_id for task_id, is_known in zip(pairs.challenger.task_ids, known, strict=True) if is_known]
    found = paired_brier_difference(after, before, keys, Resampling(rules.confidence, rules.resamples, rules.seed))
    is_against = found.lower > _ROUNDING
    verdict = "predicts significantly worse than the champion" if is_against else "does not predict significantly worse"
    numbers = f"{found.mean:+.4f} [{found.lower:+.4f}, {found.upper:+.4f}]"
    return [_finding("calibration", is_against, f"Brier score {numbers}: the challenger {verdict}.", found)]


def _strata(
    champion: PolicyScores, challenger: PolicyScores, strata: Mapping[str, str], rules: VetoRules
) -> list[Finding]:
    """Return the change of reward in every stratum that is large enough, with the verdict of Holm's procedure (1979)."""
    pairs = PairedScores.of(champion, challenger)
    members: dict[str, list[int]] = defaultdict(list)
    for place, task_id in enumerate(pairs.challenger.task_ids):
        if task_id in strata:
            members[strata[task_id]].append(place)
    deltas = {
        name: pairs.reward_deltas[places]
        for name, places in sorted(members.items())
        if len(places) >= rules.stratum_task_count
    }
    worse = _holm(
        {name: _p_value(values, rules.stratum_margin) for name, values in deltas.items()}, 1.0 - rules.confidence
    )
    return [_stratum(name, values, len(deltas), name in worse, rules) for name, values in deltas.items()]


def _stratum(name: str, deltas: NDArray[np.float64], count: int, is_against: bool, rules: VetoRules) -> Finding:
    found = paired_bootstrap(deltas, confidence=rules.confidence, resamples=rules.resamples, seed=rules.seed)
    margin = in_points(-rules.stratum_margin)
    z = _NORMAL.inv_cdf(1.0 - (1.0 - rules.confidence) / count) + _NORMAL.inv_cdf(_POWER)
    seen = rules.stratum_margin + z * float(deltas.std(ddof=1)) / math.sqrt(deltas.size)
    measured = f"{name}: reward {in_points(found.mean)} [{in_points(found.lower)}, {in_points(found.upper)}] on {deltas.size:,} tasks"
    verdict = f"significantly below {margin}" if is_against else f"not significantly below {margin}"
    sentence = f"{measured}, {verdict}; only a loss of more than {100 * seen:.0f} points would show four times in five."
    return _finding(f"stratum {name}", is_against, sentence, found)


def _p_value(deltas: NDArray[np.float64], margin: float) -> float:
    """Return the one-sided p-value of a mean change that is not below -margin (normal approximation)."""
    mean, error = float(deltas.mean()), float(deltas.std(ddof=1)) / math.sqrt(deltas.size)
    if error < _ROUNDING:
        return 0.0 if mean < -margin - _ROUNDING else 1.0
    return _NORMAL.cdf((mean + margin) / error)


def _holm(p_values: Mapping[str, float], level: float) -> set[str]:
    """Return what Holm's step-down procedure rejects: of all true hypotheses any with probability at most ``level``."""
    rejected: set[str] = set()
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        if p_values[name] > level / (len(p_values) - rank):
            break
        rejected.add(name)
    return rejected


def _finding(name: str, is_against: bool, sentence: str, found: Interval) -> Finding:
    return Finding(name, is_against, sentence, found.mean, found.lower, found.upper, found.n)
