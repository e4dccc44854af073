"""Which logged trials depend on each other, and how far a mean over them can be trusted.

Two trials may be alike because they are of the same task or because the same user asked them. Here: both groupings, the standard error
over them, and how many groups they weigh as much as. Not here: what is estimated (``offpolicy``), nor what is enough (``admissibility``).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memloop_assets.benchmarks.group_bootstrap import Floats, Groups, sum_by_group


@dataclass(frozen=True)
class Clusters:
    """Trials by task and by who asked."""

    tasks: Groups
    askers: Groups

    @cached_property
    def both(self) -> Groups:
        """Return the trials by pairs of task and asker."""
        pairs, of_row = np.unique(self.tasks.of_row * self.askers.group_count + self.askers.of_row, return_inverse=True)
        return Groups(of_row.astype(np.intp), int(pairs.size))

    @property
    def degrees(self) -> float:
        """Return the degrees of freedom of a mean to which all groups contribute: one less than tasks or askers, and at least 1."""
        return max(1.0, min(self.tasks.group_count, self.askers.group_count) - 1.0)

    def standard_error(self, influence: Floats) -> float:
        """Return the standard error of a mean over trials with these centred influences (n,); NaN for one task or asker.

        Two-way clustering (Cameron, Gelbach and Miller, 2011): the variance over tasks, plus that over askers, minus that over pairs of
        both; never less than over tasks or over askers alone. Where no two tasks share an asker it is that over tasks.
        """
        by_task, by_asker = jackknife_variance(influence, self.tasks), jackknife_variance(influence, self.askers)
        if math.isnan(by_task) or math.isnan(by_asker):
            return math.nan
        by_pair = jackknife_variance(influence, self.both)
        return math.sqrt(max(by_task, by_asker, by_task + by_asker - by_pair))

    def coarser(self, influence: Floats) -> Groups:
        """Return the grouping over which a mean with these influences varies more: what a bootstrap has to draw."""
        by_task, by_asker = jackknife_variance(influence, self.tasks), jackknife_variance(influence, self.askers)
        return self.tasks if by_task >= by_asker else self.askers


def jackknife_variance(influence: Floats, groups: Groups) -> float:
    """Return the variance of a mean over trials with centred influences (n,) that are dependent within a group; NaN for one group.

    (G - 1)/G · Σ (mean without the group - mean)², the jackknife over groups (MacKinnon, Nielsen and Webb, 2023): a group that holds
    much of the log pulls the mean towards itself, and the plain sum of squares would take that for agreement.
    """
    if groups.group_count < 2:
        return math.nan
    sums = sum_by_group(influence[:, np.newaxis], groups)[:, 0]
    others = influence.size - np.bincount(groups.of_row, minlength=groups.group_count)
    return (groups.group_count - 1) / groups.group_count * float(((sums / others) ** 2).sum())


def effective_count(weights: Floats, groups: Groups) -> float:
    """Return how many equally heavy groups weights (n,), none negative, weigh as much as: (Σw)²/Σw² over groups (Kish, 1965)."""
    of_group = sum_by_group(weights[:, np.newaxis], groups)[:, 0]
    squares = float((of_group**2).sum())
    return float(of_group.sum()) ** 2 / squares if squares > 0.0 else 0.0


def student_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's distribution with that many degrees of freedom, which need not be whole."""
    from scipy import special  # imported where the gate needs it, and not by an agent

    return float(special.stdtrit(degrees, probability))
