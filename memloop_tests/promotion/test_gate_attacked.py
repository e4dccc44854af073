"""Attacks on the comparison: values at their bounds, differences of nothing but rounding, rivals of which little is known."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from memloop_assets.benchmarks.sequential import MOST_LOOKS
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.report import Audit, report_facts, report_page, report_row
from memloop_assets.promotion.tables import decision_row
from memloop_assets.promotion.vetoes import Rivals
from memloop_assets.weeks import IsoWeek
from memloop_tests.promotion.test_vetoes import AFTER, BEFORE, TASKS, judge, raised, scores


@pytest.mark.parametrize("planned", [8, 24, MOST_LOOKS])
def test_the_first_of_many_planned_looks_is_decided_and_is_not_called_certain(planned: int) -> None:
    champion, challenger = scores("old", BEFORE), scores("new", AFTER)
    decision = PromotionPolicy(planned_looks=planned).evaluate(champion, challenger, 1.0, look=1)
    assert decision.outcome == "hold"
    assert " at 100 %" not in decision.reasons[1]
    assert "at over 99.9999 % confidence" in decision.reasons[1]


def test_the_number_of_tasks_named_would_pass_the_look_that_fell_short() -> None:
    champion, challenger = scores("old", BEFORE), scores("new", AFTER)
    decision = PromotionPolicy(planned_looks=8).evaluate(champion, challenger, 1.0, look=1)
    times = math.ceil(float(decision.metrics["needed_task_count"] or 0) / TASKS)
    assert times > 1, "the same tasks again would only repeat the same answer"
    before, after = scores("old", np.tile(BEFORE, times)), scores("new", np.tile(AFTER, times))
    assert PromotionPolicy(planned_looks=8).evaluate(before, after, 1.0, look=1).outcome == "promote"
    assert "at look 1 of 8" in decision.reasons[-1]


def test_a_tie_but_for_rounding_is_not_worse_than_a_baseline() -> None:
    """The gain of 10 points costs exactly as much, so that -3e-17 is left of every task."""
    dear, plain = scores("new", np.full(TASKS, 0.7), cost_usd=2.0), scores("cheapest-arm", np.full(TASKS, 0.6))
    tied = PromotionPolicy().evaluate(scores("old", np.full(TASKS, 0.3)), dear, 1.0, rivals=Rivals(baselines=(plain,)))
    assert (tied.outcome, raised(tied)) == ("promote", [])


def test_a_tie_but_for_rounding_is_not_better_than_a_control() -> None:
    """Here +3e-17 is left of every task."""
    dear, control = scores("new", np.full(TASKS, 0.4), cost_usd=2.0), scores("shuffled", np.full(TASKS, 0.3))
    tied = PromotionPolicy().evaluate(scores("old", np.full(TASKS, 0.1)), dear, 1.0, rivals=Rivals(shuffled=control))
    assert raised(tied) == ["shuffled"]


@pytest.mark.parametrize(("before", "after"), [(0.35, 0.3), (0.45, 0.4), (0.9, 0.85)])
def test_a_stratum_that_loses_exactly_its_margin_is_no_veto(before: float, after: float) -> None:
    is_travel = np.arange(TASKS) < 60
    champion = scores("old", np.where(is_travel, before, 0.5))
    challenger = scores("new", np.where(is_travel, after, 0.6))
    strata = {f"t{number:05d}": "travel" for number in range(60)}
    decision = PromotionPolicy().evaluate(champion, challenger, 1.0, rivals=Rivals(strata=strata))
    assert (decision.outcome, raised(decision)) == ("promote", [])


def known_on(count: int, rewards: np.ndarray) -> np.ndarray:
    return np.where(np.arange(TASKS) < count, rewards, math.nan)


def test_a_rival_known_on_a_handful_of_tasks_is_not_compared_and_the_report_does_not_call_it_passed() -> None:
    few = scores("task-mean", known_on(3, np.ones(TASKS)))
    decision = judge(baselines=[few], shuffled=scores("shuffled-control", known_on(2, BEFORE)))
    assert [(one.mean, one.is_against) for one in decision.findings] == [(None, False)] * 2
    assert "fewer than 30 tasks" in decision.findings[0].sentence
    policy = asdict(PromotionPolicy())
    row = decision_row(
        IsoWeek(2026, 5), decision, champion="old", challenger="new", policy=policy, suite_fingerprint="a" * 64
    )
    facts = report_facts(report_row(Audit(IsoWeek(2026, 5), decision=row)))
    page = report_page({**facts, "attempt": 1, "dry_run": False, "id": "1", "at": "now", "run_id": "r"})
    assert page.count("| not tested |") == page.count("| not tested: ") == 1, (
        "the baseline, and the control on shuffled rewards"
    )
    assert "| no veto |" not in page


def test_a_rival_known_on_part_of_the_tasks_is_compared_there_and_the_part_is_said() -> None:
    decision = judge(baselines=[scores("task-mean", known_on(400, BEFORE))])
    assert "against task-mean on 400 of 600 tasks: not significantly worse" in decision.findings[0].sentence


def test_one_unknown_cost_does_not_switch_a_veto_off() -> None:
    better = scores("cheapest-arm", np.where(np.arange(TASKS) % 10 == 0, 1.0, AFTER))
    costs = better.costs_usd.copy()
    costs[0] = math.nan
    rival = type(better)(better.policy, better.task_ids, better.arms, better.rewards, costs, better.latencies_ms)
    assert raised(judge(baselines=[rival])) == ["baseline cheapest-arm"]
