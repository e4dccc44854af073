"""A decision of the gate as a value: outcome, reasons, numbers, and what else was looked at.

No rule here: those of a comparison are in ``policy`` and ``vetoes``, those of a week in ``week_rules``.
"""

from dataclasses import dataclass, field
from typing import Literal

from memloop_assets.promotion.reasons import Metrics
from memloop_assets.routing.versions import Canary

Outcome = Literal["promote", "reject", "hold", "skip", "error"]
CANARY_WEEK = "canary_week"
"""The number that tells a canary's weeks from others: 0 in the week that begins it, then 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One further test of a challenger: what was compared, the mean difference with its one-sided bounds, and a sentence.

    ``is_against``: whether it vetoes. ``mean``, ``lower`` and ``upper`` are None where nothing could be compared; ``task_count``
    is the number of tasks behind them.
    """

    name: str
    is_against: bool
    sentence: str
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None
    task_count: int = 0


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """What the gate says: an outcome, reasons as sentences for a person, finite numbers (None where unknown).

    ``findings``: every further test, those that did not speak against the challenger included. ``canary``: the one that serves a
    share of the sessions after this decision.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    metrics: Metrics = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    canary: Canary | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether the challenger is promoted; every other outcome leaves the champion alone."""
        return self.outcome == "promote"
