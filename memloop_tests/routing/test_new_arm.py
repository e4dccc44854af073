"""An arm that joins a router learns from its trials and leaves every other arm as it was, to the bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.routing.checkpoint import load_checkpoint, save_checkpoint
from memloop_assets.routing.new_arm import add_arm
from memloop_assets.routing.training import TrainingSettings, fit_router
from memloop_tests.routing.test_fitting import PRICES, truth_of, world_rows
from memloop_tests.routing.test_training import sample, table


def test_an_arm_joins_without_touching_the_others_and_predicts_its_own_truth(tmp_path: Path) -> None:
    rows = table(world_rows(500, is_full=True))
    late = "lookup-tool"
    router = fit_router(
        rows.filter(np.array([arm != late for arm in rows["arm"].to_pylist()])),
        {arm: price for arm, price in PRICES.items() if arm != late},
    )
    assert router.forest is not None
    joined = add_arm(router, rows, late, 0.0008)
    assert joined.arms == tuple(sorted(PRICES))
    texts, domains, truth = truth_of(200)
    place = joined.arms.index(late)
    before, after = (one.predict_reward_table(texts, domains) for one in (router, joined))
    np.testing.assert_allclose(np.delete(after, place, axis=1), before, rtol=0, atol=1e-12)
    of_arms = {name: array for name, array in router.arrays().items() if array.shape[-1:] == (len(router.arms),)}
    assert len(of_arms) >= 10
    for name, array in of_arms.items():
        assert np.delete(joined.arrays()[name], place, axis=-1).tobytes() == array.tobytes(), name
    assert np.corrcoef(after[:, place], truth[:, place])[0, 1] > 0.8
    assert (joined.row_counts[place], joined.costs_usd[place]) == (500, 0.0008)
    assert joined.choose(texts[0], domain=domains[0], arms=[late, "large-model"]).arm in {late, "large-model"}
    loaded = load_checkpoint(tmp_path, save_checkpoint(joined, tmp_path))
    assert loaded.predict_reward_table(texts).tobytes() == joined.predict_reward_table(texts).tobytes()


def test_an_arm_that_joins_is_calibrated_as_the_others_are() -> None:
    rows = table(world_rows(300, is_full=True))
    is_late = np.array([arm == "lookup-tool" for arm in rows["arm"].to_pylist()])
    prices = {arm: price for arm, price in PRICES.items() if arm != "lookup-tool"}
    router = fit_router(rows.filter(~is_late), prices, TrainingSettings(min_calibration_tasks=100))
    joined = add_arm(router, rows, "lookup-tool", 0.0008)
    assert (joined.slopes[0], joined.shifts[0]) != (1.0, 0.0)
    np.testing.assert_allclose(joined.slopes, router.slopes[0], rtol=1e-12)
    np.testing.assert_allclose(joined.shifts, router.shifts[0], rtol=1e-12)


@pytest.mark.parametrize("reward", [0.1, 0.9])
def test_an_arm_of_few_trials_that_joins_stands_at_the_level_of_the_others(reward: float) -> None:
    plain = [sample(f"task {place}", arm, reward) for place in range(300) for arm in ("large-model", "small-model")]
    router = replace(
        fit_router(table(plain), PRICES), slopes=np.full(len(PRICES), 1.5), shifts=np.full(len(PRICES), 0.4)
    )
    joined = add_arm(router, table([*plain, sample("task 1", "new", reward)]), "new", 0.001)
    of_new, of_large = (joined.predict_rewards("task 900")[joined.arms.index(arm)] for arm in ("new", "large-model"))
    assert of_new == pytest.approx(of_large, abs=0.01)


def test_an_arm_that_is_there_already_is_refused() -> None:
    rows = table(world_rows(40))
    with pytest.raises(BadInput, match="the router has it already"):
        add_arm(fit_router(rows, PRICES), rows, "small-model")
