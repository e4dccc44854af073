"""Supervised examples: only conversations worth imitating, each once, and everything left out is counted by its reason."""

import json

import pytest

from memloop_assets.datasets.supervised import build_sft_examples
from memloop_assets.datasets.tables import SFT_EXAMPLES
from memloop_assets.tasks import task_key
from memloop_tests.datasets.graded import grades, trajectories, trajectory

NOBODY: frozenset[str] = frozenset()


def test_high_and_medium_conversations_become_chat_messages() -> None:
    rows, counts = build_sft_examples(
        trajectories(trajectory("a"), trajectory("b", "Where is it?")), grades(a="HIGH", b="MEDIUM"), NOBODY
    )
    assert counts == {"holdout_excluded_count": 0}
    example = next(row for row in rows.to_pylist() if row["trajectory_id"] == "a")
    assert json.loads(example.pop("messages_json")) == [
        {"role": "user", "content": "Cancel my order"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "name": "search", "content": "found"},
        {"role": "assistant", "content": "done by a"},
    ]
    assert len(example.pop("example_id")) == 32
    assert example == {
        "week": "2026-W12",
        "trajectory_id": "a",
        "task_key": task_key("Cancel my order"),
        "message_count": 4,
        "quality_tier": "HIGH",
        "quality_score": 5.0,
        "arm": "small-model",
        "reward": 1.0,
    }
    assert SFT_EXAMPLES.violations(SFT_EXAMPLES.conform(rows)) == []


@pytest.mark.parametrize(
    ("changes", "tier", "reason"),
    [
        ({}, "LOW", "low_quality_count"),
        ({"is_known_failure": True, "reward": 0.0}, "HIGH", "known_failure_count"),
        ({"is_known_failure": True}, "MEDIUM", "known_failure_count"),
        ({"origin": "benchmark"}, "HIGH", "other_origin_count"),
        ({"origin": "probe"}, "HIGH", "other_origin_count"),
        ({"origin": "replay"}, "HIGH", "other_origin_count"),
        ({"assistant_message_count": 0}, "HIGH", "unanswered_count"),
    ],
)
def test_what_is_not_worth_imitating_is_left_out_and_counted(
    changes: dict[str, object], tier: str, reason: str
) -> None:
    rows, counts = build_sft_examples(
        trajectories(trajectory("bad", **changes), trajectory("good")), grades(bad=tier, good="HIGH"), NOBODY
    )
    assert rows["trajectory_id"].to_pylist() == ["good"]
    assert counts == {"holdout_excluded_count": 0, reason: 1}


def test_a_conversation_that_nobody_judged_is_not_a_known_failure() -> None:
    rows, _counts = build_sft_examples(
        trajectories(trajectory("a", reward=None, arm=None, label_source=None)), grades(a="HIGH"), NOBODY
    )
    assert rows.select(["reward", "arm"]).to_pylist() == [{"reward": None, "arm": None}]


def test_reviewed_conversations_teach_like_live_ones() -> None:
    rows, _counts = build_sft_examples(trajectories(trajectory("a", origin="review")), grades(a="HIGH"), NOBODY)
    assert rows.num_rows == 1


def test_a_holdout_task_never_teaches_however_it_is_written() -> None:
    given = trajectories(
        trajectory("a", "CANCEL my\n order"), trajectory("b", "cancel my order"), trajectory("c", "Other")
    )
    rows, counts = build_sft_examples(
        given, grades(a="HIGH", b="LOW", c="HIGH"), frozenset({task_key("Cancel my order")})
    )
    assert rows["trajectory_id"].to_pylist() == ["c"]
    assert counts == {"holdout_excluded_count": 2}


def test_equal_conversations_count_once() -> None:
    spoken = trajectory("a")["messages_json"]
    given = trajectories(trajectory("a"), trajectory("b", messages_json=spoken), trajectory("c"))
    rows, counts = build_sft_examples(given, grades(a="HIGH", b="HIGH", c="HIGH"), NOBODY)
    assert rows["trajectory_id"].to_pylist() == ["a", "c"]
    assert counts == {"holdout_excluded_count": 0, "duplicate_count": 1}


def test_an_example_is_known_by_what_was_said_and_not_by_when_or_by_whom() -> None:
    one, _counts = build_sft_examples(trajectories(trajectory("a")), grades(a="HIGH"), NOBODY)
    stamped = json.dumps([{**m, "at": "2026-03-20"} for m in json.loads(str(trajectory("a")["messages_json"]))])
    other, _counts = build_sft_examples(
        trajectories(trajectory("z", week="2026-W13", arm="large-model", messages_json=stamped)),
        grades(z="MEDIUM"),
        NOBODY,
    )
    assert one["example_id"].equals(other["example_id"])


def test_a_week_without_trajectories_gives_a_table_without_rows() -> None:
    rows, counts = build_sft_examples(trajectories(), grades(), frozenset({"x"}))
    assert SFT_EXAMPLES.conform(rows).num_rows == 0
    assert counts == {"holdout_excluded_count": 0}
