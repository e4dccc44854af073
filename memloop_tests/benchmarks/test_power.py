"""Power: what a suite is said to find, held against the very bootstrap that the gate uses."""

import math

import numpy as np
import pytest

from memloop_assets.benchmarks.intervals import detectable_difference, paired_bootstrap, tasks_needed
from memloop_assets.benchmarks.power import measure_power
from memloop_assets.benchmarks.suite import ArmOutcome, BenchmarkSuite, BenchmarkTask
from memloop_assets.benchmarks.summary import GateNeeds, show_lines
from memloop_assets.tasks import split_of_task

NEEDS = GateNeeds(required_task_count=10, max_unsupported_ratio=0.01, reward_margin=0.03, confidence=0.95)


def suite_of(*rewards: dict[str, float], share: float = 1.0) -> BenchmarkSuite:
    """Return a suite with one task for each mapping of arms to rewards."""
    tasks = []
    for number, of_arms in enumerate(rewards):
        prompt, outcomes = f"Task {number}", {arm: ArmOutcome(reward) for arm, reward in of_arms.items()}
        tasks.append(BenchmarkTask(f"{number:04d}", prompt, None, split_of_task(prompt, share), outcomes))
    return BenchmarkSuite("own", tuple(tasks), share)


@pytest.mark.parametrize(("share", "count"), [(0.2, 400), (0.5, 150), (0.8, 1_500)])
def test_a_difference_that_is_said_to_be_found_is_found_four_times_in_five(share: float, count: int) -> None:
    delta = detectable_difference(share, count)
    wins, losses = (share + delta) / 2, (share - delta) / 2
    rng = np.random.default_rng(5)
    draws = rng.choice([1.0, -1.0, 0.0], p=[wins, losses, 1 - share], size=(400, count))
    found = sum(paired_bootstrap(differences, seed=0).lower > 0.0 for differences in draws)
    assert 0.74 <= found / 400 <= 0.86


@pytest.mark.parametrize(("share", "count"), [(0.1, 100), (0.5, 1_000), (1.0, 50)])
def test_tasks_needed_and_the_difference_found_are_one_formula(share: float, count: int) -> None:
    delta = detectable_difference(share, count)
    assert delta == pytest.approx(math.sqrt(6.1826 * share / (count + 6.1826)), rel=1e-4)
    assert tasks_needed(delta, share - delta * delta) in (count, count + 1)


def test_the_share_that_differs_is_that_of_the_tasks_that_all_arms_tried() -> None:
    same, differ = {"small": 1.0, "large": 1.0}, {"small": 0.0, "large": 1.0}
    power = measure_power(suite_of(same, differ, same, same), reward_margin=0.03, confidence=0.95)
    assert (power.differing_ratio, power.mean_square, power.compared_count) == (0.25, 0.25, 4)
    assert power.goal_count == tasks_needed(0.04, 0.25 - 0.0016)
    assert power.tie_count == tasks_needed(0.03, 0.25)
    assert power.headroom == 0.0
    partly = measure_power(suite_of(same, {"small": 1.0}), reward_margin=0.03, confidence=0.95)
    assert (partly.compared_count, partly.differing_ratio) == (1, 0.0)


def test_graded_rewards_count_by_how_far_they_lie_apart() -> None:
    power = measure_power(suite_of({"a": 0.5, "b": 1.0}, {"a": 0.25, "b": 0.25}), reward_margin=0.03, confidence=0.95)
    assert (power.differing_ratio, power.mean_square) == (0.5, 0.125)


def test_no_two_routers_over_the_arms_differ_by_more_than_the_mean_square_says() -> None:
    rng = np.random.default_rng(7)
    rewards = rng.random((60, 3)).round(2)
    suite = suite_of(*({f"arm{place}": float(value) for place, value in enumerate(row)} for row in rewards))
    power = measure_power(suite, reward_margin=0.03, confidence=0.95)
    for _trial in range(200):
        one, other = (rewards[np.arange(60), rng.integers(0, 3, 60)] for _router in range(2))
        assert np.mean((one - other) ** 2) <= power.mean_square + 1e-12


def test_headroom_is_what_hindsight_gains_over_the_best_single_arm() -> None:
    power = measure_power(
        suite_of({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}, {"a": 0.0}),
        reward_margin=0.03,
        confidence=0.95,
    )
    assert power.headroom == pytest.approx(1 / 3)


def test_a_suite_says_of_itself_what_it_can_find() -> None:
    differ = {"small": 0.0, "large": 1.0}
    text = "\n".join(show_lines(suite_of(*[differ] * 12, share=0.5), NEEDS, is_in_use=True))
    assert "the arms' rewards differ on 100.0% of 12 tasks" in text
    assert "3,858 holdout tasks (7,716 tasks at this share)" in text
    assert "arm       large  12 of 12 tasks, mean reward 1.000" in text
    assert "the gate holds below 10" in text
    idle = "\n".join(show_lines(suite_of(*[{"small": 1.0, "large": 1.0}] * 3), NEEDS, is_in_use=False))
    assert "there is nothing that a router could gain" in idle
    assert "(not in use)" in idle
    alone = "\n".join(show_lines(suite_of({"small": 1.0}), NEEDS, is_in_use=False))
    assert "no task has outcomes of two arms" in alone
