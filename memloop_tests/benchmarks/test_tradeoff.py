"""APGR against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from memloop_assets.benchmarks.tradeoff import (
    average_gap_recovered,
    call_performance_threshold,
    exact_gap_recovered,
    sweep_thresholds,
    trace_every_threshold,
)
from memloop_assets.errors import BadInput

# Four tasks, two bins. Thresholds are the quantiles 0, 0.5, 1 of the scores 1, 2, 3, 4: 1, 2.5, 4 (the last with >).
# Strong serves all, then tasks 3 and 4, then none: shares 1, 0.5, 0.
SCORES = [1.0, 2.0, 3.0, 4.0]
STRONG = [1.0, 1.0, 1.0, 1.0]
WEAK = [1.0, 1.0, 0.0, 0.0]


def test_the_curve_goes_from_no_strong_call_to_all() -> None:
    curve = sweep_thresholds(SCORES, STRONG, WEAK, bins=2)
    assert curve.strong_ratio.tolist() == [0.0, 0.5, 1.0]
    assert curve.reward.tolist() == [0.5, 1.0, 1.0]


def test_apgr_of_a_perfect_order_by_hand() -> None:
    # area (0.5+1)/2*0.5 + 1*0.5 = 0.875; weak 0.5, strong 1: (0.875-0.5)/(1-0.5)
    assert average_gap_recovered(SCORES, STRONG, WEAK, bins=2) == pytest.approx(0.75)


def test_apgr_of_the_reversed_order_by_hand() -> None:
    # rewards 0.5, 0.5, 1: area 0.25 + 0.375 = 0.625
    assert average_gap_recovered([4.0, 3.0, 2.0, 1.0], STRONG, WEAK, bins=2) == pytest.approx(0.25)


def test_apgr_may_pass_1_where_the_weak_arm_is_right_on_its_own_tasks() -> None:
    # strong right on 2, 3, 4; weak right on 1 and 2; rewards 0.5, 1, 0.75 at shares 0, 0.5, 1: area 0.8125
    apgr = average_gap_recovered(SCORES, [0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], bins=2)
    assert apgr == pytest.approx((0.8125 - 0.5) / (0.75 - 0.5)) == pytest.approx(1.25)


def test_apgr_depends_on_the_order_of_the_scores_alone() -> None:
    random = np.random.default_rng(5)
    scores, strong, weak = random.random(2001), random.integers(0, 2, 2001), random.integers(0, 2, 2001) * 0.5
    # 2001 scores in ten bins: every threshold is itself a score, so a monotone map moves none of them
    assert average_gap_recovered(scores, strong, weak) == average_gap_recovered(np.exp(3 * scores), strong, weak)


def test_equal_scores_stay_together_and_recover_half_of_the_gap() -> None:
    curve = sweep_thresholds([7.0] * 4, STRONG, WEAK)
    assert set(curve.strong_ratio.tolist()) == {0.0, 1.0}
    assert average_gap_recovered([7.0] * 4, STRONG, WEAK) == pytest.approx(0.5)


def test_where_routellm_has_an_answer_this_is_the_answer() -> None:
    random = np.random.default_rng(11)
    scores = random.normal(size=997)
    strong = (random.random(997) < 0.8).astype(float)
    weak = (random.random(997) < 0.5 + 0.2 * np.tanh(-scores)).astype(float)
    _, cutoffs = pd.qcut(scores, 10, retbins=True)
    points = []
    for place, cutoff in enumerate(cutoffs):
        is_strong = scores > cutoff if place == len(cutoffs) - 1 else scores >= cutoff
        points.append((is_strong.mean(), np.where(is_strong, strong, weak).mean()))
    shares, rewards = np.array(sorted(points)).T
    areas = [np.trapezoid(line, shares) for line in (rewards, np.full(11, weak.mean()), np.full(11, strong.mean()))]
    assert average_gap_recovered(scores, strong, weak) == pytest.approx((areas[0] - areas[1]) / (areas[2] - areas[1]))


def test_random_scores_recover_half_of_the_gap() -> None:
    random = np.random.default_rng(3)
    strong, weak = np.ones(2000), (random.random(2000) < 0.5).astype(float)
    found = [average_gap_recovered(random.random(2000), strong, weak) for _ in range(50)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("scores", "strong", "weak", "culprit"),
    [
        ([], [], [], "empty"),
        ([1.0], [1.0, 0.0], [1.0], "differ in shape"),
        ([float("nan"), 1.0], [1.0, 1.0], [0.0, 0.0], "not finite"),
        ([1.0, 2.0], [1.0, 0.0], [0.0, 1.0], "no gap"),
    ],
)
def test_what_has_no_apgr_is_refused(scores: list[float], strong: list[float], weak: list[float], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        average_gap_recovered(scores, strong, weak)


def test_the_exact_curve_has_a_point_per_distinct_score() -> None:
    curve = trace_every_threshold([2.0, 3.0, 3.0, 1.0], STRONG, WEAK)
    # first tasks 2 and 3 together (one gain of 1 in 4), then task 1 (none), then task 4 (another)
    assert curve.strong_ratio.tolist() == [0.0, 0.5, 0.75, 1.0]
    assert curve.reward.tolist() == [0.5, 0.75, 0.75, 1.0]


def test_exact_apgr_by_hand() -> None:
    # perfect order: rewards 0.5, 0.75, 1, 1, 1 at shares 0, 1/4 ... 1: area (0.625 + 0.875 + 1 + 1) / 4
    assert exact_gap_recovered(SCORES, STRONG, WEAK) == pytest.approx((0.875 - 0.5) / 0.5)
    assert exact_gap_recovered([7.0] * 4, STRONG, WEAK) == pytest.approx(0.5)


def test_as_many_bins_as_tasks_are_nearly_the_exact_curve() -> None:
    random = np.random.default_rng(13)
    scores = random.permutation(1000).astype(float)
    strong, weak = np.ones(1000), (random.random(1000) < scores / 1000).astype(float)
    ten, many, exact = (average_gap_recovered(-scores, strong, weak, bins) for bins in (10, 1000, 10_000))
    assert many == pytest.approx(exact_gap_recovered(-scores, strong, weak), abs=1e-3) == pytest.approx(exact, abs=1e-3)
    assert ten < many


def test_cpt_by_hand() -> None:
    # two bins, perfect order: reward 0.5 at share 0 and 1 at share 0.5: the line passes 0.75 at 0.25 and 0.9 at 0.4
    assert call_performance_threshold(SCORES, STRONG, WEAK, 0.5, bins=2) == pytest.approx(0.25)
    assert call_performance_threshold(SCORES, STRONG, WEAK, 0.8, bins=2) == pytest.approx(0.4)
    # the reversed order gains nothing before share 0.5
    assert call_performance_threshold([4.0, 3.0, 2.0, 1.0], STRONG, WEAK, 0.5, bins=2) == pytest.approx(0.75)
    # exactly: the first strong call gains half of the gap
    assert call_performance_threshold(SCORES, STRONG, WEAK, 0.5, bins=None) == pytest.approx(0.25)
    assert call_performance_threshold(SCORES, STRONG, WEAK, 1.0, bins=None) == pytest.approx(0.5)


def test_cpt_is_routellms_interpolation_where_the_curve_never_falls() -> None:
    random = np.random.default_rng(17)
    scores = random.normal(size=1001)
    strong, weak = np.ones(1001), (random.random(1001) < 0.5 - 0.3 * np.tanh(scores)).astype(float)
    curve = sweep_thresholds(scores, strong, weak)
    assert (np.diff(curve.reward) >= 0).all()
    for recovered in (0.5, 0.8):
        wanted = weak.mean() + recovered * (1.0 - weak.mean())
        theirs = np.interp(wanted, curve.reward, curve.strong_ratio)
        assert call_performance_threshold(scores, strong, weak, recovered) == pytest.approx(theirs)


def test_random_scores_need_as_many_calls_as_they_recover() -> None:
    random = np.random.default_rng(3)
    strong, weak = np.ones(5000), (random.random(5000) < 0.5).astype(float)
    for recovered in (0.5, 0.8):
        found = [call_performance_threshold(random.random(5000), strong, weak, recovered) for _ in range(20)]
        assert np.mean(found) == pytest.approx(recovered, abs=0.02)


@pytest.mark.parametrize(
    ("strong", "weak", "recovered", "culprit"),
    [
        (STRONG, WEAK, 0.0, "above 0"),
        (STRONG, WEAK, float("nan"), "above 0"),
        (WEAK, STRONG, 0.5, "swap the arms"),
        (WEAK, WEAK, 0.5, "swap the arms"),
        ([], [], 0.5, "empty"),
    ],
)
def test_what_has_no_cpt_is_refused(strong: list[float], weak: list[float], recovered: float, culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        call_performance_threshold(SCORES[: len(strong)], strong, weak, recovered)


def test_no_bins_are_refused() -> None:
    with pytest.raises(BadInput, match="0 bins"):
        average_gap_recovered(SCORES, STRONG, WEAK, bins=0)
