"""Router samples: the trials of a week from which a router can learn which arm earns what."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from memloop_assets.datasets.leakage import HoldoutKeys, drop_holdout
from memloop_assets.datasets.supervised import TEACHING_ORIGINS
from memloop_assets.datasets.tables import ROUTER_SAMPLES
from memloop_assets.near_duplicates import mark_near_duplicates


def build_router_samples(
    trajectories: pa.Table, quality: pa.Table, holdout: HoldoutKeys
) -> tuple[pa.Table, dict[str, int]]:
    """Return the week's trials and the counts of what was left out, by reason.

    A trial has a task, exactly one arm and a known reward; failures and LOW grades are trials like any other.
    """
    trajectories, excluded = drop_holdout(trajectories, holdout)
    tiers = dict(zip(quality["trajectory_id"].to_pylist(), quality["quality_tier"].to_pylist(), strict=True))
    counts: Counter[str] = Counter(holdout_excluded_count=excluded)
    copied = (
        "week",
        "task_key",
        "task_text",
        "domain",
        "arm",
        "reward",
        "cost_usd",
        "latency_ms",
        "propensity",
        "label_source",
    )
    rows = []
    asked = ("user_group", "session_id")
    for trajectory in trajectories.select(["trajectory_id", "origin", "arm_count", *asked, *copied]).to_pylist():
        reason = reason_to_leave_out(trajectory)
        if reason:
            counts[reason] += 1
            continue
        trial = {name: trajectory[name] for name in copied}
        trajectory_id = trajectory["trajectory_id"]
        rows.append(
            {**trial, "example_id": trajectory_id, "quality_tier": tiers[trajectory_id], "asker": asker_of(trajectory)}
        )
    marks = _near_duplicates({str(row["task_key"]): str(row["task_text"]) for row in rows})
    return ROUTER_SAMPLES.table({**row, "near_duplicate_of": marks[str(row["task_key"])]} for row in rows), dict(counts)


def asker_of(trajectory: Mapping[str, object]) -> str | None:
    """Return who asked: the group of the user, else a hash of the session; None where neither is logged. It names nobody.

    Users of one group count as one: that is too careful at worst.
    """
    if trajectory["user_group"] is not None:
        return f"u{trajectory['user_group']}"
    if trajectory["session_id"] is None:
        return None
    return "s" + hashlib.sha256(f"session|{trajectory['session_id']}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _near_duplicates(texts: dict[str, str]) -> dict[str, str | None]:
    """Return for each task of the week the task that it nearly repeats, tasks in the order of their keys."""
    keys = sorted(texts)
    marks = mark_near_duplicates([texts[key] for key in keys])
    return {key: None if mark is None else keys[mark] for key, mark in zip(keys, marks, strict=True)}


def reason_to_leave_out(trajectory: Mapping[str, object], origins: Sequence[str] = TEACHING_ORIGINS) -> str | None:
    """Return why a trajectory of these origins is no trial of one arm on a task with a known reward, None where it is one."""
    if trajectory["origin"] not in origins:
        return "other_origin_count"
    if not trajectory["task_text"]:
        return "no_task_count"
    if trajectory["arm"] is None:
        return "several_arms_count" if trajectory["arm_count"] else "no_arm_count"
    if trajectory["reward"] is None:
        return "no_reward_count"
    return None
