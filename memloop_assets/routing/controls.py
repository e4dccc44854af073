"""Controls: challengers that must not be better, fitted by the same recipe.

Here: what is done to the samples of a control. The recipe itself is in ``training``; what a control proves is said in the promotion
room's vetoes.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, fit_router


def fit_shuffled_control(
    samples: pa.Table, arm_costs: Mapping[str, float], settings: TrainingSettings, reference_arm: str, *, seed: int
) -> Router:
    """Return a router fitted on the samples with their rewards permuted over all rows, across arms too.

    Nothing is left to learn from the text or the arm, everything else (arms, prices, rows, weights, the arm to fall back to) is as the
    challenger has it. The same rows in any order and the same seed give the same bytes. Raises BadInput as ``fit_router`` does.
    """
    rows = samples.sort_by([("example_id", "ascending")])
    order = np.random.default_rng(seed).permutation(rows.num_rows)
    place = rows.schema.get_field_index("reward")
    shuffled = rows.set_column(place, rows.schema.field(place), rows["reward"].take(pa.array(order)))
    return fit_router(shuffled, arm_costs, replace(settings, reference_arm=reference_arm))
