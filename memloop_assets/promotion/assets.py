"""The doorway of the room ``promotion``: the week's decision, the champion that agents load, and the report of every attempt."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace

import dagster as dg

from memloop_assets import __version__
from memloop_assets.orchestration.partitions import PREVIOUS_WEEK
from memloop_assets.orchestration.resources import Home, MemloopHome
from memloop_assets.orchestration.table_metadata import MetadataValue, known, picture
from memloop_assets.orchestration.week_loop import OWNERS, Built, published_check, run_weeks, weekly_asset
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.audit import audit_week
from memloop_assets.promotion.champion import publish_champion
from memloop_assets.promotion.evidence import Sources
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.report import report_facts, report_page, report_row, report_summary
from memloop_assets.promotion.tables import PROMOTION_DECISION, TRAINING_REPORT
from memloop_assets.promotion.weekly import decide, draw_history, record_first_decision
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import RehearsedLedger
from memloop_assets.weeks import IsoWeek

GROUP = "promotion"
_REPORTED = ("promotion_decision", "dataset_snapshot", "trajectories")


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
    control_confidence: float | None = None
    stratum_task_count: int | None = None
    stratum_margin: float | None = None
    vetoes_off: list[str] | None = None
    veto_baselines: list[str] | None = None
    planned_looks: int | None = None
    logged_weeks: int | None = None
    logged_min_propensity: float | None = None
    logged_min_ess: float | None = None
    logged_min_supported_ratio: float | None = None
    logged_min_exploration_ratio: float | None = None
    logged_max_disagreement_errors: float | None = None
    canary: bool | None = None
    canary_share: float | None = None
    canary_min_sessions: int | None = None
    canary_weeks: int | None = None
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
        "trajectories",
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

    The first decision of a closed week is final and goes to the ledger; a later one only says what it would decide now. Without a
    benchmark of your own nothing is promoted: `memloop benchmark build` or `memloop benchmark import FILE`.
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
                **known({"benchmark": decided.missing_benchmark}),
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
    running = written.get("canary") if written else None
    rows = opened.ledger.rows()
    decided = [w for w in opened.store.weeks("promotion_decision") if opened.store.is_readable("promotion_decision", w)]
    drawn = draw_history(opened.store, decided, opened.ledger)
    return dg.MaterializeResult(
        metadata={
            **known({**(written or {}), "canary": running["version"] if isinstance(running, dict) else None}),
            "decided_week_count": len(rows),
            "promoted_count": sum(row.action == "promote" for row in rows),
            **({"reward_over_weeks": picture(drawn, "champion's reward over weeks")} if drawn else {}),
        }
    )


class ReportConfig(dg.Config):
    """How the report comes about; a dry run asks the gate itself instead of reading what ``promotion_decision`` published."""

    dry_run: bool = False


@weekly_asset(
    TRAINING_REPORT,
    group=GROUP,
    kinds={"markdown", "json"},
    deps=[*_REPORTED, "benchmark_results"],
    is_published_always=False,
)
def training_report(
    context: dg.AssetExecutionContext, home: MemloopHome, config: ReportConfig
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The report of every attempt at the week, failed ones included: sources, samples, scores, decision, lineage.

    A dry run decides here, counts its attempt and leaves its report; it publishes nothing, so it observes instead of materialising.
    """
    opened = home.open()
    if config.dry_run:
        _rehearse(context, opened)
        yield published_check(opened, TRAINING_REPORT)
        return

    def build(week: IsoWeek) -> Built:
        audit = audit_week(week, opened.store, opened.ledger)
        row = report_row(audit)
        shown = _record(context, opened, week, row, is_dry_run=False)
        read = {f"{name} {week}" for name in _REPORTED}
        inputs = {label: generation for label, generation in audit.lineage.items() if label in read}
        return Built(TRAINING_REPORT.table([row]), inputs, metadata=shown)

    yield run_weeks(context, opened, TRAINING_REPORT, build)


def _rehearse(context: dg.AssetExecutionContext, opened: Home) -> None:
    """Decide the weeks of a dry run in order, each after what the one before would have come to; report them."""
    ledger = RehearsedLedger(opened.ledger)
    sources = replace(_sources(opened), ledger=ledger)
    policy = opened.settings.section("promotion", PromotionPolicy)
    for key in context.partition_keys:
        week, now = IsoWeek.parse(key), opened.now()
        decided = decide(week, sources, policy, now)
        record_first_decision(decided, sources, "dry run", now)
        row = report_row(audit_week(week, opened.store, opened.ledger, decided))
        shown = _record(context, opened, week, row, is_dry_run=True)
        context.log_event(dg.AssetObservation(asset_key=TRAINING_REPORT.name, partition=key, metadata=shown))


def _record(
    context: dg.AssetExecutionContext, opened: Home, week: IsoWeek, row: Mapping[str, object], *, is_dry_run: bool
) -> dict[str, MetadataValue]:
    """Count an attempt, write its report, and return what the UI shows of it."""
    attempts = Attempts(opened.state, opened.places.training_reports)
    report = attempts.record(
        week, report_facts(row), run_id=context.run.run_id, is_dry_run=is_dry_run, now=opened.now()
    )
    numbers = ("attempt", "sample_count", "new_sample_count", "trajectory_count")
    return {
        "outcome": report["outcome"],
        "report_id": report["id"],
        "dry_run": is_dry_run,
        **known({name: report[name] for name in numbers}),
        "summary": dg.MetadataValue.md(report_summary(report)),
        "report": dg.MetadataValue.md(report_page(report)),
    }


def _sources(opened: Home) -> Sources:
    return Sources(
        store=opened.store,
        ledger=opened.ledger,
        router_versions=opened.places.router_versions,
        prices_usd=opened.arm_prices,
        training=opened.settings.section("routing", TrainingSettings),
        first_week=opened.first_week,
    )
