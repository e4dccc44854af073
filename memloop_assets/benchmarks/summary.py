"""What people are told of a benchmark: its tasks, arms, gaps, power and biases, as lines of text.

Here: wording and the thresholds at which something is worth a warning. What is counted is said in ``building`` and ``power``.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memloop_assets.benchmarks.building import (
    BuiltSuite,
    Gap,
    complete_counts,
    domain_shift,
    mean_reward,
    near_duplicate_count,
)
from memloop_assets.benchmarks.power import GOAL, Power, measure_power
from memloop_assets.benchmarks.suite import BenchmarkSuite
from memloop_assets.benchmarks.trials import Tried

_SHIFT = 0.10  # of a share or a reward: what is worth a warning
_ONE_DOMAIN = 0.90
_FEWEST_FOR_MEANS = 20
_NAMED = 4


@dataclass(frozen=True, slots=True)
class GateNeeds:
    """What the gate asks of a benchmark, from ``[promotion]``: holdout tasks, unknown choices, margin of reward, confidence."""

    required_task_count: int
    max_unsupported_ratio: float
    reward_margin: float
    confidence: float


def head_line(suite: BenchmarkSuite) -> str:
    """Return what a suite is, as a line."""
    counts = [f"{len(suite.tasks_of(split)):,} {split}" for split in ("practice", "holdout")]
    arms = ", ".join(suite.arms) or "none"
    return f"benchmark {suite.name}: {' and '.join(counts)} tasks, arms {arms}, fingerprint {suite.fingerprint}"


def build_lines(built: BuiltSuite, tried: Tried, needs: GateNeeds) -> Iterator[str]:
    """Yield what a build found: tasks, arms, gaps, power, warnings."""
    trials = sum(len(trials) for task in tried.tasks.values() for trials in task.trials.values())
    yield f"logs      {tried.first}..{tried.last}: {trials:,} trials of {len(tried.tasks):,} tasks"
    if tried.left_out:
        yield f"          left out: {tried.left_out_text}"
    yield f"kept      {len(built.kept):,} tasks that {_who(built)} tried, trials of one arm on one task averaged"
    yield from _coverage_lines(built, tried)
    yield from _gap_lines(built)
    power = measure_power(built.suite, reward_margin=needs.reward_margin, confidence=needs.confidence)
    yield from power_lines(power, built.suite.holdout_share, needs)
    yield from _plan_lines(built, power)
    for warning in (*_build_warnings(built, tried), *suite_warnings(built.suite, built.arms, power, needs)):
        yield f"warning   {warning}"


def show_lines(suite: BenchmarkSuite, needs: GateNeeds, *, is_in_use: bool) -> Iterator[str]:
    """Yield everything that a frozen suite says of itself."""
    yield f"{head_line(suite)}{'' if is_in_use else ' (not in use)'}"
    yield f"source    {suite.note or 'imported'}"
    yield f"split     {suite.holdout_share:.0%} held out, by the hash of the task's text"
    domains = Counter(task.domain or "no label" for task in suite.tasks).most_common(_NAMED + 1)
    yield f"domains   {', '.join(f'{name} {count:,}' for name, count in domains[:_NAMED])}{', …' if domains[_NAMED:] else ''}"
    width = max((len(arm) for arm in suite.arms), default=0)
    for arm in suite.arms:
        rewards = [task.outcomes[arm].reward for task in suite.tasks if arm in task.outcomes]
        mean = math.fsum(rewards) / len(rewards)
        yield f"arm       {arm:<{width}}  {len(rewards):,} of {len(suite.tasks):,} tasks, mean reward {mean:.3f}"
    power = measure_power(suite, reward_margin=needs.reward_margin, confidence=needs.confidence)
    yield from power_lines(power, suite.holdout_share, needs)
    for warning in suite_warnings(suite, suite.arms, power, needs):
        yield f"warning   {warning}"


def list_lines(suites: Sequence[BenchmarkSuite], in_use: str | None) -> Iterator[str]:
    """Yield one line per suite; the one whose fingerprint is in use is marked."""
    for suite in suites:
        mark = "in use" if suite.fingerprint == in_use else ""
        counts = f"{len(suite.tasks_of('practice')):,} practice, {len(suite.tasks_of('holdout')):,} holdout"
        yield f"{suite.version}  {mark:<6}  {suite.name}: {counts}, {len(suite.arms)} arms; {suite.note or 'imported'}"


def power_lines(power: Power, holdout_share: float, needs: GateNeeds) -> Iterator[str]:
    """Yield what the gate could find with a suite, and how many tasks more it would take."""
    if not power.compared_count:
        yield "power     not known: no task has outcomes of two arms"
        return
    differing = f"the arms' rewards differ on {power.differing_ratio:.1%} of {power.compared_count:,} tasks"
    yield f"power     {differing} (mean square of best minus worst: {power.mean_square:.3f})"
    if not power.mean_square:
        yield "          all arms earn the same on every task: there is nothing that a router could gain"
        return
    if power.holdout_count:
        found = (
            f"{power.holdout_count:,} holdout tasks find a difference of {100 * power.detectable:.1f} points or less"
        )
        yield f"          {found} four times in five"
    total = f" ({math.ceil(power.goal_count / holdout_share):,} tasks at this share)" if holdout_share else ""
    yield f"          {100 * GOAL:+.0f} points need at most {power.goal_count:,} holdout tasks{total}"
    if power.tie_count:
        lost = f"an equally good, cheaper router loses less than {100 * needs.reward_margin:g} points"
        yield f"          to show that {lost}: at most {power.tie_count:,} holdout tasks"


def suite_warnings(suite: BenchmarkSuite, arms: Sequence[str], power: Power, needs: GateNeeds) -> Iterator[str]:
    """Yield what makes a suite a weak judge, whoever made it."""
    if power.holdout_count < needs.required_task_count:
        yield f"{power.holdout_count:,} holdout tasks; the gate holds below {needs.required_task_count:,} (required_task_count)"
    if power.headroom is not None and 0.0 < power.headroom < power.detectable and power.holdout_count:
        best = f"the best arm of each task, in hindsight, earns only {100 * power.headroom:.1f} points more than the best single arm"
        yield f"{best}: less than these tasks can find, so a router could win here by cost alone"
    cells = len(suite.tasks) * len(arms)
    unknown = cells - sum(len(task.outcomes) for task in suite.tasks)
    if unknown:
        limit = f"the gate holds where more than {needs.max_unsupported_ratio:.0%} of the choices fall on such (max_unsupported_ratio)"
        yield f"{unknown:,} of {cells:,} outcomes are unknown and are not guessed: {limit}"
    domains = Counter(task.domain for task in suite.tasks if task.domain)
    if not domains:
        yield "no task has a domain: whether they cover your traffic cannot be told"
    elif (most := domains.most_common(1)[0])[1] >= _ONE_DOMAIN * len(suite.tasks):
        yield f"{most[1]:,} of {len(suite.tasks):,} tasks are of the domain {most[0]}: it says little of any other"
    repeats = near_duplicate_count(suite)
    if repeats:
        yield f"{repeats:,} tasks nearly repeat another one: they are counted, and intervals are narrower than they should be"


def gaps_file(gaps: Sequence[Gap]) -> str:
    """Return the missing outcomes as CSV, one shadow call a row: arm, task_key, domain, prompt; what completes a task soonest first."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["arm", "task_key", "domain", "prompt"])
    for gap in gaps:
        writer.writerows([arm, gap.task.key, gap.task.domain or "", gap.task.prompt] for arm in gap.missing)
    return written.getvalue()


def _who(built: BuiltSuite) -> str:
    return "some of the arms" if built.unknown_count else f"all {len(built.arms)} arms"


def _coverage_lines(built: BuiltSuite, tried: Tried) -> Iterator[str]:
    """Yield per arm what it tried, and how many tasks would be left with it and the arms above it alone."""
    width = max(map(len, built.arms))
    yield f"arms      {'':<{width}}  tasks tried  reward there  reward on kept  tasks that it and those above tried"
    everything = tuple(tried.tasks.values())
    for arm, complete in zip(built.arms, complete_counts(built, tried), strict=True):
        count = sum(arm in task.trials for task in everything)
        rewards = [_number(mean_reward(tasks, arm)) for tasks in (everything, built.kept)]
        yield f"          {arm:<{width}}  {count:>11,}  {rewards[0]:>12}  {rewards[1]:>14}  {complete:>36,}"


def _gap_lines(built: BuiltSuite) -> Iterator[str]:
    """Yield how many tasks lack an arm, which arms lack most, and what filling them would cost."""
    if not built.gaps:
        yield "gaps      none"
        return
    per_arm = Counter(arm for gap in built.gaps for arm in gap.missing)
    named = ", ".join(f"{arm} {count:,}" for arm, count in per_arm.most_common(_NAMED))
    yield f"gaps      {len(built.gaps):,} tasks lack an arm: {named}; {per_arm.total():,} shadow calls would fill them all"
    single = sum(len(gap.missing) == 1 for gap in built.gaps)
    if single:
        yield f"          {single:,} of them lack one arm alone: {single:,} calls"


def _plan_lines(built: BuiltSuite, power: Power) -> Iterator[str]:
    """Yield how many shadow calls would bring the holdout to the goal."""
    share = built.suite.holdout_share
    if not power.mean_square or not share or power.holdout_count >= power.goal_count:
        return
    lacking = math.ceil((power.goal_count - power.holdout_count) / share)
    kept = {task.key for task in built.kept}
    filled = [gap for gap in built.gaps if gap.task.key not in kept][:lacking]
    calls = sum(len(gap.missing) for gap in filled)
    rest = lacking - len(filled)
    more = f"; {rest:,} further tasks have to be new ones, {rest * len(built.arms):,} calls" if rest else ""
    yield f"          for these {100 * GOAL:+.0f} points: {calls:,} shadow calls complete {len(filled):,} more tasks{more}"


def _build_warnings(built: BuiltSuite, tried: Tried) -> Iterator[str]:
    """Yield how far the kept tasks are from the traffic that they came from."""
    if any(task.live_count for task in built.kept):
        yield (
            "tasks that several arms tried in live traffic are no random sample of it (repeats, retries, escalations); "
            "shadow calls on tasks drawn at random are"
        )
    shift = domain_shift(built, tried)
    if shift and abs(shift[1] - shift[2]) >= _SHIFT:
        yield f"the domain {shift[0]} is {shift[1]:.0%} of the kept tasks and {shift[2]:.0%} of all that were tried"
    for arm in built.arms:
        here, there = mean_reward(built.kept, arm), mean_reward(tuple(tried.tasks.values()), arm)
        if (
            len(built.kept) >= _FEWEST_FOR_MEANS
            and here is not None
            and there is not None
            and abs(here - there) >= _SHIFT
        ):
            yield f"{arm} earns {here:.2f} on the kept tasks and {there:.2f} on all that it tried: the kept ones differ from the rest"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
