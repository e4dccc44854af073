"""A canary's week: how it begins, which trials count, and what ends it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from memloop_assets.promotion.canary import Served
from memloop_assets.promotion.canary_week import LiveTrials, begin_canary, decide_canary_week, live_trials
from memloop_assets.promotion.decision import CANARY_WEEK, PromotionDecision
from memloop_assets.promotion.evidence import Gathered
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.week_rules import Compared, WeekEvidence
from memloop_assets.routing.versions import Canary
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2026, 5)
CANARY = Canary("new", "old", 0.1, WEEK)
POLICY = PromotionPolicy(canary=True)


def trial(session: str | None, version: str | None, minute: int, **changes: object) -> dict[str, Any]:
    row = {
        "session_id": session,
        "origin": "live",
        "policy_version": version,
        "started_at": WEEK.end + timedelta(minutes=minute),
        "reward": 1.0,
        "is_known_failure": False,
        "latency_ms": 100.0,
    }
    return row | changes


def counts(rows: Iterable[dict[str, Any]]) -> tuple[int, int, int]:
    found = live_trials(rows, CANARY)
    return found.control.sessions.size, found.canary.sessions.size, found.mixed_count


def test_trials_are_those_of_live_sessions_of_either_router_since_the_canary_began_to_serve() -> None:
    began = [trial("c1", "new", 10), trial("c1", "new", 11), trial("o1", "old", 12)]
    assert counts(began) == (1, 2, 0)
    for ignored in (
        trial("o2", "old", 9),
        trial("o3", "older", 20),
        trial("o4", None, 20),
        trial(None, "old", 20),
        trial("c2", "new", 5, origin="benchmark"),
    ):
        assert counts([*began, ignored]) == (1, 2, 0), ignored
    assert counts([*began, trial("o5", "old", 9), trial("o5", "old", 30)]) == (1, 2, 0), "it began too early"
    assert counts([trial("o1", "old", 12)]) == (0, 0, 0)


def test_a_session_that_two_routers_served_is_left_out_and_counted() -> None:
    rows = [trial("c1", "new", 10), trial("m1", "old", 11), trial("m1", "new", 12), trial("o1", "old", 13)]
    assert counts(rows) == (1, 1, 1)


def test_a_failure_is_known_from_the_reward_or_from_the_outcome() -> None:
    rows = [
        trial("c1", "new", 0, reward=0.4),
        trial("c2", "new", 1, reward=None, is_known_failure=True),
        trial("c3", "new", 2, reward=None, latency_ms=None),
        trial("c4", "new", 3),
    ]
    found = live_trials(rows, CANARY).canary
    assert np.array_equal(found.failures, [1.0, 1.0, np.nan, 0.0], equal_nan=True)
    assert np.array_equal(found.rewards, [0.4, np.nan, np.nan, 1.0], equal_nan=True)
    assert np.isnan(found.latencies_ms).tolist() == [False, False, True, False]


def gathered(**changes: object) -> Gathered:
    found = Gathered(evidence(0), Compared(None, None), "champion", "new", (), None, {}, control_version="old")
    return replace(found, **changes)  # type: ignore[arg-type]  # its own fields


def evidence(weeks: int = 1, **changes: object) -> WeekEvidence:
    return WeekEvidence(week=WEEK.shift(weeks), **{"is_closed": True, **changes})  # type: ignore[arg-type]


def test_an_accepted_challenger_serves_a_share_first_only_where_canaries_are_on() -> None:
    accepted = PromotionDecision("promote", ("Better.",), {"task_count": 300})
    begun = begin_canary(accepted, gathered(), POLICY)
    assert (begun.outcome, begun.canary) == ("hold", CANARY)
    assert begun.reasons == ("Accepted; serves 10 % of the sessions first: the logs of 2026-W06 decide.", "Better.")
    assert begun.metrics == {"task_count": 300, CANARY_WEEK: 0}
    assert begin_canary(accepted, gathered(), PromotionPolicy()) == accepted
    assert begin_canary(accepted, gathered(control_version=None), POLICY).outcome == "error"
    for outcome in ("reject", "hold", "skip", "error"):
        other = PromotionDecision(outcome, ("No.",))  # type: ignore[arg-type]  # one of the five
        assert begin_canary(other, gathered(), POLICY) == other


def side(session_count: int, failed_count: int) -> Served:
    failures = np.repeat([1.0, 0.0], [failed_count, session_count - failed_count])
    return Served(np.arange(session_count), 1.0 - failures, failures, np.resize([90.0, 110.0], session_count))


EQUAL = LiveTrials(side(9000, 900), side(1000, 100), 3)
FEW = LiveTrials(side(900, 90), side(100, 10), 0)
WORSE = LiveTrials(side(9000, 900), side(1000, 200), 0)
NONE = LiveTrials(side(0, 0), side(0, 0), 0)


@pytest.mark.parametrize(
    ("trials", "weeks", "changes", "policy", "outcome", "goes_on", "reason"),
    [
        (EQUAL, 1, {}, {}, "promote", False, "does no worse than the champion"),
        (WORSE, 1, {}, {}, "reject", False, "quality_regression"),
        (FEW, 1, {}, {}, "hold", True, "The canary goes on: week 1 of 4."),
        (FEW, 3, {}, {}, "hold", True, "The canary goes on: week 3 of 4."),
        (FEW, 4, {}, {}, "hold", False, "It ran 4 weeks without a decision"),
        (FEW, 1, {}, {"canary_weeks": 1}, "hold", False, "It ran 1 weeks without a decision"),
        (NONE, 2, {}, {}, "hold", True, "served no session in the logs of 2026-W06..2026-W07"),
        (EQUAL, 1, {}, {"canary": False}, "hold", False, "switched off"),
        (EQUAL, 1, {"is_closed": False}, {}, "hold", True, "still open"),
        (EQUAL, 2, {"missing_predecessor": WEEK.shift(1)}, {}, "hold", True, "2026-W06 has no decision"),
        (EQUAL, 1, {"failed_inputs": ("trajectories 2026-W06",)}, {}, "error", False, "The canary ends"),
    ],
)
def test_a_canary_goes_on_only_through_a_hold_within_its_weeks(  # noqa: PLR0913, PLR0917  # a case has this many sides
    trials: LiveTrials,
    weeks: int,
    changes: dict[str, object],
    policy: dict[str, object],
    outcome: str,
    goes_on: bool,
    reason: str,
) -> None:
    decision = decide_canary_week(evidence(weeks, **changes), replace(POLICY, **policy), CANARY, trials)  # type: ignore[arg-type]
    assert (decision.outcome, decision.canary) == (outcome, CANARY if goes_on else None)
    assert reason in " ".join(decision.reasons)
    assert decision.reasons[-1] == "The week's own challenger was not judged: one canary at a time."
    assert ("the champion serves all sessions" in " ".join(decision.reasons)) == (not goes_on and outcome != "promote")
    assert decision.metrics[CANARY_WEEK] == weeks


def test_the_ledger_keeps_a_canary_as_it_was() -> None:
    assert Canary.of_facts(CANARY.as_facts()) == CANARY
    assert isinstance(CANARY.as_facts()["since"], str)
