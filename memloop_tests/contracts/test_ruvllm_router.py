"""Contract rows R7 to R9 and R14 as far as they speak of the router: its sample, its objective, its tests."""

import numpy as np

from memloop_assets.datasets.tables import ROUTER_SAMPLES
from memloop_assets.datasets.weights import curriculum_weight
from memloop_assets.routing.prior import Leaving, absorb
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_tests.routing.test_training import sample, table
from memloop_tests.routing.written import KNOWN, router_predicting

ARMS = {"tiny": 0.0002, "small": 0.001, "medium": 0.004, "big": 0.02}
SIMPLE = ("convert {} inches to centimetres", "what is the capital of country number {}", "spell the number {}")
HARD = (
    "prove the lemma number {} about prime ideals",
    "derive theorem {} on martingales",
    "bound the integral number {}",
)


def requests(kinds: tuple[str, ...], count: int, earned: dict[str, float], seed: int = 0) -> list[dict]:
    """Trials of some kinds of request, each with one arm drawn at random and a reward drawn at the arm's rate."""
    random = np.random.default_rng(seed)
    arms = sorted(earned)
    rows = []
    for number in range(count):
        arm = arms[int(random.integers(len(arms)))]
        reward = float(random.random() < earned[arm])
        rows.append(sample(kinds[number % len(kinds)].format(number), arm, reward, propensity=1 / len(arms)))
    return rows


def accuracy(router: Router, kinds: tuple[str, ...], right: str) -> float:
    """Return how often a router takes the right arm on new requests of some kinds."""
    texts = [kind.format(number) for number in range(5_000, 5_060) for kind in kinds]
    return float(np.mean([router.choose(text).arm == right for text in texts]))


def test_r07_a_sample_holds_task_route_latency_cost_and_quality() -> None:
    names = {column.name for column in ROUTER_SAMPLES.columns}
    assert {"task_text", "arm", "latency_ms", "cost_usd", "reward", "propensity"} <= names
    router = fit_router(table(requests(SIMPLE, 60, dict.fromkeys(ARMS, 0.9))), ARMS)
    found = router.featuriser.transform(SIMPLE[0].format(3))
    assert found.indices.size + found.hand.size > 0


def test_r08_the_cheapest_arm_within_delta_serves_under_a_quality_floor_and_a_latency_limit() -> None:
    rewards, latencies = {"tiny": 0.30, "small": 0.79, "large": 0.80}, {"tiny": 50.0, "small": 700.0, "large": 200.0}
    costs = {"tiny": 0.0001, "small": 0.001, "large": 0.02}
    assert router_predicting(rewards, costs).choose(KNOWN).arm == "small", "prefer the cheaper arm"
    assert router_predicting({**rewards, "small": 0.5}, costs).choose(KNOWN).arm == "large", "escalate when needed"
    limited = router_predicting(rewards, costs, latencies, latency_limit_ms=500.0)
    assert limited.choose(KNOWN).arm == "large", "the cheaper one would be late"
    floored = router_predicting(rewards, costs, reward_floor=0.795)
    assert floored.choose(KNOWN).arm == "large", "quality is at least the floor"


def test_r09_a_smaller_arm_that_is_nearly_as_good_serves_and_one_that_is_much_worse_does_not() -> None:
    costs, latencies = {"small": 0.001, "large": 0.003}, {"small": 150.0, "large": 300.0}
    assert router_predicting({"small": 0.92, "large": 0.93}, costs, latencies).choose(KNOWN).arm == "small"
    costs, latencies = {"small": 0.001, "large": 0.010}, {"small": 150.0, "large": 500.0}
    assert router_predicting({"small": 0.45, "large": 0.91}, costs, latencies).choose(KNOWN).arm == "large"


def test_r09_confidence_is_higher_on_requests_like_those_seen_than_on_novel_ones() -> None:
    rows = requests(SIMPLE, 400, {"small": 0.95, "big": 0.95}) + requests(HARD, 400, {"small": 0.2, "big": 0.9}, 1)
    router = fit_router(table(rows), {"small": 0.001, "big": 0.02}, TrainingSettings(known_word_limit=0.0))
    novel = ("sing a lullaby for llamas and {} otters", "which cheese melts {} times faster", "paint {} purple zebras")

    def confidence(kinds: tuple[str, ...]) -> float:
        return float(np.mean([router.choose(kind.format(7_000 + n)).confidence for n in range(20) for kind in kinds]))

    assert confidence(SIMPLE) > confidence(novel)
    assert confidence(HARD) > confidence(novel)


def test_r09_low_confidence_falls_back_to_the_reference_arm() -> None:
    rewards = {"small": 0.81, "large": 0.80}
    unsure = router_predicting(rewards, known_word_limit=0.0, confidence_floor=0.7)
    assert unsure.choose(KNOWN).confidence >= 0.7
    assert (unsure.choose(KNOWN).arm, unsure.choose(KNOWN).is_fallback) == ("small", False)
    choice = unsure.choose(f"{KNOWN} quux zork plugh")
    assert (choice.arm, choice.is_fallback) == ("large", True)
    assert choice.confidence < 0.7


def test_r09_after_a_second_kind_of_task_the_first_is_forgotten_by_less_than_five_points() -> None:
    first = requests(SIMPLE, 400, {"small": 0.95, "big": 0.5})
    second = requests(HARD, 400, {"small": 0.1, "big": 0.9}, 1)
    settings = TrainingSettings(reference_arm="big")
    costs = {"small": 0.001, "big": 0.02}
    before, after = (fit_router(table(rows), costs, settings) for rows in (first, first + second))
    assert accuracy(after, HARD, "big") > 0.9, "without a gain on the new, not forgetting the old is no feat"
    assert accuracy(before, SIMPLE, "small") > 0.9
    assert accuracy(before, SIMPLE, "small") - accuracy(after, SIMPLE, "small") < 0.05


def test_r09_so_it_is_where_only_the_prior_is_left_of_the_first_kind() -> None:
    first = requests(SIMPLE, 400, {"small": 0.95, "big": 0.5})
    second = requests(HARD, 400, {"small": 0.1, "big": 0.9}, 1)
    settings = TrainingSettings(reference_arm="big")
    costs = {"small": 0.001, "big": 0.02}
    before, without = (fit_router(table(rows), costs, settings) for rows in (first, second))
    prior = absorb(None, before, Leaving(table(first), ("2026-W02",), "suite"), rank=64, propensity_floor=0.05)
    after = fit_router(table(second), costs, settings, prior)
    assert accuracy(after, HARD, "big") > 0.9
    assert accuracy(before, SIMPLE, "small") - accuracy(after, SIMPLE, "small") < 0.05
    assert accuracy(without, SIMPLE, "small") < 0.5, "what a refit without these rows comes to"
    frozen = fit_router(table(second), costs, settings, prior.faded(1e6))
    chances = frozen.linear.chance_table(frozen.featuriser.transform_all([HARD[0].format(5)]), [None])
    assert chances[0, frozen.arms.index("big")] < 0.8, "a prior of a huge weight forgets nothing and learns nothing"


def test_r09_after_a_hundred_simple_requests_one_of_the_two_smallest_arms_serves() -> None:
    router = fit_router(table(requests(SIMPLE, 100, dict.fromkeys(ARMS, 1.0))), ARMS)
    taken = {router.choose(kind.format(9_000 + number)).arm for number in range(20) for kind in SIMPLE}
    assert taken <= {"tiny", "small"}


def test_r14_a_hard_example_done_well_weighs_more_than_an_easy_one_and_teaches_the_router_more() -> None:
    hard, easy = curriculum_weight(0.9, 1.0, 0.85), curriculum_weight(0.2, 1.0, 0.95)
    assert hard > easy
    rows = [sample("the same request", "big", 1.0, weight=hard), sample("the same request", "big", 0.0, weight=easy)]
    router = fit_router(table(rows), {}, TrainingSettings(shrinkage_rows=0.0, min_arm_rows=1, min_task_count=1))
    assert router.predict_rewards("the same request")[0] > 0.5
