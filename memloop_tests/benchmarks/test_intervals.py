"""Intervals against closed forms, exact cases and their own coverage."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.benchmarks.intervals import FEW_DISTINCT, paired_bootstrap, tasks_needed, wilson_interval
from memloop_assets.errors import BadInput

finite = st.floats(-1e3, 1e3, allow_subnormal=False)


def binary_differences(n: int, up: float, down: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([1.0, -1.0, 0.0], p=[up, down, 1 - up - down], size=n)


@pytest.mark.parametrize("decimals", [0, 12])
def test_the_bounds_agree_with_the_normal_approximation_on_both_paths(decimals: int) -> None:
    values = np.round(np.random.default_rng(3).normal(0.2, 4.0, size=4000), decimals)
    assert (np.unique(values).size <= FEW_DISTINCT) == (decimals == 0)
    interval = paired_bootstrap(values, resamples=4000, seed=1)
    error = values.std() / math.sqrt(values.size)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.lower == pytest.approx(values.mean() - 1.645 * error, abs=0.1 * error)
    assert interval.upper == pytest.approx(values.mean() + 1.645 * error, abs=0.1 * error)
    assert interval.n == 4000


def test_the_percentile_is_the_outer_order_statistic_of_an_exact_resampling_distribution() -> None:
    # The mean of a resample of two values is Binomial(2, 1/2) / 2: its 5 % and 95 % points are the values themselves.
    interval = paired_bootstrap(np.array([0.0, 1.0]), resamples=999, seed=5)
    assert (interval.mean, interval.lower, interval.upper) == (0.5, 0.0, 1.0)


@given(finite, st.integers(1, 50))
def test_equal_differences_leave_no_doubt(value: float, count: int) -> None:
    interval = paired_bootstrap(np.full(count, value), resamples=50, seed=0)
    assert (interval.mean, interval.lower, interval.upper) == (value, value, value)


@given(st.lists(finite, min_size=1, max_size=90), st.randoms(), st.integers(0, 2**32))
def test_the_same_set_and_seed_give_the_same_bounds_in_any_order(
    values: list[float], random: object, seed: int
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = paired_bootstrap(np.array(values), resamples=50, seed=seed)
    assert first == paired_bootstrap(np.array(shuffled), resamples=50, seed=seed)
    slack = 1e-9 * max(abs(value) for value in values)
    assert min(values) - slack <= first.lower <= first.upper <= max(values) + slack


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=60))
def test_more_confidence_never_gives_a_higher_lower_bound(values: list[float]) -> None:
    bounds = [paired_bootstrap(np.array(values), confidence=c, resamples=200, seed=2).lower for c in (0.8, 0.95, 0.99)]
    assert bounds == sorted(bounds, reverse=True)


def test_the_lower_bound_exceeds_the_truth_in_about_five_of_a_hundred_data_sets() -> None:
    # 600 data sets of 200 tasks; true mean 0.04. Expected 5 %; the 99.9 % binomial range is 2.3 % to 8.3 %.
    above = sum(
        paired_bootstrap(binary_differences(200, 0.08, 0.04, seed), resamples=500, seed=seed).lower > 0.04 + 1e-12
        for seed in range(600)
    )
    assert 0.023 <= above / 600 <= 0.083


def test_a_hundred_thousand_tasks_stay_within_the_promised_memory() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    tracemalloc.start()
    paired_bootstrap(values, resamples=60, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_interval_is_made_of_nothing_or_of_what_is_not_finite(values: list[float]) -> None:
    with pytest.raises(BadInput, match="paired differences"):
        paired_bootstrap(np.array(values), seed=0)


@pytest.mark.parametrize(("confidence", "resamples"), [(0.5, 100), (1.0, 100), (0.95, 0)])
def test_a_bootstrap_without_meaning_is_refused(confidence: float, resamples: int) -> None:
    with pytest.raises(BadInput, match="bootstrap"):
        paired_bootstrap(np.ones(3), confidence=confidence, resamples=resamples, seed=0)


def test_tasks_needed_is_the_textbook_formula() -> None:
    d, delta = 0.12, 0.04
    assert tasks_needed(delta, d - delta**2) == pytest.approx(6.2 * (d - delta**2) / delta**2, rel=0.004)
    assert tasks_needed(0.0, 1.0) is None
    assert tasks_needed(-0.1, 1.0) is None
    assert tasks_needed(float("nan"), 1.0) is None
    assert tasks_needed(0.1, 0.0) == 1


def test_tasks_needed_gives_the_power_it_promises() -> None:
    # 400 data sets of the computed size: expected about 80 %; the 99.9 % binomial range is 73.4 % to 86.6 %.
    n = tasks_needed(0.06, 0.12 - 0.06**2)
    assert n is not None
    found = sum(
        paired_bootstrap(binary_differences(n, 0.09, 0.03, seed), resamples=500, seed=seed).lower > 1e-12
        for seed in range(400)
    )
    assert 0.734 <= found / 400 <= 0.866


def test_wilson_intervals_match_published_values() -> None:
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, trials, lower, upper in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        interval = wilson_interval(successes, trials)
        assert (round(interval.lower, 4), round(interval.upper, 4)) == (lower, upper)
    assert wilson_interval(20, 20).upper == 1.0
    assert round(wilson_interval(1, 29).lower, 4) == 0.0061


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 3), (4, 3)])
def test_a_count_that_cannot_be_has_no_interval(successes: int, trials: int) -> None:
    with pytest.raises(BadInput, match="successes"):
        wilson_interval(successes, trials)
