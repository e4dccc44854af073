"""An arm that joins a router learns from its trials and leaves every other arm as it was, to the bit."""

from pathlib import Path

import numpy as np
import pytest

from memloop_assets.errors import BadInput
from memloop_assets.routing.checkpoint import load_checkpoint, save_checkpoint
from memloop_assets.routing.new_arm import add_arm
from memloop_assets.routing.training import fit_router
from memloop_tests.routing.test_fitting import PRICES, truth_of, world_rows
from memloop_tests.routing.test_training import table


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


def test_an_arm_that_is_there_already_is_refused() -> None:
    rows = table(world_rows(40))
    with pytest.raises(BadInput, match="the router has it already"):
        add_arm(fit_router(rows, PRICES), rows, "small-model")
