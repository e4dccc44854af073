"""Cutting a stream of events into trajectories: by ids where they are logged, by silence where they are not.

The rules are local on purpose: which trajectories start in a week depends on the events of that week, the three before and the one
after, and on nothing else, so that any week can be cut alone and gives what it gives within a range.

1. A *lane* is what can be told apart: a session id, else a task id, else (decision id given) the lane of that decision, else the stream
   and user. The lane of a decision is that of the latest event with a session or task that named it within ``id_silence`` before, else
   of the first that names it later in the same week, else its own.
2. A lane's *run* ends with silence: ``silence_gap`` in a lane without ids, ``id_silence`` (at most seven days) in one with. A lane that
   is never silent is cut at the end of every week in which no run of it started.
3. Within a run each task id has its own trajectory; events without one join that of their decision, else the latest. An outcome closes
   an attempt: the next user or system message or route of that task opens a new one.
4. An event that several sources of a stream hold alike happened once: a file that was rewritten, or an export that overlaps another.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from memloop_assets.trajectories.formats.reader import Event, Origin, canonical_json
from memloop_assets.trajectories.trajectory import Trajectory, in_order
from memloop_assets.weeks import IsoWeek

WEEKS_BEFORE = 3
WEEKS_AFTER = 1

Lane = tuple[str, str]
Ties = Sequence[tuple[datetime, Lane]]


@dataclass(frozen=True, slots=True)
class CutRules:
    """How long a silence must be to end a trajectory."""

    silence_gap: timedelta = timedelta(minutes=5)
    id_silence: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Lanes:
    """The events of one stretch of a stream, in the order of time, told apart by lane.

    ``named`` holds those whose lane follows from themselves, ``decided`` those that only their decision id ties to one, by that id, and
    ``ties`` when which lane named a decision; ``has_calls`` says whether calls tie any of them together.
    """

    named: Mapping[Lane, list[Event]]
    decided: Mapping[str, list[Event]]
    ties: Mapping[str, Ties]
    has_calls: bool

    @property
    def events(self) -> Iterator[Event]:
        """Yield every event."""
        for events in (*self.named.values(), *self.decided.values()):
            yield from events


def sort_lanes(events: Iterable[Event]) -> Lanes:
    """Return events, given in any order, told apart by lane."""
    named: dict[Lane, list[Event]] = {}
    decided: dict[str, list[Event]] = {}
    ties: dict[str, list[tuple[datetime, Lane]]] = {}
    has_calls = False
    for event in in_order(list(events)):
        has_calls |= event.call is not None
        lane = _named_lane(event)
        if event.decision_id is not None and lane is None:
            decided.setdefault(event.decision_id, []).append(event)
            continue
        if event.decision_id is not None and lane is not None:
            ties.setdefault(event.decision_id, []).append((event.at, lane))
        lane = lane or ("silence", event.user_id or "")
        if lane in named:
            named[lane].append(event)
        else:
            named[lane] = [event]
    return Lanes(named, decided, ties, has_calls)


def cut_trajectories(
    events: Iterable[Event], week: IsoWeek, rules: CutRules | None = None, origin: Origin = "live"
) -> list[Trajectory]:
    """Return the trajectories of one stream that start in a week, in the order of their start.

    ``events`` holds everything of the stream from three weeks before to one week after, in any order.
    """
    return [Trajectory(attempt, origin) for attempt in cut_attempts([sort_lanes(events)], week, rules)]


def cut_attempts(stretches: Sequence[Lanes], week: IsoWeek, rules: CutRules | None = None) -> list[list[Event]]:
    """Return the events of each trajectory of one stream that starts in a week, in the order of their start.

    ``stretches`` hold everything of the stream from three weeks before to one week after, one after the other in time.
    """
    rules = rules or CutRules()
    start, end = week.start, week.end
    tied = _tied_events(stretches, rules.id_silence)
    lanes = dict.fromkeys(
        lane for lanes in (*(s.named for s in stretches), tied) for lane, es in lanes.items() if _touch(es, start, end)
    )
    found = []
    for lane in lanes:
        lane_events = [event for stretch in stretches for event in stretch.named.get(lane, ())]
        if lane in tied:
            lane_events = in_order([*lane_events, *tied[lane]])
        gap = rules.silence_gap if lane[0] == "silence" else rules.id_silence
        for run in _runs(lane_events, gap):
            if _touch(run, start, end):
                found += [attempt for attempt in _attempts(run) if start <= attempt[0].at < end]
    found.sort(key=lambda attempt: (attempt[0].at, attempt[0].source_id, attempt[0].line_number, attempt[0].ordinal))
    return found


def _touch(ordered: Sequence[Event], start: datetime, end: datetime) -> bool:
    """Tell whether any of some events, given in order, lies between two moments."""
    if ordered[-1].at < start or ordered[0].at >= end:
        return False
    return ordered[0].at >= start or any(start <= event.at < end for event in ordered)


def _tied_events(stretches: Sequence[Lanes], reach: timedelta) -> dict[Lane, list[Event]]:
    """Return the events that only their decision ties to a lane, by that lane, in order."""
    tied: dict[Lane, list[Event]] = {}
    for decision_id in dict.fromkeys(name for stretch in stretches for name in stretch.decided):
        ties = [tie for stretch in stretches for tie in stretch.ties.get(decision_id, ())]
        for stretch in stretches:
            for event in stretch.decided.get(decision_id, ()):
                lane = _tied_lane(event.at, ties, reach) or ("decision", decision_id)
                tied.setdefault(lane, []).append(event)
    return {lane: in_order(events) for lane, events in tied.items()}


def join_sources(sources: Sequence[Sequence[Event]]) -> tuple[list[Event], int]:
    """Return the events of a stream's sources without those that an earlier source holds alike (rule 4), and how many these are.

    Two equal lines of one source are two events.
    """
    if not _overlap(sources):
        return [event for events in sources for event in events], 0
    places: dict[tuple[str, datetime], set[int]] = {}
    for number, events in enumerate(sources):
        for event in events:
            places.setdefault((event.kind, event.at), set()).add(number)
    kept: list[Event] = []
    held: Counter[tuple[object, ...]] = Counter()
    for events in sources:
        own: Counter[tuple[object, ...]] = Counter()
        for event in events:
            if len(places[event.kind, event.at]) > 1:
                content = _content(event)
                own[content] += 1
                if own[content] <= held[content]:
                    continue
            kept.append(event)
        held |= own
    return kept, sum(map(len, sources)) - len(kept)


def _overlap(sources: Sequence[Sequence[Event]]) -> bool:
    """Tell whether any two sources hold events of one stretch of time; most logs begin where the one before ended."""
    ends = sorted((min(e.at for e in events), max(e.at for e in events)) for events in sources if events)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(ends))


def _content(event: Event) -> tuple[object, ...]:
    ids = (event.session_id, event.task_id, event.user_id, event.decision_id)
    return (event.kind, event.at, *ids, canonical_json(event.said()))


def _named_lane(event: Event) -> Lane | None:
    """Return the lane that an event's own session or task id names."""
    if event.session_id is not None:
        return ("session", event.session_id)
    return ("task", event.task_id) if event.task_id is not None else None


def _tied_lane(at: datetime, ties: Ties, reach: timedelta) -> Lane | None:
    """Return the lane to which a decision is tied at a moment: nothing further than the cut of any week can see."""
    later = bisect_right(ties, at, key=lambda tie: tie[0])
    if later and at - ties[later - 1][0] <= reach:
        return ties[later - 1][1]
    if later < len(ties) and _week_number(ties[later][0]) == _week_number(at):
        return ties[later][1]
    return None


def _runs(events: Sequence[Event], gap: timedelta) -> Iterable[Sequence[Event]]:
    """Yield a lane's runs: maximal stretches without silence, cut at week ends where rule 2 says so."""
    if events[-1].at - events[0].at <= gap and _week_number(events[0].at) == _week_number(events[-1].at):
        yield events
        return
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
    by_decision: dict[str | None, list[Event]] = {}
    closed: set[int] = set()
    for event in run:
        decided = by_decision.get(event.decision_id) if event.task_id is None else None
        attempt = decided if decided is not None else _attempt_for(event, attempts, by_task)
        if attempt is not None and id(attempt) in closed and _opens_attempt(event):
            attempt = None
        if attempt is None:
            attempt = []
            attempts.append(attempt)
        attempt.append(event)
        if event.task_id is not None:
            by_task[event.task_id] = attempt
        if event.decision_id is not None:
            by_decision[event.decision_id] = attempt
        if event.kind == "outcome":
            closed.add(id(attempt))
        if event.kind != "outcome" or None not in by_task:
            by_task[None] = attempt  # an outcome that comes late does not make its attempt the latest again
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
