"""What is learned of each arm: a logistic regression, a column of the shared trees.

Here belongs the fit over frozen features, arm by arm, so that an arm can join a router without touching the others. Not here: the
settings and the order of a whole fit (``training.py``), the solver (``logistic.py``), the trees (``growing.py``).
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memloop_assets.featuriser import HAND_NAMES, Features, Featuriser
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.growing import fill_leaves, find_directions, grow_trees
from memloop_assets.routing.linear import Linear, sigmoid
from memloop_assets.routing.logistic import Pull, fit_logistic
from memloop_assets.routing.router import blend_halves
from memloop_assets.routing.trials import Trials

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HAND_SHARE = 0.3
"""Hand features enter the fit at this share of their standard deviation, which makes their weights dearer. At 200 rows
per arm of RouteLLM's MMLU outcomes this mostly predicted better than 1; elsewhere it made little difference."""

_DOMAIN_SHARE, _DOMAIN_TRIALS = 0.5, 10.0
_UNNAMED_SHARE = 0.3
"""Share of the tasks that are fitted without their domain, so that the words alone still predict where none is given."""


@dataclass(frozen=True, eq=False)
class Material:
    """Trials seen through a frozen featuriser.

    ``texts``: the features of the distinct texts; ``text_places``: each trial's place among them; ``matrix``: the sparse
    features of the distinct texts, terms then hand features; ``domains``: those that are told apart, with ``domain_matrix``
    (trials, domains).
    """

    trials: Trials
    texts: list[Features]
    text_places: NDArray[np.intp]
    matrix: "csr_array"
    domains: tuple[str, ...]
    domain_matrix: "csr_array"

    @property
    def term_count(self) -> int:
        """Return how many words and word pairs there are."""
        return int(self.matrix.shape[1]) - len(HAND_NAMES)


@dataclass(frozen=True, eq=False)
class ArmWeights:
    """One arm's share of the linear half: a column of each of its arrays, and the variances of the term weights."""

    intercept: float
    terms: NDArray[np.float64]
    hand: NDArray[np.float64]
    domains: NDArray[np.float64]
    domain_means: NDArray[np.float64]
    domain_shares: NDArray[np.float64]
    variances: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gone:
    """What one arm's trials of which the rows are gone say: of its coefficients, and what they earned per domain (``tally_domains``)."""

    pull: Pull
    domain_sums: NDArray[np.float64]


def prepare_material(trials: Trials, featuriser: Featuriser, domains: tuple[str, ...], seed: int = 0) -> Material:
    """Return the trials' features under a featuriser; ``seed`` decides which tasks are fitted without their domain."""
    from scipy import sparse

    texts = sorted(set(trials.texts))
    place_of = {text: place for place, text in enumerate(texts)}
    found = featuriser.transform_all(texts)
    term_count = len(featuriser.terms)
    hand_places = term_count + np.arange(len(HAND_NAMES))
    columns = np.concatenate([part for one in found for part in (one.indices, hand_places)])
    values = np.concatenate([part for one in found for part in (one.values, one.hand * HAND_SHARE)])
    ends = np.cumsum([0] + [len(one.indices) + len(HAND_NAMES) for one in found])
    return Material(
        trials=trials,
        texts=found,
        text_places=np.array([place_of[text] for text in trials.texts], dtype=np.intp),
        matrix=sparse.csr_array((values, columns, ends), shape=(len(texts), term_count + len(HAND_NAMES))),
        domains=domains,
        domain_matrix=_domain_matrix(trials, domains, seed),
    )


def common_domains(trials: Trials, min_task_count: int) -> tuple[str, ...]:
    """Return the domains of so many distinct tasks, sorted."""
    tasks = {(domain, key) for domain, key in zip(trials.domains, trials.task_keys, strict=True) if domain is not None}
    counts = Counter(domain for domain, _ in tasks)
    least = min(min_task_count, len(set(trials.task_keys)))
    return tuple(sorted(domain for domain, count in counts.items() if count >= least))


def arm_rows(material: Material, own: NDArray[np.intp]) -> "csr_array":
    """Return the sparse rows of trials as an arm's regression sees them: terms, hand features, domains."""
    from scipy import sparse

    return sparse.hstack([material.matrix[material.text_places[own]], material.domain_matrix[own]]).tocsr()


def weigh_arm(  # noqa: PLR0913  # what an arm's fit rests on
    material: Material,
    own: NDArray[np.intp],
    mean: float,
    *,
    penalty: float,
    shrinkage_rows: float,
    min_rows: int,
    shared: NDArray[np.float64] | None = None,
    gone: Gone | None = None,
) -> ArmWeights:
    """Return the logistic regression of the trials ``own`` of one arm, held at ``mean`` as by ``shrinkage_rows`` trials.

    Its coefficients are penalised for their distance from ``shared`` (None: from 0). With fewer than ``min_rows`` trials the text
    does not count; without any, ``mean`` alone. ``gone``: what the arm's trials of before
    say, whose rows are gone; with it the text counts in any case.
    """
    from scipy import sparse

    terms, hands = material.term_count, material.term_count + len(HAND_NAMES)
    weights = material.trials.weights[own]
    held = shrinkage_rows * float(weights @ weights) / float(weights.sum()) if len(own) else 1.0
    rows = arm_rows(material, own)
    is_read = len(own) >= min_rows or gone is not None
    rows = sparse.vstack([rows if is_read else sparse.csr_array(rows.shape), sparse.csr_array((1, rows.shape[1]))])
    rows, row_weights = rows.tocsr(), np.append(weights, held)
    rewards = np.append(material.trials.rewards[own], mean)
    found, intercept = fit_logistic(
        rows, rewards, row_weights, penalty, gone.pull if gone else None, shared if is_read else None
    )
    chances = sigmoid(rows @ found + intercept)
    bends = rows[:, :terms].power(2).T @ (row_weights * chances * (1.0 - chances))
    if gone:
        bends = bends + gone.pull.bends()[:terms]
    return ArmWeights(
        intercept,
        found[:terms],
        found[terms:hands] * HAND_SHARE,
        found[hands:],
        *_domain_means(tally_domains(material, own) + (gone.domain_sums if gone else 0.0), mean),
        1.0 / (penalty + bends),
    )


def tally_domains(material: Material, own: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what the trials ``own`` weigh, these weights squared and what they earned, (3, domains + 1): the last is elsewhere."""
    trials = material.trials
    weights = trials.weights[own]
    places = {name: place for place, name in enumerate(material.domains)}
    known = (trials.domains[row] for row in own)
    of_row = [len(places) if domain is None else places.get(domain, len(places)) for domain in known]
    columns = (weights, weights * weights, weights * trials.rewards[own])
    numbers = np.array(of_row, dtype=np.intp)
    return np.stack([np.bincount(numbers, values, len(places) + 1).astype(np.float64) for values in columns])


def _domain_means(sums: NDArray[np.float64], mean: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what one arm earned per domain, shrunk to all its trials, and the share that it has of a prediction.

    ``sums`` are those of ``tally_domains``. Ten trials stand for the arm's mean (``mean`` without any); n effective trials have a share
    of n / (n + 10) of a half. On the simulated fleet, whose specialised arms serve rarely, a half took the utility from 0.848 to 0.895
    and 0.8 to 0.897; on MMLU with its subjects (one seed) APGR was 0.702 without, 0.703 at a half, 0.692 at 0.8.
    """
    everything, _, all_earned = sums.sum(axis=1)
    expected = float(all_earned / everything) if everything > 0.0 else mean
    total, squares, earned = sums[:, :-1]
    counts = np.divide(total * total, squares, out=np.zeros_like(total), where=squares > 0.0)
    own_means = np.divide(earned, total, out=np.full_like(total, expected), where=total > 0.0)
    means = (counts * own_means + _DOMAIN_TRIALS * expected) / (counts + _DOMAIN_TRIALS)
    return means, _DOMAIN_SHARE * counts / (counts + _DOMAIN_TRIALS)


def join_arms(found: list[ArmWeights], domains: tuple[str, ...]) -> tuple[Linear, NDArray[np.float32]]:
    """Return the linear half made of the arms in their order, and the variances of its term weights (terms, arms)."""
    linear = Linear(
        intercepts=np.array([one.intercept for one in found]),
        term_weights=np.stack([one.terms for one in found], axis=1),
        hand_weights=np.stack([one.hand for one in found], axis=1),
        domains=domains,
        domain_weights=np.stack([one.domains for one in found], axis=1),
        domain_means=np.stack([one.domain_means for one in found], axis=1),
        domain_shares=np.stack([one.domain_shares for one in found], axis=1),
    )
    return linear, np.stack([one.variances for one in found], axis=1).astype(np.float32)


def held_mean(trials: Trials, rows: NDArray[np.intp]) -> float:
    """Return the weighted mean reward of some trials, kept half a trial away from 0 and 1."""
    edge = 0.5 / (len(rows) + 1)
    return min(max(float(np.average(trials.rewards[rows], weights=trials.weights[rows])), edge), 1.0 - edge)


def main_directions(material: Material, seed: int = 0) -> NDArray[np.float32]:
    """Return the directions of all texts' words that trees look at, (terms, directions); no outcome bears on them."""
    return find_directions(material.matrix[:, : material.term_count], seed)


def grow_forest(  # noqa: PLR0913  # all that trees rest on
    material: Material,
    rows: NDArray[np.intp],
    arms: tuple[str, ...],
    linear: Linear,
    directions: NDArray[np.float32],
    *,
    seed: int = 0,
) -> Forest:
    """Return trees over the texts of these trials. Where a text was not tried with an arm, the linear half stands in.

    So one forest learns from logs of one arm per task as from logs of all: what all arms find hard is learned once.
    """
    places, columns = np.unique(material.text_places[rows]), np.searchsorted(np.array(arms), material.trials.arms[rows])
    texts = [material.texts[place] for place in places]
    expected = linear.chance_table(texts, [None] * len(texts))
    surprise, tried = _tally(material, rows, places, columns, expected)
    known = expected + np.divide(surprise, tried, out=np.zeros_like(expected), where=tried > 0.0)
    at = np.searchsorted(places, material.text_places[rows])
    weights = np.bincount(at, material.trials.plain_weights[rows], len(places)).astype(np.float64)
    forest = grow_trees(directions, texts, known, weights, seed)
    return replace(forest, leaf_values=fill_leaves(forest, texts, expected, surprise, tried))


def arm_leaves(
    material: Material, own: NDArray[np.intp], forest: Forest, chances: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return one arm's column of leaf values in trees that stand, (leaves, 1); ``chances`` are of the distinct texts."""
    surprise, tried = _tally(
        material, own, np.arange(len(material.texts)), np.zeros(len(own), dtype=np.intp), chances[:, np.newaxis]
    )
    return fill_leaves(forest, material.texts, chances[:, np.newaxis], surprise, tried)


def predict_trials(  # noqa: PLR0913  # the parts of a prediction, and the trials that are asked
    material: Material,
    rows: NDArray[np.intp],
    arms: tuple[str, ...],
    linear: Linear,
    forest: Forest | None,
    *,
    forest_share: float,
) -> NDArray[np.float64]:
    """Return what is predicted of each of these trials' own arm, uncalibrated, (rows,)."""
    trials = material.trials
    asked = [(int(material.text_places[row]), trials.domains[row]) for row in rows]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(asked))}
    texts, domains = [material.texts[place] for place, _ in numbers], [domain for _, domain in numbers]
    chances = linear.chance_table(texts, domains)
    if forest is not None:
        chances = blend_halves(chances, forest.value_table(texts), forest_share)
    columns = np.searchsorted(np.array(arms), trials.arms[rows])
    return linear.settle_table(chances, domains)[[numbers[one] for one in asked], columns]


def _tally(
    material: Material,
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
    columns: NDArray[np.intp],
    expected: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per text and arm the weighted sum of reward minus what was expected, and the weight of the trials."""
    trials = material.trials
    cells = np.ravel_multi_index((np.searchsorted(places, material.text_places[rows]), columns), expected.shape)
    gained = trials.weights[rows] * (trials.rewards[rows] - expected.ravel()[cells])
    surprise = np.bincount(cells, gained, expected.size).astype(np.float64).reshape(expected.shape)
    return surprise, np.bincount(cells, trials.weights[rows], expected.size).astype(np.float64).reshape(expected.shape)


def _domain_matrix(trials: Trials, domains: tuple[str, ...], seed: int) -> "csr_array":
    """Return a sparse matrix (trials, domains) with a 1 at each one's domain, but for ``_UNNAMED_SHARE`` of the tasks.

    Where logs leave out domains themselves, as many fewer are hidden here.
    """
    from scipy import sparse

    places = {name: place for place, name in enumerate(domains)}
    found = np.array([-1 if domain is None else places.get(domain, -1) for domain in trials.domains])
    named = float(np.mean(found >= 0))
    hidden = max(0.0, (_UNNAMED_SHARE - (1.0 - named)) / named) if named else 0.0
    shown = np.flatnonzero((found >= 0) & (trials.task_shares(seed) >= hidden))
    shape = (len(found), len(domains))
    return sparse.csr_array((np.ones(len(shown)), (shown, found[shown])), shape=shape)
