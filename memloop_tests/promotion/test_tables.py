"""A decision as a row: what it names, and that only ``promote`` names another champion afterwards."""

import json
from dataclasses import asdict
from typing import get_args

import pytest

from memloop_assets.promotion.decision import Finding, Outcome, PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION, decision_row
from memloop_assets.weeks import IsoWeek

NUMBERS: dict[str, float | int | None] = {
    "task_count": 240,
    "baseline_reward": 0.5,
    "challenger_reward": 0.6,
    "baseline_cost_usd": 0.02,
    "challenger_cost_usd": 0.01,
    "reward_delta": 0.1,
    "reward_delta_lower": 0.05,
    "reward_delta_upper": 0.15,
    "utility_delta": None,
    "changed_choice_count": 12,
}
FINDING = Finding(
    "stratum travel", is_against=True, sentence="Worse.", mean=-0.1, lower=-0.2, upper=-0.06, task_count=64
)


def row_of(outcome: Outcome) -> dict[str, object]:
    return decision_row(
        IsoWeek(2026, 12),
        PromotionDecision(outcome, ("First.", "Second."), NUMBERS, (FINDING,)),
        champion="old",
        challenger="new",
        policy=asdict(PromotionPolicy()),
        suite_fingerprint="f",
    )


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_only_a_promotion_names_another_champion_afterwards(outcome: Outcome) -> None:
    row = row_of(outcome)
    assert (row["champion_before"], row["challenger"]) == ("old", "new")
    assert row["champion_after"] == ("new" if outcome == "promote" else "old")


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_a_row_keeps_its_contract_and_says_everything_that_was_weighed(outcome: Outcome) -> None:
    table = PROMOTION_DECISION.conform(PROMOTION_DECISION.table([row_of(outcome)]))
    assert PROMOTION_DECISION.violations(table) == []
    (row,) = table.to_pylist()
    assert (row["champion_reward"], row["challenger_reward"], row["task_count"]) == (0.5, 0.6, 240.0)
    assert (row["champion_cost_usd"], row["utility_delta"]) == (0.02, None)
    assert json.loads(row["metrics_json"]) == NUMBERS
    assert json.loads(row["reasons_json"]) == ["First.", "Second."]
    assert json.loads(row["findings_json"]) == [asdict(FINDING)]
    assert json.loads(row["policy_json"]) == {
        **asdict(PromotionPolicy()),
        "vetoes_off": [],
        "veto_baselines": ["best-single-arm", "cheapest-arm"],
    }


def test_an_outcome_that_the_gate_does_not_know_breaks_the_contract() -> None:
    table = PROMOTION_DECISION.conform(PROMOTION_DECISION.table([{**row_of("hold"), "outcome": "maybe"}]))
    assert any("maybe" in violation for violation in PROMOTION_DECISION.violations(table))


def test_a_row_carries_no_clock() -> None:
    assert row_of("hold") == row_of("hold")
    assert not [column for column in PROMOTION_DECISION.columns if column.type == "time"]
