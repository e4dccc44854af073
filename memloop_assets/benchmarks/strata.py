"""Strata: where on the tasks a difference comes from, by what the router was taught and by domain.

Here: which stratum a task belongs to, and a difference in each. A stratum is looked at after the fact: its interval is
narrow nowhere and one of twenty is off by chance. What a stratum may veto is said in the promotion room.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from memloop_assets.benchmarks.group_bootstrap import DEFAULT_RESAMPLING, Floats, Resampling, paired_difference
from memloop_assets.benchmarks.intervals import Interval
from memloop_assets.errors import BadInput

Stratum = Literal["repeated", "in-distribution", "unseen", "unlabelled"]


def strata_of_tasks(
    task_keys: Sequence[str],
    domains: Sequence[str | None],
    taught_keys: Iterable[str],
    taught_domains: Iterable[str | None],
) -> tuple[Stratum, ...]:
    """Return for each task how it stands to what the router was taught.

    ``repeated``: its key was taught (name a near-duplicate's key as taught to count it). ``in-distribution``: not
    repeated, but its domain was taught. ``unseen``: its domain never was. ``unlabelled``: not repeated and without a
    domain, so nobody can tell. Raises BadInput when lengths differ.
    """
    if len(task_keys) != len(domains):
        raise BadInput("strata", f"{len(task_keys)} keys and {len(domains)} domains", "give one of each per task")
    keys, labels = set(taught_keys), {domain for domain in taught_domains if domain is not None}
    return tuple(_stratum_of(key, domain, keys, labels) for key, domain in zip(task_keys, domains, strict=True))


def difference_by_stratum(
    first: Floats,
    second: Floats,
    strata: Sequence[str | None],
    task_keys: Sequence[str],
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> dict[str, Interval]:
    """Return the mean of first minus second, both (n,), in each stratum, sorted by name, with bounds over task groups.

    Strata may be those above or domains; tasks without one are left out. Raises BadInput when lengths differ.
    """
    if not first.shape == second.shape == (len(strata),) or len(task_keys) != len(strata):
        culprit = f"{first.shape} and {second.shape} numbers, {len(task_keys)} keys, {len(strata)} strata"
        raise BadInput("strata", culprit, "give one of each per task")
    found = {}
    for name in sorted({stratum for stratum in strata if stratum is not None}):
        rows = np.array([row for row, stratum in enumerate(strata) if stratum == name], dtype=np.intp)
        found[name] = paired_difference(first[rows], second[rows], [task_keys[row] for row in rows], resampling)
    return found


def _stratum_of(key: str, domain: str | None, keys: set[str], domains: set[str]) -> Stratum:
    """Return the stratum of one task."""
    if key in keys:
        return "repeated"
    if domain is None:
        return "unlabelled"
    return "in-distribution" if domain in domains else "unseen"
