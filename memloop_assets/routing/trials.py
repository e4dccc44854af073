"""Trials: the rows of ``router_samples`` as arrays, checked, and what they say of each arm as a whole.

Here belong reading and refusing rows, their weights by inverse propensity, prices, latencies, and the best single arm. Not
here: which rows count (the snapshot decides) and what is learned from their texts (``training.py``).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from memloop_assets.errors import BadInput

_SORTED_BY = ("example_id", "arm", "task_text", "reward", "weight", "propensity", "cost_usd", "domain", "latency_ms")
_NEEDED = (*_SORTED_BY, "task_key")
_Z_95 = 1.645


@dataclass(frozen=True, eq=False)
class Trials:
    """The samples as arrays of one length, in an order that does not depend on the table's.

    ``weights`` hold the inverse propensities, ``plain_weights`` do not; unknown costs and latencies are NaN, unknown
    domains None.
    """

    texts: list[str]
    task_keys: list[str]
    domains: list[str | None]
    arms: NDArray[np.str_]
    rewards: NDArray[np.float64]
    weights: NDArray[np.float64]
    plain_weights: NDArray[np.float64]
    costs_usd: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]

    @cached_property
    def mean_reward(self) -> float:
        """Return the weighted mean reward over all arms."""
        return float(np.average(self.rewards, weights=self.weights))

    @cached_property
    def task_trials(self) -> NDArray[np.int64]:
        """Return for each row how many rows its task has."""
        counts = Counter(self.task_keys)
        return np.array([counts[key] for key in self.task_keys], dtype=np.int64)

    def task_shares(self, seed: int = 0) -> NDArray[np.float64]:
        """Return for each row a number in [0, 1) that its task and the seed decide: what slices of tasks are cut by."""
        found = {key: _share_of(f"{seed} {key}" if seed else key) for key in set(self.task_keys)}
        return np.array([found[key] for key in self.task_keys])

    def task_halves(self, seed: int = 0) -> NDArray[np.bool_]:
        """Return for each row whether its task is in the first of two halves; its task and the seed alone decide."""
        return np.floor(self.task_shares(seed) * 2**20) % 2 == 0

    def effective_rows(self, chosen: NDArray[np.bool_]) -> float:
        """Return how many equally weighted rows weigh as much as the chosen ones (Kish, 1965); 0 for none."""
        weights = self.weights[chosen]
        return float(weights.sum() ** 2 / (weights @ weights)) if weights.size else 0.0


def read_trials(samples: pa.Table, propensity_floor: float) -> Trials:
    """Return the checked rows of a weight above 0 in canonical order.

    Raises BadInput for an empty table, a missing column, and a number out of its bounds.
    """
    missing = [name for name in _NEEDED if name not in samples.column_names]
    if missing:
        raise BadInput("router samples", f"column {missing[0]!r} is missing", f"give all of {', '.join(_NEEDED)}")
    weights = _bounded(samples, "weight", 0.0, 1e12)
    samples = samples.filter(pa.array(weights > 0.0))
    if not samples.num_rows:
        raise BadInput("router samples", "there is not one row", "ingest logs that have route and outcome events first")
    samples = samples.select(_NEEDED).sort_by([(name, "ascending") for name in _SORTED_BY])
    for name in ("example_id", "task_key", "task_text", "arm"):
        if samples[name].null_count:
            raise BadInput("router samples", f"{name} is null in {samples[name].null_count} rows", "drop those rows")
    arms = np.array(samples["arm"].to_pylist(), dtype=np.str_)
    propensities = _bounded(samples, "propensity", 0.0, 1.0, is_nullable=True)
    plain = _bounded(samples, "weight", 0.0, 1e12)
    return Trials(
        texts=samples["task_text"].to_pylist(),
        task_keys=samples["task_key"].to_pylist(),
        domains=samples["domain"].to_pylist(),
        arms=arms,
        rewards=_bounded(samples, "reward", 0.0, 1.0),
        weights=_weigh(arms, plain, propensities, propensity_floor),
        plain_weights=plain,
        costs_usd=_bounded(samples, "cost_usd", 0.0, 1e12, is_nullable=True),
        latencies_ms=_bounded(samples, "latency_ms", 0.0, 1e12, is_nullable=True),
    )


def price_arms(arms: tuple[str, ...], trials: Trials, arm_costs: Mapping[str, float]) -> dict[str, float]:
    """Return the expected price per call of each arm in USD; raises BadInput for one that is unknown or impossible."""
    prices = {**_logged_means(set(arms) - set(arm_costs), trials, trials.costs_usd), **arm_costs}
    if not prices:
        return dict.fromkeys(arms, 0.0)
    for arm in arms:
        if arm not in prices or not 0.0 <= prices[arm] < float("inf"):
            culprit = f"costs {prices[arm]}" if arm in prices else "has neither a configured price nor a logged cost"
            raise BadInput(f"arm {arm!r}", culprit, "set its price per call in memloop.toml, 0 or more")
    return prices


def time_arms(arms: tuple[str, ...], trials: Trials) -> dict[str, float]:
    """Return the mean logged latency of each arm in ms; an arm without any is left out."""
    return _logged_means(set(arms), trials, trials.latencies_ms)


def best_arm(trials: Trials, means: Mapping[str, float], costs_usd: Mapping[str, float], min_arm_rows: int) -> str:
    """Return the best of the arms that served most, or the best of those whose lead over it is more than noise (one-sided 95 %).

    Arms served most whose counts are below the highest by no more than noise: counts of an even draw differ by
    sqrt(c1 + c2). ``means`` are those of ``mean_rewards``. A shrunk mean m of n effective rows has at most the variance
    m (1 - m) / n, rewards being in [0, 1]. An arm of fewer than ``min_arm_rows`` rows leads nothing.
    """
    counts = Counter(trials.arms.tolist())
    variances = {arm: mean * (1.0 - mean) / trials.effective_rows(trials.arms == arm) for arm, mean in means.items()}
    most = max(counts[arm] for arm in means)
    incumbents = [arm for arm in means if most - counts[arm] <= _Z_95 * float(np.sqrt(most + counts[arm]))]

    def rank(arm: str) -> tuple[float, float, str]:
        return -round(means[arm], 12), costs_usd[arm], arm

    served = min(incumbents, key=rank)

    def leads(arm: str) -> bool:
        noise = _Z_95 * float(np.sqrt(variances[arm] + variances[served]))
        return counts[arm] >= min_arm_rows and means[arm] - means[served] > noise

    return min(filter(leads, means), key=rank, default=served)


def mean_rewards(trials: Trials, shrinkage_rows: float) -> dict[str, float]:
    """Return each arm's weighted mean reward, shrunk as if ``shrinkage_rows`` more rows had earned the mean of all."""
    means = {}
    for arm in sorted(set(trials.arms.tolist())):
        is_arm = trials.arms == arm
        rows = trials.effective_rows(is_arm)
        own_share = rows / (rows + shrinkage_rows)
        own = float(np.average(trials.rewards[is_arm], weights=trials.weights[is_arm]))
        means[arm] = own_share * own + (1.0 - own_share) * trials.mean_reward
    return means


def _logged_means(arms: set[str], trials: Trials, values: NDArray[np.float64]) -> dict[str, float]:
    found = {}
    for arm in sorted(arms):
        is_logged = (trials.arms == arm) & ~np.isnan(values)
        if is_logged.any():
            found[arm] = float(np.average(values[is_logged], weights=trials.weights[is_logged]))
    return found


def _share_of(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64


def _weigh(
    arms: NDArray[np.str_], weights: NDArray[np.float64], propensities: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Return the rows' weights by inverse propensity (1 where none is logged), each arm's sum kept (Hajek, 1971)."""
    inverse = weights / np.clip(np.nan_to_num(propensities, nan=1.0), floor, 1.0)
    for arm in np.unique(arms):
        of_arm = arms == arm
        inverse[of_arm] *= weights[of_arm].sum() / inverse[of_arm].sum()
    return inverse


def _bounded(
    samples: pa.Table, name: str, low: float, high: float, *, is_nullable: bool = False
) -> NDArray[np.float64]:
    """Return a column as floats, null as NaN where allowed; raises BadInput for NaN and values out of bounds."""
    column = samples[name].combine_chunks()
    is_null = np.asarray(column.is_null(), dtype=bool)
    values = np.array(column.cast(pa.float64()).fill_null(float("nan")), dtype=np.float64)
    is_bad = ~((values >= low) & (values <= high))
    if is_nullable:
        is_bad &= ~is_null
    if is_bad.any():
        first = int(np.flatnonzero(is_bad)[0])
        found = "null" if is_null[first] else values[first]
        culprit = f"{name} is {found} in example {samples['example_id'][first].as_py()!r}"
        raise BadInput("router samples", culprit, f"keep {name} between {low:.3g} and {high:.3g}, or drop the row")
    return values
