"""Controls at the gate: comparisons whose answer is known, put to it in the very week that it decides.

Here: the A/A twin, which is only shown, and the no-op, which must not differ from itself. The control on shuffled rewards can veto and is
one of the ``vetoes``; how the scores come about is said in ``evidence``.
"""

from dataclasses import dataclass

import numpy as np

from memloop_assets.benchmarks.evaluation import SCORED, PolicyScores
from memloop_assets.promotion.decision import Finding, PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.reasons import in_points

AA_TWIN, NO_OP = "aa-twin", "no-op"


@dataclass(frozen=True, eq=False)
class Controls:
    """Scores on the week's tasks whose comparison has a known answer.

    ``twin``: the challenger's recipe on the challenger's samples with another seed. ``champion_again``: the champion, loaded and scored a
    second time.
    """

    twin: PolicyScores
    champion_again: PolicyScores


def put_controls(  # noqa: PLR0913  # the two that were compared, how, and beside what
    decision: PromotionDecision,
    policy: PromotionPolicy,
    *,
    champion: PolicyScores,
    challenger: PolicyScores,
    reference_cost_usd: float | None,
    controls: Controls,
) -> PromotionDecision:
    """Return a decision with what the same gate says of the controls as two further findings.

    The twin is held against the challenger as a challenger against the champion, by the bounds alone: it vetoes nothing, and is promoted
    in one week of twenty by construction (``aa_promoted_count``: 1 then, else 0). A champion that differs from itself, or that the gate
    would promote over itself, makes the decision an error: then no difference measured in that week means anything.
    """
    twin = policy.evaluate(challenger, controls.twin, reference_cost_usd)
    again = policy.evaluate(champion, controls.champion_again, reference_cost_usd)
    is_broken = again.accepted or _differ(champion, controls.champion_again)
    no_op = Finding(NO_OP, is_broken, _no_op_sentence(again, is_broken=is_broken), *_difference(again))
    aa_twin = Finding(AA_TWIN, False, _twin_sentence(twin, policy), *_difference(twin))  # shown, never a veto
    metrics = {**decision.metrics, "aa_promoted_count": int(twin.accepted)}
    findings = (*decision.findings, aa_twin, no_op)
    if is_broken:
        return PromotionDecision("error", (no_op.sentence, *decision.reasons), metrics, findings)
    return PromotionDecision(decision.outcome, decision.reasons, metrics, findings)


def _differ(first: PolicyScores, second: PolicyScores) -> bool:
    """Tell whether two scores of one policy differ anywhere: in a task, an arm or a number."""
    return (first.task_ids, first.arms) != (second.task_ids, second.arms) or not all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True) for name in SCORED
    )


def _difference(decision: PromotionDecision) -> tuple[float | None, float | None, float | None, int]:
    """Return mean, bounds and number of tasks of a comparison in utility; 0 where all choices are the same."""
    found = decision.metrics
    count = int(found.get("task_count") or 0)
    if found.get("changed_choice_count") == 0 and decision.outcome == "reject":
        return 0.0, 0.0, 0.0, count
    mean, lower, upper = (found.get(f"utility_delta{which}") for which in ("", "_lower", "_upper"))
    return mean, lower, upper, count


def _twin_sentence(found: PromotionDecision, policy: PromotionPolicy) -> str:
    mean, lower, upper, count = _difference(found)
    if mean is None:
        return f"Another seed of the same recipe could not be compared: {' '.join(found.reasons)}"
    changed = f"Another seed of the same recipe chooses otherwise on {found.metrics['changed_choice_count']:,} of {count:,} tasks"
    moved = f"net of cost that is {in_points(mean)} [{in_points(lower)}, {in_points(upper)}]"
    said = f"{changed}; {moved}: the gate would {found.outcome} it."
    if not found.accepted:
        return said
    error = f"errs so in {100 * (1 - policy.confidence):.2g} % of weeks"
    return f"{said} That is an error of the gate, which {error}: nothing but the seed is new."


def _no_op_sentence(found: PromotionDecision, *, is_broken: bool) -> str:
    if not is_broken:
        told = "the same choices throughout." if found.outcome == "reject" else " ".join(found.reasons)
        return f"The champion, loaded and scored again, against itself: {found.outcome}, {told}"
    would = "promote it over itself" if found.accepted else f"{found.outcome} it"
    return (
        f"The champion, loaded and scored again, is not the same as before, or the gate would promote what is (it would {would}): no "
        "difference measured here can be trusted. Decide the week again; where this stays, go back to the memloop of the last sound week."
    )
