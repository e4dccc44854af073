"""Contract rows M2 to M4: the policy's inputs and answer, the benchmark suite, and the three cases of a cycle."""

from pathlib import Path

import numpy as np

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.suite import BenchmarkSuite, BenchmarkTask, default_suite, load_suite, save_suite
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.week_rules import Compared, WeekEvidence, decide_week
from memloop_assets.weeks import IsoWeek


def cycle(new_sample_count: int, won: int, lost: int) -> PromotionDecision:
    """Decide a closed week of 400 benchmark tasks, of which the challenger wins some and loses others."""
    differences = np.repeat([1.0, -1.0, 0.0], [won, lost, 400 - won - lost])
    ids, unknown = tuple(f"task-{number}" for number in range(400)), np.full(400, np.nan)
    costs = np.full(400, 0.02)
    before, after = (0.5 - differences / 2, 0.5 + differences / 2)
    return decide_week(
        WeekEvidence(
            week=IsoWeek(2026, 12),
            is_closed=True,
            arm_count=2,
            sample_count=500,
            new_sample_count=new_sample_count,
            suite_name="fixed",
            holdout_task_count=400,
        ),
        PromotionPolicy(min_new_samples=10),
        Compared(
            PolicyScores("champion", ids, ("large-model",) * 400, before, costs, unknown),
            PolicyScores("challenger", ids, ("small-model",) * 400, after, costs, unknown),
            0.02,
        ),
    )


def test_m02_a_policy_takes_four_thresholds_and_answers_with_a_verdict_its_reasons_and_its_numbers() -> None:
    policy = PromotionPolicy(
        min_reward_delta=0.01, max_error_rate_increase=0.02, max_latency_increase_ms=50.0, required_task_count=40
    )
    ids, costs = tuple(f"task-{number}" for number in range(40)), np.full(40, 0.02)
    poor = PolicyScores("v1", ids, ("a",) * 40, np.zeros(40), costs, np.full(40, 300.0))
    good = PolicyScores("v2", ids, ("b",) * 40, np.ones(40), costs, np.full(40, 340.0))
    slow = PolicyScores("v3", ids, ("b",) * 40, np.ones(40), costs, np.full(40, 400.0))
    decision = policy.evaluate(poor, good)
    assert decision.accepted is True
    assert all(isinstance(reason, str) for reason in decision.reasons)
    assert decision.metrics["reward_delta"] == 1.0
    for baseline, challenger in ((good, poor), (poor, slow), (good, good)):
        refused = policy.evaluate(baseline, challenger)
        assert refused.accepted is False
        assert refused.reasons


def test_m03_a_suite_is_json_that_survives_saving_and_loading(tmp_path: Path) -> None:
    suite = default_suite()
    save_suite(suite, tmp_path / "suite.json")
    assert load_suite(tmp_path / "suite.json") == suite
    assert BenchmarkSuite.from_json(suite.to_json()).fingerprint == suite.fingerprint


def test_m03_the_seed_suite_covers_memory_tool_skill_and_composite_tasks() -> None:
    assert all(isinstance(task, BenchmarkTask) for task in default_suite().tasks)
    assert {task.domain for task in default_suite().tasks} == {"memory", "tool", "skill", "composite"}


def test_m04_a_week_with_too_few_new_samples_is_skipped() -> None:
    decision = cycle(new_sample_count=9, won=300, lost=0)
    assert (decision.outcome, decision.accepted) == ("skip", False)
    assert "9 new samples" in decision.reasons[0]


def test_m04_a_challenger_that_loses_is_rejected() -> None:
    decision = cycle(new_sample_count=10, won=10, lost=60)
    assert (decision.outcome, decision.accepted) == ("reject", False)
    assert "-12.5 points" in decision.reasons[0]


def test_m04_a_challenger_that_wins_is_accepted() -> None:
    decision = cycle(new_sample_count=10, won=60, lost=10)
    assert (decision.outcome, decision.accepted) == ("promote", True)
    assert "+12.5 points" in decision.reasons[0]
