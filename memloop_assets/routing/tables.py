"""The table of the room ``routing``: one row per fitted challenger."""

from collections.abc import Mapping

from memloop_assets.contracts import Column, TableContract
from memloop_assets.routing.prior import Prior
from memloop_assets.routing.router import Router
from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.trajectories.tables import WEEK
from memloop_assets.weeks import IsoWeek

ROUTER_CHECKPOINT = TableContract(
    name="router_checkpoint",
    row="the week's challenger; no row where there was nothing to learn from",
    key=("version",),
    columns=(
        WEEK,
        Column("version", "string", "content hash of the router, and its folder under router-versions"),
        Column("reference_arm", "string", "arm that it falls back to"),
        Column("arm_count", "int", "arms that it may choose", minimum=1),
        Column("sample_count", "int", "samples that it was fitted on", minimum=1),
        Column("term_count", "int", "words and word pairs that it knows", minimum=0),
        Column("delta", "float", "reward that a cheaper arm may give away", minimum=0),
        Column("reward_floor", "float", "predicted reward below which an arm is no saving", minimum=0),
        Column("arm_rows_json", "json", "training samples per arm"),
        Column("arm_costs_json", "json", "expected cost per call and arm, USD"),
        Column("prior_version", "string", "prior that stood in for rows that left retention", nullable=True),
        Column("prior_week_count", "int", "weeks whose rows it was made of", minimum=0),
    ),
)

TABLES = (ROUTER_CHECKPOINT,)


def checkpoint_row(
    router: Router, week: IsoWeek, sample_count: int, prior: Prior | None = None
) -> Mapping[str, object]:
    """Return a router, fitted with a prior or without one, as a row of ``router_checkpoint``."""
    return {
        "week": str(week),
        "version": router.version,
        "reference_arm": router.rule.reference_arm,
        "arm_count": len(router.arms),
        "sample_count": sample_count,
        "term_count": len(router.featuriser.terms),
        "delta": router.rule.delta,
        "reward_floor": router.rule.reward_floor,
        "arm_rows_json": canonical_json(dict(zip(router.arms, router.row_counts, strict=True))),
        "arm_costs_json": canonical_json(dict(zip(router.arms, router.costs_usd.tolist(), strict=True))),
        "prior_version": prior.version if prior else None,
        "prior_week_count": len(prior.weeks) if prior else 0,
    }
