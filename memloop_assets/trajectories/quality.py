"""The quality grade: heuristics on what a trajectory looks like, additive and with reasons.

The grade never sees the outcome: how well it predicts one is measured, not assumed. Rule 1 is memloop's own default; a change of any
weight is a new rule number, which every graded row carries.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

QualityTier = Literal["HIGH", "MEDIUM", "LOW"]
TIERS: tuple[QualityTier, ...] = ("HIGH", "MEDIUM", "LOW")

RULE_NUMBER = 1
HIGH_FROM = 4.0
MEDIUM_FROM = 1.0


class Gradable(Protocol):
    """What the grade looks at; a ``Trajectory`` and a row of the table ``trajectories`` both have it."""

    @property
    def user_message_count(self) -> int:
        """Messages of people."""

    @property
    def assistant_message_count(self) -> int:
        """Messages of the agent."""

    @property
    def tool_call_count(self) -> int:
        """Tool calls."""

    @property
    def error_count(self) -> int:
        """Error events."""

    @property
    def decision_count(self) -> int:
        """Decision events."""

    @property
    def has_successful_tool_call(self) -> bool:
        """A tool was called and no error was logged."""

    @property
    def is_multi_step(self) -> bool:
        """More than one question and one answer."""

    @property
    def agent_confidence(self) -> float | None:
        """The lowest confidence that the agent stated."""


G = TypeVar("G", bound=Gradable)


@dataclass(frozen=True, slots=True)
class Quality:
    """A grade: points, tier, and each reason with the points it gave."""

    score: float
    tier: QualityTier
    reasons: tuple[str, ...]

    @property
    def is_trainable(self) -> bool:
        """Tell whether the tier alone would let it teach; a known failure does not, whatever its tier."""
        return self.tier != "LOW"


def grade_trajectory(trajectory: Gradable) -> Quality:
    """Return the quality of a trajectory under rule 1.

    Points: complete exchange +1, successful tool call +1, second tool call +0.5, several steps +1, several
    turns +0.5, a decision +0.5, stated confidence
    of at least 0.8 +0.5, below 0.4 -0.5, each error -1. HIGH from 4, MEDIUM from 1; without a user message always LOW.
    """
    confidence = trajectory.agent_confidence
    rules = [
        (1.0, "complete exchange", trajectory.user_message_count > 0 and trajectory.assistant_message_count > 0),
        (1.0, "successful tool call", trajectory.has_successful_tool_call),
        (0.5, "second tool call", trajectory.tool_call_count >= 2),
        (1.0, "several steps", trajectory.is_multi_step),
        (0.5, "several turns", trajectory.user_message_count >= 2 and trajectory.assistant_message_count >= 2),
        (0.5, "decision noted", trajectory.decision_count > 0),
        (0.5, "confident agent", confidence is not None and confidence >= 0.8),
        (-0.5, "unsure agent", confidence is not None and confidence < 0.4),
        (-1.0 * trajectory.error_count, f"{trajectory.error_count} errors", trajectory.error_count > 0),
    ]
    score = sum(points for points, _, holds in rules if holds)
    reasons = [f"{points:+.1f} {name}" for points, name, holds in rules if holds]
    if not trajectory.user_message_count:
        return Quality(score, "LOW", (*reasons, "no user message"))
    return Quality(score, "HIGH" if score >= HIGH_FROM else "MEDIUM" if score >= MEDIUM_FROM else "LOW", tuple(reasons))


def filter_trainable(trajectories: Iterable[G]) -> tuple[list[G], dict[str, int]]:
    """Return the trajectories whose tier lets them teach, and the counts ``total, accepted, high, medium, low``."""
    graded = [(trajectory, grade_trajectory(trajectory)) for trajectory in trajectories]
    accepted = [trajectory for trajectory, quality in graded if quality.is_trainable]
    counts = {tier.lower(): sum(quality.tier == tier for _, quality in graded) for tier in TIERS}
    return accepted, {"total": len(graded), "accepted": len(accepted), **counts}
