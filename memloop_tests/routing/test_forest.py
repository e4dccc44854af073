"""The trees: served by numpy as scikit-learn walks them, whatever logs they were grown from."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import Featuriser
from memloop_assets.routing import growing
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.growing import fill_leaves, find_directions, grow_trees
from memloop_assets.simulate import ARMS, World, draw_tasks, true_reward
from memloop_assets.weeks import IsoWeek
from memloop_tests.test_featuriser import frozen

WEEK = IsoWeek(2026, 2)
WORLD = World(first_week=WEEK, seed=3, week_count=1)


def grown(monkeypatch: pytest.MonkeyPatch, count: int = 300) -> tuple[Forest, Featuriser, list[str], np.ndarray, Any]:
    """A forest grown on the simulated world's true rewards, and the scikit-learn forest that it was laid out from."""
    tasks = draw_tasks(WORLD, WEEK, count, "forest")
    rewards = np.array([[true_reward(WORLD, task, WEEK)[arm] for arm in ARMS] for task in tasks])
    texts = [task.text for task in tasks]
    featuriser = frozen(texts[:100])
    features = [featuriser.transform(text) for text in texts]
    dense = np.zeros((len(texts), len(featuriser.terms)))
    for row, one in enumerate(features):
        dense[row, one.indices] = one.values
    theirs: list[Any] = []
    lay_out = growing._lay_out

    def spy(directions: Any, trees: Any, arm_count: int) -> Forest:
        theirs.extend(trees)
        return lay_out(directions, trees, arm_count)

    monkeypatch.setattr(growing, "_lay_out", spy)
    forest = grow_trees(find_directions(dense), features, rewards, np.ones(len(texts)))
    return forest, featuriser, texts, rewards, theirs


def test_numpy_serves_the_trees_as_scikit_learn_does_and_takes_the_same_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, featuriser, _, _, theirs = grown(monkeypatch)
    asked = [task.text for task in draw_tasks(WORLD, WEEK, 2_000, "asked")]
    features = [featuriser.transform(text) for text in asked]
    inputs = np.stack([forest.inputs(one) for one in features])
    expected = np.mean([tree.predict(inputs)[..., 0] for tree in theirs], axis=0)
    found = forest.value_table(features)
    assert np.abs(found - expected).max() < 5e-3
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= 0.999


def test_the_trees_are_the_same_on_however_many_threads_they_are_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(growing, "_THREADS", threads)
        found.append({name: array.tobytes() for name, array in grown(monkeypatch)[0].arrays().items()})
    assert found[0] == found[1]


def test_the_seed_moves_the_trees_over_the_same_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, featuriser, texts, rewards, _ = grown(monkeypatch)
    features, weights = [featuriser.transform(text) for text in texts], np.ones(len(texts))
    again, other = (grow_trees(forest.directions, features, rewards, weights, seed) for seed in (0, 1))
    assert again.thresholds.tobytes() == forest.thresholds.tobytes() != other.thresholds.tobytes()


def test_a_forest_of_our_own_laying_out_is_the_forest_that_scikit_learn_predicts_with() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, 14)).astype(np.float32)
    rewards = random.random((200, 3))
    theirs = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=1).fit(inputs, rewards)
    forest = growing._lay_out(np.zeros((4, 0), dtype=np.float32), [one.tree_ for one in theirs.estimators_], 3)
    found = np.array([forest.leaf_values[forest.leaves(one)].mean(axis=0) for one in inputs])
    np.testing.assert_allclose(found, theirs.predict(inputs), atol=1e-6)


def test_many_texts_at_once_get_the_same_bits_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, featuriser, texts, _, _ = grown(monkeypatch)
    features = [featuriser.transform(text) for text in texts]
    assert forest.value_table(features).tobytes() == b"".join(forest.values(one).tobytes() for one in features)
    assert forest.value_table([]).shape == (0, len(ARMS))


def test_a_leaf_holds_what_is_expected_moved_by_the_trials_in_it_and_by_those_of_its_own_arm_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forest, featuriser, texts, rewards, _ = grown(monkeypatch)
    features = [featuriser.transform(text) for text in texts]
    expected, tried = np.full(rewards.shape, 0.5), np.zeros(rewards.shape)
    tried[:, 0] = 1.0
    filled = fill_leaves(forest, features, expected, tried * (rewards - expected), tried)
    assert (filled[:, 1:] == 0.5).all(), "nobody tried the other arms"
    leaf = int(forest.leaf_table(features)[7, 0])
    inside = forest.leaf_table(features)[:, 0] == leaf
    surprise = (rewards[inside, 0] - 0.5).sum() / (inside.sum() + growing.LEAF_TRUST)
    assert filled[leaf, 0] == pytest.approx(0.5 + surprise, abs=1e-6)


def test_a_leaf_without_tasks_says_what_is_expected_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, featuriser, texts, _, _ = grown(monkeypatch)
    few = [featuriser.transform(text) for text in texts[:3]]
    expected = np.array([[0.2], [0.4], [0.9]])
    filled = fill_leaves(forest, few, expected, np.zeros((3, 1)), np.zeros((3, 1)))
    empty = np.setdiff1d(np.arange(len(forest.leaf_values)), forest.leaf_table(few))
    assert filled[empty, 0] == pytest.approx(0.5)


def test_the_logs_of_one_arm_grow_a_forest_too_without_a_warning() -> None:
    texts = ["the cat sat", "the dog sat", "a cat", "a dog"] * 5
    featuriser = frozen(texts)
    features = featuriser.transform_all(texts)
    rewards = np.array([float("cat" in text) for text in texts])[:, np.newaxis]
    directions = np.eye(len(featuriser.terms), dtype=np.float32)
    forest = grow_trees(directions, features, rewards, np.ones(len(texts)))
    found = forest.value_table(features)
    assert found[rewards == 1.0].min() > found[rewards == 0.0].max()


@pytest.mark.parametrize(
    "changed",
    [
        {"lefts": np.array([2, 1, 2], dtype=np.int32)},
        {"roots": np.array([9], dtype=np.int32)},
        {"node_inputs": np.array([99, 0, 0], dtype=np.int32)},
        {"leaf_places": np.array([-1, 0, 5], dtype=np.int32)},
        {"leaf_values": np.array([[np.nan], [0.0]], dtype=np.float32)},
        {"thresholds": np.zeros(2, dtype=np.float32)},
    ],
)
def test_arrays_that_would_lead_a_walk_astray_are_refused(changed: dict[str, np.ndarray]) -> None:
    sound: dict[str, Any] = {
        "directions": np.zeros((0, 1), dtype=np.float32),
        "node_inputs": np.zeros(3, dtype=np.int32),
        "thresholds": np.array([0.0, np.inf, np.inf], dtype=np.float32),
        "lefts": np.array([1, 1, 2], dtype=np.int32),
        "roots": np.array([0], dtype=np.int32),
        "leaf_places": np.array([-1, 0, 1], dtype=np.int32),
        "leaf_values": np.zeros((2, 1), dtype=np.float32),
        "depth": 1,
    }
    assert Forest(**sound).roots.size == 1
    with pytest.raises(BadInput, match="forest"):
        Forest(**{**sound, **changed})
