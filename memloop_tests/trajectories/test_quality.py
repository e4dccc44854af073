"""The grade: its points one by one, its boundaries, and what it must never look at."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.trajectories.quality import (
    HIGH_FROM,
    MEDIUM_FROM,
    RULE_NUMBER,
    TIERS,
    filter_trainable,
    grade_trajectory,
)
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_tests.trajectories.samples import after, event


@dataclass
class Facts:
    """What the grade looks at; by default one question and one answer."""

    user_message_count: int = 1
    assistant_message_count: int = 1
    tool_call_count: int = 0
    error_count: int = 0
    decision_count: int = 0
    has_successful_tool_call: bool = False
    is_multi_step: bool = False
    agent_confidence: float | None = None


PLAIN = Facts()
BEST = Facts(2, 2, 2, 0, 1, has_successful_tool_call=True, is_multi_step=True, agent_confidence=0.8)

any_facts = st.builds(
    Facts,
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(0, 1),
)


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({}, 1.0),
        ({"assistant_message_count": 0}, 0.0),
        ({"has_successful_tool_call": True}, 2.0),
        ({"tool_call_count": 1}, 1.0),
        ({"tool_call_count": 2}, 1.5),
        ({"tool_call_count": 9}, 1.5),
        ({"is_multi_step": True}, 2.0),
        ({"user_message_count": 2}, 1.0),
        ({"user_message_count": 2, "assistant_message_count": 2}, 1.5),
        ({"decision_count": 3}, 1.5),
        ({"agent_confidence": 0.8}, 1.5),
        ({"agent_confidence": 0.79}, 1.0),
        ({"agent_confidence": 0.4}, 1.0),
        ({"agent_confidence": 0.39}, 0.5),
        ({"error_count": 3}, -2.0),
    ],
)
def test_each_fact_gives_or_takes_its_points(change: dict[str, Any], points: float) -> None:
    assert grade_trajectory(replace(PLAIN, **change)).score == points


@pytest.mark.parametrize(
    ("facts", "score", "tier"),
    [
        (replace(BEST, decision_count=0, agent_confidence=None), HIGH_FROM, "HIGH"),
        (replace(BEST, decision_count=0, agent_confidence=None, tool_call_count=1), HIGH_FROM - 0.5, "MEDIUM"),
        (PLAIN, MEDIUM_FROM, "MEDIUM"),
        (replace(PLAIN, agent_confidence=0.1), MEDIUM_FROM - 0.5, "LOW"),
        (BEST, 5.0, "HIGH"),
        (replace(BEST, user_message_count=0), 3.5, "LOW"),
        (Facts(0, 0), 0.0, "LOW"),
    ],
)
def test_the_tiers_begin_exactly_at_their_bounds(facts: Facts, score: float, tier: str) -> None:
    quality = grade_trajectory(facts)
    assert (quality.score, quality.tier) == (score, tier)
    assert quality.is_trainable == (tier != "LOW")


def test_without_a_user_message_it_is_low_and_says_why() -> None:
    quality = grade_trajectory(replace(BEST, user_message_count=0))
    assert quality.tier == "LOW"
    assert quality.reasons[-1] == "no user message"


@given(any_facts)
def test_the_reasons_add_up_to_the_score(facts: Facts) -> None:
    quality = grade_trajectory(facts)
    points = [float(reason.split()[0]) for reason in quality.reasons if reason != "no user message"]
    assert sum(points) == quality.score


@given(any_facts)
def test_an_error_never_helps(facts: Facts) -> None:
    worse = grade_trajectory(replace(facts, error_count=facts.error_count + 1))
    assert worse.score == grade_trajectory(facts).score - 1.0
    assert TIERS.index(worse.tier) >= TIERS.index(grade_trajectory(facts).tier)


@given(st.lists(any_facts, max_size=6))
def test_the_filter_keeps_the_trainable_in_order_and_its_counts_add_up(facts: list[Facts]) -> None:
    accepted, counts = filter_trainable(facts)
    assert accepted == [one for one in facts if grade_trajectory(one).is_trainable]
    assert counts["accepted"] == len(accepted) == counts["high"] + counts["medium"]
    assert counts["high"] + counts["medium"] + counts["low"] == counts["total"] == len(facts)


def test_the_grade_does_not_see_the_outcome() -> None:
    talk = [event("message", after(0)), event("message", after(1), role="timmy")]
    failed = [*talk, event("outcome", after(2), success=False, reward=0.0)]
    assert grade_trajectory(Trajectory(failed)) == grade_trajectory(Trajectory(talk))


def test_a_change_of_the_rule_is_a_new_number() -> None:
    weights = [grade_trajectory(facts).score for facts in (PLAIN, BEST, replace(PLAIN, error_count=1))]
    assert (RULE_NUMBER, HIGH_FROM, MEDIUM_FROM, weights) == (1, 4.0, 1.0, [1.0, 5.0, 0.0])
