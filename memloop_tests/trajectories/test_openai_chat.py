"""OpenAI-style chat lines, bare and as gateways write them: each trap that docs/log-format.md names, and tau-bench in that shape."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.formats.openai_chat import OpenAIChatReader
from memloop_assets.trajectories.formats.reader import Event, Rejected
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.trajectories.chat_samples import calls_tool, chat_call, said
from memloop_tests.trajectories.samples import FACTS, NOON, WEEK, after, as_lines, landing_at, read_all

READER = OpenAIChatReader()
OPTIONS = ReadOptions(format="openai-chat", start_week=WEEK)
SHARED = Path(os.environ.get("MEMLOOP_SHARED") or Path(__file__).parents[3] / "shared")
REAL = SHARED / "data" / "tau-bench" / "gpt-4o-airline.json"

U1, A1, U2, A2 = said("user", "One?"), said("assistant", "1"), said("user", "Two?"), said("assistant", "2")
SYSTEM = said("system", "Be brief.")


def events_of(record: object) -> list[Event]:
    """Return the events of one line."""
    (found,) = read_all(READER, as_lines([record]))
    assert isinstance(found, list), found
    return found


def rows_of(folder: Path, records: Sequence[object], options: ReadOptions = OPTIONS) -> tuple[list[dict], dict]:
    """Return the week's trajectories of a log of these lines, in the order of their start, and the counts."""
    path = folder / "gateway.jsonl"
    path.write_bytes(as_lines(records))
    landing = landing_at(folder)
    landing.ingest(path, options)
    table, counts = cut_week(CutWeek(landing, LogSettings()), WEEK, {})
    return sorted(table.to_pylist(), key=lambda row: row["started_at"]), counts


def contents(row: Mapping[str, object]) -> list[object]:
    """Return what the messages of a trajectory say."""
    return [message["content"] for message in json.loads(str(row["messages_json"]))]


def test_a_pair_is_the_arm_that_served_the_messages_the_answer_and_what_it_took() -> None:
    events = events_of(chat_call("c1", [SYSTEM, U1], A1, session_id="s1", trace_id="t1", end_user="ann"))
    assert [event.kind for event in events] == ["route", "message", "message", "message", "outcome"]
    assert events[0].payload["arm"] == "small-model"
    assert [event.at for event in events] == [NOON, NOON, NOON, after(seconds=2), after(seconds=2)]
    assert {(e.session_id, e.task_id, e.user_id) for e in events} == {("s1", "t1", "ann")}
    assert not any(event.is_synthetic_time for event in events)
    assert dict(events[-1].payload) == {
        "success": None,
        "reward": None,
        "label_source": None,
        "cost_usd": 0.001,
        "latency_ms": 2000.0,
        "input_tokens": 100,
        "output_tokens": 20,
    }


def test_fields_that_no_rule_reads_are_kept_and_what_is_read_is_not_kept_twice() -> None:
    events = events_of(chat_call("c1", mood="fine", cache_hit=False))
    kept = events[-1].extra
    assert (kept["mood"], kept["cache_hit"], kept["metadata"]) == ("fine", False, {"user_api_key_user_id": "user-1"})
    assert kept["response"]["usage"]["total_tokens"] == 120  # type: ignore[index]  # a dict
    assert "messages" not in kept
    assert "choices" not in kept["response"]  # type: ignore[operator]  # a dict
    assert events[2].extra["choice"] == {"index": 0, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("fields", "session", "task", "user"),
    [
        ({}, "c1", None, "user-1"),
        ({"trace_id": "t1"}, "t1", None, "user-1"),
        ({"metadata": {"session_id": "s1"}, "trace_id": "t1", "user": "bob"}, "s1", "t1", "bob"),
        ({"metadata": None, "id": None}, f"{FACTS.file_name} line 1", None, None),
        ({"metadata": [], "id": 7, "user_id": 8}, "7", None, "8"),
        ({"session_id": " ", "trace_id": {}, "metadata": {}}, "c1", None, None),
    ],
)
def test_the_session_is_the_one_logged_else_the_trace_else_the_call_else_the_line(
    fields: dict[str, Any], session: str, task: str | None, user: str | None
) -> None:
    first = events_of(chat_call("c1", **fields))[0]
    assert (first.session_id, first.task_id, first.user_id) == (session, task, user)


def test_a_failed_call_is_an_error_and_no_verdict() -> None:
    failed = chat_call("c1", status="failure", response={}, error_str="RateLimitError: slow down", response_cost=0)
    events = events_of(failed)
    assert [event.kind for event in events] == ["route", "message", "error", "outcome"]
    assert events[2].payload["error"] == "RateLimitError: slow down"
    assert events[-1].payload["success"] is None
    assert [e.kind for e in events_of(chat_call("c1", status="failure", error_str=None))].count("error") == 1
    assert [e.kind for e in events_of(chat_call("c1", response={"error": {"code": 500}}))].count("error") == 1
    assert "error" not in [e.kind for e in events_of(chat_call("c1", error_str="", error=None))]


def test_a_conversation_without_time_needs_a_start_week_and_gets_synthetic_stamps() -> None:
    bare = {"messages": [U1, A1]}
    events = [e for found in read_all(READER, as_lines([bare, bare])) for e in found]  # type: ignore[union-attr]  # lists
    assert [e.at - WEEK.start for e in events if e.payload.get("content") == "1"] == [
        timedelta(seconds=2),
        timedelta(minutes=10, seconds=2),
    ]
    assert all(event.is_synthetic_time for event in events)
    assert {event.payload["arm"] for event in events if event.kind == "route"} == {FACTS.arm}
    assert {event.session_id for event in events} == {f"{FACTS.file_name} line {n}" for n in (1, 2)}
    (refused,) = read_all(READER, as_lines([bare]), replace(FACTS, start_at=None))
    assert isinstance(refused, Rejected)
    assert "--start-week" in refused.reason


@pytest.mark.parametrize("name", ["created", "timestamp", "startTime", "created_at", "start_time"])
def test_any_name_of_a_time_serves_as_seconds_milliseconds_or_text(name: str) -> None:
    for value in (NOON.timestamp(), int(NOON.timestamp() * 1000), NOON.isoformat()):
        assert events_of({"messages": [U1], name: value})[0].at == NOON
    inner = {"messages": [U1], "response": {"created": int(NOON.timestamp()), "choices": [{"message": A1}]}}
    assert events_of(inner)[0].at == NOON


def test_a_clock_that_went_back_gives_no_latency() -> None:
    events = events_of(chat_call("c1", endTime=after(-5).timestamp()))
    assert {event.at for event in events} == {NOON}
    assert events[-1].payload["latency_ms"] is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Hello"}, "no list of messages with roles"),
        ({"messages": [{"content": "no role"}]}, "no list of messages with roles"),
        ({"messages": {"role": "user"}}, "no list of messages with roles"),
        ({"messages": []}, "neither messages nor a response"),
        (chat_call("c", response_cost=-1), "response_cost -1 is not a number of zero or more"),
        (chat_call("c", response_cost="much"), "response_cost 'much' is not a number of zero or more"),
    ],
)
def test_a_line_that_is_no_call_is_rejected_with_the_reason(record: object, reason: str) -> None:
    (found,) = read_all(READER, as_lines([record]), replace(FACTS, arm=None))
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_answers_come_in_every_form_that_gateways_write() -> None:
    wrapped = {
        "request": {"messages": [U1], "model": "m"},
        "response": {"choices": [{"message": A1}]},
        "created": 1.8e9,
    }
    assert [e.payload.get("content") for e in events_of(wrapped)][1:3] == ["One?", "1"]
    assert [e.payload.get("content") for e in events_of(chat_call("c", response="text"))][2] == "text"
    assert [e.payload.get("content") for e in events_of(chat_call("c", response={"choices": [{"text": "t"}]}))][
        2
    ] == "t"
    two = chat_call("c", response={"choices": [{"message": A1}, {"message": A2}]})
    assert events_of(two)[2].extra["other_choices"] == [{"message": A2}]
    assert events_of({**chat_call("c"), "messages": "Hello"})[1].payload["content"] == "Hello"


def test_history_that_later_calls_repeat_is_counted_once(tmp_path: Path) -> None:
    null_spelt = {**A1, "tool_calls": None, "annotations": []}
    log = [
        chat_call("c1", [SYSTEM, U1], A1, session_id="s"),
        chat_call("c2", [SYSTEM, U1, null_spelt, U2], A2, after(1), session_id="s"),
        chat_call("c3", [SYSTEM, U1, A1, U2, A2, U1], A1, after(2), session_id="s"),
    ]
    rows, counts = rows_of(tmp_path, log)
    assert [contents(row) for row in rows] == [["Be brief.", "One?", "1"], ["Two?", "2"], ["One?", "1"]]
    assert [row["task_text"] for row in rows] == ["One?", "Two?", "One?"]
    assert counts["duplicate_event_count"] == 8


def test_a_tool_loop_of_many_calls_is_one_attempt_with_its_usage_added_up(tmp_path: Path) -> None:
    asks, told = calls_tool("k1"), said("tool", "in transit", tool_call_id="k1")
    log = [
        chat_call("c1", [SYSTEM, U1], asks, session_id="s", trace_id="t1"),
        chat_call("c2", [SYSTEM, U1, asks, told], A1, after(1), session_id="s", trace_id="t2", response_cost=0.002),
    ]
    ((row,), _) = rows_of(tmp_path, log)
    assert contents(row) == ["Be brief.", "One?", None, "in transit", "1"]
    assert (row["tool_call_count"], row["arm"], row["arm_count"]) == (1, "small-model", 1)
    assert (row["cost_usd"], row["latency_ms"]) == (pytest.approx(0.003), 4000.0)
    assert row["task_id"] == "t1"
    assert "t2" in row["extra_json"]


def test_a_window_that_drops_old_turns_does_not_bring_the_others_back(tmp_path: Path) -> None:
    log = [
        chat_call("c1", [SYSTEM, U1], A1, session_id="s"),
        chat_call("c2", [SYSTEM, U1, A1, U2], A2, after(1), session_id="s"),
        chat_call("c3", [said("system", "Summary."), U2, A2, U1], A1, after(2), session_id="s"),
    ]
    rows, _ = rows_of(tmp_path, log)
    assert [row["user_message_count"] for row in rows] == [1, 1, 1]


def test_a_retry_brings_nothing_but_its_answer_and_a_line_logged_twice_nothing(tmp_path: Path) -> None:
    failed = chat_call("c1", [U1], at=NOON, session_id="s", status="failure", response={}, error_str="timeout")
    unknown = {**failed, "response_cost": None, "prompt_tokens": None, "completion_tokens": None}
    again = chat_call("c2", [U1], A1, after(1), session_id="s")
    ((row,), counts) = rows_of(tmp_path, [unknown, again, again])
    assert contents(row) == ["One?", "1"]
    assert (row["error_count"], row["cost_usd"], row["latency_ms"]) == (1, 0.001, 4000.0)
    assert counts["duplicate_event_count"] == 1 + 4


def test_calls_that_share_only_their_instructions_are_tasks_of_their_own(tmp_path: Path) -> None:
    log = [
        chat_call("c1", [SYSTEM, U1], A1, session_id="s"),
        chat_call("c2", [SYSTEM, U2], A1, after(1), session_id="s"),
    ]
    rows, _ = rows_of(tmp_path, log)
    assert [contents(row) for row in rows] == [["Be brief.", "One?", "1"], ["Two?", "1"]]


def test_an_unknown_cost_of_one_call_leaves_the_attempts_cost_unknown(tmp_path: Path) -> None:
    log = [
        chat_call("c1", [U1], calls_tool("k1"), session_id="s"),
        chat_call("c2", [U1, calls_tool("k1"), said("tool", "x")], A1, after(1), session_id="s", response_cost=None),
    ]
    ((row,), _) = rows_of(tmp_path, log)
    assert (row["cost_usd"], row["latency_ms"]) == (None, 4000.0)


def test_history_is_known_across_a_weeks_end(tmp_path: Path) -> None:
    sunday = datetime(2026, 3, 22, 23, 59, tzinfo=UTC)
    path = tmp_path / "gateway.jsonl"
    log = [
        chat_call("c1", [U1], A1, sunday, session_id="s"),
        chat_call("c2", [U1, A1, U2], A2, sunday + timedelta(minutes=2), session_id="s"),
    ]
    path.write_bytes(as_lines(log))
    landing = landing_at(tmp_path)
    landing.ingest(path, OPTIONS)
    (first,), (second,) = (
        cut_week(CutWeek(landing, LogSettings()), week, {})[0].to_pylist() for week in (WEEK, WEEK.shift(1))
    )
    assert (contents(first), contents(second)) == (["One?", "1"], ["Two?", "2"])


def test_usage_totals_equal_an_independent_count(tmp_path: Path) -> None:
    log = [
        chat_call(f"c{n}", [said("user", f"Task {n}")], A1, after(n), session_id=f"s{n % 3}", response_cost=n / 1000)
        for n in range(12)
    ]
    rows, _ = rows_of(tmp_path, log)
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(sum(line["response_cost"] for line in log))  # type: ignore[misc]
    assert sum(row["latency_ms"] for row in rows) == 12 * 2000.0


@pytest.mark.skipif(
    not REAL.exists(), reason="the real tau-bench file is not on this machine (not part of the repository)"
)
def test_tau_bench_as_bare_conversations_and_as_a_gateways_calls_gives_the_same_messages(tmp_path: Path) -> None:
    runs = json.loads(REAL.read_bytes())[:40]
    bare = [{"messages": run["traj"], "id": f"run {number}"} for number, run in enumerate(runs)]
    rows, _ = rows_of(tmp_path, bare, replace(OPTIONS, arm="gpt-4o"))
    assert [row["message_count"] for row in rows] == [len(run["traj"]) for run in runs]
    calls = [
        chat_call(
            f"{n}-{place}", run["traj"][:place], run["traj"][place], after(n * 10, seconds=place), session_id=str(n)
        )
        for n, run in enumerate(runs)
        for place in range(len(run["traj"]))
        if run["traj"][place]["role"] == "assistant"
    ]
    (tmp_path / "calls").mkdir()
    rows, _ = rows_of(tmp_path / "calls", calls)
    said_last = [max(i for i, m in enumerate(run["traj"]) if m["role"] == "assistant") for run in runs]
    assert sum(row["message_count"] for row in rows) == sum(last + 1 for last in said_last)
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(0.001 * len(calls))
