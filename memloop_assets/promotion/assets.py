"""The doorway of the room ``promotion``: the week's decision, and the champion that agents load."""

from dataclasses import asdict, fields

import dagster as dg

from memloop_assets import __version__
from memloop_assets.orchestration.partitions import PREVIOUS_WEEK
from memloop_assets.orchestration.resources import Home, MemloopHome
from memloop_assets.orchestration.table_metadata import known, picture
from memloop_assets.orchestration.week_loop import OWNERS, Built, run_weeks, weekly_asset
from memloop_assets.promotion.champion import publish_champion
from memloop_assets.promotion.evidence import Sources
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.weekly import decide, draw_history, record_first_decision
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.weeks import IsoWeek

GROUP = "promotion"


class PolicyConfig(dg.Config):
    """The gate's thresholds for this run alone; what is left out comes from ``[promotion]`` in memloop.toml, then from the defaults."""

    min_reward_delta: float | None = None
    max_error_rate_increase: float | None = None
    max_latency_increase_ms: float | None = None
    required_task_count: int | None = None
    max_unsupported_ratio: float | None = None
    min_new_samples: int | None = None
    cost_weight: float | None = None
    reward_margin: float | None = None
    confidence: float | None = None
    resamples: int | None = None
    seed: int | None = None

    def over(self, configured: PromotionPolicy) -> PromotionPolicy:
        """Return the configured policy with the values that the run gives."""
        given = {f.name: getattr(self, f.name) for f in fields(configured) if getattr(self, f.name) is not None}
        return PromotionPolicy(**{**asdict(configured), **given})


@weekly_asset(
    PROMOTION_DECISION,
    group=GROUP,
    kinds={"python", "parquet"},
    deps=[
        "router_samples",
        "dataset_snapshot",
        "router_checkpoint",
        "benchmark_results",
        "benchmark_suite",
        dg.AssetDep("promotion_decision", partition_mapping=PREVIOUS_WEEK),
    ],
)
def promotion_decision(
    context: dg.AssetExecutionContext, home: MemloopHome, config: PolicyConfig
) -> dg.MaterializeResult:
    """Promote, reject, hold, skip or error: challenger against champion on the same tasks, with reasons and intervals.

    The first decision of a closed week is final and goes to the ledger; a later one only says what it would decide now.
    """
    opened = home.open()
    sources = _sources(opened)
    policy = config.over(opened.settings.section("promotion", PromotionPolicy))

    def build(week: IsoWeek) -> Built:
        now = opened.now()
        decided = decide(week, sources, policy, now)
        drawn = decided.picture()
        numbers = ("reward_delta", "reward_delta_lower", "utility_delta", "utility_delta_lower", "champion_reward")
        return Built(
            PROMOTION_DECISION.table([decided.row]),
            decided.found.inputs,
            config=(policy, sources.training, sources.prices_usd),
            seed=policy.seed,
            metadata={
                "outcome": decided.decision.outcome,
                "decision": dg.MetadataValue.md(decided.as_text()),
                **known({name: decided.row[name] for name in numbers}),
                **({"reward_against_cost": picture(drawn, "reward against cost")} if drawn else {}),
            },
            after=lambda published: {"ledger": record_first_decision(decided, sources, published.generation, now)},
        )

    return run_weeks(context, opened, PROMOTION_DECISION, build)


@dg.asset(group_name=GROUP, kinds={"json"}, owners=OWNERS, code_version=__version__, deps=["promotion_decision"])
def champion(home: MemloopHome) -> dg.MaterializeResult:
    """The router that agents load: ``champion.json`` repeats what the ledger says."""
    opened = home.open()
    written = publish_champion(opened.places.champion, _sources(opened))
    rows = opened.ledger.rows()
    decided = [w for w in opened.store.weeks("promotion_decision") if opened.store.is_readable("promotion_decision", w)]
    drawn = draw_history(opened.store, decided)
    return dg.MaterializeResult(
        metadata={
            **known(written or {}),
            "decided_week_count": len(rows),
            "promoted_count": sum(row.action == "promote" for row in rows),
            **({"reward_over_weeks": picture(drawn, "champion's reward over weeks")} if drawn else {}),
        }
    )


def _sources(opened: Home) -> Sources:
    return Sources(
        store=opened.store,
        ledger=opened.ledger,
        router_versions=opened.places.router_versions,
        prices_usd=opened.arm_prices,
        training=opened.settings.section("routing", TrainingSettings),
        first_week=opened.first_week,
    )
