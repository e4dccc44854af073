"""Whether an estimate from logs may decide anything: level B of the gate's ladder of evidence.

An interval from logs with little exploration looks as narrow as any and covers the truth half of the time; nothing in
the interval itself says so. Here: the conditions under which it may be believed, and sentences for those that fail. The
thresholds are arguments; who owns their values is the promotion room.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from memloop_assets.benchmarks.logged_trials import ROUNDING
from memloop_assets.benchmarks.offpolicy import OffPolicyEvaluation, Side


@dataclass(frozen=True, slots=True)
class AdmissionThresholds:
    """What an evaluation must reach before it may be used as evidence.

    ``min_propensity``: of every trial on which the policies differ. ``min_ess``: effective sample size of each side, in
    tasks; ``min_asker_ess`` the same in users (sessions where no user is logged): with fewer, an interval over them cannot be trusted.
    ``min_supported_ratio``: of each side's choices where they differ. ``max_disagreement_errors``: how far doubly
    robust and SNIPS may lie apart, in the larger of their standard errors. ``min_exploration_ratio``: the exploration
    must be above this, so that logs with 2 % are never enough, however long. ``max_weight_mean_errors``: how many
    standard errors the mean weight of a side may lie off 1; more says that logged propensities are not the true ones.
    """

    min_propensity: float = 0.01
    min_ess: float = 100.0
    min_asker_ess: float = 40.0
    min_supported_ratio: float = 0.95
    max_disagreement_errors: float = 1.0
    min_exploration_ratio: float = 0.02
    max_weight_mean_errors: float = 3.0


class Admission(NamedTuple):
    """Whether an evaluation is admissible, and one sentence for each thing that is missing."""

    is_admissible: bool
    missing: tuple[str, ...]


DEFAULT_THRESHOLDS = AdmissionThresholds()


def admissible(evaluation: OffPolicyEvaluation, thresholds: AdmissionThresholds = DEFAULT_THRESHOLDS) -> Admission:
    """Tell whether the doubly robust estimate of a policy or a difference may be used as evidence.

    A number that is NaN fails its condition.
    """
    if evaluation.target.mass == 0.0:
        return Admission(
            False, ("Both policies choose the same arm on every logged task: there is nothing to compare.",)
        )
    missing = []
    if not evaluation.exploration_ratio > thresholds.min_exploration_ratio + ROUNDING:
        missing.append(
            f"The logs explore {100 * evaluation.exploration_ratio:.1f} % where it matters; "
            f"more than {100 * thresholds.min_exploration_ratio:g} % is needed."
        )
    if not evaluation.min_propensity >= thresholds.min_propensity - ROUNDING:
        missing.append(
            f"The least propensity there is {evaluation.min_propensity:.2g}; at least {thresholds.min_propensity:g} is needed."
        )
    for name, side in (("the challenger", evaluation.target), ("the champion", evaluation.against)):
        if side.mass > 0.0:
            missing += _lacking(name, side, thresholds)
    missing += _too_few_askers(evaluation, thresholds)
    apart = _errors_apart(evaluation)
    if not apart <= thresholds.max_disagreement_errors:
        missing.append(
            f"Doubly robust and SNIPS lie {apart:.1f} standard errors apart; "
            f"at most {thresholds.max_disagreement_errors:g} is allowed."
        )
    return Admission(not missing, tuple(missing))


def _lacking(name: str, side: Side, thresholds: AdmissionThresholds) -> list[str]:
    """Return what one side lacks."""
    missing = []
    if not side.supported_ratio >= thresholds.min_supported_ratio - ROUNDING:
        supported = f"{100 * side.supported_ratio:.0f} % of the choices of {name} could have been logged"
        missing.append(f"{supported}; at least {100 * thresholds.min_supported_ratio:g} % is needed.")
    if not side.ess >= thresholds.min_ess:
        weighs = f"The logs speak for {name} with the weight of {side.ess:.0f} tasks (ESS)"
        missing.append(f"{weighs}; at least {thresholds.min_ess:g} are needed.")
    elif not abs(side.weight_mean - 1.0) <= thresholds.max_weight_mean_errors * side.weight_mean_error + ROUNDING:
        average = f"The weights of {name} average {side.weight_mean:.2f} instead of 1"
        missing.append(f"{average}: the logged propensities are not the true ones.")
    return missing


def _too_few_askers(evaluation: OffPolicyEvaluation, thresholds: AdmissionThresholds) -> list[str]:
    """Return that a handful of users speak for a side; not where so few tasks do, which is said already."""
    least = min(thresholds.min_ess, thresholds.min_asker_ess)
    sides = [side for side in (evaluation.target, evaluation.against) if side.mass > 0.0 and side.ess >= least]
    askers = min((side.asker_ess for side in sides), default=thresholds.min_asker_ess)
    if askers >= thresholds.min_asker_ess:
        return []
    weighs = f"they weigh as much as those of {askers:.0f} users (or sessions, where no user is logged)"
    needed = f"at least {thresholds.min_asker_ess:g} are needed, and more trials of the same users do not help"
    return [f"The live trials come from too few users: {weighs}; {needed}."]


def _errors_apart(evaluation: OffPolicyEvaluation) -> float:
    """Return how many standard errors, of the larger of both, doubly robust and SNIPS lie apart; NaN where unknown."""
    first, second = evaluation.doubly_robust, evaluation.snips
    gap, error = abs(first.value - second.value), max(first.standard_error, second.standard_error)
    if error > 0.0:
        return gap / error
    return 0.0 if gap <= ROUNDING else math.nan
