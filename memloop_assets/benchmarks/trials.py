"""Trials: which arm tried which task in the landed logs, and what came of it, grouped by task.

Read from the landed bytes, not from weekly tables: a benchmark is best built before anything is trained. Cut, redacted and identified as
the weekly tables are, so that a task is the same in both. What becomes of the trials is said in ``building``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memloop_assets.benchmarks.suite import ArmOutcome
from memloop_assets.datasets.samples import reason_to_leave_out
from memloop_assets.settings import Settings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.redaction import RedactionSettings
from memloop_assets.weeks import IsoWeek, weeks_between

ORIGINS_OF_TRIALS = ("live", "benchmark")
_COLUMNS = (
    "trajectory_id",
    "origin",
    "task_key",
    "task_text",
    "domain",
    "arm",
    "arm_count",
    "reward",
    "cost_usd",
    "latency_ms",
)


@dataclass(frozen=True)
class TriedTask:
    """One task: its text, its domain where one is logged, and every trial of each arm; ``live_count`` of them are live."""

    key: str
    prompt: str
    domain: str | None
    trials: Mapping[str, Sequence[ArmOutcome]]
    live_count: int

    def outcomes(self, arms: Iterable[str]) -> dict[str, ArmOutcome]:
        """Return the mean outcome of each of these arms that tried it."""
        return {arm: ArmOutcome.mean_of(self.trials[arm]) for arm in arms if arm in self.trials}


@dataclass(frozen=True)
class Tried:
    """Every task that an arm tried in a range of weeks, by task key, and what was left out by reason."""

    first: IsoWeek
    last: IsoWeek
    tasks: Mapping[str, TriedTask]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the arms, those that tried the most tasks first."""
        counts = Counter(arm for task in self.tasks.values() for arm in task.trials)
        return tuple(sorted(counts, key=lambda arm: (-counts[arm], arm)))

    @property
    def left_out_text(self) -> str:
        """Return what was left out as text: ``2 no arm, 1 no reward``."""
        counts = sorted(self.left_out.items())
        return ", ".join(f"{count:,} {name.removesuffix('_count').replace('_', ' ')}" for name, count in counts)


def gather_trials(
    landing: Landing,
    settings: Settings,
    weeks: tuple[IsoWeek, IsoWeek],
    origins: Sequence[str] = ORIGINS_OF_TRIALS,
) -> Tried:
    """Return what was tried in a range of weeks: one task, one arm and a known reward each, of the given origins."""
    reading = CutWeek(landing, settings.logs)
    rules = settings.section("redaction", RedactionSettings).rules
    rows: dict[str, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    for week in weeks_between(*weeks):
        table, _counts = cut_week(reading, week, settings.arms, rules)
        for row in table.select(list(_COLUMNS)).to_pylist():
            reason = reason_to_leave_out(row, origins)
            if reason:
                left_out[reason] += 1
            else:
                rows[row["trajectory_id"]] = row
    return Tried(*weeks, group_trials(rows.values()), dict(left_out))


def group_trials(rows: Iterable[Mapping[str, Any]]) -> dict[str, TriedTask]:
    """Return trials (rows with the columns of a trajectory) by task; the same rows in any order give the same tasks.

    Of several spellings of one task the first in order of text is kept, of several domains the most frequent.
    """
    by_task: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["trajectory_id"])):
        by_task[row["task_key"]].append(row)
    return {key: _task_of(key, by_task[key]) for key in sorted(by_task)}


def _task_of(key: str, rows: Sequence[Mapping[str, Any]]) -> TriedTask:
    trials: dict[str, list[ArmOutcome]] = defaultdict(list)
    for row in rows:
        trials[row["arm"]].append(ArmOutcome(row["reward"], row["cost_usd"], row["latency_ms"]))
    domains = Counter(row["domain"] for row in rows if row["domain"] and row["domain"].strip())
    return TriedTask(
        key,
        prompt=min(row["task_text"] for row in rows),
        domain=min(domains, key=lambda name: (-domains[name], name), default=None),
        trials=dict(sorted(trials.items())),
        live_count=sum(row["origin"] == "live" for row in rows),
    )
