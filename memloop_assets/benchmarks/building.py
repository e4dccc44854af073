"""Building a suite from trials: which tasks are kept, which outcomes are missing, and how far the kept ones are from one's traffic.

Pure: trials in, values out. Where trials come from is said in ``trials``; how all this is told, in ``summary``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from memloop_assets.benchmarks.suite import BenchmarkSuite, BenchmarkTask
from memloop_assets.benchmarks.trials import Tried, TriedTask
from memloop_assets.errors import BadInput, did_you_mean
from memloop_assets.near_duplicates import mark_near_duplicates
from memloop_assets.tasks import split_of_task

FEWEST_ARMS = 2


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is asked of a build: the benchmark's name, the share held out, the arms (none: every arm that was tried).

    ``fewest_arms``: how many of these must have tried a task that is kept; None: all of them. ``untried_arms``: further arms that there
    are, of which no trial need be known: what they lack are gaps. Raises BadInput for fewer than two arms.
    """

    name: str
    holdout_share: float = 0.5
    arms: tuple[str, ...] = ()
    fewest_arms: int | None = None
    untried_arms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a benchmark that would compare nothing."""
        if self.fewest_arms is not None and self.fewest_arms < FEWEST_ARMS:
            raise BadInput("--min-arms", f"it is {self.fewest_arms}", "give at least 2: a task compares arms")


@dataclass(frozen=True)
class Gap:
    """A task that lacks outcomes of some arms: as many shadow calls would complete it."""

    task: TriedTask
    missing: tuple[str, ...]


@dataclass(frozen=True)
class BuiltSuite:
    """A suite, the arms that were chosen (most tried first), the kept tasks as tried, and what every other task lacks.

    ``gaps``: tasks that were tried by one of the arms at least and lack another, those that lack least first, then in the order of their
    keys, which is a random one.
    """

    suite: BenchmarkSuite
    arms: tuple[str, ...]
    kept: tuple[TriedTask, ...]
    gaps: tuple[Gap, ...]

    @property
    def unknown_count(self) -> int:
        """Return how many outcomes the kept tasks lack."""
        return len(self.kept) * len(self.arms) - sum(len(task.outcomes) for task in self.suite.tasks)


def build_suite(tried: Tried, options: BuildOptions) -> BuiltSuite:
    """Return the suite of the tasks that enough of the chosen arms tried; several trials of an arm on a task are averaged.

    A suite without tasks is returned as such: its gaps are what a person needs then. Raises BadInput for an arm that is neither tried nor
    known, and where there are fewer than two.
    """
    arms = _chosen_arms(tried, options)
    fewest = min(options.fewest_arms or len(arms), len(arms))
    kept, gaps = [], []
    for task in tried.tasks.values():
        missing = tuple(arm for arm in arms if arm not in task.trials)
        if len(arms) - len(missing) >= fewest:
            kept.append(task)
        if 0 < len(missing) < len(arms):
            gaps.append(Gap(task, missing))
    suite = BenchmarkSuite(
        options.name,
        tuple(_frozen(task, arms, options) for task in kept),
        options.holdout_share,
        note=_note(tried, kept, arms),
    )
    gaps.sort(key=lambda gap: (len(gap.missing), gap.task.key))
    return BuiltSuite(suite, arms, tuple(kept), tuple(gaps))


def _chosen_arms(tried: Tried, options: BuildOptions) -> tuple[str, ...]:
    """Return the arms to compare, those tried most first; untried ones only where they are named, or where one alone was tried."""
    known = list(dict.fromkeys((*tried.arms, *sorted(options.untried_arms))))
    strangers = [arm for arm in options.arms if arm not in known]
    if strangers:
        fix = did_you_mean(strangers[0], known) or f"name some of {', '.join(known) or 'none'}"
        raise BadInput(
            "--arm", f"{strangers[0]!r} tried no task with a known reward, and memloop.toml has no such arm", fix
        )
    wanted = options.arms or (tried.arms if len(tried.arms) >= FEWEST_ARMS else known)
    arms = tuple(arm for arm in known if arm in wanted)
    if not tried.arms or len(arms) < FEWEST_ARMS:
        left_out = f" (left out: {tried.left_out_text})" if tried.left_out else ""
        raise BadInput(
            "benchmark build",
            f"arms with a known reward in {tried.first}..{tried.last}: {', '.join(tried.arms) or 'none'}{left_out}",
            "log `route` and `outcome` events of two arms at least, or name a second arm as [arms.NAME] in memloop.toml: "
            "--gaps FILE then lists the shadow calls that it lacks",
        )
    return arms


def complete_counts(built: BuiltSuite, tried: Tried) -> list[int]:
    """Return for each chosen arm how many tasks it and all arms before it tried: what leaving out the last arms would keep."""
    depths = Counter[int]()
    for task in tried.tasks.values():
        depth = next((place for place, arm in enumerate(built.arms) if arm not in task.trials), len(built.arms))
        depths[depth] += 1
    return [sum(count for depth, count in depths.items() if depth > place) for place in range(len(built.arms))]


def mean_reward(tasks: Sequence[TriedTask], arm: str) -> float | None:
    """Return an arm's mean reward over the tasks that it tried, each task counted once; None where it tried none."""
    rewards = [task.outcomes([arm])[arm].reward for task in tasks if arm in task.trials]
    return sum(rewards) / len(rewards) if rewards else None


def domain_shift(built: BuiltSuite, tried: Tried) -> tuple[str, float, float] | None:
    """Return the domain whose share differs most between the kept tasks and all tried ones, with both shares; None without domains."""
    kept, everything = (
        Counter(task.domain for task in tasks if task.domain) for tasks in (built.kept, tried.tasks.values())
    )
    if not kept.total():
        return None
    shares = {name: (kept[name] / kept.total(), everything[name] / everything.total()) for name in sorted(everything)}
    name = max(shares, key=lambda name: abs(shares[name][0] - shares[name][1]))
    return name, *shares[name]


def near_duplicate_count(suite: BenchmarkSuite) -> int:
    """Return how many tasks nearly repeat another of the suite: they count as tasks of their own although they hardly are."""
    return sum(mark is not None for mark in mark_near_duplicates([task.prompt for task in suite.tasks]))


def _frozen(task: TriedTask, arms: Sequence[str], options: BuildOptions) -> BenchmarkTask:
    split = split_of_task(task.prompt, options.holdout_share)
    return BenchmarkTask(task.key, task.prompt, task.domain, split, task.outcomes(arms))


def _note(tried: Tried, kept: Sequence[TriedTask], arms: Sequence[str]) -> str:
    """Return for people where the suite comes from; it holds no clock."""
    trials = sum(len(task.trials.get(arm, ())) for task in kept for arm in arms)
    live = sum(task.live_count > 0 for task in kept)
    return f"built from {trials:,} trials in the logs of {tried.first}..{tried.last}, {live:,} of its tasks from live traffic"
