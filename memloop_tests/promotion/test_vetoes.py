"""Vetoes: each raised by what it is for, quiet where that is absent, and wrong as rarely as it says."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.errors import BadSettings
from memloop_assets.promotion.decision import Finding, PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.vetoes import Rivals

TASKS = 600
WON, LOST = 60, 20


def scores(
    name: str, rewards: np.ndarray, *, cost_usd: float = 1.0, predicted: np.ndarray | float = math.nan
) -> PolicyScores:
    n = rewards.size
    return PolicyScores(
        name,
        tuple(f"t{number:05d}" for number in range(n)),
        (name,) * n,
        rewards,
        np.full(n, cost_usd),
        np.full(n, math.nan),
        np.full(n, predicted) if isinstance(predicted, float) else predicted,
    )


def drawn(n: int = TASKS, won: int = WON, lost: int = LOST, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rewards of a champion and of a challenger that wins and loses that many tasks, in shuffled order."""
    rng = np.random.default_rng(seed)
    deltas = rng.permutation(np.repeat([1.0, -1.0, 0.0], [won, lost, n - won - lost]))
    before = np.where(deltas == 0.0, rng.random(n) < 0.7, (1.0 - deltas) / 2)
    return before, before + deltas


BEFORE, AFTER = drawn()


def judge(  # noqa: PLR0913  # everything that may stand beside a challenger
    *,
    baselines: Sequence[PolicyScores] = (),
    chance: PolicyScores | None = None,
    shuffled: PolicyScores | None = None,
    strata: Mapping[str, str] | None = None,
    predicted: tuple[float | np.ndarray, float | np.ndarray] = (math.nan, math.nan),
    policy: PromotionPolicy | None = None,
) -> PromotionDecision:
    """Evaluate a challenger that both bounds would promote, beside these rivals."""
    return (policy or PromotionPolicy()).evaluate(
        scores("champion", BEFORE, predicted=predicted[0]),
        scores("challenger", AFTER, predicted=predicted[1]),
        1.0,
        rivals=Rivals(tuple(baselines), chance, shuffled, strata or {}),
    )


def raised(decision: PromotionDecision) -> list[str]:
    return [finding.name for finding in decision.findings if finding.is_against]


def test_without_rivals_nothing_is_vetoed_and_with_sound_ones_all_are_listed() -> None:
    plain = PromotionPolicy().evaluate(scores("champion", BEFORE), scores("challenger", AFTER), 1.0)
    assert (plain.outcome, plain.findings) == ("promote", ())
    decision = judge(
        baselines=[scores("cheapest-arm", BEFORE)],
        chance=scores("chance", BEFORE),
        shuffled=scores("shuffled-control", BEFORE),
        strata={f"t{number:05d}": "travel" if number % 2 else "policy" for number in range(TASKS)},
        predicted=(0.7, 0.75),
    )
    assert decision.outcome == "promote"
    names = [finding.name for finding in decision.findings]
    assert names == ["baseline cheapest-arm", "chance", "calibration", "stratum policy", "stratum travel", "shuffled"]
    assert decision.metrics["veto_count"] == 0


def test_a_policy_without_a_router_that_earns_significantly_more_is_a_veto_and_a_tie_is_none() -> None:
    better = np.where(np.arange(TASKS) % 10 == 0, 1.0, AFTER)
    decision = judge(baselines=[scores("best-single-arm", better), scores("cheapest-arm", AFTER)])
    assert (decision.outcome, raised(decision)) == ("reject", ["baseline best-single-arm"])
    assert decision.reasons[0] == "Both bounds hold, but there are vetoes."
    assert "against best-single-arm: significantly worse" in decision.reasons[1]
    assert decision.metrics["veto_count"] == 1


def test_a_table_by_task_label_is_shown_and_vetoes_only_where_asked_to() -> None:
    better = np.where(np.arange(TASKS) % 10 == 0, 1.0, AFTER)
    shown = judge(baselines=[scores("task-mean", better)])
    assert shown.outcome == "promote"
    assert "significantly worse (shown, no veto)" in shown.findings[0].sentence
    asked = PromotionPolicy(veto_baselines=("task-mean",))
    assert raised(judge(baselines=[scores("task-mean", better)], policy=asked)) == ["baseline task-mean"]
    with pytest.raises(BadSettings, match="'luck' is not known"):
        PromotionPolicy(veto_baselines=("luck",))


def test_a_baseline_that_is_as_good_and_costs_far_less_is_a_veto() -> None:
    assert raised(judge(baselines=[scores("cheapest-arm", AFTER, cost_usd=0.1)])) == ["baseline cheapest-arm"]


@pytest.mark.parametrize("name", ["chance", "shuffled"])
def test_a_challenger_that_is_not_better_than_its_control_is_vetoed(name: str) -> None:
    control = scores("control", drawn(seed=1)[1] * 0.0 + AFTER)
    decision = judge(**{name: control})  # type: ignore[arg-type]
    assert (decision.outcome, raised(decision)) == ("reject", [name])
    assert "not shown to be better" in decision.reasons[1]


def test_predictions_that_became_worse_are_a_veto_and_equal_ones_are_none() -> None:
    assert raised(judge(predicted=(0.7, 0.1))) == ["calibration"]
    assert raised(judge(predicted=(0.7, 0.7))) == []
    assert not judge(predicted=(math.nan, 0.7)).findings


def test_a_stratum_that_loses_more_than_its_margin_is_a_veto_and_a_small_one_is_not_looked_at() -> None:
    lost = np.flatnonzero(AFTER < BEFORE)
    others = np.flatnonzero(AFTER == BEFORE)
    strata = {f"t{number:05d}": "travel" for number in (*lost, *others[:60])}
    decision = judge(strata=strata)
    assert (decision.outcome, raised(decision)) == ("reject", ["stratum travel"])
    (finding,) = decision.findings
    assert finding.task_count == 80
    assert "significantly below -5.0 points" in finding.sentence
    assert "only a loss of more than" in finding.sentence
    assert judge(strata={f"t{number:05d}": "travel" for number in lost}).findings == ()


def test_a_rival_that_cannot_be_compared_is_said_and_is_no_veto() -> None:
    decision = judge(baselines=[scores("cheapest-arm", BEFORE, cost_usd=math.nan)])
    assert decision.outcome == "promote"
    (finding,) = decision.findings
    assert (finding.mean, finding.is_against) == (None, False)
    assert "could not be compared" in finding.sentence


def test_a_veto_can_be_switched_off_by_name_and_by_no_other() -> None:
    off = PromotionPolicy(vetoes_off=("chance",))
    assert judge(chance=scores("chance", AFTER), policy=off).outcome == "promote"
    with pytest.raises(BadSettings, match="'luck' is not known"):
        PromotionPolicy(vetoes_off=("luck",))
    for value in ("chance", 5):
        with pytest.raises(BadSettings, match="give a list"):
            PromotionPolicy(vetoes_off=value)  # type: ignore[arg-type]  # what a settings file may hold


def test_a_challenger_looked_at_again_must_be_surer_and_only_as_often_as_planned() -> None:
    def look(number: int, planned: int) -> PromotionDecision:
        policy = PromotionPolicy(planned_looks=planned)
        before, after = drawn(won=50, lost=30, seed=2)
        return policy.evaluate(scores("champion", before), scores("challenger", after), 1.0, look=number)

    assert look(1, 1).outcome == "promote"
    assert look(1, 8).outcome == "hold"
    assert look(8, 8).outcome == "promote"
    again = look(2, 1)
    assert again.outcome == "hold"
    assert "looked at 1 times and 1 were planned" in again.reasons[0]


def false_alarms(name: str, findings: list[tuple[Finding, ...]]) -> float:
    return float(np.mean([any(one.is_against for one in found if one.name.startswith(name)) for found in findings]))


def test_vetoes_err_as_rarely_as_they_say() -> None:
    """Two policies without any difference, 400 draws: the shares of raised vetoes lie around their nominal rates."""
    policy = PromotionPolicy(resamples=400)
    found = []
    for seed in range(400):
        rng = np.random.default_rng([7, seed])
        before, after, first, second = (rng.random((4, 300)) < 0.7).astype(float)
        predictions = 0.7 + rng.normal(0.0, 0.05, (2, 300))
        decision = policy.evaluate(
            scores("champion", before, predicted=predictions[0]),
            scores("challenger", after, predicted=predictions[1]),
            1.0,
            rivals=Rivals(
                baselines=(scores("cheapest-arm", first), scores("best-single-arm", second)),
                shuffled=scores("shuffled-control", first),
                strata={f"t{number:05d}": str(number % 4) for number in range(300)},
            ),
        )
        found.append(decision.findings)
    assert 0.02 <= false_alarms("baseline", found) <= 0.08  # nominal 5 % for both together
    assert 0.02 <= false_alarms("calibration", found) <= 0.08  # nominal 5 %
    assert false_alarms("stratum", found) <= 0.05  # 5 % where the truth lies at the margin itself, here far above it
    assert 0.53 <= false_alarms("shuffled", found) <= 0.67  # no better than its control: passed in nominally 40 %
