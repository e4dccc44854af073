"""Pairs: two policies' scores side by side on the tasks that both were scored on.

Here: pairing by task, differences, plain means, and what is wrong with a score. Not here: what a difference is worth
(``policy``).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.evaluation import SCORED, PolicyScores

FAILING_REWARD = 0.5
GREATEST_COST_RATIO = 1e9


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Baseline and challenger on the n shared tasks for which the benchmark holds both outcomes; arrays are (n,).

    ``unshared_count``: tasks scored for only one of the two. ``unsupported_count``: shared tasks on which a choice has
    no known outcome, ``unsupported_arms`` the arms so chosen.
    """

    baseline: PolicyScores
    challenger: PolicyScores
    unshared_count: int
    unsupported_count: int
    unsupported_arms: tuple[str, ...]

    @classmethod
    def of(cls, baseline: PolicyScores, challenger: PolicyScores) -> "PairedScores":
        """Pair two scores by task_id, in the order of the ids; each id stands once in each (see fault_of_scores)."""
        shared = sorted(set(baseline.task_ids) & set(challenger.task_ids))
        left, right = _take(baseline, shared), _take(challenger, shared)
        known = left.supported & right.supported
        missing = {
            arm or "no arm"
            for scores in (left, right)
            for arm, has_outcome in zip(scores.arms, scores.supported, strict=True)
            if not has_outcome
        }
        kept = [task_id for task_id, is_known in zip(shared, known, strict=True) if is_known]
        return cls(
            baseline=_take(left, kept),
            challenger=_take(right, kept),
            unshared_count=len(baseline.task_ids) + len(challenger.task_ids) - 2 * len(shared),
            unsupported_count=len(shared) - len(kept),
            unsupported_arms=tuple(sorted(missing)),
        )

    @property
    def count(self) -> int:
        """Return n, the number of tasks that can be compared."""
        return len(self.baseline.task_ids)

    @property
    def reward_deltas(self) -> NDArray[np.float64]:
        """Return challenger minus baseline reward."""
        return np.asarray(self.challenger.rewards - self.baseline.rewards)

    @property
    def cost_deltas_usd(self) -> NDArray[np.float64]:
        """Return challenger minus baseline cost in USD; 0 where both chose the same arm, NaN where unknown."""
        deltas = self.challenger.costs_usd - self.baseline.costs_usd
        return np.where(np.isnan(deltas) & ~self.changed, 0.0, deltas)

    @property
    def latency_deltas_ms(self) -> NDArray[np.float64]:
        """Return challenger minus baseline latency in ms; 0 where both chose the same arm, NaN where unknown."""
        deltas = self.challenger.latencies_ms - self.baseline.latencies_ms
        return np.where(np.isnan(deltas) & ~self.changed, 0.0, deltas)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Return where the two chose differently; an expectation over arms (None) differs from everything."""
        arms = zip(self.baseline.arms, self.challenger.arms, strict=True)
        return np.array([before is None or before != after for before, after in arms], dtype=np.bool_)

    @property
    def unpriced_arms(self) -> tuple[str, ...]:
        """Return the arms whose cost would be needed and is not known, sorted."""
        needed = np.isnan(self.cost_deltas_usd)
        found = {
            arm or "no arm"
            for scores in (self.baseline, self.challenger)
            for arm, cost, is_needed in zip(scores.arms, scores.costs_usd, needed, strict=True)
            if is_needed and math.isnan(cost)
        }
        return tuple(sorted(found))

    def cost_ratios(self, reference_cost_usd: float | None) -> NDArray[np.float64]:
        """Return the cost differences in units of the reference arm's cost; all NaN where that gives no proportion.

        No proportion: the unit is unknown or not above 0 although costs differ, or is so small that a ratio exceeds a
        billion.
        """
        deltas = self.cost_deltas_usd
        if not deltas.any():
            return deltas
        unit = math.nan if reference_cost_usd is None or reference_cost_usd <= 0.0 else reference_cost_usd
        with np.errstate(over="ignore"):
            ratios = deltas / unit
        return np.full(deltas.size, np.nan) if np.any(np.abs(ratios) > GREATEST_COST_RATIO) else ratios

    def metrics(self) -> dict[str, float | int | None]:
        """Return counts and plain means over the shared tasks; None where nothing is known."""
        before, after = self.baseline, self.challenger
        errors_before, errors_after = _error_ratio(before), _error_ratio(after)
        return {
            "task_count": self.count,
            "unshared_count": self.unshared_count,
            "unsupported_count": self.unsupported_count,
            "changed_choice_count": int(self.changed.sum()),
            "baseline_reward": mean_of_known(before.rewards),
            "challenger_reward": mean_of_known(after.rewards),
            "baseline_error_ratio": errors_before,
            "challenger_error_ratio": errors_after,
            "error_rate_increase": None
            if errors_before is None or errors_after is None
            else errors_after - errors_before,
            "baseline_cost_usd": mean_of_known(before.costs_usd),
            "challenger_cost_usd": mean_of_known(after.costs_usd),
            "baseline_latency_ms": mean_of_known(before.latencies_ms),
            "challenger_latency_ms": mean_of_known(after.latencies_ms),
            "latency_increase_ms": mean_of_known(self.latency_deltas_ms),
        }


def fault_of_scores(who: str, scores: PolicyScores) -> str | None:
    """Return the first thing that makes scores unusable as a sentence, None for sound ones.

    NaN means unknown and is sound; an infinite or negative number, a reward above 1 or a task scored twice is not.
    """
    if len(set(scores.task_ids)) != len(scores.task_ids):
        return f"The scores of {who} hold a task twice: materialise benchmark_results again."
    for what, values, top in (
        ("reward", scores.rewards, 1.0),
        ("cost_usd", scores.costs_usd, math.inf),
        ("latency_ms", scores.latencies_ms, math.inf),
    ):
        wrong = ~np.isnan(values) & (~np.isfinite(values) | (values < 0.0) | (values > top))
        if wrong.any():
            place = int(np.argmax(wrong))
            task, value = scores.task_ids[place], float(values[place])
            return (
                f"The scores of {who} hold {what} {value!r} for task {task!r}: mend the benchmark and import it again."
            )
    return None


def mean_of_known(values: NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not NaN, None where there is none."""
    known = values[~np.isnan(values)]
    return math.fsum(known) / known.size if known.size else None


def _error_ratio(scores: PolicyScores) -> float | None:
    """Return the share of tasks that failed: a reward below 0.5."""
    return float(np.mean(scores.rewards < FAILING_REWARD)) if scores.rewards.size else None


def _take(scores: PolicyScores, task_ids: list[str]) -> PolicyScores:
    """Return the scores of some tasks, in their order."""
    if scores.task_ids == tuple(task_ids):
        return scores
    place = {task_id: number for number, task_id in enumerate(scores.task_ids)}
    rows = np.array([place[task_id] for task_id in task_ids], dtype=np.intp)
    return PolicyScores(
        scores.policy,
        tuple(task_ids),
        tuple(scores.arms[row] for row in rows),
        *(getattr(scores, name)[rows] for name in SCORED),
    )
