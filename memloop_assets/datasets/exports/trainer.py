"""What every trainer's writer offers, and the faults that several of them share.

A fault is the reason why a trainer refuses or silently skips an example, as a short name that reports count. The shapes themselves are in
the writers, one module each.
"""

from collections.abc import Sequence
from typing import Protocol

from memloop_assets.datasets.conversations import Chat, Message

Pair = tuple[Chat, Chat, Chat]
"""A prompt, the chosen completion and the rejected one."""


class Trainer(Protocol):
    """One trainer: which examples it takes, and how it wants them written."""

    name: str

    def sft_fault(self, chat: Chat) -> str | None:
        """Return why a conversation cannot be trained on, None where it can."""

    def sft_record(self, chat: Chat) -> Message:
        """Return a conversation without fault as one line of the file."""

    def pair_fault(self, pair: Pair) -> str | None:
        """Return why a preference pair cannot be trained on, None where it can."""

    def pair_record(self, pair: Pair) -> Message:
        """Return a pair without fault as one line of the file."""

    def how_to_load(self, kind: str, file_name: str) -> str:
        """Return the trainer's configuration that reads the file, as Markdown."""


def speaker_fault(chat: Sequence[Message]) -> str | None:
    """Return the fault of a conversation in which nobody asks or nobody answers."""
    roles = {message["role"] for message in chat}
    if "user" not in roles:
        return "no_user_message"
    return None if "assistant" in roles else "no_assistant_message"


def last_role_fault(chat: Sequence[Message]) -> str | None:
    """Return the fault of a conversation whose last message is not the assistant's."""
    return None if chat and chat[-1]["role"] == "assistant" else f"ends_with_{chat[-1]['role'] if chat else 'nothing'}"


def tool_fault(chat: Sequence[Message]) -> str | None:
    """Return the fault of tool messages that answer no call, and of calls left open by anything but the last message."""
    open_calls: set[str] = set()
    for message in chat:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "tool_answer_without_call"
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return "tool_call_without_answer"
        open_calls |= {call["id"] for call in message.get("tool_calls", ())}
    return None


def single_answer_fault(pair: Pair) -> str | None:
    """Return the fault of a pair whose sides are not one text message each, which is all that some trainers compare."""
    for completion in pair[1:]:
        if len(completion) != 1:
            return "answer_of_several_messages"
        if completion[0].get("tool_calls"):
            return "tool_call_as_answer"
    return None


def with_standard_roles(chat: Sequence[Message]) -> Chat:
    """Return the messages with ``developer`` written as ``system``, the name that every chat template knows."""
    return [{**m, "role": "system"} if m["role"] == "developer" else m for m in chat]
