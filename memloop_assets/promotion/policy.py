"""The gate: whether a challenger is promoted, and the sentences and numbers that say why.

Here: the policy's values and the paired test. Not here: how scores come about (the benchmarks room) or are paired
(``pairs``), what stands above a passed test (``vetoes``), the rules of a whole week (``week_rules``), what a decision moves
(the ledger, ``routing/versions.py``), tables and reports. Pure: no clock, no file.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.admissibility import AdmissionThresholds
from memloop_assets.benchmarks.evaluation import BASELINE_POLICIES, PolicyScores
from memloop_assets.benchmarks.intervals import Interval, normal_interval, paired_bootstrap, tasks_needed
from memloop_assets.benchmarks.sequential import MOST_LOOKS, confidence_of_look
from memloop_assets.errors import BadSettings
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.logged_evidence import LoggedRules
from memloop_assets.promotion.pairs import FAILING_REWARD, PairedScores, fault_of_scores
from memloop_assets.promotion.reasons import REWARD, Metrics, findings, in_percent, in_points, listed
from memloop_assets.promotion.vetoes import VETO_BASELINES, VETOES, Rivals, VetoRules, find_vetoes, utility_deltas

ROUNDING = 1e-9
_FEWEST_BEYOND = 2
_COMMANDS = "with `memloop benchmark build` or `memloop benchmark import FILE`"
_REWARD_ALONE = "set cost_weight = 0 under [promotion] to decide by reward alone"


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """The values of the gate, section ``[promotion]`` of memloop.toml.

    A challenger is promoted when all of this holds:

    * the one-sided lower bound of Δreward - cost_weight · Δcost / cost(reference arm) is above 0,
    * the one-sided lower bound of Δreward is above -reward_margin,
    * on average Δreward >= min_reward_delta, the share of tasks with a reward below 0.5 rises by at most
      max_error_rate_increase, and latency rises by at most max_latency_increase_ms (None: no limit),
    * at least required_task_count tasks are shared, and at most max_unsupported_ratio of the choices have no known
    outcome,
    * no veto is raised (``vetoes.find_vetoes``); ``vetoes_off`` switches some of them off by name.

    The thresholds on means guard against gross harm only: alone they pass an equal challenger nearly half the time.
    With their defaults they decide nothing by themselves on binary rewards, where the bound on Δreward is the stricter
    one. The 1 % of unsupported choices can hide at most 1 point of reward. ``confidence``, ``resamples`` and ``seed``
    belong to the bootstrap, ``min_new_samples`` to the week, ``stratum_task_count`` and ``stratum_margin`` to the veto
    "stratum", ``control_confidence`` to "chance" and "shuffled": at 0.8 the vetoes would cost a challenger that is 4 points
    better 9 points of power on 500 tasks. ``veto_baselines``: whom "baseline" may veto for. A table by task label is only
    shown: in the simulated fleet it held back challengers that were 5 to 15 points better than the champion for 14 weeks,
    being 1 to 3 points better itself. ``planned_looks``: how often one challenger may be looked at on growing evidence;
    with more than one each look must pass the boundary of O'Brien and Fleming, so that all of them together err no more
    often than one. ``logged_weeks`` (0: never) and the other ``logged_`` values say which live logs may decide where no
    benchmark can (``logged_evidence``, ``benchmarks/admissibility``). ``canary``: an accepted challenger first serves
    ``canary_share`` of the sessions for up to ``canary_weeks`` weeks, and is promoted by what is logged there, from
    ``canary_min_sessions`` sessions on each side on (``canary``). Raises BadSettings.
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
    control_confidence: float = 0.6
    stratum_task_count: int = 50
    stratum_margin: float = 0.05
    vetoes_off: tuple[str, ...] = ()
    veto_baselines: tuple[str, ...] = VETO_BASELINES
    planned_looks: int = 1
    logged_weeks: int = 4
    logged_min_propensity: float = 0.01
    logged_min_ess: float = 100.0
    logged_min_supported_ratio: float = 0.95
    logged_min_exploration_ratio: float = 0.02
    logged_max_disagreement_errors: float = 1.0
    canary: bool = False
    canary_share: float = 0.1
    canary_min_sessions: int = 100
    canary_weeks: int = 4
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
            "control_confidence": (0.5001, 0.999),
            "stratum_task_count": (30, 10**9),
            "stratum_margin": (0.0, 1.0),
            "planned_looks": (1, MOST_LOOKS),
            "logged_weeks": (0, 104),
            "logged_min_propensity": (0.001, 0.5),
            "logged_min_ess": (30.0, 1e9),
            "logged_min_supported_ratio": (0.5, 1.0),
            "logged_min_exploration_ratio": (0.02, 0.5),
            "logged_max_disagreement_errors": (0.0, 10.0),
            "canary_share": (0.01, 0.5),
            "canary_min_sessions": (30, 10**9),
            "canary_weeks": (1, 52),
            "resamples": (200, 1_000_000),
            "seed": (0, 2**63 - 1),
        }
        whole = {
            "required_task_count",
            "min_new_samples",
            "stratum_task_count",
            "planned_looks",
            "logged_weeks",
            "canary_min_sessions",
            "canary_weeks",
            "resamples",
            "seed",
        }
        if not isinstance(self.canary, bool):
            raise BadSettings("[promotion] canary", f"it is {self.canary!r}", "give true or false")
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if name == "max_latency_increase_ms" and value is None:
                continue
            kind = int if name in whole else int | float
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                wanted = "a whole number" if name in whole else "a number"
                raise BadSettings(f"[promotion] {name}", f"it is {value!r}", f"give {wanted} from {low:g} to {high:g}")
        for name, known in (("vetoes_off", VETOES), ("veto_baselines", BASELINE_POLICIES)):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise BadSettings(f"[promotion] {name}", f"it is {given!r}", f'give a list, as ["{known[0]}"]')
            object.__setattr__(self, name, tuple(given))  # Dagster hands in a list
            unknown = [one for one in given if one not in known]
            if unknown:
                fix = f"name some of {', '.join(known)}"
                raise BadSettings(f"[promotion] {name}", f"{unknown[0]!r} is not known", fix)

    def evaluate(
        self,
        baseline: PolicyScores,
        challenger: PolicyScores,
        reference_cost_usd: float | None = None,
        *,
        rivals: Rivals | None = None,
        look: int = 1,
    ) -> PromotionDecision:
        """Compare a challenger with a baseline (the champion, or any saved version) on the tasks that they share.

        ``reference_cost_usd``: mean cost of the reference arm on those tasks, None or NaN where unknown. ``rivals``: what
        else it has to stand beside; without them no veto is looked for. ``look``: the how-manieth look at this challenger
        it is. What applies first:

        1. error: a number that cannot be (infinite, negative, a reward above 1), or a task scored twice;
        2. hold: too few shared tasks, or too many without a known outcome for both choices;
        3. reject: the same choices throughout;
        4. reject: evidence against it: a threshold broken, mean Δreward <= -reward_margin, or mean Δutility <= 0;
        5. hold: a cost or latency that has to be weighed is unknown, or cost has no proportion because the reference
        arm is free. This fails closed; only cost_weight = 0 asks for reward alone;
        6. hold: a bound does not hold (it says how many tasks would decide it), or all planned looks are used up;
        7. reject: a veto is raised;
        8. promote.
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
        vetoes = find_vetoes(baseline, challenger, rivals, self._veto_rules(reference_cost_usd)) if rivals else ()
        if metrics["changed_choice_count"]:
            decision = self._weigh(pairs, reference_cost_usd, metrics, look)
        else:
            reason = f"The challenger makes the same choices as the champion on all {pairs.count:,} tasks."
            decision = PromotionDecision("reject", (reason,), metrics)
        raised = [finding for finding in vetoes if finding.is_against]
        counts = {"look": look, "veto_count": len(raised)}
        if decision.accepted and raised:
            reasons = ("Both bounds hold, but there are vetoes.", *(one.sentence for one in raised), *decision.reasons)
            decision = PromotionDecision("reject", reasons, decision.metrics)
        return PromotionDecision(decision.outcome, decision.reasons, {**decision.metrics, **counts}, vetoes)

    @property
    def logged_rules(self) -> LoggedRules:
        """Return the values by which live logs decide."""
        return LoggedRules(
            weeks=self.logged_weeks,
            thresholds=AdmissionThresholds(
                min_propensity=self.logged_min_propensity,
                min_ess=self.logged_min_ess,
                min_supported_ratio=self.logged_min_supported_ratio,
                max_disagreement_errors=self.logged_max_disagreement_errors,
                min_exploration_ratio=self.logged_min_exploration_ratio,
            ),
            cost_weight=self.cost_weight,
            reward_margin=self.reward_margin,
            confidence=self.confidence,
            min_reward_delta=self.min_reward_delta,
            max_error_rate_increase=self.max_error_rate_increase,
            max_latency_increase_ms=self.max_latency_increase_ms,
        )

    def _veto_rules(self, reference_cost_usd: float | None) -> VetoRules:
        return VetoRules(
            confidence=self.confidence,
            control_confidence=self.control_confidence,
            cost_weight=self.cost_weight,
            reference_cost_usd=reference_cost_usd,
            stratum_task_count=self.stratum_task_count,
            stratum_margin=self.stratum_margin,
            resamples=self.resamples,
            seed=self.seed,
            baselines=self.veto_baselines,
            off=self.vetoes_off,
        )

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
        self,
        pairs: PairedScores,
        reference_cost_usd: float | None,
        plain_metrics: dict[str, float | int | None],
        look: int,
    ) -> PromotionDecision:
        """Decide over enough paired tasks by the bounds alone."""
        rewards = pairs.reward_deltas
        ratios = pairs.cost_ratios(reference_cost_usd)
        unknown_cost = self._unknown_cost(pairs, ratios, reference_cost_usd)
        utilities = utility_deltas(pairs, self.cost_weight, reference_cost_usd)
        sure = confidence_of_look(min(look, self.planned_looks), self.planned_looks, self.confidence)
        reward = self._interval(rewards, sure)
        utility = None if unknown_cost else self._interval(utilities, sure)
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
        measured = findings(metrics, confidence=sure, cost_weight=self.cost_weight, reward_margin=self.reward_margin)
        if look > self.planned_looks:
            used = (
                f"This challenger was looked at {look - 1} times and {self.planned_looks} were planned (planned_looks)"
            )
            return PromotionDecision("hold", (f"{used}: another look would err too often.", *measured), metrics)
        if utility.lower > ROUNDING and reward.lower > ROUNDING - self.reward_margin:
            return PromotionDecision("promote", measured, metrics)
        needed = self._needed(reward, rewards, utility, utilities, sure)
        again = f" at look {look} of {self.planned_looks}" if self.planned_looks > 1 else ""
        ending = f"About {needed:,} tasks would decide a difference of this size four times in five{again}."
        metrics["needed_task_count"] = needed
        return PromotionDecision("hold", ("Not enough evidence.", *measured, ending), metrics)

    def _interval(self, differences: NDArray[np.float64], confidence: float) -> Interval:
        """Return the mean of differences (n,) with one-sided bounds; where resamples are too few for them, normal ones."""
        if (1.0 - confidence) * self.resamples < _FEWEST_BEYOND:
            return normal_interval(differences, confidence=confidence)
        return paired_bootstrap(differences, confidence=confidence, resamples=self.resamples, seed=self.seed)

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
        changes = f"{REWARD} changes by {in_points(reward)} on {metrics['task_count']:,} tasks"
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
        self,
        reward: Interval,
        rewards: NDArray[np.float64],
        utility: Interval,
        utilities: NDArray[np.float64],
        sure: float,
    ) -> int:
        """Return how many tasks would lift the bounds that fell short, were means and variances to stay as they are."""
        wanted = [rewards.size + 1]
        for is_short, mean, differences in (
            (utility.lower <= ROUNDING, utility.mean, utilities),
            (reward.lower <= ROUNDING - self.reward_margin, reward.mean + self.reward_margin, rewards),
        ):
            if is_short:
                wanted.append(tasks_needed(mean, float(differences.var(ddof=1)), confidence=sure) or 0)
        return max(wanted)


def _bounds(name: str, interval: Interval | None) -> dict[str, float | int | None]:
    """Return an interval as metrics, None where there is none."""
    if interval is None:
        return {name: None, f"{name}_lower": None, f"{name}_upper": None}
    return {name: interval.mean, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def _known(value: float | None) -> float | None:
    """Return a number, None where it is NaN."""
    return None if value is None or math.isnan(value) else value
