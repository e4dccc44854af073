"""AIQ, reward at a cost and the saving at the reference arm's quality, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.benchmarks.cost_curve import (
    Sweep,
    average_improvement_in_quality,
    choose_operating_point,
    reward_at_cost,
    saving_at_reference_quality,
    trace_frontier,
)
from memloop_assets.errors import BadInput

# Cost and reward of five points: 2 lies below the line from 1 to 3, 5 costs more than 4 and earns less.
COSTS = [1.0, 2.0, 3.0, 5.0, 6.0]
REWARDS = [0.2, 0.3, 0.8, 0.9, 0.5]


def test_the_frontier_keeps_the_corners_of_the_non_decreasing_hull() -> None:
    curve = trace_frontier(COSTS[::-1], REWARDS[::-1])
    assert curve.cost_usd.tolist() == [1.0, 3.0, 5.0]
    assert curve.reward.tolist() == [0.2, 0.8, 0.9]


def test_of_equal_costs_the_better_stays() -> None:
    curve = trace_frontier([1.0, 1.0, 2.0], [0.1, 0.4, 0.4])
    assert (curve.cost_usd.tolist(), curve.reward.tolist()) == ([1.0], [0.4])


def test_aiq_by_hand() -> None:
    curve = trace_frontier(COSTS, REWARDS)
    # own range 1 to 5: (0.2+0.8)/2*2 + (0.8+0.9)/2*2 = 1 + 1.7
    assert average_improvement_in_quality(curve) == pytest.approx(2.7 / 4)
    # 2 to 7: (0.5+0.8)/2 + 1.7 + 2*0.9 (flat on the right)
    assert average_improvement_in_quality(curve, (2.0, 7.0)) == pytest.approx((0.65 + 1.7 + 1.8) / 5)


def test_reward_at_a_cost_lies_on_the_curve() -> None:
    curve = trace_frontier(COSTS, REWARDS)
    assert [reward_at_cost(curve, cost) for cost in (1.0, 2.0, 5.0, 99.0)] == pytest.approx([0.2, 0.5, 0.9, 0.9])
    with pytest.raises(BadInput, match="less than its cheapest"):
        reward_at_cost(curve, 0.5)


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 1.0)), min_size=1, max_size=20))
def test_no_point_lies_above_the_frontier_and_its_steps_flatten(points: list[tuple[float, float]]) -> None:
    costs, rewards = np.array(points).T
    curve = trace_frontier(costs, rewards)
    assert (np.diff(curve.cost_usd) > 0).all()
    assert (np.diff(curve.reward) > 0).all()
    assert all(reward_at_cost(curve, cost) >= reward - 1e-9 for cost, reward in points)
    rises, runs = np.diff(curve.reward), np.diff(curve.cost_usd)
    assert (rises[1:] * runs[:-1] <= rises[:-1] * runs[1:] + 1e-9).all()


@pytest.mark.parametrize(
    ("costs", "rewards", "culprit"),
    [([], [], "empty"), ([1.0], [1.0, 2.0], "shape"), ([math.nan], [1.0], "finite"), ([1.0], [math.inf], "finite")],
)
def test_what_makes_no_curve_is_refused(costs: list[float], rewards: list[float], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        trace_frontier(costs, rewards)


def test_a_range_without_width_or_below_the_curve_has_no_aiq() -> None:
    curve = trace_frontier(COSTS, REWARDS)
    for cost_range, culprit in (((2.0, 2.0), "some width"), ((0.5, 2.0), "less than its cheapest")):
        with pytest.raises(BadInput, match=culprit):
            average_improvement_in_quality(curve, cost_range)
    with pytest.raises(BadInput, match="some width"):
        average_improvement_in_quality(trace_frontier([1.0], [0.5]))


def sweep_of(keys: str, rewards: list[list[float]], costs: list[list[float]]) -> Sweep:
    count = len(keys)
    return Sweep(tuple(keys), np.array(rewards), np.array(costs), np.full(count, 0.5), np.full(count, 4.0))


# Calibration: point 1 is the cheapest that earns 0.5. On the test tasks point 0 would have been good enough, too.
CALIBRATION = sweep_of("ab", [[0.0, 0.5], [1.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 5.0]])
TEST = sweep_of("cdef", [[1.0] * 4, [1.0, 0.0, 1.0, 1.0], [1.0] * 4], [[1.0] * 4, [1.0, 2.0, 3.0, 2.0], [5.0] * 4])


def test_the_operating_point_is_chosen_on_calibration_tasks_and_scored_on_the_others() -> None:
    assert choose_operating_point(CALIBRATION) == 1
    saving = saving_at_reference_quality(CALIBRATION, TEST)
    assert saving.point == 1
    assert saving.saved_ratio.mean == pytest.approx(1 - 8 / 16)
    assert saving.saved_ratio.lower < 0.5 < saving.saved_ratio.upper
    assert saving.reward_difference.mean == pytest.approx(0.75 - 0.5)
    assert saving.reward_difference.n == 4


def test_of_those_good_enough_the_cheapest_is_chosen_in_whatever_order_they_stand() -> None:
    assert choose_operating_point(sweep_of("ab", [[1.0, 1.0]] * 3, [[3.0, 3.0], [1.0, 2.0], [2.0, 2.0]])) == 1


def test_slack_lets_a_cheaper_point_through() -> None:
    assert choose_operating_point(CALIBRATION, slack=0.25) == 0


def test_where_no_point_is_good_enough_the_reference_arm_serves() -> None:
    hopeless = sweep_of("ab", [[0.0, 0.0]] * 3, [[1.0, 1.0]] * 3)
    saving = saving_at_reference_quality(hopeless, TEST)
    assert (saving.point, saving.saved_ratio.mean, saving.reward_difference.mean) == (None, 0.0, 0.0)


def test_a_task_on_both_sides_is_refused() -> None:
    with pytest.raises(BadInput, match="1 tasks stand in calibration and test, 'a' among them"):
        saving_at_reference_quality(CALIBRATION, sweep_of("ax", [[1.0] * 2] * 3, [[1.0] * 2] * 3))


def test_other_points_shapes_and_unknown_numbers_are_refused() -> None:
    with pytest.raises(BadInput, match="3 operating points were calibrated and 1 are tested"):
        saving_at_reference_quality(CALIBRATION, sweep_of("cd", [[1.0] * 2], [[1.0] * 2]))
    with pytest.raises(BadInput, match="not finite"):
        sweep_of("cd", [[1.0, math.nan]], [[1.0] * 2])
    with pytest.raises(BadInput, match="for 2 tasks"):
        sweep_of("cd", [[1.0] * 3], [[1.0] * 3])
    free = Sweep(("c",), np.ones((3, 1)), np.ones((3, 1)), np.ones(1), np.zeros(1))
    with pytest.raises(BadInput, match="costs nothing"):
        saving_at_reference_quality(CALIBRATION, free)
