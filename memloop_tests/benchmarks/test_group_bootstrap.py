"""The bootstrap over task groups against closed forms, exact cases and its own coverage."""

import math

import numpy as np
import pytest

from memloop_assets.benchmarks.group_bootstrap import (
    Resampling,
    bootstrap_means,
    bootstrap_rows,
    group_rows,
    paired_difference,
    sum_by_group,
)
from memloop_assets.benchmarks.tradeoff import exact_gap_recovered
from memloop_assets.errors import BadInput


def first_mean(means: np.ndarray) -> np.ndarray:
    return means[:, 0]


def test_groups_are_numbered_in_the_order_of_their_keys() -> None:
    groups = group_rows(("b", "a", "b"))
    assert (groups.of_row.tolist(), groups.group_count) == ([1, 0, 1], 2)
    assert sum_by_group(np.array([[1.0], [2.0], [3.0]]), groups).tolist() == [[2.0], [4.0]]


def test_two_groups_have_the_bounds_of_their_exact_resampling_distribution() -> None:
    # group a: 0; group b: 1, 1, 1. A resample holds b twice, once or never: 1, 3/4 or 0 (a ratio of sums).
    values, keys = np.array([[0.0], [1.0], [1.0], [1.0]]), ("a", "b", "b", "b")
    found = bootstrap_means(values, group_rows(keys), first_mean, Resampling(resamples=999, seed=5))
    assert (found.mean, found.lower, found.upper, found.n) == (0.75, 0.0, 1.0, 2)
    same = bootstrap_rows(lambda rows: float(values[rows].mean()), group_rows(keys), Resampling(resamples=999, seed=5))
    assert same == found


def test_the_bounds_agree_with_the_normal_approximation() -> None:
    random = np.random.default_rng(3)
    keys = [f"k{number}" for number in range(1000) for _ in range(3)]
    values = np.repeat(random.normal(size=1000), 3) + 0.1 * random.normal(size=3000)
    found = bootstrap_means(values[:, np.newaxis], group_rows(keys), first_mean, Resampling(resamples=4000))
    error = values.reshape(1000, 3).mean(axis=1).std() / math.sqrt(1000)
    assert found.lower == pytest.approx(values.mean() - 1.645 * error, abs=0.15 * error)
    assert found.upper == pytest.approx(values.mean() + 1.645 * error, abs=0.15 * error)


def test_trials_of_one_task_do_not_count_as_tasks() -> None:
    random, held = np.random.default_rng(8), {"groups": 0, "rows": 0}
    for _ in range(200):
        of_task = random.normal(size=40)
        values = np.repeat(of_task, 10) + 0.1 * random.normal(size=400)
        for name, keys in (
            ("groups", [str(row // 10) for row in range(400)]),
            ("rows", [str(row) for row in range(400)]),
        ):
            found = paired_difference(values, np.zeros(400), keys, Resampling(resamples=200))
            held[name] += found.lower <= 0.0
    assert 0.90 <= held["groups"] / 200 <= 0.985  # nominal 0.95, four Monte Carlo errors wide
    assert held["rows"] / 200 < 0.8


def test_order_does_not_matter_and_the_seed_does() -> None:
    random = np.random.default_rng(2)
    values, keys = random.random((60, 1)), [f"k{number % 20}" for number in range(60)]
    order = random.permutation(60)
    found = bootstrap_means(values, group_rows(keys), first_mean)
    shuffled = bootstrap_means(values[order], group_rows([keys[row] for row in order]), first_mean)
    assert (found.lower, found.upper) == pytest.approx((shuffled.lower, shuffled.upper))
    assert found.lower != bootstrap_means(values, group_rows(keys), first_mean, Resampling(seed=1)).lower


def test_any_statistic_of_rows_can_be_bounded() -> None:
    random = np.random.default_rng(4)
    scores, strong = random.random(400), np.ones(400)
    weak = (random.random(400) < 1 - scores).astype(float)
    groups = group_rows([str(row) for row in range(400)])
    found = bootstrap_rows(
        lambda rows: exact_gap_recovered(scores[rows], strong[rows], weak[rows]), groups, Resampling(resamples=200)
    )
    assert found.lower < found.mean < found.upper
    assert found.mean == exact_gap_recovered(scores, strong, weak)
    assert 0.02 < found.upper - found.lower < 0.2


def test_what_cannot_be_resampled_is_refused() -> None:
    groups = group_rows(("a", "b"))
    for columns, resampling, culprit in (
        (np.array([[np.nan], [1.0]]), Resampling(), "not finite"),
        (np.ones((2, 1)), Resampling(confidence=0.5), "between 0.5 and 1"),
        (np.ones((2, 1)), Resampling(resamples=0), "at least one resample"),
    ):
        with pytest.raises(BadInput, match=culprit):
            bootstrap_means(columns, groups, first_mean, resampling)
    with pytest.raises(BadInput, match="there are no tasks"):
        group_rows(())
    with pytest.raises(BadInput, match="for 3 task keys"):
        paired_difference(np.ones(2), np.ones(2), ("a", "b", "c"))
