"""How often the gate errs: false promotions of an equal challenger, and power for true differences, by simulation.

Runs the product's own ``PromotionPolicy.evaluate`` with its default values on drawn, seeded benchmark scores; beside it
the older rule, a threshold on a mean. Prints two tables with 95 % Wilson intervals.

    python benchmarks/gate_error_rates.py [--simulations 2000] [--seed 0]
"""

import argparse
from dataclasses import dataclass

import numpy as np

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.promotion.policy import PromotionPolicy

BASELINE_REWARD = 0.7
THRESHOLD = 0.01


@dataclass(frozen=True)
class Scenario:
    """A true difference between two policies with binary rewards.

    ``discordance`` d: share of tasks on which their rewards differ; ``reward_delta`` in [-d, d]: the true mean
    difference; ``cost_ratio``: what the challenger costs per task, where champion and reference arm cost 1.
    """

    name: str
    discordance: float
    reward_delta: float = 0.0
    cost_ratio: float = 1.0


# Reward 0.7 for both, 60 % of the answers identical, the others independent: 0.4 * 2 * 0.7 * 0.3 of the tasks differ.
EQUAL = Scenario("equal", discordance=0.168)
POWER = (
    Scenario("equal", 0.12),
    Scenario("4 points better", 0.12, reward_delta=0.04),
    Scenario("equal and 20 % cheaper", 0.12, cost_ratio=0.8),
    Scenario("equal and 50 % cheaper", 0.12, cost_ratio=0.5),
    Scenario("2 points worse", 0.12, reward_delta=-0.02),
    Scenario("3 points worse and 50 % cheaper", 0.12, reward_delta=-0.03, cost_ratio=0.5),
)


def draw_scores(scenario: Scenario, task_count: int, rng: np.random.Generator) -> tuple[PolicyScores, PolicyScores]:
    """Draw the scores of a champion and a challenger on the same tasks."""
    better = (scenario.discordance + scenario.reward_delta) / 2
    worse = (scenario.discordance - scenario.reward_delta) / 2
    differences = rng.choice([1.0, -1.0, 0.0], p=[better, worse, 1 - better - worse], size=task_count)
    tied = (rng.random(task_count) < BASELINE_REWARD).astype(np.float64)
    champion = np.where(differences == 0.0, tied, (1.0 - differences) / 2)
    ids = tuple(f"t{number:06d}" for number in range(task_count))
    unknown = np.full(task_count, np.nan)
    costs = np.ones(task_count)
    return (
        PolicyScores("champion", ids, ("old",) * task_count, champion, costs, unknown),
        PolicyScores(
            "challenger", ids, ("new",) * task_count, champion + differences, costs * scenario.cost_ratio, unknown
        ),
    )


def count_promotions(scenario: Scenario, task_count: int, simulations: int, seed: int) -> tuple[int, int]:
    """Return how often the gate, and how often a mean of at least +0.01 alone, promotes the challenger."""
    rng = np.random.default_rng([seed, task_count, *scenario.name.encode()])
    by_gate = by_threshold = 0
    for number in range(simulations):
        champion, challenger = draw_scores(scenario, task_count, rng)
        decision = PromotionPolicy(seed=number).evaluate(champion, challenger, reference_cost_usd=1.0)
        by_gate += decision.accepted
        by_threshold += float(np.mean(challenger.rewards - champion.rewards)) >= THRESHOLD - 1e-9
    return by_gate, by_threshold


def as_percent(count: int, simulations: int) -> str:
    """Write a share with its 95 % Wilson interval in percent."""
    share = wilson_interval(count, simulations)
    return f"{100 * share.mean:5.1f} [{100 * share.lower:4.1f}, {100 * share.upper:5.1f}]"


def main() -> None:
    """Run both simulations and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="drawn benchmarks per cell (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole table (default 0)")
    options = parser.parse_args()
    simulations: int = options.simulations

    drawn = f"% of {simulations:,} [95 % interval]"
    print(f"False promotions of an equal challenger, {drawn}; rewards differ on 16.8 % of tasks")
    print(f"{'tasks':>6}  {'the gate':>20}  {'mean of at least +1 point alone':>32}")
    for task_count in (100, 400, 1000):
        by_gate, by_threshold = count_promotions(EQUAL, task_count, simulations, options.seed)
        print(
            f"{task_count:>6}  {as_percent(by_gate, simulations):>20}  {as_percent(by_threshold, simulations):>32}",
            flush=True,
        )

    sizes = (500, 1000, 2000)
    print(f"\nPromotions by the gate, {drawn}; rewards differ on 12 % of tasks")
    print(f"{'the challenger is truly':<32}" + "".join(f"{f'{size:,} tasks':>22}" for size in sizes))
    for scenario in POWER:
        counts = [count_promotions(scenario, size, simulations, options.seed)[0] for size in sizes]
        print(f"{scenario.name:<32}" + "".join(f"{as_percent(count, simulations):>22}" for count in counts), flush=True)


if __name__ == "__main__":
    main()
