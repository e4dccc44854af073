"""OTLP files with GenAI spans, made by hand from the conventions, current and older: each trap that docs/log-format.md names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.formats.otlp import OtlpReader
from memloop_assets.trajectories.formats.reader import CONTENT_MISSING, Event, Rejected
from memloop_assets.trajectories.sources import ReadOptions, check_file
from memloop_tests.trajectories.chat_samples import as_text, calls_tool, export, said, span
from memloop_tests.trajectories.samples import NOON, WEEK, after, as_lines, landing_at, lines_of, read_all

READER = OtlpReader()
OPTIONS = ReadOptions(format="otlp")
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}]
SAID = [{"role": "assistant", "parts": [{"type": "text", "content": "Here."}], "finish_reason": "stop"}]
CALL: Mapping[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "small-model",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
FULL = {**CALL, "gen_ai.input.messages": as_text(ASKED), "gen_ai.output.messages": as_text(SAID)}


def events_of(*spans: Mapping[str, object], **resource: object) -> list[Event]:
    """Return the events of an export of these spans."""
    (found,) = read_all(READER, as_lines([export(*spans, **resource)]))
    assert isinstance(found, list), found
    return found


def spoken(events: Sequence[Event]) -> list[tuple[object, object]]:
    """Return role and content of the messages."""
    return [(e.payload["role"], e.payload["content"]) for e in events if e.kind == "message"]


def rows_of(folder: Path, *exports: object) -> list[dict]:
    """Return the week's trajectories of a file of these exports, in the order of their start."""
    path = folder / "spans.jsonl"
    path.write_bytes(as_lines(exports))
    landing = landing_at(folder)
    landing.ingest(path, OPTIONS)
    return sorted(cut_week(CutWeek(landing, LogSettings()), WEEK, {})[0].to_pylist(), key=lambda row: row["started_at"])


def test_a_model_call_is_its_arm_what_was_asked_and_answered_and_what_it_took() -> None:
    events = events_of(span("a1", {**FULL, "gen_ai.conversation.id": "s1", "user.id": "ann"}))
    assert [event.kind for event in events] == ["route", "message", "message", "outcome"]
    assert spoken(events) == [("user", "Where is it?"), ("assistant", "Here.")]
    assert {(e.session_id, e.task_id, e.user_id) for e in events} == {("s1", "t1" * 16, "ann")}
    assert [event.at for event in events] == [NOON, NOON, after(seconds=1.5), after(seconds=1.5)]
    outcome = events[-1].payload
    assert (outcome["success"], outcome["latency_ms"]) == (None, 1500.0)
    assert (outcome["input_tokens"], outcome["output_tokens"]) == (100, 20)
    assert not any(CONTENT_MISSING in event.extra for event in events)


OLDER: dict[str, tuple[Mapping[str, object], list[tuple[str, Mapping[str, object]]]]] = {
    "structured attributes": ({"gen_ai.input.messages": ASKED, "gen_ai.output.messages": SAID}, []),
    "one attribute of JSON": (
        {
            "gen_ai.prompt": as_text([said("user", "Where is it?")]),
            "gen_ai.completion": as_text([said("assistant", "Here.")]),
        },
        [],
    ),
    "flattened attributes": (
        {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Where is it?",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Here.",
        },
        [],
    ),
    "events with a body of JSON": (
        {},
        [
            ("gen_ai.user.message", {"gen_ai.event.content": as_text({"role": "user", "content": "Where is it?"})}),
            ("gen_ai.choice", {"gen_ai.event.content": as_text({"index": 0, "message": {"content": "Here."}})}),
        ],
    ),
    "events with attributes": (
        {},
        [
            ("gen_ai.user.message", {"content": "Where is it?", "role": "user"}),
            ("gen_ai.choice", {"index": 0, "message": as_text({"role": "assistant", "content": "Here."})}),
        ],
    ),
    "content events": (
        {},
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": as_text([said("user", "Where is it?")])}),
            ("gen_ai.content.completion", {"gen_ai.completion": as_text([said("assistant", "Here.")])}),
        ],
    ),
    "details event": (
        {},
        [
            (
                "gen_ai.client.inference.operation.details",
                {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": SAID},
            )
        ],
    ),
    "both conventions at once": (
        {
            "gen_ai.input.messages": as_text(ASKED),
            "gen_ai.output.messages": as_text(SAID),
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Where is it?",
        },
        [("gen_ai.choice", {"gen_ai.event.content": as_text({"message": {"content": "Here."}})})],
    ),
}


@pytest.mark.parametrize("name", OLDER)
def test_content_is_read_once_wherever_a_convention_put_it(name: str) -> None:
    attributes, noted = OLDER[name]
    events = events_of(span("a1", {**CALL, **attributes}, noted))
    assert spoken(events) == [("user", "Where is it?"), ("assistant", "Here.")]
    assert json.dumps([event.extra for event in events]).count("Where is it?") == 0


@pytest.mark.parametrize(
    ("older", "current"),
    [
        ({"gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3}, (7, 3)),
        ({"llm.usage.prompt_tokens": 7, "llm.usage.completion_tokens": 3}, (7, 3)),
        ({"gen_ai.usage.prompt_tokens": 9, "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3}, (7, 3)),
        ({"gen_ai.usage.input_tokens": -7, "gen_ai.usage.output_tokens": "many"}, (None, None)),
    ],
)
def test_older_names_of_usage_serve_where_the_current_are_missing(
    older: Mapping[str, object], current: tuple[int | None, int | None]
) -> None:
    outcome = events_of(span("a1", {"llm.request.type": "chat", "gen_ai.response.model": "m", **older}))[-1].payload
    assert (outcome["input_tokens"], outcome["output_tokens"]) == current


def test_a_session_may_be_named_by_the_resource_and_an_older_name() -> None:
    assert events_of(span("a1", FULL), **{"session.id": "s9", "enduser.id": "bob"})[0].session_id == "s9"
    assert events_of(span("a1", FULL), **{"enduser.id": "bob"})[0].user_id == "bob"
    assert events_of(span("a1", FULL))[0].session_id is None


def test_content_that_was_not_captured_is_said_to_be_missing(tmp_path: Path) -> None:
    events = events_of(span("a1", CALL))
    assert [event.kind for event in events] == ["route", "outcome"]
    assert events[-1].extra[CONTENT_MISSING] == ["input", "output"]
    half = events_of(
        span("a1", {**CALL, "gen_ai.input.messages": as_text(ASKED), "gen_ai.output.messages": "[not json"})
    )
    assert spoken(half)[0] == ("user", "Where is it?")
    path = tmp_path / "spans.jsonl"
    path.write_bytes(as_lines([export(span("a1", CALL)), export(span("a2", FULL))]))
    assert any(gap.startswith("1 model calls log no content") for gap in check_file(path, OPTIONS).gaps())


def test_tool_calls_and_their_answers_inside_messages_take_openais_shape() -> None:
    asked = [
        *ASKED,
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "k1", "name": "track", "arguments": {"order": 17}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "k1", "result": "in transit"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "k2", "response": "older name"}]},
    ]
    instructions = [{"type": "text", "content": "Be brief."}]
    attributes = {**FULL, "gen_ai.input.messages": asked, "gen_ai.system_instructions": as_text(instructions)}
    messages = [event.payload for event in events_of(span("a1", attributes)) if event.kind == "message"]
    assert [(m["role"], m["content"]) for m in messages[:-1]] == [
        ("system", "Be brief."),
        ("user", "Where is it?"),
        ("assistant", None),
        ("tool", "in transit"),
        ("tool", "older name"),
    ]
    assert messages[2]["tool_calls"] == calls_tool("k1", arguments='{"order":17}')["tool_calls"]
    flat = {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.tool_calls.0.name": "track"}
    (called,) = [e.payload for e in events_of(span("a1", {**CALL, **flat})) if e.kind == "message"]
    assert called["tool_calls"][0]["function"]["name"] == "track"  # type: ignore[index]  # a list of dicts


TOOL: Mapping[str, object] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "track",
    "gen_ai.tool.call.id": "k1",
    "gen_ai.tool.call.arguments": '{"order": 17}',
    "gen_ai.tool.call.result": "in transit",
}


def test_a_nested_tool_span_is_a_tool_call_of_its_trace(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, export(span("a1", CALL), span("a2", TOOL, seconds=2, parentSpanId="a1" * 8)))
    (called,) = json.loads(row["tool_calls_json"])
    assert (called["tool"], called["args"], called["result"]) == ("track", {"order": 17}, "in transit")
    older = {"traceloop.span.kind": "tool", "traceloop.entity.name": "track", "traceloop.entity.input": '{"order": 17}'}
    assert events_of(span("a1", older))[0].payload == {"tool": "track", "args": {"order": 17}, "result": None}


def test_a_tool_that_a_message_names_is_not_counted_twice(tmp_path: Path) -> None:
    asks = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "k1", "name": "track", "arguments": {}}]}]
    first = span("a1", {**FULL, "gen_ai.output.messages": as_text(asks)})
    (row,) = rows_of(tmp_path, export(first, span("a2", TOOL, seconds=2)))
    assert row["tool_call_count"] == 1
    assert "in transit" in row["extra_json"]


def test_a_failed_span_is_an_error_and_no_verdict() -> None:
    noted = [("exception", {"exception.type": "Timeout", "exception.message": "after 30 s"})]
    for fields in ({"code": 2, "message": "after 30 s"}, {"code": "STATUS_CODE_ERROR"}, {}):
        events = events_of(span("a1", {**FULL, "error.type": "timeout"}, noted, status=fields))
        (error,) = [event.payload for event in events if event.kind == "error"]
        assert error["error"] == "after 30 s"
        assert [e.payload["success"] for e in events if e.kind == "outcome"] == [None]
    assert [e.kind for e in events_of(span("a1", TOOL, status={"code": 2}))] == ["tool_call", "error"]
    assert "error" not in [e.kind for e in events_of(span("a1", FULL, noted, status={"code": 1}))]


def test_a_span_that_sums_up_others_adds_nothing_but_is_kept(tmp_path: Path) -> None:
    agent = {
        **FULL,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "clerk",
        "gen_ai.usage.input_tokens": 200,
    }
    whole = span("b1", agent, seconds=-1)
    calls = [
        span("a1", FULL),
        span("a2", {**FULL, "gen_ai.input.messages": as_text([*ASKED, *SAID, *ASKED])}, seconds=5),
    ]
    rows = rows_of(tmp_path, export(*calls), export(whole))
    assert [row["message_count"] for row in rows] == [2, 2]
    assert "clerk" in rows[0]["extra_json"]
    (tmp_path / "alone").mkdir()
    ((row),) = rows_of(tmp_path / "alone", export(whole))
    assert (row["message_count"], row["arm"]) == (2, "small-model")


def test_a_trace_of_many_calls_is_one_attempt_and_usage_totals_equal_an_independent_count(tmp_path: Path) -> None:
    calls = [span(f"a{n}", CALL, seconds=n) for n in range(3)]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(as_lines([export(*calls[:2]), export(calls[2]), export(calls[2])]))  # the last was sent again
    landing = landing_at(tmp_path)
    landing.ingest(path, OPTIONS)
    (events,) = CutWeek(landing, LogSettings()).streams(WEEK).values()
    (outcome,) = [event.payload for event in events if event.kind == "outcome"]
    assert (outcome["input_tokens"], outcome["output_tokens"], outcome["latency_ms"]) == (300, 60, 4500.0)
    (row,) = cut_week(CutWeek(landing, LogSettings()), WEEK, {})[0].to_pylist()
    assert (row["arm"], row["task_id"]) == ("small-model", "t1" * 16)


def test_one_export_printed_over_many_lines_is_one_record() -> None:
    record = export(span("a1", FULL))
    printed = json.dumps(record, indent=2).encode()
    assert [line.number for line in lines_of(READER, printed)] == [1]
    assert read_all(READER, printed) == read_all(READER, json.dumps(record).encode())
    assert len(lines_of(READER, printed[:-10])) > 1


def test_spans_of_other_things_are_kept_beside_those_of_models() -> None:
    events = events_of(span("a1", {"http.request.method": "GET"}, name="fetch"), span("a2", FULL))
    assert events[0].extra["other_spans"][0]["name"] == "fetch"  # type: ignore[index]  # a list of dicts


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "no resourceSpans"),
        ({"resourceLogs": []}, "no resourceSpans but resourceLogs: memloop reads traces"),
        ({"resourceSpans": []}, "no spans"),
        ({"resourceSpans": [{"scopeSpans": 7}]}, "no spans"),
        (export(span("a1", {"http.request.method": "GET"})), "no span with GenAI attributes"),
    ],
)
def test_a_line_without_a_model_call_is_rejected_with_the_reason(record: object, reason: str) -> None:
    (found,) = read_all(READER, as_lines([record]))
    assert isinstance(found, Rejected)
    assert found.reason == reason


@pytest.mark.parametrize("value", ["", "x", "-5", None, 7.5, [], "9" * 40, "5000"])
def test_a_time_that_cannot_be_read_is_the_one_before(value: object) -> None:
    before = read_all(READER, as_lines([export(span("a1", FULL, startTimeUnixNano=value, endTimeUnixNano=value))]))[0]
    assert isinstance(before, list)
    assert {event.at.date().isoformat() for event in before} == {"2026-03-17"}
    assert before[-1].payload["latency_ms"] is None


def test_an_operation_that_is_no_text_is_no_tool_and_no_crash() -> None:
    pairs = [{"key": "gen_ai.operation.name", "value": {"kvlistValue": {"values": []}}}]
    spans = [{"traceId": "a", "spanId": "b", "attributes": pairs}]
    (found,) = read_all(READER, as_lines([{"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}]))
    assert found
