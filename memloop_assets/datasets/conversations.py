"""Conversations as trainers read them: chat messages whose tool calls are whole, split into a prompt and what follows it.

The shape is OpenAI's, which every trainer's writer starts from: an assistant message may carry ``tool_calls`` (arguments as a JSON string),
and a ``tool`` message answers one of them by ``tool_call_id``. What one trainer makes of that is said in ``exports``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from memloop_assets.tasks import normalise_task
from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.trajectories.trajectory import chat_role, text_of

Message = dict[str, Any]
Chat = list[Message]


def to_training_chat(messages: Sequence[Mapping[str, Any]], tool_calls: Sequence[Mapping[str, Any]]) -> Chat:
    """Return a trajectory's messages and tool call events as one chat in time order.

    A tool call event becomes an assistant message that calls and a tool message that answers, so that its arguments are not lost. Messages
    that say nothing and call nothing are dropped; an empty answer to a call is kept, for the call needs one. Every content is a string.
    """
    chat: Chat = []
    for number, item in enumerate(sorted((*messages, *tool_calls), key=lambda item: item["seq"])):
        if "role" not in item:
            call_id = f"call_{number}"
            function = {"name": str(item["tool"]), "arguments": _arguments_text(item.get("args"))}
            call = {"id": call_id, "type": "function", "function": function}
            answer = {"role": "tool", "tool_call_id": call_id, "name": function["name"]}
            chat.append({"role": "assistant", "content": "", "tool_calls": [call]})
            chat.append({**answer, "content": text_of(item.get("result"))})
            continue
        role = chat_role(item["role"])
        message: Message = {"role": role, "content": text_of(item["content"])}
        calls = item.get("tool_calls")
        if role == "assistant" and isinstance(calls, list) and calls:
            message["tool_calls"] = [_whole_call(call, f"call_{number}_{place}") for place, call in enumerate(calls)]
        if role == "tool":
            message.update({name: str(item[name]) for name in ("tool_call_id", "name") if item.get(name)})
        if message["content"] or message.get("tool_calls") or message.get("tool_call_id"):
            chat.append(message)
    return chat


def trim_to_last_answer(chat: Sequence[Message]) -> Chat:
    """Return the chat up to its last assistant message; empty where there is none.

    What a user says last, or a tool answers last, has no continuation that could be learned.
    """
    last = max((place for place, message in enumerate(chat) if message["role"] == "assistant"), default=-1)
    return list(chat[: last + 1])


def split_prompt(chat: Sequence[Message]) -> tuple[Chat, Chat]:
    """Return the prompt and the completion: everything up to and with the first run of user messages, and the rest up to the last answer.

    The completion is empty where no assistant message follows, the prompt where no user speaks.
    """
    start = next((place for place, message in enumerate(chat) if message["role"] == "user"), None)
    if start is None:
        return [], []
    end = next((place for place in range(start, len(chat)) if chat[place]["role"] != "user"), len(chat))
    return list(chat[:end]), trim_to_last_answer(chat[end:])


def is_same_prompt(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Tell whether two prompts say the same, message by message, under the normalisation that identifies a task."""
    return _normalised(one) == _normalised(other)


def _normalised(prompt: Sequence[Message]) -> list[tuple[str, str, object]]:
    return [(m["role"], normalise_task(m["content"]), m.get("tool_calls")) for m in prompt]


def _whole_call(call: object, call_id: str) -> Message:
    """Return a logged tool call with an id, its type, and its arguments as a JSON string."""
    given = call if isinstance(call, Mapping) else {}
    logged = given.get("function")
    function: Mapping[str, Any] = logged if isinstance(logged, Mapping) else given
    whole = {"name": str(function.get("name") or "unknown"), "arguments": _arguments_text(function.get("arguments"))}
    return {"id": str(given.get("id") or call_id), "type": "function", "function": whole}


def _arguments_text(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    return canonical_json({} if arguments is None else arguments)
