"""The trajectory as a value: what its events add up to, its identity, and how it reads as a chat."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.tasks import task_key
from memloop_assets.trajectories.formats.native import NativeReader
from memloop_assets.trajectories.formats.reader import Event
from memloop_assets.trajectories.trajectory import Trajectory, chat_role, in_order, text_of, to_chat_format
from memloop_tests.trajectories.samples import NOON, after, as_lines, event, logged, read_all

NOTHING = {"success": None, "reward": None, "label_source": None}


def outcome_of(*facts: dict[str, object]) -> Trajectory:
    """Return a trajectory with one outcome event for each set of facts."""
    return Trajectory([event("outcome", after(place), place + 1, **{**NOTHING, **f}) for place, f in enumerate(facts)])


def test_a_trajectory_counts_what_it_is_made_of() -> None:
    whole = Trajectory(
        [
            event("message", after(0), role="system", content="Be kind."),
            event("message", after(1), content="  "),
            event("message", after(2), content="Where is it?", session_id="s1"),
            event(
                "message", after(3), role="timmy", content="I look.", confidence=0.9, tool_calls=[{"id": 1}, {"id": 2}]
            ),
            event("tool_call", after(4), user_id="u1"),
            event("message", after(5), role="tool", content="here"),
            event("message", after(6), role="bot", content="Here.", confidence=0.4),
            event("error", after(7)),
            event("decision", after(8)),
        ]
    )
    assert (whole.message_count, whole.user_message_count, whole.assistant_message_count) == (6, 2, 2)
    assert (whole.tool_call_count, whole.error_count, whole.decision_count) == (3, 1, 1)
    assert (whole.has_successful_tool_call, whole.is_multi_step, whole.agent_confidence) == (False, True, 0.4)
    assert (whole.task_text, whole.task_key) == ("Where is it?", task_key("where is  IT?"))
    assert (whole.started_at, whole.ended_at, whole.session_date) == (after(0), after(8), "2026-03-17")
    assert (whole.first_id("session_id"), whole.first_id("user_id"), whole.first_id("task_id")) == ("s1", "u1", None)
    assert whole.messages[1]["seq"] == 1
    assert whole.messages[0]["at"] == after(0).isoformat()


def test_without_a_user_message_there_is_no_task_text() -> None:
    assert Trajectory([event("message", NOON, role="timmy")]).task_text == ""


def test_the_arms_are_the_distinct_ones_in_the_order_of_their_routes() -> None:
    routes = [event("route", after(place), arm=arm) for place, arm in enumerate("bab")]
    assert Trajectory(routes).arms == ("b", "a")


@pytest.mark.parametrize(
    ("facts", "reward", "is_known_failure"),
    [
        ([], None, False),
        ([{}], None, False),
        ([{"success": True}], 1.0, False),
        ([{"success": False}], 0.0, True),
        ([{"reward": 0.0}], 0.0, True),
        ([{"reward": 0.49}], 0.49, True),
        ([{"reward": 0.5}], 0.5, False),
        ([{"success": True, "reward": 0.2}], 0.2, False),
        ([{"success": False, "reward": 0.8}], 0.8, True),
        ([{"reward": 0.3}, {"reward": 0.9}], 0.9, False),
        ([{"success": True, "reward": 1.0}, {"success": False}], 0.0, True),  # the person corrects the checker
        ([{"success": False}, {"reward": 0.9}], 0.9, False),
        ([{"success": False}, {"cost_usd": 0.1}], 0.0, True),
    ],
)
def test_the_last_verdict_is_the_reward(
    facts: list[dict[str, object]], reward: float | None, *, is_known_failure: bool
) -> None:
    found = outcome_of(*facts) if facts else Trajectory([event("message", NOON)])
    assert (found.reward, found.is_known_failure) == (reward, is_known_failure)


def test_outcomes_are_merged_and_a_later_value_wins_over_an_earlier_one() -> None:
    merged = outcome_of(
        {"success": True, "reward": 1.0, "label_source": "checker", "cost_usd": 0.1},
        {"latency_ms": 900.0, "cost_usd": 0.2},
        {"success": False, "label_source": "user"},
    ).outcome
    assert merged == {"success": False, "label_source": "user", "latency_ms": 900.0, "cost_usd": 0.2}


def test_its_identity_does_not_depend_on_where_it_was_read() -> None:
    events = [event("message", after(place), place + 1, session_id="s") for place in range(2)]
    moved = [replace(part, source_id="other", line_number=part.line_number + 7, ordinal=3) for part in events]
    assert Trajectory(moved).trajectory_id == Trajectory(events).trajectory_id


def test_its_identity_does_not_depend_on_how_the_log_spelled_it() -> None:
    line = logged("message", mood={"a": 1, "b": 2}, session_id=7)
    spelled = {**dict(reversed(list(line.items()))), "mood": {"b": 2, "a": 1}, "session_id": "7"}
    other_stamp = {**spelled, "timestamp": "2026-03-17T13:00:00+01:00"}
    ids = set()
    for spelling in (line, spelled, other_stamp):
        (said,) = read_all(NativeReader(), as_lines([json.dumps(spelling, indent=None, ensure_ascii=False).encode()]))
        assert isinstance(said, list)
        ids.add(Trajectory(said).trajectory_id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"at": after(seconds=1)},
        {"session_id": "s"},
        {"task_id": "t"},
        {"user_id": "u"},
        {"decision_id": "d"},
        {"payload": {"role": "user", "content": "Where is my parcel"}},
        {"extra": {"mood": "fine"}},
        {"kind": "error"},
    ],
)
def test_its_identity_depends_on_all_that_was_logged(change: dict[str, object]) -> None:
    one = event("message", NOON)
    assert Trajectory([one]).trajectory_id != Trajectory([replace(one, **change)]).trajectory_id  # type: ignore[arg-type]


@given(st.permutations(range(6)))
def test_events_are_put_in_the_order_of_time_then_of_their_place(order: list[int]) -> None:
    events = [
        event("message", NOON, 1, source_id="a", ordinal=0),
        event("message", NOON, 1, source_id="a", ordinal=1),
        event("message", NOON, 2, source_id="a"),
        event("message", NOON, 1, source_id="b"),
        event("message", after(1), 1, source_id="a"),
        event("message", after(2), 1, source_id="a"),
    ]
    assert in_order([events[place] for place in order]) == events


def test_as_a_chat_messages_and_tool_calls_come_in_time_order_and_any_name_is_the_assistants() -> None:
    events = [
        event("message", after(0), content="Where?"),
        event("tool_call", after(1), tool="track", result={"b": 1, "a": [2]}),
        event("message", after(2), role="timmy", content=""),
        event("tool_call", after(3), result=None),
        event("message", after(4), role="timmy", content="There."),
        event("message", after(5), role=" User ", content=[{"type": "text", "text": "Thank"}, {"text": "you"}]),
    ]
    whole = Trajectory(events)
    assert to_chat_format(whole.messages, whole.tool_calls) == [
        {"role": "user", "content": "Where?"},
        {"role": "tool", "name": "track", "content": '{"a":[2],"b":1}'},
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": "Thank\nyou"},
    ]


def test_as_a_chat_a_message_with_tool_calls_of_its_own_is_kept_though_it_says_nothing() -> None:
    call = [{"id": "c1", "function": {"name": "track", "arguments": "{}"}}]
    events = [
        event("message", after(0), role="assistant", content=None, tool_calls=call),
        event("message", after(1), role="tool", content="here", tool_call_id="c1", name="track"),
        event("message", after(2), role="assistant", content=None, tool_calls=[]),
    ]
    assert to_chat_format(Trajectory(events).messages, []) == [
        {"role": "assistant", "content": "", "tool_calls": call},
        {"role": "tool", "content": "here", "tool_call_id": "c1", "name": "track"},
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        (" \n", ""),
        (" a ", " a "),
        ([{"text": "a"}, {"text": "b"}], "a\nb"),
        ([{"text": "a"}, {"image": 1}], '[{"text":"a"},{"image":1}]'),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        (7, "7"),
        (False, "false"),
    ],
)
def test_content_of_any_shape_is_text(content: object, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize("role", ["user", "SYSTEM", " tool", "developer", "assistant"])
def test_standard_roles_keep_their_name(role: str) -> None:
    assert chat_role(role) == role.strip().lower()


def test_a_trajectory_never_changes_its_events() -> None:
    events: list[Event] = [event("message", NOON)]
    whole = Trajectory(events)
    assert whole.messages[0] is not events[0].payload
    assert "seq" not in events[0].payload
