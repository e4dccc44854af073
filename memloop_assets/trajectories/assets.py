"""The doorway of the room ``trajectories``: its four weekly assets."""

from types import SimpleNamespace

import dagster as dg
import pyarrow.compute as pc

from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.table_metadata import picture
from memloop_assets.orchestration.week_loop import Built, run_weeks, weekly_asset
from memloop_assets.pictures import draw_bars
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.landing import landed_label
from memloop_assets.trajectories.quality import RULE_NUMBER, TIERS, grade_trajectory
from memloop_assets.trajectories.tables import (
    QUARANTINED_LINES,
    SESSION_LOGS,
    TRAJECTORIES,
    TRAJECTORY_QUALITY,
    quality_row,
    session_log_row,
)
from memloop_assets.weeks import IsoWeek

GROUP = "trajectories"


@weekly_asset(SESSION_LOGS, group=GROUP, kinds={"log", "parquet"})
def session_logs(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """The landed log files with lines in the week, each pinned by the hash of its bytes."""
    opened = home.open()

    def build(week: IsoWeek) -> Built:
        inputs = {landed_label(week): opened.landing.digest(week)}
        sources = opened.landing.sources(week)
        table = SESSION_LOGS.table(
            session_log_row(source, week, opened.landing.span_digest(source)) for source in sources
        )
        lines = sum(source.span.line_count for source in sources)
        return Built(table, inputs, metadata={"file_count": len(sources), "line_count": lines})

    return run_weeks(context, opened, SESSION_LOGS, build)


@weekly_asset(TRAJECTORIES, group=GROUP, kinds={"python", "parquet"}, deps=["session_logs"])
def trajectories(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Task attempts cut from the week's sessions: by ids where they are logged, by silence where not."""
    opened = home.open()
    reading = CutWeek(opened.landing, opened.settings.logs)

    def build(week: IsoWeek) -> Built:
        inputs = {**opened.store.input_of("session_logs", week), **reading.landed_lines(week)}
        table, counts = cut_week(reading, week, opened.settings.arms)
        return Built(table, inputs, config=(opened.settings.logs, dict(opened.settings.arms)), metadata=counts)

    return run_weeks(context, opened, TRAJECTORIES, build)


@weekly_asset(QUARANTINED_LINES, group=GROUP, kinds={"python", "parquet"}, deps=["session_logs"])
def quarantined_lines(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Lines of the week that could not be read, each whole, with file, line number and reason."""
    opened = home.open()

    def build(week: IsoWeek) -> Built:
        table, reasons = quarantine_week(opened.landing, week)
        listed = "\n".join(f"- {count} x {reason}" for reason, count in reasons.most_common(20)) or "none"
        metadata = {
            "quarantined_file_count": len(pc.unique(table["source_id"])),
            "quarantined_byte_count": pc.sum(table["byte_count"]).as_py() or 0,
            "reasons": dg.MetadataValue.md(listed),
        }
        return Built(table, opened.store.input_of("session_logs", week), metadata=metadata)

    return run_weeks(context, opened, QUARANTINED_LINES, build)


@weekly_asset(TRAJECTORY_QUALITY, group=GROUP, kinds={"python", "parquet"}, deps=["trajectories"])
def trajectory_quality(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """A grade for every trajectory, with the reasons that gave or took points."""
    opened = home.open()

    def build(week: IsoWeek) -> Built:
        graded = [
            (row, grade_trajectory(SimpleNamespace(**row)))
            for row in opened.store.read("trajectories", week).drop(["messages_json", "tool_calls_json"]).to_pylist()
        ]
        table = TRAJECTORY_QUALITY.table(
            quality_row(row["trajectory_id"], grade, week, RULE_NUMBER) for row, grade in graded
        )
        tiers: dict[str, float] = {tier: sum(grade.tier == tier for _, grade in graded) for tier in TIERS}
        drawn = draw_bars(tiers, title=f"Quality tiers, {week}", y_label="trajectories")
        metadata = {f"{tier.lower()}_count": count for tier, count in tiers.items()}
        metadata["failed_although_high_count"] = sum(g.tier == "HIGH" and r["is_known_failure"] for r, g in graded)
        return Built(
            table,
            opened.store.input_of("trajectories", week),
            config=(RULE_NUMBER,),
            metadata={**metadata, "tiers": picture(drawn, "quality tiers")},
        )

    return run_weeks(context, opened, TRAJECTORY_QUALITY, build)
