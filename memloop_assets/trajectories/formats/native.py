"""The native session log: one JSON object a line, as ``docs/log-format.md`` describes it.

The reader is tolerant about what it does not need (unknown fields are kept, any assistant name will do) and strict about numbers that
teach: a reward, cost or propensity out of its bounds rejects the line rather than being guessed.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from memloop_assets.trajectories.formats.reader import (
    Event,
    JsonLinesReader,
    Line,
    Rejected,
    SourceFacts,
    read_stamp,
)

_LABEL_SOURCES = ("user", "checker", "judge", "none")

Fields = dict[str, Any]


class NativeReader(JsonLinesReader):
    """Reads native session logs (``type`` message, tool_call, error, decision, route, outcome)."""

    name = "native"

    def read_object(
        self, found: dict[str, Any], line: Line, source: SourceFacts, before: datetime
    ) -> list[Event] | Rejected:
        """Return the one event of a line, or why there is none."""
        stamp = read_stamp(found.get("timestamp"), source.timezone)
        at = stamp or before
        kind = found.get("type")
        read = _PAYLOADS.get(kind) if isinstance(kind, str) else None
        if read is None:
            reason = f"unknown event type {kind!r}"[:80] if kind is not None else "no event type"
            return Rejected(line.number, at, reason, line.raw, source.source_id)
        del found["type"]
        if stamp is not None or found.get("timestamp") is None:
            found.pop("timestamp", None)
        session_id = _read_id(found, "session_id") if "session_id" in found else None
        task_id = _read_id(found, "task_id") if "task_id" in found else None
        user_id = _read_id(found, "user_id") if "user_id" in found else None
        decision_id = _read_id(found, "decision_id") if "decision_id" in found else None
        payload = read(found)
        if isinstance(payload, str):
            return Rejected(line.number, at, payload, line.raw, source.source_id)
        return [
            Event(
                kind,  # type: ignore[arg-type]  # a key of _PAYLOADS is an EventKind
                at,
                line.number,
                payload,
                source.source_id,
                session_id=session_id,
                task_id=task_id,
                user_id=user_id,
                decision_id=decision_id,
                extra=found,
            )
        ]


def _read_id(rest: Fields, name: str) -> str | None:
    """Take an id out of the fields; numbers are written as text, anything else stays among the extra fields."""
    value = rest[name]
    if isinstance(value, str) and value and not value.isspace():
        del rest[name]
        return value
    if value is None or isinstance(value, str):
        del rest[name]
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    del rest[name]
    return str(value)


def _message(rest: Fields) -> Fields | str:
    role = rest.pop("role", None)
    if not isinstance(role, str) or not role.strip():
        return "a message without a role"
    if "content" not in rest:
        return "a message without content"
    payload: Fields = {"role": role, "content": rest.pop("content")}
    confidence = rest.get("confidence")
    if _is_number(confidence) and 0 <= confidence <= 1:  # type: ignore[operator]  # _is_number says it is one
        payload["confidence"] = float(rest.pop("confidence"))
    if _is_context(rest.get("retrieved_context")):
        payload["retrieved_context"] = rest.pop("retrieved_context")
    return payload


def _tool_call(rest: Fields) -> Fields | str:
    tool = rest.pop("tool", None)
    if not isinstance(tool, str) or not tool.strip():
        return "a tool call without a tool"
    return {"tool": tool, "args": rest.pop("args", {}), "result": rest.pop("result", None)}


def _error(rest: Fields) -> Fields | str:
    if "error" not in rest:
        return "an error event without an error"
    return {"error": rest.pop("error"), "context": rest.pop("context", None)}


def _decision(rest: Fields) -> Fields | str:
    if "decision" not in rest:
        return "a decision event without a decision"
    return {"decision": rest.pop("decision"), "rationale": rest.pop("rationale", None)}


def _route(rest: Fields) -> Fields | str:
    arm = rest.pop("arm", None)
    if not isinstance(arm, str) or not arm.strip():
        return "a route event without an arm"
    arms = rest.pop("candidate_arms", None)
    if arms is not None and not (isinstance(arms, list) and all(isinstance(a, str) for a in arms)):
        return "candidate_arms is not a list of arm names"
    if arms is not None and arm not in arms:
        return f"the arm {arm!r} is not among its candidate_arms"[:120]
    propensity = rest.pop("propensity", None)
    if propensity is not None and not (_is_number(propensity) and 0 < propensity <= 1):
        return f"propensity {propensity!r} is not in (0, 1]"[:80]
    payload: Fields = {
        "arm": arm,
        "candidate_arms": arms,
        "propensity": None if propensity is None else float(propensity),
    }
    for name in ("policy_version", "domain"):
        value = rest.get(name)
        payload[name] = rest.pop(name) if isinstance(value, str) else None
    return payload | _task_labels(rest)


def _outcome(rest: Fields) -> Fields | str:
    payload: Fields = {}
    for name in ("success", "context_correct"):
        told = rest.pop(name, None)
        if told is not None and not isinstance(told, bool):
            return f"{name} {told!r} is not true or false"[:80]
        if told is not None or name == "success":
            payload[name] = told
    for name, highest in (("reward", 1.0), ("cost_usd", math.inf), ("latency_ms", math.inf)):
        value = rest.pop(name, None)
        if value is not None and not (_is_number(value) and 0 <= value <= highest):
            bounds = "[0, 1]" if highest == 1.0 else "a number of zero or more"
            return (
                f"{name} {value!r} is not in {bounds}"[:80]
                if highest == 1.0
                else f"{name} {value!r} is not {bounds}"[:80]
            )
        payload[name] = None if value is None else float(value)
    for name in ("input_tokens", "output_tokens"):
        value = rest.get(name)
        payload[name] = (
            rest.pop(name) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
        )
    label = rest.pop("label_source", None)
    if label is not None and label not in _LABEL_SOURCES:
        return f"label_source {label!r} is not one of {', '.join(_LABEL_SOURCES)}"[:120]
    payload["label_source"] = label
    return payload | _task_labels(rest)


def _task_labels(rest: Fields) -> Fields:
    """Take the labels of the task out of the fields; what is no such label stays among the extra fields."""
    checks: Mapping[str, Callable[[Any], bool]] = {
        "difficulty": lambda value: _is_number(value) and 0 <= value <= 1,
        "risk_level": lambda value: isinstance(value, str) and bool(value.strip()),
        "domain_tags": lambda value: isinstance(value, list) and all(isinstance(t, str) and t.strip() for t in value),
    }
    found = {name: rest.pop(name) for name, is_sound in checks.items() if is_sound(rest.get(name))}
    return {name: float(value) if name == "difficulty" else value for name, value in found.items()}


def _is_context(value: object) -> bool:
    """Tell whether a value is retrieved context: a text, or a list of texts and objects, and not empty."""
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, list) and bool(value) and all(isinstance(part, str | dict) for part in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_PAYLOADS: Mapping[str, Callable[[Fields], Fields | str]] = {
    "message": _message,
    "tool_call": _tool_call,
    "error": _error,
    "decision": _decision,
    "route": _route,
    "outcome": _outcome,
}
