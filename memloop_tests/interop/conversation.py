"""The same short exchanges for every client under test: what is asked, in messages as OpenAI's clients take them."""

from typing import Any

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}},
        },
    }
]
GREETING: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Grüße, is anybody there?"},
]
ORDER: list[dict[str, Any]] = [{"role": "user", "content": "Where is order 17?"}]
STREAMED: list[dict[str, Any]] = [{"role": "user", "content": "Say it word by word"}]
REFUSED: list[dict[str, Any]] = [{"role": "user", "content": "Please refuse this"}]
FOUND = "It is in Tönis"


def answered(call: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conversation about the order after its tool has run."""
    return [*ORDER, call, {"role": "tool", "tool_call_id": "call_7", "content": FOUND}]
