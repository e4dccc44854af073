"""The canary's judge: sessions are the unit, each verdict is named, and how often it errs is what it says."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.canary_error_rates import Scenario, run_canary
from memloop_assets.promotion.canary import Served, judge_canary
from memloop_assets.promotion.policy import PromotionPolicy

POLICY = PromotionPolicy(canary=True)


def served(session_count: int, failed_count: int, latency_ms: float = 200.0, good: float = 1.0) -> Served:
    """Sessions of one trial, of which some failed with reward 0 and the others earned ``good``; latencies lie close together."""
    rewards = np.repeat([0.0, good], [failed_count, session_count - failed_count])
    latencies = latency_ms + np.resize([-20.0, 0.0, 20.0], session_count)
    return Served(np.arange(session_count), rewards, (rewards < 0.5).astype(float), latencies)


def test_each_metric_that_is_significantly_worse_is_named_and_ends_the_canary() -> None:
    control = served(5000, 100)
    for canary, named in (
        (served(1000, 100), ["quality_regression", "failure_regression"]),
        (served(1000, 20, good=0.9), ["quality_regression"]),
        (served(1000, 20, latency_ms=230.0), ["latency_regression"]),
    ):
        decision = judge_canary(control, canary, POLICY)
        assert decision.outcome == "reject"
        assert [reason.split(":")[0] for reason in decision.reasons] == named
        assert [one.is_against for one in decision.findings].count(True) == len(named)
    failing = replace(served(1000, 20), failures=np.repeat([1.0, 0.0], [100, 900]))
    assert [one.split(":")[0] for one in judge_canary(control, failing, POLICY).reasons] == ["failure_regression"]


def test_an_equal_canary_is_promoted_once_enough_sessions_rule_a_loss_out() -> None:
    decision = judge_canary(served(9000, 900), served(1000, 100), POLICY)
    assert decision.outcome == "promote"
    assert decision.metrics["reward_delta"] == 0.0
    few = judge_canary(served(1800, 180), served(200, 20), POLICY)
    assert few.outcome == "hold"
    needed = few.metrics["needed_session_count"] or 0
    assert f"About {needed:,} sessions of the canary would decide" in few.reasons[-1]


def test_the_sessions_that_would_decide_do_decide_four_times_in_five() -> None:
    rng = np.random.default_rng(4)
    needed = int(judge_canary(served(1800, 180), served(200, 20), POLICY).metrics["needed_session_count"] or 0)
    drawn = (
        (9 * needed, int(rng.binomial(9 * needed, 0.1)), needed, int(rng.binomial(needed, 0.1))) for _ in range(100)
    )
    passed = sum(judge_canary(served(n, failed), served(m, lost), POLICY).accepted for n, failed, m, lost in drawn)
    assert 70 <= passed <= 92, "about 80 % of 100"


def test_a_significantly_slower_canary_may_be_as_slow_as_the_limit_says() -> None:
    control, slower = served(9000, 900), served(1000, 100, latency_ms=230.0)
    assert judge_canary(control, slower, POLICY).outcome == "reject"
    assert judge_canary(control, slower, replace(POLICY, max_latency_increase_ms=50.0)).outcome == "promote"
    assert judge_canary(control, slower, replace(POLICY, max_latency_increase_ms=20.0)).outcome == "reject"
    assert judge_canary(control, slower, replace(POLICY, max_latency_increase_ms=30.0)).outcome == "hold"


def test_what_is_not_logged_is_not_compared_and_a_limit_that_cannot_be_checked_holds() -> None:
    control, canary = served(9000, 900), served(1000, 100)
    silent = replace(canary, latencies_ms=np.full(1000, np.nan))
    assert judge_canary(control, silent, POLICY).outcome == "promote"
    held = judge_canary(control, silent, replace(POLICY, max_latency_increase_ms=50.0))
    assert (held.outcome, "tell of latency" in held.reasons[0]) == ("hold", True)
    unrated = replace(canary, rewards=np.full(1000, np.nan))
    held = judge_canary(control, unrated, POLICY)
    assert (held.outcome, "tell of reward" in held.reasons[0]) == ("hold", True)


def test_below_the_required_sessions_a_canary_can_end_but_not_be_promoted() -> None:
    policy = replace(POLICY, canary_min_sessions=2000)
    held = judge_canary(served(9000, 900), served(1000, 100), policy)
    assert (held.outcome, "2,000 are required" in held.reasons[0]) == ("hold", True)
    assert judge_canary(served(9000, 900), served(1000, 200), policy).outcome == "reject"
    tiny = judge_canary(served(9000, 0), served(29, 29), policy)
    assert (tiny.outcome, tiny.findings) == ("hold", ())


def test_trials_of_one_session_count_as_one() -> None:
    control = served(9000, 900)
    one_by_one = judge_canary(control, served(1000, 160), POLICY)
    rewards = np.repeat([0.0, 1.0], [160, 840])
    together = Served(np.arange(1000) // 20, rewards, 1.0 - rewards, np.full(1000, 200.0))
    assert (one_by_one.outcome, judge_canary(control, together, POLICY).outcome) == ("reject", "hold")


def test_a_canary_without_a_single_failure_is_not_taken_for_certain() -> None:
    decision = judge_canary(served(9000, 180), served(100, 0), POLICY)
    lower, upper = decision.metrics["error_rate_increase_lower"], decision.metrics["error_rate_increase_upper"]
    assert lower is not None
    assert upper is not None
    assert upper - lower > 0.04


@pytest.mark.parametrize(
    ("scenario", "outcome", "at_most"),
    [
        (Scenario("equal"), "reject", 0.05),
        (Scenario("at the limit", reward_delta=-0.03), "promote", 0.05),
        (Scenario("worse", reward_delta=-0.08), "promote", 0.0),
    ],
    ids=lambda one: one.name if isinstance(one, Scenario) else "",
)
def test_it_errs_no_more_often_than_it_says(scenario: Scenario, outcome: str, at_most: float) -> None:
    rng = np.random.default_rng([5, *scenario.name.encode()])
    policy = replace(POLICY, canary_share=0.5)  # as many sessions on both sides: cheap to draw
    ends = [run_canary(scenario, 150, policy, rng) for _ in range(120)]
    assert ends.count(outcome) <= 120 * at_most + 2 * (120 * at_most * (1 - at_most)) ** 0.5
