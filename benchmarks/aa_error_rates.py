"""How often the gate promotes an A/A twin: the same recipe on the same samples with another seed, scored by the simulated world's truth.

Logs are written, ingested and cut once per world, as in ``learning_and_refusal``; week by week the product's own fit, benchmark scores and
``PromotionPolicy.evaluate`` then run on all samples up to that week, once per pair of seeds. The truth is the gate's utility on fresh
tasks of the week, asked for the first pair of each week and for every promoted one. Two seeds differ in luck alone: a twin is truly as
good on average, and a given one is a little better or worse.

Not measured: weeks of one world share their benchmark and most of their samples, so they are not independent, and the interval over pairs
is somewhat too narrow; in how many worlds there was a promotion is told beside it. Vetoes are not asked: they could only lower the share.

    python -m benchmarks.aa_error_rates [--worlds 20] [--pairs 3] [--per-week 300] [--first-seed 0]
"""

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.learning_and_refusal import FIRST_WEEK, PRICES_USD, WEEKS_PER_WORLD, as_percent, read_world
from memloop_assets.benchmarks.evaluation import ArmStatistics, reference_cost
from memloop_assets.benchmarks.suite import BenchmarkSuite
from memloop_assets.benchmarks.weekly import CHALLENGER, TWIN, score_router
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.routing.controls import fit_twin
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.simulate import World, evaluate_policy
from memloop_assets.weeks import IsoWeek

TRAINING, POLICY = TrainingSettings(), PromotionPolicy()


@dataclass(frozen=True)
class Pair:
    """One twin held against one challenger: what the gate says, on how many of the tasks they differ, and both differences in utility.

    ``seed`` is the challenger's, the twin's is the next; ``true`` is NaN where the world was not asked.
    """

    world: int
    seed: int
    outcome: str
    changed_ratio: float
    measured: float
    true: float


def compare_twins(
    world: World, samples: dict[IsoWeek, pa.Table], suite: BenchmarkSuite, pairs: int, truth_tasks: int = 2_000
) -> Iterator[Pair]:
    """Hold the twins of every week against its challengers: seed 1 against 0, 3 against 2, and so on."""
    for week in samples:
        rows = pa.concat_tables([table for of, table in samples.items() if of <= week])
        rows = rows.append_column("weight", pa.array(np.ones(rows.num_rows)))
        costs = ArmStatistics.of_samples(rows, PRICES_USD).mean_costs_usd
        challenger = fit_router(rows, PRICES_USD, TRAINING)
        unit = reference_cost(suite.tasks_of("holdout"), challenger.rule.reference_arm, costs)
        for seed in range(0, 2 * pairs, 2):
            if seed:
                challenger = fit_twin(challenger, rows, TRAINING, seed=seed)
            twin = fit_twin(challenger, rows, TRAINING, seed=seed + 1)
            decision = POLICY.evaluate(
                score_router(suite, challenger, CHALLENGER, costs), score_router(suite, twin, TWIN, costs), unit
            )
            true = math.nan
            if not seed or decision.accepted:
                worth = [true_utility(world, week, one, unit, truth_tasks) for one in (challenger, twin)]
                true = worth[1] - worth[0]
            found = decision.metrics
            changed = (found["changed_choice_count"] or 0) / (found["task_count"] or 1)
            yield Pair(world.seed, seed, decision.outcome, changed, found.get("utility_delta") or 0.0, true)


def true_utility(world: World, week: IsoWeek, router: Router, unit: float, task_count: int) -> float:
    """Return a router's true reward net of cost, as the gate weighs it, on fresh tasks of a week."""
    truth = evaluate_policy(world, week, lambda text, domain: router.choose(text, domain=domain).arm, task_count)
    return truth.reward - POLICY.cost_weight * truth.cost_usd / unit


def print_pairs(found: list[Pair]) -> None:
    """Print how often the twin was promoted, and what the differences were, measured and true, in points."""
    outcomes = Counter(one.outcome for one in found)
    measured = 100 * np.array([one.measured for one in found])
    true = 100 * np.array([one.true for one in found if not one.seed])
    promoted = [one for one in found if one.outcome == "promote"]
    told = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    print(f"{len(found)} pairs in {len({one.world for one in found})} worlds: {told}")
    print(
        f"  choices that differ        {100 * np.mean([one.changed_ratio for one in found]):.1f} % of the holdout tasks"
    )
    print(f"  measured, points           mean {measured.mean():+.2f}, standard deviation {measured.std():.2f}")
    print(f"  true, points               mean {true.mean():+.2f}, standard deviation {true.std():.2f}")
    print(
        f"  promoted                   {as_percent(len(promoted), len(found))} in {len({one.world for one in promoted})} worlds"
    )
    print(f"  promoted, truly worse      {as_percent(sum(one.true < 0 for one in promoted), len(found))}", flush=True)


def main() -> None:
    """Run all worlds, one after the other, and print the figures so far after each fifth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20, help=f"worlds of {WEEKS_PER_WORLD} weeks (default 20)")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of seeds per week (default 3)")
    parser.add_argument("--per-week", type=int, default=300, help="task attempts a week (default 300)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first world (default 0)")
    options = parser.parse_args()
    found: list[Pair] = []
    for number in range(options.worlds):
        seed = options.first_seed + number
        world = World(
            first_week=FIRST_WEEK, seed=seed, week_count=WEEKS_PER_WORLD, trajectories_per_week=options.per_week
        )
        with tempfile.TemporaryDirectory(prefix="memloop-twins-") as folder:
            samples, suite = read_world(world, Path(folder))
        found += compare_twins(world, dict(samples), suite, options.pairs)
        if number % 5 == 4 or number == options.worlds - 1:
            print_pairs(found)


if __name__ == "__main__":
    main()
