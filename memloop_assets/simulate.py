"""A believable fleet with known ground truth: the demo's world and the tests'.

Writes what a fleet of five arms would have logged over some ISO weeks, and a benchmark drawn from the same truth; tells
what each arm is truly worth to those who measure the loop, never to the loop. Seeded, and reads no clock: the weeks are
passed in. The words are in ``simulate_prose.py``; nothing here knows of tables, routers or Dagster.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from memloop_assets.errors import BadSettings
from memloop_assets.simulate_prose import Task, draw_requests, spoil_line, tell_transcript
from memloop_assets.weeks import IsoWeek


@dataclass(frozen=True, slots=True)
class Arm:
    """What a router may choose: its kind, its price for a request of middling length, its usual latency."""

    kind: str
    price_usd: float
    latency_ms: float


ARMS: dict[str, Arm] = {
    "small-model": Arm("model", 0.001, 700.0),
    "large-model": Arm("model", 0.020, 2400.0),
    "lookup-tool": Arm("tool", 0.0008, 250.0),
    "procedure-skill": Arm("skill", 0.003, 1500.0),
    "case-memory": Arm("memory", 0.002, 400.0),
}

# Expected reward of an easy request, arms in the order of ARMS.
_ABILITY: dict[str, tuple[float, float, float, float, float]] = {
    "calculation": (0.70, 0.78, 0.99, 0.46, 0.44),
    "order-lookup": (0.66, 0.72, 0.98, 0.50, 0.54),
    "refunds": (0.72, 0.82, 0.47, 0.98, 0.57),
    "onboarding": (0.74, 0.82, 0.42, 0.98, 0.54),
    "past-decisions": (0.56, 0.62, 0.42, 0.48, 0.97),
    "customer-history": (0.57, 0.64, 0.50, 0.48, 0.97),
    "writing": (0.99, 0.94, 0.44, 0.55, 0.52),
    "policy": (0.99, 0.92, 0.47, 0.66, 0.62),
    "travel": (0.86, 0.98, 0.50, 0.50, 0.48),
    "spreadsheets": (0.84, 0.98, 0.55, 0.48, 0.47),
    "composite": (0.56, 0.98, 0.46, 0.52, 0.52),
}
# What the hardest request takes off it, per arm; the small model bears more in what it is made for.
_BURDEN = (0.36, 0.06, 0.08, 0.10, 0.10)
_LIGHT_BURDEN = {("small-model", "writing"): 0.12, ("small-model", "policy"): 0.12, ("small-model", "travel"): 0.12}
_IMPROVEMENT = {("small-model", "spreadsheets"): 0.14, ("small-model", "travel"): 0.14}
# Shares of the domains in the first week and, after a slow drift, from the sixteenth on.
_SHARES_FIRST = np.array([0.12, 0.12, 0.12, 0.08, 0.07, 0.07, 0.13, 0.10, 0.06, 0.05, 0.08])
_SHARES_LAST = np.array([0.09, 0.11, 0.11, 0.09, 0.12, 0.10, 0.11, 0.09, 0.06, 0.05, 0.07])
_DRIFT_WEEKS = 15
# The policy in service while the logs were written: the large model, but for two rules.
INCUMBENT_ARM = "large-model"
_INCUMBENT_RULES = {"onboarding": "procedure-skill", "policy": "small-model"}

_MIDDLING_WORDS = 28
_COST_SPREAD = 0.2
_LATENCY_SPREAD = 0.3
_REPEATED_BENCHMARK_TASKS = 300
_STANDING_TASKS = 60
_IN_SERVICE_RATIO = 0.98
_NAMED_DOMAIN_RATIO = 0.6
_PASS_MARK = 0.5
# Hours east of UTC in which a writer stamps its events, and how it writes the offset of UTC.
_STAMPS = ((0, "Z"), (0, "+00:00"), (2, ""), (-5, ""))


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that decides what is written; equal worlds write equal bytes.

    improvement_week: index (0 is the first) from which the small model is better at spreadsheets and travel, or None.
    has_mix_drift: whether the shares of the domains move over sixteen weeks.
    graded_ratio: share of outcomes that a judge grades between 0 and 1; the others are 0 or 1.
    benchmark_repeat_ratio, live_repeat_ratio: shares of tasks that repeat a benchmark prompt, or a standing request.
    shuffle_rewards: permute the outcomes over all trajectories: nothing is left to learn (the control experiment).
    """

    first_week: IsoWeek
    seed: int = 0
    week_count: int = 16
    trajectories_per_week: int = 700
    exploration_ratio: float = 0.3
    graded_ratio: float = 0.5
    without_outcome_ratio: float = 0.03
    without_ids_ratio: float = 0.10
    benchmark_repeat_ratio: float = 0.015
    live_repeat_ratio: float = 0.03
    malformed_lines_per_week: int = 3
    improvement_week: int | None = 8
    has_mix_drift: bool = True
    shuffle_rewards: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty world and ratios outside [0, 1]; raises BadSettings."""
        for name, value in vars(self).items():
            if name.endswith("_ratio") and not 0 <= value <= 1:
                raise BadSettings("world", f"{name} is {value}", "give a ratio between 0 and 1")
            if name in ("week_count", "trajectories_per_week") and value < 1:
                raise BadSettings("world", f"{name} is {value}", "give at least 1")

    @property
    def weeks(self) -> list[IsoWeek]:
        """Return the simulated weeks in order."""
        return [self.first_week.shift(index) for index in range(self.week_count)]


@dataclass(frozen=True, slots=True)
class TruePerformance:
    """What a policy is truly worth per request: expected reward, cost and latency, and how often it takes each arm."""

    reward: float
    cost_usd: float
    latency_ms: float
    arm_ratios: dict[str, float]


@dataclass(frozen=True, slots=True)
class WrittenLogs:
    """What ``write_logs`` wrote: the facts at which a reader of the files has to arrive.

    Trajectories are counted in the week in which they start; malformed lines by kind, on top of the events.
    """

    files: tuple[Path, ...]
    event_count: int
    malformed_counts: dict[str, int]
    trajectory_counts: dict[IsoWeek, int]
    without_ids_count: int
    outcome_count: int

    @property
    def malformed_count(self) -> int:
        """Return the number of lines that are no event."""
        return sum(self.malformed_counts.values())

    @property
    def trajectory_count(self) -> int:
        """Return the number of trajectories of all weeks."""
        return sum(self.trajectory_counts.values())


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One task attempt before it is told as events; ``looks_good`` is how the transcript reads, whatever the reward."""

    task: Task
    arm: str
    candidate_arms: list[str]
    propensity: float
    outcome: dict[str, Any]
    is_labelled: bool
    looks_good: bool
    bill: dict[str, float]


def _stream(world: World, *purpose: object) -> Random:
    """Return the random stream of one purpose: streams are independent, so more of one never changes another."""
    return Random(f"{world.seed}/{'/'.join(map(str, purpose))}")  # noqa: S311 — a simulation; nothing here is secret


def _index_of(world: World, week: IsoWeek) -> int:
    return (week.start - world.first_week.start).days // 7


def _domain_shares(world: World, week: IsoWeek) -> np.ndarray:
    drift = min(1.0, _index_of(world, week) / _DRIFT_WEEKS) if world.has_mix_drift else 0.0
    return (1 - drift) * _SHARES_FIRST + drift * _SHARES_LAST


def draw_tasks(world: World, week: IsoWeek, count: int, purpose: str) -> list[Task]:
    """Draw fresh tasks of a week; another purpose draws other tasks from the same truth."""
    return draw_requests(_stream(world, "tasks", purpose, week), _domain_shares(world, week).tolist(), count)


def draw_benchmark_tasks(world: World, count: int) -> list[Task]:
    """Draw the first ``count`` tasks of the benchmark: the mix of domains is the average over the world's weeks."""
    shares = np.mean([_domain_shares(world, week) for week in world.weeks], axis=0)
    return draw_requests(_stream(world, "benchmark"), shares.tolist(), count)


def true_reward(world: World, task: Task, week: IsoWeek) -> dict[str, float]:
    """Return each arm's expected reward on a task in a week."""
    has_improved = world.improvement_week is not None and _index_of(world, week) >= world.improvement_week
    rewards = {}
    for arm, ability, burden in zip(ARMS, _ABILITY[task.domain], _BURDEN, strict=True):
        gain = _IMPROVEMENT.get((arm, task.domain), 0.0) if has_improved else 0.0
        loss = _LIGHT_BURDEN.get((arm, task.domain), burden) * task.difficulty
        rewards[arm] = min(0.98, max(0.02, ability + gain - loss))
    return rewards


def true_cost_usd(task: Task) -> dict[str, float]:
    """Return each arm's expected cost on a task: models charge by length, the others by the call."""
    length = 0.5 + 0.5 * len(task.text.split()) / _MIDDLING_WORDS
    return {name: arm.price_usd * (length if arm.kind == "model" else 1.0) for name, arm in ARMS.items()}


def evaluate_policy(
    world: World, week: IsoWeek, choose: Callable[[str, str | None], str], task_count: int = 2000, seed: int = 0
) -> TruePerformance:
    """Return what a policy (text and domain, where logs would name one, to arm) is truly worth on a week's fresh tasks."""
    rng, tasks = _stream(world, "named", seed, week), draw_tasks(world, week, task_count, f"evaluation-{seed}")
    named = ((task, task.domain if rng.random() < _NAMED_DOMAIN_RATIO else None) for task in tasks)
    return _perform(world, week, tasks, [choose(task.text, domain) for task, domain in named])


def best_single_arm_performance(
    world: World, week: IsoWeek, task_count: int = 2000, seed: int = 0
) -> tuple[str, TruePerformance]:
    """Return the arm that is truly best if one has to serve everything, and what that is worth."""
    tasks = draw_tasks(world, week, task_count, f"evaluation-{seed}")
    performances = {arm: _perform(world, week, tasks, [arm] * len(tasks)) for arm in ARMS}
    best = max(ARMS, key=lambda arm: performances[arm].reward)
    return best, performances[best]


def oracle_performance(world: World, week: IsoWeek, task_count: int = 2000, seed: int = 0) -> TruePerformance:
    """Return what always taking the arm of highest expected reward is worth: no router can earn more."""
    tasks = draw_tasks(world, week, task_count, f"evaluation-{seed}")
    truths = [true_reward(world, task, week) for task in tasks]
    return _perform(world, week, tasks, [max(truth, key=truth.__getitem__) for truth in truths])


def _perform(world: World, week: IsoWeek, tasks: list[Task], arms: list[str]) -> TruePerformance:
    pairs = list(zip(tasks, arms, strict=True))
    return TruePerformance(
        reward=float(np.mean([true_reward(world, task, week)[arm] for task, arm in pairs])),
        cost_usd=float(np.mean([true_cost_usd(task)[arm] for task, arm in pairs])),
        latency_ms=float(np.mean([ARMS[arm].latency_ms for arm in arms])),
        arm_ratios={arm: count / len(arms) for arm, count in sorted(Counter(arms).items())},
    )


def _observe(world: World, rng: Random, expected_reward: float) -> dict[str, Any]:
    """Draw an outcome whose expected reward is the true one, whoever labels it."""
    if rng.random() < world.graded_ratio:
        reward = round(rng.betavariate(4 * expected_reward, 4 * (1 - expected_reward)), 3)
        return {"success": reward >= _PASS_MARK, "reward": reward, "label_source": "judge"}
    is_success = rng.random() < expected_reward
    return {"success": is_success, "reward": float(is_success), "label_source": rng.choice(("user", "checker"))}


def _charge(rng: Random, task: Task, arm: str) -> dict[str, float]:
    """Draw what a call costs and how long it takes: log-normal around the expected."""
    cost_usd = true_cost_usd(task)[arm] * exp(rng.gauss(-(_COST_SPREAD**2) / 2, _COST_SPREAD))
    latency_ms = ARMS[arm].latency_ms * exp(rng.gauss(-(_LATENCY_SPREAD**2) / 2, _LATENCY_SPREAD))
    return {"cost_usd": round(cost_usd, 8), "latency_ms": round(latency_ms, 1)}


def write_benchmark(world: World, path: Path, task_count: int = 900) -> None:
    """Write the long benchmark table (Parquet): an outcome per arm and task, from the truth averaged over the weeks.

    Live tasks repeat some of its first 300 prompts.
    """
    import pyarrow as pa  # noqa: PLC0415 — only this function needs it; the rest of the world runs on numpy
    import pyarrow.parquet as pq  # noqa: PLC0415

    rng = _stream(world, "benchmark-outcomes")
    rows = []
    for number, task in enumerate(draw_benchmark_tasks(world, task_count)):
        truths = [true_reward(world, task, week) for week in world.weeks]
        row = {"task_id": f"b-{number:05d}", "prompt": task.text, "domain": task.domain}
        for arm in ARMS:
            outcome = _observe(world, rng, float(np.mean([truth[arm] for truth in truths])))
            rows.append(row | {"arm": arm, "reward": outcome["reward"]} | _charge(rng, task, arm))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_logs(world: World, folder: Path) -> WrittenLogs:
    """Write one ``session_YYYY-MM-DD.jsonl`` per UTC day into a folder and return the facts about them.

    Sessions interleave and run across midnight and into the next week; events without ids are set apart by silence;
    malformed lines come on top of the events, which all stay readable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attempts = _live_attempts(world)
    days: dict[date, list[tuple[datetime, bytes]]] = defaultdict(list)
    files: list[Path] = []
    trajectory_counts: Counter[IsoWeek] = Counter()
    malformed_counts: Counter[str] = Counter()
    event_count = without_ids_count = 0
    for week in world.weeks:
        rng = _stream(world, "transcripts", week)
        starts = _schedule(world, rng, week)
        without_ids_count += sum(session_id is None for _, session_id in starts)
        for number, (attempt, (start, session_id)) in enumerate(zip(attempts[week], starts, strict=True)):
            trajectory_counts[IsoWeek.of(start)] += 1
            ids = {"session_id": session_id, "task_id": f"t-{week}-{number:05d}"} if session_id else {}
            for moment, line in _tell(rng, attempt, start, ids):
                days[moment.date()].append((moment, line))
                event_count += 1
        finished = sorted(day for day in days if day < week.end.date())
        contents = [[line for _, line in sorted(days.pop(day), key=lambda item: item[0])] for day in finished]
        malformed_counts += _add_malformed(world, rng, contents)
        for day, content in zip(finished, contents, strict=True):
            files.append(folder / f"session_{day}.jsonl")
            files[-1].write_bytes(b"".join(content))
    outcome_count = sum(attempt.is_labelled for week in world.weeks for attempt in attempts[week])
    return WrittenLogs(
        tuple(files), event_count, dict(malformed_counts), dict(trajectory_counts), without_ids_count, outcome_count
    )


def _live_attempts(world: World) -> dict[IsoWeek, list[_Attempt]]:
    """Return what was attempted week by week, the outcomes permuted over all of it where the world says so."""
    attempts = {week: _attempts_of_week(world, week) for week in world.weeks}
    if world.shuffle_rewards:
        outcomes = [attempt.outcome for week in world.weeks for attempt in attempts[week]]
        _stream(world, "shuffle").shuffle(outcomes)
        dealt = iter(outcomes)
        attempts = {week: [replace(one, outcome=next(dealt)) for one in attempts[week]] for week in world.weeks}
    return attempts


def _attempts_of_week(world: World, week: IsoWeek) -> list[_Attempt]:
    rng = _stream(world, "attempts", week)
    benchmark = draw_benchmark_tasks(world, _REPEATED_BENCHMARK_TASKS)
    standing = draw_tasks(world, world.first_week, _STANDING_TASKS, "standing")
    attempts = []
    for fresh in draw_tasks(world, week, world.trajectories_per_week, "live"):
        fate = rng.random() - world.benchmark_repeat_ratio
        task = rng.choice(benchmark) if fate < 0 else rng.choice(standing) if fate < world.live_repeat_ratio else fresh
        incumbent = _INCUMBENT_RULES.get(task.domain, INCUMBENT_ARM)
        offered = [arm for arm in ARMS if arm == incumbent or rng.random() < _IN_SERVICE_RATIO]
        arm = rng.choice(offered) if rng.random() < world.exploration_ratio else incumbent
        outcome = _observe(world, rng, true_reward(world, task, week)[arm])
        propensity = world.exploration_ratio / len(offered) + (1 - world.exploration_ratio) * (arm == incumbent)
        is_labelled = rng.random() >= world.without_outcome_ratio
        looks_good = rng.random() < (0.92 if outcome["success"] else 0.4)
        bill = _charge(rng, task, arm)
        attempts.append(_Attempt(task, arm, offered, propensity, outcome, is_labelled, looks_good, bill))
    return attempts


def _schedule(world: World, rng: Random, week: IsoWeek) -> list[tuple[datetime, str | None]]:
    """Return the start of each attempt of a week and its session; None where the events carry no ids.

    Attempts without ids lie in slots of twenty minutes between 07:00 and 20:00 and last under two: silence parts them.
    """
    count = world.trajectories_per_week
    slots = rng.sample(range(7 * 39), min(int(count * world.without_ids_ratio), 7 * 39))
    starts: list[tuple[datetime, str | None]] = [
        (week.start + timedelta(days=slot // 39, hours=7, minutes=20 * (slot % 39)), None) for slot in slots
    ]
    number = 0
    while len(starts) < count:
        day = rng.choices(range(7), weights=(18, 19, 19, 18, 16, 6, 4))[0]
        start = week.start + timedelta(days=day, seconds=min(83_000, max(0, int(rng.gauss(46_000, 13_000)))))
        if number == 0 and week != world.weeks[-1]:
            start = week.end - timedelta(seconds=10)  # across Sunday and Monday; the last week ends tidily
        if number == 1:
            start = week.start + timedelta(days=3, seconds=-10)
        for _ in range(min(rng.randint(1, 4), count - len(starts))):
            starts.append((start, f"s-{week}-{number:04d}"))
            start += timedelta(seconds=rng.randint(150, 400))
        number += 1
    return starts


def _tell(rng: Random, attempt: _Attempt, start: datetime, ids: dict[str, str]) -> Iterator[tuple[datetime, bytes]]:
    """Yield an attempt's lines with their moments: the transcript, the route after the request, the outcome last."""
    events = tell_transcript(rng, attempt.task, ARMS[attempt.arm].kind, looks_good=attempt.looks_good)
    offer = {"candidate_arms": attempt.candidate_arms, "propensity": round(attempt.propensity, 12)}
    label = {"domain": attempt.task.domain} if rng.random() < _NAMED_DOMAIN_RATIO else {}
    events.insert(1, {"type": "route", "arm": attempt.arm} | offer | {"policy_version": "incumbent-1"} | label)
    if attempt.is_labelled:
        events.append({"type": "outcome"} | attempt.outcome | attempt.bill)
    hours, suffix = rng.choice(_STAMPS)
    zone = timezone(timedelta(hours=hours))
    moment = start
    for event in events:
        stamp = moment.astimezone(zone).isoformat(timespec="milliseconds").replace("+00:00", suffix)
        yield moment, json.dumps(event | ids | {"timestamp": stamp}, ensure_ascii=False).encode() + b"\n"
        moment += timedelta(milliseconds=int(500 + 9_500 * rng.random()))


def _add_malformed(world: World, rng: Random, contents: list[list[bytes]]) -> Counter[str]:
    """Add a week's malformed lines to its files and return how many of each kind; every event stays whole."""
    counts: Counter[str] = Counter()
    intact = [line for content in contents for line in content]
    for _ in range(world.malformed_lines_per_week):
        content = rng.choice(contents)
        kind, line = rng.choice(list(spoil_line(rng.choice(intact)).items()))
        counts[kind] += 1
        content.insert(rng.randint(0, len(content)), line)
    return counts
