"""The linear half of a router: one logistic regression per arm over words, hand features and the logged domain, and the domain's own means.

Here belong its arrays and how they are served. Not here: fitting (``logistic.py``). numpy and the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Features

LINEAR_ARRAYS = ("intercepts", "term_weights", "hand_weights", "domain_weights", "domain_means", "domain_shares")
_FAR = 30.0
"""Scores are kept within plus and minus this: a chance of 1e-13 is as sure as a chance gets."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Per arm the logit of the expected reward, linear in the features.

    Shapes: ``intercepts`` (arms,); ``term_weights`` (terms, arms); ``hand_weights`` (len(HAND_NAMES), arms);
    ``domain_weights`` (domains, arms), a row per entry of ``domains``. A domain that is not among them, or none, adds nothing.
    ``domain_means`` and ``domain_shares`` (domains, arms): what the arm earned there, and how much of a prediction that makes up.
    """

    intercepts: NDArray[np.float64]
    term_weights: NDArray[np.float64]
    hand_weights: NDArray[np.float64]
    domains: tuple[str, ...]
    domain_weights: NDArray[np.float64]
    domain_means: NDArray[np.float64]
    domain_shares: NDArray[np.float64]
    _domain_places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the domains; raises BadInput where the parts do not fit together."""
        arm_count = self.intercepts.size
        shapes_fit = (
            self.intercepts.shape == (arm_count,)
            and self.term_weights.shape[1:] == (arm_count,)
            and self.hand_weights.shape == (len(HAND_NAMES), arm_count)
            and self.domain_weights.shape == (len(set(self.domains)), arm_count)
            and self.domain_means.shape == self.domain_shares.shape == self.domain_weights.shape
        )
        if not shapes_fit:
            raise BadInput("router", "its linear arrays do not fit its arms and domains", "fit it again")
        object.__setattr__(self, "_domain_places", {name: place for place, name in enumerate(self.domains)})

    def chances(self, features: Features, domain: str | None) -> NDArray[np.float64]:
        """Return the expected reward per arm, (arms,), in (0, 1)."""
        return self._squash(self._scores(features, domain))

    def chance_table(self, features: Sequence[Features], domains: Sequence[str | None]) -> NDArray[np.float64]:
        """Return ``chances`` of many texts, (texts, arms): the same numbers to the last bit."""
        scores = [self._scores(one, domain) for one, domain in zip(features, domains, strict=True)]
        return self._squash(np.array(scores).reshape(len(scores), self.intercepts.size))

    def _scores(self, features: Features, domain: str | None) -> NDArray[np.float64]:
        scores = self.intercepts + features.hand @ self.hand_weights
        scores += features.values @ self.term_weights[features.indices]
        place = self._domain_places.get(domain) if domain is not None else None
        if place is not None:
            scores += self.domain_weights[place]
        return scores

    @staticmethod
    def _squash(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return sigmoid(np.minimum(np.maximum(scores, -_FAR), _FAR))

    def settle(self, chances: NDArray[np.float64], domain: str | None) -> NDArray[np.float64]:
        """Return predictions (arms,) moved towards what each arm earned in a known domain; others stay as they are."""
        place = self._domain_places.get(domain) if domain is not None else None
        if place is None:
            return chances
        return np.asarray(chances + self.domain_shares[place] * (self.domain_means[place] - chances))

    def settle_table(self, chances: NDArray[np.float64], domains: Sequence[str | None]) -> NDArray[np.float64]:
        """Return ``settle`` of many predictions, (texts, arms): the same numbers to the last bit."""
        places = np.array(
            [-1 if domain is None else self._domain_places.get(domain, -1) for domain in domains], np.intp
        )
        known = np.flatnonzero(places >= 0)
        at, settled = places[known], chances.copy()
        settled[known] += self.domain_shares[at] * (self.domain_means[at] - chances[known])
        return settled

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays by their names in a checkpoint."""
        return {name: getattr(self, name) for name in LINEAR_ARRAYS}


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-score)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * scores))


def logit(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of ``sigmoid``, chances kept a billionth from 0 and 1."""
    clipped = np.minimum(np.maximum(chances, 1e-9), 1.0 - 1e-9)
    return np.log(clipped / (1.0 - clipped))
