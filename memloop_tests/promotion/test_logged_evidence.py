"""Live logs as evidence: who may decide by them, what they decide, and what they say when they may not."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.datasets.tables import ROUTER_SAMPLES
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.logged_evidence import LoggedTrialsOfWeeks, decide_from_logs, gather_trials
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.week_rules import Compared, WeekEvidence, decide_week
from memloop_assets.routing.router import single_arm_router
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2026, 12)
PRICES = {"large": 1.0, "small": 0.2}
RULES = PromotionPolicy().logged_rules


def logs(n: int, gain: float, *, exploration: float = 0.5, seed: int = 0) -> LoggedTrialsOfWeeks:
    """Return trials on which the small arm earns ``gain`` more than the large one, which serves but for the exploration."""
    rng = np.random.default_rng(seed)
    explored = rng.random(n) < exploration
    served = np.where(explored, "small", "large")
    rewards = rng.random(n) < np.where(explored, 0.6 + gain, 0.6)
    trials = LoggedTrials(
        tuple(f"task {number}" for number in range(n)),
        tuple(served.tolist()),
        np.where(explored, exploration, 1.0 - exploration),
        rewards.astype(float),
        np.where(explored, PRICES["small"], PRICES["large"]),
        arms=("large", "small"),
    )
    return LoggedTrialsOfWeeks(trials, ("small",) * n, ("large",) * n, 1.0, WEEK, 0)


def decide(found: LoggedTrialsOfWeeks) -> PromotionDecision:
    return decide_from_logs(found, RULES)


def test_a_better_and_cheaper_arm_is_promoted_by_logs_that_explore() -> None:
    decision = decide(logs(2000, 0.1))
    assert decision.outcome == "promote"
    assert decision.metrics["utility_delta"] == pytest.approx(0.1 + 0.08, abs=0.05)
    assert "doubly robust; the recipe fitted without them" in decision.reasons[0]
    assert decision.metrics["error_rate_increase"] == pytest.approx(-decision.metrics["reward_delta"])


def test_a_worse_arm_is_rejected_and_an_unclear_one_is_held_with_the_number_that_would_decide() -> None:
    worse = decide(logs(2000, -0.2))
    assert worse.outcome == "reject"
    assert "at least -3.0 points is required" in worse.reasons[0]
    unclear = decide(logs(400, -0.02))
    assert unclear.outcome == "hold"
    assert unclear.metrics["needed_task_count"] > 400
    assert "such trials, of as many more users, would decide" in unclear.reasons[-1]


@pytest.mark.parametrize(("n", "exploration", "told"), [(4000, 0.02, "explore"), (300, 0.1, "weight of")])
def test_logs_that_explore_too_little_decide_nothing_however_clear_they_look(
    n: int, exploration: float, told: str
) -> None:
    decision = decide(logs(n, 0.4, exploration=exploration))
    assert decision.outcome == "hold"
    assert any(told in reason for reason in decision.reasons)


def test_an_equal_challenger_is_promoted_one_time_in_twenty() -> None:
    rules = replace(RULES, cost_weight=0.0)
    promoted = [decide_from_logs(logs(600, 0.0, seed=seed), rules).accepted for seed in range(400)]
    assert 0.02 <= np.mean(promoted) <= 0.085


def test_without_a_known_cost_of_the_reference_arm_nothing_is_weighed() -> None:
    found = replace(logs(2000, 0.1), reference_cost_usd=None)
    assert decide(found).outcome == "hold"
    assert "cost of the reference arm" in decide(found).reasons[0]


def samples(weeks: int, per_week: int = 60, propensity: float | None = 0.5) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = []
    for back in range(weeks):
        for number in range(per_week):
            arm = ("large", "small")[number % 2]
            rows.append(
                {
                    "week": str(WEEK.shift(-back)),
                    "example_id": f"{back}-{number}",
                    "task_key": f"k{back}-{number}",
                    "task_text": f"convert {number} inches {back}",
                    "domain": None,
                    "arm": arm,
                    "reward": float(rng.random() < 0.6),
                    "cost_usd": PRICES[arm],
                    "latency_ms": None,
                    "propensity": propensity,
                    "label_source": None,
                    "quality_tier": "HIGH",
                    "near_duplicate_of": None,
                    "asker": (f"u{number}", f"s{number}", None)[number % 3],
                }
            )
    table = ROUTER_SAMPLES.table(rows)
    return table.append_column("weight", pa.array(np.ones(table.num_rows)))


def gather(table: pa.Table) -> LoggedTrialsOfWeeks | str:
    champion = single_arm_router("large", PRICES)
    return gather_trials(table, WEEK, champion, prices_usd=PRICES, training=TrainingSettings(), rules=RULES)


def test_the_newest_weeks_are_judged_by_a_twin_that_never_saw_them() -> None:
    found = gather(samples(6))
    assert isinstance(found, LoggedTrialsOfWeeks)
    assert (len(found.trials.served), found.first_week, found.dropped_count) == (240, WEEK.shift(-3), 0)
    assert set(found.champion_choices) == {"large"}
    # Other rewards in the newest weeks change nothing of what the twin chooses.
    table = samples(6)
    place = table.schema.get_field_index("reward")
    is_new = [week >= str(WEEK.shift(-3)) for week in table["week"].to_pylist()]
    turned = [1.0 - reward if new else reward for reward, new in zip(table["reward"].to_pylist(), is_new, strict=True)]
    again = gather(table.set_column(place, "reward", pa.array(turned)))
    assert isinstance(again, LoggedTrialsOfWeeks)
    assert again.twin_choices == found.twin_choices


def test_who_asked_comes_from_the_samples_and_of_how_many_it_is_not_known_is_said() -> None:
    found = gather(samples(6))
    assert isinstance(found, LoggedTrialsOfWeeks)
    asked = dict(zip(found.trials.task_keys, found.trials.askers, strict=True))
    assert (asked["k0-3"], asked["k1-3"], asked["k0-4"], asked["k0-5"]) == ("u3", "u3", "s4", "tk0-5")
    assert found.userless_count == 160
    told = decide(replace(logs(2000, 0.1), userless_count=160)).reasons[0]
    assert "for 160 no user is logged, so these count as independent from session to session" in told


def test_one_user_who_asks_most_of_the_tasks_is_held_and_said() -> None:
    found = logs(2000, 0.3)
    askers = tuple("u1" if row % 5 < 3 else f"u{row % 61}" for row in range(2000))
    decision = decide(replace(found, trials=replace(found.trials, askers=askers)))
    assert decision.outcome == "hold"
    assert "The live trials come from too few users" in decision.reasons[0]
    assert len(decision.reasons) == 1
    assert decision.metrics["logged_champion_asker_ess"] == pytest.approx(2.7, abs=0.2)
    assert decision.metrics["logged_champion_ess"] > 500


def test_trials_without_a_propensity_and_weeks_without_a_past_are_said() -> None:
    assert "0 of 240 logged trials" in str(gather(samples(6, propensity=None)))
    assert "that a twin of the challenger could have learned from" in str(gather(samples(3)))


def test_a_week_without_a_benchmark_is_decided_by_its_logs_and_says_both() -> None:
    evidence = WeekEvidence(
        week=WEEK,
        is_closed=True,
        arm_count=2,
        sample_count=900,
        new_sample_count=100,
        suite_name=None,
        holdout_task_count=0,
    )
    decision = decide_week(evidence, PromotionPolicy(), Compared(None, None, logged=logs(2000, 0.1)))
    assert decision.outcome == "promote"
    assert "benchmark" in decision.reasons[0]
    held = decide_week(evidence, PromotionPolicy(), Compared(None, None, logged="There are no trials."))
    assert (held.outcome, held.reasons[1]) == ("hold", "There are no trials.")
    assert decide_week(evidence, PromotionPolicy(), Compared(None, None)).outcome == "hold"


def test_the_thresholds_of_the_policy_stand_above_logs_too() -> None:
    found = logs(2000, 0.1)
    wanted = PromotionPolicy(min_reward_delta=0.3).logged_rules
    assert "at least +30.0 points is required" in decide_from_logs(found, wanted).reasons[0]
    latencies = np.where(np.array(found.trials.served) == "small", 900.0, 100.0)
    slow = replace(found, trials=replace(found.trials, latencies_ms=latencies))
    limit = PromotionPolicy(max_latency_increase_ms=500.0).logged_rules
    rejected = decide_from_logs(slow, limit)
    assert (rejected.outcome, rejected.accepted) == ("reject", False)
    assert "Latency rises by 800 ms; the limit is 500 ms." in rejected.reasons
    unknown = decide_from_logs(found, limit)
    assert unknown.outcome == "hold"
    assert "max_latency_increase_ms cannot be checked" in unknown.reasons[0]
    assert decide_from_logs(slow, PromotionPolicy(max_latency_increase_ms=900.0).logged_rules).outcome == "promote"


def test_a_gain_in_reward_may_not_hide_that_more_tasks_fail() -> None:
    found = logs(2000, 0.0)
    is_small = np.array(found.trials.served) == "small"
    drawn = np.random.default_rng(5).random(2000)
    rewards = np.where(is_small, np.where(drawn < 0.8, 1.0, 0.0), 0.6)
    decision = decide(replace(found, trials=replace(found.trials, rewards=rewards)))
    assert decision.metrics["reward_delta"] > 0.1
    assert decision.outcome == "reject"
    assert "The share of failed tasks (reward below 0.5)" in decision.reasons[0]


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.float64()))


def test_failures_without_a_logged_cost_are_not_dropped() -> None:
    table = samples(6)
    arms, rewards = table["arm"].to_pylist(), table["reward"].to_pylist()
    unpriced = [None if reward == 0.0 else PRICES[arm] for arm, reward in zip(arms, rewards, strict=True)]
    found, whole = gather(with_column(table, "cost_usd", unpriced)), gather(table)
    assert isinstance(found, LoggedTrialsOfWeeks)
    assert isinstance(whole, LoggedTrialsOfWeeks)
    assert (len(found.trials.served), found.dropped_count) == (240, 0)
    assert decide(found).metrics["reward_delta"] == decide(whole).metrics["reward_delta"]
    assert np.array_equal(found.trials.costs_usd, whole.trials.costs_usd)


def test_what_is_left_out_is_said() -> None:
    assert (
        "; 7 more, without a propensity or a cost, are left out"
        in decide(replace(logs(2000, 0.1), dropped_count=7)).reasons[0]
    )


def test_a_champion_is_not_judged_on_the_weeks_that_it_learned_from() -> None:
    champion = single_arm_router("large", PRICES)
    taught = WEEK.shift(-2)
    found = gather_trials(
        samples(6), WEEK, champion, prices_usd=PRICES, training=TrainingSettings(), rules=RULES, taught_until=taught
    )
    assert isinstance(found, LoggedTrialsOfWeeks)
    assert (found.first_week, len(found.trials.served)) == (WEEK.shift(-1), 120)


def test_a_twin_that_learned_from_a_handful_speaks_for_no_challenger() -> None:
    few = samples(6)
    older = [row for row, week in enumerate(few["week"].to_pylist()) if week < str(WEEK.shift(-3))]
    recent = [row for row in range(few.num_rows) if row not in set(older)]
    told = gather(few.take([*recent, *older[:10]]))
    assert isinstance(told, str)
    assert "Only 10 trials were logged before" in told
