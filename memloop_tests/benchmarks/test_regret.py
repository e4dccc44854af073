"""Regret and the share of the oracle gap against numbers worked out by hand."""

import math

import numpy as np
import pytest

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.regret import oracle_gap_share, regret_against
from memloop_assets.errors import BadInput

KEYS = ("k1", "k2", "k3", "k4")


def scores(name: str, rewards: list[float], costs: list[float], latencies: list[float] | None = None) -> PolicyScores:
    count = len(rewards)
    ids = tuple(f"t{number}" for number in range(count))
    waits = np.array(latencies) if latencies else np.full(count, np.nan)
    return PolicyScores(name, ids, ("a",) * count, np.array(rewards), np.array(costs), waits)


ORACLE = scores("oracle", [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 3.0, 1.0], [100.0, 100.0, 200.0, 100.0])
ROUTER = scores("challenger", [1.0, 1.0, 0.0, 0.0], [1.0, 2.0, 1.0, 1.0], [120.0, 180.0, 100.0, 120.0])
BEST = scores("best-single-arm", [1.0, 0.0, 0.0, 0.0], [2.0] * 4)


def test_regret_by_hand() -> None:
    regret = regret_against(ROUTER, ORACLE, KEYS)
    assert regret.reward.mean == pytest.approx(0.75 - 0.5)
    assert regret.cost_ratio.mean == pytest.approx(5 / 6 - 1)
    assert regret.latency_ms.mean == pytest.approx(130.0 - 125.0)
    for interval in regret:
        assert interval.lower <= interval.mean <= interval.upper
        assert interval.n == 4


def test_a_policy_has_no_regret_beside_itself() -> None:
    for interval in regret_against(ROUTER, ROUTER, KEYS):
        assert (interval.mean, interval.lower, interval.upper) == (0.0, 0.0, 0.0)


def test_unknown_outcomes_are_left_out_pair_by_pair() -> None:
    unknown = scores("challenger", [1.0, math.nan, 0.0, 0.0], [1.0, 2.0, math.nan, 1.0])
    regret = regret_against(unknown, ORACLE, KEYS)
    assert (regret.reward.n, regret.cost_ratio.n, regret.latency_ms.n) == (3, 3, 0)
    assert regret.reward.mean == pytest.approx(1 / 3)
    assert regret.cost_ratio.mean == pytest.approx(4 / 3 - 1)
    assert math.isnan(regret.latency_ms.mean)


def test_a_comparator_that_costs_nothing_has_no_cost_ratio() -> None:
    assert math.isnan(regret_against(ROUTER, scores("free", [1.0] * 4, [0.0] * 4), KEYS).cost_ratio.mean)


def test_the_share_of_the_oracle_gap_by_hand() -> None:
    # best 0.25, router 0.5, oracle 0.75
    share = oracle_gap_share(ROUTER, BEST, ORACLE, KEYS)
    assert share.mean == pytest.approx(0.5)
    assert oracle_gap_share(ORACLE, BEST, ORACLE, KEYS).mean == pytest.approx(1.0)
    assert oracle_gap_share(BEST, BEST, ORACLE, KEYS).mean == pytest.approx(0.0)


def test_without_a_gap_there_is_no_share() -> None:
    assert math.isnan(oracle_gap_share(ROUTER, ORACLE, ORACLE, KEYS).mean)


def test_a_share_whose_gap_vanishes_in_a_resample_has_no_bounds() -> None:
    # four tasks: some resamples hold only tasks on which the oracle is no better
    share = oracle_gap_share(ROUTER, BEST, ORACLE, KEYS)
    assert math.isnan(share.lower)
    assert math.isnan(share.upper)


def test_tasks_that_are_one_group_are_drawn_together() -> None:
    apart = regret_against(ROUTER, ORACLE, KEYS).reward
    together = regret_against(ROUTER, ORACLE, ("k1", "k1", "k1", "k1")).reward
    assert together.lower == together.upper == together.mean == apart.mean
    assert (apart.lower, together.n) == (0.0, 1)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(BadInput, match="scored on different tasks"):
        regret_against(ROUTER, scores("other", [1.0], [1.0]), KEYS)
    with pytest.raises(BadInput, match="3 keys for 4 tasks"):
        oracle_gap_share(ROUTER, BEST, ORACLE, KEYS[:3])
