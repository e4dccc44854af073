"""OTLP/JSON trace exports: one object with ``resourceSpans`` a line, or one for the whole file, and the spans in it as events.

Which attribute means what is in ``genai``. Encoding: opentelemetry.io/docs/specs/otlp, JSON Protobuf Encoding (64-bit numbers as text).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

import orjson

from memloop_assets.trajectories.formats.chat import (
    UNKNOWN_OUTCOME,
    Fields,
    first_count,
    first_id,
    first_text,
    from_json,
    is_amount,
    message_key,
    read_message,
    route_to,
)
from memloop_assets.trajectories.formats.genai import (
    GROUPS,
    INFERENCE,
    TOOL,
    Attributes,
    carries_content,
    is_genai,
    messages_of,
    told,
)
from memloop_assets.trajectories.formats.reader import (
    CONTENT_MISSING,
    CallPart,
    Event,
    EventKind,
    JsonLinesReader,
    Line,
    Rejected,
    SourceFacts,
    json_lines,
    parse_object,
    read_stamp,
)

_Payload = tuple[EventKind, Fields, Fields, bool]


@dataclass(frozen=True, slots=True)
class _Span:
    """A span, decoded: its own fields, its attributes with those of its resource behind them, its events."""

    fields: Fields
    attributes: Attributes
    resource: Attributes
    events: Sequence[tuple[str, Attributes]]
    start: datetime
    end: datetime

    def told(self, what: str) -> object:
        """Return what the span, or else its resource, answers to a name."""
        own = told(self.attributes, what)
        return told(self.resource, what) if own is None else own

    @property
    def operation(self) -> str | None:
        """Return what kind of operation it says it is, as text; None where it does not say."""
        said = self.told("operation")
        return said if said is None or isinstance(said, str) else str(said)


class OtlpReader(JsonLinesReader):
    """Reads OTLP/JSON files with GenAI spans."""

    name = "otlp"

    def lines(self, file: BinaryIO, start_offset: int, start_line: int, end_offset: int) -> Iterator[Line]:
        """Yield the non-blank lines; a file that is one object printed over many lines is one line."""
        if start_offset == 0:
            file.seek(0)
            first = next(json_lines(file, 0, 1, end_offset), None)
            if first is not None and first.end_offset < end_offset and _is_opened_only(first.raw):
                file.seek(0)
                content = file.read(end_offset).removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
                if _is_export(content):
                    yield Line(1, 0, end_offset, content)
                    return
        yield from json_lines(file, start_offset, start_line, end_offset)

    def read_object(
        self, found: dict[str, Any], line: Line, source: SourceFacts, before: datetime
    ) -> list[Event] | Rejected:
        """Return the events of an export's spans, or why there are none."""
        spans = _spans_of(found, source, before)
        if isinstance(spans, str):
            return Rejected(line.number, before, spans, line.raw, source.source_id)
        events: list[Event] = []
        others = []
        for span in spans:
            if is_genai(span.attributes):
                events += _events_of(span, line, source, len(events))
            else:
                others.append(span.fields)
        if not events:
            return Rejected(line.number, before, "no span with GenAI attributes", line.raw, source.source_id)
        rest = {name: value for name, value in found.items() if name != "resourceSpans"}
        events[0].extra = {**rest, **({"other_spans": others} if others else {}), **events[0].extra}
        return events


def _is_opened_only(raw: bytes) -> bool:
    return raw.startswith(b"{") and isinstance(parse_object(raw), str)


def _is_export(content: bytes) -> bool:
    try:
        return "resourceSpans" in orjson.loads(content)
    except (orjson.JSONDecodeError, TypeError):
        return False


def _spans_of(export: Fields, source: SourceFacts, before: datetime) -> list[_Span] | str:
    """Return the spans of an export, or why it is none."""
    if "resourceSpans" not in export:
        others = [name for name in ("resourceLogs", "resourceMetrics") if name in export]
        return f"no resourceSpans{f' but {others[0]}: memloop reads traces' if others else ''}"
    spans: list[_Span] = []
    for group in _objects(export["resourceSpans"]):
        resource = told_resource if isinstance(told_resource := group.get("resource"), dict) else {}
        shared = _read_attributes(resource.get("attributes"))
        for scope in _objects(group.get("scopeSpans") or group.get("instrumentationLibrarySpans")):
            rest = {"scope": scope["scope"]} if scope.get("scope") else {}
            for span in _objects(scope.get("spans")):
                times = (_read_nanoseconds(span.get(name), source) for name in ("startTimeUnixNano", "endTimeUnixNano"))
                start, end = times
                events = [
                    (str(e.get("name")), _read_attributes(e.get("attributes"))) for e in _objects(span.get("events"))
                ]
                fields = {**span, **rest, **({"resource": shared} if shared else {})}
                begun = start or end or before
                own = _read_attributes(span.get("attributes"))
                spans.append(_Span(fields, own, shared, events, begun, max(begun, end or begun)))
    return spans or "no spans"


def _objects(value: object) -> list[Fields]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _read_nanoseconds(value: object, source: SourceFacts) -> datetime | None:
    """Return nanoseconds since 1970, as text or number, as a stamp."""
    text = str(value)
    whole = isinstance(value, str | int) and text.isascii() and text.isdigit() and len(text) <= 19
    return read_stamp(int(text) // 1000 / 1e6, source.timezone) if whole else None


def _read_attributes(pairs: object) -> dict[str, object]:
    """Return attributes as a mapping; a pair that is not well formed is left to the span's own fields."""
    return {key: _read_value(pair.get("value")) for pair in _objects(pairs) if isinstance(key := pair.get("key"), str)}


def _read_value(value: object) -> object:
    """Return the value of OTLP's AnyValue: 64-bit integers are written as text."""
    if not isinstance(value, dict):
        return None
    if isinstance(listed := value.get("arrayValue"), dict):
        items = listed.get("values")
        return [_read_value(item) for item in items] if isinstance(items, list) else []
    if isinstance(pairs := value.get("kvlistValue"), dict):
        return _read_attributes(pairs.get("values"))
    if isinstance(number := value.get("intValue"), str) and number.lstrip("-").isdigit() and len(number) <= 20:
        return int(number) if number.isascii() else number
    return next(iter(value.values()), None)


def _events_of(span: _Span, line: Line, source: SourceFacts, ordinal: int) -> list[Event]:
    trace, span_id = first_id(span.fields.get("traceId")), first_id(span.fields.get("spanId"))
    call_id = f"{trace} {span_id}" if trace and span_id else f"{source.source_id} {line.number} {ordinal}"
    operation = span.operation
    is_tool = operation in TOOL or (operation is None and "gen_ai.tool.name" in span.attributes)
    payloads = _of_tool(span) if is_tool else _of_call(span)
    payloads += _of_failure(span)
    first_kind, first, extra, is_late = payloads[0]
    payloads[0] = (first_kind, first, {"span": _unread(span, [kind for kind, _, _, _ in payloads]), **extra}, is_late)
    tool_call_id = first_id(span.told("tool_call_id")) if is_tool else None
    return [
        Event(
            kind=kind,
            at=span.end if late else span.start,
            line_number=line.number,
            payload=payload,
            source_id=source.source_id,
            ordinal=ordinal + place,
            session_id=first_id(span.told("session")),
            task_id=trace,
            user_id=first_id(span.told("user")),
            extra=more,
            call=CallPart(
                call_id,
                message_key=message_key(payload) if kind == "message" else None,
                repeat_key=f"{call_id} {place}" if trace and span_id else None,
                tool_call_id=tool_call_id if kind == "tool_call" else None,
                is_answer=late,
                is_note=_sums_up(span, operation),
            ),
        )
        for place, (kind, payload, more, late) in enumerate(payloads)
    ]


def _unread(span: _Span, kinds: list[EventKind]) -> Fields:
    """Return a span's fields without what its events already say: the carriers of the content that was read."""
    kept = dict(span.fields)
    if "message" in kinds or "tool_call" in kinds:
        for name, key in (("attributes", "key"), ("events", "name")):
            if isinstance(listed := kept.get(name), list):
                kept[name] = [i for i in listed if not (isinstance(i, dict) and carries_content(i.get(key)))]
    return kept


def _sums_up(span: _Span, operation: str | None) -> bool:
    """Tell whether other spans of the trace say what this one says: it is neither a model call nor a tool."""
    if operation is None:
        return told(span.attributes, "model") is None and "gen_ai.tool.name" not in span.attributes
    return operation in GROUPS or operation not in INFERENCE | TOOL


def _of_tool(span: _Span) -> list[_Payload]:
    name = first_text(span.told("tool"), span.fields.get("name")) or "unknown"
    payload = {
        "tool": name,
        "args": from_json(span.told("tool_arguments")),
        "result": from_json(span.told("tool_result")),
    }
    return [("tool_call", payload, {}, False)]


def _of_call(span: _Span) -> list[_Payload]:
    """Return the payloads of a model call: its arm, what was asked, what was answered, what it took."""
    asked, said = messages_of(span.attributes, span.events)
    has_answer = not _of_failure(span)
    sides = [
        side
        for side, messages in (("input", asked), ("output", said))
        if not messages and (side == "input" or has_answer)
    ]
    missing: Fields = {CONTENT_MISSING: sides} if sides and not _sums_up(span, span.operation) else {}
    found: list[_Payload] = []
    if (arm := first_text(span.told("model"))) is not None:
        found.append(("route", route_to(arm), {}, False))
    found += [("message", *read_message(message), False) for message in asked]
    found += [("message", *read_message(message), True) for message in said]
    cost, lasted = span.told("cost_usd"), (span.end - span.start).total_seconds() * 1000
    known = {
        "cost_usd": float(cost) if is_amount(cost) else None,  # type: ignore[arg-type]  # is_amount says it is a number
        "latency_ms": lasted if lasted > 0 else None,
        "input_tokens": first_count(span.told("input_tokens")),
        "output_tokens": first_count(span.told("output_tokens")),
    }
    found.append(("outcome", {**UNKNOWN_OUTCOME, **known}, missing, True))
    return found


def _of_failure(span: _Span) -> list[_Payload]:
    """Return the error of a span that failed: its status, else the class of error, with the exception that was noted."""
    status: Mapping[str, object] = found if isinstance(found := span.fields.get("status"), dict) else {}
    kind = span.told("error")
    if status.get("code") not in (2, "STATUS_CODE_ERROR") and kind is None:
        return []
    noted = next((attributes for name, attributes in span.events if name == "exception"), None)
    said = first_text(status.get("message"), noted and noted.get("exception.message"), kind) or "error"
    return [("error", {"error": said, "context": {"type": kind, "exception": noted}}, {}, True)]
