"""The rule that turns predicted rewards into one choice, and the choice in words.

Here belong the numbers of the rule, and exploration. Not here: where predictions come from (``router.py``). Standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

_EXPLORED_ARMS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What a router did with one task: the arm, why, and what it expects of it.

    ``confidence`` (0 to 1) is how much of what could be unknown about the text, before any training, is known of the rule's
    arm and the reference arm: the lower of both. ``propensity`` is the exact probability with which this arm was chosen: log
    it. ``is_exploration`` tells that chance took another arm than the rule's.
    """

    arm: str
    reason: str
    predicted_reward: float
    expected_cost_usd: float
    is_fallback: bool
    propensity: float
    policy_version: str
    confidence: float = 1.0
    is_exploration: bool = False


@dataclass(frozen=True)
class ChoiceRule:
    """The cheapest arm that is good enough, in seven settings.

    Good enough: predicted reward at least the reference arm's minus ``delta`` and at least ``reward_floor``. An arm whose
    expected latency is above ``latency_limit_ms`` is left out. The reference arm serves a text of whose words a smaller
    share than ``known_word_limit`` (0 to 1) is known, and where the confidence is under ``confidence_floor`` (0: never).
    ``exploration_ratio`` of the other choices are spread evenly over the rule's arm and the best predicted others, three in
    all.
    """

    reference_arm: str
    delta: float
    reward_floor: float
    known_word_limit: float
    latency_limit_ms: float | None = None
    confidence_floor: float = 0.0
    exploration_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is expected of one arm on one task; ``confidence`` is 1 minus the share of its weights' prior spread that is left."""

    arm: str
    reward: float
    cost_usd: float
    latency_ms: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Pick:
    """The arm that a rule takes, before chance; ``reason`` says why."""

    prospect: Prospect
    reason: str
    is_fallback: bool = False


def pick_arm(rule: ChoiceRule, offered: Sequence[Prospect], reference: Prospect, doubt: str | None) -> Pick:
    """Return the cheapest good enough of the offered arms; the reference arm where there is none, or any ``doubt``.

    Among arms of one price the better predicted wins, then the earlier name. Where the reference arm cannot serve, the best
    predicted of those that can takes its place; where all are too slow, the fastest does. ``offered`` is not empty.
    """
    limit = inf if rule.latency_limit_ms is None else rule.latency_limit_ms
    fast = [one for one in offered if not one.latency_ms > limit]
    if not fast:
        quickest = min(offered, key=lambda one: (one.latency_ms, -one.reward, one.arm))
        return Pick(quickest, f"every arm is slower than {limit:g} ms; the fastest serves", is_fallback=True)
    bar = max(reference.reward - rule.delta, rule.reward_floor)
    good = [one for one in fast if one.reward >= bar]
    if doubt or not good:
        doubt = doubt or f"no arm is predicted to reach the floor of {rule.reward_floor:.3f}"
        return _fall_back(fast, reference, doubt)
    taken = min(good, key=lambda one: (one.cost_usd, -one.reward, one.arm))
    confidence = min(taken.confidence, reference.confidence)
    if confidence < rule.confidence_floor:
        doubt = f"confidence {confidence:.2f} in {taken.arm} is under {rule.confidence_floor:.2f}"
        return _fall_back(fast, reference, doubt)
    versus = f"{reference.arm}'s {reference.reward:.3f} minus {rule.delta:.3f}"
    reason = f"cheapest of {len(good)} good enough: {taken.reward:.3f} against {versus}"
    return Pick(taken, f"{reason}, at {taken.cost_usd:.6g} USD, not {reference.cost_usd:.6g}")


def explore(rule: ChoiceRule, picked: Pick, offered: Sequence[Prospect], draw: float) -> tuple[Prospect, float]:
    """Return the arm that serves and its exact probability, given a number drawn evenly from [0, 1).

    The first ``1 - exploration_ratio`` of the draws take the rule's arm; the rest is dealt evenly over it and the best
    predicted others that are fast enough and not under the floor, three in all.
    """
    ratio = rule.exploration_ratio
    if ratio <= 0.0:
        return picked.prospect, 1.0
    explored = _explored(rule, picked, offered)
    place = 0 if draw < 1.0 - ratio else min(int((draw - (1.0 - ratio)) / ratio * len(explored)), len(explored) - 1)
    return explored[place], _share(ratio, place, len(explored))


def spread(rule: ChoiceRule, picked: Pick, offered: Sequence[Prospect]) -> dict[str, float]:
    """Return the probability with which ``explore`` takes each arm over an even draw; other arms have none."""
    explored = _explored(rule, picked, offered) if rule.exploration_ratio > 0.0 else [picked.prospect]
    return {one.arm: _share(rule.exploration_ratio, place, len(explored)) for place, one in enumerate(explored)}


def _explored(rule: ChoiceRule, picked: Pick, offered: Sequence[Prospect]) -> list[Prospect]:
    limit = inf if rule.latency_limit_ms is None else rule.latency_limit_ms
    able = (one for one in offered if one.reward >= rule.reward_floor and not one.latency_ms > limit)
    others = sorted(
        (one for one in able if one.arm != picked.prospect.arm), key=lambda one: (-one.reward, one.cost_usd, one.arm)
    )
    return [picked.prospect, *others[: _EXPLORED_ARMS - 1]]


def _share(ratio: float, place: int, count: int) -> float:
    return ratio / count + (1.0 - ratio) * (place == 0)


def _fall_back(fast: Sequence[Prospect], reference: Prospect, reason: str) -> Pick:
    if any(one.arm == reference.arm for one in fast):
        return Pick(reference, f"{reason}: the reference arm serves", is_fallback=True)
    best = min(fast, key=lambda one: (-one.reward, one.cost_usd, one.arm))
    reason = f"the reference arm {reference.arm} is not available; best predicted of the others: {best.reward:.3f}"
    return Pick(best, reason, is_fallback=True)
