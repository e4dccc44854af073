"""Joining calls into attempts: what holds for every format of calls, and that logs of events pass through untouched."""

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.trajectories.calls import join_calls
from memloop_assets.trajectories.formats.openai_chat import OpenAIChatReader
from memloop_assets.trajectories.formats.reader import Event
from memloop_tests.trajectories.chat_samples import chat_call, said
from memloop_tests.trajectories.samples import NOON, after, as_lines, event, read_all


def events_of(log: list[dict[str, object]]) -> list[Event]:
    """Return what the lines of a gateway's log say, each by itself."""
    return [e for found in read_all(OpenAIChatReader(), as_lines(log)) if isinstance(found, list) for e in found]


def test_events_of_a_log_of_events_are_the_very_same() -> None:
    events = [event("message", after(1)), event("outcome", NOON), event("outcome", NOON)]
    joined, dropped = join_calls(events)
    assert [id(e) for e in joined] == [id(e) for e in events]
    assert dropped == []


def test_what_is_joined_is_not_changed_in_place() -> None:
    events = events_of([chat_call("c1", session_id="s"), chat_call("c2", session_id="s", at=after(1))])
    before = [(e.kind, dict(e.payload), json.dumps(e.extra), e.task_id) for e in events]
    assert join_calls(events) == join_calls(events)
    assert [(e.kind, dict(e.payload), json.dumps(e.extra), e.task_id) for e in events] == before


def test_a_turn_ends_with_a_day_of_silence() -> None:
    asks, more = said("user", "One?"), said("tool", "late", tool_call_id="k")
    for days, outcomes in ((0.9, 1), (1.1, 2)):
        log = [
            chat_call("c1", [asks], session_id="s"),
            chat_call("c2", [asks, said("assistant", "It is in transit."), more], at=after(days=days), session_id="s"),
        ]
        joined, _ = join_calls(events_of(log))
        assert sum(e.kind == "outcome" for e in joined) == outcomes


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["s1", "s2"]), st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.booleans()
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_session_holds_each_of_its_messages_once_whatever_calls_it_was_made_of(
    calls: list[tuple[str, list[str], bool]],
) -> None:
    sessions: dict[str, list[dict[str, object]]] = {}
    log = []
    for number, (session, texts, is_retried) in enumerate(calls):
        held = sessions.setdefault(session, [])
        held += [said("user", text) for text in texts]
        answer = said("assistant", f"answer {number}")
        line = chat_call(f"c{number}", list(held), answer, NOON + timedelta(seconds=10 * number), session_id=session)
        log += [line, line] if is_retried else [line]
        held.append(answer)
    joined, dropped = join_calls(events_of(log))
    for session, held in sessions.items():
        told = [e.payload["content"] for e in joined if e.session_id == session and e.kind == "message"]
        assert told == [message["content"] for message in held]
    events = events_of(log)
    kinds = [sum(e.kind == "message" for e in some) for some in (events, joined, dropped)]
    assert kinds[0] == kinds[1] + kinds[2]
    spent = sum(float(str(e.payload["cost_usd"])) for e in joined if e.kind == "outcome")
    assert abs(spent - 0.001 * len(calls)) < 1e-9
