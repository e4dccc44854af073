"""Brier score and expected calibration error against numbers worked out by hand."""

import math

import numpy as np
import pytest

from memloop_assets.benchmarks.calibration_metrics import (
    Predicted,
    brier_score,
    expected_calibration_error,
    paired_brier_difference,
    reliability_bins,
)
from memloop_assets.errors import BadInput

PREDICTED = [0.1, 0.2, 0.7, 0.9]
EARNED = [0.0, 1.0, 1.0, 1.0]


def test_brier_by_hand() -> None:
    assert brier_score(PREDICTED, EARNED) == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4)
    assert brier_score([0.5], [0.25]) == pytest.approx(0.0625)


def test_ece_by_hand_in_bins_of_equal_width() -> None:
    # two bins: (0.1, 0.2) against 0.5, (0.7, 0.9) against 1
    low, high = reliability_bins(PREDICTED, EARNED, bins=2)
    assert tuple(low) == pytest.approx((2, 0.15, 0.5))
    assert tuple(high) == pytest.approx((2, 0.8, 1.0))
    assert expected_calibration_error(PREDICTED, EARNED, bins=2) == pytest.approx(0.5 * 0.35 + 0.5 * 0.2)
    # ten bins: every task in its own
    assert expected_calibration_error(PREDICTED, EARNED) == pytest.approx((0.1 + 0.8 + 0.3 + 0.1) / 4)


def test_ece_by_hand_in_bins_of_equal_mass() -> None:
    predicted, earned = [0.01, 0.02, 0.03, 0.9], [0.0, 1.0, 0.0, 1.0]
    assert [each.task_count for each in reliability_bins(predicted, earned, 2, "equal_width")] == [3, 1]
    assert [each.task_count for each in reliability_bins(predicted, earned, 2, "equal_mass")] == [2, 2]
    expected = 0.5 * (0.5 - 0.015) + 0.5 * (0.5 - 0.465)
    assert expected_calibration_error(predicted, earned, 2, "equal_mass") == pytest.approx(expected)


def test_borders_belong_to_the_lower_bin_and_the_ends_to_a_bin() -> None:
    bins = reliability_bins([0.0, 0.5, 0.500001, 1.0], [0.0, 0.0, 1.0, 1.0], bins=2)
    assert [each.task_count for each in bins] == [2, 2]


def test_equal_predictions_stay_together() -> None:
    assert len(reliability_bins([0.3] * 8, [0.0, 1.0] * 4, 4, "equal_mass")) == 1
    assert expected_calibration_error([0.5] * 8, [0.0, 1.0] * 4) == 0.0


def test_a_calibrated_model_has_about_the_ece_that_chance_gives() -> None:
    random = np.random.default_rng(1)
    predicted = random.random(20_000)
    found = expected_calibration_error(predicted, (random.random(20_000) < predicted).astype(float))
    by_chance = 0.8 * np.mean([math.sqrt(p * (1 - p) * 10 / 20_000) for p in np.arange(0.05, 1.0, 0.1)])
    assert 0.4 * by_chance < found < 1.8 * by_chance


def test_a_paired_brier_difference_by_hand() -> None:
    found = paired_brier_difference(Predicted(PREDICTED, EARNED), Predicted([0.5] * 4, EARNED), list("abcd"))
    assert found.mean == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4 - 0.25)
    assert found.lower <= found.mean <= found.upper
    assert found.n == 4


def test_of_two_equal_models_neither_is_worse() -> None:
    same = Predicted(PREDICTED, EARNED)
    found = paired_brier_difference(same, same, list("abcd"))
    assert (found.mean, found.lower, found.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("predicted", "earned", "culprit"),
    [
        ([], [], "at least one task"),
        ([0.5], [0.5, 0.5], "one of each per task"),
        ([1.1], [0.5], "prediction is not a number"),
        ([math.nan], [0.5], "prediction is not a number"),
        ([0.5], [math.nan], "reward is not a number"),
    ],
)
def test_what_cannot_be_scored_is_refused(predicted: list[float], earned: list[float], culprit: str) -> None:
    for metric in (brier_score, expected_calibration_error):
        with pytest.raises(BadInput, match=culprit):
            metric(predicted, earned)


def test_bins_of_no_kind_are_refused() -> None:
    for bins, binning in ((0, "equal_width"), (5, "equal_parts")):
        with pytest.raises(BadInput, match="reliability bins"):
            reliability_bins(PREDICTED, EARNED, bins, binning)
