"""Which logs may decide, and what is said of those that may not."""

from dataclasses import replace

import numpy as np
import pytest

from memloop_assets.benchmarks.admissibility import AdmissionThresholds, admissible
from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.benchmarks.offpolicy import Estimation, OffPolicyEvaluation, evaluate_difference, evaluate_policy

TRUTH = 0.02  # mean over tasks of the small model's expected reward minus the large one's


def evaluate_log(
    length: int, exploration: float, rng: np.random.Generator, *, claimed: float | None = None, failures: float = 1.0
) -> OffPolicyEvaluation:
    """Evaluate small-for-all against large-for-all on a log of the latter that explores, perhaps not as it claims."""
    is_small = rng.random(length) < exploration
    rewards = rng.random(length) >= failures * np.where(is_small, 0.18, 0.2)
    claim = exploration if claimed is None else claimed
    propensities = np.where(is_small, claim, 1.0 - claim)
    served = tuple(np.where(is_small, "small", "large"))
    keys = tuple(map(str, range(length)))
    trials = LoggedTrials(keys, served, propensities, rewards.astype(float), arms=("large", "small"))
    return evaluate_difference(trials, ("small",) * length, ("large",) * length)


def test_a_long_log_with_enough_exploration_is_admitted() -> None:
    assert admissible(evaluate_log(4000, 0.2, np.random.default_rng(0))) == (True, ())


@pytest.mark.parametrize("exploration", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("length", [300, 1000, 5000, 50_000])
def test_logs_with_2_percent_exploration_or_less_are_never_admitted_however_long(
    length: int, exploration: float
) -> None:
    rng = np.random.default_rng([length, round(100 * exploration)])
    for _ in range(3):
        is_admissible, missing = admissible(evaluate_log(length, exploration, rng))
        assert not is_admissible
        assert f"The logs explore {100 * exploration:.1f} % where it matters; more than 2 % is needed." in missing


def test_without_exploration_every_gap_is_named() -> None:
    _, missing = admissible(evaluate_log(500, 0.0, np.random.default_rng(0)))
    assert missing == (
        "The logs explore 0.0 % where it matters; more than 2 % is needed.",
        "0 % of the choices of the challenger could have been logged; at least 95 % is needed.",
        "The logs speak for the challenger with the weight of 0 tasks (ESS); at least 100 are needed.",
        "Doubly robust and SNIPS lie nan standard errors apart; at most 1 is allowed.",
    )


def test_each_threshold_decides_alone() -> None:
    found = evaluate_log(4000, 0.2, np.random.default_rng(0))
    for change, sentence in (
        ({"min_propensity": 0.3}, "The least propensity there is 0.2; at least 0.3 is needed."),
        ({"min_ess": 1e6}, "The logs speak for the champion with the weight of"),
        ({"min_asker_ess": 1e6}, "The live trials come from too few users: they weigh as much as those of"),
        ({"max_disagreement_errors": -1.0}, "standard errors apart; at most -1 is allowed."),
        ({"min_exploration_ratio": 0.2}, "The logs explore 20.0 % where it matters; more than 20 % is needed."),
        ({"max_weight_mean_errors": 0.0}, "the logged propensities are not the true ones."),
        ({"min_supported_ratio": 1.1}, "100 % of the choices of the challenger could have been logged"),
    ):
        is_admissible, missing = admissible(found, AdmissionThresholds(**change))
        assert not is_admissible
        assert any(sentence in each for each in missing), missing


def test_the_worse_supported_side_counts() -> None:
    found = evaluate_log(4000, 0.2, np.random.default_rng(0))
    for side in ("target", "against"):
        thinner = replace(found, **{side: replace(getattr(found, side), supported_ratio=0.94)})
        assert len(admissible(thinner).missing) == 1


@pytest.mark.parametrize("side", ["target", "against"])
def test_weights_off_1_in_either_direction_are_noticed_on_either_side(side: str) -> None:
    found = evaluate_log(4000, 0.2, np.random.default_rng(0))
    held = getattr(found, side)
    for errors in (-3.1, -2.9, 2.9, 3.1):
        off = replace(found, **{side: replace(held, weight_mean=1.0 + errors * held.weight_mean_error)})
        assert admissible(off).is_admissible == (abs(errors) < 3.0)


def test_doubly_robust_and_snips_may_lie_one_of_the_larger_standard_error_apart() -> None:
    found = evaluate_log(4000, 0.2, np.random.default_rng(0))
    larger = max(found.snips.standard_error, found.doubly_robust.standard_error)
    for errors in (-1.01, -0.99, 0.99, 1.01):
        robust = replace(found.doubly_robust, value=found.snips.value + errors * larger)
        assert admissible(replace(found, doubly_robust=robust)).is_admissible == (abs(errors) < 1.0)


def test_propensities_that_are_not_the_true_ones_are_noticed() -> None:
    found = evaluate_log(4000, 0.2, np.random.default_rng(1), claimed=0.3)
    assert any("the logged propensities are not the true ones" in each for each in admissible(found).missing)


def test_policies_that_never_differ_have_nothing_to_decide() -> None:
    trials = LoggedTrials(tuple("abcdef"), ("x", "y") * 3, np.full(6, 0.5), np.ones(6))
    same = evaluate_difference(trials, ("x",) * 6, ("x",) * 6)
    sentence = "Both policies choose the same arm on every logged task: there is nothing to compare."
    assert admissible(same) == (False, (sentence,))


def test_a_single_policy_needs_one_side_only() -> None:
    trials = LoggedTrials(tuple(map(str, range(400))), ("x", "y") * 200, np.full(400, 0.5), np.tile([0.0, 1.0], 200))
    assert admissible(evaluate_policy(trials, ("y",) * 400)).is_admissible


@pytest.mark.parametrize("failures", [1.0, 0.1])
def test_admitted_intervals_hold_the_truth_also_where_rewards_are_nearly_always_1(failures: float) -> None:
    rng = np.random.default_rng(11)
    admitted = [found for _ in range(300) if admissible(found := evaluate_log(2300, 0.05, rng, failures=failures))[0]]
    truth = TRUTH * failures
    assert len(admitted) > 200
    held = [found.doubly_robust.lower <= truth <= found.doubly_robust.upper for found in admitted]
    assert np.mean(held) >= 0.92
    if failures < 1.0:
        plain = np.array([(f.doubly_robust.value, f.doubly_robust.standard_error, f.target.unseen) for f in admitted])
        errors = np.sqrt(plain[:, 1] ** 2 - plain[:, 2] ** 2)
        assert np.mean(np.abs(plain[:, 0] - truth) <= 1.96 * errors) < 0.90, "the further task would not be needed"


def test_the_estimation_that_admits_is_the_default_one() -> None:
    assert 1.0 / Estimation().weight_limit == AdmissionThresholds().min_propensity
