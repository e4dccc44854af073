"""Off-policy estimators against closed forms: a world so small that every possible log can be written down."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.benchmarks.offpolicy import (
    Estimation,
    OffPolicyEvaluation,
    Predict,
    cross_fit,
    evaluate_difference,
    evaluate_policy,
)
from memloop_assets.errors import BadInput

ARMS = ("large", "small")
# Two kinds of task, two arms: how likely each arm serves, earns a reward of 1, and is what the targets would serve.
LOGGING = np.array([[0.7, 0.3], [0.2, 0.8]])
REWARD = np.array([[0.9, 0.4], [0.5, 0.6]])
TARGET = np.array([[0.4, 0.6], [0.9, 0.1]])
CHAMPION = np.array([[0.8, 0.2], [0.3, 0.7]])
TRUTH = float((TARGET * REWARD).sum(axis=1).mean())
PLAIN = Estimation(folds=3, pseudo_tasks=0.0)


def trials_of(kinds: np.ndarray, served: np.ndarray, rewards: np.ndarray) -> LoggedTrials:
    keys = tuple(f"task-{number}" for number in range(len(kinds)))
    return LoggedTrials(keys, tuple(ARMS[arm] for arm in served), LOGGING[kinds, served], rewards, arms=ARMS)


def every_log(length: int) -> Iterator[tuple[float, np.ndarray, LoggedTrials]]:
    """Yield every log of the world with its probability and the kinds of its tasks."""
    for trials in itertools.product(itertools.product((0, 1), repeat=3), repeat=length):
        kinds, served, rewards = np.array(trials).T
        earns = REWARD[kinds, served]
        chances = 0.5 * LOGGING[kinds, served] * np.where(rewards == 1, earns, 1.0 - earns)
        yield float(chances.prod()), kinds, trials_of(kinds, served, rewards.astype(float))


def nonsense_model() -> Estimation:
    """Return an estimation whose outcome model depends on the training outcomes and is nonsense."""

    def fit(_rows: np.ndarray, outcomes: np.ndarray) -> Predict:
        return lambda asked: np.column_stack([np.full(asked.size, 3.0 - outcomes.sum()), np.full(asked.size, 0.25)])

    return Estimation(folds=3, pseudo_tasks=0.0, fit=fit)


def expectation(name: str, *, model_is_wrong: bool = False) -> tuple[float, float, float]:
    """Return an estimator's exact expectation and variance and its expected squared standard error, by enumeration."""
    rows = []
    for chance, kinds, trials in every_log(3):
        found = getattr(
            evaluate_policy(trials, TARGET[kinds], estimation=nonsense_model() if model_is_wrong else PLAIN), name
        )
        rows.append((chance, found.value, found.standard_error**2))
    chances, values, squares = np.array(rows).T
    assert chances.sum() == pytest.approx(1.0)
    mean = float(chances @ values)
    return mean, float(chances @ (values - mean) ** 2), float(chances @ squares)


def test_ips_is_unbiased_with_the_variance_of_its_closed_form_which_its_standard_error_estimates_unbiasedly() -> None:
    mean, variance, square = expectation("ips")
    second_moment = float((0.5 * TARGET**2 / LOGGING * REWARD).sum())
    assert mean == pytest.approx(TRUTH, abs=1e-12)
    assert variance == pytest.approx((second_moment - TRUTH**2) / 3, abs=1e-12)
    assert square == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize("model_is_wrong", [False, True])
def test_doubly_robust_is_unbiased_whatever_the_cross_fitted_model_says(model_is_wrong: bool) -> None:
    mean, _, _ = expectation("doubly_robust", model_is_wrong=model_is_wrong)
    assert mean == pytest.approx(TRUTH, abs=1e-12)


def test_the_direct_method_is_as_biased_as_its_model() -> None:
    # The mean of an arm is taken over the tasks that it was given: large got the kind on which it is good.
    mean, _, _ = expectation("direct_method")
    assert abs(mean - TRUTH) > 0.02


def perfect_model(kinds: np.ndarray) -> Estimation:
    """Return an estimation whose outcome model knows the world."""

    def fit(_rows: np.ndarray, _outcomes: np.ndarray) -> Predict:
        return lambda asked: REWARD[kinds[asked]]

    return Estimation(folds=3, fit=fit)


def test_with_a_perfect_model_doubly_robust_has_the_least_possible_variance() -> None:
    logs = list(every_log(3))
    found = [evaluate_policy(trials, TARGET[kinds], estimation=perfect_model(kinds)) for _, kinds, trials in logs]
    errors = np.array([each.doubly_robust.value for each in found]) - TRUTH
    variance = float(np.array([chance for chance, _, _ in logs]) @ errors**2)
    of_kinds = float(np.var((TARGET * REWARD).sum(axis=1)))
    of_rewards = float((0.5 * TARGET**2 / LOGGING * REWARD * (1.0 - REWARD)).sum())
    assert variance == pytest.approx((of_kinds + of_rewards) / 3, abs=1e-12)


def draw(length: int, rng: np.random.Generator) -> tuple[np.ndarray, LoggedTrials]:
    kinds = rng.integers(0, 2, size=length)
    served = (rng.random(length) < LOGGING[kinds, 1]).astype(int)
    return kinds, trials_of(kinds, served, (rng.random(length) < REWARD[kinds, served]).astype(float))


def test_a_difference_is_the_challengers_value_minus_the_champions() -> None:
    kinds, trials = draw(200, np.random.default_rng(1))
    paired = evaluate_difference(trials, TARGET[kinds], CHAMPION[kinds])
    apart = [evaluate_policy(trials, target[kinds]) for target in (TARGET, CHAMPION)]
    for name in ("ips", "direct_method", "doubly_robust"):
        values = [getattr(found, name).value for found in apart]
        assert getattr(paired, name).value == pytest.approx(values[0] - values[1], abs=1e-12)


def test_snips_of_a_difference_by_hand() -> None:
    # Four tasks; the targets differ on the first three. Challenger's side: trial 1 (weight 2, reward 1) and trial 3
    # (weight 4, reward 0); champion's: trial 2 (weight 2, reward 1). 3/4 of the mass: 3/4 * (2/6 - 1).
    trials = LoggedTrials(("a", "b", "c", "d"), ("x", "y", "x", "y"), [0.5, 0.5, 0.25, 0.5], [1.0, 1.0, 0.0, 0.0])
    found = evaluate_difference(trials, ("x", "x", "x", "y"), ("y", "y", "y", "y"), estimation=Estimation(folds=2))
    assert found.snips.value == pytest.approx(0.75 * (2 / 6 - 1))
    assert found.ips.value == pytest.approx((2 - 2) / 4)
    assert found.target.ess == pytest.approx(6**2 / (2**2 + 4**2))
    assert found.against.ess == pytest.approx(1.0)
    assert (found.target.mass, found.target.weight_mean) == pytest.approx((0.75, 6 / 3))
    assert (found.min_propensity, found.exploration_ratio) == pytest.approx((0.25, (0.5 + 0.5 + 0.25) / 3))


def simulate(count: int, length: int, seed: int, **how: float) -> tuple[list[OffPolicyEvaluation], float]:
    rng = np.random.default_rng(seed)
    truth = float(((TARGET - CHAMPION) * REWARD).sum(axis=1).mean())
    found = []
    for _ in range(count):
        kinds, trials = draw(length, rng)
        found.append(evaluate_difference(trials, TARGET[kinds], CHAMPION[kinds], estimation=Estimation(**how)))
    return found, truth


@pytest.mark.parametrize("name", ["ips", "snips", "doubly_robust"])
def test_intervals_hold_the_truth_as_often_as_they_say_and_errors_are_as_large_as_the_spread(name: str) -> None:
    found, truth = simulate(400, 500, seed=7)
    estimates = [getattr(each, name) for each in found]
    held = sum(each.lower <= truth <= each.upper for each in estimates) / 400
    assert abs(held - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 / 400)
    spread = float(np.std([each.value for each in estimates]))
    assert float(np.mean([each.standard_error for each in estimates])) == pytest.approx(spread, rel=0.12)
    assert abs(float(np.mean([each.value for each in estimates])) - truth) < 4 * spread / math.sqrt(400)


def test_the_direct_methods_interval_does_not_hold_the_truth() -> None:
    found, truth = simulate(100, 500, seed=7)
    assert sum(each.direct_method.lower <= truth <= each.direct_method.upper for each in found) < 50


def test_the_bootstrap_over_tasks_agrees_with_the_standard_error() -> None:
    found, _ = simulate(1, 2000, seed=3, resamples=2000)
    for name in ("ips", "snips", "doubly_robust", "direct_method"):
        each = getattr(found[0], name)
        assert (each.lower, each.upper) == pytest.approx(
            (each.value - 1.96 * each.standard_error, each.value + 1.96 * each.standard_error),
            abs=0.3 * each.standard_error,
        )


def test_the_standard_error_of_snips_is_that_of_the_jackknife() -> None:
    # the routers differ on one kind of task only, and how many tasks are of that kind is luck
    rng = np.random.default_rng(6)
    kinds, trials = draw(300, rng)
    same, other = ("large",) * 300, tuple(np.where(kinds == 0, "large", "small"))
    found = evaluate_difference(trials, other, same, estimation=Estimation(pseudo_tasks=0.0))
    left_out = []
    for row in range(300):
        rows = np.delete(np.arange(300), row)
        rest = trials_of(kinds[rows], trials.served_index[rows], trials.rewards[rows])
        targets = [tuple(np.array(names)[rows]) for names in (other, same)]
        left_out.append(evaluate_difference(rest, *targets, estimation=Estimation(folds=2)).snips.value)
    jackknife = math.sqrt(299 / 300 * float(((np.array(left_out) - np.mean(left_out)) ** 2).sum()))
    assert found.snips.standard_error == pytest.approx(jackknife, rel=0.02)


def test_trials_of_one_task_count_as_one() -> None:
    kinds, trials = draw(150, np.random.default_rng(2))
    once = evaluate_difference(trials, TARGET[kinds], CHAMPION[kinds])
    tenfold = LoggedTrials(
        trials.task_keys * 10,
        trials.served * 10,
        np.tile(trials.propensities, 10),
        np.tile(trials.rewards, 10),
        arms=ARMS,
    )
    copied = evaluate_difference(tenfold, np.tile(TARGET[kinds], (10, 1)), np.tile(CHAMPION[kinds], (10, 1)))
    assert copied.ips.value == pytest.approx(once.ips.value)
    for name in ("ips", "snips", "doubly_robust"):
        assert getattr(copied, name).standard_error == pytest.approx(getattr(once, name).standard_error, rel=1e-9)
    assert (copied.target.ess, copied.against.ess) == pytest.approx((once.target.ess, once.against.ess))
    assert (copied.task_count, copied.trial_count) == (150, 1500)


def test_no_fold_sees_a_task_that_it_predicts() -> None:
    rng = np.random.default_rng(0)
    keys = tuple(f"task-{number}" for number in rng.integers(0, 30, size=200))
    trials = LoggedTrials(keys, ("a",) * 200, np.ones(200), rng.random(200))

    def fit(taught: np.ndarray, _outcomes: np.ndarray) -> Predict:
        def predict(asked: np.ndarray) -> np.ndarray:
            assert not {keys[row] for row in taught} & {keys[row] for row in asked}
            return np.zeros((asked.size, 1))

        return predict

    assert not cross_fit(trials, trials.rewards, Estimation(fit=fit)).any()


def test_weights_above_the_limit_are_cut_and_counted() -> None:
    trials = LoggedTrials(("a", "b", "c"), ("x", "x", "y"), [0.02, 0.5, 0.5], [1.0, 1.0, 0.0])
    found = evaluate_policy(trials, ("x", "x", "x"), estimation=Estimation(folds=2, weight_limit=10.0))
    assert found.ips.value == pytest.approx((10 + 2) / 3)
    assert found.clipped_ratio == pytest.approx(0.5)
    assert evaluate_policy(trials, ("x", "x", "x"), estimation=Estimation(folds=2)).ips.value == pytest.approx(52 / 3)


def test_a_further_task_of_each_side_widens_the_standard_error() -> None:
    kinds, trials = draw(100, np.random.default_rng(2))
    plain = evaluate_difference(trials, TARGET[kinds], CHAMPION[kinds], estimation=Estimation(pseudo_tasks=0.0))
    wide = evaluate_difference(trials, TARGET[kinds], CHAMPION[kinds])
    assert wide.snips.standard_error == pytest.approx(
        math.hypot(plain.snips.standard_error, wide.target.unseen, wide.against.unseen)
    )


def test_a_further_task_is_as_heavy_as_those_on_which_the_variance_rests() -> None:
    trials = LoggedTrials(tuple("abcd"), ("x", "x", "x", "y"), [0.5, 0.5, 0.1, 0.5], [1.0, 1.0, 0.0, 0.0])
    heavy = evaluate_policy(trials, ("x",) * 4).target
    assert heavy.unseen == pytest.approx((8 + 8 + 1000) / ((4 + 4 + 100) * (2 + 2 + 10)))
    even = evaluate_policy(trials, ("y",) * 4).target
    assert even.unseen == pytest.approx(even.mass / even.ess) == pytest.approx(1.0)


def test_other_outcomes_than_the_reward_are_estimated_alike() -> None:
    kinds, trials = draw(300, np.random.default_rng(4))
    double = evaluate_policy(trials, TARGET[kinds], outcomes=2.0 * trials.rewards + 1.0)
    assert double.doubly_robust.value == pytest.approx(
        2.0 * evaluate_policy(trials, TARGET[kinds]).doubly_robust.value + 1.0, abs=0.2
    )
    same = evaluate_policy(trials, TARGET[kinds], outcomes=np.full(300, 0.5))
    assert (same.snips.value, same.doubly_robust.value, same.direct_method.value) == pytest.approx((0.5, 0.5, 0.5))


def test_where_no_trial_speaks_for_a_side_there_is_no_answer_but_the_models() -> None:
    trials = LoggedTrials(tuple("abcdef"), ("x",) * 6, np.ones(6), np.linspace(0, 1, 6), arms=("x", "y"))
    found = evaluate_difference(trials, ("y",) * 6, ("x",) * 6)
    assert all(
        math.isnan(each.value) and math.isnan(each.lower) for each in (found.ips, found.snips, found.doubly_robust)
    )
    assert math.isfinite(found.direct_method.value)
    assert (found.target.ess, found.target.supported_ratio, found.against.supported_ratio) == (0.0, 0.0, 1.0)
    assert found.exploration_ratio == 0.0


def test_policies_that_never_differ_differ_by_nothing() -> None:
    kinds, trials = draw(50, np.random.default_rng(4))
    found = evaluate_difference(trials, TARGET[kinds], TARGET[kinds] * (1.0 + 1e-12))
    assert (found.snips.value, found.doubly_robust.value, found.doubly_robust.standard_error) == (0.0, 0.0, 0.0)
    assert math.isnan(found.target.supported_ratio)
    assert math.isnan(found.min_propensity)


def test_one_arm_has_the_value_of_its_mean() -> None:
    trials = LoggedTrials(tuple("abcdef"), ("x",) * 6, np.ones(6), [0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    found = evaluate_policy(trials, ("x",) * 6)
    for each in (found.ips, found.snips, found.doubly_robust):
        assert each.value == pytest.approx(4 / 6, abs=0.1)
    assert found.snips.value == found.ips.value == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"folds": 1}, "at least 2 folds"),
        ({"weight_limit": 0.0}, "positive limit"),
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"resamples": -1}, "nothing negative"),
        ({"fit": lambda _rows, _outcomes: lambda asked: np.zeros(asked.size)}, "outcome model"),
        ({"fit": lambda _rows, _outcomes: lambda asked: np.full((asked.size, 2), np.nan)}, "finite numbers"),
    ],
)
def test_settings_and_models_that_do_not_fit_are_refused(change: dict, culprit: str) -> None:
    kinds, trials = draw(50, np.random.default_rng(4))
    with pytest.raises(BadInput, match=culprit):
        evaluate_policy(trials, TARGET[kinds], estimation=Estimation(**change))


def test_a_short_log_has_as_many_folds_as_tasks_and_one_task_is_refused() -> None:
    trials = LoggedTrials(("a", "b"), ("x", "x"), [1.0, 1.0], [0.0, 1.0])
    # each trial is predicted by the other one
    assert cross_fit(trials, trials.rewards, Estimation()).tolist() == [[1.0], [0.0]]
    with pytest.raises(BadInput, match="all trials are of one task"):
        evaluate_policy(LoggedTrials(("a", "a"), ("x", "x"), [1.0, 1.0], [0.0, 1.0]), ("x", "x"))


def test_an_unknown_outcome_is_refused() -> None:
    kinds, trials = draw(50, np.random.default_rng(4))
    with pytest.raises(BadInput, match="drop the trials where it is unknown"):
        evaluate_policy(trials, TARGET[kinds], outcomes=np.asarray(trials.costs_usd))
