"""The table of the room ``promotion``: one decision per week, with its numbers."""

from collections.abc import Mapping

from memloop_assets.contracts import Column, TableContract
from memloop_assets.promotion.policy import PromotionDecision
from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.trajectories.tables import WEEK
from memloop_assets.weeks import IsoWeek

_NUMBERS = (
    ("task_count", "holdout tasks compared"),
    ("champion_reward", "mean reward of the champion on them"),
    ("challenger_reward", "mean reward of the challenger"),
    ("champion_cost_usd", "mean cost of the champion"),
    ("challenger_cost_usd", "mean cost of the challenger"),
    ("reward_delta", "mean difference in reward, challenger minus champion"),
    ("reward_delta_lower", "its one-sided lower bound"),
    ("reward_delta_upper", "its one-sided upper bound"),
    ("utility_delta", "mean difference in reward net of weighted cost"),
    ("utility_delta_lower", "its one-sided lower bound"),
    ("utility_delta_upper", "its one-sided upper bound"),
)

PROMOTION_DECISION = TableContract(
    name="promotion_decision",
    row="the gate's decision of the week",
    key=("week",),
    columns=(
        WEEK,
        Column("outcome", "string", "what the gate says", allowed=("promote", "reject", "hold", "skip", "error")),
        Column("champion_before", "string", "version that was champion when the week was decided"),
        Column("champion_after", "string", "version that is champion after it"),
        Column("challenger", "string", "version of the challenger", nullable=True),
        Column("reasons_json", "json", "why, in sentences"),
        *(Column(name, "float", description, nullable=True) for name, description in _NUMBERS),
        Column("metrics_json", "json", "every number that the gate looked at"),
        Column("policy_json", "json", "the thresholds it applied"),
        Column("suite_fingerprint", "string", "content hash of the benchmark it used", nullable=True),
    ),
)

TABLES = (PROMOTION_DECISION,)


def decision_row(  # noqa: PLR0913  # one row has this many facts
    week: IsoWeek,
    decision: PromotionDecision,
    *,
    champion: str,
    challenger: str | None,
    policy: Mapping[str, object],
    suite_fingerprint: str | None,
) -> dict[str, object]:
    """Return a decision as a row of ``promotion_decision``; only ``promote`` changes the champion."""
    return {
        "week": str(week),
        "outcome": decision.outcome,
        "champion_before": champion,
        "champion_after": challenger if decision.accepted else champion,
        "challenger": challenger,
        "reasons_json": canonical_json(list(decision.reasons)),
        **{name: _as_float(decision.metrics.get(name.replace("champion", "baseline"))) for name, _ in _NUMBERS},
        "metrics_json": canonical_json(dict(decision.metrics)),
        "policy_json": canonical_json(dict(policy)),
        "suite_fingerprint": suite_fingerprint,
    }


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)
