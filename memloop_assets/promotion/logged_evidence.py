"""Level B of the ladder of evidence: challenger against champion on live logs, where no benchmark can carry the decision.

The logs hold only the outcome of the arm that was served, so the comparison is doubly robust and decides only where it is admissible
(``benchmarks/admissibility``). Here: which trials are compared and how a decision follows. Pure: tables in, a decision out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.benchmarks.admissibility import AdmissionThresholds, admissible
from memloop_assets.benchmarks.evaluation import ArmStatistics
from memloop_assets.benchmarks.intervals import tasks_needed
from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.benchmarks.offpolicy import Estimate, Estimation, OffPolicyEvaluation, evaluate_difference
from memloop_assets.errors import BadInput
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.pairs import FAILING_REWARD
from memloop_assets.promotion.reasons import Metrics, in_confidence, in_points
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.weeks import IsoWeek

ROUNDING = 1e-9
FEWEST_TRIALS = 50
"""With fewer trials nothing is estimated at all; what is admissible needs more anyway."""


@dataclass(frozen=True, slots=True)
class LoggedRules:
    """The values by which logs decide; ``PromotionPolicy`` carries and documents them."""

    weeks: int
    thresholds: AdmissionThresholds
    cost_weight: float
    reward_margin: float
    confidence: float
    min_reward_delta: float
    max_error_rate_increase: float
    max_latency_increase_ms: float | None


@dataclass(frozen=True)
class LoggedTrialsOfWeeks:
    """The newest weeks of the training samples as trials, with what twin and champion would have chosen on each.

    The twin is the challenger's recipe fitted without these weeks: a router may not be judged on what it learned from.
    ``dropped_count``: trials without a logged propensity or, where cost is weighed, of an arm without a known cost.
    ``userless_count``: trials of which no user is logged; of these only the session tells who asked, or nothing.
    """

    trials: LoggedTrials
    twin_choices: tuple[str, ...]
    champion_choices: tuple[str, ...]
    reference_cost_usd: float | None
    first_week: IsoWeek
    dropped_count: int
    userless_count: int = 0


def gather_trials(  # noqa: PLR0913  # the samples, a router and its past, three settings
    samples: pa.Table,
    week: IsoWeek,
    champion: Router,
    *,
    prices_usd: Mapping[str, float],
    training: TrainingSettings,
    rules: LoggedRules,
    taught_until: IsoWeek | None = None,
) -> LoggedTrialsOfWeeks | str:
    """Return the trials of the last ``rules.weeks`` weeks up to this one, or in a sentence why there are none to judge by.

    ``samples``: the retained router samples, with their ``week``. ``taught_until``: the last week that the champion learned from;
    trials up to it are left out, for of these it knows the outcomes. A cost that was not logged is the arm's expected one, as on a
    benchmark: what has none is often what failed, and to drop it would flatter the arm. Raises BadInput as ``fit_router`` does.
    """
    first = week.shift(1 - rules.weeks)
    first = max(first, taught_until.shift(1)) if taught_until else first
    is_recent = pc.greater_equal(samples["week"], str(first))
    recent, older = _with_costs(samples.filter(is_recent), samples, prices_usd), samples.filter(pc.invert(is_recent))
    is_usable = pc.is_valid(recent["propensity"])
    if rules.cost_weight:
        is_usable = pc.and_(is_usable, pc.is_valid(recent["cost_usd"]))
    usable = recent.filter(pc.and_(is_usable, pc.greater(recent["propensity"], 0.0)))
    if usable.num_rows < FEWEST_TRIALS:
        return (
            f"{usable.num_rows:,} of {recent.num_rows:,} logged trials since {first} tell with which propensity their arm was chosen "
            f"and what it cost; logs decide from {FEWEST_TRIALS} such trials on."
        )
    if older.num_rows < FEWEST_TRIALS:
        return (
            f"Only {older.num_rows:,} trials were logged before {first} that a twin of the challenger could have learned from; "
            f"{FEWEST_TRIALS} are needed."
        )
    twin = fit_router(older, prices_usd, training)
    asked = list(zip(usable["task_text"].to_pylist(), usable["domain"].to_pylist(), strict=True))
    askers = usable["asker"].to_pylist()
    arms = sorted({*twin.arms, *champion.arms, *usable["arm"].to_pylist()})
    trials = LoggedTrials(
        tuple(usable["task_key"].to_pylist()),
        tuple(usable["arm"].to_pylist()),
        _floats(usable, "propensity"),
        _floats(usable, "reward"),
        _floats(usable, "cost_usd"),
        _floats(usable, "latency_ms"),
        arms=tuple(arms),
        askers=tuple(asker or f"t{key}" for asker, key in zip(askers, usable["task_key"].to_pylist(), strict=True)),
    )
    of_reference = np.array([arm == twin.rule.reference_arm for arm in trials.served])
    costs = trials.costs_usd[of_reference] if trials.costs_usd is not None and of_reference.any() else np.empty(0)
    return LoggedTrialsOfWeeks(
        trials,
        tuple(twin.choose(text, domain=domain).arm for text, domain in asked),
        tuple(champion.choose(text, domain=domain).arm for text, domain in asked),
        float(costs.mean()) if costs.size else prices_usd.get(twin.rule.reference_arm),
        first,
        recent.num_rows - usable.num_rows,
        sum(asker is None or not asker.startswith("u") for asker in askers),
    )


def decide_from_logs(found: LoggedTrialsOfWeeks, rules: LoggedRules) -> PromotionDecision:
    """Decide by the utility rule over doubly robust intervals; hold, and say what is missing, where they are not admissible.

    The bounds are one-sided at the policy's confidence, like those of the paired comparison. Vetoes need a benchmark and are not run.
    """
    trials = found.trials
    metrics: dict[str, float | int | None] = {
        "logged_trial_count": len(trials.served),
        "logged_dropped_count": found.dropped_count,
    }
    if rules.cost_weight and not (found.reference_cost_usd or 0.0) > 0.0:
        reason = "The cost of the reference arm is not known: give its price under [arms], or set cost_weight = 0."
        return PromotionDecision("hold", (reason,), metrics)
    try:
        reward = _evaluate(found, None, rules)
        utilities = trials.utilities(rules.cost_weight, found.reference_cost_usd or 1.0) if rules.cost_weight else None
        utility = _evaluate(found, utilities, rules) if utilities is not None else reward
        latencies = np.asarray(trials.latencies_ms, dtype=np.float64)
        errors = _evaluate(found, (trials.rewards < FAILING_REWARD).astype(np.float64), rules).doubly_robust.value
        is_latency_known = rules.max_latency_increase_ms is None or bool(np.isfinite(latencies).all())
        is_latency_asked = rules.max_latency_increase_ms is not None and is_latency_known
        latency = _evaluate(found, latencies, rules).doubly_robust.value if is_latency_asked else None
    except BadInput as error:
        return PromotionDecision("hold", (f"The logs cannot be estimated from: {error.culprit}.",), metrics)
    metrics |= (
        _numbers("reward_delta", reward.doubly_robust)
        | _numbers("utility_delta", utility.doubly_robust)
        | {"error_rate_increase": errors if math.isfinite(errors) else None, "latency_increase_ms": latency}
        | _diagnostics(reward)
    )
    missing = (*admissible(reward, rules.thresholds).missing, *admissible(utility, rules.thresholds).missing)
    if missing:
        return PromotionDecision("hold", tuple(dict.fromkeys(missing)), metrics)
    broken = _broken_thresholds(reward.doubly_robust.value, errors, latency, rules)
    if broken:
        return PromotionDecision("reject", (*broken, _basis(found)), metrics)
    if not is_latency_known:
        known = int(np.isfinite(latencies).sum())
        reason = f"Only {known:,} of {len(trials.served):,} logged trials tell their latency, so max_latency_increase_ms cannot be checked."
        return PromotionDecision("hold", (reason,), metrics)
    return _weigh(found, reward.doubly_robust, utility.doubly_robust, rules, metrics)


def _broken_thresholds(reward: float, errors: float, latency: float | None, rules: LoggedRules) -> list[str]:
    """Return which of the policy's thresholds on means are broken, as sentences."""
    found = []
    if reward < rules.min_reward_delta - ROUNDING:
        found.append(
            f"Reward changes by {in_points(reward)}; at least {in_points(rules.min_reward_delta)} is required."
        )
    if errors > rules.max_error_rate_increase + ROUNDING:
        changed = f"The share of failed tasks (reward below {FAILING_REWARD}) changes by {in_points(errors)}"
        found.append(f"{changed}; the limit is {in_points(rules.max_error_rate_increase)}.")
    if latency is not None and rules.max_latency_increase_ms is not None and latency > rules.max_latency_increase_ms:
        found.append(f"Latency rises by {latency:,.0f} ms; the limit is {rules.max_latency_increase_ms:,.0f} ms.")
    return found


def _basis(found: LoggedTrialsOfWeeks) -> str:
    """Return what a decision by logs rests on, and what was left out."""
    count, dropped = len(found.trials.served), found.dropped_count
    lost = f"; {dropped:,} more, without a propensity or a cost, are left out" if dropped else ""
    if found.userless_count:
        lost += (
            f"; for {found.userless_count:,} no user is logged, so these count as independent from session to session"
        )
    return f"By {count:,} logged trials since {found.first_week} (doubly robust; the recipe fitted without them){lost}."


def _weigh(
    found: LoggedTrialsOfWeeks, reward: Estimate, utility: Estimate, rules: LoggedRules, metrics: Metrics
) -> PromotionDecision:
    """Apply the utility rule to admissible estimates."""
    count, sure = len(found.trials.served), in_confidence(rules.confidence)
    gained = f"Reward changes by {in_points(reward.value)}, {sure} by more than {in_points(reward.lower)}"
    netted = f"Net of cost (weight {rules.cost_weight:g}) that is {in_points(utility.value)}, {sure} more than {in_points(utility.lower)}"
    measured = (
        _basis(found),
        f"{gained}; more than {in_points(-rules.reward_margin)} is needed.",
        f"{netted}; more than 0 is needed.",
    )
    if reward.value <= ROUNDING - rules.reward_margin:
        return PromotionDecision("reject", ("Too much reward is lost.", *measured), metrics)
    if utility.value <= ROUNDING:
        return PromotionDecision("reject", ("Nothing is gained.", *measured), metrics)
    if utility.lower > ROUNDING and reward.lower > ROUNDING - rules.reward_margin:
        return PromotionDecision("promote", measured, metrics)
    wanted = [
        tasks_needed(mean, count * estimate.standard_error**2, confidence=rules.confidence) or 0
        for mean, estimate in ((utility.value, utility), (reward.value + rules.reward_margin, reward))
    ]
    ending = f"About {max(wanted):,} such trials, of as many more users, would decide a difference of this size four times in five."
    return PromotionDecision(
        "hold", ("Not enough evidence.", *measured, ending), {**metrics, "needed_task_count": max(wanted)}
    )


def _evaluate(found: LoggedTrialsOfWeeks, outcomes: "np.ndarray | None", rules: LoggedRules) -> OffPolicyEvaluation:
    estimation = Estimation(confidence=2.0 * rules.confidence - 1.0)
    return evaluate_difference(
        found.trials, found.twin_choices, found.champion_choices, outcomes=outcomes, estimation=estimation
    )


def _numbers(name: str, estimate: Estimate) -> dict[str, float | int | None]:
    values = {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _diagnostics(evaluation: OffPolicyEvaluation) -> dict[str, float | int | None]:
    values = {
        "logged_challenger_ess": evaluation.target.ess,
        "logged_champion_ess": evaluation.against.ess,
        "logged_challenger_asker_ess": evaluation.target.asker_ess,
        "logged_champion_asker_ess": evaluation.against.asker_ess,
        "logged_min_propensity": evaluation.min_propensity,
        "logged_exploration_ratio": evaluation.exploration_ratio,
        "logged_snips_reward_delta": evaluation.snips.value,
    }
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _with_costs(recent: pa.Table, samples: pa.Table, prices_usd: Mapping[str, float]) -> pa.Table:
    """Return the trials with the arm's expected cost where none was logged, null where none is known either."""
    expected = ArmStatistics.of_samples(samples, prices_usd).mean_costs_usd
    rows = zip(recent["arm"].to_pylist(), recent["cost_usd"].to_pylist(), strict=True)
    costs = [expected.get(arm) if cost is None else cost for arm, cost in rows]
    return recent.set_column(recent.schema.get_field_index("cost_usd"), "cost_usd", pa.array(costs, pa.float64()))


def _floats(table: pa.Table, name: str) -> "np.ndarray":
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
