"""The arithmetic of ``benchmarks/real_weeks.py`` on a world of four questions, worked out by hand; the data sets are not needed."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ARMS = ("large", "small")
COSTS = np.array([0.02, 0.005])


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("real_weeks")


def truth_of(script: Any, rewards: list[list[float]], keys: list[str]) -> Any:
    found = script.Outcomes(keys, keys, [None] * len(keys), ARMS, np.array(rewards))
    return script.Truth(script.World(found, COSTS), np.arange(len(keys)))


def test_no_question_lies_in_two_parts_and_equal_prompts_stay_together(script: Any) -> None:
    keys = [f"k{number % 90}" for number in range(100)]  # ten prompts occur twice
    found = script.Outcomes(keys, keys, [None] * 100, ARMS, np.zeros((100, 2)))
    weeks, held, others = script.deal(found, script.Cut("", held=20, weekly=4, is_labelled=False), seed=1)
    parts = [*weeks, held, others]
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    named = [{keys[place] for place in part} for part in parts]
    assert [len(part) for part in named] == [4] * 12 + [20, 22]
    assert sum(map(len, named)) == 90


def test_a_cheaper_arm_is_worth_what_the_gate_says_it_saves(script: Any) -> None:
    truth = truth_of(script, [[1.0, 1.0], [1.0, 0.5], [0.0, 0.0], [1.0, 1.0]], ["a", "b", "c", "d"])
    large, small = (truth.world.earned(truth.places, np.full(4, column)) for column in (0, 1))
    reward, utility = truth.differences(small, large, reference_usd=0.02)
    assert reward.mean == pytest.approx(-0.125)  # half a point in four
    assert utility.mean == pytest.approx(-0.125 + 0.10 * 0.75)  # three quarters of the reference arm's cost are saved
    assert utility.n == 4


def test_the_bootstrap_draws_prompts_not_rows(script: Any) -> None:
    rewards = [[0.0, 1.0]] * 20 + [[0.0, 0.0]] * 20

    def width(keys: list[str]) -> float:
        truth = truth_of(script, rewards, keys)
        large, small = (truth.world.earned(truth.places, np.full(40, column)) for column in (0, 1))
        interval = truth.differences(small, large, reference_usd=0.02)[0]
        return float(interval.upper - interval.lower)

    assert width(["a"] * 20 + ["b"] * 20) == pytest.approx(1.0)  # two prompts: either may be drawn twice
    assert width([f"k{number}" for number in range(40)]) < 0.4


def test_the_share_of_the_gap_is_nought_for_the_best_arm_and_one_for_the_oracle(script: Any) -> None:
    truth = truth_of(script, [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], ["a", "b", "c", "d"])

    def shares(taken: list[int]) -> list[float]:
        earned = truth.world.earned(truth.places, np.array(taken))
        return list(script.end(truth, earned, 0.02).gap_shares)

    assert shares([0, 0, 0, 0]) == pytest.approx([0.0, 0.0])  # large earns 3 of 4, small 2
    assert shares([0, 1, 1, 0]) == pytest.approx([1.0, 1.0])  # every task right, the tie by the cheaper arm


def test_the_truth_judges_by_its_whole_interval(script: Any) -> None:
    def verdict(lower: float, upper: float) -> str:
        interval = script.Interval((lower + upper) / 2, lower, upper, 9)
        return str(script.Judged({"outcome": "hold"}, interval, interval).verdict)

    assert [verdict(0.01, 0.02), verdict(-0.01, 0.04), verdict(-0.03, -0.01)] == ["better", "unsure", "worse"]
