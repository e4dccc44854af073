"""The rule's finer points: latency, confidence, exploration with its exact probabilities."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.routing.choosing import ChoiceRule, Pick, Prospect, explore, pick_arm
from memloop_tests.routing.written import KNOWN, router_predicting

RULE = ChoiceRule("large", delta=0.02, reward_floor=0.1, known_word_limit=0.5)
LATENCIES = {"large": 900.0, "medium": 400.0, "small": 200.0}


def prospect(
    arm: str, reward: float, cost_usd: float, *, latency_ms: float = 100.0, confidence: float = 1.0
) -> Prospect:
    return Prospect(arm, reward, cost_usd, latency_ms, confidence)


def test_an_arm_over_the_latency_limit_is_left_out_even_where_it_is_the_reference_arm() -> None:
    rewards = {"small": 0.5, "medium": 0.79, "large": 0.8}
    limited = router_predicting(rewards, latencies_ms=LATENCIES, latency_limit_ms=500.0)
    assert limited.choose(KNOWN).arm == "medium", "good enough against the reference arm, which is too slow to serve"
    choice = limited.choose("quux zork")
    assert (choice.arm, choice.is_fallback) == ("medium", True)
    assert choice.reason.startswith("the reference arm large is not available")


def test_where_every_arm_is_too_slow_the_fastest_serves_and_says_so() -> None:
    router = router_predicting({"small": 0.5, "large": 0.8}, latencies_ms=LATENCIES, latency_limit_ms=50.0)
    choice = router.choose(KNOWN)
    assert (choice.arm, choice.is_fallback) == ("small", True)
    assert choice.reason == "every arm is slower than 50 ms; the fastest serves"


def test_an_arm_of_unknown_latency_is_not_held_to_be_slow() -> None:
    assert router_predicting({"small": 0.8, "large": 0.8}, latency_limit_ms=1.0).choose(KNOWN).arm == "small"


def test_low_confidence_in_the_cheaper_arm_or_the_reference_arm_falls_back() -> None:
    for large_confidence, small_confidence in ((0.9, 0.6), (0.6, 0.9)):
        large = prospect("large", 0.8, 2.0, confidence=large_confidence)
        small = prospect("small", 0.83, 1.0, confidence=small_confidence)
        for floor, arm in ((0.6, "small"), (0.61, "large")):
            picked = pick_arm(replace(RULE, confidence_floor=floor), [large, small], large, None)
            assert (picked.prospect.arm, picked.is_fallback) == (arm, arm == "large")
    assert picked.reason == "confidence 0.60 in small is under 0.61: the reference arm serves"


def test_a_text_of_unknown_words_is_less_certain_than_one_of_known_words() -> None:
    router = router_predicting({"small": 0.82, "large": 0.8}, known_word_limit=0.0)
    assert router.choose(KNOWN).confidence == 1.0
    assert router.choose(f"{KNOWN} quux zork plugh").confidence == pytest.approx(1 - np.sqrt(3 / 4))
    assert router.choose("quux").confidence == 0.0


def test_without_a_draw_nothing_explores_and_with_one_the_propensities_are_the_true_frequencies() -> None:
    rewards = {"small": 0.8, "medium": 0.9, "large": 0.81, "poor": 0.3}
    router = router_predicting(rewards, {**dict.fromkeys(rewards, 1.0), "small": 0.1}, exploration_ratio=0.3)
    plain = router.choose(KNOWN)
    assert (plain.arm, plain.propensity, plain.is_exploration) == ("small", 1.0, False)
    choices = [router.choose(KNOWN, draw=(step + 0.5) / 1_000) for step in range(1_000)]
    served = Counter(choice.arm for choice in choices)
    assert served == {"small": 800, "medium": 100, "large": 100}, "the two best predicted others, and never the fourth"
    for choice in choices:
        assert choice.propensity == pytest.approx(served[choice.arm] / 1_000)
        assert choice.is_exploration == (choice.arm != "small")
    explored = next(choice for choice in choices if choice.arm == "medium")
    assert explored.reason.startswith("explored instead of small (cheapest of")
    assert explored.predicted_reward == pytest.approx(0.9)


def test_a_fallback_never_explores() -> None:
    router = router_predicting({"small": 0.9, "large": 0.8}, exploration_ratio=0.5)
    for text in ("quux zork", ""):
        choices = [router.choose(text, draw=draw) for draw in np.linspace(0, 0.999, 50).tolist()]
        assert {(choice.arm, choice.propensity) for choice in choices} == {("large", 1.0)}


@pytest.mark.parametrize("draw", [-0.1, 1.0, float("nan")])
def test_a_draw_outside_0_to_1_is_refused(draw: float) -> None:
    with pytest.raises(BadInput, match="draw is"):
        router_predicting({"small": 0.9, "large": 0.8}).choose(KNOWN, draw=draw)


def test_a_slow_arm_and_one_under_the_floor_are_not_explored() -> None:
    rule = ChoiceRule("a", 0.0, 0.5, 0.0, latency_limit_ms=200.0, exploration_ratio=0.5)
    taken = prospect("a", 0.9, 1.0)
    offered = [taken, prospect("slow", 0.8, 1.0, latency_ms=300.0), prospect("poor", 0.4, 1.0), prospect("b", 0.6, 1.0)]
    found = {explore(rule, Pick(taken, ""), offered, draw / 100)[0].arm for draw in range(100)}
    assert found == {"a", "b"}


def test_alone_an_arm_is_explored_with_certainty() -> None:
    taken = prospect("a", 0.9, 1.0)
    rule = ChoiceRule("a", 0.0, 0.0, 0.0, exploration_ratio=0.2)
    assert explore(rule, Pick(taken, ""), [taken], 0.95) == (taken, 1.0)
