"""The router: predicted reward per arm, and the rule that turns predictions into one choice.

Here belongs all that happens between a task's text and the arm that serves it. Not here: fitting (``training.py``),
files (``checkpoint.py``), who is champion (``versions.py``). numpy and the standard library only: agents import this.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Features, Featuriser

RouterKind = Literal["ridge", "single-arm"]

UNMEASURED_REWARD = 0.5
"""What a single-arm policy predicts for an arm of which it was told nothing."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a router did with one task: the arm, why, and what it expects of it."""

    arm: str
    reason: str
    predicted_reward: float
    expected_cost_usd: float
    is_fallback: bool
    propensity: float
    policy_version: str


@dataclass(frozen=True)
class ChoiceRule:
    """The cheapest arm that is good enough, in four numbers.

    Good enough: predicted reward at least the reference arm's minus ``delta`` and at least ``reward_floor``. A text is
    not judged at all, and the reference arm serves it, when the share of its words that are known is under
    ``known_word_limit`` (0 to 1).
    """

    reference_arm: str
    delta: float
    reward_floor: float
    known_word_limit: float


@dataclass(frozen=True, eq=False)
class Router:
    """Linear rewards per arm over frozen features, with a choice rule.

    Shapes: ``costs_usd`` (arms,) per call; ``intercepts`` (arms,); ``term_weights`` (terms, arms);
    ``hand_weights`` (len(HAND_NAMES), arms). ``row_counts`` tells how many training rows each arm had.
    """

    kind: RouterKind
    arms: tuple[str, ...]
    rule: ChoiceRule
    featuriser: Featuriser
    costs_usd: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    term_weights: NDArray[np.float64]
    hand_weights: NDArray[np.float64]
    row_counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a router whose parts do not fit together; raises BadInput."""
        arm_count = len(self.arms)
        shapes_fit = (
            len(set(self.arms)) == arm_count == len(self.row_counts)
            and self.costs_usd.shape == self.intercepts.shape == (arm_count,)
            and self.term_weights.shape == (len(self.featuriser.terms), arm_count)
            and self.hand_weights.shape == (len(HAND_NAMES), arm_count)
        )
        if not shapes_fit:
            raise BadInput("router", "its arrays do not fit its arms and terms", "fit it again")
        if self.rule.reference_arm not in self.arms:
            raise BadInput(
                "router", f"reference arm {self.rule.reference_arm!r} is not one of its arms", self._arms_fix
            )
        numbers = (self.costs_usd, self.intercepts, self.term_weights, self.hand_weights)
        if not all(np.isfinite(array).all() for array in numbers):
            raise BadInput(
                "router", "it holds numbers that are not finite", "look for NaN in costs and rewards, fit it again"
            )

    @cached_property
    def version(self) -> str:
        """Return the content-addressed name: 16 hex digits of SHA-256 over everything that shapes a choice."""
        digest = hashlib.sha256(json.dumps(self.facts(), sort_keys=True, separators=(",", ":")).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(f"\n{name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    def facts(self) -> dict[str, object]:
        """Return everything but the arrays, ready for JSON."""
        return {
            "kind": self.kind,
            "arms": list(self.arms),
            "row_counts": list(self.row_counts),
            "reference_arm": self.rule.reference_arm,
            "delta": self.rule.delta,
            "reward_floor": self.rule.reward_floor,
            "known_word_limit": self.rule.known_word_limit,
            "hand_names": list(HAND_NAMES),
            "terms": list(self.featuriser.terms),
        }

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return every array by its name in the checkpoint."""
        return {
            "costs_usd": self.costs_usd,
            "hand_mean": self.featuriser.hand_mean,
            "hand_scale": self.featuriser.hand_scale,
            "hand_weights": self.hand_weights,
            "idf": self.featuriser.idf,
            "intercepts": self.intercepts,
            "term_weights": self.term_weights,
        }

    def predict_rewards(self, text: str) -> NDArray[np.float64]:
        """Return the predicted reward of each arm, shape (arms,), clipped to [0, 1]."""
        return self._predict(self.featuriser.transform(text))

    def predict_reward_table(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the predicted rewards of many texts, shape (texts, arms): the same numbers, to the last bit."""
        if not texts:
            return np.empty((0, len(self.arms)))
        return np.stack([self.predict_rewards(text) for text in texts])

    def choose(self, text: str, arms: Sequence[str] | None = None) -> Choice:
        """Return the cheapest arm that is good enough, the reference arm when unsure.

        ``arms`` are those that can serve now (default: all). Among arms of one price the better predicted wins, then
        the earlier name. When the reference arm is not among them, the best predicted of them is taken.
        Raises BadInput when ``arms`` is empty or names an arm that this router does not know.
        """
        places = self._allowed_places(arms)
        features = self.featuriser.transform(text)
        rewards = self._predict(features).tolist()
        costs = self._costs
        reference = self._places[self.rule.reference_arm]
        if reference not in places:
            best = min(places, key=lambda place: (-rewards[place], costs[place], self.arms[place]))
            reason = f"the reference arm {self.arms[reference]} is not available; best predicted of the others"
            return self._choice(best, f"{reason}: {rewards[best]:.3f}", rewards, is_fallback=True)
        if self.kind == "single-arm":
            return self._choice(reference, "this policy always takes its one arm", rewards, is_fallback=False)
        if not text.strip():
            return self._choice(reference, "the text is empty: the reference arm serves", rewards, is_fallback=True)
        limit = self.rule.known_word_limit
        if features.known_ratio < limit:
            known = f"{features.known_ratio:.0%} of the words are known, under the limit of {limit:.0%}"
            return self._choice(reference, f"{known}: the reference arm serves", rewards, is_fallback=True)
        return self._cheapest_good_enough(places, rewards, reference)

    def _cheapest_good_enough(self, places: Sequence[int], rewards: list[float], reference: int) -> Choice:
        """Apply the rule to predictions that can be trusted."""
        bar = max(rewards[reference] - self.rule.delta, self.rule.reward_floor)
        good = [place for place in places if rewards[place] >= bar]
        if not good:
            reason = f"no arm is predicted to reach the floor of {self.rule.reward_floor:.3f}: the reference arm serves"
            return self._choice(reference, reason, rewards, is_fallback=True)
        costs = self._costs
        place = min(good, key=lambda place: (costs[place], -rewards[place], self.arms[place]))
        versus = f"{self.arms[reference]}'s {rewards[reference]:.3f} minus {self.rule.delta:.3f}"
        reason = f"cheapest of {len(good)} good enough: {rewards[place]:.3f} against {versus}"
        return self._choice(
            place, f"{reason}, at {costs[place]:.6g} USD, not {costs[reference]:.6g}", rewards, is_fallback=False
        )

    def _choice(self, place: int, reason: str, rewards: list[float], *, is_fallback: bool) -> Choice:
        return Choice(self.arms[place], reason, rewards[place], self._costs[place], is_fallback, 1.0, self.version)

    def _predict(self, features: Features) -> NDArray[np.float64]:
        rewards = self.intercepts + features.hand @ self.hand_weights
        rewards += features.values @ self.term_weights[features.indices]
        return np.minimum(np.maximum(rewards, 0.0), 1.0)

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


def single_arm_router(
    arm: str, costs_usd: Mapping[str, float], mean_rewards: Mapping[str, float] | None = None
) -> Router:
    """Return the policy that always takes one arm, in the same form as a fitted router.

    ``costs_usd`` names every arm with its price per call; ``mean_rewards`` is what the policy predicts for each arm.
    Raises BadInput when ``arm`` has no price.
    """
    names = tuple(sorted(costs_usd))
    means = mean_rewards or {}
    return Router(
        kind="single-arm",
        arms=names,
        rule=ChoiceRule(arm, delta=0.0, reward_floor=0.0, known_word_limit=0.0),
        featuriser=Featuriser((), np.empty(0), np.zeros(len(HAND_NAMES)), np.ones(len(HAND_NAMES))),
        costs_usd=np.array([costs_usd[name] for name in names], dtype=np.float64),
        intercepts=np.array([means.get(name, UNMEASURED_REWARD) for name in names], dtype=np.float64),
        term_weights=np.empty((0, len(names))),
        hand_weights=np.zeros((len(HAND_NAMES), len(names))),
        row_counts=(0,) * len(names),
    )
