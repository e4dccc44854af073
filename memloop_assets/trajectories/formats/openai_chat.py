"""OpenAI-style chat lines: bare ``messages``, and request/response pairs as gateways and LiteLLM's StandardLoggingPayload write them.

One line says all that it holds, the repeated history of its session included: what is new in it is found later, by ``calls``.
Field names of LiteLLM: docs.litellm.ai/docs/proxy/logging_spec.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from memloop_assets.trajectories.formats.chat import (
    UNKNOWN_OUTCOME,
    Fields,
    first_count,
    first_id,
    first_text,
    is_amount,
    is_messages,
    message_key,
    read_message,
    route_to,
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

_LINE_SPACING = timedelta(minutes=10)
_EVENT_SPACING = timedelta(seconds=1)
_STARTS = ("startTime", "start_time", "timestamp", "created", "created_at")
_ENDS = ("endTime", "end_time")
_SESSIONS = ("session_id", "litellm_session_id", "conversation_id", "thread_id")


@dataclass(slots=True)
class _Read:
    """A line being read: its fields, those that no rule has taken yet, and the events so far."""

    line: Line
    source: SourceFacts
    fields: Fields
    rest: Fields
    start: datetime
    end: datetime
    is_synthetic: bool
    ids: Mapping[str, Any]
    call_id: str
    events: list[Event] = field(default_factory=list)

    def add(self, kind: EventKind, payload: Fields, extra: Fields, *, late: bool) -> None:
        """Add an event at the start of the call, or late at its end."""
        at = self.start + len(self.events) * _EVENT_SPACING if self.is_synthetic else self.end if late else self.start
        key = message_key(payload) if kind == "message" else None
        self.events.append(
            Event(
                kind=kind,
                at=at,
                line_number=self.line.number,
                payload=payload,
                source_id=self.source.source_id,
                ordinal=len(self.events),
                extra=extra,
                is_synthetic_time=self.is_synthetic,
                call=CallPart(self.call_id, message_key=key, repeat_key=self._repeat_key(), is_answer=late),
                **self.ids,
            )
        )

    def _repeat_key(self) -> str | None:
        """Return what a second copy of the line would give: the id of the call (that of a bare conversation names no call) and its time."""
        is_call = "response" in self.fields and first_id(self.fields.get("id")) is not None and not self.is_synthetic
        return f"{self.call_id} {self.start.isoformat()} {len(self.events)}" if is_call else None


class OpenAIChatReader(JsonLinesReader):
    """Reads chat lines in OpenAI's shape, with or without the response, usage, cost and time of a gateway."""

    name = "openai-chat"

    def read_object(
        self, found: dict[str, Any], line: Line, source: SourceFacts, before: datetime
    ) -> list[Event] | Rejected:
        """Return a call's events: route, request messages, response or error, outcome; or why there are none."""
        fields = {**found, **request} if isinstance(request := found.get("request"), dict) else found
        stamped = _time_of(fields, source)
        start = stamped or (source.start_at and source.start_at + (line.number - 1) * _LINE_SPACING)
        messages = _messages_of(fields)
        reason = messages if isinstance(messages, str) else _fault(fields)
        if reason is None and start is None:
            reason = "no time (startTime, created or timestamp): ingest it with --start-week"
        if reason is not None or isinstance(messages, str) or start is None:
            return Rejected(line.number, start or before, str(reason), line.raw, source.source_id)
        response = answered if isinstance(answered := fields.get("response"), dict) else {}
        read = _Read(
            line=line,
            source=source,
            fields=fields,
            rest=dict(found),
            start=start,
            end=_end_of(fields, source, start),
            is_synthetic=stamped is None,
            ids=_ids_of(fields, line, source, is_synthetic=stamped is None),
            call_id=first_id(fields.get("id")) or f"{source.source_id} {line.number}",
        )
        arm = first_text(fields.get("model"), source.arm, response.get("model"))
        if arm is not None:
            read.add("route", route_to(arm), {}, late=False)
        for message in messages:
            read.add("message", *read_message(message), late=False)
        _take_response(read)
        if not read.events:
            return Rejected(line.number, start, "neither messages nor a response", line.raw, source.source_id)
        last = read.events[-1]
        last.extra = {**_unread(read), **last.extra}
        return read.events


def _messages_of(fields: Fields) -> list[Fields] | str:
    """Return the request's messages, or why there are none."""
    messages = fields.get("messages")
    if isinstance(messages, str) and messages.strip():
        return [{"role": "user", "content": messages}]
    if messages is None and isinstance(fields.get("response"), dict | str):
        return []
    return messages if is_messages(messages) else "no list of messages with roles"  # type: ignore[return-value]  # checked


def _fault(fields: Fields) -> str | None:
    cost = fields.get("response_cost")
    if cost is not None and not is_amount(cost):
        return f"response_cost {cost!r} is not a number of zero or more"[:80]
    return None


def _time_of(fields: Fields, source: SourceFacts) -> datetime | None:
    response = fields.get("response")
    inner = response.get("created") if isinstance(response, dict) else None
    stamps = (read_stamp(value, source.timezone) for value in (*(fields.get(name) for name in _STARTS), inner))
    return next((stamp for stamp in stamps if stamp is not None), None)


def _end_of(fields: Fields, source: SourceFacts, start: datetime) -> datetime:
    """Return when the call ended; where that is not logged, or a clock went back, its start."""
    stamps = (read_stamp(fields.get(name), source.timezone) for name in _ENDS)
    return max(start, next((stamp for stamp in stamps if stamp is not None), start))


def _ids_of(fields: Fields, line: Line, source: SourceFacts, *, is_synthetic: bool) -> Mapping[str, str | None]:
    """Return the ids: a session logged as such, else the trace, else the call; each line without any is a session of its own."""
    metadata, parameters = (
        told if isinstance(told := fields.get(name), dict) else {} for name in ("metadata", "model_parameters")
    )
    logged = first_id(*(place.get(name) for name in _SESSIONS for place in (fields, metadata)))
    trace = first_id(fields.get("trace_id"), metadata.get("trace_id"))
    session = logged or trace or first_id(fields.get("id")) or f"{source.file_name} line {line.number}"
    user = first_id(
        *(fields.get(name) for name in ("end_user", "user_id", "user")),
        metadata.get("user_api_key_end_user_id"),
        metadata.get("user_api_key_user_id"),
        parameters.get("user"),
    )
    decision = first_id(fields.get("decision_id"), metadata.get("decision_id"))
    # where stamps are made up, a session goes on within its file only
    own = f"{source.file_name} {session}" if is_synthetic and not session.startswith(source.file_name) else session
    return {"session_id": own, "task_id": trace if logged else None, "user_id": user, "decision_id": decision}


def _take_response(read: _Read) -> None:
    """Add what came back: the first choice's message, an error where the call failed, and the outcome where anything of it is known."""
    response = read.fields.get("response")
    answer, extra = _answer_of(response)
    if answer is not None:
        known, unknown = read_message(answer)
        read.add("message", known, {**unknown, **extra}, late=True)
    failure = _failure_of(read.fields, response)
    if failure is not None:
        context = read.fields.get("error_information")
        read.add("error", {"error": failure, "context": context}, {}, late=True)
    usage = told if isinstance(response, dict) and isinstance(told := response.get("usage"), dict) else {}
    lasted = (read.end - read.start) / timedelta(milliseconds=1)
    cost = read.fields.get("response_cost")
    known = {
        "cost_usd": None if cost is None else float(cost),  # type: ignore[arg-type]  # _fault checked it
        "latency_ms": lasted if lasted > 0 else None,
        "input_tokens": first_count(read.fields.get("prompt_tokens"), usage.get("prompt_tokens")),
        "output_tokens": first_count(read.fields.get("completion_tokens"), usage.get("completion_tokens")),
    }
    if any(value is not None for value in known.values()):
        read.add("outcome", {**UNKNOWN_OUTCOME, **known}, {}, late=True)


def _answer_of(response: object) -> tuple[Fields | None, Fields]:
    """Return the message of the first choice, and what else the choices hold."""
    if isinstance(response, str) and response.strip():
        return {"role": "assistant", "content": response}, {}
    choices = response.get("choices") if isinstance(response, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None, {}
    first = dict(choices[0])
    message = first.pop("message", None)
    if not isinstance(message, dict):
        return ({"role": "assistant", "content": text}, first) if (text := first.pop("text", None)) else (None, {})
    extra: Fields = {"choice": first, **({"other_choices": choices[1:]} if choices[1:] else {})}
    return {**message, "role": message["role"] if isinstance(message.get("role"), str) else "assistant"}, extra


def _failure_of(fields: Fields, response: object) -> object:
    """Return the error of a call that failed, None where it did not."""
    inner = response.get("error") if isinstance(response, dict) else None
    said = first_text(fields.get("error_str")) or inner or fields.get("error")
    return said or ("the call failed" if fields.get("status") == "failure" else None)


def _unread(read: _Read) -> Fields:
    """Return every field of the line that is not in its events already."""
    request = read.rest.get("request")
    rest = dict(read.rest)
    if not (isinstance(request, dict) and "messages" in request):
        rest.pop("messages", None)
    if read.events[0].payload.get("arm") == rest.get("model"):
        rest.pop("model", None)
    for name, inner in (("request", "messages"), ("response", "choices")):
        part = rest.get(name)
        if isinstance(part, dict) and (name == "request" or _answer_of(part)[0] is not None):
            rest[name] = {key: value for key, value in part.items() if key != inner}
        elif name == "response" and isinstance(part, str):
            rest.pop(name)
    return rest
