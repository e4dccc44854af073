"""Fitting a router: from a snapshot's samples to one ridge per arm.

Here belong the settings of the fit, the checks on its rows and the fit, by scikit-learn under a thread limit of 1.
Not here: which rows count (the snapshot decides), how a router serves (``router.py``), whether it is good (the gate).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from memloop_assets.errors import BadInput, BadSettings
from memloop_assets.featuriser import HAND_NAMES, Featuriser, measure_text, read_terms, smooth_idf
from memloop_assets.routing.router import ChoiceRule, Router

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_SORTED_BY = ("example_id", "arm", "task_text", "reward", "weight", "propensity", "cost_usd")
_SOLVER_TOLERANCE = 1e-12
_Z_95 = 1.645

_HAND_SHARE = 0.3
"""Hand features enter the fit at this share of their standard deviation, which makes their weights dearer. At 200 rows
per arm of RouteLLM's MMLU outcomes this mostly predicted better than 1; elsewhere it made little difference."""


@dataclass(frozen=True)
class TrainingSettings:
    """What shapes a router besides its rows. Nothing in the fit is random, so there is no seed.

    ridge_strength: penalty on the squared weights of each arm's regression.
    max_terms: the most words and word pairs kept, those in the most tasks first.
    min_task_count: distinct tasks in which a term must occur (fewer where there are fewer tasks).
    shrinkage_rows: an arm of n rows predicts n/(n + this) of its own ridge and the rest of the global mean; n is the
        effective number of its weighted rows (Kish, 1965).
    min_arm_rows: with fewer rows an arm predicts its shrunk mean whatever the text.
    reference_arm: what the router falls back to; None takes the best single arm by the training rows.
    propensity_floor: a row counts by the inverse of its logged propensity, or of this where that is lower; 1: unused.
        A router's own logs show each arm on the tasks that suited it. After a router had sent half of the tasks to each
        of two arms with propensity 0.9, the weights took the next one's APGR from 0.626 to 0.639 on average, better in 4
        of 5 splits (RouteLLM's MMLU outcomes). Logs of one propensity are fitted as without weights.
    delta: how much predicted reward a cheaper arm may give away against the reference arm.
    reward_floor: an arm predicted under this is never a saving.
    known_word_limit: share of known words (0 to 1) under which a text counts as novel.
    """

    ridge_strength: float = 7.0
    max_terms: int = 20_000
    min_task_count: int = 3
    shrinkage_rows: float = 20.0
    min_arm_rows: int = 20
    propensity_floor: float = 0.05
    reference_arm: str | None = None
    delta: float = 0.02
    reward_floor: float = 0.1
    known_word_limit: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values out of bounds; raises BadSettings."""
        bounds: dict[str, tuple[float, float]] = {
            "ridge_strength": (1e-6, 1e9),
            "max_terms": (0, 1_000_000),
            "min_task_count": (1, 1_000_000),
            "shrinkage_rows": (0, 1e9),
            "min_arm_rows": (1, 1_000_000),
            "propensity_floor": (1e-3, 1),
            "delta": (0, 1),
            "reward_floor": (0, 1),
            "known_word_limit": (0, 1),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise BadSettings(
                    "router training", f"{name} is {getattr(self, name)}", f"use a value from {low} to {high}"
                )


DEFAULTS = TrainingSettings()


@dataclass(frozen=True, eq=False)
class _Rows:
    """The samples as arrays, in an order that does not depend on the table's; weights hold the inverse propensities."""

    texts: list[str]
    task_keys: list[str]
    arms: NDArray[np.str_]
    rewards: NDArray[np.float64]
    weights: NDArray[np.float64]
    costs_usd: NDArray[np.float64]


def fit_router(samples: pa.Table, arm_costs: Mapping[str, float], settings: TrainingSettings = DEFAULTS) -> Router:
    """Return the router fitted on the rows of ``router_samples``; the same rows in any order give the same bytes.

    ``arm_costs`` is the configured price per call in USD; an arm in it without rows is predicted at the global mean.
    An arm without a configured price takes the weighted mean of its logged ``cost_usd``; if no arm has any, all cost 0.
    Raises BadInput for an empty table, a missing column, a reward, weight, cost or propensity that is not a number in
    its bounds, an arm without a price while others have one, and a reference arm that is not among the arms.
    """
    rows = _read_rows(samples, settings)
    arms = tuple(sorted({*arm_costs, *rows.arms.tolist()}))
    costs_usd = _price_arms(arms, rows, arm_costs)
    featuriser = _fit_featuriser(rows, settings)
    weights, intercepts = _fit_arms(rows, arms, featuriser, settings)
    term_count = len(featuriser.terms)
    return Router(
        kind="ridge",
        arms=arms,
        rule=ChoiceRule(
            reference_arm=settings.reference_arm or _best_arm(rows, settings, costs_usd),
            delta=settings.delta,
            reward_floor=settings.reward_floor,
            known_word_limit=settings.known_word_limit,
        ),
        featuriser=featuriser,
        costs_usd=np.array([costs_usd[arm] for arm in arms]),
        intercepts=intercepts,
        term_weights=weights[:term_count].copy(),
        hand_weights=weights[term_count:] * _HAND_SHARE,
        row_counts=tuple(int((rows.arms == arm).sum()) for arm in arms),
    )


def best_single_arm(
    samples: pa.Table, arm_costs: Mapping[str, float], settings: TrainingSettings = DEFAULTS
) -> tuple[str, dict[str, float]]:
    """Return the best single arm as far as the data tell it from the most served one, and every arm's mean reward.

    It is the arm that served most, unless others lead it by more than noise: then the one with the highest mean, the
    cheaper among equals. Taking the highest mean outright would let a rarely tried, lucky arm be what everything falls
    back to: with rewards shuffled, 19 % of 200 weeks then promoted something, now 1 %. Means weigh rows as the fit
    does and are shrunk as the fit is; an arm of fewer than ``min_arm_rows`` rows leads nothing. Raises BadInput likewise.
    """
    rows = _read_rows(samples, settings)
    arms = tuple(sorted({*arm_costs, *rows.arms.tolist()}))
    means = _mean_rewards(rows, settings)
    return _best_arm(rows, settings, _price_arms(arms, rows, arm_costs)), means


def _best_arm(rows: _Rows, settings: TrainingSettings, costs_usd: Mapping[str, float]) -> str:
    """Return the most served arm, or the best of those whose lead over it is more than noise (one-sided 95 %).

    A shrunk mean m of n effective rows has at most the variance m (1 - m) / n, rewards being in [0, 1].
    """
    means = _mean_rewards(rows, settings)
    counts = Counter(rows.arms.tolist())
    variances = {
        arm: mean * (1.0 - mean) / _effective_rows(rows.weights[rows.arms == arm]) for arm, mean in means.items()
    }
    served = min(means, key=lambda arm: (-counts[arm], -round(means[arm], 12), costs_usd[arm], arm))

    def leads(arm: str) -> bool:
        noise = _Z_95 * float(np.sqrt(variances[arm] + variances[served]))
        return counts[arm] >= settings.min_arm_rows and means[arm] - means[served] > noise

    return min(filter(leads, means), key=lambda arm: (-round(means[arm], 12), costs_usd[arm], arm), default=served)


def _mean_rewards(rows: _Rows, settings: TrainingSettings) -> dict[str, float]:
    global_mean = _global_mean(rows)
    means = {}
    for arm in sorted(set(rows.arms.tolist())):
        rewards, weights = rows.rewards[rows.arms == arm], rows.weights[rows.arms == arm]
        own_share = _own_share(weights, settings)
        means[arm] = own_share * float(np.average(rewards, weights=weights)) + (1.0 - own_share) * global_mean
    return means


def _global_mean(rows: _Rows) -> float:
    return float(np.average(rows.rewards, weights=rows.weights))


def _own_share(weights: NDArray[np.float64], settings: TrainingSettings) -> float:
    effective_rows = _effective_rows(weights)
    return effective_rows / (effective_rows + settings.shrinkage_rows)


def _effective_rows(weights: NDArray[np.float64]) -> float:
    """Return how many equally weighted rows weigh as much (Kish, 1965)."""
    return float(weights.sum() ** 2 / (weights @ weights))


def _read_rows(samples: pa.Table, settings: TrainingSettings) -> _Rows:
    """Return the checked rows of a weight above 0 in canonical order; raises BadInput."""
    needed = (*_SORTED_BY, "task_key")
    missing = [name for name in needed if name not in samples.column_names]
    if missing:
        raise BadInput("router samples", f"column {missing[0]!r} is missing", f"give all of {', '.join(needed)}")
    weights = _bounded(samples, "weight", 0.0, 1e12)
    samples = samples.filter(pa.array(weights > 0.0))
    if not samples.num_rows:
        raise BadInput("router samples", "there is not one row", "ingest logs that have route and outcome events first")
    samples = samples.select(needed).sort_by([(name, "ascending") for name in _SORTED_BY])
    for name in ("example_id", "task_key", "task_text", "arm"):
        if samples[name].null_count:
            raise BadInput("router samples", f"{name} is null in {samples[name].null_count} rows", "drop those rows")
    arms = np.array(samples["arm"].to_pylist(), dtype=np.str_)
    propensities = _bounded(samples, "propensity", 0.0, 1.0, is_nullable=True)
    return _Rows(
        texts=samples["task_text"].to_pylist(),
        task_keys=samples["task_key"].to_pylist(),
        arms=arms,
        rewards=_bounded(samples, "reward", 0.0, 1.0),
        weights=_weigh_rows(arms, _bounded(samples, "weight", 0.0, 1e12), propensities, settings.propensity_floor),
        costs_usd=_bounded(samples, "cost_usd", 0.0, 1e12, is_nullable=True),
    )


def _weigh_rows(
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


def _fit_arms(
    rows: _Rows, arms: tuple[str, ...], featuriser: Featuriser, settings: TrainingSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (features, arms) and intercepts (arms,), each arm shrunk towards the global mean."""
    texts = sorted(set(rows.texts))
    features = _feature_matrix(featuriser, texts)
    place_of_text = {text: place for place, text in enumerate(texts)}
    text_places = np.array([place_of_text[text] for text in rows.texts])
    global_mean = _global_mean(rows)
    weights = np.zeros((features.shape[1], len(arms)))
    intercepts = np.full(len(arms), global_mean)
    for place, arm in enumerate(arms):
        of_arm = np.flatnonzero(rows.arms == arm)
        if not len(of_arm):
            continue
        rewards, row_weights = rows.rewards[of_arm], rows.weights[of_arm]
        intercept = float(np.average(rewards, weights=row_weights))
        own_share = _own_share(row_weights, settings)
        if len(of_arm) >= settings.min_arm_rows:
            coefficients, intercept = _fit_ridge(
                features[text_places[of_arm]], rewards, row_weights, settings.ridge_strength
            )
            weights[:, place] = own_share * coefficients
        intercepts[place] = own_share * intercept + (1.0 - own_share) * global_mean
    return weights, intercepts


def _fit_featuriser(rows: _Rows, settings: TrainingSettings) -> Featuriser:
    """Return the vocabulary of the distinct tasks (a task seen often is one document) and the hand features' scale."""
    documents = dict(zip(rows.task_keys, rows.texts, strict=True))
    counts: Counter[str] = Counter()
    for text in documents.values():
        counts.update(set(read_terms(text)))
    least = min(settings.min_task_count, len(documents))
    common = sorted((-count, term) for term, count in counts.items() if count >= least)[: settings.max_terms]
    terms = tuple(sorted(term for _, term in common))
    hand = np.array([measure_text(text) for text in documents.values()])
    spread = hand.std(axis=0)
    return Featuriser(
        terms=terms,
        idf=smooth_idf([counts[term] for term in terms], len(documents)),
        hand_mean=hand.mean(axis=0),
        hand_scale=np.where(spread > 1e-9, spread, 1.0),
    )


def _feature_matrix(featuriser: Featuriser, texts: list[str]) -> "csr_array":
    """Return the sparse matrix (texts, terms + hand features)."""
    from scipy import sparse

    found = [featuriser.transform(text) for text in texts]
    term_count = len(featuriser.terms)
    hand_places = term_count + np.arange(len(HAND_NAMES))
    columns = np.concatenate([part for one in found for part in (one.indices, hand_places)])
    values = np.concatenate([part for one in found for part in (one.values, one.hand * _HAND_SHARE)])
    ends = np.cumsum([0] + [len(one.indices) + len(HAND_NAMES) for one in found])
    return sparse.csr_array((values, columns, ends), shape=(len(texts), term_count + len(HAND_NAMES)))


def _fit_ridge(
    features: "csr_array", rewards: NDArray[np.float64], weights: NDArray[np.float64], strength: float
) -> tuple[NDArray[np.float64], float]:
    """Return weights (features,) and the unpenalised intercept of one arm's ridge regression."""
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        ridge = Ridge(alpha=strength, solver="sparse_cg", tol=_SOLVER_TOLERANCE)
        ridge.fit(features, rewards, sample_weight=weights)
    return ridge.coef_, float(ridge.intercept_)


def _price_arms(arms: tuple[str, ...], rows: _Rows, arm_costs: Mapping[str, float]) -> dict[str, float]:
    """Return the expected price per call of each arm in USD; raises BadInput for one that is unknown or impossible."""
    prices = dict(arm_costs)
    for arm in set(arms) - set(prices):
        is_logged = (rows.arms == arm) & ~np.isnan(rows.costs_usd)
        if is_logged.any():
            prices[arm] = float(np.average(rows.costs_usd[is_logged], weights=rows.weights[is_logged]))
    if not prices:
        return dict.fromkeys(arms, 0.0)
    for arm in arms:
        if arm not in prices or not 0.0 <= prices[arm] < float("inf"):
            culprit = f"costs {prices[arm]}" if arm in prices else "has neither a configured price nor a logged cost"
            raise BadInput(f"arm {arm!r}", culprit, "set its price per call in memloop.toml, 0 or more")
    return prices
