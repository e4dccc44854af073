"""Supervised examples: the conversations of a week that are worth imitating."""

import hashlib
from collections import Counter

import orjson
import pyarrow as pa

from memloop_assets.datasets.conversations import to_training_chat
from memloop_assets.datasets.leakage import HoldoutKeys, drop_holdout
from memloop_assets.datasets.tables import SFT_EXAMPLES
from memloop_assets.trajectories.formats.reader import canonical_json

TEACHING_ORIGINS = ("live", "review")


def build_sft_examples(
    trajectories: pa.Table, quality: pa.Table, holdout: HoldoutKeys
) -> tuple[pa.Table, dict[str, int]]:
    """Return the week's supervised examples and the counts of what was left out, by reason.

    Kept are HIGH and MEDIUM trajectories of origin live or review that are not known to have failed, whose context nobody marked as wrong,
    whose task is not in the holdout and that have an answer; equal conversations count once.
    """
    trajectories, excluded = drop_holdout(trajectories, holdout)
    grades = {row["trajectory_id"]: row for row in quality.to_pylist()}
    counts: Counter[str] = Counter(holdout_excluded_count=excluded)
    rows: dict[str, dict[str, object]] = {}
    for trajectory in trajectories.to_pylist():
        grade = grades[trajectory["trajectory_id"]]
        reason = _reason_to_leave_out(trajectory, grade["quality_tier"])
        if reason:
            counts[reason] += 1
            continue
        chat = to_training_chat(orjson.loads(trajectory["messages_json"]), orjson.loads(trajectory["tool_calls_json"]))
        text = canonical_json(chat)
        example_id = hashlib.sha256(text.encode()).hexdigest()[:32]
        if example_id in rows:
            counts["duplicate_count"] += 1
            continue
        rows[example_id] = {
            "week": trajectory["week"],
            "example_id": example_id,
            "trajectory_id": trajectory["trajectory_id"],
            "task_key": trajectory["task_key"],
            "messages_json": text,
            "message_count": len(chat),
            "quality_tier": grade["quality_tier"],
            "quality_score": grade["quality_score"],
            "arm": trajectory["arm"],
            "reward": trajectory["reward"],
        }
    return SFT_EXAMPLES.table(rows.values()), dict(counts)


def _reason_to_leave_out(trajectory: dict[str, object], tier: str) -> str | None:
    if trajectory["origin"] not in TEACHING_ORIGINS:
        return "other_origin_count"
    if tier == "LOW":
        return "low_quality_count"
    if trajectory["is_known_failure"]:
        return "known_failure_count"
    if trajectory["is_context_wrong"]:
        return "wrong_context_count"
    if not trajectory["assistant_message_count"]:
        return "unanswered_count"
    return None
