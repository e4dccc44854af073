"""The router: predicted reward per arm, and one choice made from the predictions.

Here belongs all that happens between a task's text and the arm that serves it; the parts are in ``linear.py``, ``forest.py``
and ``choosing.py``. Not here: fitting (``training.py``), files (``checkpoint.py``), who is champion
(``versions.py``). numpy and the standard library only: agents import this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Features, Featuriser
from memloop_assets.routing.array_folder import content_name
from memloop_assets.routing.choosing import Choice, ChoiceRule, Pick, Prospect, explore, pick_arm, spread
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.linear import Linear, logit, sigmoid
from memloop_assets.routing.task_memory import TaskMemory

__all__ = ["Choice", "ChoiceRule", "Router", "RouterKind", "single_arm_router"]

RouterKind = Literal["fitted", "single-arm"]

UNMEASURED_REWARD = 0.5
"""What a single-arm policy predicts for an arm of which it was told nothing."""


@dataclass(frozen=True, eq=False)
class Router:
    """Rewards per arm over frozen features, with a choice rule.

    The prediction is that of ``linear`` and, where there is one, ``forest``, which has the share ``forest_share`` of it (a half
    where it has seen all trials that ``linear`` knows of), moved towards what the arm earned in a known domain and calibrated:
    the logit times ``slopes`` plus ``shifts``. Shapes: ``costs_usd`` per call, ``latencies_ms`` (NaN where unknown),
    ``slopes`` and ``shifts`` (arms,); ``term_variances`` (terms, arms), how unsure the linear weights are, and
    ``prior_variance``, how unsure the weight of a word is that was never seen. ``memory`` then moves the prediction of a task
    that was tried before. ``row_counts`` tells how many training rows each arm had.
    """

    kind: RouterKind
    arms: tuple[str, ...]
    rule: ChoiceRule
    featuriser: Featuriser
    costs_usd: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]
    linear: Linear
    forest: Forest | None
    slopes: NDArray[np.float64]
    shifts: NDArray[np.float64]
    term_variances: NDArray[np.float32]
    prior_variance: float
    row_counts: tuple[int, ...]
    memory: TaskMemory | None = None
    forest_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a router whose parts do not fit together; raises BadInput."""
        arm_count = len(self.arms)
        per_arm = (self.costs_usd, self.latencies_ms, self.slopes, self.shifts, self.linear.intercepts)
        shapes_fit = (
            len(set(self.arms)) == arm_count == len(self.row_counts)
            and all(array.shape == (arm_count,) for array in per_arm)
            and self.linear.term_weights.shape == self.term_variances.shape == (len(self.featuriser.terms), arm_count)
            and (self.forest is None or self.forest.leaf_values.shape[1] == arm_count)
            and (self.forest is None or len(self.forest.directions) == len(self.featuriser.terms))
            and (self.memory is None or self.memory.trial_counts.shape[1] == arm_count)
            and 0.0 <= self.forest_share <= 1.0
        )
        if not shapes_fit:
            raise BadInput("router", "its arrays do not fit its arms and terms", "fit it again")
        if self.rule.reference_arm not in self.arms:
            raise BadInput(
                "router", f"reference arm {self.rule.reference_arm!r} is not one of its arms", self._arms_fix
            )
        numbers: tuple[NDArray, ...] = (self.costs_usd, self.slopes, self.shifts, self.term_variances)
        numbers = (*numbers, *self.linear.arrays().values())
        if not all(np.isfinite(array).all() for array in numbers) or not 0.0 < self.prior_variance < inf:
            raise BadInput(
                "router", "it holds numbers that are not finite", "look for NaN in costs and rewards, fit it again"
            )

    @cached_property
    def version(self) -> str:
        """Return the content-addressed name: 16 hex digits of SHA-256 over everything that shapes a choice."""
        return content_name(self.facts(), self.arrays())

    def facts(self) -> dict[str, object]:
        """Return everything but the arrays, ready for JSON."""
        return {
            "kind": self.kind,
            "arms": list(self.arms),
            "row_counts": list(self.row_counts),
            "rule": asdict(self.rule),
            "hand_names": list(HAND_NAMES),
            "terms": list(self.featuriser.terms),
            "domains": list(self.linear.domains),
            "prior_variance": self.prior_variance,
            "forest_depth": None if self.forest is None else self.forest.depth,
            "forest_share": self.forest_share,
            "memory": None if self.memory is None else self.memory.facts(),
        }

    def arrays(self) -> dict[str, NDArray]:
        """Return every array by its name in the checkpoint."""
        return {
            "costs_usd": self.costs_usd,
            "latencies_ms": self.latencies_ms,
            "hand_mean": self.featuriser.hand_mean,
            "hand_scale": self.featuriser.hand_scale,
            "idf": self.featuriser.idf,
            "slopes": self.slopes,
            "shifts": self.shifts,
            "term_variances": self.term_variances,
            **self.linear.arrays(),
            **({} if self.forest is None else self.forest.arrays()),
            **({} if self.memory is None else self.memory.arrays()),
        }

    def predict_rewards(self, text: str, domain: str | None = None) -> NDArray[np.float64]:
        """Return the predicted reward of each arm, shape (arms,), in [0, 1]; ``domain`` is the logged kind of task."""
        features = self.featuriser.transform(text)
        return self._remember(text, self._predict(features, domain))[0]

    def predict_reward_table(
        self, texts: Sequence[str], domains: Sequence[str | None] | None = None
    ) -> NDArray[np.float64]:
        """Return the predicted rewards of many texts, shape (texts, arms): the same numbers, to the last bit.

        ``domains`` has one entry per text; without it no domain is known.
        """
        found = self.featuriser.transform_all(texts)
        known = [None] * len(found) if domains is None else domains
        linear = self.linear.chance_table(found, known)
        chances = (
            linear if self.forest is None else blend_halves(linear, self.forest.value_table(found), self.forest_share)
        )
        table = self._calibrate(self.linear.settle_table(chances, known))
        for row, text in enumerate(texts):
            table[row] = self._remember(text, table[row])[0]
        return table

    def choose(
        self, text: str, arms: Sequence[str] | None = None, *, domain: str | None = None, draw: float | None = None
    ) -> Choice:
        """Return the cheapest arm that is good enough, the reference arm when unsure.

        ``arms`` are those that can serve now (default: all); ``domain`` is the logged kind of task, where there is one.
        ``draw`` is a number drawn evenly from [0, 1) for this task: with it, the rule's share of choices explores; without
        it none does. Raises BadInput when ``arms`` is empty or names an arm that this router does not know, and for a draw
        outside [0, 1).
        """
        if draw is not None and not 0.0 <= draw < 1.0:
            raise BadInput("choice", f"draw is {draw}", "draw a number from [0, 1), as random.random() does")
        picked, offered, reference = self._pick(text, arms, domain)
        served, propensity = picked.prospect, 1.0
        if draw is not None and not picked.is_fallback:
            served, propensity = explore(self.rule, picked, offered, draw)
        is_told = self.kind == "single-arm" and not picked.is_fallback
        is_exploration = served.arm != picked.prospect.arm
        reason = f"explored instead of {picked.prospect.arm} ({picked.reason})" if is_exploration else picked.reason
        return Choice(
            arm=served.arm,
            reason=reason,
            predicted_reward=served.reward,
            expected_cost_usd=served.cost_usd,
            is_fallback=picked.is_fallback,
            propensity=propensity,
            policy_version=self.version,
            confidence=1.0 if is_told else min(picked.prospect.confidence, reference.confidence),
            is_exploration=is_exploration,
        )

    def propensities(
        self, text: str, arms: Sequence[str] | None = None, *, domain: str | None = None, explores: bool = False
    ) -> dict[str, float]:
        """Return the probability with which ``choose`` takes each arm that it may take, summing to 1.

        ``explores`` tells whether ``choose`` is given a draw; without one the rule's arm has all of it. Raises as ``choose`` does.
        """
        picked, offered, _ = self._pick(text, arms, domain)
        if not explores or picked.is_fallback:
            return {picked.prospect.arm: 1.0}
        return spread(self.rule, picked, offered)

    def _pick(
        self, text: str, arms: Sequence[str] | None, domain: str | None
    ) -> tuple[Pick, Sequence[Prospect], Prospect]:
        """Return the rule's arm, what is expected of those offered, and of the reference arm."""
        places = self._allowed_places(arms)
        features = self.featuriser.transform(text)
        predicted = self._predict(features, domain)
        rewards, left = self._remember(text, predicted)
        prospects = self._prospects(rewards, features, left)
        reference = prospects[self._places[self.rule.reference_arm]]
        offered = [prospects[place] for place in places]
        if self.kind == "single-arm" and self._places[reference.arm] in places:
            return Pick(reference, "this policy always takes its one arm"), [reference], reference
        return pick_arm(self.rule, offered, reference, self._doubt(text, features, left)), offered, reference

    def priced(self, costs_usd: Mapping[str, float]) -> "Router":
        """Return the same router with other prices per call in USD; an arm that is not named keeps its own."""
        prices = np.array([costs_usd.get(arm, price) for arm, price in zip(self.arms, self._costs, strict=True)])
        return replace(self, costs_usd=prices)

    def _doubt(self, text: str, features: Features, left: NDArray[np.float64] | None) -> str | None:
        """Return in words why a text is not judged, None where it is."""
        if self.kind == "single-arm":
            return "this policy knows one arm"
        if not text.strip():
            return "the text is empty"
        limit = self.rule.known_word_limit
        if left is None and features.known_ratio < limit:
            return f"{features.known_ratio:.0%} of the words are known, under the limit of {limit:.0%}"
        return None

    def _predict(self, features: Features, domain: str | None) -> NDArray[np.float64]:
        linear = self.linear.chances(features, domain)
        chances = (
            linear if self.forest is None else blend_halves(linear, self.forest.values(features), self.forest_share)
        )
        return self._calibrate(self.linear.settle(chances, domain))

    def _calibrate(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        return sigmoid(self.slopes * logit(chances) + self.shifts) if self._is_calibrated else chances

    def _remember(
        self, text: str, predicted: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the rewards moved by what is remembered, and what is left of each prediction; None for an unknown task."""
        place, similarity = (None, 0.0) if self.memory is None else self.memory.recall(text)
        if self.memory is None or place is None:
            return predicted, None
        return self.memory.blend(place, similarity, predicted)

    def _prospects(
        self, rewards: NDArray[np.float64], features: Features, left: NDArray[np.float64] | None
    ) -> list[Prospect]:
        """Return what is expected of every arm.

        The confidence knows the linear weights alone, as if they were independent (a diagonal Laplace approximation); an unknown
        word is one whose weight is as open as before the fit.
        """
        known = features.known_ratio
        squares = (features.values * features.values).astype(np.float32)
        variances = known * (squares @ self.term_variances[features.indices]) + (1.0 - known) * self.prior_variance
        spreads = np.sqrt(variances / self.prior_variance)
        if left is not None:
            spreads *= left
        each = zip(self.arms, rewards.tolist(), self._costs, self._latencies, (1.0 - spreads).tolist(), strict=True)
        return [Prospect(*one) for one in each]

    def _allowed_places(self, arms: Sequence[str] | None) -> Sequence[int]:
        if arms is None:
            return range(len(self.arms))
        unknown = [arm for arm in arms if arm not in self._places]
        if unknown or not arms:
            raise BadInput(
                "arms", f"{unknown[0]!r} is not known to this router" if unknown else "none given", self._arms_fix
            )
        return [self._places[arm] for arm in arms]

    @property
    def _arms_fix(self) -> str:
        return f"choose among {', '.join(self.arms)}"

    @cached_property
    def _places(self) -> dict[str, int]:
        return {arm: place for place, arm in enumerate(self.arms)}

    @cached_property
    def _costs(self) -> list[float]:
        return self.costs_usd.tolist()

    @cached_property
    def _latencies(self) -> list[float]:
        return self.latencies_ms.tolist()

    @cached_property
    def _is_calibrated(self) -> bool:
        return bool((self.slopes != 1.0).any() or self.shifts.any())


def blend_halves(linear: NDArray[np.float64], trees: NDArray[np.float64], trees_share: float) -> NDArray[np.float64]:
    """Return the predictions of both halves as one."""
    return (1.0 - trees_share) * linear + trees_share * trees


def single_arm_router(
    arm: str, costs_usd: Mapping[str, float], mean_rewards: Mapping[str, float] | None = None
) -> Router:
    """Return the policy that always takes one arm, in the same form as a fitted router.

    ``costs_usd`` names every arm with its price per call; ``mean_rewards`` is what the policy predicts for each arm.
    Raises BadInput when ``arm`` has no price.
    """
    names = tuple(sorted(costs_usd))
    means = mean_rewards or {}
    none = np.zeros(len(names))
    return Router(
        kind="single-arm",
        arms=names,
        rule=ChoiceRule(arm, delta=0.0, reward_floor=0.0, known_word_limit=0.0),
        featuriser=Featuriser((), np.empty(0), np.zeros(len(HAND_NAMES)), np.ones(len(HAND_NAMES))),
        costs_usd=np.array([costs_usd[name] for name in names], dtype=np.float64),
        latencies_ms=np.full(len(names), np.nan),
        linear=Linear(
            intercepts=logit(np.array([means.get(name, UNMEASURED_REWARD) for name in names], dtype=np.float64)),
            term_weights=np.empty((0, len(names))),
            hand_weights=np.zeros((len(HAND_NAMES), len(names))),
            domains=(),
            domain_weights=np.empty((0, len(names))),
            domain_means=np.empty((0, len(names))),
            domain_shares=np.empty((0, len(names))),
        ),
        forest=None,
        slopes=none + 1.0,
        shifts=none,
        term_variances=np.empty((0, len(names)), dtype=np.float32),
        prior_variance=1.0,
        row_counts=(0,) * len(names),
    )
