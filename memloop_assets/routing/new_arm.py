"""An arm that joins a fitted router: its trials are learned from, and not one number of the other arms changes.

For the days between two weekly fits. Here belongs the joining alone; what is learned of an arm is said in ``fitting.py``.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.routing.fitting import arm_leaves, join_arms, prepare_material, weigh_arm
from memloop_assets.routing.linear import Linear
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import DEFAULTS, TrainingSettings
from memloop_assets.routing.trials import price_arms, read_trials, time_arms


def add_arm(
    router: Router, samples: pa.Table, arm: str, price_usd: float | None = None, settings: TrainingSettings = DEFAULTS
) -> Router:
    """Return the router with one more arm, fitted on that arm's rows of ``router_samples`` over the router's own words and trees.

    Without a price, the arm's logged costs give it. The arm is held at what the router predicts for the others on its tasks,
    is calibrated as they are, and what is remembered of tasks stays that of the others until the next fit. Raises BadInput for an arm that
    the router has already, and like ``fit_router``.
    """
    if arm in router.arms:
        raise BadInput(f"arm {arm!r}", "the router has it already", "fit the router again to learn more of it")
    trials = read_trials(samples.filter(pc.equal(samples["arm"], arm)), settings.propensity_floor)
    costs = price_arms((arm,), trials, {} if price_usd is None else {arm: price_usd})
    material = prepare_material(trials, router.featuriser, router.linear.domains)
    own = np.arange(len(trials.texts))
    bare = replace(router, slopes=np.ones(len(router.arms)), shifts=np.zeros(len(router.arms)), memory=None)
    others = float(bare.predict_reward_table(sorted(set(trials.texts))).mean())
    learned = weigh_arm(
        material,
        own,
        others,
        penalty=settings.penalty,
        shrinkage_rows=settings.shrinkage_rows,
        min_rows=settings.min_arm_rows,
    )
    alone, variances = join_arms([learned], router.linear.domains)
    place = int(np.searchsorted(np.array(router.arms), arm))

    def join(values: NDArray, added: NDArray) -> NDArray:
        return _join(values, added, place)

    forest = router.forest
    if forest is not None:
        expected = alone.chance_table(material.texts, [None] * len(material.texts))[:, 0]
        leaf_values = join(forest.leaf_values, arm_leaves(material, own, forest, expected)[:, 0])
        forest = replace(forest, leaf_values=leaf_values)
    memory = router.memory
    if memory is not None:
        untried = np.zeros(len(memory.keys))
        memory = replace(
            memory, trial_counts=join(memory.trial_counts, untried), reward_sums=join(memory.reward_sums, untried)
        )
    return replace(
        router,
        arms=(*router.arms[:place], arm, *router.arms[place:]),
        costs_usd=join(router.costs_usd, np.array(costs[arm])),
        latencies_ms=join(router.latencies_ms, np.array(time_arms((arm,), trials).get(arm, np.nan))),
        linear=_join_linear(router.linear, alone, place),
        forest=forest,
        slopes=join(router.slopes, router.slopes.mean()),
        shifts=join(router.shifts, router.shifts.mean()),
        term_variances=join(router.term_variances, variances[:, 0]),
        row_counts=(*router.row_counts[:place], len(own), *router.row_counts[place:]),
        memory=memory,
    )


def _join_linear(ours: Linear, alone: Linear, place: int) -> Linear:
    """Return the linear half with the one arm of ``alone`` among its own."""
    added = alone.arrays()
    joined = {name: _join(values, added[name][..., 0], place) for name, values in ours.arrays().items()}
    return Linear(domains=ours.domains, **joined)


def _join(values: NDArray, added: NDArray, place: int) -> NDArray:
    """Return an array with one more column, or number, at a place among the arms."""
    return np.insert(values, place, added, axis=values.ndim - 1)
