"""The prior: what trials that left the retention window still say of the linear half, without their rows.

A Laplace approximation: each arm's cross-entropy of the rows that are gone, to the second order, its curvature as a few directions
and an exact diagonal; and the counts that words and domains had. Here belongs how a prior is made of a fitted router, the rows that
leave and the prior before; not here: files (``prior_files.py``), which rows leave (``weekly_prior.py``), the fit (``fitting.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.array_folder import content_name
from memloop_assets.routing.fitting import HAND_SHARE, Gone, Material, arm_rows, prepare_material, tally_domains
from memloop_assets.routing.linear import sigmoid
from memloop_assets.routing.logistic import Pull, no_pull
from memloop_assets.routing.router import Router
from memloop_assets.routing.trials import read_trials

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BLOCK = 1_000
"""Rows of which the curvature is taken up in one go."""


@dataclass(frozen=True, eq=False)
class Prior:
    """What rows that are gone taught, over terms, hand features and domains as they were measured then.

    ``featuriser``: the terms of these rows with their idf, and the scale of the hand features; ``term_counts`` (terms,): in how many
    of ``task_count`` distinct tasks each stood. ``pulls``: per arm, over terms, hand features, ``domains`` and the intercept, in this
    order. ``domain_sums``: per arm (3, domains + 1), as ``tally_domains`` says. ``trial_weight``: of all these rows. ``weeks``: whose
    rows they were. ``benchmark``: generation of the benchmark that was held out.
    """

    featuriser: Featuriser
    term_counts: NDArray[np.int64]
    task_count: int
    domains: tuple[str, ...]
    pulls: Mapping[str, Pull]
    domain_sums: Mapping[str, NDArray[np.float64]]
    trial_weight: float
    weeks: tuple[str, ...]
    benchmark: str

    @cached_property
    def version(self) -> str:
        """Return the content-addressed name: 16 hex digits of SHA-256 over all that it holds."""
        return content_name(self.facts(), self.arrays())

    def facts(self) -> dict[str, object]:
        """Return everything but the arrays, ready for JSON."""
        return {
            "arms": list(self.pulls),
            "terms": list(self.featuriser.terms),
            "domains": list(self.domains),
            "task_count": self.task_count,
            "trial_weight": self.trial_weight,
            "weeks": list(self.weeks),
            "benchmark": self.benchmark,
            "hand_names": list(HAND_NAMES),
        }

    def arrays(self) -> dict[str, NDArray]:
        """Return every array by its name on disk; arms by their place."""
        of_arms = {
            f"{name}_{place}": array
            for place, (arm, pull) in enumerate(self.pulls.items())
            for name, array in (
                ("centre", pull.centre),
                ("slope", pull.slope),
                ("diagonal", pull.diagonal),
                ("factor", pull.factor),
                ("domain_sums", self.domain_sums[arm]),
            )
        }
        known = self.featuriser
        scales = {"idf": known.idf, "hand_mean": known.hand_mean, "hand_scale": known.hand_scale}
        return {**scales, "term_counts": self.term_counts, **of_arms}

    def over(self, terms: Sequence[str], domains: Sequence[str]) -> dict[str, Gone]:
        """Return what it says of each arm, over other terms and domains: of those that no row held, nothing."""
        pulls = _move_all(self.pulls, (self.featuriser.terms, self.domains), (terms, domains))
        places = _places_of(self.domains, domains)
        places = np.append(
            np.where(places < 0, len(domains), places), len(domains)
        )  # what is unknown now counts as elsewhere
        found = {}
        for arm, pull in pulls.items():
            sums = np.zeros((len(domains) + 1, 3))
            np.add.at(sums, places, self.domain_sums[arm].T)
            found[arm] = Gone(pull, sums.T)
        return found

    def faded(self, share: float) -> "Prior":
        """Return the prior with all its trials weighing this share of what they did."""
        pulls = {
            arm: Pull(pull.centre, share * pull.slope, share * pull.diagonal, np.float32(share**0.5) * pull.factor)
            for arm, pull in self.pulls.items()
        }
        sums = {arm: np.array([[share], [share**2], [share]]) * own for arm, own in self.domain_sums.items()}
        return replace(self, pulls=pulls, domain_sums=sums, trial_weight=share * self.trial_weight)


@dataclass(frozen=True)
class Leaving:
    """The rows of ``router_samples`` that leave the window, with their ``weight``; their weeks; the benchmark held out of them."""

    samples: pa.Table
    weeks: tuple[str, ...]
    benchmark: str


def absorb(prior: Prior | None, router: Router, leaving: Leaving, *, rank: int, propensity_floor: float) -> Prior:
    """Return the prior with these rows taken up: their loss around the weights of a router that was fitted on them and on ``prior``.

    The curvature keeps its ``rank`` main directions; the rest of it keeps its diagonal (Ritter, Botev and Barber, "Online structured
    Laplace approximations", 2018, for the scheme). The same rows in any order give the same bytes. Raises BadInput as ``fit_router`` does.
    """
    from threadpoolctl import threadpool_limits

    trials = read_trials(leaving.samples, propensity_floor)
    material = prepare_material(trials, router.featuriser, router.linear.domains)
    terms, domains = router.featuriser.terms, router.linear.domains
    gone = prior.over(terms, domains) if prior else {}
    with threadpool_limits(1):
        for arm in sorted(set(trials.arms.tolist())):
            own = np.flatnonzero(trials.arms == arm)
            before = gone.get(arm) or Gone(
                no_pull(material.matrix.shape[1] + len(domains)), np.zeros((3, len(domains) + 1))
            )
            pull = _bend_around(before.pull, _weights_of(router, arm), material, own, rank)
            gone[arm] = Gone(pull, before.domain_sums + tally_domains(material, own))
    counts = _count_terms(material)
    if prior:
        kept = _places_of(prior.featuriser.terms, terms)
        np.add.at(counts, kept[kept >= 0], prior.term_counts[kept >= 0])
    known = np.flatnonzero(counts)
    names = tuple(terms[place] for place in known)
    frozen = router.featuriser
    return Prior(
        featuriser=Featuriser(names, frozen.idf[known], frozen.hand_mean, frozen.hand_scale),
        term_counts=counts[known],
        task_count=len(set(trials.task_keys)) + (prior.task_count if prior else 0),
        domains=domains,
        pulls=_move_all({arm: one.pull for arm, one in gone.items()}, (terms, domains), (names, domains)),
        domain_sums={arm: gone[arm].domain_sums for arm in sorted(gone)},
        trial_weight=float(trials.plain_weights.sum()) + (prior.trial_weight if prior else 0.0),
        weeks=tuple(sorted({*leaving.weeks, *(prior.weeks if prior else ())})),
        benchmark=leaving.benchmark,
    )


def _weights_of(router: Router, arm: str) -> NDArray[np.float64]:
    """Return an arm's coefficients in the fit's own scale and order, the intercept last; zeros for an arm that it lacks."""
    linear = router.linear
    if arm not in router.arms:
        return np.zeros(len(linear.term_weights) + len(linear.hand_weights) + len(linear.domains) + 1)
    place = router.arms.index(arm)
    parts = (linear.term_weights, linear.hand_weights / HAND_SHARE, linear.domain_weights)
    return np.concatenate([*(part[:, place] for part in parts), linear.intercepts[[place]]])


def _bend_around(
    before: Pull, centre: NDArray[np.float64], material: Material, own: NDArray[np.intp], rank: int
) -> Pull:
    """Return the loss of the trials ``own`` and of ``before`` to the second order at a new centre."""
    from scipy import sparse

    rows = sparse.hstack([arm_rows(material, own), np.ones((len(own), 1))]).tocsr()
    trials = material.trials
    chances = sigmoid(rows @ centre)
    slope = before.slope + before.bend(centre - before.centre)
    slope = slope + rows.T @ (trials.weights[own] * (chances - trials.rewards[own]))
    bent = rows.multiply(np.sqrt(trials.weights[own] * chances * (1.0 - chances))[:, np.newaxis]).tocsr()
    diagonal, factor = before.diagonal, before.factor
    for start in range(0, len(own), _BLOCK):
        diagonal, factor = _compress(diagonal, factor, bent[start : start + _BLOCK], rank)
    return Pull(centre, slope, diagonal, factor)


def _compress(
    diagonal: NDArray[np.float64], factor: NDArray[np.float32], rows: "csr_array", rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return diag(``diagonal``) + factor' factor + rows' rows with a factor of ``rank`` rows; its diagonal is exact."""
    kept = factor.astype(np.float64)
    across = np.asarray(rows @ kept.T)
    products = np.block([[kept @ kept.T, across.T], [across, (rows @ rows.T).toarray()]])
    main = np.linalg.eigh(products)[1][:, ::-1][:, :rank]
    smaller = main[: len(kept)].T @ kept + np.asarray(rows.T @ main[len(kept) :]).T
    smaller = smaller.astype(np.float32)
    whole = np.einsum("ij,ij->j", kept, kept) + np.asarray(rows.power(2).sum(axis=0)).ravel()
    rest = whole - np.einsum("ij,ij->j", smaller, smaller, dtype=np.float64)
    return diagonal + np.maximum(rest, 0.0), smaller


def _count_terms(material: Material) -> NDArray[np.int64]:
    """Return in how many distinct tasks each term stands, (terms,)."""
    of_task = dict(zip(material.trials.task_keys, material.text_places.tolist(), strict=True))
    found = material.matrix[sorted(of_task.values())][:, : material.term_count]
    return np.bincount(found.indices, minlength=material.term_count).astype(np.int64)


def _move_all(
    pulls: Mapping[str, Pull], old: tuple[Sequence[str], Sequence[str]], new: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Pull]:
    """Return pulls, sorted by arm, laid out over other terms and domains; where no row held one of these there is no pull."""
    shift, hands = len(new[0]), np.arange(len(HAND_NAMES))
    end = shift + len(HAND_NAMES) + len(new[1])
    places = np.concatenate(
        [_places_of(old[0], new[0]), shift + hands, _places_of(old[1], new[1], shift + len(hands)), [end]]
    )
    return {arm: _move(pulls[arm], places, end + 1) for arm in sorted(pulls)}


def _places_of(names: Sequence[str], among: Sequence[str], start: int = 0) -> NDArray[np.intp]:
    """Return the place of each name among others, counted from ``start``; -1 where it is not there."""
    places = {name: start + place for place, name in enumerate(among)}
    return np.array([places.get(name, -1) for name in names], dtype=np.intp)


def _move(pull: Pull, places: NDArray[np.intp], count: int) -> Pull:
    """Return a pull on other coefficients; one that has no place there (-1) is held at 0, and the others are pulled as that asks."""
    kept = places >= 0
    slope = pull.slope + pull.bend(np.where(kept, 0.0, -pull.centre))

    def spread(values: NDArray) -> NDArray:
        moved = np.zeros((*values.shape[:-1], count), dtype=values.dtype)
        moved[..., places[kept]] = values[..., kept]
        return moved

    return Pull(spread(pull.centre), spread(slope), spread(pull.diagonal), spread(pull.factor))
