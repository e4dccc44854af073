"""The tables of the room ``trajectories``: their contracts, and how values become rows.

What a row means is said here once; the UI and ``docs/tables.md`` show these words.
"""

from collections.abc import Mapping
from typing import Any

from memloop_assets.contracts import Column, TableContract
from memloop_assets.settings import ArmPrice
from memloop_assets.trajectories.formats.reader import ORIGINS, Rejected, canonical_json
from memloop_assets.trajectories.labels import label_columns
from memloop_assets.trajectories.landing import Source
from memloop_assets.trajectories.quality import TIERS, Quality
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_assets.weeks import IsoWeek

WEEK = Column("week", "string", "ISO week, as 2026-W12")
TRAJECTORY_ID = Column("trajectory_id", "string", "content hash of the trajectory's redacted events")
TASK_KEY = Column("task_key", "string", "identity of the task: hash of its normalised text")
ORIGIN = Column("origin", "string", "who wrote the log; only live and review rows teach", allowed=ORIGINS)

SESSION_LOGS = TableContract(
    name="session_logs",
    row="one log file with lines in the week",
    key=("source_id",),
    columns=(
        WEEK,
        Column("source_id", "string", "identity of the landed file"),
        Column("file_name", "string", "name of the file as it was ingested"),
        Column("format", "string", "log format it was read as"),
        ORIGIN,
        Column("line_count", "int", "lines of this week in the file", minimum=0),
        Column("start_offset", "int", "byte at which the week's lines start", minimum=0),
        Column("end_offset", "int", "byte after which they end", minimum=0),
        Column("span_sha256", "string", "SHA-256 of the bytes between the two offsets"),
    ),
)

TRAJECTORIES = TableContract(
    name="trajectories",
    row="one task attempt that starts in the week",
    key=("trajectory_id",),
    columns=(
        WEEK,
        TRAJECTORY_ID,
        Column("session_id", "string", "logged session id", nullable=True),
        Column("task_id", "string", "logged task id", nullable=True),
        Column("user_id", "string", "logged user id", nullable=True),
        Column(
            "user_group",
            "int",
            "which of 64 groups the user falls into, by a hash of the id as it was logged: tells users apart for splits, and names nobody",
            nullable=True,
            minimum=0,
            maximum=63,
        ),
        Column("decision_id", "string", "logged id of the routing decision", nullable=True),
        ORIGIN,
        Column("source_id", "string", "landed file of its first event"),
        Column("file_name", "string", "name of that file"),
        Column("first_line", "int", "line of its first event, from 1 (tau-bench: number of the record)", minimum=1),
        Column("last_line", "int", "line of its last event, in the file of that event", minimum=1),
        Column("started_at", "time", "stamp of its first event"),
        Column("ended_at", "time", "stamp of its last event"),
        Column("session_date", "string", "UTC date of its start"),
        Column("is_synthetic_time", "bool", "whether its stamps were made up because the log has none"),
        TASK_KEY,
        Column("task_text", "string", "first user message; empty where there is none"),
        Column("domain", "string", "logged label of the kind of task", nullable=True),
        Column(
            "domain_tags_json",
            "json",
            "logged tags and the domain, else the tools that were called, else unlabelled; never empty",
        ),
        Column("difficulty", "float", "logged difficulty of the task", nullable=True, minimum=0, maximum=1),
        Column("risk_level", "string", "logged risk of the task, in the log's own words", nullable=True),
        Column("event_count", "int", "events it is made of", minimum=1),
        Column("message_count", "int", "messages", minimum=0),
        Column("user_message_count", "int", "messages of people", minimum=0),
        Column("assistant_message_count", "int", "messages of the agent, under whatever name", minimum=0),
        Column("tool_call_count", "int", "tool calls", minimum=0),
        Column("error_count", "int", "error events", minimum=0),
        Column("decision_count", "int", "decision events", minimum=0),
        Column("has_successful_tool_call", "bool", "a tool was called and no error was logged"),
        Column("is_multi_step", "bool", "more than one question and one answer"),
        Column(
            "agent_confidence", "float", "lowest confidence that the agent stated", nullable=True, minimum=0, maximum=1
        ),
        Column("arm", "string", "arm that served it; null where none or more than one is logged", nullable=True),
        Column("arm_count", "int", "distinct arms among its routes", minimum=0),
        Column("candidate_arms_json", "json", "arms that could have been chosen", nullable=True),
        Column("propensity", "float", "probability with which the arm was chosen", nullable=True, minimum=0, maximum=1),
        Column("policy_version", "string", "version of the router that chose", nullable=True),
        Column("success", "bool", "logged success", nullable=True),
        Column("reward", "float", "logged reward, or 1 / 0 for success / failure", nullable=True, minimum=0, maximum=1),
        Column("label_source", "string", "who judged", nullable=True, allowed=("user", "checker", "judge", "none")),
        Column("judge_score", "float", "last reward given by a judge", nullable=True, minimum=0, maximum=1),
        Column("human_score", "float", "last reward given by the user", nullable=True, minimum=0, maximum=1),
        Column("is_known_failure", "bool", "the outcome says that it failed"),
        Column("cost_usd", "float", "logged cost, or the arm's configured price", nullable=True, minimum=0),
        Column("latency_ms", "float", "logged latency", nullable=True, minimum=0),
        Column("retrieved_context_json", "json", "what was retrieved for its answers, in order", nullable=True),
        Column("is_context_wrong", "bool", "an outcome says that what was retrieved was wrong"),
        Column("final_answer", "string", "last text of the agent", nullable=True),
        Column("messages_json", "json", "messages in time order"),
        Column("tool_calls_json", "json", "tool call events in time order"),
        Column("errors_json", "json", "error events in time order"),
        Column("decisions_json", "json", "decision events in time order"),
        Column("extra_json", "json", "unknown fields of its lines: [source_id, line, fields] each"),
    ),
)

QUARANTINED_LINES = TableContract(
    name="quarantined_lines",
    row="one line that could not be read, kept whole but for redaction",
    key=("source_id", "line_number"),
    columns=(
        WEEK,
        Column("source_id", "string", "identity of the landed file"),
        Column("file_name", "string", "name of the file as it was ingested"),
        Column("line_number", "int", "line in the file, from 1 (tau-bench: number of the record)", minimum=1),
        Column("reason", "string", "why it could not be read"),
        Column("byte_count", "int", "bytes of the line as it was logged", minimum=0),
        Column("raw_text", "string", "the line, redacted; bytes that are not UTF-8 are written as \\xNN"),
    ),
)

TRAJECTORY_QUALITY = TableContract(
    name="trajectory_quality",
    row="the grade of one trajectory",
    key=("trajectory_id",),
    columns=(
        WEEK,
        TRAJECTORY_ID,
        Column("quality_score", "float", "points under the quality rule"),
        Column("quality_tier", "string", "HIGH, MEDIUM or LOW", allowed=TIERS),
        Column("reasons_json", "json", "each reason with its points"),
        Column("rule_number", "int", "number of the quality rule", minimum=1),
    ),
)

TABLES = (SESSION_LOGS, TRAJECTORIES, QUARANTINED_LINES, TRAJECTORY_QUALITY)


def trajectory_row(
    trajectory: Trajectory, week: IsoWeek, file_names: Mapping[str, str], arms: Mapping[str, ArmPrice]
) -> dict[str, object]:
    """Return a trajectory as a row of ``trajectories``; the cost is the logged one, else the configured price of its arm."""
    first, last, outcome = trajectory.events[0], trajectory.events[-1], trajectory.outcome
    route: Mapping[str, Any] = trajectory.routes[0] if trajectory.routes else {}
    arm = trajectory.arms[0] if len(trajectory.arms) == 1 else None
    return {
        "week": str(week),
        "trajectory_id": trajectory.trajectory_id,
        **{name: trajectory.first_id(name) for name in ("session_id", "task_id", "user_id", "decision_id")},
        "origin": trajectory.origin,
        "source_id": first.source_id,
        "file_name": file_names[first.source_id],
        "first_line": first.line_number,
        "last_line": last.line_number,
        "started_at": trajectory.started_at,
        "ended_at": trajectory.ended_at,
        "session_date": trajectory.session_date,
        "is_synthetic_time": any(event.is_synthetic_time for event in trajectory.events),
        "task_key": trajectory.task_key,
        "task_text": trajectory.task_text,
        "domain": route.get("domain"),
        **label_columns(trajectory),
        "event_count": len(trajectory.events),
        "message_count": trajectory.message_count,
        "user_message_count": trajectory.user_message_count,
        "assistant_message_count": trajectory.assistant_message_count,
        "tool_call_count": trajectory.tool_call_count,
        "error_count": trajectory.error_count,
        "decision_count": trajectory.decision_count,
        "has_successful_tool_call": trajectory.has_successful_tool_call,
        "is_multi_step": trajectory.is_multi_step,
        "agent_confidence": trajectory.agent_confidence,
        "arm": arm,
        "arm_count": len(trajectory.arms),
        "candidate_arms_json": canonical_json(sorted(arms_)) if (arms_ := route.get("candidate_arms")) else None,
        "propensity": route.get("propensity"),
        "policy_version": route.get("policy_version"),
        "success": outcome.get("success"),
        "reward": trajectory.reward,
        "label_source": outcome.get("label_source"),
        "is_known_failure": trajectory.is_known_failure,
        "cost_usd": _cost_usd(outcome, arms.get(arm) if arm else None),
        "latency_ms": outcome.get("latency_ms"),
        "messages_json": canonical_json(trajectory.messages),
        "tool_calls_json": canonical_json(trajectory.tool_calls),
        "errors_json": canonical_json(trajectory.errors),
        "decisions_json": canonical_json(trajectory.decisions),
        "extra_json": canonical_json([[e.source_id, e.line_number, e.extra] for e in trajectory.events if e.extra]),
    }


def quarantined_row(rejected: Rejected, week: IsoWeek, file_name: str) -> dict[str, object]:
    """Return a rejected line as a row of ``quarantined_lines``."""
    return {
        "week": str(week),
        "source_id": rejected.source_id,
        "file_name": file_name,
        "line_number": rejected.line_number,
        "reason": rejected.reason,
        "byte_count": len(rejected.raw),
        "raw_text": rejected.raw.decode("utf-8", "backslashreplace"),
    }


def quality_row(trajectory_id: str, quality: Quality, week: IsoWeek, rule_number: int) -> dict[str, object]:
    """Return a grade as a row of ``trajectory_quality``."""
    return {
        "week": str(week),
        "trajectory_id": trajectory_id,
        "quality_score": quality.score,
        "quality_tier": quality.tier,
        "reasons_json": canonical_json(list(quality.reasons)),
        "rule_number": rule_number,
    }


def _cost_usd(outcome: Mapping[str, object], price: ArmPrice | None) -> object:
    if outcome.get("cost_usd") is not None or price is None:
        return outcome.get("cost_usd")
    return price.cost_usd(outcome.get("input_tokens"), outcome.get("output_tokens"))  # type: ignore[arg-type]  # the reader checked them


def session_log_row(source: Source, week: IsoWeek, span_sha256: str) -> dict[str, object]:
    """Return a landed file's part in a week as a row of ``session_logs``."""
    return {
        "week": str(week),
        "source_id": source.source_id,
        "file_name": source.file_name,
        "format": source.format,
        "origin": source.options.origin,
        "line_count": source.span.line_count,
        "start_offset": source.span.start_offset,
        "end_offset": source.span.end_offset,
        "span_sha256": span_sha256,
    }
