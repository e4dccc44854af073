"""Contract rows R13 to R15: the record of an attempt, the curriculum, and the sets for training, under memloop's names."""

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.datasets.preferences import build_preference_pairs
from memloop_assets.datasets.snapshot import build_snapshot, weigh_snapshot, window_of
from memloop_assets.datasets.supervised import build_sft_examples
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, PREFERENCE_PAIRS, ROUTER_SAMPLES, SFT_EXAMPLES
from memloop_assets.datasets.weights import curriculum_weight
from memloop_assets.settings import DatasetSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.labels import NO_LABEL, domain_tags
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_assets.weeks import IsoWeek
from memloop_tests.datasets.graded import grades, trajectories, trajectory
from memloop_tests.scenario import open_at, write_log
from memloop_tests.trajectories.samples import NOON, event

WEEK = IsoWeek(2026, 12)
NOBODY: frozenset[str] = frozenset()
ASKED = {"type": "message", "role": "user", "content": "What does the policy say on returns?"}
SOURCES = ["Returns: 30 days.", {"id": "policy-7", "text": "Shoes: 14 days."}]
ANSWERED = {"type": "message", "role": "Ada", "content": "30 days.", "retrieved_context": SOURCES}
ROUTED = {"type": "route", "arm": "large-model", "domain": "returns"}
JUDGED = {"type": "outcome", "reward": 0.8, "label_source": "judge", "difficulty": 0.7, "risk_level": "low"}
SCORED = {"type": "outcome", "reward": 1.0, "label_source": "user", "domain_tags": ["shop", "policy"]}
FAILED = {"type": "error", "error": "timeout", "context": "carrier"}


def recorded(folder: Path, *events: dict[str, object]) -> dict[str, object]:
    """Return the one row of ``trajectories`` that a native log of these events becomes, by way of landing and the cut."""
    stamps = ((WEEK.start + timedelta(seconds=place)).isoformat() for place in range(len(events)))
    lines = [{**event, "session_id": "s", "timestamp": at} for event, at in zip(events, stamps, strict=True)]
    home = open_at(folder)
    home.landing.ingest(write_log(folder / "session_2026-03-16.jsonl", lines), ReadOptions())
    table, _counts = cut_week(CutWeek(home.landing, home.settings.logs), WEEK, {})
    assert TRAJECTORIES.violations(TRAJECTORIES.conform(table)) == []
    (row,) = table.to_pylist()
    return dict(row)


def test_r13_an_attempt_is_prompt_retrieved_context_final_answer_and_outcome(tmp_path: Path) -> None:
    thanked = {"type": "message", "role": "user", "content": "Thanks"}
    guessed = {"type": "message", "role": "Ada", "content": "Let me look."}
    row = recorded(tmp_path, ASKED, ROUTED, guessed, ANSWERED, thanked, SCORED)
    assert row["task_text"] == ASKED["content"]
    assert json.loads(str(row["retrieved_context_json"])) == SOURCES
    assert row["final_answer"] == "30 days."
    assert (row["reward"], row["label_source"], row["is_known_failure"]) == (1.0, "user", False)


def test_r13_what_a_judge_and_what_a_person_scored_are_both_kept(tmp_path: Path) -> None:
    row = recorded(tmp_path, ASKED, ROUTED, ANSWERED, JUDGED, SCORED)
    assert (row["judge_score"], row["human_score"]) == (0.8, 1.0)
    assert row["reward"] == 1.0, "the later verdict is the reward"


def test_r13_error_cases_are_kept_with_what_was_going_on(tmp_path: Path) -> None:
    row = recorded(tmp_path, ASKED, ROUTED, FAILED, {"type": "outcome", "success": False, "label_source": "user"})
    (error,) = json.loads(str(row["errors_json"]))
    assert (error["error"], error["context"]) == ("timeout", "carrier")
    assert (row["is_known_failure"], row["final_answer"], row["human_score"]) == (True, None, 0.0)


def test_r13_tags_tell_domain_difficulty_and_risk(tmp_path: Path) -> None:
    row = recorded(tmp_path, ASKED, ROUTED, ANSWERED, JUDGED, SCORED)
    assert (row["domain"], row["difficulty"], row["risk_level"]) == ("returns", 0.7, "low")
    assert json.loads(str(row["domain_tags_json"])) == ["policy", "returns", "shop"]


CALLED = {"type": "tool_call", "tool": "track", "args": {}, "result": "sent"}
FOUND = {**CALLED, "tool": "find"}


@pytest.mark.parametrize(
    ("events", "tags"),
    [
        ([ASKED, ROUTED, CALLED], ["returns"]),
        ([ASKED, CALLED, FOUND, FOUND], ["tool:find", "tool:track"]),
        ([ASKED], [NO_LABEL]),
        ([{**SCORED, "domain_tags": []}], [NO_LABEL]),
    ],
)
def test_r13_domain_tags_are_never_empty(tmp_path: Path, events: list[dict[str, object]], tags: list[str]) -> None:
    assert json.loads(str(recorded(tmp_path, *events)["domain_tags_json"])) == tags


def test_r13_tools_called_inside_messages_are_tags_too() -> None:
    calls = [{"function": {"name": "find"}}, {"name": "track"}, "odd", {"function": {"name": None}}]
    inside = event("message", NOON, role="assistant", content="", tool_calls=calls)
    assert domain_tags(Trajectory([event("message", NOON), inside])) == ["tool:find", "tool:track"]


def examples(name: str, **rewards: float) -> dict[tuple[str, IsoWeek], pa.Table]:
    rows = [{"example_id": k, "task_key": k, "domain": None, "reward": v} for k, v in rewards.items()]
    return {(name, WEEK): pa.Table.from_pylist(rows)}


def test_r14_the_curriculum_rolls_week_by_week() -> None:
    assert window_of(WEEK, IsoWeek(2026, 2), 3) == [WEEK.shift(-2), WEEK.shift(-1), WEEK]
    assert window_of(WEEK.shift(1), IsoWeek(2026, 2), 3) == [WEEK.shift(-1), WEEK, WEEK.shift(1)]


def test_r14_a_hard_good_example_weighs_more_than_an_easy_better_one() -> None:
    assert curriculum_weight(0.9, 1.0, 0.85) > curriculum_weight(0.2, 1.0, 0.95)


def test_r14_in_a_snapshot_the_hard_task_weighs_more() -> None:
    given = examples(SFT_EXAMPLES.name, hard=0.85, easy=0.95) | examples(ROUTER_SAMPLES.name, hard=0.0, easy=1.0)
    snapshot, _counts = build_snapshot(WEEK, given, NOBODY)
    weighed, _counts = weigh_snapshot(snapshot, given, DatasetSettings(difficulty_strength=1.0))
    weights = {r["example_id"]: r["weight"] for r in weighed.to_pylist() if r["table_name"] == SFT_EXAMPLES.name}
    assert weights["hard"] > weights["easy"]


def test_r14_quality_point_six_is_dropped_by_a_filter_of_point_seven() -> None:
    given = examples(SFT_EXAMPLES.name, poor=0.60, good=0.85)
    snapshot, _counts = build_snapshot(WEEK, given, NOBODY)
    weighed, counts = weigh_snapshot(snapshot, given, DatasetSettings(sft_quality_floor=0.7))
    assert (weighed["example_id"].to_pylist(), counts) == (["good"], {"low_quality_count": 1})
    assert DATASET_SNAPSHOT.violations(DATASET_SNAPSHOT.conform(weighed)) == []


def test_r14_a_case_whose_context_was_wrong_is_dropped_with_a_reason(tmp_path: Path) -> None:
    said_later = {"type": "outcome", "context_correct": False}
    row = recorded(tmp_path, ASKED, ROUTED, ANSWERED, SCORED, said_later)
    assert (row["is_context_wrong"], row["reward"], row["label_source"]) == (True, 1.0, "user")
    sound = {**trajectory("sound", "Another question"), "week": str(WEEK)}
    given = TRAJECTORIES.table([row, sound])
    graded = grades(**{str(row["trajectory_id"]): "HIGH", "sound": "HIGH"})
    rows, counts = build_sft_examples(given, graded, NOBODY)
    assert rows["trajectory_id"].to_pylist() == ["sound"]
    assert counts["wrong_context_count"] == 1
    told_right = recorded(tmp_path / "right", ASKED, ROUTED, ANSWERED, SCORED, {**said_later, "context_correct": True})
    assert told_right["is_context_wrong"] is False


def preferred(*rows: dict[str, object]) -> list[dict[str, object]]:
    table = pa.Table.from_pylist([{**row, "week": str(WEEK), "quality_tier": "HIGH"} for row in rows])
    pairs, _counts = build_preference_pairs(WEEK, table, DatasetSettings())
    assert PREFERENCE_PAIRS.violations(PREFERENCE_PAIRS.conform(pairs)) == []
    return list(pairs.to_pylist())


def test_r15_good_answers_become_supervised_examples_and_known_failures_do_not() -> None:
    given = trajectories(trajectory("good", reward=0.9), trajectory("bad", reward=0.3, is_known_failure=True))
    rows, _counts = build_sft_examples(given, grades(good="HIGH", bad="HIGH"), NOBODY)
    assert rows["trajectory_id"].to_pylist() == ["good"]


def test_r15_a_preference_is_two_answers_to_the_same_query() -> None:
    (pair,) = preferred(trajectory("good", reward=0.9), trajectory("bad", reward=0.3, is_known_failure=True))
    assert (pair["chosen_reward"], pair["rejected_reward"]) == (0.9, 0.3)
    assert json.loads(str(pair["prompt_json"]))[-1]["content"] == "Cancel my order"
    assert "done by good" in str(pair["chosen_json"])
    assert "done by bad" in str(pair["rejected_json"])


def test_r15_answers_to_different_queries_are_no_preference() -> None:
    other = trajectory("bad", "Where is my order?", reward=0.3, is_known_failure=True)
    assert preferred(trajectory("good", reward=0.9), other) == []


def test_r15_an_answer_from_a_wrong_context_is_never_the_chosen_one() -> None:
    good = trajectory("good", reward=0.9, is_context_wrong=True)
    assert preferred(good, trajectory("bad", reward=0.3, is_known_failure=True)) == []
