"""The doorway of the room ``trajectories``: its four weekly assets."""

from collections import Counter
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
from memloop_assets.trajectories.quarantine import quarantine_page
from memloop_assets.trajectories.redaction import RedactionSettings, Redactor
from memloop_assets.trajectories.secret_verdict import no_secrets
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
_GRADED_COLUMNS = (
    *("trajectory_id", "user_message_count", "assistant_message_count", "tool_call_count", "error_count"),
    *("decision_count", "has_successful_tool_call", "is_multi_step", "agent_confidence", "is_known_failure"),
)


@weekly_asset(SESSION_LOGS, group=GROUP, kinds={"log", "parquet"})
def session_logs(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """The landed log files with lines in the week, each pinned by the hash of its bytes."""
    opened = home.open()
    redaction = opened.settings.section("redaction", RedactionSettings)

    def build(week: IsoWeek) -> Built:
        inputs = {landed_label(week): opened.landing.digest(week)}
        sources = opened.landing.sources(week)
        rows = [session_log_row(source, week, opened.landing.span_digest(source)) for source in sources]
        table = SESSION_LOGS.table(
            row | {"file_name": Redactor(redaction.rules).redact_text(str(row["file_name"]))} for row in rows
        )
        lines = sum(source.span.line_count for source in sources)
        return Built(table, inputs, metadata={"file_count": len(sources), "line_count": lines})

    return run_weeks(context, opened, SESSION_LOGS, build)


@weekly_asset(TRAJECTORIES, group=GROUP, kinds={"python", "parquet"}, deps=["session_logs"])
def trajectories(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Task attempts cut from the week's sessions: by ids where they are logged, by silence where not."""
    opened = home.open()
    redaction = opened.settings.section("redaction", RedactionSettings)
    reading = CutWeek(opened.landing, opened.settings.logs)

    def build(week: IsoWeek) -> Built:
        finds: Counter[str] = Counter()
        inputs = {**opened.store.input_of("session_logs", week), **reading.landed_lines(week)}
        table, counts = cut_week(reading, week, opened.settings.arms, redaction.rules, finds)
        return Built(
            table,
            inputs,
            rules=[no_secrets(redaction.rules)],
            config=(opened.settings.logs, dict(opened.settings.arms), redaction),
            metadata={**counts, "redacted": _listed(finds)},
        )

    return run_weeks(context, opened, TRAJECTORIES, build)


@weekly_asset(QUARANTINED_LINES, group=GROUP, kinds={"python", "parquet"}, deps=["session_logs"])
def quarantined_lines(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """Lines of the week that could not be read, each whole but for redaction, with file, line number and reason."""
    opened = home.open()
    redaction = opened.settings.section("redaction", RedactionSettings)

    def build(week: IsoWeek) -> Built:
        finds: Counter[str] = Counter()
        table, reasons = quarantine_week(opened.landing, week, redaction.rules, finds)
        metadata = {
            "quarantined_file_count": len(pc.unique(table["source_id"])),
            "quarantined_byte_count": pc.sum(table["byte_count"]).as_py() or 0,
            "reasons": _listed(reasons),
            "lines": dg.MetadataValue.md(quarantine_page(table, week)),
            "redacted_count": finds.total(),
            "redacted": _listed(finds),
        }
        return Built(
            table,
            opened.store.input_of("session_logs", week),
            rules=[no_secrets(redaction.rules)],
            config=(redaction,),
            metadata=metadata,
        )

    return run_weeks(context, opened, QUARANTINED_LINES, build)


@weekly_asset(TRAJECTORY_QUALITY, group=GROUP, kinds={"python", "parquet"}, deps=["trajectories"])
def trajectory_quality(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
    """A grade for every trajectory, with the reasons that gave or took points."""
    opened = home.open()

    def build(week: IsoWeek) -> Built:
        inputs = opened.store.input_of("trajectories", week)
        read = opened.store.read("trajectories", week, _GRADED_COLUMNS, inputs[f"trajectories {week}"])
        graded = [(row, grade_trajectory(SimpleNamespace(**row))) for row in read.to_pylist()]
        table = TRAJECTORY_QUALITY.table(
            quality_row(row["trajectory_id"], grade, week, RULE_NUMBER) for row, grade in graded
        )
        tiers: dict[str, float] = {tier: sum(grade.tier == tier for _, grade in graded) for tier in TIERS}
        drawn = draw_bars(tiers, title=f"Quality tiers, {week}", y_label="trajectories")
        metadata = {f"{tier.lower()}_count": count for tier, count in tiers.items()}
        metadata["failed_although_high_count"] = sum(g.tier == "HIGH" and r["is_known_failure"] for r, g in graded)
        return Built(
            table,
            inputs,
            config=(RULE_NUMBER,),
            metadata={**metadata, "tiers": picture(drawn, "quality tiers")},
        )

    return run_weeks(context, opened, TRAJECTORY_QUALITY, build)


def _listed(counts: Counter[str]) -> dg.MetadataValue:
    """Return the most frequent of what was counted as a list."""
    return dg.MetadataValue.md("\n".join(f"- {count} x {name}" for name, count in counts.most_common(20)) or "none")
