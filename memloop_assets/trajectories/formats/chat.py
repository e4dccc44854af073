"""Chat messages and the other payloads that formats of model calls share: a message's known fields, its identity, routes and outcomes.

What a line of one format looks like is that format's reader's business; nothing here reads bytes.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

import orjson

from memloop_assets.trajectories.formats.reader import canonical_json

Fields = dict[str, object]

MESSAGE_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
UNKNOWN_OUTCOME: Mapping[str, object] = {
    "success": None,
    "reward": None,
    "label_source": None,
    "cost_usd": None,
    "latency_ms": None,
    "input_tokens": None,
    "output_tokens": None,
}


def read_message(message: Mapping[str, object]) -> tuple[Fields, Fields]:
    """Return a chat message's known fields, content always among them, and the rest."""
    known = {name: message[name] for name in MESSAGE_FIELDS if message.get(name) is not None}
    return {"content": None, **known}, {name: value for name, value in message.items() if name not in MESSAGE_FIELDS}


def is_messages(value: object) -> bool:
    """Tell whether a value is a list of chat messages: objects, each with a role."""
    return isinstance(value, list) and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)


def message_key(message: Mapping[str, object]) -> str:
    """Return the identity of a message by what it says: null, absent and empty content are one, and so are the spellings of arguments."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        content = "\n".join(part["text"] for part in content)
    calls = message.get("tool_calls")
    said = [message.get("role"), content or None, message.get("tool_call_id"), calls and _plain_calls(calls)]
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()[:32]


def _plain_calls(calls: object) -> object:
    if not isinstance(calls, list):
        return calls
    plain = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            plain.append([call.get("id"), function.get("name"), from_json(function.get("arguments"))])
        else:
            plain.append(call)
    return plain


def from_json(value: object) -> object:
    """Return what a JSON text holds; any other value, and text that is not JSON, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def tool_call(call_id: object, name: object, arguments: object) -> Fields:
    """Return a tool call in OpenAI's shape, its arguments as JSON text."""
    text = arguments if isinstance(arguments, str) else canonical_json({} if arguments is None else arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def route_to(arm: str) -> Fields:
    """Return the payload of a route of which nothing but the arm is known."""
    return {"arm": arm, "candidate_arms": None, "propensity": None, "policy_version": None, "domain": None}


def first_id(*found: object) -> str | None:
    """Return the first value that can be an id: text that is not blank, or a whole number."""
    for value in found:
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def first_text(*found: object) -> str | None:
    """Return the first value that is text and not blank."""
    return next((value for value in found if isinstance(value, str) and value.strip()), None)


def first_count(*found: object) -> int | None:
    """Return the first value that is a count: a whole number of zero or more."""
    return next((v for v in found if isinstance(v, int) and not isinstance(v, bool) and v >= 0), None)


def is_amount(value: object) -> bool:
    """Tell whether a value is a finite number of zero or more."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def total(counts: Iterable[object]) -> int | None:
    """Return the sum of the values that are counts; None where none is."""
    known = [count for value in counts if (count := first_count(value)) is not None]
    return sum(known) if known else None
