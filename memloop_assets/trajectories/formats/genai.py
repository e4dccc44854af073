"""OpenTelemetry's GenAI conventions: the names of attributes, current and older, and the messages that a span carries under any of them.

Names: opentelemetry.io/docs/specs/semconv/gen-ai (1.36 and before: span events and ``gen_ai.prompt``; since: ``gen_ai.input.messages``),
and OpenLLMetry's ``traceloop.*`` and flattened ``gen_ai.prompt.0.content``. How spans become events is in ``otlp``.
"""

import re
from collections.abc import Mapping, Sequence

from memloop_assets.trajectories.formats.chat import Fields, first_text, from_json, is_messages, tool_call

Attributes = Mapping[str, object]

# What memloop asks for, and the attributes that answer it: the current name first, then older and other ones.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name", "llm.request.type", "traceloop.span.kind"),
    "model": ("gen_ai.request.model", "llm.request.model", "gen_ai.response.model", "llm.response.model"),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
    "cost_usd": ("gen_ai.usage.cost",),
    "session": ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id"),
    "user": ("user.id", "enduser.id", "traceloop.association.properties.user_id"),
    "tool": ("gen_ai.tool.name", "traceloop.entity.name"),
    "tool_call_id": ("gen_ai.tool.call.id",),
    "tool_arguments": ("gen_ai.tool.call.arguments", "traceloop.entity.input"),
    "tool_result": ("gen_ai.tool.call.result", "traceloop.entity.output"),
    "instructions": ("gen_ai.system_instructions",),
    "input": ("gen_ai.input.messages", "gen_ai.prompt"),
    "output": ("gen_ai.output.messages", "gen_ai.completion"),
    "error": ("error.type",),
}
INFERENCE = {"chat", "text_completion", "generate_content", "completion"}
TOOL = {"execute_tool", "tool"}
GROUPS = {"create_agent", "invoke_agent", "invoke_workflow", "plan", "agent", "workflow", "task"}

_ROLE_EVENTS = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_DETAILS = "gen_ai.client.inference.operation.details"
_CONTENT = ("gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion", "content")
_ASKED_OR_SAID = ("instructions", "input", "output", "tool_arguments", "tool_result")
_CARRIERS = {
    *(name for what in _ASKED_OR_SAID for name in ALIASES[what]),
    *(*_ROLE_EVENTS, _DETAILS, "gen_ai.content.prompt", "gen_ai.choice", "gen_ai.content.completion"),
}
_FLAT = re.compile(r"gen_ai\.(prompt|completion)\.(\d+)\.(.+)")
_FLAT_CALL = re.compile(r"tool_calls\.(\d+)\.(?:function\.)?(id|name|arguments)")


def told(attributes: Attributes, what: str) -> object:
    """Return what the attributes answer to a name of ``ALIASES``; None where they do not."""
    return next((attributes[name] for name in ALIASES[what] if attributes.get(name) is not None), None)


def is_genai(attributes: Attributes) -> bool:
    """Tell whether a span is of a model call, a tool or an agent."""
    return any(name.startswith(("gen_ai.", "llm.", "traceloop.")) for name in attributes)


def carries_content(name: object) -> bool:
    """Tell whether an attribute or a span event of this name holds what was asked, answered, or done by a tool."""
    return isinstance(name, str) and (name in _CARRIERS or _FLAT.fullmatch(name) is not None)


def messages_of(attributes: Attributes, events: Sequence[tuple[str, Attributes]]) -> tuple[list[Fields], list[Fields]]:
    """Return what a model was asked and what it answered, from the newest convention that the span follows for either; empty where none."""
    details = next((found for name, found in events if name == _DETAILS), {})
    asked = _read_messages(told(attributes, "input"), "user") or _read_messages(told(details, "input"), "user")
    said = _read_messages(told(attributes, "output"), "assistant") or _read_messages(
        told(details, "output"), "assistant"
    )
    if asked:
        instructions = told(attributes, "instructions") or told(details, "instructions")
        asked = [*_read_messages(instructions, "system"), *asked]
    asked = asked or _of_events(events, _ROLE_EVENTS) or _of_events(events, {"gen_ai.content.prompt": "user"})
    said = said or _of_events(events, {"gen_ai.choice": "assistant", "gen_ai.content.completion": "assistant"})
    return asked or _of_flat(attributes, "prompt"), said or _of_flat(attributes, "completion")


def _read_messages(value: object, role: str) -> list[Fields]:
    """Return messages in OpenAI's shape from any of: text, JSON text, a message, messages, or parts of one."""
    value = from_json(value)
    if isinstance(value, str) and value.strip():
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        nested = from_json(value.get("message"))  # a choice: the message beside its index and finish reason
        around = {key: held for key, held in value.items() if key != "message"}
        inner = value.get("messages") if is_messages(value.get("messages")) else None
        value = inner or [{**around, **nested} if isinstance(nested, dict) else value]
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return []
    if all("role" not in item and "type" in item for item in value):
        value = [{"role": role, "parts": value}]
    return [message for item in value for message in _of_parts({"role": role, **item})]


def _of_parts(message: Fields) -> list[Fields]:
    """Return a message of the current convention in OpenAI's shape, each tool response as a message of its own."""
    parts = message.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return [message] if isinstance(message["role"], str) else []
    texts = [text for part in parts if part.get("type") == "text" and isinstance(text := part.get("content"), str)]
    calls = [tool_call(p.get("id"), p.get("name"), p.get("arguments")) for p in parts if p.get("type") == "tool_call"]
    answers = [part for part in parts if part.get("type") == "tool_call_response"]
    others = [part for part in parts if part.get("type") not in ("text", "tool_call", "tool_call_response")]
    found: list[Fields] = [
        {"role": "tool", "tool_call_id": part.get("id"), "content": part.get("result", part.get("response"))}
        for part in answers
    ]
    if texts or calls or others or not answers:
        rest = {name: value for name, value in message.items() if name != "parts"}
        said: Fields = {**rest, "content": "\n".join(texts) or None}
        found.insert(0, {**said, **({"tool_calls": calls} if calls else {}), **({"parts": others} if others else {})})
    return found


def _of_events(events: Sequence[tuple[str, Attributes]], roles: Mapping[str, str]) -> list[Fields]:
    """Return the messages of the span events of some names; the body lies in one attribute as JSON, or in several."""
    found: list[Fields] = []
    for name, attributes in events:
        if name in roles:
            body = next((attributes[key] for key in _CONTENT[:3] if attributes.get(key) is not None), None)
            plain = {key: from_json(value) if key == "tool_calls" else value for key, value in attributes.items()}
            has_plain = any(key in attributes for key in ("content", "message", "tool_calls"))
            found += _read_messages(body if body is not None else plain if has_plain else None, roles[name])
    return found


def _of_flat(attributes: Attributes, part: str) -> list[Fields]:
    """Return messages that are spread over attributes such as ``gen_ai.prompt.0.content``."""
    found: dict[int, Fields] = {}
    calls: dict[int, dict[int, dict[str, object]]] = {}
    for name, value in attributes.items():
        flat = _FLAT.fullmatch(name)
        if flat is None or flat[1] != part:
            continue
        place = int(flat[2][:9])
        message = found.setdefault(place, {"role": "user" if part == "prompt" else "assistant"})
        if call := _FLAT_CALL.fullmatch(flat[3]):
            calls.setdefault(place, {}).setdefault(int(call[1][:9]), {})[call[2]] = value
        else:
            message[flat[3]] = from_json(value) if flat[3] == "tool_calls" else value
    for place, by_number in calls.items():
        ordered = (by_number[number] for number in sorted(by_number))
        found[place]["tool_calls"] = [tool_call(c.get("id"), c.get("name"), c.get("arguments")) for c in ordered]
    return [found[place] for place in sorted(found) if first_text(found[place]["role"])]
