"""The rules of a week: what keeps the gate from comparing at all, in which order it is named, and in which words.

How two policies are compared is said in ``policy``. Pure: no clock, no file.
"""

from dataclasses import dataclass, replace

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.standing import HOW_TO_GET_ONE, no_own_benchmark
from memloop_assets.errors import BadInput
from memloop_assets.promotion.controls import Controls, put_controls
from memloop_assets.promotion.decision import Outcome, PromotionDecision
from memloop_assets.promotion.logged_evidence import LoggedTrialsOfWeeks, decide_from_logs
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.reasons import listed
from memloop_assets.promotion.vetoes import Rivals
from memloop_assets.weeks import IsoWeek

FEWEST_ARMS = 2


@dataclass(frozen=True, kw_only=True)
class WeekEvidence:
    """What is known of a week when the gate is asked, apart from the scores.

    ``missing_predecessor``: the week before, where it has no decision although it should; never set for the first
    configured week, which has no predecessor by definition (BadInput otherwise). ``failed_inputs``: upstream tables of
    this week that are missing or ended in an error. ``arm_count`` and ``sample_count``: over the retained training
    samples; ``new_sample_count``: those of this week. ``suite_name`` (None: no benchmark of one's own)
    and ``holdout_task_count``: the benchmark. A canary's week reads neither samples nor benchmark and leaves them out.
    """

    week: IsoWeek
    is_closed: bool
    is_first_week: bool = False
    missing_predecessor: IsoWeek | None = None
    failed_inputs: tuple[str, ...] = ()
    arm_count: int = 0
    sample_count: int = 0
    new_sample_count: int = 0
    suite_name: str | None = None
    holdout_task_count: int = 0

    def __post_init__(self) -> None:
        """Refuse evidence that contradicts itself."""
        if self.is_first_week and self.missing_predecessor is not None:
            culprit = f"it is the first week and yet misses {self.missing_predecessor}"
            raise BadInput(f"evidence of {self.week}", culprit, "leave missing_predecessor out of the first week")


@dataclass(frozen=True)
class Compared:
    """What the policy compares; scores and rivals are None where they cannot be had.

    ``reference_cost_usd``: mean cost of the reference arm on the tasks. ``look``: the how-manieth look at this challenger it is.
    ``remembered_count``: holdout tasks that the champion learned from, before they were held out. ``logged``: live trials to
    decide by where the benchmark cannot carry the decision, or why there are none; None where they were not asked for. ``controls``:
    what the same gate is asked about besides, whose answers are known.
    """

    champion: PolicyScores | None
    challenger: PolicyScores | None
    reference_cost_usd: float | None = None
    rivals: Rivals | None = None
    look: int = 1
    remembered_count: int = 0
    logged: LoggedTrialsOfWeeks | str | None = None
    controls: Controls | None = None


def decide_week(evidence: WeekEvidence, policy: PromotionPolicy, compared: Compared) -> PromotionDecision:
    """Decide one week: always with reasons, and anything but ``promote`` leaves the champion as it was.

    What applies first: error (a failed input), hold (the week is open), hold (the week before is undecided), skip (no
    new samples or too few), skip (one arm only), hold (no benchmark or too small a one), error (scores missing), then
    ``policy.evaluate``. So what is broken is named before what is early, and what an operator must mend before what
    time will mend.
    """
    counts: dict[str, float | int | None] = {
        "arm_count": evidence.arm_count,
        "sample_count": evidence.sample_count,
        "new_sample_count": evidence.new_sample_count,
        "holdout_task_count": evidence.holdout_task_count,
    }
    obstacle = obstacle_before_learning(evidence) or _obstacle_to_learning(evidence, policy)
    if obstacle:
        return PromotionDecision(obstacle[0], (obstacle[1],), counts)
    shortage = _shortage_of_benchmark(evidence, policy)
    if shortage:
        decision = _decide_without_benchmark(shortage, compared.logged, policy)
        return replace(decision, metrics=counts | dict(decision.metrics))
    champion, challenger = compared.champion, compared.challenger
    if champion is None or challenger is None:
        who = " and ".join(
            name for name, scores in (("champion", champion), ("challenger", challenger)) if scores is None
        )
        reason = f"The {who} of {evidence.week} was not scored: materialise benchmark_results of {evidence.week} again."
        return PromotionDecision("error", (reason,), counts)
    decision = policy.evaluate(
        champion, challenger, compared.reference_cost_usd, rivals=compared.rivals, look=compared.look
    )
    if compared.controls is not None:
        decision = put_controls(
            decision,
            policy,
            champion=champion,
            challenger=challenger,
            reference_cost_usd=compared.reference_cost_usd,
            controls=compared.controls,
        )
    counts["champion_remembered_count"] = compared.remembered_count
    return replace(
        decision,
        reasons=(*decision.reasons, *_advantage_of_champion(evidence, compared.remembered_count)),
        metrics=counts | dict(decision.metrics),
    )


def _advantage_of_champion(evidence: WeekEvidence, remembered: int) -> tuple[str, ...]:
    """Return what speaks for a champion that learned from holdout tasks before there was this benchmark."""
    if not remembered:
        return ()
    held = f"{remembered:,} of the {evidence.holdout_task_count:,} holdout tasks"
    return (f"The champion remembers {held}: it learned before they were held out, which speaks for it here.",)


def obstacle_before_learning(evidence: WeekEvidence) -> tuple[Outcome, str] | None:
    """Return what forbids a decision about the week at all."""
    week, missing = evidence.week, evidence.missing_predecessor
    if evidence.failed_inputs:
        tables = listed(evidence.failed_inputs)
        return (
            "error",
            f"These inputs of {week} are missing or failed: {tables}. Mend them, then `memloop backfill {week}`.",
        )
    if not evidence.is_closed:
        return "hold", f"{week} is still open; it can be decided from {week.end:%A %Y-%m-%d} 00:00 UTC on."
    if missing is not None:
        remedy = f"`memloop backfill {missing}..{week}`"
        return "hold", f"{missing} has no decision, so the champion that {week} follows is not known. Fix: {remedy}."
    return None


def _obstacle_to_learning(evidence: WeekEvidence, policy: PromotionPolicy) -> tuple[Outcome, str] | None:
    """Return why there is nothing new to learn from."""
    week, new = evidence.week, evidence.new_sample_count
    if new <= 0 or evidence.sample_count <= 0:
        return "skip", f"{week} brought no new samples to learn from."
    if new < policy.min_new_samples:
        return (
            "skip",
            f"{week} brought only {new:,} new samples; {policy.min_new_samples:,} are required (min_new_samples).",
        )
    if evidence.arm_count < FEWEST_ARMS:
        return (
            "skip",
            f"All {evidence.sample_count:,} samples are of one arm, so a router has nothing to choose between.",
        )
    return None


def _shortage_of_benchmark(evidence: WeekEvidence, policy: PromotionPolicy) -> str | None:
    """Return why the benchmark cannot carry a decision; None where it can."""
    tasks, required = evidence.holdout_task_count, policy.required_task_count
    if evidence.suite_name is None:
        return no_own_benchmark()
    if tasks < required:
        found = f"The benchmark {evidence.suite_name} has {tasks:,} holdout tasks; {required:,} are required"
        return f"{found}: {HOW_TO_GET_ONE}."
    return None


def _decide_without_benchmark(
    shortage: str, logged: LoggedTrialsOfWeeks | str | None, policy: PromotionPolicy
) -> PromotionDecision:
    """Decide by the live logs where they are admissible, else hold; the missing benchmark is named first."""
    if logged is None or isinstance(logged, str):
        return PromotionDecision("hold", (shortage, *([logged] if logged else [])))
    decision = decide_from_logs(logged, policy.logged_rules)
    return replace(decision, reasons=(shortage, *decision.reasons))
