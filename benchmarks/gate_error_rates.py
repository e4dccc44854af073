"""How often the gate errs: false promotions, power, what the vetoes cost, and eight looks at one challenger, by simulation.

Runs the product's own ``PromotionPolicy.evaluate`` with its default values on drawn, seeded benchmark scores; beside it
the older rule, a threshold on a mean. Prints four tables with 95 % Wilson intervals.

    python benchmarks/gate_error_rates.py [--simulations 2000] [--seed 0]
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.vetoes import Rivals

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


def count_with_vetoes(
    scenario: Scenario, task_count: int, simulations: int, seed: int
) -> tuple[int, int, Counter[str]]:
    """Return how often the bounds alone promote, how often they do with vetoes, and which veto was raised how often then.

    Beside the challenger stand: the champion's own arm as best single arm, a cheap arm that answers 62 %, a table by task
    that is 2 points better than the champion, a control on shuffled rewards that is 1 point worse, the expectation of the
    challenger's arm shares at random (half champion, half an arm of 66 %), five strata with the same true difference, and
    predictions of one quality for champion and challenger.
    """
    rng = np.random.default_rng([seed, 3, task_count, *scenario.name.encode()])
    plain = vetoed = 0
    raised: Counter[str] = Counter()
    for number in range(simulations):
        champion, challenger = draw_scores(scenario, task_count, rng)
        expected = BASELINE_REWARD + rng.normal(0.0, 0.05, (2, task_count))
        champion = replace(champion, predicted_rewards=expected[0])
        challenger = replace(challenger, predicted_rewards=expected[1] + scenario.reward_delta)
        other = (rng.random(task_count) < 0.66).astype(np.float64)
        rivals = Rivals(
            baselines=(
                replace(champion, policy="best-single-arm"),
                _independent("cheapest-arm", champion, 0.62, 0.2, rng),
                _beside(champion, "task-mean", 0.02, rng),
            ),
            chance=replace(
                champion, policy="chance", arms=(None,) * task_count, rewards=(champion.rewards + other) / 2
            ),
            shuffled=_beside(champion, "shuffled-control", -0.01, rng),
            strata={task_id: str(place % 5) for place, task_id in enumerate(champion.task_ids)},
        )
        decision = PromotionPolicy(seed=number).evaluate(champion, challenger, 1.0, rivals=rivals)
        is_vetoed = decision.outcome == "reject" and decision.reasons[0].startswith("Both bounds hold")
        plain += decision.accepted or is_vetoed
        vetoed += decision.accepted
        if is_vetoed:
            raised.update({one.name.split()[0] for one in decision.findings if one.is_against})
    return plain, vetoed, raised


def _independent(name: str, like: PolicyScores, reward: float, cost: float, rng: np.random.Generator) -> PolicyScores:
    n = len(like.task_ids)
    drawn = (rng.random(n) < reward).astype(np.float64)
    return replace(like, policy=name, arms=(name,) * n, rewards=drawn, costs_usd=np.full(n, cost))


def _beside(like: PolicyScores, name: str, delta: float, rng: np.random.Generator) -> PolicyScores:
    """Draw a policy that differs from another on 12 % of the tasks, with this true difference."""
    n = len(like.task_ids)
    rewards = like.rewards.copy()
    changed = rng.random(n) < 0.24
    rewards[changed] = rng.random(int(changed.sum())) < BASELINE_REWARD + delta / 0.24
    return replace(like, policy=name, arms=(name,) * n, rewards=rewards)


def count_over_looks(looks: int, tasks_per_look: int, simulations: int, seed: int) -> tuple[int, int]:
    """Return how often an equal challenger is promoted at any of some looks: with planned looks, and with the plain bound."""
    rng = np.random.default_rng([seed, looks, tasks_per_look])
    planned, plain = PromotionPolicy(planned_looks=looks, resamples=400), PromotionPolicy(resamples=400)
    by_planned = by_plain = 0
    for _ in range(simulations):
        champion, challenger = draw_scores(EQUAL, looks * tasks_per_look, rng)
        so_far = [
            (_first(champion, k * tasks_per_look), _first(challenger, k * tasks_per_look)) for k in range(1, looks + 1)
        ]
        by_planned += any(planned.evaluate(a, b, 1.0, look=k).accepted for k, (a, b) in enumerate(so_far, start=1))
        by_plain += any(plain.evaluate(a, b, 1.0).accepted for a, b in so_far)
    return by_planned, by_plain


def _first(scores: PolicyScores, count: int) -> PolicyScores:
    kept = slice(count)
    return PolicyScores(
        scores.policy,
        scores.task_ids[kept],
        scores.arms[kept],
        scores.rewards[kept],
        scores.costs_usd[kept],
        scores.latencies_ms[kept],
    )


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

    print_power(simulations, options.seed)
    print_vetoes(simulations, options.seed)
    looks = max(200, simulations // 4)
    by_planned, by_plain = count_over_looks(8, 125, looks, options.seed)
    print(f"\nAn equal challenger looked at 8 times, 125 tasks more each time, % of {looks:,} [95 % interval]")
    print(
        f"planned_looks = 8: {as_percent(by_planned, looks)}    the plain bound at each look: {as_percent(by_plain, looks)}"
    )


def print_power(simulations: int, seed: int) -> None:
    """Print how often the bounds promote true differences."""
    sizes = (500, 1000, 2000)
    print(f"\nPromotions by the bounds, % of {simulations:,} [95 % interval]; rewards differ on 12 % of tasks")
    print(f"{'the challenger is truly':<32}" + "".join(f"{f'{size:,} tasks':>22}" for size in sizes))
    for scenario in POWER:
        counts = [count_promotions(scenario, size, simulations, seed)[0] for size in sizes]
        print(f"{scenario.name:<32}" + "".join(f"{as_percent(count, simulations):>22}" for count in counts), flush=True)


def print_vetoes(simulations: int, seed: int) -> None:
    """Print what the vetoes cost a good challenger, and an equal one, in promotions."""
    print(f"\nWhat the vetoes cost, % of {simulations:,} [95 % interval], 500 tasks; rewards differ on 12 % of tasks")
    print(f"{'the challenger is truly':<32}{'the bounds alone':>22}{'with vetoes':>22}   vetoes raised then")
    for scenario in (POWER[1], POWER[0]):
        plain, vetoed, raised = count_with_vetoes(scenario, 500, simulations, seed)
        told = ", ".join(f"{name} {count}" for name, count in raised.most_common()) or "none"
        print(
            f"{scenario.name:<32}{as_percent(plain, simulations):>22}{as_percent(vetoed, simulations):>22}   {told}",
            flush=True,
        )


if __name__ == "__main__":
    main()
