"""Whether the loop learns what is there, and refuses what is not: the simulated world with its truth, and with shuffled rewards.

Learning: `memloop demo`, sixteen weeks per seed; the last champion's true reward and cost on fresh tasks of the last week, beside the
truly best single arm's.

Refusing: worlds of eight weeks whose training samples are shuffled, the benchmark not. Over all rows: neither task nor arm tells anything
of a reward. Within each arm: each reward keeps its propensity, so every arm keeps its mean, and only the tie to the task is lost. Logs are
written, ingested and cut once per world; each setting then runs the loop's own functions from the samples on: snapshot, fit, benchmark,
gate, ledger. A promotion is *truly worse* where the world's truth says so in the gate's own utility, on fresh tasks of its week. One more
world, not shuffled, has an empty week and a failed one. Whatever is not promoted must leave the champion as it was, or the program ends.

Not measured: other prose or other drifts than this world's. Weeks of one world share benchmark and champion: they are not independent, the
interval over weeks is somewhat too narrow, and in how many worlds there was a promotion is told beside it.

    python benchmarks/learning_and_refusal.py [--weeks 200] [--seeds 5] [--parts learning refusing]
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from memloop_assets.benchmarks.evaluation import result_rows
from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import BenchmarkSuite
from memloop_assets.benchmarks.tables import BENCHMARK_RESULTS, BENCHMARK_SUITE, suite_table
from memloop_assets.benchmarks.weekly import score_week
from memloop_assets.datasets.leakage import holdout_keys
from memloop_assets.datasets.samples import build_router_samples
from memloop_assets.datasets.snapshot import build_snapshot, read_samples, read_window, window_of
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, ROUTER_SAMPLES, TEACHING_TABLES
from memloop_assets.errors import BadInput, InputFailed
from memloop_assets.home import open_home
from memloop_assets.promotion.evidence import Sources, champion_router
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.weekly import DecidedWeek, decide, record_first_decision
from memloop_assets.routing.checkpoint import load_checkpoint, save_checkpoint
from memloop_assets.routing.tables import ROUTER_CHECKPOINT, checkpoint_row
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.routing.versions import BUILT_IN, Ledger
from memloop_assets.simulate import (
    ARMS,
    INCUMBENT_ARM,
    World,
    best_single_arm_performance,
    evaluate_policy,
    write_benchmark,
    write_logs,
)
from memloop_assets.state import State
from memloop_assets.store import Provenance, Store
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.quality import RULE_NUMBER, grade_trajectory
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.trajectories.tables import TRAJECTORY_QUALITY, quality_row
from memloop_assets.weeks import IsoWeek

FIRST_WEEK = IsoWeek(2025, 2)
PRICES_USD = {name: arm.price_usd for name, arm in ARMS.items()}
RETENTION_WEEKS = 26
WEEKS_PER_WORLD = 8
DEMO_WEEKS = 16
TRUTH_TASKS = 4_000
Samples = Mapping[IsoWeek, pa.Table]


def read_world(world: World, folder: Path, task_count: int = 1_600) -> tuple[Samples, BenchmarkSuite]:
    """Write a world's logs and benchmark below a folder; return its router samples by week, read back as the loop does."""
    write_benchmark(world, folder / "benchmark.parquet", task_count)
    suite = import_long_table(folder / "benchmark.parquet", name="drawn", holdout_share=0.8)
    write_logs(world, folder / "logs")
    home = open_home(folder, {}, lambda: world.weeks[-1].end)
    for path in find_logs(folder / "logs"):
        home.landing.ingest(path, ReadOptions())
    reading, held = CutWeek(home.landing, home.settings.logs), holdout_keys(suite_table(suite))
    samples = {}
    for week in world.weeks:
        trajectories, _ = cut_week(reading, week, home.settings.arms)
        graded = (
            quality_row(row["trajectory_id"], grade_trajectory(SimpleNamespace(**row)), week, RULE_NUMBER)
            for row in trajectories.to_pylist()
        )
        samples[week], _ = build_router_samples(trajectories, TRAJECTORY_QUALITY.table(graded), held)
    home.state.close()
    return samples, suite


def shuffle_everywhere(samples: Samples, seed: int) -> Samples:
    """Deal the rewards of all weeks anew over all rows: neither task nor arm tells anything of them."""
    rng = np.random.default_rng([seed, 3])
    rewards = np.concatenate([rows["reward"].to_numpy() for rows in samples.values()])
    return _deal(samples, {"reward": rewards[rng.permutation(rewards.size)]})


def shuffle_within_arms(samples: Samples, seed: int) -> Samples:
    """Deal the rewards, each with its propensity, anew within each arm: what an arm is worth stays, for which task is lost."""
    rng = np.random.default_rng([seed, 4])
    columns = {
        name: np.concatenate([rows[name].to_numpy() for rows in samples.values()]) for name in ("reward", "propensity")
    }
    arms = np.array([arm for rows in samples.values() for arm in rows["arm"].to_pylist()])
    source = np.arange(arms.size)
    for arm in sorted(set(arms.tolist())):
        places = np.flatnonzero(arms == arm)
        source[places] = rng.permutation(places)
    return _deal(samples, {name: values[source] for name, values in columns.items()})


def _deal(samples: Samples, columns: Mapping[str, NDArray[np.float64]]) -> Samples:
    dealt, start = {}, 0
    for week, rows in samples.items():
        table = rows
        for name, values in columns.items():
            place = table.column_names.index(name)
            part = pa.array(values[start : start + rows.num_rows], pa.float64(), from_pandas=True)
            table = table.set_column(place, name, part)
        dealt[week], start = table, start + rows.num_rows
    return dealt


SHUFFLES: Mapping[str, Callable[[Samples, int], Samples]] = {
    "over all rows": shuffle_everywhere,
    "within each arm": shuffle_within_arms,
}


def open_sources(folder: Path, training: TrainingSettings, first_week: IsoWeek) -> Sources:
    """Return a new home's evidence, with the world's prices."""
    ledger = Ledger(State(folder / "state.sqlite"))
    return Sources(Store(folder / "tables"), ledger, folder / "routers", PRICES_USD, training, first_week)


def decide_weeks(
    samples: Mapping[IsoWeek, pa.Table | None], suite: BenchmarkSuite, sources: Sources
) -> Iterator[DecidedWeek]:
    """Run the loop from the samples on, week by week; None stands for samples that failed.

    Raises RuntimeError where a week that is not promoted moves the champion.
    """
    store, policy = sources.store, PromotionPolicy()
    store.publish(BENCHMARK_SUITE, None, suite_table(suite), Provenance())
    for week, rows in samples.items():
        try:
            _learn_week(week, rows, suite, sources)
        except InputFailed as error:
            for contract in (DATASET_SNAPSHOT, ROUTER_CHECKPOINT, BENCHMARK_RESULTS):
                store.record_failure(contract.name, week, error)
        before = sources.ledger.champion_as_of(week)
        decided = decide(week, sources, policy, week.end)
        published = store.publish(PROMOTION_DECISION, week, PROMOTION_DECISION.table([decided.row]), Provenance())
        record_first_decision(decided, sources, published.generation, week.end)
        after = sources.ledger.champion_as_of(week.shift(1))
        if after != (decided.row["challenger"] if decided.decision.accepted else before):
            message = f"{week}: {decided.decision.outcome} took the champion from {before} to {after}"
            raise RuntimeError(message)
        yield decided


def _learn_week(week: IsoWeek, rows: pa.Table | None, suite: BenchmarkSuite, sources: Sources) -> None:
    """Publish a week's samples, snapshot, challenger and benchmark results; raises InputFailed where the samples did."""
    store, made, suite_rows = sources.store, Provenance(), suite_table(suite)
    if rows is None:
        failure = BadInput(f"router_samples {week}", "made to fail", "this is a trial")
        store.record_failure(ROUTER_SAMPLES.name, week, failure)
    else:
        store.publish(ROUTER_SAMPLES, week, rows, made)
    for contract in TEACHING_TABLES:
        if contract is not ROUTER_SAMPLES:
            store.publish(contract, week, contract.table([]), made)
    examples, inputs, _ = read_window(store, window_of(week, sources.first_week, RETENTION_WEEKS))
    snapshot, _ = build_snapshot(week, examples, holdout_keys(suite_rows))
    store.publish(
        DATASET_SNAPSHOT, week, snapshot, Provenance({**inputs, **store.input_of(BENCHMARK_SUITE.name, None)})
    )
    retained = read_samples(store, week)
    challenger = fit_router(retained, sources.prices_usd, sources.training)
    save_checkpoint(challenger, sources.router_versions)
    row = checkpoint_row(challenger, week, retained.num_rows)
    learned = Provenance(store.input_of(DATASET_SNAPSHOT.name, week))
    store.publish(ROUTER_CHECKPOINT, week, ROUTER_CHECKPOINT.table([row]), learned)
    scores = score_week(suite, challenger, retained, sources.prices_usd, sources.training)
    scored = {**store.input_of(ROUTER_CHECKPOINT.name, week), **store.input_of(BENCHMARK_SUITE.name, None)}
    store.publish(BENCHMARK_RESULTS, week, result_rows(scores, suite.tasks_of("holdout"), week), Provenance(scored))


def passes_thresholds(decided: DecidedWeek) -> bool:
    """Tell whether a gate of thresholds on means alone (contract row M2, at their defaults) would have promoted."""
    found, policy = decided.decision.metrics, PromotionPolicy()
    reward, errors = found.get("reward_delta"), found.get("error_rate_increase")
    if reward is None or errors is None or not found["changed_choice_count"]:
        return False
    return reward >= policy.min_reward_delta and errors <= policy.max_error_rate_increase


def is_truly_better(world: World, decided: DecidedWeek, sources: Sources) -> bool:
    """Tell whether the world's truth has the challenger ahead of the champion in the gate's utility, in the week of the decision."""
    week, retained = decided.week, read_samples(sources.store, decided.week)
    worth = []
    for version in (decided.found.champion_version, str(decided.row["challenger"])):
        router = champion_router(version, week, sources, retained)
        truth = evaluate_policy(world, week, lambda text, domain, router=router: router.choose(text, domain=domain).arm)  # type: ignore[misc]
        weighed = PromotionPolicy().cost_weight * truth.cost_usd / (decided.found.compared.reference_cost_usd or 1.0)
        worth.append(truth.reward - weighed)
    return worth[1] > worth[0]


@dataclass
class Tally:
    """What a setting came to over all its worlds; ``by_thresholds``: promotions of a gate of thresholds on means alone."""

    outcomes: Counter[str] = field(default_factory=Counter)
    promoted_worlds: int = 0
    truly_worse: int = 0
    by_thresholds: int = 0

    def add(self, world: World, samples: Samples, suite: BenchmarkSuite, training: TrainingSettings) -> None:
        """Run one world and count its weeks."""
        before = self.outcomes["promote"]
        with tempfile.TemporaryDirectory(prefix="memloop-control-") as folder:
            sources = open_sources(Path(folder), training, world.first_week)
            for decided in decide_weeks(samples, suite, sources):
                self.outcomes[decided.decision.outcome] += 1
                self.by_thresholds += passes_thresholds(decided)
                if decided.decision.accepted:
                    self.truly_worse += not is_truly_better(world, decided, sources)
        self.promoted_worlds += self.outcomes["promote"] > before


SETTINGS = {
    "over all rows, reference arm by training": ("over all rows", TrainingSettings()),
    "over all rows, reference arm configured": ("over all rows", TrainingSettings(reference_arm=INCUMBENT_ARM)),
    "within each arm, reference arm by training": ("within each arm", TrainingSettings()),
}


def measure_refusal(weeks: int) -> None:
    """Run and print every shuffled setting over the same worlds, and the world with broken weeks."""
    world_count = -(-weeks // WEEKS_PER_WORLD)
    tallies = {name: Tally() for name in SETTINGS}
    for seed in range(world_count):
        world = World(first_week=FIRST_WEEK, seed=seed, week_count=WEEKS_PER_WORLD)
        with tempfile.TemporaryDirectory(prefix="memloop-control-") as folder:
            samples, suite = read_world(world, Path(folder))
        if not seed:
            print_broken_weeks(world, samples, suite)
        for name, (shuffle, training) in SETTINGS.items():
            tallies[name].add(world, SHUFFLES[shuffle](samples, seed), suite, training)
    print(f"\nRefusing: rewards shuffled, {world_count} worlds of {WEEKS_PER_WORLD} weeks; 95 % Wilson intervals")
    for name, tally in tallies.items():
        count = tally.outcomes.total()
        print(f"  {name}: {count} weeks, {', '.join(f'{n} {what}' for what, n in tally.outcomes.most_common())}")
        promoted = tally.outcomes["promote"]
        print(
            f"    promoted                 {as_percent(promoted, count)} in {tally.promoted_worlds} worlds; at most 5 %"
        )
        print(f"    promoted, truly worse    {as_percent(tally.truly_worse, count)}")
        print(f"    by thresholds on means   {as_percent(tally.by_thresholds, count)}", flush=True)


def print_broken_weeks(world: World, samples: Samples, suite: BenchmarkSuite) -> None:
    """Print the decisions of a world as it is, but with nothing in the third week and failed samples in the fifth."""
    broken: dict[IsoWeek, pa.Table | None] = dict(samples)
    broken[world.weeks[2]] = samples[world.weeks[2]].slice(0, 0)
    broken[world.weeks[4]] = None
    with tempfile.TemporaryDirectory(prefix="memloop-control-") as folder:
        sources = open_sources(Path(folder), TrainingSettings(), world.first_week)
        outcomes = [decided.decision.outcome for decided in decide_weeks(broken, suite, sources)]
    print(f"\nAn empty third week, a failed fifth: {', '.join(outcomes)}; only promotions moved the champion")


def as_percent(count: int, trials: int) -> str:
    """Write a count with its share and 95 % Wilson interval in percent."""
    share = wilson_interval(count, trials)
    return f"{count:>3} = {100 * share.mean:4.1f} % [{100 * share.lower:.1f}, {100 * share.upper:.1f}]"


def measure_learning(seeds: int) -> None:
    """Run the demo seed by seed and print what its last champion is truly worth. Ends the program where a demo fails."""
    last = FIRST_WEEK.shift(DEMO_WEEKS - 1)
    print(f"Learning: the demo's world, {DEMO_WEEKS} weeks; the last champion on fresh tasks of {last}")
    kept_count = 0
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="memloop-learning-") as folder:
            command = [str(Path(sys.executable).with_name("memloop")), "--home", folder, "demo"]
            options = ["--weeks", str(DEMO_WEEKS), "--last-week", str(last), "--seed", str(seed)]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)  # noqa: S603 — memloop
            if done.returncode:
                sys.exit(f"memloop demo failed:\n{done.stdout}{done.stderr}")
            world = World(first_week=FIRST_WEEK, week_count=DEMO_WEEKS, seed=seed)
            reward, cost, points, outcomes = _true_shares(world, Path(folder))
        is_kept = (reward >= 0.98 and cost <= 0.60) or (points >= 3.0 and cost <= 1.0)
        kept_count += is_kept
        print(
            f"  seed {seed}: {reward:.1%} of the best single arm's true reward ({points:+.1f} points) at {cost:.1%} of its "
            f"cost: {'kept' if is_kept else 'missed'}; {outcomes}",
            flush=True,
        )
    share = as_percent(kept_count, seeds)
    print(f"  at least 98 % at no more than 60 % of the cost, or 3 points more at no more cost: {share} of the seeds")


def _true_shares(world: World, folder: Path) -> tuple[float, float, float, str]:
    """Return the last champion's share of the best single arm's true reward and cost, its lead in points, and the outcomes."""
    home = open_home(folder / "data" / "demo", {}, lambda: datetime.now(tz=UTC))
    rows, last = home.ledger.rows(), world.weeks[-1]
    moved = [row.week for row in rows if row.action != "promote" and row.to_version != row.from_version]
    if moved or len(rows) != world.week_count:
        sys.exit(f"{len(rows)} decisions for {world.week_count} weeks; weeks that moved the champion wrongly: {moved}")
    outcomes = ", ".join(f"{count} {what}" for what, count in Counter(row.action for row in rows).most_common())
    version = home.ledger.champion_as_of()
    _, best = best_single_arm_performance(world, last, TRUTH_TASKS)
    if version == BUILT_IN:
        return 1.0, 1.0, 0.0, f"the built-in champion stayed: {outcomes}"
    router = load_checkpoint(home.places.router_versions, version)
    truth = evaluate_policy(world, last, lambda text, domain: router.choose(text, domain=domain).arm, TRUTH_TASKS)
    return truth.reward / best.reward, truth.cost_usd / best.cost_usd, 100 * (truth.reward - best.reward), outcomes


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=200, help="shuffled weeks per setting (default 200)")
    parser.add_argument("--seeds", type=int, default=5, help="demo worlds to learn from (default 5)")
    parser.add_argument("--parts", nargs="+", choices=("learning", "refusing"), default=["learning", "refusing"])
    options = parser.parse_args()
    if "learning" in options.parts:
        measure_learning(options.seeds)
    if "refusing" in options.parts:
        measure_refusal(options.weeks)


if __name__ == "__main__":
    main()
