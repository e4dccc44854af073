"""How often a canary is ended, promoted or left undecided, by simulation with known truth.

Runs the product's own ``judge_canary`` with the default policy week after week, as the loop does, on drawn sessions: one trial and
on average one more, rewards of 0 and 1, a chance of success that varies from session to session (correlation 0.2 within one),
log-normal latencies that share half of their variance within a session. The canary serves 10 % of the sessions. Prints
percentages with 95 % Wilson intervals. It does not measure traffic whose sides differ, nor outcomes that are missing.

    python benchmarks/canary_error_rates.py [--simulations 500] [--seed 0]
"""

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np

from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.promotion.canary import Served, judge_canary
from memloop_assets.promotion.policy import PromotionPolicy

CORRELATION = 0.2
LATENCY_MS = 800.0
OUTCOMES = ("reject", "promote", "undecided")


@dataclass(frozen=True)
class Scenario:
    """What the champion truly earns, and what the canary does on top: in reward, and in latency as a factor."""

    name: str
    champion_reward: float = 0.9
    reward_delta: float = 0.0
    slower: float = 1.0


SCENARIOS = (
    Scenario("equal"),
    Scenario("equal, champion at 0.97", 0.97),
    Scenario("2 points worse", reward_delta=-0.02),
    Scenario("3 points worse (the limit)", reward_delta=-0.03),
    Scenario("3 points worse, champion at 0.97", 0.97, -0.03),
    Scenario("5 points worse", reward_delta=-0.05),
    Scenario("2 points better", reward_delta=0.02),
    Scenario("equal and 20 % slower", slower=1.2),
)


def draw_served(session_count: int, reward: float, slower: float, rng: np.random.Generator, first: int = 0) -> Served:
    """Draw what one router serves: sessions of correlated trials with this true mean reward; ``first`` numbers the sessions on."""
    trials = 1 + rng.poisson(1.0, session_count)
    spread = (1.0 - CORRELATION) / CORRELATION
    chances = np.repeat(rng.beta(reward * spread, (1.0 - reward) * spread, session_count), trials)
    rewards = (rng.random(chances.size) < chances).astype(np.float64)
    noise = 0.3 * np.repeat(rng.normal(size=session_count), trials) + 0.3 * rng.normal(size=chances.size)
    keys = np.repeat(np.arange(first, first + session_count), trials)
    return Served(keys, rewards, 1.0 - rewards, slower * LATENCY_MS * np.exp(noise))


def join(earlier: Served | None, later: Served) -> Served:
    """Return the trials of several weeks as one."""
    if earlier is None:
        return later
    return Served(
        np.concatenate([earlier.sessions, later.sessions]),
        np.concatenate([earlier.rewards, later.rewards]),
        np.concatenate([earlier.failures, later.failures]),
        np.concatenate([earlier.latencies_ms, later.latencies_ms]),
    )


def run_canary(scenario: Scenario, weekly_sessions: int, policy: PromotionPolicy, rng: np.random.Generator) -> str:
    """Return how one canary ends that serves so many sessions a week."""
    control: Served | None = None
    canary: Served | None = None
    others = round(weekly_sessions * (1.0 - policy.canary_share) / policy.canary_share)
    for week in range(policy.canary_weeks):
        control = join(control, draw_served(others, scenario.champion_reward, 1.0, rng, week * others))
        reward = scenario.champion_reward + scenario.reward_delta
        canary = join(canary, draw_served(weekly_sessions, reward, scenario.slower, rng, week * weekly_sessions))
        outcome = judge_canary(control, canary, policy).outcome
        if outcome != "hold":
            return outcome
    return "undecided"


def as_percent(count: int, simulations: int) -> str:
    """Write a share with its 95 % Wilson interval in percent."""
    share = wilson_interval(count, simulations)
    return f"{100 * share.mean:.1f} [{100 * share.lower:.1f}, {100 * share.upper:.1f}]"


def main() -> None:
    """Run all scenarios and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500, help="canaries per cell (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole table (default 0)")
    options = parser.parse_args()
    policy = PromotionPolicy()
    print(f"% of {options.simulations:,} canaries [95 % interval], up to {policy.canary_weeks} weeks each")
    print(f"{'the canary is truly':<34}{'its sessions a week':>20}" + "".join(f"{name:>20}" for name in OUTCOMES))
    for scenario in SCENARIOS:
        for weekly in (50, 200, 800):
            rng = np.random.default_rng([options.seed, weekly, *scenario.name.encode()])
            ends = Counter(run_canary(scenario, weekly, policy, rng) for _ in range(options.simulations))
            shares = "".join(f"{as_percent(ends[name], options.simulations):>20}" for name in OUTCOMES)
            print(f"{scenario.name:<34}{weekly:>20}{shares}", flush=True)


if __name__ == "__main__":
    main()
