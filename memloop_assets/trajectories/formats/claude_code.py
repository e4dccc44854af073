"""Claude Code transcripts: JSON lines of type user, assistant, system and more, one content block of a message on each line.

The format is internal to its writer and not specified; the fields read here are those that its readers in the open document, and every
other field is kept. Lines of one message are joined, and repeated ones recognised, by ``calls``: one line alone says what it holds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from memloop_assets.trajectories.formats.chat import (
    UNKNOWN_OUTCOME,
    Fields,
    first_id,
    first_text,
    is_amount,
    route_to,
    tool_call,
    total,
)
from memloop_assets.trajectories.formats.reader import (
    CallPart,
    Event,
    EventKind,
    JsonLinesReader,
    Line,
    Rejected,
    SourceFacts,
    read_stamp,
)

_NO_MODEL = "<synthetic>"  # what the program writes for messages of its own
_INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_NOT_SAID_BY_A_PERSON = ("isMeta", "isCompactSummary", "isVisibleInTranscriptOnly")

_Payload = tuple[EventKind, Fields, Fields]


@dataclass(slots=True)
class _Blocks:
    """The blocks of one line's content, sorted: ``others`` are those that no payload holds (thinking, images of an assistant, ...)."""

    texts: list[str] = field(default_factory=list)
    shown: list[object] = field(default_factory=list)
    calls: list[Fields] = field(default_factory=list)
    results: list[Fields] = field(default_factory=list)
    others: list[object] = field(default_factory=list)


class ClaudeCodeReader(JsonLinesReader):
    """Reads Claude Code transcripts, main and sub-agent files."""

    name = "claude-code"
    has_global_ids = True

    def read_object(
        self, found: dict[str, Any], line: Line, source: SourceFacts, before: datetime
    ) -> list[Event] | Rejected:
        """Return the events of a line, or why there are none; a line without conversation is a note to its session."""
        at = read_stamp(found.get("timestamp"), source.timezone) or before
        payloads = _payloads_of(found)
        if isinstance(payloads, str):
            return Rejected(line.number, at, payloads, line.raw, source.source_id)
        message = told if isinstance(told := found.get("message"), dict) else {}
        uuid = first_id(found.get("uuid"))
        call_id = first_id(message.get("id"), uuid) or f"{source.source_id} {line.number}"
        is_note = found.get("type") not in ("user", "assistant")
        kept = {name: value for name, value in found.items() if name not in ("type", "timestamp", "message")}
        if read_stamp(found.get("timestamp"), source.timezone) is None and found.get("timestamp") is not None:
            kept["timestamp"] = found["timestamp"]
        if is_note:
            kept = {**found}
        return [
            Event(
                kind=kind,
                at=at,
                line_number=line.number,
                payload=payload,
                source_id=source.source_id,
                ordinal=ordinal,
                session_id=_session_of(found),
                extra={**(kept if ordinal == 0 else {}), **extra},
                call=CallPart(
                    call_id,
                    repeat_key=f"{uuid} {ordinal}" if uuid else None,
                    is_partial=found.get("type") == "assistant",
                    is_note=is_note,
                ),
            )
            for ordinal, (kind, payload, extra) in enumerate(payloads)
        ]


def _session_of(line: Fields) -> str | None:
    """Return the session, a sub-agent's being one of its own; agents that carry no id of theirs share one."""
    session = first_id(line.get("sessionId"))
    if line.get("isSidechain") is not True:
        return session
    agent = first_id(line.get("agentId"))
    return f"{session or ''}/{f'agent-{agent}' if agent else 'sidechain'}"


def _payloads_of(line: Fields) -> list[_Payload] | str:
    kind, message = line.get("type"), line.get("message")
    if not isinstance(kind, str):
        return "no line type"
    if kind not in ("user", "assistant"):
        return (
            _note(line)
            if kind in ("summary", "system") or first_id(line.get("sessionId"), line.get("uuid"))
            else (f"unknown line type {kind!r}"[:80])
        )
    if not isinstance(message, dict):
        return f"a line of type {kind} without a message"
    blocks = _sort_blocks(message.get("content"), is_assistant=kind == "assistant")
    if blocks is None:
        return "content is neither text nor a list of blocks"
    rest = {name: value for name, value in message.items() if name not in ("content", "role", "model")}
    extra: Fields = {**({"message": rest} if rest else {}), **({"blocks": blocks.others} if blocks.others else {})}
    return _assistant(line, message, blocks, extra) if kind == "assistant" else _user(line, blocks, extra)


def _note(line: Fields) -> list[_Payload]:
    """Return bookkeeping as a message without content, or as the error that it tells of."""
    if line.get("level") == "error" or line.get("subtype") == "api_error":
        said = line.get("error") or line.get("content") or "error"
        return [("error", {"error": said, "context": line.get("subtype")}, {})]
    return [("message", {"role": "system", "content": None}, {})]


def _sort_blocks(content: object, *, is_assistant: bool) -> _Blocks | None:
    blocks = _Blocks()
    if isinstance(content, str) or content is None:
        blocks.texts += [content] if content else []
        return blocks
    if not isinstance(content, list):
        return None
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text" and isinstance(block.get("text"), str):
            blocks.texts.append(block["text"])
        elif kind == "tool_use" and is_assistant:
            blocks.calls.append(tool_call(block.get("id"), block.get("name"), block.get("input")))
        elif kind == "tool_result" and not is_assistant:
            blocks.results.append(block)
        elif kind in ("image", "document") and not is_assistant:
            blocks.shown.append(block)
        else:
            blocks.others.append(block)
    return blocks


def _user(line: Fields, blocks: _Blocks, extra: Fields) -> list[_Payload]:
    """Return the tool results of a line, each error among them, and what a person said, or the program in a person's place."""
    found: list[_Payload] = []
    for result in blocks.results:
        content, call_id = result.get("content"), result.get("tool_use_id")
        rest = {n: v for n, v in result.items() if n not in ("type", "content", "tool_use_id", "is_error")}
        found.append(("message", {"role": "tool", "content": content, "tool_call_id": call_id}, rest))
        if result.get("is_error") is True:
            found.append(("error", {"error": content, "context": {"tool_call_id": call_id}}, {}))
    said: object = "\n".join(blocks.texts)
    if blocks.shown:
        said = [*({"type": "text", "text": text} for text in blocks.texts), *blocks.shown]
    if said or not found:
        role = "developer" if any(line.get(name) is True for name in _NOT_SAID_BY_A_PERSON) else "user"
        found.append(("message", {"role": role, "content": said or None}, {}))
    first = found[0]
    return [(first[0], first[1], {**first[2], **extra}), *found[1:]]


def _assistant(line: Fields, message: Fields, blocks: _Blocks, extra: Fields) -> list[_Payload]:
    """Return the arm, the message so far and the usage so far; for a call that failed, the error."""
    text = "\n".join(blocks.texts) or None
    if line.get("isApiErrorMessage") is True:
        return [("error", {"error": text or "API error", "context": first_text(line.get("error"))}, extra)]
    found: list[_Payload] = []
    model = first_text(message.get("model"))
    if model is not None and model != _NO_MODEL:
        found.append(("route", dict(route_to(model)), {}))
    payload: Fields = {"role": "assistant", "content": text}
    found.append(("message", {**payload, **({"tool_calls": blocks.calls} if blocks.calls else {})}, extra))
    usage = told if isinstance(told := message.get("usage"), dict) else {}
    cost, lasted = line.get("costUSD"), line.get("durationMs")
    known = {
        "cost_usd": float(cost) if is_amount(cost) else None,  # type: ignore[arg-type]  # is_amount says it is a number
        "latency_ms": float(lasted) if is_amount(lasted) else None,  # type: ignore[arg-type]  # as above
        "input_tokens": total(usage.get(name) for name in _INPUT_TOKENS),
        "output_tokens": total([usage.get("output_tokens")]),
    }
    if model != _NO_MODEL and any(value is not None for value in known.values()):
        found.append(("outcome", {**UNKNOWN_OUTCOME, **known}, {}))
    return found
