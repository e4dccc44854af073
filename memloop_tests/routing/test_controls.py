"""Controls are fitted by the whole recipe: what they take over is what fitting it again would have given, but for the calibration."""

from dataclasses import replace

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.routing.controls import fit_shuffled_control, fit_twin
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_tests.routing.test_fitting import PRICES, world_rows
from memloop_tests.routing.test_training import sample, table

ROWS = world_rows(360, is_full=True)  # every task is tried with every arm, and so remembered
SAMPLES = table(ROWS)
SETTINGS = TrainingSettings()


def fitted(seed: int = 0) -> Router:
    return fit_router(SAMPLES, PRICES, SETTINGS, seed=seed)


def test_a_twin_is_what_a_full_fit_with_its_seed_gives_from_whichever_router_it_is_made() -> None:
    whole = fitted(seed=1)
    assert whole.memory is not None
    for seed in (0, 2):
        assert fit_twin(fitted(seed), SAMPLES, SETTINGS, seed=1).version == whole.version


def test_all_that_is_random_takes_the_seed_and_nothing_else_does() -> None:
    first, second = fitted(), fitted(seed=1)
    assert first.forest is not None
    assert second.forest is not None
    for name in ("directions", "thresholds", "leaf_values"):
        assert getattr(first.forest, name).tobytes() != getattr(second.forest, name).tobytes()
    assert first.linear.domain_weights.tobytes() != second.linear.domain_weights.tobytes(), "other tasks go unnamed"
    kept = ("kind", "arms", "rule", "row_counts", "terms", "domains", "memory")
    assert [first.facts()[name] for name in kept] == [second.facts()[name] for name in kept]
    for name in ("costs_usd", "latencies_ms", "idf", "hand_mean", "memory_reward_sums"):
        assert first.arrays()[name].tobytes() == second.arrays()[name].tobytes()


def test_the_seed_decides_which_tasks_calibrate() -> None:
    rows = table(world_rows(700, is_full=True, named=0.0))
    plain = TrainingSettings(min_calibration_tasks=100, min_forest_tasks=0, memory_tasks=0)
    first, second = (fit_router(rows, PRICES, plain, seed=seed) for seed in (0, 1))
    assert first.slopes.tobytes() != second.slopes.tobytes()


def test_controls_are_calibrated_as_the_challenger_is() -> None:
    settings = replace(SETTINGS, min_calibration_tasks=100)
    router = fit_router(SAMPLES, PRICES, settings)
    assert router.slopes.tolist() != fitted().slopes.tolist()
    for control in (
        fit_twin(router, SAMPLES, settings, seed=1),
        fit_shuffled_control(router, SAMPLES, settings, seed=7),
    ):
        assert (control.slopes.tobytes(), control.shifts.tobytes()) == (
            router.slopes.tobytes(),
            router.shifts.tobytes(),
        )
        assert control.linear.intercepts.tobytes() != router.linear.intercepts.tobytes()


def test_a_shuffled_control_is_what_a_full_fit_on_the_shuffled_rewards_gives() -> None:
    router = fitted()
    order = np.random.default_rng(7).permutation(len(ROWS))
    dealt = table([{**row, "reward": ROWS[place]["reward"]} for row, place in zip(ROWS, order, strict=True)])
    whole = fit_router(dealt, PRICES, replace(SETTINGS, reference_arm=router.rule.reference_arm))
    assert fit_shuffled_control(router, SAMPLES, SETTINGS, seed=7).version == whole.version != router.version


def test_a_control_of_a_router_that_learned_from_other_samples_is_refused() -> None:
    fewer = table([*ROWS[:-1], sample("one of another arm", "small-model", 0.5)])
    with pytest.raises(BadInput, match="it was fitted on other samples than these"):
        fit_twin(fitted(), fewer, SETTINGS, seed=1)
