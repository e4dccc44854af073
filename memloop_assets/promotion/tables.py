"""The tables of the room ``promotion``: one decision per week with its numbers, and the record for who audits it."""

from collections.abc import Mapping
from dataclasses import asdict

from memloop_assets.contracts import Column, TableContract
from memloop_assets.promotion.decision import PromotionDecision
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

_OUTCOMES = ("promote", "reject", "hold", "skip", "error")

PROMOTION_DECISION = TableContract(
    name="promotion_decision",
    row="the gate's decision of the week",
    key=("week",),
    columns=(
        WEEK,
        Column("outcome", "string", "what the gate says", allowed=_OUTCOMES),
        Column("champion_before", "string", "version that was champion when the week was decided"),
        Column(
            "champion_after",
            "string",
            "version that this decision makes or leaves champion; the ledger's first one stands",
        ),
        Column("challenger", "string", "version of the challenger", nullable=True),
        Column("canary", "string", "version that serves a share of the sessions after it", nullable=True),
        Column("reasons_json", "json", "why, in sentences"),
        *(Column(name, "float", description, nullable=True) for name, description in _NUMBERS),
        Column("metrics_json", "json", "every number that the gate looked at"),
        Column(
            "findings_json",
            "json",
            "every further test (baselines, chance, calibration, strata, controls): numbers, verdict",
        ),
        Column("policy_json", "json", "the thresholds it applied"),
        Column("suite_fingerprint", "string", "content hash of the benchmark it used", nullable=True),
    ),
)

TRAINING_REPORT = TableContract(
    name="training_report",
    row="the audit of the week: what it learned from, what was measured, what was decided and where it comes from",
    key=("week",),
    columns=(
        WEEK,
        Column("outcome", "string", "what the gate decides on what lies there now", allowed=_OUTCOMES),
        Column(
            "ledger_outcome", "string", "first decision of the week, which stands", nullable=True, allowed=_OUTCOMES
        ),
        Column(
            "would_decide_now",
            "string",
            "outcome, where the ledger says otherwise or promoted another version",
            nullable=True,
            allowed=_OUTCOMES,
        ),
        Column("champion_before", "string", "version that was champion when the week was decided", nullable=True),
        Column("champion_after", "string", "version that is champion after it, by the ledger", nullable=True),
        Column("challenger", "string", "version of the challenger", nullable=True),
        Column("promoted_version", "string", "version that the week promoted", nullable=True),
        Column("trajectory_count", "int", "trajectories of the week", nullable=True, minimum=0),
        Column("new_sample_count", "int", "samples of the week that the router learned from", nullable=True, minimum=0),
        Column("sample_count", "int", "samples of all retained weeks", nullable=True, minimum=0),
        Column("sample_ids_json", "json", "trajectories behind the week's samples"),
        Column("earlier_samples_json", "json", "samples retained of each earlier week"),
        Column("champion_metrics_json", "json", "what the champion scored on the benchmark"),
        Column("challenger_metrics_json", "json", "what the challenger scored"),
        Column("comparison_json", "json", "every other number that the gate looked at"),
        Column("findings_json", "json", "every further test of the challenger, with its verdict"),
        Column("reasons_json", "json", "why, in sentences"),
        Column("policy_json", "json", "the thresholds that were applied"),
        Column("suite_fingerprint", "string", "content hash of the benchmark", nullable=True),
        Column("lineage_json", "json", "generation of every table that it rests on"),
    ),
)

TABLES = (PROMOTION_DECISION, TRAINING_REPORT)


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
        "canary": decision.canary.version if decision.canary else None,
        "reasons_json": canonical_json(list(decision.reasons)),
        **{name: _as_float(decision.metrics.get(name.replace("champion", "baseline"))) for name, _ in _NUMBERS},
        "metrics_json": canonical_json(dict(decision.metrics)),
        "findings_json": canonical_json([asdict(finding) for finding in decision.findings]),
        "policy_json": canonical_json(dict(policy)),
        "suite_fingerprint": suite_fingerprint,
    }


def would_decide(row: Mapping[str, object]) -> str:
    """Return in words what a row of ``promotion_decision`` or ``training_report`` would decide where another decision stands."""
    outcome = row["outcome"]
    if outcome == "promote":
        return f"would promote `{row['challenger']}`"
    return "would come to an error" if outcome == "error" else f"would {outcome}"


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)
