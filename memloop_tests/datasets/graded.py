"""A week's trajectories and grades as rows, sound unless a test says otherwise: what the builders of examples start from."""

import json

import pyarrow as pa

from memloop_assets.tasks import task_key
from memloop_assets.trajectories.tables import TRAJECTORIES, TRAJECTORY_QUALITY

WEEK_TEXT = "2026-W12"


def trajectory(trajectory_id: str, task_text: object = "Cancel my order", **changes: object) -> dict[str, object]:
    """Return one answered, successful trajectory as a row; columns that no builder reads are left out."""
    messages = [
        {"role": "user", "content": task_text, "seq": 0},
        {"role": "Ada", "content": f"done by {trajectory_id}", "seq": 2},
    ]
    sound: dict[str, object] = {
        "week": WEEK_TEXT,
        "trajectory_id": trajectory_id,
        "origin": "live",
        "task_key": task_key(str(task_text)),
        "task_text": task_text,
        "domain": "billing",
        "assistant_message_count": 1,
        "arm": "small-model",
        "arm_count": 1,
        "propensity": 0.8,
        "reward": 1.0,
        "label_source": "user",
        "is_known_failure": False,
        "is_context_wrong": False,
        "cost_usd": 0.002,
        "latency_ms": 900.0,
        "messages_json": json.dumps(messages),
        "tool_calls_json": json.dumps([{"tool": "search", "args": {}, "result": "found", "seq": 1}]),
    }
    return sound | changes


def trajectories(*rows: dict[str, object]) -> pa.Table:
    return TRAJECTORIES.table(rows)


def grades(**tiers: str) -> pa.Table:
    """Return the grades of trajectories by id, as rows."""
    scores = {"HIGH": 5.0, "MEDIUM": 2.0, "LOW": 0.0}
    return TRAJECTORY_QUALITY.table(
        {"week": WEEK_TEXT, "trajectory_id": name, "quality_tier": tier, "quality_score": scores[tier]}
        for name, tier in tiers.items()
    )
