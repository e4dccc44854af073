"""OpenAI's fine-tuning files (and of services that read them): chat JSONL, and the pairs of its preference method.

Supervised: ``{"messages": […]}``, tool calls with an id and arguments as a JSON string, each answered by a ``tool`` message with that id,
the last message the assistant's. Preference: ``{"input": {"messages", "tools", "parallel_tool_calls"}, "preferred_output": […],
"non_preferred_output": […]}``, one assistant message a side, text alone. Source: OpenAI's guides on supervised fine-tuning and on direct
preference optimization.
"""

from collections.abc import Sequence

from memloop_assets.datasets.conversations import Chat, Message
from memloop_assets.datasets.exports.trainer import (
    Pair,
    last_role_fault,
    single_answer_fault,
    speaker_fault,
    tool_fault,
    with_standard_roles,
)


class OpenAI:
    """Writes what OpenAI's fine-tuning API reads."""

    name = "openai"

    def sft_fault(self, chat: Chat) -> str | None:
        """Return why the API would refuse the conversation."""
        return speaker_fault(chat) or last_role_fault(chat) or tool_fault(chat)

    def sft_record(self, chat: Chat) -> Message:
        """Return the conversation as one line."""
        return {"messages": _messages(chat)}

    def pair_fault(self, pair: Pair) -> str | None:
        """Return why the API would refuse the pair: it compares single text answers."""
        return tool_fault(pair[0]) or single_answer_fault(pair)

    def pair_record(self, pair: Pair) -> Message:
        """Return the pair as one line."""
        prompt, chosen, rejected = map(_messages, pair)
        asked = {"messages": prompt, "tools": [], "parallel_tool_calls": True}
        return {"input": asked, "preferred_output": chosen, "non_preferred_output": rejected}

    def how_to_load(self, kind: str, file_name: str) -> str:
        """Return the method to choose for the uploaded file."""
        method = "supervised" if kind == "sft" else "dpo"
        return f'Upload `{file_name}` with purpose `fine-tune`; create the job with method `{{"type": "{method}"}}`.'


def _messages(chat: Sequence[Message]) -> Chat:
    """Return the messages with the fields that the API knows; a call without text has no content."""
    known = ("role", "content", "tool_calls", "tool_call_id")
    kept = [{name: m[name] for name in known if name in m} for m in with_standard_roles(chat)]
    return [
        {name: value for name, value in m.items() if name != "content" or value or "tool_calls" not in m} for m in kept
    ]
