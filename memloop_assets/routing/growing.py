"""Growing a router's forest: where the trees split, and what each of their leaves says of each arm.

The only module that loads scikit-learn. Nothing is random but what the seed that is given decides.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memloop_assets.featuriser import Features
from memloop_assets.routing.forest import Forest

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TREE_COUNT = 100
LEAF_TASKS = 8
LEAF_TRUST = 2.0
DEPTH = 16
DIRECTIONS = 96
_INPUT_SHARE = 0.3
_THREADS = 2
"""Every tree has a seed of its own, drawn beforehand: on however many threads they are grown, they are the same."""


def find_directions(words: "csr_array", seed: int = 0) -> NDArray[np.float32]:
    """Return the main directions of the texts' words, (terms, at most DIRECTIONS): latent semantic analysis."""
    from sklearn.decomposition import TruncatedSVD
    from threadpoolctl import threadpool_limits

    count = min(DIRECTIONS, words.shape[1] - 1, words.shape[0] - 1)
    if count < 1:
        return np.zeros((words.shape[1], 0), dtype=np.float32)
    with threadpool_limits(1):
        found = TruncatedSVD(count, n_iter=4, random_state=seed).fit(words)
    return np.ascontiguousarray(found.components_.T, dtype=np.float32)


def grow_trees(
    directions: NDArray[np.float32],
    features: list[Features],
    rewards: NDArray[np.float64],
    weights: NDArray[np.float64],
    seed: int = 0,
) -> Forest:
    """Return a forest that splits where the rewards (tasks, arms) of similar tasks differ; its leaves hold their means.

    Extremely randomised trees (Geurts, Ernst and Wehenkel, 2006) that predict all arms at once.
    """
    from sklearn.ensemble import ExtraTreesRegressor
    from threadpoolctl import threadpool_limits

    stub = _single_leaf(directions, rewards.shape[1])
    inputs = np.stack([stub.inputs(one) for one in features])
    grown = ExtraTreesRegressor(
        TREE_COUNT,
        min_samples_leaf=LEAF_TASKS,
        max_depth=DEPTH,
        max_features=_INPUT_SHARE,
        random_state=seed,
        n_jobs=_THREADS,
    )
    with threadpool_limits(1):
        grown.fit(inputs, rewards if rewards.shape[1] > 1 else rewards.ravel(), sample_weight=weights)
    return _lay_out(directions, [one.tree_ for one in grown.estimators_], rewards.shape[1])


def _single_leaf(directions: NDArray[np.float32], arm_count: int) -> Forest:
    one = np.zeros(1, dtype=np.int32)
    infinity = np.full(1, np.inf, dtype=np.float32)
    return Forest(directions, one, infinity, one, one, one, np.zeros((1, arm_count), dtype=np.float32), depth=0)


def _lay_out(directions: NDArray[np.float32], trees: list, arm_count: int) -> Forest:
    """Return scikit-learn's trees as one forest: every node's two children stand side by side."""
    node_inputs, thresholds, lefts, leaf_places, leaf_values, roots = [], [], [], [], [], []
    start = leaf_start = 0
    for tree in trees:
        order = _order_of(tree)
        place = np.empty(tree.node_count, dtype=np.int64)
        place[order] = start + np.arange(tree.node_count)
        is_leaf = tree.children_left[order] < 0
        node_inputs.append(np.where(is_leaf, 0, tree.feature[order]))
        thresholds.append(np.where(is_leaf, np.inf, _round_down(tree.threshold[order])))
        lefts.append(np.where(is_leaf, place[order], place[tree.children_left[order]]))
        leaf_places.append(np.where(is_leaf, leaf_start + np.cumsum(is_leaf) - 1, -1))
        leaf_values.append(tree.value[order][is_leaf].reshape(-1, arm_count))
        roots.append(start)
        start, leaf_start = start + tree.node_count, leaf_start + int(is_leaf.sum())
    return Forest(
        directions=directions,
        node_inputs=np.concatenate(node_inputs).astype(np.int32),
        thresholds=np.concatenate(thresholds).astype(np.float32),
        lefts=np.concatenate(lefts).astype(np.int32),
        roots=np.array(roots, dtype=np.int32),
        leaf_places=np.concatenate(leaf_places).astype(np.int32),
        leaf_values=np.concatenate(leaf_values).astype(np.float32),
        depth=max(int(tree.max_depth) for tree in trees),
    )


def _order_of(tree: object) -> NDArray[np.int64]:
    """Return a tree's nodes, the root first and every two siblings in a row."""
    lefts, rights = tree.children_left, tree.children_right  # type: ignore[attr-defined]
    order = [0]
    for node in order:
        if lefts[node] >= 0:
            order += [int(lefts[node]), int(rights[node])]
    return np.array(order, dtype=np.int64)


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the greatest single-precision numbers not above these: single-precision inputs compare with them the same."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def fill_leaves(
    forest: Forest,
    features: list[Features],
    expected: NDArray[np.float64],
    surprise: NDArray[np.float64],
    tried: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return what each leaf says of each arm, (leaves, arms): the mean expected there, moved by what was tried there.

    ``expected``, ``surprise`` and ``tried`` are (tasks, arms): the prediction without the trees, the weighted sum of reward
    minus prediction, and the weight of the trials. A leaf's surprise counts as if ``LEAF_TRUST`` more trials had brought none.
    A column depends on its own arm's trials alone; a leaf without tasks says what is expected on average.
    """
    leaf_count = len(forest.leaf_values)
    leaves = forest.leaf_table(features)
    flat, tree_count = leaves.ravel(), leaves.shape[1]
    counts = np.bincount(flat, minlength=leaf_count)
    usual_anywhere = expected.mean(axis=0)

    def sum_by_leaf(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(flat, np.repeat(values, tree_count), leaf_count).astype(np.float64)

    filled = np.empty((leaf_count, expected.shape[1]), dtype=np.float32)
    for place in range(expected.shape[1]):
        usual = (sum_by_leaf(expected[:, place]) + (counts == 0) * usual_anywhere[place]) / np.maximum(counts, 1)
        moved = sum_by_leaf(surprise[:, place]) / (sum_by_leaf(tried[:, place]) + LEAF_TRUST)
        filled[:, place] = np.clip(usual + moved, 0.0, 1.0)
    return filled
