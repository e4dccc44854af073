"""Cutting a stream of events into trajectories: by ids where they are logged, by silence where they are not.

The rules are local on purpose: which trajectories start in a week depends on the events of that week, the two before and the one after,
and on nothing else, so that any week can be cut alone and gives what it gives within a range.

1. A *lane* is what can be told apart: a session id, else a task id, else (decision id given) the lane of that decision, else the stream
   and user.
2. A lane's *run* ends with silence: ``silence_gap`` in a lane without ids, ``id_silence`` (at most seven days) in one with. A lane that
   is never silent is cut at the end of every week in which no run of it started.
3. Within a run each task id has its own trajectory; events without one join the latest. An outcome closes an attempt: the next user or
   system message or route of that task opens a new one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memloop_assets.trajectories.formats.reader import Event, Origin
from memloop_assets.trajectories.trajectory import Trajectory, in_order
from memloop_assets.weeks import IsoWeek

WEEKS_BEFORE = 2
WEEKS_AFTER = 1

Lane = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CutRules:
    """How long a silence must be to end a trajectory."""

    silence_gap: timedelta = timedelta(minutes=5)
    id_silence: timedelta = timedelta(days=7)


def cut_trajectories(
    events: Iterable[Event], week: IsoWeek, rules: CutRules | None = None, origin: Origin = "live"
) -> list[Trajectory]:
    """Return the trajectories of one stream that start in a week, in the order of their start.

    ``events`` holds everything of the stream from two weeks before to one week after, in any order.
    """
    rules = rules or CutRules()
    lanes: dict[Lane, list[Event]] = {}
    ordered = in_order(list(events))
    decisions = _lanes_of_decisions(ordered)
    for event in ordered:
        lanes.setdefault(_lane_of(event, decisions), []).append(event)
    found = []
    for (kind, _), lane_events in lanes.items():
        gap = rules.silence_gap if kind == "silence" else rules.id_silence
        for run in _runs(lane_events, gap):
            found += [attempt for attempt in _attempts(run) if IsoWeek.of(attempt[0].at) == week]
    found.sort(key=lambda attempt: (attempt[0].at, attempt[0].source_id, attempt[0].line_number, attempt[0].ordinal))
    return [Trajectory(attempt, origin=origin) for attempt in found]


def _lane_of(event: Event, decisions: dict[str, Lane]) -> Lane:
    if event.session_id is not None:
        return ("session", event.session_id)
    if event.task_id is not None:
        return ("task", event.task_id)
    if event.decision_id is not None:
        return decisions.get(event.decision_id, ("decision", event.decision_id))
    return ("silence", event.user_id or "")


def _lanes_of_decisions(events: Sequence[Event]) -> dict[str, Lane]:
    """Return the lane of every decision id that some event ties to a session or task."""
    return {
        event.decision_id: _lane_of(event, {})
        for event in reversed(events)
        if event.decision_id is not None and (event.session_id is not None or event.task_id is not None)
    }


def _runs(events: Sequence[Event], gap: timedelta) -> Iterable[list[Event]]:
    """Yield a lane's runs: maximal stretches without silence, cut at week ends where rule 2 says so."""
    run: list[Event] = []
    week_of_last_start: int | None = None
    for event in events:
        number = _week_number(event.at)
        is_after_silence = not run or event.at - run[-1].at > gap
        is_cut_by_week = bool(run) and number != (last := _week_number(run[-1].at)) and week_of_last_start != last
        if is_after_silence:
            week_of_last_start = number
        if run and (is_after_silence or is_cut_by_week):
            yield run
            run = []
        run.append(event)
    if run:
        yield run


def _attempts(run: Sequence[Event]) -> list[list[Event]]:
    """Return the trajectories of one run, in the order of their start."""
    attempts: list[list[Event]] = []
    by_task: dict[str | None, list[Event]] = {}
    closed: set[int] = set()
    for event in run:
        attempt = _attempt_for(event, attempts, by_task)
        if attempt is not None and id(attempt) in closed and _opens_attempt(event):
            attempt = None
        if attempt is None:
            attempt = []
            attempts.append(attempt)
        attempt.append(event)
        if event.task_id is not None:
            by_task[event.task_id] = attempt
        by_task[None] = attempt
        if event.kind == "outcome":
            closed.add(id(attempt))
    return attempts


def _attempt_for(
    event: Event, attempts: Sequence[list[Event]], by_task: dict[str | None, list[Event]]
) -> list[Event] | None:
    """Return the open attempt an event belongs to: its task's, or for an event without a task the latest, or a preamble without one."""
    if event.task_id is None or event.task_id in by_task:
        return by_task.get(event.task_id)
    latest = attempts[-1] if attempts else None
    is_preamble = latest is not None and all(e.task_id is None and e.kind != "outcome" for e in latest)
    return latest if is_preamble else None


def _opens_attempt(event: Event) -> bool:
    return event.kind == "route" or (event.kind == "message" and event.payload["role"] in ("user", "system"))


def _week_number(moment: datetime) -> int:
    """Return the running number of the ISO week of a UTC stamp."""
    return (moment.toordinal() - 1) // 7
