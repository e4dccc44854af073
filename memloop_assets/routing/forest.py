"""The forest half of a router: trees that all arms share, over the text's main directions and the hand features.

Here belong its arrays and how they are served. Not here: growing it (``growing.py``). numpy and the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Features

_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees laid out as flat arrays, a value per leaf and arm.

    ``directions`` (terms, d): a text's weights times it give its first d inputs, the hand features follow. Per node:
    ``node_inputs`` (which input is looked at), ``thresholds`` (right where it is greater) and ``lefts`` (the left child; the
    right one follows it). A leaf is its own left child, under a threshold of infinity. ``roots`` (trees,); ``leaf_places``
    (nodes,), the row of ``leaf_values`` (leaves, arms), -1 where the node is no leaf; ``depth`` is that of the deepest tree.
    """

    directions: NDArray[np.float32]
    node_inputs: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    lefts: NDArray[np.int32]
    roots: NDArray[np.int32]
    leaf_places: NDArray[np.int32]
    leaf_values: NDArray[np.float32]
    depth: int
    _walk: tuple[NDArray[np.intp], NDArray[np.intp]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the walk's arrays in the machine's own index type; raises BadInput where the parts do not fit together."""
        count = self.node_inputs.size
        inside = (self.lefts >= 0) & (self.lefts + (np.arange(count) != self.lefts) < count)
        input_count = self.directions.shape[1] + len(HAND_NAMES)
        leaves = self.leaf_places[np.arange(count) == self.lefts]
        fits = (
            self.thresholds.shape == self.lefts.shape == self.leaf_places.shape == (count,)
            and self.roots.size
            and bool(inside.all())
            and bool(((self.roots >= 0) & (self.roots < count)).all())
            and bool(((self.node_inputs >= 0) & (self.node_inputs < input_count)).all())
            and bool(((leaves >= 0) & (leaves < len(self.leaf_values))).all())
            and bool(np.isfinite(self.leaf_values).all() and np.isfinite(self.directions).all())
        )
        if not fits:
            raise BadInput("router", "the arrays of its forest do not fit together", "fit it again")
        walk = (self.node_inputs.astype(np.intp), self.lefts.astype(np.intp))
        object.__setattr__(self, "_walk", walk)

    def values(self, features: Features) -> NDArray[np.float64]:
        """Return the mean over the trees of the leaf's values, (arms,)."""
        return self._mean(self.leaves(self.inputs(features)))

    def value_table(self, features: Sequence[Features]) -> NDArray[np.float64]:
        """Return the same for many texts, (texts, arms): the same numbers to the last bit, faster."""
        leaves = self.leaf_table(features)
        blocks = (leaves[start : start + _BLOCK] for start in range(0, len(leaves), _BLOCK))
        return np.concatenate([np.empty((0, self.leaf_values.shape[1])), *map(self._mean, blocks)])

    def leaf_table(self, features: Sequence[Features]) -> NDArray[np.int32]:
        """Return ``leaves`` of many texts, (texts, trees)."""
        blocks = [features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK)]
        inputs = (np.stack([self.inputs(one) for one in block]) for block in blocks)
        return np.concatenate([np.empty((0, self.roots.size), dtype=np.int32), *map(self._walk_down, inputs)])

    def inputs(self, features: Features) -> NDArray[np.float32]:
        """Return what the trees look at, (d + len(HAND_NAMES),)."""
        main = features.values.astype(np.float32) @ self.directions[features.indices]
        return np.concatenate((main, features.hand.astype(np.float32)))

    def leaves(self, inputs: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the row of ``leaf_values`` in which one text ends in each tree, (trees,)."""
        node_inputs, lefts = self._walk
        nodes = self.roots.astype(np.intp)
        for _ in range(self.depth):
            goes_right = inputs[node_inputs[nodes]] > self.thresholds[nodes]
            nodes = lefts[nodes]
            nodes += goes_right
        return self.leaf_places[nodes]

    def _walk_down(self, inputs: NDArray[np.float32]) -> NDArray[np.int32]:
        node_inputs, lefts = self._walk
        starts = (np.arange(len(inputs)) * inputs.shape[1])[:, np.newaxis]
        nodes = np.broadcast_to(self.roots.astype(np.intp), (len(inputs), self.roots.size))
        for _ in range(self.depth):
            goes_right = inputs.take(starts + node_inputs.take(nodes)) > self.thresholds.take(nodes)
            nodes = lefts.take(nodes)
            nodes += goes_right
        return self.leaf_places.take(nodes)

    def _mean(self, leaves: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the mean value over the trees, their leaves being the last axis; each text is summed in the same order."""
        total: NDArray[np.float64] = np.add.reduce(self.leaf_values[leaves], axis=-2, dtype=np.float64)
        return total / self.roots.size

    def arrays(self) -> dict[str, NDArray]:
        """Return the arrays by their names in a checkpoint."""
        names = ("directions", "node_inputs", "thresholds", "lefts", "roots", "leaf_places", "leaf_values")
        return {f"forest_{name}": getattr(self, name) for name in names}
