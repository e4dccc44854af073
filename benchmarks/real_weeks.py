"""What the gate promotes on real outcomes, and whether it was right: two public data sets as twelve weeks of logs, through the whole loop.

Questions (by normalised prompt) are cut into a holdout benchmark, twelve ISO weeks of single-route logs, and all others, which no router
and no benchmark ever sees: the truth. A home of its own takes them through `memloop ingest`, `benchmark import` and `backfill`, with the
gate as shipped. Every generation is then held against the champion of its time on the truth: paired differences with 95 % bootstrap
intervals over prompts, in reward and in the gate's own utility. *Better* and *worse* mean that the interval of the utility excludes 0.

Served ``even``: the arm of every trial is drawn evenly. Served ``champion``: each week is served by the champion that lies in the home,
loaded as an agent does, but for a fifth of the trials, which are drawn evenly; the first week, before there is one, is drawn evenly.

Control (--shuffled): all outcomes are dealt anew over questions and arms, at one price. Nothing is then truly better than anything.

Not measured: drift (weeks are drawn from one pool), repeated tasks, latency. MMLU's price ratio of 20 is set, not observed. Weeks of one
seed share benchmark and champion, seeds share the questions: the intervals over weeks are somewhat too narrow.

    python benchmarks/real_weeks.py [--sets mmlu half half-unlabelled] [--served even champion] [--seeds 3] [--shuffled] [--data FOLDER]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from learning_and_refusal import as_percent  # type: ignore[import-not-found]  # the scripts beside this one
from numpy.typing import NDArray
from router_models import DATA, Outcomes, price_of, read_outcomes  # type: ignore[import-not-found]
from router_quality import (  # type: ignore[import-not-found]
    FIRST_WEEK,
    PRICES_USD,
    WEEK_COUNT,
    Attempt,
    Question,
    mean_interval,
    run_memloop,
    write_benchmark,
    write_prices,
    write_sessions,
)

from memloop_assets.benchmarks.group_bootstrap import Resampling, paired_difference
from memloop_assets.benchmarks.intervals import Interval
from memloop_assets.client import load_champion
from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.home import Home, open_home
from memloop_assets.promotion.evidence import Sources, champion_router
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.weeks import IsoWeek

WEEKS = [FIRST_WEEK.shift(number) for number in range(WEEK_COUNT)]
EXPLORED = 0.2
MISSED = 0.01
TWO_SIDED = Resampling(confidence=0.975)


class Cut(NamedTuple):
    """Which data, and how many of its questions are held out and logged per week; what is left is the truth."""

    folder: str
    held: int
    weekly: int
    is_labelled: bool


SETS = {
    "mmlu": Cut("routellm-mmlu", held=1_000, weekly=400, is_labelled=False),
    "half": Cut("llmrouter-half", held=500, weekly=125, is_labelled=True),
    "half-unlabelled": Cut("llmrouter-half", held=500, weekly=125, is_labelled=False),
}


@dataclass(frozen=True)
class World:
    """All questions of a data set, and what a call of each arm costs, in the order of the arms."""

    found: Outcomes
    costs_usd: NDArray[np.float64]

    @property
    def prices_usd(self) -> dict[str, float]:
        """Return the price of a call by arm, USD."""
        return dict(zip(self.found.arms, self.costs_usd.tolist(), strict=True))

    def question(self, place: int) -> Question:
        """Return one question as it is logged and benchmarked."""
        found = self.found
        rewards = dict(zip(found.arms, found.rewards[place].tolist(), strict=True))
        return Question(f"q-{place:05d}", found.keys[place], found.prompts[place], rewards, found.domains[place])

    def earned(self, places: NDArray[np.intp], taken: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return reward and cost in USD of the arms taken on some questions, (2, places)."""
        return np.stack([self.found.rewards[places, taken], self.costs_usd[taken]])


@dataclass(frozen=True)
class Truth:
    """The questions that nobody saw."""

    world: World
    places: NDArray[np.intp]

    def ask(self, router: Router) -> NDArray[np.float64]:
        """Return reward and cost of what a router takes on each question, (2, questions)."""
        found = self.world.found
        if router.kind == "single-arm":
            taken = np.full(self.places.size, found.arms.index(router.rule.reference_arm))
        else:
            chosen = [router.choose(found.prompts[p], domain=found.domains[p]).arm for p in self.places]
            taken = np.array([found.arms.index(arm) for arm in chosen])
        return self.world.earned(self.places, taken)

    def differences(
        self, challenger: NDArray[np.float64], champion: NDArray[np.float64], reference_usd: float
    ) -> tuple[Interval, Interval]:
        """Return challenger minus champion in reward and in the gate's utility, each with its 95 % interval over prompts."""
        keys = [self.world.found.keys[place] for place in self.places]
        before, after = utility(champion, reference_usd), utility(challenger, reference_usd)
        reward = paired_difference(challenger[0], champion[0], keys, TWO_SIDED)
        return reward, paired_difference(after, before, keys, TWO_SIDED)


def utility(earned: NDArray[np.float64], reference_usd: float) -> NDArray[np.float64]:
    """Return the gate's utility of reward and cost, (2, ...)."""
    return np.asarray(earned[0] - PromotionPolicy().cost_weight * earned[1] / reference_usd)


class Judged(NamedTuple):
    """One week: the gate's row in ``promotion_decision``, and what its challenger truly differs by from the champion of its time."""

    row: Mapping[str, Any]
    reward: Interval
    utility: Interval

    @property
    def is_promoted(self) -> bool:
        """Tell whether the gate promoted the challenger."""
        return bool(self.row["outcome"] == "promote")

    @property
    def verdict(self) -> str:
        """Return what the truth says: better, worse, or neither for sure."""
        return "better" if self.utility.lower > 0.0 else "worse" if self.utility.upper < 0.0 else "unsure"


class Ending(NamedTuple):
    """Mean reward, cost and utility on the truth; arm and oracle are best in reward for the first two, in utility for the third."""

    champion: NDArray[np.float64]
    single: NDArray[np.float64]
    oracle: NDArray[np.float64]

    @property
    def gap_shares(self) -> NDArray[np.float64]:
        """Return the share of the way from the best single arm to the oracle, in reward and in utility, (2,)."""
        return (self.champion - self.single)[[0, 2]] / (self.oracle - self.single)[[0, 2]]


class Seed(NamedTuple):
    """What one deal of a data set came to."""

    weeks: list[Judged]
    ending: Ending


def read_world(cut: Cut, folder: Path, *, is_shuffled: bool) -> World:
    """Return the outcomes of a data set with the price of a call of each arm."""
    found = read_outcomes(folder / cut.folder / "outcomes.parquet")
    if not cut.is_labelled:
        found = replace(found, domains=[None] * len(found.prompts))
    prices = [PRICES_USD[arm] if arm in PRICES_USD else price_of(arm) / 1_000 for arm in found.arms]
    if is_shuffled:
        dealt = np.random.default_rng(6).permutation(found.rewards.ravel()).reshape(found.rewards.shape)
        found, prices = replace(found, rewards=dealt), [0.001] * len(prices)
    return World(found, np.array(prices))


def deal(found: Outcomes, cut: Cut, seed: int) -> tuple[list[NDArray[np.intp]], NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of each week's questions, of the benchmark's and of all others; equal prompts stay together."""
    names, number = np.unique(found.keys, return_inverse=True)
    rank = np.random.default_rng([seed, 7]).permutation(len(names))[number]
    logged = cut.weekly * WEEK_COUNT
    weeks = [np.flatnonzero((rank >= cut.weekly * w) & (rank < cut.weekly * (w + 1))) for w in range(WEEK_COUNT)]
    is_held = (rank >= logged) & (rank < logged + cut.held)
    return weeks, np.flatnonzero(is_held), np.flatnonzero(rank >= logged + cut.held)


def serve(
    world: World, places: NDArray[np.intp], week: IsoWeek, champion: Router | None, rng: np.random.Generator
) -> Iterator[Attempt]:
    """Yield a week's trials, each with its true propensity; without a champion every arm is drawn evenly."""
    arms = world.found.arms
    explored = EXPLORED if champion else 1.0
    for number, place in enumerate(places):
        question = world.question(place)
        arm = arms[int(rng.integers(len(arms)))]
        propensity = explored / len(arms)
        if champion:
            taken = champion.choose(question.prompt, domain=question.domain).arm
            arm = arm if rng.random() < EXPLORED else taken
            propensity += (1.0 - EXPLORED) * (arm == taken)
        start = week.start + timedelta(weeks=1) * (number / len(places))
        yield Attempt(question, arm, arms, propensity, world.prices_usd[arm], f"{week}-{number:04d}", start)


def run_seed(world: World, cut: Cut, served: str, seed: int) -> Seed:
    """Take one deal of a data set through the loop in a new home; return its weeks and where it ended."""
    weeks, held, others = deal(world.found, cut, seed)
    rng = np.random.default_rng([seed, 8])
    runs = [range(WEEK_COUNT)] if served == "even" else [range(w, w + 1) for w in range(WEEK_COUNT)]
    with tempfile.TemporaryDirectory(prefix="memloop-weeks-") as temporary:
        folder = Path(temporary)
        write_prices(world.prices_usd, folder)
        write_benchmark(map(world.question, held), world.prices_usd, folder / "benchmark.parquet")
        run_memloop(folder, "benchmark", "import", str(folder / "benchmark.parquet"), "--holdout-share", "1.0")
        for run in runs:
            champion = load_champion(folder / "data") if run[0] else None
            for w in run:
                write_sessions(serve(world, weeks[w], WEEKS[w], champion, rng), folder / "logs")
            run_memloop(folder, "ingest", str(folder / "logs"))
            run_memloop(folder, "backfill", f"{WEEKS[run[0]]}..{WEEKS[run[-1]]}")
        return judge(open_home(folder, {}, lambda: datetime.now(tz=UTC)), Truth(world, others))


def judge(home: Home, truth: Truth) -> Seed:
    """Hold every generation against the champion of its time, and the last champion against arms and oracle, on the truth."""
    made = (home.places.router_versions, home.arm_prices, TrainingSettings())
    sources = Sources(home.store, home.ledger, *made, home.first_week)
    asked: dict[str, NDArray[np.float64]] = {}

    def ask(version: str, week: IsoWeek) -> tuple[Router, NDArray[np.float64]]:
        router = champion_router(version, week, sources, read_samples(home.store, week))
        if router.version not in asked:
            asked[router.version] = truth.ask(router)
        return router, asked[router.version]

    judged = []
    for week in WEEKS:
        (row,) = home.store.read("promotion_decision", week).to_pylist()
        router, challenger = ask(row["challenger"], week)
        reference = truth.world.costs_usd[truth.world.found.arms.index(router.rule.reference_arm)]
        judged.append(Judged(row, *truth.differences(challenger, ask(row["champion_before"], week)[1], reference)))
    return Seed(judged, end(truth, ask(row["champion_after"], week)[1], reference))


def end(truth: Truth, champion: NDArray[np.float64], reference_usd: float) -> Ending:
    """Return where the last champion stands."""
    rewards = truth.world.found.rewards[truth.places]
    costs = np.broadcast_to(truth.world.costs_usd, rewards.shape)
    worth = utility(np.stack([rewards, costs]), reference_usd)

    def told(by_reward: NDArray[np.intp], by_worth: NDArray[np.intp]) -> NDArray[np.float64]:
        most = worth[np.arange(by_worth.size), by_worth].mean()
        return np.array([*truth.world.earned(truth.places, by_reward).mean(axis=1), most])

    singles = [np.full(len(rewards), table.mean(axis=0).argmax()) for table in (rewards, worth)]
    oracles = [np.lexsort((costs, -rewards), axis=1)[:, 0], worth.argmax(axis=1)]
    own = np.array([*champion.mean(axis=1), utility(champion, reference_usd).mean()])
    return Ending(own, told(*singles), told(*oracles))


def describe(one: Judged) -> str:
    """Return one week in one line."""
    row, reward, worth = one.row, one.reward, one.utility
    measured = [
        in_points(*(row[f"{name}_delta{bound}"] for bound in ("", "_lower", "_upper")))
        for name in ("reward", "utility")
    ]
    return (
        f"{row['week']} {row['outcome']:<7} benchmark reward {measured[0]}, utility {measured[1]}; truth reward "
        f"{in_points(reward.mean, reward.lower, reward.upper)}, utility {in_points(worth.mean, worth.lower, worth.upper)} "
        f"{one.verdict}; {json.loads(row['reasons_json'])[0][:110]}"
    )


def in_points(mean: float, lower: float | None, upper: float | None) -> str:
    """Write an interval in points; a dash where nothing was measured."""
    return "-" if lower is None or upper is None else f"{100 * mean:+.1f} [{100 * lower:+.1f}, {100 * upper:+.1f}]"


def summarise(title: str, seeds: Sequence[Seed]) -> None:
    """Print what a setting came to over its seeds."""
    weeks = [one for seed in seeds for one in seed.weeks]
    promoted, kept_out = ([one for one in weeks if one.is_promoted == asked] for asked in (True, False))
    by_seed = ", ".join(str(sum(one.is_promoted for one in seed.weeks)) for seed in seeds)
    print(f"\n{title}: {len(seeds)} seeds, {len(weeks)} weeks; counts with 95 % Wilson intervals")
    print(f"  promoted {as_percent(len(promoted), len(weeks))}; by seed {by_seed}")
    for name, ones in (("promoted", promoted), ("not promoted", kept_out)):
        for verdict in ("better", "unsure", "worse") if ones else ():
            count = sum(one.verdict == verdict for one in ones)
            print(f"    {name}, truly {verdict:<7} {as_percent(count, len(ones))}")
    if kept_out:
        missed = [one for one in kept_out if one.utility.mean > MISSED]
        sure = sum(one.verdict == "better" for one in missed)
        print(
            f"    not promoted, by truth 1 point ahead {as_percent(len(missed), len(kept_out))}; {sure} of them surely ahead"
        )
    if promoted:
        said = 100 * np.mean([one.row["utility_delta"] for one in promoted])
        was = 100 * np.mean([one.utility.mean for one in promoted])
        least = 100 * min(one.reward.mean for one in promoted)
        print(
            f"    promoted: utility {said:+.1f} by the benchmark, {was:+.1f} by truth; least in reward {least:+.1f} points"
        )
    shares = [[*(one.champion / one.single)[:2], *one.gap_shares] for one in (seed.ending for seed in seeds)]
    names = ("best single arm's reward", "best single arm's cost", "gap in reward", "gap in utility")
    for name, values in zip(names, zip(*shares, strict=True), strict=True):
        mean, lower, upper = mean_interval(values)
        print(f"    last champion: {mean:.1%} [{lower:.1%}, {upper:.1%}] of the {name}")


def main() -> None:
    """Run what is asked for, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of routellm-mmlu/ and llmrouter-half/")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=["mmlu", "half"])
    parser.add_argument("--served", nargs="+", choices=("even", "champion"), default=["even", "champion"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shuffled", action="store_true", help="the control: outcomes dealt anew, one price")
    asked = parser.parse_args()
    for name in asked.sets:
        path = asked.data / SETS[name].folder / "outcomes.parquet"
        if not path.is_file():
            sys.exit(f"real_weeks: {path} is absent. Fix: give the folder with --data")
        for served in asked.served:
            run_setting(name, served, asked)


def run_setting(name: str, served: str, asked: argparse.Namespace) -> None:
    """Run every seed of one data set and way of serving; print each week, and what they come to."""
    title = f"{name}, served {served}{', shuffled' if asked.shuffled else ''}"
    world = read_world(SETS[name], asked.data, is_shuffled=asked.shuffled)
    seeds = []
    for number in range(asked.seeds):
        seeds.append(run_seed(world, SETS[name], served, number))
        weeks, ending = seeds[-1]
        print(f"\n{title}, seed {number}: truth on {weeks[0].reward.n:,} prompts, in points")
        print("".join(f"  {describe(one)}\n" for one in weeks), end="")
        champion, single, oracle = (f"{one[0]:.3f}" for one in ending)
        print(f"  reward of the last champion {champion}, best single arm {single}, oracle {oracle}", flush=True)
    summarise(title, seeds)


if __name__ == "__main__":
    main()
