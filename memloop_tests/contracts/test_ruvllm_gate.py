"""Contract rows R17 and R18: a gate that names accuracy and never writes in place, and a live comparison that keeps the control."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.client import load_champion
from memloop_assets.promotion.canary import Served, judge_canary
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_tests.scenario import LAST_RUN, LONG_AFTER, finished_home, run_weeks_through_dagster

TASKS = 400


def scores(accuracy: float, latency_ms: float = 200.0, arm: str = "large", count: int = TASKS) -> PolicyScores:
    """Scores with this share of right answers on the same tasks; a better policy is right wherever a worse one is."""
    ids = tuple(f"task-{number}" for number in range(count))
    right = (np.arange(count) < round(accuracy * count)).astype(float)
    return PolicyScores(arm, ids, (arm,) * count, right, np.full(count, 0.01), np.full(count, latency_ms))


def side(count: int, quality: float, latency_ms: float, failure_rate: float, rng: np.random.Generator) -> Served:
    """Sessions of one trial with this mean quality, latency and share of failed trials."""
    failed = np.arange(count) < round(failure_rate * count)
    rewards = np.where(failed, 0.0, quality / (1.0 - failure_rate))
    latencies = latency_ms + rng.normal(0.0, 40.0, count)
    return Served(np.arange(count), rewards, failed.astype(float), latencies)


def test_r17_a_student_of_78_percent_against_85_is_not_approved_and_accuracy_is_named() -> None:
    decision = PromotionPolicy().evaluate(scores(0.85), scores(0.78, arm="student"), 0.01)
    assert decision.accepted is False
    assert "accuracy" in decision.reasons[0]
    assert "-7.0 points" in decision.reasons[0]


def test_r17_it_is_promoted_where_it_dominates_or_ties_on_quality_latency_and_failure_rate() -> None:
    gate = PromotionPolicy(
        cost_weight=0.0, max_latency_increase_ms=0.0, max_error_rate_increase=0.0, min_reward_delta=0.0
    )
    champion = scores(0.85)
    assert gate.evaluate(champion, scores(0.92, arm="student")).accepted, "better, with a tie in latency"
    assert gate.evaluate(champion, scores(0.92, 150.0, "student")).accepted
    slower = gate.evaluate(champion, scores(0.92, 201.0, "student"))
    assert (slower.outcome, "Latency" in slower.reasons[0]) == ("reject", True)
    assert not gate.evaluate(champion, scores(0.84, 100.0, "student")).accepted, "faster does not make up for wrong"
    tied, cheaper = scores(0.85), replace(scores(0.85, arm="student"), costs_usd=np.full(TASKS, 0.005))
    assert replace(gate, cost_weight=0.1).evaluate(tied, cheaper, 0.01).accepted, "a tie in all three, at half the cost"


def test_r17_weights_are_never_written_in_place(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    champion, folder = home.ledger.champion_as_of(), home.places.router_versions

    def weights() -> dict[Path, tuple[bytes, int]]:
        return {path: (path.read_bytes(), path.stat().st_ino) for path in folder.rglob("*") if path.is_file()}

    before = weights()
    assert run_weeks_through_dagster(tmp_path / "home", LAST_RUN.shift(1)).success
    (other,) = {path.parent.name for path in weights()} - {path.parent.name for path in before}
    numbers = {"from_version": champion, "to_version": other, "evidence_hash": "e", "numbers": {}, "reason": "planted"}
    home.ledger.append_decision(LAST_RUN.shift(2), "promote", **numbers, now=datetime.fromisoformat(LONG_AFTER))  # type: ignore[arg-type]
    assert run_weeks_through_dagster(tmp_path / "home", LAST_RUN, assets=["router_checkpoint", "champion"]).success
    assert load_champion(home.places.data).version == other
    assert {path: found for path, found in weights().items() if path in before} == before


def test_r18_of_a_split_of_90_to_10_the_worse_treatment_loses_by_a_quality_regression() -> None:
    rng = np.random.default_rng(18)
    control, treatment = side(9_000, 0.90, 200.0, 0.02, rng), side(1_000, 0.88, 180.0, 0.05, rng)
    policy = PromotionPolicy(canary=True, canary_share=0.1)
    decision = judge_canary(control, treatment, policy)
    assert decision.outcome == "reject", "KeepControl"
    assert "quality_regression" in " ".join(decision.reasons)
    assert "failure_regression" in " ".join(decision.reasons)
    assert "latency_regression" not in " ".join(decision.reasons), "it is faster, and that does not save it"
    swapped = judge_canary(side(9_000, 0.88, 180.0, 0.05, rng), side(1_000, 0.90, 180.0, 0.02, rng), policy)
    assert swapped.accepted


@pytest.mark.parametrize(("significance_threshold", "outcome"), [(0.05, "reject"), (0.001, "hold")])
def test_r18_a_significance_threshold_is_taken(significance_threshold: float, outcome: str) -> None:
    rng = np.random.default_rng(19)
    control, treatment = side(4_500, 0.90, 200.0, 0.02, rng), side(500, 0.88, 180.0, 0.05, rng)
    policy = PromotionPolicy(canary=True, confidence=1.0 - significance_threshold)
    assert judge_canary(control, treatment, policy).outcome == outcome
