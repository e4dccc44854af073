"""Scores of policies, the baselines, arm statistics and the rows of benchmark results."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.benchmarks.evaluation import (
    BASELINE_POLICIES,
    RESULT_SCHEMA,
    ArmStatistics,
    PolicyScores,
    reference_cost,
    result_rows,
    score_baselines,
    score_policy,
    scores_of_rows,
)
from memloop_assets.benchmarks.suite import ArmOutcome, BenchmarkTask, default_suite
from memloop_assets.errors import BadInput
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2026, 5)
TASKS = (
    BenchmarkTask(
        "t1", "one", "law", "holdout", {"big": ArmOutcome(1.0, 0.02, 900.0), "small": ArmOutcome(1.0, 0.001)}
    ),
    BenchmarkTask("t2", "two", "law", "holdout", {"big": ArmOutcome(0.0), "small": ArmOutcome(0.5)}),
    BenchmarkTask("t3", "three", None, "holdout", {"big": ArmOutcome(1.0, 0.04, 1100.0)}),
)
PRICES = {"big": 0.03, "small": 0.002}


def samples(*rows: tuple[str, str | None, float, float | None, float]) -> pa.Table:
    """Return router samples from (arm, domain, reward, cost_usd, weight)."""
    names = ("arm", "domain", "reward", "cost_usd", "weight")
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    kinds = (pa.large_string(), pa.large_string(), pa.float64(), pa.float64(), pa.float64())
    return pa.table({name: pa.array(c, kind) for name, c, kind in zip(names, columns, kinds, strict=True)})


def many(arm: str, domain: str | None, good: int, bad: int, cost: float | None = None) -> list[tuple]:
    return [(arm, domain, 1.0, cost, 1.0)] * good + [(arm, domain, 0.0, cost, 1.0)] * bad


def test_a_score_is_read_off_the_suite_and_never_invented() -> None:
    scores = score_policy(TASKS, "always-small", lambda _task: "small", PRICES)
    np.testing.assert_array_equal(scores.rewards, [1.0, 0.5, np.nan])
    np.testing.assert_array_equal(scores.costs_usd, [0.001, 0.002, 0.002])
    np.testing.assert_array_equal(scores.latencies_ms, [np.nan, np.nan, np.nan])
    assert scores.supported.tolist() == [True, True, False]
    assert scores.mean_reward == 0.75


def test_a_policy_that_chooses_nothing_earns_nothing_known() -> None:
    scores = score_policy(TASKS, "silent", lambda _task: None, PRICES)
    assert scores.arms == (None, None, None)
    assert np.isnan(scores.rewards).all()
    assert np.isnan(scores.costs_usd).all()
    assert math.isnan(scores.mean_reward)


def test_an_unknown_cost_stays_unknown_without_a_price() -> None:
    scores = score_policy(TASKS, "always-big", lambda _task: "big")
    np.testing.assert_array_equal(scores.costs_usd, [0.02, np.nan, 0.04])
    assert scores.mean_cost_usd == pytest.approx(0.03)


def test_scores_are_read_only_and_of_one_length() -> None:
    scores = score_policy(TASKS, "always-big", lambda _task: "big")
    with pytest.raises(ValueError, match="read-only"):
        scores.rewards[0] = 0.5
    with pytest.raises(BadInput, match="2 tasks"):
        PolicyScores("odd", ("a", "b"), ("x", "x"), np.ones(3), np.ones(2), np.ones(2))


def test_the_reference_cost_is_the_arms_mean_cost_on_these_tasks() -> None:
    assert reference_cost(TASKS, "big", PRICES) == pytest.approx((0.02 + 0.03 + 0.04) / 3)
    assert reference_cost(TASKS, "small") == 0.001
    assert math.isnan(reference_cost(TASKS, "stranger"))
    assert math.isnan(reference_cost(TASKS, None, PRICES))


def test_statistics_shrink_a_cell_towards_its_arm_and_an_arm_towards_all() -> None:
    table = samples(*many("big", "law", 30, 10), *many("small", "law", 10, 30), *many("small", "tax", 5, 0))
    statistics = ArmStatistics.of_samples(table)
    overall = 45 / 85
    small = (15 + 10 * overall) / (45 + 10)
    assert statistics.arms == ("big", "small")
    assert statistics.sample_counts == {"big": 40, "small": 45}
    assert statistics.mean_rewards["big"] == pytest.approx((30 + 10 * overall) / 50)
    assert statistics.mean_rewards["small"] == pytest.approx(small)
    assert statistics.domain_rewards["tax", "small"] == pytest.approx((5 + 10 * small) / 15)
    assert ("tax", "big") not in statistics.domain_rewards


def test_weights_count_and_many_light_samples_count_as_fewer() -> None:
    statistics = ArmStatistics.of_samples(
        samples(("a", None, 1.0, None, 3.0), ("a", None, 0.0, None, 1.0), ("b", None, 0.0, None, 4.0))
    )
    overall, effective = 3 / 8, 16 / 10
    assert statistics.mean_rewards["a"] == pytest.approx((effective * 0.75 + 10 * overall) / (effective + 10))


def test_configured_prices_come_before_logged_costs() -> None:
    table = samples(*many("big", None, 2, 0, 0.02), *many("small", None, 2, 0, 0.004), *many("free", None, 1, 1))
    statistics = ArmStatistics.of_samples(table, {"big": 0.001, "unseen": 0.0})
    assert statistics.mean_costs_usd == {"big": 0.001, "small": 0.004, "unseen": 0.0}
    assert statistics.cheapest_arm == "big"


def test_without_samples_no_arm_is_known_and_baselines_are_unknown() -> None:
    statistics = ArmStatistics.of_samples(samples())
    assert (statistics.cheapest_arm, statistics.best_arm_of("law")) == (None, None)
    best = score_baselines(TASKS, statistics, best_arm=None, reference_arm=None)[0]
    assert np.isnan(best.rewards).all()


def test_the_baselines_choose_as_they_are_named() -> None:
    table = samples(
        *many("big", "tax", 40, 5, 0.03), *many("small", "law", 40, 10, 0.002), *many("small", "tax", 5, 40)
    )
    statistics = ArmStatistics.of_samples(table)
    scored = score_baselines(TASKS, statistics, best_arm="big", reference_arm="big")
    baselines = {scores.policy: scores for scores in scored}
    assert tuple(baselines) == BASELINE_POLICIES
    assert baselines["best-single-arm"].arms == ("big",) * 3
    assert baselines["cheapest-arm"].arms == ("small",) * 3
    assert baselines["task-mean"].arms == (statistics.best_arm_of("law"), statistics.best_arm_of("law"), "big")
    assert baselines["oracle"].arms == ("small", "small", "big")
    np.testing.assert_allclose(baselines["random"].rewards, [1.0, 0.25, 1.0])
    np.testing.assert_allclose(baselines["random"].costs_usd, [0.0105, 0.016, 0.04])
    assert baselines["random"].arms == (None, None, None)


def test_task_mean_prefers_the_arm_that_does_better_in_the_domain() -> None:
    table = samples(*many("big", "tax", 90, 10), *many("big", "law", 10, 90), *many("small", "law", 90, 10))
    statistics = ArmStatistics.of_samples(table)
    assert statistics.best_arm_of("law") == "small"
    assert statistics.best_arm_of("physics") is None
    assert statistics.best_arm_of(None) is None


@given(st.data())
def test_no_policy_beats_the_oracle(data: st.DataObject) -> None:
    tasks = default_suite().tasks
    arms = data.draw(st.lists(st.sampled_from(default_suite().arms), min_size=len(tasks), max_size=len(tasks)))
    chosen = dict(zip((task.task_id for task in tasks), arms, strict=True))
    scores = score_policy(tasks, "drawn", lambda task: chosen[task.task_id])
    oracle = score_baselines(tasks, ArmStatistics(), best_arm=None, reference_arm=None)[-1]
    assert (oracle.rewards >= scores.rewards).all()
    assert not ((oracle.rewards == scores.rewards) & (oracle.costs_usd > scores.costs_usd)).any()


def test_scores_come_back_the_same_from_their_rows() -> None:
    scored = (
        score_policy(TASKS, "challenger", lambda task: "small" if task.domain else None, PRICES),
        score_policy(TASKS, "champion", lambda _task: "big"),
    )
    rows = result_rows(scored, TASKS, WEEK)
    assert rows.schema.equals(RESULT_SCHEMA)
    assert set(rows.column("week").to_pylist()) == {"2026-W05"}
    assert rows.column("task_key").to_pylist()[0] == task_key("one")
    assert rows.column("reward").null_count == 1
    assert not any(math.isnan(value) for value in rows.column("cost_usd").to_pylist() if value is not None)
    for scores in scored:
        again = scores_of_rows(rows, scores.policy)
        assert (again.policy, again.task_ids, again.arms) == (scores.policy, scores.task_ids, scores.arms)
        for name in ("rewards", "costs_usd", "latencies_ms"):
            np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))


def test_rows_of_an_unknown_policy_or_a_strange_task_are_refused() -> None:
    scored = score_policy(TASKS, "champion", lambda _task: "big")
    with pytest.raises(BadInput, match="'t3' is not in the benchmark"):
        result_rows([scored], TASKS[:2], WEEK)
    with pytest.raises(BadInput, match="name one that has: champion"):
        scores_of_rows(result_rows([scored], TASKS, WEEK), "challenger")
    assert result_rows([], TASKS, WEEK).num_rows == 0
