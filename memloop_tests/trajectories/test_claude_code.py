"""Claude Code transcripts, made by hand from the documented fields: each trap that docs/log-format.md names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.formats.claude_code import ClaudeCodeReader
from memloop_assets.trajectories.formats.reader import Event, Rejected
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.trajectories.chat_samples import claude_line
from memloop_tests.trajectories.samples import WEEK, as_lines, landing_at, read_all

READER = ClaudeCodeReader()
OPTIONS = ReadOptions(format="claude-code")


def text(content: str) -> dict[str, object]:
    return {"type": "text", "text": content}


def use(call_id: str) -> dict[str, object]:
    return {"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": "ls"}}


def result(call_id: str, content: object = "a.txt", **fields: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def streamed(uuid: str, seconds: float, blocks: Sequence[object], output: int, call: str = "m1") -> dict[str, object]:
    """Return a line of the message ``call``, whose usage has seen so many output tokens."""
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 40,
        "cache_read_input_tokens": 500,
        "output_tokens": output,
    }
    return claude_line("assistant", uuid, blocks, seconds, {"id": call, "usage": usage})


THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
SESSION = [
    claude_line("user", "u1", "List the files."),
    streamed("a1", 1, [THINKING], 1),
    streamed("a2", 2, [text("Let me look.")], 1),
    streamed("a3", 3, [use("k1")], 90),
    claude_line("user", "u2", [result("k1")], 4, toolUseResult={"stdout": "a.txt"}),
    streamed("a4", 5, [text("One file: a.txt")], 12, call="m2"),
]


def events_of(record: object) -> list[Event]:
    """Return the events of one line."""
    (found,) = read_all(READER, as_lines([record]))
    assert isinstance(found, list), found
    return found


def rows_of(folder: Path, files: dict[str, Sequence[object]]) -> list[dict]:
    """Return the week's trajectories of a folder of transcripts, in the order of their start."""
    landing = landing_at(folder)
    for name, records in files.items():
        path = folder / name
        path.write_bytes(as_lines(records))
        landing.ingest(path, OPTIONS)
    return sorted(cut_week(CutWeek(landing, LogSettings()), WEEK, {})[0].to_pylist(), key=lambda row: row["started_at"])


def test_lines_of_one_message_become_one_message_and_its_usage_is_counted_once(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, {"s.jsonl": SESSION})
    messages = json.loads(row["messages_json"])
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", "List the files."),
        ("assistant", "Let me look."),
        ("tool", "a.txt"),
        ("assistant", "One file: a.txt"),
    ]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "Bash", "arguments": '{"command":"ls"}'}
    assert (row["arm"], row["tool_call_count"], row["error_count"], row["task_text"]) == (
        "large-model",
        1,
        0,
        "List the files.",
    )
    assert "Hm." in row["extra_json"]


def test_usage_totals_equal_an_independent_count(tmp_path: Path) -> None:
    landing = landing_at(tmp_path)
    path = tmp_path / "s.jsonl"
    path.write_bytes(as_lines(SESSION))
    landing.ingest(path, OPTIONS)
    (events,) = CutWeek(landing, LogSettings()).streams(WEEK).values()
    (outcome,) = [event.payload for event in events if event.kind == "outcome"]
    largest: dict[str, int] = {}
    for line in SESSION[1:]:
        message = line["message"]
        if message.get("usage"):  # type: ignore[attr-defined]  # a dict
            call, out = message["id"], message["usage"]["output_tokens"]  # type: ignore[index]  # a dict
            largest[call] = max(out, largest.get(call, 0))
    assert outcome["output_tokens"] == sum(largest.values()) == 102
    assert outcome["input_tokens"] == 2 * (3 + 40 + 500)
    assert outcome["cost_usd"] is None


def test_a_snapshot_that_grows_replaces_the_shorter_one(tmp_path: Path) -> None:
    lines = [
        SESSION[0],
        streamed("a1", 1, [text("One")], 1),
        streamed("a2", 2, [text("One file"), use("k1")], 9),
        streamed("a3", 3, [text("One file"), use("k1"), use("k2")], 19),
    ]
    (row,) = rows_of(tmp_path, {"s.jsonl": lines})
    answer = json.loads(row["messages_json"])[1]
    assert answer["content"] == "One file"
    assert [call["id"] for call in answer["tool_calls"]] == ["k1", "k2"]


def test_a_tool_that_failed_is_an_error_beside_its_result() -> None:
    line = claude_line("user", "u", [result("k1", "No such file", is_error=True), result("k2", "fine", is_error=False)])
    events = events_of(line)
    assert [event.kind for event in events] == ["message", "error", "message"]
    assert events[1].payload == {"error": "No such file", "context": {"tool_call_id": "k1"}}


def test_each_sub_agent_is_a_session_of_its_own_in_one_file_or_another(tmp_path: Path) -> None:
    own: dict[str, Any] = {"isSidechain": True, "agentId": "de30ae5d"}
    agent = [
        claude_line("user", "b1", "Search.", 1.2, **own),
        claude_line("assistant", "b2", [text("Found.")], 1.4, **own),
    ]
    inline = [{**line, "agentId": "77", "uuid": f"{line['uuid']}i"} for line in agent]
    old = claude_line("user", "c1", "Older.", 1.1, isSidechain=True)
    rows = rows_of(tmp_path, {"s.jsonl": [*SESSION, *inline, old], "agent-de30ae5d.jsonl": agent})
    assert {(row["session_id"], row["task_text"]) for row in rows} == {
        ("session-1", "List the files."),
        ("session-1/agent-de30ae5d", "Search."),
        ("session-1/agent-77", "Search."),
        ("session-1/sidechain", "Older."),
    }


@pytest.mark.parametrize("session", ["session-1", "session-2"])
def test_a_resumed_session_repeats_its_lines_in_another_file_and_they_count_once(session: str, tmp_path: Path) -> None:
    copied = [{**line, "sessionId": session} for line in SESSION]
    more = [claude_line("user", "u9", "And now?", 60, sessionId=session)]
    rows = rows_of(tmp_path, {"0a1b-22.jsonl": SESSION, "9f-7c.jsonl": [*copied, *more]})
    assert [row["task_text"] for row in rows] == ["List the files.", "And now?"]
    assert [row["message_count"] for row in rows] == [4, 1]


def test_lines_without_conversation_are_kept_with_a_neighbour_and_distort_nothing(tmp_path: Path) -> None:
    notes = [
        {"type": "summary", "summary": "Listing", "leafUuid": "a4"},
        {"type": "file-history-snapshot", "messageId": "x1", "snapshot": {"mark": "kept 1"}, "sessionId": "session-1"},
        {"type": "queue-operation", "operation": "dequeue", "sessionId": "session-1", "mark": "kept 2"},
        {"type": "system", "subtype": "turn_duration", "content": "kept 3", "sessionId": "session-1", "uuid": "y"},
    ]
    (plain,) = rows_of(tmp_path, {"s.jsonl": SESSION})
    (tmp_path / "noted").mkdir()
    (row,) = rows_of(tmp_path / "noted", {"s.jsonl": [notes[0], *SESSION, *notes[1:]]})
    assert row["messages_json"] == plain["messages_json"]
    assert all(mark in row["extra_json"] for mark in ("Listing", "kept 1", "kept 2", "kept 3"))


def test_what_the_program_says_in_a_persons_place_is_no_task(tmp_path: Path) -> None:
    lines = [
        claude_line("user", "m1", "Caveat: generated.", -2, isMeta=True),
        claude_line("user", "m2", "This session is continued.", -1, isCompactSummary=True),
        *SESSION,
    ]
    (row,) = rows_of(tmp_path, {"s.jsonl": lines})
    assert (row["task_text"], row["user_message_count"]) == ("List the files.", 1)


def test_an_api_error_is_an_error_of_no_arm() -> None:
    failed = claude_line(
        "assistant", "a", [text("API Error: 529")], message={"model": "<synthetic>"}, isApiErrorMessage=True
    )
    assert [(event.kind, event.payload["error"]) for event in events_of(failed)] == [("error", "API Error: 529")]
    stopped = claude_line("assistant", "a", [text("No response requested.")], message={"model": "<synthetic>"})
    assert [event.kind for event in events_of(stopped)] == ["message"]
    api = {"type": "system", "subtype": "api_error", "level": "error", "error": {"status": 529}, "sessionId": "s"}
    assert [event.kind for event in events_of(api)] == ["error"]


def test_each_turn_of_a_session_is_an_attempt(tmp_path: Path) -> None:
    second = [claude_line("user", "u5", "And hidden ones?", 60), streamed("a9", 61, [text("None.")], 5, call="m9")]
    rows = rows_of(tmp_path, {"s.jsonl": [*SESSION, *second]})
    assert [(row["task_text"], row["message_count"]) for row in rows] == [
        ("List the files.", 4),
        ("And hidden ones?", 2),
    ]


def test_images_a_cost_and_unknown_blocks_are_kept() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    assert events_of(claude_line("user", "u", [text("See"), image]))[0].payload["content"] == [text("See"), image]
    paid = claude_line("assistant", "a", [{"type": "odd"}], costUSD=0.02, durationMs=1500)
    events = events_of(paid)
    assert events[1].extra["blocks"] == [{"type": "odd"}]
    assert (events[2].payload["cost_usd"], events[2].payload["latency_ms"]) == (0.02, 1500.0)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"message": {}}, "no line type"),
        ({"type": 7}, "no line type"),
        ({"type": "odd"}, "unknown line type 'odd'"),
        ({"type": "user", "uuid": "u"}, "a line of type user without a message"),
        (claude_line("user", "u", 7), "content is neither text nor a list of blocks"),
    ],
)
def test_a_line_that_cannot_be_read_is_rejected_with_the_reason(record: object, reason: str) -> None:
    (found,) = read_all(READER, as_lines([record]))
    assert isinstance(found, Rejected)
    assert found.reason == reason
