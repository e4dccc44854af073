"""Evaluation: what a policy would have earned on the benchmark's tasks, read off the suite and never invented.

Here: scores of one policy, the baseline policies, what an arm is expected to cost, and the rows of
``benchmark_results``. Not here: whether a difference is more than noise (``intervals``) or enough to promote (the
promotion room).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from memloop_assets.benchmarks.suite import BenchmarkTask
from memloop_assets.errors import BadInput
from memloop_assets.weeks import IsoWeek

Label = TypeVar("Label", str, tuple[str, str])
Choose = Callable[[BenchmarkTask], str | None]

BASELINE_POLICIES = ("best-single-arm", "cheapest-arm", "random", "task-mean", "oracle")
SCORED = ("rewards", "costs_usd", "latencies_ms", "predicted_rewards")
PRIOR_SAMPLES = 10.0
RESULT_SCHEMA = pa.schema(
    [
        pa.field("week", pa.string(), nullable=False),
        pa.field("task_id", pa.string(), nullable=False),
        pa.field("task_key", pa.string(), nullable=False),
        pa.field("domain", pa.string()),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("arm", pa.string()),
        pa.field("reward", pa.float64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("latency_ms", pa.float64()),
        pa.field("predicted_reward", pa.float64()),
    ],
)


@dataclass(frozen=True, eq=False)
class PolicyScores:
    """One policy on n tasks: the arms it chose, with reward in [0, 1], cost in USD and latency in ms, each (n,).

    NaN where unknown. A NaN reward means that the benchmark holds no outcome for the choice: it is unsupported. The
    arm is None where the policy chose none, or stands for an expectation over arms (``random``). ``predicted_rewards``
    (n,): what a router expected of the arm that it chose; NaN for a policy that predicts nothing. Raises BadInput when
    lengths differ.
    """

    policy: str
    task_ids: tuple[str, ...]
    arms: tuple[str | None, ...]
    rewards: NDArray[np.float64]
    costs_usd: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]
    predicted_rewards: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        """Keep read-only copies of the arrays and refuse lengths that differ."""
        if not self.predicted_rewards.size:
            object.__setattr__(self, "predicted_rewards", np.full(len(self.task_ids), np.nan))
        for name in SCORED:
            values = np.array(getattr(self, name), dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        sizes = {len(self.arms), *(getattr(self, name).size for name in SCORED)}
        if sizes != {len(self.task_ids)}:
            raise BadInput(
                f"scores of {self.policy}",
                f"{len(self.task_ids)} tasks but {sorted(sizes)} values",
                "give one arm, reward, cost and latency per task",
            )

    @property
    def supported(self) -> NDArray[np.bool_]:
        """Return for each task (n,) whether the benchmark holds an outcome for the choice."""
        return ~np.isnan(self.rewards)

    @property
    def mean_reward(self) -> float:
        """Return the mean reward over the supported tasks; NaN where there is none."""
        return _mean_of_known(self.rewards)

    @property
    def mean_cost_usd(self) -> float:
        """Return the mean cost in USD over the tasks with a known one; NaN where there is none."""
        return _mean_of_known(self.costs_usd)


@dataclass(frozen=True)
class ArmStatistics:
    """What training data say of each arm; the ground on which the baseline policies and expected costs stand.

    ``mean_rewards``: per arm, shrunk to the mean over all samples; ``domain_rewards``: per (domain, arm), shrunk to the
    arm's. Shrinking adds 10 samples at the wider mean to the effective sample size (Σw)²/Σw² (Kish, 1965).
    ``mean_costs_usd``: expected cost of a call where it is known; configured prices come first. Which arm is the best
    single one is said in ``routing/training``, once for the fallback, the built-in champion and the baseline.
    """

    arms: tuple[str, ...] = ()
    sample_counts: Mapping[str, int] = field(default_factory=dict)
    mean_rewards: Mapping[str, float] = field(default_factory=dict)
    domain_rewards: Mapping[tuple[str, str], float] = field(default_factory=dict)
    mean_costs_usd: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_samples(cls, samples: pa.Table, prices_usd: Mapping[str, float] | None = None) -> "ArmStatistics":
        """Build the statistics from a router_samples table and configured prices in USD per call.

        Reads ``arm, domain, reward, cost_usd`` and, where present, ``weight``. Arms that only have a price are priced
        but are not among ``arms``: nothing is known of their reward.
        """
        arms = samples.column("arm").to_pylist()
        domains = samples.column("domain").to_pylist()
        rewards = _as_floats(samples, "reward")
        costs = _as_floats(samples, "cost_usd")
        weights = _as_floats(samples, "weight") if "weight" in samples.column_names else np.ones(len(arms))
        rows_of_arm = _rows_by(arms)
        everything = _shrunk_mean(rewards, weights, np.arange(len(arms)), prior=math.nan) if arms else math.nan
        mean_rewards = {
            arm: _shrunk_mean(rewards, weights, rows, prior=everything) for arm, rows in rows_of_arm.items()
        }
        cells = _rows_by([None if domain is None else (domain, arm) for domain, arm in zip(domains, arms, strict=True)])
        domain_rewards = {
            cell: _shrunk_mean(rewards, weights, rows, prior=mean_rewards[cell[1]]) for cell, rows in cells.items()
        }
        mean_costs = {arm: _mean_of_known(costs[rows]) for arm, rows in rows_of_arm.items()}
        known_costs = {arm: cost for arm, cost in mean_costs.items() if not math.isnan(cost)}
        counts = {arm: int(rows.size) for arm, rows in rows_of_arm.items()}
        prices = known_costs | dict(prices_usd or {})
        return cls(tuple(rows_of_arm), counts, mean_rewards, domain_rewards, prices)

    @property
    def cheapest_arm(self) -> str | None:
        """Return the sampled arm of the lowest expected cost, the better among equals; None where no cost is known."""
        priced = [arm for arm in self.arms if arm in self.mean_costs_usd]
        return min(priced, key=lambda arm: (self.mean_costs_usd[arm], -self.mean_rewards[arm], arm), default=None)

    def best_arm_of(self, domain: str | None) -> str | None:
        """Return the arm with the highest mean reward in a domain; None where the domain has no samples."""
        seen = {
            arm: reward for arm in self.arms if (reward := self.domain_rewards.get((domain or "", arm))) is not None
        }
        return self._best({**self.mean_rewards, **seen}) if seen else None

    def _best(self, rewards: Mapping[str, float]) -> str | None:
        """Return the arm with the highest reward, then the lowest expected cost, then the first by name."""
        costs = self.mean_costs_usd
        return min(rewards, key=lambda arm: (-rewards[arm], costs.get(arm, math.inf), arm), default=None)


def score_policy(
    tasks: Sequence[BenchmarkTask],
    name: str,
    choose: Choose,
    expected_costs_usd: Mapping[str, float] | None = None,
) -> PolicyScores:
    """Score what ``choose`` picks on each task: the outcome that the suite holds for that arm.

    A choice without an outcome there (or no choice) gets a NaN reward and is counted as unsupported. The cost is the
    outcome's own, else the arm's expected cost, else NaN; the latency is the outcome's own or NaN.
    """
    costs_of_arms = expected_costs_usd or {}
    arms = tuple(choose(task) for task in tasks)
    numbers = np.full((3, len(tasks)), np.nan)
    for column, (task, arm) in enumerate(zip(tasks, arms, strict=True)):
        numbers[:, column] = _numbers_of(task, arm, costs_of_arms)
    return PolicyScores(name, tuple(task.task_id for task in tasks), arms, *numbers)


def score_baselines(
    tasks: Sequence[BenchmarkTask], statistics: ArmStatistics, *, best_arm: str | None, reference_arm: str | None
) -> tuple[PolicyScores, ...]:
    """Score the baseline policies in the order of BASELINE_POLICIES.

    best-single-arm and cheapest-arm: one arm for all tasks, by training data. random: the expectation over the arms
    measured on each task, no draw. task-mean: the best arm of the task's domain by training data, else the reference
    arm. oracle: the best arm of each task in hindsight, the cheapest among equals; the ceiling of any router on this
    suite.
    """
    costs = statistics.mean_costs_usd
    cheapest = statistics.cheapest_arm
    return (
        score_policy(tasks, "best-single-arm", lambda _task: best_arm, costs),
        score_policy(tasks, "cheapest-arm", lambda _task: cheapest, costs),
        _score_random(tasks, costs),
        score_policy(tasks, "task-mean", lambda task: statistics.best_arm_of(task.domain) or reference_arm, costs),
        score_policy(tasks, "oracle", lambda task: _best_in_hindsight(task, costs), costs),
    )


def reference_cost(
    tasks: Sequence[BenchmarkTask], reference_arm: str | None, expected_costs_usd: Mapping[str, float] | None = None
) -> float:
    """Return the mean cost in USD of the reference arm on these tasks; NaN where none is known.

    It is the unit in which the gate weighs a difference in cost.
    """
    return score_policy(tasks, "reference", lambda _task: reference_arm, expected_costs_usd).mean_cost_usd


def result_rows(scores: Iterable[PolicyScores], tasks: Sequence[BenchmarkTask], week: IsoWeek) -> pa.Table:
    """Return one row per policy and task with the columns of RESULT_SCHEMA; NaN becomes null.

    Raises BadInput for a scored task that is not among ``tasks``.
    """
    by_id = {task.task_id: task for task in tasks}
    parts = []
    for scored in scores:
        strangers = [task_id for task_id in scored.task_ids if task_id not in by_id]
        if strangers:
            culprit = f"task {strangers[0]!r} is not in the benchmark"
            raise BadInput(f"scores of {scored.policy}", culprit, "score the same suite whose tasks are given")
        known = [by_id[task_id] for task_id in scored.task_ids]
        count = len(known)
        columns = [
            pa.array([str(week)] * count, pa.string()),
            pa.array(scored.task_ids, pa.string()),
            pa.array([task.key for task in known], pa.string()),
            pa.array([task.domain for task in known], pa.string()),
            pa.array([scored.policy] * count, pa.string()),
            pa.array(scored.arms, pa.string()),
            *(
                pa.array(values, pa.float64(), from_pandas=True)
                for values in (getattr(scored, name) for name in SCORED)
            ),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=RESULT_SCHEMA))
    return pa.concat_tables(parts) if parts else RESULT_SCHEMA.empty_table()


def scores_of_rows(table: pa.Table, policy: str) -> PolicyScores:
    """Return one policy's scores from benchmark_results rows of one week; raises BadInput where it has none there."""
    rows = table.filter(pc.equal(table.column("policy"), policy))
    if not rows.num_rows:
        known = ", ".join(sorted(set(table.column("policy").to_pylist()))) or "no policy at all"
        raise BadInput("benchmark results", f"policy {policy!r} has no rows", f"name one that has: {known}")
    return PolicyScores(
        policy,
        tuple(rows.column("task_id").to_pylist()),
        tuple(rows.column("arm").to_pylist()),
        _as_floats(rows, "reward"),
        _as_floats(rows, "cost_usd"),
        _as_floats(rows, "latency_ms"),
        _as_floats(rows, "predicted_reward"),
    )


def _numbers_of(task: BenchmarkTask, arm: str | None, costs: Mapping[str, float]) -> tuple[float, float, float]:
    """Return (reward, cost_usd, latency_ms) of an arm on a task, NaN where unknown."""
    outcome = task.outcomes.get(arm) if arm is not None else None
    expected = costs.get(arm, math.nan) if arm is not None else math.nan
    if outcome is None:
        return math.nan, expected, math.nan
    return (
        outcome.reward,
        expected if outcome.cost_usd is None else outcome.cost_usd,
        math.nan if outcome.latency_ms is None else outcome.latency_ms,
    )


def _score_random(tasks: Sequence[BenchmarkTask], costs: Mapping[str, float]) -> PolicyScores:
    """Score the expectation of an even draw over the arms measured on each task; unknown where one of them is."""
    numbers = np.full((3, len(tasks)), np.nan)
    for column, task in enumerate(tasks):
        numbers[:, column] = np.mean([_numbers_of(task, arm, costs) for arm in task.outcomes], axis=0)
    return PolicyScores("random", tuple(task.task_id for task in tasks), (None,) * len(tasks), *numbers)


def score_shares(
    tasks: Sequence[BenchmarkTask], name: str, shares: Mapping[str, float], expected_costs_usd: Mapping[str, float]
) -> PolicyScores:
    """Score the expectation of a policy that takes each arm with a fixed probability; unknown where one of them is."""
    numbers = np.full((3, len(tasks)), np.nan)
    weights = np.array(list(shares.values()))
    for column, task in enumerate(tasks):
        numbers[:, column] = weights @ np.array([_numbers_of(task, arm, expected_costs_usd) for arm in shares])
    return PolicyScores(name, tuple(task.task_id for task in tasks), (None,) * len(tasks), *numbers)


def _best_in_hindsight(task: BenchmarkTask, costs: Mapping[str, float]) -> str:
    """Return the arm with the best outcome on a task, the cheapest among equals (unknown costs last), then by name."""

    def rank(arm: str) -> tuple[float, float, str]:
        reward, cost, _latency = _numbers_of(task, arm, costs)
        return -reward, math.inf if math.isnan(cost) else cost, arm

    return min(task.outcomes, key=rank)


def _rows_by(labels: Sequence[Label | None]) -> dict[Label, NDArray[np.intp]]:
    """Return the row numbers of each label, labels sorted, rows without one left out."""
    found: dict[Label, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            found.setdefault(label, []).append(row)
    return {label: np.array(found[label], dtype=np.intp) for label in sorted(found)}


def _shrunk_mean(
    rewards: NDArray[np.float64], weights: NDArray[np.float64], rows: NDArray[np.intp], *, prior: float
) -> float:
    """Return the weighted mean reward of some rows, shrunk to ``prior`` unless that is NaN."""
    weight = weights[rows]
    total = math.fsum(weight)
    if total <= 0.0:
        return prior
    mean = math.fsum(weight * rewards[rows]) / total
    if math.isnan(prior):
        return mean
    effective = _effective_size(weight)
    return (effective * mean + PRIOR_SAMPLES * prior) / (effective + PRIOR_SAMPLES)


def _effective_size(weights: NDArray[np.float64]) -> float:
    """Return how many equally weighted samples weigh as much."""
    squares = math.fsum(weights * weights)
    return math.fsum(weights) ** 2 / squares if squares > 0.0 else 0.0


def _as_floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as floats (n,), NaN for null."""
    return np.asarray(table.column(column).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _mean_of_known(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return math.fsum(known) / known.size if known.size else math.nan
