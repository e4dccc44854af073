"""Logs that real emitters wrote: OpenTelemetry's instrumentation of the openai client, and LiteLLM. The stub server's bill is the count."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from memloop_assets.settings import LogSettings
from memloop_assets.trajectories.calls import join_calls
from memloop_assets.trajectories.cutting import CutWeek, cut_week, quarantine_week
from memloop_assets.trajectories.formats.reader import CONTENT_MISSING, Event
from memloop_assets.trajectories.sniffing import sniff
from memloop_assets.trajectories.sources import ReadOptions, check_file
from memloop_tests.interop.conversation import FOUND, GREETING, ORDER, REFUSED, STREAMED
from memloop_tests.interop.programs import printed_by
from memloop_tests.trajectories.samples import events_of, landing_at

EMITTERS = {"otlp": "emit_otlp", "openai-chat": "emit_litellm"}
ARMS = {"otlp": ("small", "large"), "openai-chat": ("gpt-4o-mini", "gpt-4o")}
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True)
class Emitted:
    """A log as its emitter wrote it, what the server billed, and what memloop made of it."""

    path: Path
    billed: list[tuple[int, int]]
    rows: list[dict[str, Any]]
    outcomes: list[Mapping[str, Any]]
    quarantined: int


@cache
def _scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="memloop-interop-")


@cache
def emitted(log_format: str, capture: str = "SPAN_ONLY") -> Emitted:
    folder = Path(_scratch().name) / f"{log_format}-{capture}"
    folder.mkdir(exist_ok=True)  # a skipped test leaves it
    path = folder / "calls.jsonl"
    billed = json.loads(printed_by(EMITTERS[log_format], path, env={CAPTURE: capture}))
    landing = landing_at(folder)
    landing.ingest(path, ReadOptions(format=sniff(path)))
    cut = CutWeek(landing, LogSettings())
    rows = [row for week in landing.weeks() for row in cut_week(cut, week, {})[0].to_pylist()]
    quarantined = sum(quarantine_week(landing, week, ())[0].num_rows for week in landing.weeks())
    joined, _ = join_calls([item for item in events_of(landing) if isinstance(item, Event)])
    outcomes = [event.payload for event in joined if event.kind == "outcome"]
    return Emitted(path, billed, sorted(rows, key=lambda row: row["started_at"]), outcomes, quarantined)


@pytest.mark.parametrize("log_format", EMITTERS)
def test_a_real_emitters_log_is_told_by_itself_and_read_without_loss(log_format: str) -> None:
    log = emitted(log_format)
    assert sniff(log.path) == log_format
    assert log.quarantined == 0
    assert check_file(log.path, ReadOptions(format=log_format)).rejected == []


@pytest.mark.parametrize("log_format", EMITTERS)
def test_usage_agrees_with_what_the_server_billed(log_format: str) -> None:
    log = emitted(log_format)
    assert len(log.billed) == 4
    for place, name in enumerate(("input_tokens", "output_tokens")):
        assert sum(outcome[name] or 0 for outcome in log.outcomes) == sum(call[place] for call in log.billed)


@pytest.mark.parametrize("log_format", EMITTERS)
def test_each_conversation_is_one_attempt_with_every_message_once(log_format: str) -> None:
    rows = emitted(log_format).rows
    asked = [GREETING[-1], ORDER[0], STREAMED[0], REFUSED[0]]
    assert [row["task_text"] for row in rows] == [message["content"] for message in asked]
    spoken = [[(m["role"], m["content"] or "") for m in json.loads(row["messages_json"])] for row in rows]
    assert spoken == [
        [("system", "Be kind."), ("user", asked[0]["content"]), ("assistant", f"You said: {asked[0]['content']}")],
        [("user", asked[1]["content"]), ("assistant", ""), ("tool", FOUND), ("assistant", f"You said: {FOUND}")],
        [("user", asked[2]["content"]), ("assistant", f"You said: {asked[2]['content']}")],
        [("user", asked[3]["content"])],
    ]
    small, large = ARMS[log_format]
    assert [row["arm"] for row in rows] == [small, small, large, large]
    assert [row["error_count"] for row in rows] == [0, 0, 0, 1]
    assert "refused" in rows[3]["errors_json"]
    assert all(row["latency_ms"] > 0 for row in rows)


@pytest.mark.parametrize("log_format", EMITTERS)
def test_a_call_of_a_tool_keeps_its_id_and_its_arguments(log_format: str) -> None:
    call = next(m for m in json.loads(emitted(log_format).rows[1]["messages_json"]) if m.get("tool_calls"))
    (named,) = call["tool_calls"]
    arguments = named["function"]["arguments"]
    assert named["id"] == "call_7"
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"order": 17}


def test_litellms_session_user_and_cost_are_read() -> None:
    log = emitted("openai-chat")
    assert [row["session_id"] for row in log.rows[:2]] == ["greet", "order"]
    assert {row["user_id"] for row in log.rows} == {"anna-7"}
    logged = [json.loads(line)["response_cost"] for line in log.path.read_text(encoding="utf-8").splitlines()]
    assert sum(logged) > 0
    assert sum(row["cost_usd"] or 0 for row in log.rows) == pytest.approx(sum(logged))


def test_spans_without_content_are_read_with_their_usage_and_said_to_lack_it() -> None:
    log = emitted("otlp", "NO_CONTENT")
    assert log.quarantined == 0
    assert sum(outcome["input_tokens"] or 0 for outcome in log.outcomes) == sum(call[0] for call in log.billed)
    assert all(row["message_count"] == 0 for row in log.rows)
    assert all(CONTENT_MISSING in row["extra_json"] for row in log.rows)


def test_a_refused_call_is_not_said_to_lack_an_answer() -> None:
    assert CONTENT_MISSING not in emitted("otlp").rows[3]["extra_json"]
