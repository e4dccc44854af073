"""The gate: whether a challenger is promoted, and the sentences and numbers that say why.

Here: the policy's values, the paired test, and the rules of a whole week. Not here: how scores come about (the
benchmarks room) or are paired (``pairs``), what a decision moves (the ledger, ``routing/versions.py``), tables and
reports. Pure: no clock, no file.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.intervals import Interval, paired_bootstrap, tasks_needed
from memloop_assets.benchmarks.standing import HOW_TO_GET_ONE, no_own_benchmark
from memloop_assets.errors import BadInput, BadSettings
from memloop_assets.promotion.pairs import FAILING_REWARD, PairedScores, fault_of_scores
from memloop_assets.promotion.reasons import Metrics, findings, in_percent, in_points, listed
from memloop_assets.weeks import IsoWeek

Outcome = Literal["promote", "reject", "hold", "skip", "error"]

ROUNDING = 1e-9
FEWEST_ARMS = 2
_COMMANDS = "with `memloop benchmark build` or `memloop benchmark import FILE`"
_REWARD_ALONE = "set cost_weight = 0 under [promotion] to decide by reward alone"


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """What the gate says: an outcome, reasons as sentences for a person, finite numbers (None where unknown)."""

    outcome: Outcome
    reasons: tuple[str, ...]
    metrics: Metrics = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Tell whether the challenger is promoted; every other outcome leaves the champion alone."""
        return self.outcome == "promote"


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """The values of the gate, section ``[promotion]`` of memloop.toml.

    A challenger is promoted when all of this holds:

    * the one-sided lower bound of Δreward - cost_weight · Δcost / cost(reference arm) is above 0,
    * the one-sided lower bound of Δreward is above -reward_margin,
    * on average Δreward >= min_reward_delta, the share of tasks with a reward below 0.5 rises by at most
      max_error_rate_increase, and latency rises by at most max_latency_increase_ms (None: no limit),
    * at least required_task_count tasks are shared, and at most max_unsupported_ratio of the choices have no known
    outcome.

    The thresholds on means guard against gross harm only: alone they pass an equal challenger nearly half the time.
    With their defaults they decide nothing by themselves on binary rewards, where the bound on Δreward is the stricter
    one. The 1 % of unsupported choices can hide at most 1 point of reward. ``confidence``, ``resamples`` and ``seed``
    belong to the bootstrap, ``min_new_samples`` to the week. Raises BadSettings.
    """

    min_reward_delta: float = -0.03
    max_error_rate_increase: float = 0.03
    max_latency_increase_ms: float | None = None
    required_task_count: int = 100
    max_unsupported_ratio: float = 0.01
    min_new_samples: int = 20
    cost_weight: float = 0.10
    reward_margin: float = 0.03
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values under which the gate would mean nothing."""
        bounds: dict[str, tuple[float, float]] = {
            "min_reward_delta": (-1.0, 1.0),
            "max_error_rate_increase": (0.0, 1.0),
            "max_latency_increase_ms": (0.0, 1e9),
            "required_task_count": (2, 10**9),
            "max_unsupported_ratio": (0.0, 0.5),
            "min_new_samples": (0, 10**9),
            "cost_weight": (0.0, 100.0),
            "reward_margin": (0.0, 1.0),
            "confidence": (0.8, 0.999),
            "resamples": (200, 1_000_000),
            "seed": (0, 2**63 - 1),
        }
        whole = {"required_task_count", "min_new_samples", "resamples", "seed"}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if name == "max_latency_increase_ms" and value is None:
                continue
            kind = int if name in whole else int | float
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                wanted = "a whole number" if name in whole else "a number"
                raise BadSettings(f"[promotion] {name}", f"it is {value!r}", f"give {wanted} from {low:g} to {high:g}")

    def evaluate(
        self, baseline: PolicyScores, challenger: PolicyScores, reference_cost_usd: float | None = None
    ) -> PromotionDecision:
        """Compare a challenger with a baseline (the champion, or any saved version) on the tasks that they share.

        ``reference_cost_usd``: mean cost of the reference arm on those tasks, None or NaN where unknown. What applies
        first:

        1. error: a number that cannot be (infinite, negative, a reward above 1), or a task scored twice;
        2. hold: too few shared tasks, or too many without a known outcome for both choices;
        3. reject: the same choices throughout;
        4. reject: evidence against it: a threshold broken, mean Δreward <= -reward_margin, or mean Δutility <= 0;
        5. hold: a cost or latency that has to be weighed is unknown, or cost has no proportion because the reference
        arm is free. This fails closed; only cost_weight = 0 asks for reward alone;
        6. promote: both bounds hold; otherwise hold, with the number of tasks that would decide it.
        """
        fault = fault_of_scores("the champion", baseline) or fault_of_scores("the challenger", challenger)
        if reference_cost_usd is not None and (math.isinf(reference_cost_usd) or reference_cost_usd < 0.0):
            fault = fault or f"The reference arm's cost is {reference_cost_usd!r} USD: mend its price under [arms]."
        if fault:
            return PromotionDecision("error", (fault,))
        pairs = PairedScores.of(baseline, challenger)
        metrics = pairs.metrics()
        shortage = self._shortage(pairs)
        if shortage:
            return PromotionDecision("hold", shortage, metrics)
        if not metrics["changed_choice_count"]:
            reason = f"The challenger makes the same choices as the champion on all {pairs.count:,} tasks."
            return PromotionDecision("reject", (reason,), metrics)
        return self._weigh(pairs, reference_cost_usd, metrics)

    def _shortage(self, pairs: PairedScores) -> tuple[str, ...]:
        """Return why there is too little to compare; nothing where there is enough."""
        found = []
        shared = pairs.count + pairs.unsupported_count
        if pairs.unsupported_count > self.max_unsupported_ratio * shared:
            found.append(
                f"For {pairs.unsupported_count:,} of {shared:,} tasks the benchmark holds no outcome of the arm chosen "
                f"({listed(pairs.unsupported_arms)}): bring these outcomes in {_COMMANDS}."
            )
        if pairs.unshared_count > self.max_unsupported_ratio * shared:
            found.append(
                f"{pairs.unshared_count:,} tasks were scored for only one of champion and challenger: "
                "score both on the same benchmark."
            )
        if pairs.count < self.required_task_count:
            found.append(
                f"Only {pairs.count:,} tasks can be compared and {self.required_task_count:,} are required: "
                f"get a larger benchmark {_COMMANDS}."
            )
        return tuple(found)

    def _weigh(
        self, pairs: PairedScores, reference_cost_usd: float | None, plain_metrics: dict[str, float | int | None]
    ) -> PromotionDecision:
        """Decide over enough paired tasks."""
        rewards = pairs.reward_deltas
        ratios = pairs.cost_ratios(reference_cost_usd)
        unknown_cost = self._unknown_cost(pairs, ratios, reference_cost_usd)
        utilities = rewards - self.cost_weight * ratios if self.cost_weight else rewards
        reward = self._interval(rewards)
        utility = None if unknown_cost else self._interval(utilities)
        metrics = plain_metrics | {
            "reference_cost_usd": _known(reference_cost_usd),
            "cost_delta_ratio": _known(float(ratios.mean())),
            **_bounds("reward_delta", reward),
            **_bounds("utility_delta", utility),
        }
        unknown_latency = self._unknown_latency(pairs)
        against = self._against(metrics, is_latency_known=not unknown_latency)
        if against:
            return PromotionDecision("reject", tuple(against), metrics)
        unknown = (*unknown_cost, *unknown_latency)
        if utility is None or unknown:
            return PromotionDecision("hold", unknown, metrics)
        measured = findings(
            metrics, confidence=self.confidence, cost_weight=self.cost_weight, reward_margin=self.reward_margin
        )
        if utility.lower > ROUNDING and reward.lower > ROUNDING - self.reward_margin:
            return PromotionDecision("promote", measured, metrics)
        needed = self._needed(reward, rewards, utility, utilities)
        ending = f"About {needed:,} tasks would decide a difference of this size four times in five."
        metrics["needed_task_count"] = needed
        return PromotionDecision("hold", ("Not enough evidence.", *measured, ending), metrics)

    def _interval(self, differences: NDArray[np.float64]) -> Interval:
        """Return the mean of differences (n,) with the policy's one-sided bounds."""
        return paired_bootstrap(differences, confidence=self.confidence, resamples=self.resamples, seed=self.seed)

    def _unknown_cost(
        self, pairs: PairedScores, ratios: NDArray[np.float64], reference_cost_usd: float | None
    ) -> tuple[str, ...]:
        """Return why the cost term cannot be computed; nothing where it can, or is not asked for."""
        if self.cost_weight == 0.0 or np.isfinite(ratios).all():
            return ()
        unknown = int(np.isnan(pairs.cost_deltas_usd).sum())
        if unknown:
            what = f"The difference in cost is not known for {unknown:,} of {pairs.count:,} tasks"
            return (f"{what} ({listed(pairs.unpriced_arms)}): give prices under [arms], or {_REWARD_ALONE}.",)
        if _known(reference_cost_usd) is None:
            return (f"The cost of the reference arm is not known: give its price under [arms], or {_REWARD_ALONE}.",)
        what = f"A difference in cost has no proportion to a reference arm that costs {reference_cost_usd:g} USD"
        return (f"{what}: give its price under [arms], or {_REWARD_ALONE}.",)

    def _unknown_latency(self, pairs: PairedScores) -> tuple[str, ...]:
        """Return why the latency threshold cannot be checked; nothing where it can, or is not set."""
        known = int((~np.isnan(pairs.latency_deltas_ms)).sum())
        if self.max_latency_increase_ms is None or known >= self.required_task_count:
            return ()
        what = f"Latencies can be compared on only {known:,} tasks, so max_latency_increase_ms cannot be checked"
        return (f"{what}: import latency_ms with the benchmark, or take the limit out of memloop.toml.",)

    def _against(self, metrics: Metrics, *, is_latency_known: bool) -> list[str]:
        """Return every piece of evidence against the challenger as a sentence."""
        reward, errors = metrics["reward_delta"] or 0.0, metrics["error_rate_increase"] or 0.0
        latency, utility = metrics["latency_increase_ms"] or 0.0, metrics["utility_delta"]
        changes = f"Reward changes by {in_points(reward)} on {metrics['task_count']:,} tasks"
        found = []
        if reward < self.min_reward_delta - ROUNDING:
            found.append(f"{changes}; at least {in_points(self.min_reward_delta)} is required.")
        elif reward <= ROUNDING - self.reward_margin:
            found.append(f"{changes}; it has to stay above {in_points(-self.reward_margin)}.")
        if errors > self.max_error_rate_increase + ROUNDING:
            failing = f"The share of failed tasks (reward below {FAILING_REWARD}) changes by {in_points(errors)}"
            found.append(f"{failing}; the limit is {in_points(self.max_error_rate_increase)}.")
        if is_latency_known and self.max_latency_increase_ms is not None and latency > self.max_latency_increase_ms:
            found.append(f"Latency rises by {latency:,.0f} ms; the limit is {self.max_latency_increase_ms:,.0f} ms.")
        if utility is not None and utility <= ROUNDING:
            cost = f"cost by {in_percent(metrics['cost_delta_ratio'])} of the reference arm's"
            netted = f"{cost}, net of cost {in_points(utility)}" if self.cost_weight else "cost is not weighed"
            found.append(f"{changes}, {netted}: nothing is gained.")
        return found

    def _needed(
        self, reward: Interval, rewards: NDArray[np.float64], utility: Interval, utilities: NDArray[np.float64]
    ) -> int:
        """Return how many tasks would lift the bounds that fell short, were means and variances to stay as they are."""
        wanted = [rewards.size + 1]
        for is_short, mean, differences in (
            (utility.lower <= ROUNDING, utility.mean, utilities),
            (reward.lower <= ROUNDING - self.reward_margin, reward.mean + self.reward_margin, rewards),
        ):
            if is_short:
                wanted.append(tasks_needed(mean, float(differences.var(ddof=1)), confidence=self.confidence) or 0)
        return max(wanted)


@dataclass(frozen=True, kw_only=True)
class WeekEvidence:
    """What is known of a week when the gate is asked, apart from the scores.

    ``missing_predecessor``: the week before, where it has no decision although it should; never set for the first
    configured week, which has no predecessor by definition (BadInput otherwise). ``failed_inputs``: upstream tables of
    this week that are missing or ended in an error. ``arm_count`` and ``sample_count``: over the retained training
    samples; ``new_sample_count``: those of this week. ``suite_name`` (None: no benchmark of one's own) and
    ``holdout_task_count``: the benchmark.
    """

    week: IsoWeek
    is_closed: bool
    is_first_week: bool = False
    missing_predecessor: IsoWeek | None = None
    failed_inputs: tuple[str, ...] = ()
    arm_count: int
    sample_count: int
    new_sample_count: int
    suite_name: str | None
    holdout_task_count: int

    def __post_init__(self) -> None:
        """Refuse evidence that contradicts itself."""
        if self.is_first_week and self.missing_predecessor is not None:
            culprit = f"it is the first week and yet misses {self.missing_predecessor}"
            raise BadInput(f"evidence of {self.week}", culprit, "leave missing_predecessor out of the first week")


def decide_week(
    evidence: WeekEvidence,
    policy: PromotionPolicy,
    champion: PolicyScores | None,
    challenger: PolicyScores | None,
    reference_cost_usd: float | None = None,
) -> PromotionDecision:
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
    obstacle = _obstacle_before_learning(evidence) or _obstacle_to_learning(evidence, policy)
    obstacle = obstacle or _obstacle_to_measuring(evidence, policy)
    if obstacle:
        return PromotionDecision(obstacle[0], (obstacle[1],), counts)
    if champion is None or challenger is None:
        who = " and ".join(
            name for name, scores in (("champion", champion), ("challenger", challenger)) if scores is None
        )
        reason = f"The {who} of {evidence.week} was not scored: materialise benchmark_results of {evidence.week} again."
        return PromotionDecision("error", (reason,), counts)
    decision = policy.evaluate(champion, challenger, reference_cost_usd)
    return PromotionDecision(decision.outcome, decision.reasons, counts | dict(decision.metrics))


def _obstacle_before_learning(evidence: WeekEvidence) -> tuple[Outcome, str] | None:
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


def _obstacle_to_measuring(evidence: WeekEvidence, policy: PromotionPolicy) -> tuple[Outcome, str] | None:
    """Return why the benchmark cannot carry a decision."""
    tasks, required = evidence.holdout_task_count, policy.required_task_count
    if evidence.suite_name is None:
        return "hold", no_own_benchmark()
    if tasks < required:
        found = f"The benchmark {evidence.suite_name} has {tasks:,} holdout tasks; {required:,} are required"
        return "hold", f"{found}: {HOW_TO_GET_ONE}."
    return None


def _bounds(name: str, interval: Interval | None) -> dict[str, float | int | None]:
    """Return an interval as metrics, None where there is none."""
    if interval is None:
        return {name: None, f"{name}_lower": None, f"{name}_upper": None}
    return {name: interval.mean, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def _known(value: float | None) -> float | None:
    """Return a number, None where it is NaN."""
    return None if value is None or math.isnan(value) else value
