"""Contract row R26: regret in quality, latency and cost, and the saving, of a router that learned from its own logs.

The origin prints these figures from a formula. Here the product's router is fitted on single-route logs of a world whose
truth is known, and scored by that truth on requests that it never saw. The row's write-back rate belongs to the memory.
"""

from functools import cache

import numpy as np
import pyarrow as pa

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.regret import Regret, oracle_gap_share, regret_against
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.tasks import task_key

COSTS = {"large-model": 0.02, "small-model": 0.001}
LATENCIES = {"large-model": 1500.0, "small-model": 300.0}
ASKS = {
    "refund": "Please refund the {thing} of order {number}, it arrived broken",
    "invoice": "Send the invoice of order {number} for the {thing} once more",
    "opening": "When does the shop near {number} Mill Road open for a {thing}",
    "contract": "Which clause {number} of the lease forbids a {thing} on the balcony",
    "proof": "Prove that a graph of {number} nodes, each a {thing}, has an even cycle",
}
THINGS = ("kettle", "lamp", "bicycle", "barbecue", "piano", "parasol", "ladder", "carpet")
HARD = {"contract", "proof"}

# Wider than the default of 0.02: the predictions' noise alone would otherwise keep a small model that loses one point out.
MARGIN = 0.1
# The origin's scale of quality runs from 1 to 5, the reward from 0 to 1.
QUALITY_REGRET_LIMIT = 0.1 / 4


def true_reward(topic: str, arm: str) -> float:
    """Return the expected reward: the small model fails at what is hard and is a little worse at the rest."""
    return 0.9 if arm == "large-model" else 0.4 if topic in HARD else 0.89


def draw_requests(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw topics and texts."""
    topics = rng.choice(list(ASKS), size=count)
    return [
        (str(topic), ASKS[str(topic)].format(thing=rng.choice(THINGS), number=rng.integers(2, 10_000)))
        for topic in topics
    ]


def scores_by_truth(name: str, topics: list[str], arms: list[str]) -> PolicyScores:
    """Score choices by what they are truly worth."""
    return PolicyScores(
        name,
        tuple(f"task-{number}" for number in range(len(topics))),
        tuple(arms),
        np.array([true_reward(topic, arm) for topic, arm in zip(topics, arms, strict=True)]),
        np.array([COSTS[arm] for arm in arms]),
        np.array([LATENCIES[arm] for arm in arms]),
    )


@cache
def scored() -> tuple[tuple[str, ...], dict[str, PolicyScores]]:
    """Fit the router on 4,000 logged requests of one arm each, and score it and its comparators on 1,500 others."""
    rng = np.random.default_rng(26)
    rows = []
    for number, (topic, text) in enumerate(draw_requests(4000, rng)):
        arm = str(rng.choice(list(COSTS)))
        reward = float(rng.random() < true_reward(topic, arm))
        facts = {"example_id": f"example-{number:05}", "task_key": task_key(text), "task_text": text, "domain": None}
        measured = {"reward": reward, "cost_usd": COSTS[arm], "latency_ms": LATENCIES[arm]}
        rows.append({**facts, "arm": arm, **measured, "propensity": 0.5, "weight": 1.0})
    router = fit_router(pa.Table.from_pylist(rows), COSTS, TrainingSettings(delta=MARGIN))
    taught = {row["task_key"] for row in rows}
    asked = [(topic, text) for topic, text in draw_requests(1500, rng) if task_key(text) not in taught]
    topics = [topic for topic, _ in asked]
    chosen = {
        "challenger": [router.choose(text).arm for _, text in asked],
        "oracle": [max(COSTS, key=lambda arm: true_reward(topic, arm)) for topic in topics],
        "frugal": ["large-model" if topic in HARD else "small-model" for topic in topics],
        "always-big": ["large-model"] * len(topics),
        "always-small": ["small-model"] * len(topics),
    }
    keys = tuple(task_key(text) for _, text in asked)
    return keys, {name: scores_by_truth(name, topics, arms) for name, arms in chosen.items()}


def regret_of(name: str, comparator: str) -> Regret:
    keys, scores = scored()
    return regret_against(scores[name], scores[comparator], keys)


def test_r26_quality_regret_beside_the_oracle_is_under_a_tenth_of_a_point_of_five() -> None:
    assert regret_of("challenger", "oracle").reward.upper < QUALITY_REGRET_LIMIT
    assert regret_of("always-small", "oracle").reward.lower > QUALITY_REGRET_LIMIT


def test_r26_latency_regret_is_under_50_ms_and_cost_regret_under_a_tenth() -> None:
    # beside who serves the cheapest arm that is as good but for a point
    regret = regret_of("challenger", "frugal")
    assert regret.latency_ms.upper < 50.0
    assert regret.cost_ratio.upper < 0.1
    dear = regret_of("always-big", "frugal")
    assert dear.latency_ms.lower > 50.0
    assert dear.cost_ratio.lower > 0.1


def test_r26_costs_half_of_always_serving_the_big_model() -> None:
    assert regret_of("challenger", "always-big").cost_ratio.upper < -0.5
    assert regret_of("challenger", "always-big").reward.upper < QUALITY_REGRET_LIMIT


def test_r26_regret_and_the_share_of_the_gap_are_two_views_of_one_thing() -> None:
    keys, scores = scored()
    share = oracle_gap_share(scores["challenger"], scores["always-small"], scores["oracle"], keys)
    gap = regret_of("always-small", "oracle").reward.mean
    assert abs(share.mean - (1.0 - regret_of("challenger", "oracle").reward.mean / gap)) < 1e-12
