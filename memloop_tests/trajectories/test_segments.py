"""The cut: rule by rule on small streams, then the two properties on random ones that make every week safe to cut alone."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memloop_assets.trajectories.formats.reader import Event, EventKind
from memloop_assets.trajectories.segments import (
    WEEKS_AFTER,
    WEEKS_BEFORE,
    CutRules,
    cut_trajectories,
    join_sources,
)
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.trajectories.samples import NOON, WEEK, after, event

SUNDAY_NIGHT = WEEK.end - timedelta(minutes=1)
GAP = timedelta(minutes=5)


def lines(trajectories: Sequence[Trajectory]) -> list[list[int]]:
    """Return the line numbers of each trajectory."""
    return [[part.line_number for part in trajectory.events] for trajectory in trajectories]


def cut(events: Sequence[Event], week: IsoWeek = WEEK, rules: CutRules | None = None) -> list[list[int]]:
    """Return the line numbers of each trajectory that starts in a week."""
    return lines(cut_trajectories(events, week, rules))


def cut_each_week(events: Sequence[Event], rules: CutRules | None = None) -> list[list[int]]:
    """Return the line numbers of each trajectory, every week cut from nothing but its own window."""
    found: list[list[int]] = []
    for week in weeks_of(events):
        window = set(weeks_between(week.shift(-WEEKS_BEFORE), week.shift(WEEKS_AFTER)))
        found += cut([part for part in events if IsoWeek.of(part.at) in window], week, rules)
    return found


def weeks_of(events: Sequence[Event]) -> list[IsoWeek]:
    """Return every week from before the first event to after the last."""
    weeks = sorted(IsoWeek.of(part.at) for part in events)
    return list(weeks_between(weeks[0].shift(-1), weeks[-1].shift(1))) if weeks else []


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(GAP, [[1, 2]]), (GAP + timedelta(microseconds=1), [[1], [2]]), (timedelta(minutes=10), [[1], [2]])],
)
def test_without_ids_a_silence_longer_than_the_gap_ends_a_trajectory(
    silence: timedelta, expected: list[list[int]]
) -> None:
    assert cut([event("message", NOON, 1), event("message", NOON + silence, 2)]) == expected
    assert cut(
        [event("message", NOON, 1), event("message", NOON + silence, 2)], rules=CutRules(timedelta(hours=1))
    ) == [[1, 2]]


def test_without_ids_people_who_are_told_apart_are_cut_apart() -> None:
    events = [event("message", after(minute), minute + 1, user_id=("ann", "bob")[minute % 2]) for minute in range(6)]
    assert cut(events) == [[1, 3, 5], [2, 4, 6]]


def test_sessions_that_interleave_are_told_apart_by_their_ids_however_long_they_are_silent() -> None:
    events = [event("message", after(90 * place), place + 1, session_id=f"s{place % 2}") for place in range(4)]
    assert cut(events) == [[1, 3], [2, 4]]


@pytest.mark.parametrize(("extra_seconds", "expected"), [(0, [[1, 2]]), (1, [[1]])])
def test_a_session_that_is_silent_for_more_than_seven_days_is_another(
    extra_seconds: int, expected: list[list[int]]
) -> None:
    later = after(days=7, seconds=extra_seconds)
    events = [event("message", NOON, 1, session_id="s"), event("message", later, 2, session_id="s")]
    assert cut(events) == expected
    assert cut(events, WEEK.shift(1)) == ([] if expected == [[1, 2]] else [[2]])


def test_a_task_id_alone_is_a_lane_and_one_inside_a_session_is_part_of_it() -> None:
    assert cut([event("message", after(60 * hour), hour + 1, task_id="t") for hour in range(3)]) == [[1, 2, 3]]
    both = [event("message", after(hour), hour + 1, session_id=f"s{hour % 2}", task_id="t") for hour in range(4)]
    assert cut(both) == [[1, 3], [2, 4]]


def test_the_tasks_of_a_session_are_trajectories_of_their_own_even_where_they_interleave() -> None:
    tasks = ["a", "b", "a", "b", "a"]
    events = [
        event("message", after(place), place + 1, session_id="s", task_id=task) for place, task in enumerate(tasks)
    ]
    assert cut(events) == [[1, 3, 5], [2, 4]]


def test_an_event_without_a_task_joins_the_latest_task_and_a_preamble_the_first() -> None:
    tasks = [None, None, "a", None, "b", None]
    events = [
        event("message", after(place), place + 1, session_id="s", task_id=task) for place, task in enumerate(tasks)
    ]
    assert cut(events) == [[1, 2, 3, 4], [5, 6]]


OPENERS: tuple[EventKind, ...] = ("route", "message")
CLOSING: tuple[EventKind, ...] = ("outcome", "error", "tool_call", "decision")


def test_what_an_outcome_closed_before_any_task_is_no_preamble_of_the_next_task() -> None:
    events = [
        event("message", after(0), 1, session_id="s"),
        event("outcome", after(1), 2, session_id="s"),
        event("tool_call", after(2), 3, session_id="s", task_id="a"),
    ]
    assert cut(events) == [[1, 2], [3]]


@pytest.mark.parametrize("opener", OPENERS)
def test_an_outcome_closes_an_attempt_and_the_next_request_opens_another(opener: EventKind) -> None:
    events = [
        event("message", after(0), 1, session_id="s", task_id="t"),
        event("outcome", after(1), 2, session_id="s", task_id="t"),
        event(opener, after(2), 3, session_id="s", task_id="t"),
        event("message", after(3), 4, session_id="s", task_id="t", role="timmy"),
    ]
    assert cut(events) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", CLOSING)
def test_what_is_no_request_and_comes_after_the_outcome_still_belongs_to_the_attempt(kind: EventKind) -> None:
    events = [
        event("message", after(0), 1, session_id="s"),
        event("outcome", after(1), 2, session_id="s"),
        event(kind, after(60), 3, session_id="s"),
        event("message", after(61), 4, session_id="s", role="timmy"),
        event("message", after(62), 5, session_id="s"),
    ]
    assert cut(events) == [[1, 2, 3, 4], [5]]


def test_a_late_outcome_goes_to_its_own_task_and_leaves_the_running_one_the_latest() -> None:
    events = [
        event("message", after(0), 1, session_id="s", task_id="a"),
        event("message", after(1), 2, session_id="s", task_id="b"),
        event("outcome", after(2), 3, session_id="s", task_id="a"),
        event("message", after(3), 4, session_id="s", role="timmy"),
    ]
    assert cut(events) == [[1, 3], [2, 4]]


def test_an_outcome_that_names_only_the_decision_goes_to_the_task_that_was_decided() -> None:
    events = [
        event("route", after(0), 1, session_id="s", task_id="a", decision_id="d1"),
        event("route", after(1), 2, session_id="s", task_id="b", decision_id="d2"),
        event("outcome", after(2), 3, decision_id="d1"),
        event("outcome", after(3), 4, decision_id="d2"),
        event("outcome", after(4), 5, session_id="s", decision_id="d1"),
    ]
    assert cut(events) == [[1, 3, 5], [2, 4]]


def test_an_outcome_of_a_decision_crosses_the_end_of_the_week() -> None:
    events = [
        event("route", SUNDAY_NIGHT, 1, session_id="s", decision_id="d"),
        event("outcome", SUNDAY_NIGHT + timedelta(days=2), 2, decision_id="d"),
    ]
    assert cut(events) == cut_each_week(events) == [[1, 2]]


def test_an_outcome_that_comes_later_than_sessions_are_silent_is_left_alone() -> None:
    days = {1: 0.0, 2: 3.0, 3: 6.9, 4: 7.0, 5: 7.1}
    events = [event("message", after(days=day), line, session_id="s") for line, day in days.items() if line in (2, 3)]
    events.append(event("route", after(days=days[1]), 1, session_id="s", decision_id="d"))
    events += [event("outcome", after(days=days[line]), line, decision_id="d") for line in (4, 5)]
    assert (cut(events), cut(events, WEEK.shift(1))) == ([[1, 2, 3, 4]], [[5]])


def test_a_decision_that_nothing_else_names_is_a_lane_of_its_own() -> None:
    events = [
        event("route", after(0), 1, decision_id="d1"),
        event("message", after(1), 2),
        event("outcome", after(600), 3, decision_id="d1"),
        event("outcome", after(601), 4, decision_id="d2"),
    ]
    assert cut(events) == [[1, 3], [2], [4]]


def test_an_event_that_names_a_decision_before_the_session_does_joins_it_within_the_week() -> None:
    events = [
        event("route", after(0), 1, decision_id="d"),
        event("message", after(1), 2, session_id="s", decision_id="d"),
    ]
    assert cut(events) == [[1, 2]]


def test_a_trajectory_runs_on_across_midnight_files_and_the_week_it_starts_in() -> None:
    stamps = [WEEK.end + timedelta(minutes=minute) for minute in (-4, -1, 1, 4)]
    events = [event("message", at, place + 1, source_id=f"file {place // 2}") for place, at in enumerate(stamps)]
    assert cut(events) == [[1, 2, 3, 4]]
    assert cut(events, WEEK.shift(1)) == []
    midnight = [event("message", datetime(2026, 3, 18, tzinfo=UTC) + timedelta(minutes=m), m + 9) for m in (-1, 1)]
    assert cut(midnight) == [[8, 10]]


def test_the_first_moment_of_a_week_is_its_own_and_the_last_belongs_to_the_week_before() -> None:
    events = [event("message", WEEK.end - timedelta(microseconds=1), 1, user_id="a"), event("message", WEEK.end, 2)]
    assert (cut(events), cut(events, WEEK.shift(1))) == ([[1]], [[2]])


def test_a_session_over_the_end_of_a_year_of_53_weeks_belongs_to_week_53() -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    events = [event("message", new_year + timedelta(days=day), day + 5, session_id="s") for day in (-1, 0, 2, 3)]
    assert str(IsoWeek.of(events[0].at)) == "2026-W53"
    assert cut(events, IsoWeek(2026, 53)) == cut_each_week(events) == [[4, 5, 7, 8]]


def test_a_stream_that_is_never_silent_is_cut_at_the_end_of_every_week_in_which_it_did_not_start() -> None:
    events = [event("message", NOON + timedelta(days=day), day + 1, session_id="s") for day in range(30)]
    found = cut_each_week(events)
    assert list(chain.from_iterable(found)) == list(range(1, 31))
    starts = [IsoWeek.of(events[part[0] - 1].at) for part in found]
    assert starts == [WEEK, WEEK.shift(2), WEEK.shift(3), WEEK.shift(4)]


def test_the_order_in_which_events_come_does_not_matter() -> None:
    events = [event("message", after(place), place + 1, session_id=f"s{place % 3}") for place in range(9)]
    assert cut(events) == cut(list(reversed(events)))


def test_events_of_one_stamp_keep_the_order_of_their_lines() -> None:
    events = [event("message", NOON, line) for line in (3, 1, 2)]
    assert cut(events) == [[1, 2, 3]]


ids = st.none() | st.sampled_from(["a", "b"])
far_steps = st.sampled_from([0, 1, 60, 300, 301, 86_400, 3 * 86_400, 604_799, 604_800, 604_801, 8 * 86_400])
steps = st.lists(far_steps, min_size=1, max_size=25)
kinds: st.SearchStrategy[EventKind] = st.sampled_from(["message", "route", "outcome", "error"])


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Draw a stream over several weeks, in which any event may carry any id."""
    at = WEEK.start + timedelta(seconds=draw(st.sampled_from([0, 1, 86_399, 604_500, 604_799])))
    found = []
    for place, step in enumerate(draw(steps)):
        at += timedelta(seconds=step)
        named = {name: draw(ids) for name in ("session_id", "task_id", "decision_id", "user_id")}
        found.append(event(draw(kinds), at, place + 1, **named))
    return found


def _tied(tie: float, outcome: float, *spoken: float) -> list[Event]:
    """Return a session and an outcome that names only its decision, at days from the start of a week: once lost, or counted twice."""
    days = {1: tie, 2: outcome, **dict(enumerate(spoken, start=3))}
    at = {line: WEEK.start + timedelta(days=day) for line, day in days.items()}
    events = [
        event("route", at[1], 1, session_id="a", decision_id="d"),
        event("outcome", at[2], 2, decision_id="d"),
        *(event("message", at[line], line, session_id="a") for line in days if line > 2),
    ]
    return sorted(events, key=lambda part: part.at)


@given(streams(), st.sampled_from([timedelta(days=7), timedelta(hours=12), timedelta(seconds=61)]))
@settings(max_examples=200)
@example(_tied(1, 22, 20), timedelta(days=7))
@example(_tied(15, 8, 6), timedelta(days=7))
@example(_tied(6.9, 12, 15, 21.5), timedelta(days=7))
@example(_tied(1, 21.5, 28.2, 35.1), timedelta(days=7))
def test_cutting_each_week_alone_puts_every_event_into_one_trajectory_as_cutting_everything_does(
    events: list[Event], id_silence: timedelta
) -> None:
    rules = CutRules(id_silence=id_silence)
    alone = cut_each_week(events, rules)
    at = {part.line_number: part.at for part in events}
    assert Counter(chain.from_iterable(alone)) == Counter(at.keys())
    assert alone == [part for week in weeks_of(events) for part in cut(events, week, rules)]
    for part in alone:
        stamps = [at[line] for line in part]
        assert stamps == sorted(stamps)
        assert stamps[-1] < IsoWeek.of(stamps[0]).shift(1 + WEEKS_AFTER).start


def test_what_two_sources_hold_alike_happened_once_and_what_one_holds_twice_happened_twice() -> None:
    ping = [event("error", after(1), line) for line in (1, 2)]
    first = [*ping, event("error", after(2), 3)]
    second = [
        *ping,
        event("error", after(1), 3),
        event("error", after(2), 4, error="another"),
        event("error", after(3), 5),
    ]
    kept, count = join_sources([first, second])
    assert count == 2
    assert [part.line_number for part in kept] == [1, 2, 3, 3, 4, 5]
    assert join_sources([first, first, first]) == (first, 6)
    assert join_sources([]) == ([], 0)


@pytest.mark.parametrize(
    "other", [{"session_id": "s"}, {"task_id": "t"}, {"user_id": "u"}, {"decision_id": "d"}, {"extra": {"a": 1}}]
)
def test_events_that_differ_in_anything_that_was_logged_are_two(other: dict[str, object]) -> None:
    assert join_sources([[event("error", NOON)], [event("error", NOON, 1, **other)]])[1] == 0


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=4))
def test_joining_sources_keeps_of_each_event_as_many_as_the_source_that_holds_most(sources: list[list[int]]) -> None:
    kept, count = join_sources([[event("error", after(minute)) for minute in source] for source in sources])
    most: Counter[datetime] = Counter()
    for source in sources:
        most |= Counter(after(minute) for minute in source)
    assert Counter(part.at for part in kept) == most
    assert count + len(kept) == sum(map(len, sources))
