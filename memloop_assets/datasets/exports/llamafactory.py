"""LLaMA-Factory's ShareGPT format: turns of ``human`` / ``observation`` and of ``gpt`` / ``function_call``, strictly alternating.

The loader skips, with a warning alone, a conversation that does not alternate or does not end with the assistant (an odd count of turns).
A ``function_call`` turn is a string of JSON, one call or a list of them, with ``arguments`` an object inside it; its loader has no place
for text beside a call, so that text is lost. Answers to calls made at once become one ``observation`` turn. Source: LLaMA-Factory's
``data/README.md`` and its ``SharegptDatasetConverter``.
"""

import json
from collections.abc import Sequence

from memloop_assets.datasets.conversations import Chat, Message
from memloop_assets.datasets.exports.trainer import Pair, single_answer_fault, speaker_fault, with_standard_roles

_ASKING, _ANSWERING = ("human", "observation"), ("gpt", "function_call")


class LlamaFactory:
    """Writes what LLaMA-Factory's ShareGPT loader reads."""

    name = "llamafactory"

    def sft_fault(self, chat: Chat) -> str | None:
        """Return why the loader would skip the conversation."""
        _system, turns = _turns(chat)
        if fault := speaker_fault(chat) or _alternation_fault(turns):
            return fault
        return None if len(turns) % 2 == 0 else f"ends_with_{chat[-1]['role']}"

    def sft_record(self, chat: Chat) -> Message:
        """Return the conversation as one line."""
        system, turns = _turns(chat)
        return {"conversations": turns, "system": system}

    def pair_fault(self, pair: Pair) -> str | None:
        """Return why the loader would skip the pair or compare less than it holds."""
        return single_answer_fault(pair) or _alternation_fault(_turns(pair[0])[1])

    def pair_record(self, pair: Pair) -> Message:
        """Return the pair as one line."""
        system, turns = _turns(pair[0])
        chosen, rejected = (_turns(side)[1][0] for side in pair[1:])
        return {"conversations": turns, "system": system, "chosen": chosen, "rejected": rejected}

    def how_to_load(self, kind: str, file_name: str) -> str:
        """Return the entry for ``dataset_info.json``."""
        columns = {"messages": "conversations", "system": "system"}
        entry: Message = {"file_name": file_name, "formatting": "sharegpt", "columns": columns}
        if kind == "preferences":
            entry["ranking"] = True
            columns.update(chosen="chosen", rejected="rejected")
        return f"```json\n{json.dumps({'memloop': entry}, indent=2)}\n```"


def _turns(chat: Sequence[Message]) -> tuple[str, list[dict[str, str]]]:
    """Return the system prompt, leading system messages joined, and the other messages as turns."""
    chat = with_standard_roles(chat)
    start = next((place for place, message in enumerate(chat) if message["role"] != "system"), len(chat))
    turns: list[dict[str, str]] = []
    for message in chat[start:]:
        turn = _turn(message)
        if turns and turn["from"] == turns[-1]["from"] == "observation":
            turns[-1] = {"from": "observation", "value": f"{turns[-1]['value']}\n{turn['value']}"}
        else:
            turns.append(turn)
    return "\n\n".join(message["content"] for message in chat[:start]), turns


def _turn(message: Message) -> dict[str, str]:
    calls = [
        {"name": call["function"]["name"], "arguments": _arguments(call["function"]["arguments"])}
        for call in message.get("tool_calls", ())
    ]
    if calls:
        value = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)
        return {"from": "function_call", "value": value}
    names = {"user": "human", "tool": "observation", "assistant": "gpt"}
    return {"from": names.get(message["role"], message["role"]), "value": message["content"]}


def _arguments(text: str) -> object:
    """Return arguments as the object that the loader expects; text that is no JSON stays text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _alternation_fault(turns: Sequence[dict[str, str]]) -> str | None:
    for place, turn in enumerate(turns):
        if turn["from"] not in (_ANSWERING if place % 2 else _ASKING):
            return "roles_do_not_alternate"
    return None
