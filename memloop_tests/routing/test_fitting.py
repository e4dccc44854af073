"""What is learned of each arm: graded rewards, domains, trees from logs of one arm per task, calibration by tasks that did not teach."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from memloop_assets.routing.calibration import LEAST_SLOPE, MIN_ROWS, fit_calibration
from memloop_assets.routing.linear import logit, sigmoid
from memloop_assets.routing.logistic import fit_logistic
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_assets.routing.trials import read_trials
from memloop_assets.simulate import ARMS, World, draw_tasks, true_reward
from memloop_assets.weeks import IsoWeek
from memloop_tests.routing.test_training import sample, table

WEEK = IsoWeek(2026, 2)
WORLD = World(first_week=WEEK, seed=5, week_count=1)
PRICES = {name: arm.price_usd for name, arm in ARMS.items()}


def world_rows(count: int, *, is_full: bool = False, named: float = 1.0) -> list[dict[str, Any]]:
    """Trials of the simulated world: one arm per task at even odds, or every arm; a share of them names its domain."""
    random = np.random.default_rng(0)
    names = list(ARMS)
    rows = []
    for task in draw_tasks(WORLD, WEEK, count, "fitting"):
        truth = true_reward(WORLD, task, WEEK)
        domain = task.domain if random.random() < named else None
        for arm in names if is_full else [names[int(random.integers(len(names)))]]:
            reward, propensity = float(random.random() < truth[arm]), 1.0 if is_full else 1 / len(names)
            rows.append(sample(task.text, arm, reward, domain=domain, propensity=propensity))
    return rows


def truth_of(count: int = 400) -> tuple[list[str], list[str], np.ndarray]:
    tasks = draw_tasks(WORLD, WEEK, count, "asked")
    rewards = np.array([[true_reward(WORLD, task, WEEK)[arm] for arm in sorted(ARMS)] for task in tasks])
    return [task.text for task in tasks], [task.domain for task in tasks], rewards


def test_a_graded_reward_counts_as_the_share_of_as_many_whole_ones() -> None:
    random = np.random.default_rng(0)
    features = sparse.csr_array(random.normal(size=(30, 4)))
    grades, weights = random.integers(0, 5, 30) / 4, 1 + random.random(30)
    graded = fit_logistic(features, grades, weights, 0.7)
    doubled = sparse.vstack([features, features]).tocsr()
    whole = fit_logistic(doubled, np.repeat([1.0, 0.0], 30), np.append(weights * grades, weights * (1 - grades)), 0.7)
    np.testing.assert_allclose(graded[0], whole[0], atol=1e-9)
    assert graded[1] == pytest.approx(whole[1], abs=1e-9)


def test_the_logistic_fit_is_where_its_gradient_vanishes() -> None:
    random = np.random.default_rng(1)
    features, targets, weights = random.normal(size=(200, 8)), random.random(200), random.random(200)
    found, intercept = fit_logistic(sparse.csr_array(features), targets, weights, 1.4)
    errors = weights * (sigmoid(features @ found + intercept) - targets)
    np.testing.assert_allclose(features.T @ errors + 1.4 * found, 0.0, atol=1e-9)
    assert errors.sum() == pytest.approx(0.0, abs=1e-9)


def test_a_named_domain_predicts_better_and_leaving_it_out_costs_little() -> None:
    texts, domains, truth = truth_of()
    rows = world_rows(700)
    told = fit_router(table(rows), PRICES)
    untold = fit_router(table([{**row, "domain": None} for row in rows]), PRICES)
    named, unnamed = told.predict_reward_table(texts, domains), told.predict_reward_table(texts)
    error, error_unnamed, error_untold = (
        float(np.mean((found - truth) ** 2)) for found in (named, unnamed, untold.predict_reward_table(texts))
    )
    assert error < 0.9 * error_untold
    assert error_unnamed < 1.2 * error_untold


def test_a_domain_of_fewer_tasks_than_asked_for_is_not_told_apart() -> None:
    rows = [*world_rows(60), sample("a lone request", "small-model", 1.0, domain="lone")]
    found = fit_router(table(rows), PRICES).linear.domains
    assert "lone" not in found
    assert {"refunds", "writing"} <= set(found)


@pytest.mark.parametrize("is_full", [False, True])
def test_trees_are_grown_from_either_kind_of_log_and_predict_better_than_the_linear_half_alone(is_full: bool) -> None:
    texts, _, truth = truth_of()
    rows = world_rows(700, is_full=is_full, named=0.0)
    router = fit_router(table(rows), PRICES)
    assert router.forest is not None
    alone = replace(router, forest=None)
    errors = [float(np.mean((one.predict_reward_table(texts) - truth) ** 2)) for one in (router, alone)]
    assert errors[0] < errors[1]


def test_few_tasks_or_a_setting_leave_the_trees_out() -> None:
    rows = table(world_rows(60))
    assert fit_router(rows, PRICES).forest is None
    assert fit_router(rows, PRICES, TrainingSettings(min_forest_tasks=20)).forest is not None
    assert fit_router(rows, PRICES, TrainingSettings(min_forest_tasks=0)).forest is None


def test_calibration_finds_the_slope_and_shift_that_were_hidden() -> None:
    random = np.random.default_rng(2)
    scores = random.normal(size=20_000)
    rewards = (random.random(20_000) < sigmoid(0.5 * scores - 0.7)).astype(np.float64)
    slope, shift = fit_calibration(sigmoid(scores), rewards, np.ones(20_000))
    assert slope == pytest.approx(0.5, abs=0.05)
    assert shift == pytest.approx(-0.7, abs=0.05)


def test_calibration_leaves_few_rows_alone_and_never_turns_the_order_round() -> None:
    rewards = np.tile([1.0, 0.0, 0.0], 400)
    assert fit_calibration(np.full(MIN_ROWS - 1, 0.9), rewards[: MIN_ROWS - 1], np.ones(MIN_ROWS - 1)) == (1.0, 0.0)
    predicted = np.where(rewards > 0, 0.1, 0.9)
    slope, shift = fit_calibration(predicted, rewards, np.ones(1_200))
    assert slope == LEAST_SLOPE
    assert sigmoid(slope * logit(predicted) + shift).mean() == pytest.approx(1 / 3, abs=1e-6)


def test_rows_that_weigh_little_beside_a_few_calibrate_little() -> None:
    random = np.random.default_rng(4)
    scores = random.normal(size=2_000)
    rewards = (random.random(2_000) < sigmoid(0.3 * scores)).astype(np.float64)
    even = fit_calibration(sigmoid(scores), rewards, np.ones(2_000))[0]
    assert even == pytest.approx(fit_calibration(sigmoid(scores), rewards, np.full(2_000, 9.0))[0], abs=1e-9)
    lopsided = fit_calibration(sigmoid(scores), rewards, np.where(np.arange(2_000) < 60, 1.0, 1e-9))
    assert even == pytest.approx(0.35, abs=0.1)
    assert lopsided == pytest.approx(fit_calibration(sigmoid(scores[:60]), rewards[:60], np.ones(60)), abs=0.03)


def calibration_of(rows: list[dict[str, Any]], **settings: Any) -> tuple[float, float]:
    asked = TrainingSettings(min_calibration_tasks=100, memory_tasks=0, **settings)
    router = fit_router(table(rows), PRICES, asked)
    assert len(set(router.slopes.tolist())) == len(set(router.shifts.tolist())) == 1, "all arms share it"
    return float(router.slopes[0]), float(router.shifts[0])


@pytest.mark.parametrize("min_forest_tasks", [0, 300])
def test_what_is_predicted_of_tasks_that_taught_is_not_what_calibrates(min_forest_tasks: int) -> None:
    random = np.random.default_rng(3)
    noise = [{**row, "reward": float(random.random() < 0.5)} for row in world_rows(700, is_full=True)]
    slope, _ = calibration_of(noise, min_forest_tasks=min_forest_tasks)
    assert slope < 0.5, "what was learned by heart tells nothing of other tasks"


def test_calibration_mends_predictions_of_new_tasks_and_keeps_the_order_of_arms() -> None:
    texts, _, truth = truth_of()
    rows = table(world_rows(1_200, is_full=True, named=0.0))
    raw, calibrated = (
        fit_router(rows, PRICES, settings).predict_reward_table(texts)
        for settings in (TrainingSettings(min_calibration_tasks=0), TrainingSettings())
    )
    assert np.mean((calibrated - truth) ** 2) < np.mean((raw - truth) ** 2)
    assert np.argsort(calibrated, axis=1, kind="stable").tolist() == np.argsort(raw, axis=1, kind="stable").tolist()


@pytest.mark.parametrize("reward", [0.0, 1.0])
@pytest.mark.parametrize("arm", ["large-model", "new-model"])
def test_a_task_that_comes_all_the_time_does_not_calibrate_the_others(arm: str, reward: float) -> None:
    rows = world_rows(800) + [sample("are you there", arm, reward, propensity=0.2) for _ in range(800)]
    asked = TrainingSettings(min_calibration_tasks=100, min_forest_tasks=0, memory_tasks=0)
    router = fit_router(table(rows), {**PRICES, "new-model": 0.001}, asked)
    texts, domains, truth = truth_of()
    known = [router.arms.index(name) for name in sorted(ARMS)]
    bare = replace(router, slopes=np.ones(len(router.arms)), shifts=np.zeros(len(router.arms)))
    raw, calibrated = (one.predict_reward_table(texts, domains)[:, known] for one in (bare, router))
    assert np.mean((calibrated - truth) ** 2) < 1.1 * np.mean((raw - truth) ** 2)


def test_one_task_alone_calibrates_nothing() -> None:
    rows = [sample("the only task", arm, reward) for arm in ARMS for reward in (0.0, 1.0) * 20]
    router = fit_router(table(rows), PRICES, TrainingSettings(min_calibration_tasks=1))
    assert router.slopes.tolist() == [1.0] * len(ARMS)


def test_trials_without_a_domain_do_not_count_in_a_domain_that_is_called_nothing() -> None:
    named = [sample(f"task {place}", "large-model", 1.0, domain="") for place in range(40)]
    unnamed = [sample(f"other {place}", "large-model", 0.0) for place in range(400)]
    router = fit_router(table(named + unnamed), PRICES)
    assert router.linear.domains == ("",)
    assert router.linear.domain_means[0, router.arms.index("large-model")] > 0.8


def test_few_tasks_or_a_setting_leave_calibration_out() -> None:
    rows = world_rows(300, is_full=True)
    assert fit_router(table(rows), PRICES).slopes.tolist() == [1.0] * len(ARMS)
    assert calibration_of(rows) != (1.0, 0.0)


def test_a_task_is_in_one_half_whatever_other_tasks_there_are() -> None:
    rows = world_rows(300, is_full=True)
    some, more = (read_trials(table(one), 0.05) for one in (rows[:1_000], rows))
    half_of = [dict(zip(one.task_keys, one.task_halves().tolist(), strict=True)) for one in (some, more)]
    assert half_of[0].items() <= half_of[1].items()
    assert 0.4 < np.mean(list(half_of[1].values())) < 0.6
    assert all(half_of[1][key] == of_first for key, of_first in zip(more.task_keys, more.task_halves(), strict=True))
    assert more.task_halves(1).tolist() != more.task_halves().tolist()
