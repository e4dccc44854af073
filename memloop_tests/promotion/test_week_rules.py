"""The rules of a week: what keeps the gate from promoting, in which order it is named, and in which words."""

import numpy as np
import pytest

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.errors import BadInput
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.week_rules import Compared, WeekEvidence, decide_week
from memloop_assets.weeks import IsoWeek

GATE = PromotionPolicy()
WEEK = IsoWeek(2026, 5)


def scores(arm: str, rewards: np.ndarray) -> PolicyScores:
    n = rewards.size
    ids = tuple(f"t{number}" for number in range(n))
    return PolicyScores("drawn", ids, (arm,) * n, rewards, np.ones(n), np.full(n, np.nan))


def evidence(**changes: object) -> WeekEvidence:
    """Return the evidence of a week in which nothing is amiss."""
    sound = {
        "week": WEEK,
        "is_closed": True,
        "arm_count": 3,
        "sample_count": 900,
        "new_sample_count": 120,
        "suite_name": "ours",
        "holdout_task_count": 500,
    }
    return WeekEvidence(**(sound | changes))  # type: ignore[arg-type]


def decide(won: int = 80, lost: int = 20, tied: int = 400, **changes: object) -> PromotionDecision:
    """Decide a week in which the challenger wins, loses and ties that many tasks at equal cost."""
    differences = np.repeat([1.0, -1.0, 0.0], [won, lost, tied])
    return decide_week(
        evidence(**changes),
        GATE,
        Compared(scores("old", 0.5 - differences / 2), scores("new", 0.5 + differences / 2), 1.0),
    )


def test_a_sound_week_is_decided_by_the_policy() -> None:
    decision = decide()
    assert decision.outcome == "promote"
    assert decision.metrics["new_sample_count"] == 120
    assert decide(20, 80).outcome == "reject"
    assert decide(27, 20, 453).outcome == "hold"


OBSTACLES: list[tuple[dict[str, object], str, str]] = [
    ({"failed_inputs": ("router_checkpoint",)}, "error", "router_checkpoint"),
    ({"is_closed": False}, "hold", "still open; it can be decided from Monday 2026-02-02"),
    ({"missing_predecessor": IsoWeek(2026, 4)}, "hold", "memloop backfill 2026-W04..2026-W05"),
    ({"new_sample_count": 0}, "skip", "2026-W05 brought no new samples"),
    ({"new_sample_count": 19}, "skip", "only 19 new samples; 20 are required"),
    ({"arm_count": 1}, "skip", "one arm"),
    ({"suite_name": None, "holdout_task_count": 0}, "hold", "memloop benchmark import"),
    ({"holdout_task_count": 99}, "hold", "ours has 99 holdout tasks; 100 are required"),
]


@pytest.mark.parametrize(("changes", "outcome", "reason"), OBSTACLES)
def test_no_obstacle_lets_the_best_of_challengers_through(
    changes: dict[str, object], outcome: str, reason: str
) -> None:
    decision = decide(500, 0, 0, **changes)
    assert (decision.outcome, decision.accepted) == (outcome, False)
    assert len(decision.reasons) == 1
    assert reason in decision.reasons[0]


@pytest.mark.parametrize("first", range(len(OBSTACLES)))
def test_of_several_obstacles_the_earlier_one_is_named(first: int) -> None:
    together: dict[str, object] = {}
    for changes, _outcome, _reason in reversed(OBSTACLES[first:]):
        together |= changes
    decision = decide(**together)
    assert decision.outcome == OBSTACLES[first][1]
    assert OBSTACLES[first][2] in decision.reasons[0]


def test_a_week_whose_scores_are_missing_is_an_error_that_names_them() -> None:
    only = scores("old", np.ones(500))
    for champion, challenger, named in (
        (only, None, "The challenger of"),
        (None, only, "The champion of"),
        (None, None, "champion and challenger"),
    ):
        decision = decide_week(evidence(), GATE, Compared(champion, challenger, 1.0))
        assert decision.outcome == "error"
        assert named in decision.reasons[0]


def test_the_first_week_misses_no_predecessor() -> None:
    assert decide(is_first_week=True).outcome == "promote"
    with pytest.raises(BadInput, match="first week"):
        evidence(is_first_week=True, missing_predecessor=IsoWeek(2026, 4))
