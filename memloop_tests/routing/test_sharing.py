"""What arms take over from each other: only for tasks they were not tried on, and only as far as the others tell their rewards."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.fitting import Material, prepare_material
from memloop_assets.routing.linear import sigmoid
from memloop_assets.routing.logistic import fit_logistic
from memloop_assets.routing.sharing import find_shared, measure_share
from memloop_assets.routing.training import fit_router
from memloop_assets.routing.trials import read_trials
from memloop_tests.routing.test_training import sample, table

Plan = dict[tuple[str, str], tuple[int, float]]


def topic_rows(plan: Plan, first: int = 0) -> list[dict[str, Any]]:
    """Trials by topic and arm: how many, and the share of them that earned a reward, spread evenly."""
    rows = []
    for (topic, arm), (count, share) in plan.items():
        earned = np.diff(np.floor(np.arange(count + 1) * share))
        rows += [sample(f"{topic} case {first + place}", arm, reward) for place, reward in enumerate(earned.tolist())]
    return rows


def material_of(rows: list[dict[str, Any]]) -> Material:
    featuriser = Featuriser(("refund", "lemma"), np.ones(2), np.zeros(len(HAND_NAMES)), np.ones(len(HAND_NAMES)))
    return prepare_material(read_trials(table(rows), 1.0), featuriser, ())


def shared_of(material: Material) -> dict[str, NDArray[np.float64]]:
    return find_shared(material, np.arange(len(material.trials.texts)), penalty=1.0, min_rows=20)


def test_the_penalty_is_on_the_distance_from_the_centre() -> None:
    random = np.random.default_rng(2)
    features, targets, weights = random.normal(size=(50, 8)), random.random(50), random.random(50)
    centre = random.normal(size=8)
    found, intercept = fit_logistic(sparse.csr_array(features), targets, weights, 3.0, centre=centre)
    errors = weights * (sigmoid(features @ found + intercept) - targets)
    np.testing.assert_allclose(features.T @ errors + 3.0 * (found - centre), 0.0, atol=1e-9)
    assert errors.sum() == pytest.approx(0.0, abs=1e-9)


def test_an_arm_is_expected_to_fail_where_the_others_do_as_far_as_it_was_not_tried_there() -> None:
    plan: Plan = {("refund", "large"): (100, 0.9), ("lemma", "large"): (100, 0.1), ("refund", "small"): (40, 0.7)}
    router = fit_router(table(topic_rows(plan)), {})
    refund, lemma = router.predict_reward_table(["refund case 900", "lemma case 900"])[:, router.arms.index("small")]
    assert lemma < refund - 0.15
    router = fit_router(table(topic_rows({**plan, ("lemma", "small"): (200, 0.7)})), {})
    refund, lemma = router.predict_reward_table(["refund case 900", "lemma case 900"])[:, router.arms.index("small")]
    assert lemma == pytest.approx(refund, abs=0.1)


def test_where_every_arm_was_tried_on_every_task_each_knows_itself() -> None:
    plan: Plan = {("refund", "large"): (60, 0.9), ("lemma", "large"): (60, 0.1)}
    both = topic_rows(plan | {("refund", "small"): (60, 0.9), ("lemma", "small"): (60, 0.1)})
    assert shared_of(material_of(both)) == {}
    other: Plan = {("refund", "small"): (60, 0.9), ("lemma", "small"): (60, 0.1)}
    apart = shared_of(material_of([*topic_rows(plan), *topic_rows(other, 500)]))  # one arm per task
    half = shared_of(material_of([*topic_rows(plan), *topic_rows(other, 20)]))  # 80 of 160 tasks tried with both
    assert apart["small"][0] > 1.0 > -1.0 > apart["small"][1]
    np.testing.assert_allclose(half["small"][:2], 0.5 * apart["small"][:2], rtol=0.05)


def test_which_arm_served_where_is_no_sign_of_what_is_hard() -> None:
    plan: Plan = {("refund", "large"): (90, 0.9), ("lemma", "large"): (10, 0.9)}
    plan |= {("refund", "small"): (10, 0.1), ("lemma", "small"): (90, 0.1)}
    found = shared_of(material_of(topic_rows(plan)))
    assert set(found) == {"large", "small"}
    assert all(abs(one[0] - one[1]) < 0.5 for one in found.values())


def test_one_arm_shares_nothing() -> None:
    assert shared_of(material_of(topic_rows({("refund", "large"): (60, 0.9), ("lemma", "few"): (19, 0.1)}))) == {}


def test_arms_that_are_good_at_different_things_share_nothing() -> None:
    for of_small, share in (((0.9, 0.1), 1.0), ((0.1, 0.9), 0.0)):
        plan: Plan = {("refund", "large"): (100, 0.9), ("lemma", "large"): (100, 0.1)}
        plan |= {("refund", "small"): (100, of_small[0]), ("lemma", "small"): (100, of_small[1])}
        material = material_of(topic_rows(plan))
        small = np.flatnonzero(material.trials.arms == "small")
        others = np.append([2.0, -2.0], np.zeros(len(HAND_NAMES)))
        assert measure_share(material, small, others) == pytest.approx(share, abs=0.1)
