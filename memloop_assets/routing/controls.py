"""Controls: routers that must not be better than the challenger, fitted by the same recipe.

Here: what is done to the samples or to the seed of a control. The recipe itself is in ``training``; what a control proves is said in the
promotion room's ``vetoes`` and ``controls``.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from memloop_assets.routing.prior import Prior
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import TrainingSettings, refit_router, remember_samples


def fit_shuffled_control(router: Router, samples: pa.Table, settings: TrainingSettings, *, seed: int) -> Router:
    """Return what the recipe makes of the samples with their rewards permuted over all rows, across arms too, without a prior.

    ``router`` is the one fitted on the samples. Nothing is left to learn from the text or the arm, everything else (arms, prices, rows,
    weights, calibration, the arm to fall back to) is as that one has it. The same rows in any order and the same seed give the same
    bytes. Raises BadInput as ``refit_router`` does.
    """
    rows = samples.sort_by([("example_id", "ascending")])
    order = np.random.default_rng(seed).permutation(rows.num_rows)
    place = rows.schema.get_field_index("reward")
    shuffled = rows.set_column(place, rows.schema.field(place), rows["reward"].take(pa.array(order)))
    return replace(refit_router(router, shuffled, settings), memory=remember_samples(shuffled, router.arms, settings))


def fit_twin(
    router: Router, samples: pa.Table, settings: TrainingSettings, prior: Prior | None = None, *, seed: int
) -> Router:
    """Return the A/A twin of the router fitted on these samples and this prior: the same recipe on the same rows, with another seed.

    What differs between the two is luck; their calibration, two numbers that all arms share, is the same. Raises BadInput as
    ``refit_router`` does.
    """
    return refit_router(router, samples, settings, prior, seed=seed)
