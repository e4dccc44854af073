"""tau-bench result files: made-up ones with every fault, and the real one where it is at hand."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memloop_assets.errors import BadInput
from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.formats.reader import Event, Rejected
from memloop_assets.trajectories.formats.tau_bench import TauBenchReader
from memloop_assets.trajectories.sources import ReadOptions, check_file
from memloop_tests.trajectories.samples import FACTS, WEEK, landing_at, lines_of, read_all

READER = TauBenchReader()
OPTIONS = ReadOptions(format="tau-bench", arm="gpt-4o", start_week=WEEK)
REAL = Path(__file__).parents[3] / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"


def run_of(task_id: object = 0, reward: object = 1.0, **fields: object) -> dict[str, object]:
    """Return a run as tau-bench writes it."""
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Cancel my flight."},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "cancel"}}]},
        {"role": "tool", "content": "done", "tool_call_id": "c1", "name": "cancel", "mood": "odd"},
    ]
    return {"task_id": task_id, "trial": 0, "reward": reward, "traj": messages, "info": {"task": 1}, **fields}


def events_of(record: object) -> list[Event]:
    """Return the events of the only run of a file."""
    (said,) = read_all(READER, json.dumps([record]).encode())
    assert isinstance(said, list), said
    return said


def test_a_run_is_its_route_its_messages_and_its_outcome_with_synthetic_stamps() -> None:
    events = events_of(run_of(task_id=3, trial=2))
    assert [event.kind for event in events] == ["route", *["message"] * 4, "outcome"]
    assert {(event.session_id, event.task_id) for event in events} == {("task 3 trial 2", "3")}
    assert [event.at for event in events] == [WEEK.start + timedelta(seconds=place) for place in range(6)]
    assert all(event.is_synthetic_time for event in events)
    assert events[0].payload["arm"] == FACTS.arm
    assert events[3].payload["tool_calls"]
    assert events[4].extra == {"mood": "odd"}
    assert events[-1].extra == {"info": {"task": 1}}
    assert events[-1].payload["label_source"] == "checker"


@pytest.mark.parametrize(
    ("reward", "is_success"), [(1.0, True), (1, True), (0.0, False), (0, False), (0.999, False), (0.5, False)]
)
def test_only_the_whole_reward_is_a_success(reward: float, *, is_success: bool) -> None:
    outcome = events_of(run_of(reward=reward))[-1].payload
    assert (outcome["success"], outcome["reward"]) == (is_success, float(reward))
    assert isinstance(outcome["reward"], float)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (7, "a JSON int, not an object"),
        (None, "a JSON NoneType, not an object"),
        ([], "a JSON list, not an object"),
        ({}, "a run without a task_id"),
        (run_of(task_id=None), "a run without a task_id"),
        (run_of(task_id=True), "a run without a task_id"),
        (run_of(task_id=1.5), "a run without a task_id"),
        (run_of(reward=None), "reward None is not in [0, 1]"),
        (run_of(reward=True), "reward True is not in [0, 1]"),
        (run_of(reward="1"), "reward '1' is not in [0, 1]"),
        (run_of(reward=-1), "reward -1 is not in [0, 1]"),
        (run_of(reward=1.5), "reward 1.5 is not in [0, 1]"),
        (run_of(traj=None), "a run whose traj is not a list of messages with roles"),
        (run_of(traj=["hello"]), "a run whose traj is not a list of messages with roles"),
        (run_of(traj=[{"content": "no role"}]), "a run whose traj is not a list of messages with roles"),
    ],
)
def test_a_run_that_cannot_be_read_is_rejected_whole_in_its_own_place(record: object, reason: str) -> None:
    stray = replace(FACTS, fallback_at=datetime(2024, 8, 6, tzinfo=UTC))
    first, second, third = read_all(READER, json.dumps([run_of(), record, run_of(1)]).encode(), stray)
    assert isinstance(first, list)
    assert isinstance(third, list)
    assert isinstance(second, Rejected)
    assert (second.line_number, second.reason, json.loads(second.raw)) == (2, reason, record)
    assert second.at == WEEK.start + timedelta(minutes=10)
    assert third[0].at == WEEK.start + timedelta(minutes=20)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"not json", b'{"task_id": 0}', b'[{"task_id": 0}', b"\xff\xfe", b'{"a":1}\n{"a":2}', b"[NaN]"],
)
def test_a_file_that_is_no_array_of_runs_is_refused_with_the_fix(content: bytes) -> None:
    with pytest.raises(BadInput, match="give a results file as tau-bench writes it"):
        lines_of(READER, content)


def test_an_empty_array_holds_nothing() -> None:
    assert lines_of(READER, b"[]") == []


@pytest.mark.parametrize(
    ("options", "fix"), [(replace(OPTIONS, arm=None), "--arm"), (replace(OPTIONS, start_week=None), "--start-week")]
)
def test_what_the_format_does_not_log_must_be_told(options: ReadOptions, fix: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([run_of()]))
    for refuse in (check_file, landing_at(tmp_path).ingest):
        with pytest.raises(BadInput, match=fix):
            refuse(path, options)


def test_two_files_of_one_folder_never_share_a_session_though_their_stamps_and_ids_are_the_same(tmp_path: Path) -> None:
    landing = landing_at(tmp_path)
    for number, reward in enumerate((0.0, 1.0)):
        path = tmp_path / f"runs-{number}.json"
        path.write_text(json.dumps([run_of(reward=reward), run_of(1, reward=reward)]))
        landing.ingest(path, OPTIONS)
    table, counts = cut_week(CutWeek(landing, LogSettings()), WEEK, {})
    assert table.num_rows == 4
    assert sorted(table["reward"].to_pylist()) == [0.0, 0.0, 1.0, 1.0]
    assert set(table["event_count"].to_pylist()) == {6}
    assert counts["duplicate_event_count"] == 0


def test_a_long_file_runs_over_into_the_next_week_and_so_does_its_last_run_of_the_first(tmp_path: Path) -> None:
    runs = [run_of(number) for number in range(1009)]
    runs[1007] = run_of(1007, traj=[{"role": "user", "content": "Hello?"}] * 700)  # from Sunday 23:50, a second each
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(runs))
    landing = landing_at(tmp_path)
    spans = landing.ingest(path, OPTIONS).spans
    assert {str(week): span.line_count for week, span in spans.items()} == {"2026-W12": 1008, "2026-W13": 2}
    first, second = (cut_week(CutWeek(landing, LogSettings()), week, {})[0] for week in (WEEK, WEEK.shift(1)))
    assert (first.num_rows, second.num_rows) == (1008, 1)
    assert max(first["event_count"].to_pylist()) == 702


@pytest.mark.skipif(
    not REAL.exists(), reason="the real tau-bench file is not on this machine (not part of the repository)"
)
def test_the_real_file_gives_200_trajectories_and_loses_no_event(tmp_path: Path) -> None:
    landing = landing_at(tmp_path)
    report = landing.ingest(REAL, OPTIONS)
    assert (report.line_count, report.rejected_count) == (200, 0)
    assert report.events == Counter(message=5308, route=200, outcome=200)
    assert report.is_synthetic_time
    table, counts = cut_week(CutWeek(landing, LogSettings()), WEEK, {})
    assert table.num_rows == 200
    assert sum(table["message_count"].to_pylist()) == 5308
    assert table["reward"].to_pylist().count(1.0) == 84
    assert set(table["is_synthetic_time"].to_pylist()) == {True}
    assert (counts["event_count"], counts["duplicate_count"]) == (5708, 0)
