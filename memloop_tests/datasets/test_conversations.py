"""Conversations for trainers: calls keep their arguments, prompts end with the user, completions with the assistant."""

import json

import pytest

from memloop_assets.datasets.conversations import (
    is_same_prompt,
    split_prompt,
    to_training_chat,
    trim_to_last_answer,
)

Spoken = dict[str, object]


def said(*lines: str) -> list[Spoken]:
    """Return messages written as ``role: content``."""
    return [dict(zip(("role", "content"), line.split(": ", 1), strict=True)) for line in lines]


def roles(chat: list[Spoken]) -> str:
    return " ".join(str(message["role"]) for message in chat)


def test_a_tool_call_event_becomes_a_call_with_its_arguments_and_its_answer() -> None:
    messages = [{"role": "user", "content": "Where is it?", "seq": 0}, {"role": "Ada", "content": "There.", "seq": 2}]
    chat = to_training_chat(messages, [{"tool": "find", "args": {"b": 1, "a": "ü"}, "result": {"at": 7}, "seq": 1}])
    assert roles(chat) == "user assistant tool assistant"
    (call,) = chat[1]["tool_calls"]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"a":"ü","b":1}'}}
    assert chat[2] == {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": '{"at":7}'}


def test_a_call_without_a_result_is_still_answered() -> None:
    chat = to_training_chat([], [{"tool": "find", "args": None, "result": None, "seq": 0}])
    assert chat[0]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert chat[1]["content"] == ""


@pytest.mark.parametrize(
    ("logged", "arguments"), [('{"x": 1}', '{"x": 1}'), ({"x": 1}, '{"x":1}'), (None, "{}"), ([1], "[1]")]
)
def test_arguments_are_always_a_string_of_json(logged: object, arguments: str) -> None:
    calls = [{"id": "c9", "function": {"name": "find", "arguments": logged}}]
    (message,) = to_training_chat([{"role": "assistant", "content": None, "tool_calls": calls, "seq": 0}], [])
    assert message["content"] == ""
    assert message["tool_calls"] == [
        {"id": "c9", "type": "function", "function": {"name": "find", "arguments": arguments}}
    ]
    json.loads(message["tool_calls"][0]["function"]["arguments"])


def test_messages_that_say_and_call_nothing_are_dropped() -> None:
    messages = [{"role": role, "content": " ", "seq": seq} for seq, role in enumerate(("user", "assistant", "tool"))]
    assert to_training_chat(messages, []) == []


@pytest.mark.parametrize(
    ("chat", "length"), [(["user: a"], 0), (["user: a", "assistant: b", "user: c", "tool: d"], 2), ([], 0)]
)
def test_what_follows_the_last_answer_is_trimmed(chat: list[str], length: int) -> None:
    assert trim_to_last_answer(said(*chat)) == said(*chat[:length])


@pytest.mark.parametrize(
    ("chat", "prompt", "completion"),
    [
        ("user assistant", "user", "assistant"),
        ("system user user assistant user", "system user user", "assistant"),
        ("assistant user assistant user assistant user", "assistant user", "assistant user assistant"),
        ("system assistant", "", ""),
        ("user user", "user user", ""),
        ("", "", ""),
    ],
)
def test_the_prompt_ends_with_the_first_run_of_user_messages(chat: str, prompt: str, completion: str) -> None:
    before, after = split_prompt(said(*(f"{role}: {place}" for place, role in enumerate(chat.split()))))
    assert (roles(before), roles(after)) == (prompt, completion)


def test_prompts_are_the_same_under_the_normalisation_of_tasks_and_not_otherwise() -> None:
    prompt = said("system: Be kind.", "user: Cancel  MY order")
    assert is_same_prompt(prompt, said("system: be kind.", "user: cancel my order "))
    assert not is_same_prompt(prompt, said("system: Be rude.", "user: Cancel my order"))
    assert not is_same_prompt(prompt, prompt[1:])
