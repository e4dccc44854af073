"""Model calls as gateways, Claude Code and OpenTelemetry write them, made by hand from the documented fields: no emitter wrote these."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from memloop_tests.trajectories.samples import NOON

Message = Mapping[str, object]


def said(role: str, content: object = None, **fields: object) -> dict[str, object]:
    """Return a chat message."""
    return {"role": role, "content": content, **fields}


def calls_tool(call_id: str, name: str = "track", arguments: str = '{"order": 17}') -> dict[str, object]:
    """Return an assistant message that calls a tool, as OpenAI's API returns it."""
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return said("assistant", None, tool_calls=[call])


def chat_call(
    call_id: str,
    messages: Sequence[Message] = ({"role": "user", "content": "Where is my parcel?"},),
    answer: Message | None = None,
    at: datetime = NOON,
    **fields: object,
) -> dict[str, object]:
    """Return a call that took two seconds, 100 tokens in, 20 out and a tenth of a cent, as LiteLLM's StandardLoggingPayload writes it."""
    message = answer or said("assistant", "It is in transit.")
    choice = {"index": 0, "finish_reason": "stop", "message": {**message, "refusal": None}}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": call_id,
        "call_type": "acompletion",
        "status": "success",
        "model": "small-model",
        "messages": list(messages),
        "response": {"id": call_id, "object": "chat.completion", "choices": [choice], "usage": usage},
        "startTime": at.timestamp(),
        "endTime": (at + timedelta(seconds=2)).timestamp(),
        "response_cost": 0.001,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "metadata": {"user_api_key_user_id": "user-1"},
        **fields,
    }


def claude_line(
    kind: str,
    uuid: str,
    content: object,
    seconds: float = 0,
    message: Mapping[str, object] | None = None,
    **fields: object,
) -> dict[str, object]:
    """Return a transcript line, an assistant's with a model and a usage."""
    told: dict[str, object] = {"role": kind, "content": content}
    if kind == "assistant":
        usage = {
            "input_tokens": 3,
            "cache_creation_input_tokens": 40,
            "cache_read_input_tokens": 500,
            "output_tokens": 20,
        }
        told = {"id": f"msg_{uuid}", "type": "message", "model": "large-model", **told, "usage": usage}
    return {
        "type": kind,
        "uuid": uuid,
        "parentUuid": None,
        "sessionId": "session-1",
        "isSidechain": False,
        "timestamp": (NOON + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z"),
        "version": "2.1.0",
        "message": {**told, **(message or {})},
        **fields,
    }


def any_value(value: object) -> dict[str, object]:
    """Return a value as OTLP/JSON writes it: 64-bit integers are text."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": pairs(value)}}
    return {"stringValue": value}


def pairs(attributes: Mapping[str, object]) -> list[dict[str, object]]:
    """Return attributes as OTLP/JSON writes them."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span(
    span_id: str,
    attributes: Mapping[str, object],
    events: Sequence[tuple[str, Mapping[str, object]]] = (),
    seconds: float = 0,
    trace: str = "t1",
    **fields: object,
) -> dict[str, object]:
    """Return a span of a second and a half."""
    start = int((NOON + timedelta(seconds=seconds)).timestamp()) * 10**9
    return {
        "traceId": trace * 16,
        "spanId": span_id * 8,
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_500_000_000),
        "attributes": pairs(attributes),
        "events": [{"name": name, "timeUnixNano": str(start), "attributes": pairs(held)} for name, held in events],
        "status": {},
        **fields,
    }


def export(*spans: Mapping[str, object], **resource: object) -> dict[str, object]:
    """Return an export of spans, one scope and one resource around them."""
    scope = {"name": "made.by.hand", "version": "1"}
    attributes = pairs({"service.name": "agent", **resource})
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes}, "scopeSpans": [{"scope": scope, "spans": list(spans)}]}
        ]
    }


def as_text(value: object) -> str:
    """Return a value as JSON text."""
    return json.dumps(value)
