"""Single-route trials as a log holds them: per trial the task, the arm that served it, its propensity and what came of it.

Here belongs what such a trial is, and what a target policy would do on it. Not here: estimates (``offpolicy``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.clusters import Clusters
from memloop_assets.benchmarks.group_bootstrap import Floats, group_rows
from memloop_assets.errors import BadInput

Target = Sequence[str] | Floats
"""A policy on the trials: the arm that it chooses on each, or its probabilities (n, arms)."""

_OUTCOMES = ("costs_usd", "latencies_ms")
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LoggedTrials:
    """n trials: task key, served arm, its propensity in (0, 1], reward, and cost in USD and latency in ms, NaN if unknown.

    ``arms`` are all that a policy may name; by default those served, sorted. Trials with one task key depend on each other, and so do
    those with one asker; by default each task was asked by somebody else. Raises BadInput for no trials, lengths that differ, a propensity
    outside (0, 1] or a reward that is not finite.
    """

    task_keys: tuple[str, ...]
    served: tuple[str, ...]
    propensities: Floats
    rewards: Floats
    costs_usd: Floats | None = None
    latencies_ms: Floats | None = None
    arms: tuple[str, ...] = ()
    askers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep tuples and read-only arrays; refuse what cannot be a log."""
        for name in ("task_keys", "served"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "askers", tuple(self.askers) or self.task_keys)
        if len(self.askers) != len(self.task_keys):
            culprit = f"{len(self.task_keys)} tasks and {len(self.askers)} askers"
            raise BadInput("logged trials", culprit, "give one asker per trial, or none at all")
        object.__setattr__(self, "arms", tuple(self.arms) or tuple(sorted(set(self.served))))
        for name in ("propensities", "rewards", *_OUTCOMES):
            given = getattr(self, name)
            values = np.full(len(self.served), np.nan) if given is None else np.array(given, dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
            if values.shape != (len(self.task_keys),) or len(self.served) != len(self.task_keys) or not values.size:
                culprit = f"{len(self.task_keys)} tasks, {len(self.served)} served arms and {values.shape} {name}"
                raise BadInput("logged trials", culprit, "give one of each per trial, and at least one trial")
        wrong = np.flatnonzero(~((self.propensities > 0.0) & (self.propensities <= 1.0)))
        if wrong.size:
            culprit = f"trial {wrong[0]} has propensity {self.propensities[wrong[0]]}"
            raise BadInput("logged trials", culprit, "give the probability with which its arm was chosen, or drop it")
        if not np.isfinite(self.rewards).all():
            culprit = f"trial {np.flatnonzero(~np.isfinite(self.rewards))[0]} has no finite reward"
            raise BadInput("logged trials", culprit, "drop trials without a known reward")
        strangers = sorted(set(self.served) - set(self.arms))
        if strangers or len(set(self.arms)) != len(self.arms):
            culprit = f"arm {strangers[0]!r} served but is not among the arms" if strangers else "an arm is named twice"
            raise BadInput("logged trials", culprit, "name every arm once")

    @cached_property
    def served_index(self) -> NDArray[np.intp]:
        """Return the place of each served arm (n,) in ``arms``."""
        places = {arm: place for place, arm in enumerate(self.arms)}
        return np.array([places[arm] for arm in self.served], dtype=np.intp)

    @cached_property
    def clusters(self) -> Clusters:
        """Return which trials are of the same task, and which were asked by the same."""
        return Clusters(group_rows(self.task_keys), group_rows(self.askers))

    def utilities(self, cost_weight: float, reference_cost_usd: float) -> Floats:
        """Return reward - cost_weight · cost / reference cost per trial (n,), in points of reward.

        NaN where the cost is unknown; raises BadInput for a reference cost that is not positive.
        """
        if not reference_cost_usd > 0.0:
            raise BadInput(
                "reference cost", f"it is {reference_cost_usd!r}", "give the reference arm's mean cost in USD"
            )
        return np.asarray(self.rewards - cost_weight * np.asarray(self.costs_usd) / reference_cost_usd)

    def supported(self, choices: Floats, min_propensity: float) -> Floats:
        """Return for each trial (n,) how much of its choices (n, arms) the logging policy could have served.

        A log holds one propensity per trial, that of the served arm. A choice counts as supported where it was served
        with at least ``min_propensity``; or where the served arm left others at least that much, and the log holds the
        choice, served at such a propensity, on some trial. With two arms this is exact, with more it is the most that
        the log can say; ``Side.weight_mean`` tests the rest.
        """
        is_enough = self.propensities >= min_propensity - ROUNDING
        leaves_room = 1.0 - self.propensities >= min_propensity - ROUNDING
        was_ever_served = np.bincount(self.served_index[is_enough], minlength=len(self.arms)) > 0
        is_supported = leaves_room[:, np.newaxis] & was_ever_served
        is_supported[np.arange(is_enough.size), self.served_index] = is_enough
        return np.asarray((choices * is_supported).sum(axis=1))


def probabilities_of(trials: LoggedTrials, target: Target) -> Floats:
    """Return a target policy as probabilities (n, arms); raises BadInput for any other shape, number or arm."""
    shape = (len(trials.served), len(trials.arms))
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        is_distribution = target.shape == shape and bool((target >= 0.0).all())
        if not is_distribution or not np.allclose(target.sum(axis=1), 1.0, atol=1e-6):
            culprit = f"{target.shape} numbers that are not one distribution over {shape[1]} arms per trial"
            raise BadInput(
                "target policy", culprit, "give probabilities that are not negative and sum to 1 on each trial"
            )
        return target
    if len(target) != shape[0]:
        raise BadInput("target policy", f"{len(target)} choices for {shape[0]} trials", "give one arm per trial")
    places = {arm: place for place, arm in enumerate(trials.arms)}
    probabilities = np.zeros(shape)
    for row, arm in enumerate(target):
        if arm not in places:
            fix = "name it in the trials' arms; it stays unsupported until it has served"
            raise BadInput("target policy", f"it chooses {str(arm)!r}, which is not among the arms", fix)
        probabilities[row, places[arm]] = 1.0
    return probabilities
