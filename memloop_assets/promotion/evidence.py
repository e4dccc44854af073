"""The evidence of a week: what the gate is asked about, gathered from tables and ledger, with every failed input named.

Reads, never writes; what the gate makes of it is said in ``policy``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.benchmarks.evaluation import (
    BASELINE_POLICIES,
    ArmStatistics,
    PolicyScores,
    reference_cost,
    score_shares,
    scores_of_rows,
)
from memloop_assets.benchmarks.standing import is_own
from memloop_assets.benchmarks.suite import BenchmarkSuite
from memloop_assets.benchmarks.tables import suite_of_table
from memloop_assets.benchmarks.weekly import CHALLENGER, SHUFFLED, TWIN, score_router
from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.errors import BadCheckpoint, BadInput, TableError
from memloop_assets.promotion.controls import Controls
from memloop_assets.promotion.logged_evidence import gather_trials
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.vetoes import Rivals
from memloop_assets.promotion.week_rules import Compared, WeekEvidence
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.router import Router, single_arm_router
from memloop_assets.routing.training import TrainingSettings, best_single_arm
from memloop_assets.routing.versions import BUILT_IN, Ledger, fold_canary
from memloop_assets.store import Store
from memloop_assets.weeks import IsoWeek

T = TypeVar("T")

_BUILT_ON = {
    "dataset_snapshot": ("benchmark_suite",),
    "router_checkpoint": ("dataset_snapshot",),
    "benchmark_results": ("router_checkpoint", "benchmark_suite"),
}
"""What the inputs of a decision have to be built on, so that the results are those of the challenger named, which saw no holdout task."""


@dataclass(frozen=True)
class Sources:
    """Where a decision's evidence lies, and the settings that shape it."""

    store: Store
    ledger: Ledger
    router_versions: Path
    prices_usd: Mapping[str, float]
    training: TrainingSettings
    first_week: IsoWeek


@dataclass(frozen=True)
class Gathered:
    """Everything the gate needs for one week.

    ``control_version``: version of the router that serves as champion, which for the built-in policy has another name; None where it
    could not be had.
    """

    evidence: WeekEvidence
    compared: Compared
    champion_version: str
    challenger_version: str | None
    baselines: tuple[PolicyScores, ...]
    suite: BenchmarkSuite | None
    inputs: Mapping[str, str]
    control_version: str | None = None


class Reading:
    """Reads inputs one by one; a failed one is named and read as its empty value, so that all failures are known."""

    def __init__(self, sources: Sources) -> None:
        """Keep the sources, which are only read."""
        self.sources = sources
        self._failed: dict[str, list[str]] = {}
        self.inputs: dict[str, str] = {}

    def table(self, name: str, week: IsoWeek | None, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return a table, or some columns of it, and note its generation; None where it failed."""
        label = f"{name} {week}" if week else name

        def read() -> pa.Table:
            pinned = str(self.sources.store.manifest(name, week)["generation"])  # what is recorded is what was read
            rows = self.sources.store.read(name, week, columns, generation=pinned)
            self.inputs[label] = pinned
            return rows

        return self.attempt(label, read)

    def attempt(self, label: str, read: Callable[[], T]) -> T | None:
        """Return what ``read`` does; None where it fails, and the failure is noted."""
        try:
            return read()
        except (TableError, BadCheckpoint, BadInput) as error:
            self._failed.setdefault(error.culprit, []).append(label)
            return None

    def check_built_on(self, name: str, week: IsoWeek) -> None:
        """Name a table as failed that was built on another generation of an input than lies there now."""
        store = self.sources.store

        def compare() -> None:
            recorded = store.manifest(name, week)["inputs"]
            for below in _BUILT_ON[name]:
                label, of = (below, None) if below == "benchmark_suite" else (f"{below} {week}", week)
                if store.generation(below, of) not in (None, recorded.get(label)):
                    raise BadInput(
                        f"{name} {week}", f"it was built on another {below}", f"run `memloop backfill {week}`"
                    )

        self.attempt(f"{name} {week}", compare)

    @property
    def failed(self) -> tuple[str, ...]:
        """Return what failed, with its cause; a cause that many share is told once."""
        return tuple(f"{', '.join(labels)} ({culprit})" for culprit, labels in self._failed.items())


def gather_week(week: IsoWeek, sources: Sources, policy: PromotionPolicy, now: datetime) -> Gathered:
    """Return what is known of a week; a missing, failed or altered input is named in the evidence rather than raised."""
    reading = Reading(sources)
    version = sources.ledger.champion_as_of(week)
    suite_rows = reading.table("benchmark_suite", None)
    suite = suite_of_table(suite_rows) if suite_rows is not None else None
    new_samples = reading.table("router_samples", week)
    checkpoint = reading.table("router_checkpoint", week)
    results = reading.table("benchmark_results", week)
    samples = reading.attempt(f"dataset_snapshot {week}", lambda: read_samples(sources.store, week))
    for name in _BUILT_ON:
        if sources.store.is_readable(name, week):  # else it is named already
            reading.check_built_on(name, week)
    challenger_version = checkpoint["version"][0].as_py() if checkpoint is not None and checkpoint.num_rows else None
    own_task_count = len(suite.tasks_of("holdout")) if suite and is_own(suite) else 0
    compared = Compared(None, None)
    champion: Router | None = None
    baselines: tuple[PolicyScores, ...] = ()
    if samples is not None and samples.num_rows:
        champion = reading.attempt(f"champion {version}", lambda: champion_router(version, week, sources, samples))
        if champion and suite and results is not None and results.num_rows:
            compared, baselines = _compare(reading, week, suite, samples, results, version, champion)
        if champion and own_task_count < policy.required_task_count and policy.logged_weeks:
            logged = reading.attempt(
                "logged trials",
                lambda: gather_trials(
                    samples,
                    week,
                    champion,
                    prices_usd=sources.prices_usd,
                    training=sources.training,
                    rules=policy.logged_rules,
                    taught_until=_taught_until(version, sources.ledger),
                ),
            )
            compared = replace(compared, logged=logged)
    look = _look_number(week, version, challenger_version, suite, reading)
    evidence = replace(
        standing_of(week, sources, reading, now),
        arm_count=len(pc.unique(samples["arm"])) if samples is not None else 0,
        sample_count=samples.num_rows if samples is not None else 0,
        new_sample_count=new_samples.num_rows if new_samples is not None else 0,
        suite_name=suite.name if suite and is_own(suite) else None,
        holdout_task_count=own_task_count,
    )
    return Gathered(
        evidence,
        replace(compared, look=look),
        version,
        challenger_version,
        baselines,
        suite,
        reading.inputs,
        champion.version if champion else None,
    )


def standing_of(week: IsoWeek, sources: Sources, reading: Reading, now: datetime) -> WeekEvidence:
    """Return how a week stands apart from what it compares: closed or open, after a decided week or not, what failed so far."""
    is_first = week <= sources.first_week
    is_decided = sources.ledger.decision_of(week) is not None
    has_predecessor = is_first or sources.ledger.decision_of(week.shift(-1)) is not None
    return WeekEvidence(
        week=week,
        is_closed=is_decided or week.is_closed(now),  # a clock that was set back opens no decided week again
        is_first_week=is_first,
        missing_predecessor=None if has_predecessor else week.shift(-1),
        failed_inputs=reading.failed,
    )


def _taught_until(version: str, ledger: Ledger) -> IsoWeek | None:
    """Return the last week that a champion learned from, the one that accepted it first; None for the built-in policy."""
    weeks = []
    for row in ledger.rows():
        canary = fold_canary([row])
        if row.to_version == version != row.from_version or (canary and canary.version == version):
            weeks.append(row.week)
    return IsoWeek.parse(min(weeks)) if weeks and version != BUILT_IN else None


def _compare(  # noqa: PLR0913, PLR0917  # everything that is scored of a week
    reading: Reading,
    week: IsoWeek,
    suite: BenchmarkSuite,
    samples: pa.Table,
    results: pa.Table,
    version: str,
    champion: Router,
) -> tuple[Compared, tuple[PolicyScores, ...]]:
    """Return champion, challenger, rivals and controls on the benchmark, and every baseline policy."""
    sources = reading.sources
    costs = ArmStatistics.of_samples(samples, sources.prices_usd).mean_costs_usd
    wanted = (CHALLENGER, SHUFFLED, TWIN, *BASELINE_POLICIES)
    scored = reading.attempt(f"benchmark_results {week}", lambda: [scores_of_rows(results, name) for name in wanted])
    reference = reading.attempt("reference arm", lambda: _reference_arm(samples, sources)[0])
    cost = reference_cost(suite.tasks_of("holdout"), reference, costs) if reference else None
    before = score_router(suite, champion, "champion", costs)
    again = reading.attempt(f"champion {version}", lambda: champion_router(version, week, sources, samples))
    remembered = count_remembered(suite, champion)
    if not scored or again is None:
        return Compared(before, None, cost), ()
    challenger, shuffled, twin, *baselines = scored
    rivals = rivals_of(suite, challenger, shuffled, baselines, costs)
    controls = Controls(twin, score_router(suite, again, "champion", costs))
    return Compared(before, challenger, cost, rivals, remembered_count=remembered, controls=controls), tuple(baselines)


def count_remembered(suite: BenchmarkSuite, router: Router) -> int:
    """Return how many holdout tasks a router remembers, in the same words or nearly: it learned before they were held out."""
    if router.memory is None:
        return 0
    return sum(router.memory.recall(task.prompt)[0] is not None for task in suite.tasks_of("holdout"))


def _look_number(
    week: IsoWeek, champion: str, challenger: str | None, suite: BenchmarkSuite | None, reading: Reading
) -> int:
    """Return the how-manieth look at this challenger against this champion it is, by the weeks right before.

    A look is new where the benchmark is another one: the same tasks again would say the same again. A week that compared nothing
    (skipped, without a benchmark, failed) was no look. What was counted is an input.
    """
    if challenger is None or suite is None:
        return 1
    store, seen = reading.sources.store, {suite.fingerprint}
    before = week.shift(-1)
    while before >= reading.sources.first_week and store.is_readable("promotion_decision", before):
        (row,) = store.read("promotion_decision", before).to_pylist()
        if (row["champion_before"], row["challenger"]) != (champion, challenger):
            break
        reading.inputs |= store.input_of("promotion_decision", before)
        if row["task_count"] is not None and row["reward_delta_lower"] is not None:  # compared, and not by logs
            seen.add(row["suite_fingerprint"])
        before = before.shift(-1)
    return len(seen)


def rivals_of(
    suite: BenchmarkSuite,
    challenger: PolicyScores,
    shuffled: PolicyScores | None,
    baselines: Sequence[PolicyScores],
    costs_usd: Mapping[str, float],
) -> Rivals:
    """Return what a challenger has to stand beside: the oracle and the even draw are yardsticks, not rivals."""
    counts = Counter(arm for arm in challenger.arms if arm is not None)
    shares = {arm: count / counts.total() for arm, count in sorted(counts.items())}
    tasks = suite.tasks_of("holdout")
    return Rivals(
        baselines=tuple(one for one in baselines if one.policy not in ("random", "oracle")),
        chance=score_shares(tasks, "chance", shares, costs_usd) if len(shares) > 1 else None,
        shuffled=shuffled,
        strata={task.task_id: task.domain for task in tasks if task.domain is not None},
    )


def champion_router(version: str, week: IsoWeek, sources: Sources, samples: pa.Table) -> Router:
    """Return the router of a champion; the built-in policy is fitted on the weeks before this one.

    Where no week before holds samples (the first one), it is fitted on the samples of the week itself. Raises BadCheckpoint or TableError.
    """
    if version != BUILT_IN:
        return load_checkpoint(sources.router_versions, version)
    before = week.shift(-1)
    if before >= sources.first_week and sources.store.is_readable("dataset_snapshot", before):
        earlier = read_samples(sources.store, before)
        samples = earlier if earlier.num_rows else samples
    return built_in_router(samples, sources)


def built_in_router(samples: pa.Table, sources: Sources) -> Router:
    """Return the built-in policy: always the configured reference arm, or the best single arm of these samples."""
    arm, means = _reference_arm(samples, sources)
    costs = ArmStatistics.of_samples(samples, sources.prices_usd).mean_costs_usd
    return single_arm_router(arm, {arm: 0.0, **costs}, means)


def _reference_arm(samples: pa.Table, sources: Sources) -> tuple[str, Mapping[str, float]]:
    """Return the reference arm, configured or best by training, and every sampled arm's mean reward.

    Raises BadInput for a configured one that has neither samples nor a price: agents would be sent to an arm that is not there.
    """
    best, means = best_single_arm(samples, sources.prices_usd, sources.training)
    arm = sources.training.reference_arm or best
    known = {*means, *sources.prices_usd}
    if arm not in known:
        raise BadInput("[routing] reference_arm", f"{arm!r} is no known arm", f"use one of {', '.join(sorted(known))}")
    return arm, means
