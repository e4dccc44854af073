"""Means over groups in closed form, held against the textbook, the bootstrap and a simulation with known truth."""

import math

import numpy as np
import pytest

from memloop_assets.benchmarks.group_bootstrap import bootstrap_means, group_rows
from memloop_assets.benchmarks.group_means import bound_of_difference, mean_over_groups
from memloop_assets.errors import BadInput


def draw(rng: np.random.Generator, group_count: int, mean: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Draw groups of one to five binary rows whose chance varies from group to group."""
    sizes = rng.integers(1, 6, group_count)
    chances = np.repeat(rng.beta(4 * mean, 4 * (1 - mean), group_count), sizes)
    return (rng.random(chances.size) < chances).astype(float), np.repeat(np.arange(group_count), sizes)


def test_with_one_row_per_group_it_is_the_textbooks_variance_of_a_mean() -> None:
    values = np.random.default_rng(0).random(40)
    found = mean_over_groups(values, np.arange(40))
    assert found.mean == pytest.approx(values.mean())
    assert found.variance == pytest.approx(values.var(ddof=1) / 40)
    assert found.group_count == 40


def test_rows_that_repeat_within_their_group_tell_nothing_more() -> None:
    values, groups = np.random.default_rng(1).random(40), np.arange(40)
    once, often = mean_over_groups(values, groups), mean_over_groups(np.repeat(values, 9), np.repeat(groups, 9))
    assert often.variance == pytest.approx(once.variance)


def test_it_agrees_with_the_bootstrap_over_groups() -> None:
    values, groups = draw(np.random.default_rng(2), 400)
    found = mean_over_groups(values, groups)
    drawn = bootstrap_means(values[:, np.newaxis], group_rows([str(one) for one in groups]), lambda means: means[:, 0])
    half = 1.645 * math.sqrt(found.variance)
    assert drawn.mean == pytest.approx(found.mean)
    assert drawn.upper - drawn.lower == pytest.approx(2 * half, rel=0.1)


def test_a_bound_of_a_difference_misses_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    truth = 0.1
    missed = 0
    for _ in range(1000):
        first, second = mean_over_groups(*draw(rng, 200, 0.8)), mean_over_groups(*draw(rng, 200, 0.7))
        missed += bound_of_difference(first, second, 0.95) < truth
        assert bound_of_difference(first, second, 0.05) == pytest.approx(-bound_of_difference(second, first, 0.95))
    assert 35 <= missed <= 66, "5 % of 1,000, give or take 2.3 standard deviations"


@pytest.mark.parametrize(
    ("values", "groups", "culprit"),
    [
        ([1.0, 0.0], [3, 3], "fewer than two groups"),
        ([], [], "fewer than two groups"),
        ([1.0, math.nan], [0, 1], "not finite"),
    ],
)
def test_what_no_variance_can_be_made_of_is_refused(values: list[float], groups: list[int], culprit: str) -> None:
    with pytest.raises(BadInput, match=culprit):
        mean_over_groups(np.array(values), np.array(groups, dtype=np.intp))
