"""From logged model calls to the events of attempts, for formats that log calls: each message once, usage once, one outcome an attempt.

A call's line repeats the history of its session, several lines may hold one message, and an attempt takes many calls. The readers say
what each line says; here the lines of a session are seen together. Events that no call ties together pass through untouched.

1. What other lines repeat (same ``repeat_key``) is one event, the first. Of several usages of one call the last largest counts.
2. History: a call's messages up to the last assistant message that the session already holds are known, and so are those after it that
   continue the session in the same way. The rest is new.
3. Lines that hold parts of one message become one message. A tool call that an assistant message names is that one.
4. A *turn* starts with a call that brings a new user message, after a day of silence, or with a trace that shares no message with its
   session. A turn's first
   route to each arm is kept, and its outcomes are added up into one at its end: tokens, cost and latency (null where a call lacks one).
   Failed calls may lack what they did not use.
5. Notes (bookkeeping, spans that sum up others) go to the ``extra`` of a neighbour in their session and trace, or without a session in
   their file; alone they stand for themselves.

What is dropped leaves the fields that only it had in the ``extra`` of what is kept.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from memloop_assets.trajectories.formats.chat import UNKNOWN_OUTCOME, is_amount
from memloop_assets.trajectories.formats.reader import CallPart, Event
from memloop_assets.trajectories.trajectory import in_order

_FOLDED = "folded"
_TURN_SILENCE = timedelta(days=1)
_ADDED_UP = ("cost_usd", "latency_ms", "input_tokens", "output_tokens")


@dataclass(slots=True)
class _Unit:
    """The new events of one call on one line, and whether it also repeated what was said before in its session."""

    events: list[Event]
    shares_history: bool


def join_calls(events: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """Return a stream's events with its calls joined into attempts, and the events that were only repeats of others."""
    if all(event.call is None for event in events):
        return list(events), []
    kept: list[Event] = []
    dropped: list[Event] = []
    lanes: dict[str | None, list[Event]] = {}
    for event in _without_repeats(in_order(events), dropped):
        if event.call is None:
            kept.append(event)
        else:
            lanes.setdefault(event.session_id or event.task_id, []).append(event)
    homeless = lanes.pop(None, [])
    for lane in lanes.values():
        kept += _join_lane(lane, dropped)
    by_source: dict[str, list[Event]] = {}
    for event in in_order(kept):
        by_source.setdefault(event.source_id, []).append(event)
    notes = [event for event in homeless if _part(event).is_note and event.source_id in by_source]
    for note in notes:
        _fold_note(by_source[note.source_id], note)
    taken = set(map(id, notes))
    kept += _join_lane([event for event in homeless if id(event) not in taken], dropped)
    return in_order(kept), dropped


def _join_lane(lane: Sequence[Event], dropped: list[Event]) -> list[Event]:
    traces = {event.task_id for event in lane if not _part(event).is_note}
    notes = [event for event in lane if _part(event).is_note and event.task_id in traces]
    taken = set(map(id, notes))
    calls = _join_partial([event for event in lane if id(event) not in taken])
    units = _without_history(_without_named_tools(calls), dropped)
    found = in_order([event for turn in _turns(units) for event in _add_up(turn)])
    for note in notes:
        _fold_note(found, note)
    return found


def _part(event: Event) -> CallPart:
    return event.call or CallPart("")


def _fold(kept: Event, gone: Event, *, is_payload_new: bool = False) -> None:
    """Keep in an event's extra what only a dropped one had: its line number and fields, and its payload where that is said nowhere else."""
    new = {name: value for name, value in gone.extra.items() if kept.extra.get(name) != value}
    if is_payload_new:
        new = {**new, gone.kind: gone.payload}
    if new:
        folded = kept.extra.get(_FOLDED)
        kept.extra = {**kept.extra, _FOLDED: [*(folded if isinstance(folded, list) else []), [gone.line_number, new]]}


def _fold_note(events: Sequence[Event], note: Event) -> None:
    """Fold a note into the last event before it, or the first of all."""
    place = bisect_right(events, note.at, key=lambda event: event.at)
    _fold(events[max(place - 1, 0)], note, is_payload_new=any(value is not None for value in note.payload.values()))


def _without_repeats(events: Iterable[Event], dropped: list[Event]) -> list[Event]:
    """Return copies of the events, of those with the same repeat key the first alone (rule 1)."""
    seen: dict[str, Event] = {}
    kept = []
    for event in events:
        key = _part(event).repeat_key
        if key is not None and key in seen:
            _fold(seen[key], event)
            dropped.append(event)
            continue
        copy = replace(event)
        kept.append(copy)
        if key is not None:
            seen[key] = copy
    return kept


def _join_partial(events: Sequence[Event]) -> list[Event]:
    """Return the events with the messages of one call, where these may be parts of it, joined into its first (rule 3)."""
    firsts: dict[str, Event] = {}
    texts: dict[str, list[str]] = {}
    kept = []
    for event in events:
        part = _part(event)
        if event.kind != "message" or not part.is_partial:
            kept.append(event)
            continue
        first = firsts.setdefault(part.call_id, event)
        said = texts.setdefault(part.call_id, [])
        text = event.payload["content"]
        if isinstance(text, str) and said and text.startswith(said[-1]):
            said[-1] = text
        elif isinstance(text, str) and text not in said:
            said.append(text)
        calls = {_call_key(call): call for one in (first, event) for call in _named_calls(one)}
        named = {"tool_calls": list(calls.values())} if calls else {}
        first.payload = {**first.payload, "content": "\n".join(said) or None, **named}
        if first is event:
            kept.append(event)
        else:
            _fold(first, event)
    return kept


def _named_calls(event: Event) -> list[object]:
    calls = event.payload.get("tool_calls") if event.kind == "message" else None
    return calls if isinstance(calls, list) else []


def _call_key(call: object) -> str:
    return str(call.get("id") if isinstance(call, dict) else call)


def _without_named_tools(events: Sequence[Event]) -> list[Event]:
    """Return the events without tool calls that an assistant message names by their id (rule 3)."""
    naming: dict[str, Event] = {}
    for event in events:
        for call in _named_calls(event):
            naming.setdefault(_call_key(call), event)
    kept = []
    for event in events:
        named = naming.get(_part(event).tool_call_id or "")
        if named is None:
            kept.append(event)
        else:
            _fold(named, event, is_payload_new=True)
    return kept


def _without_history(events: Sequence[Event], dropped: list[Event]) -> list[_Unit]:
    """Return the calls in the order in which they start, without the messages that the session holds already (rule 2)."""
    units: dict[tuple[str, int, str], list[Event]] = {}
    for event in events:
        units.setdefault((event.source_id, event.line_number, _part(event).call_id), []).append(event)
    session = _Session([], {}, {})
    found = []
    for unit in units.values():
        unit.sort(key=lambda event: event.ordinal)
        messages = [event for event in unit if event.kind == "message" and _part(event).message_key is not None]
        asked = [event for event in messages if not _part(event).is_answer]
        known = session.known(asked)
        for event, same in zip(asked, known, strict=False):
            _fold(same, event)
            dropped.append(event)
        old = set(map(id, asked[: len(known)]))
        fresh = [event for event in unit if id(event) not in old]
        for event in messages:
            if id(event) not in old:
                session.hold(event)
        found.append(_Unit(fresh, any(same.payload["role"] not in ("system", "developer") for same in known)))
    return [unit for unit in found if unit.events]


@dataclass(slots=True)
class _Session:
    """The messages that a session holds, in order, and where each message was said first and last."""

    held: list[Event]
    first: dict[str | None, int]
    last: dict[str | None, int]

    def hold(self, event: Event) -> None:
        """Add a new message."""
        key = _part(event).message_key
        self.first.setdefault(key, len(self.held))
        self.last[key] = len(self.held)
        self.held.append(event)

    def known(self, asked: Sequence[Event]) -> list[Event]:
        """Return, for the leading messages of a call that are history, what the session holds for them."""
        keys = [_part(event).message_key for event in asked]
        start, place = 0, 0
        for number in range(len(asked) - 1, -1, -1):
            if asked[number].payload["role"] == "assistant" and keys[number] in self.last:
                start, place = number + 1, self.last[keys[number]] + 1
                break
        while start < len(keys) and place < len(self.held) and keys[start] == _part(self.held[place]).message_key:
            start, place = start + 1, place + 1
        return [self.held[self.first.get(key, -1)] for key in keys[:start]]


def _turns(units: Sequence[_Unit]) -> list[list[Event]]:
    """Return the events of each turn (rule 4); a call that goes on with a turn in a trace of its own takes the trace of the turn."""
    turns: list[list[Event]] = []
    trace: str | None = None
    for unit in units:
        own = unit.events[0].task_id
        is_asked = any(e.kind == "message" and e.payload["role"] == "user" for e in unit.events)
        is_late = bool(turns) and unit.events[0].at - turns[-1][-1].at > _TURN_SILENCE
        if not turns or is_asked or is_late or not (own == trace or unit.shares_history):
            turns.append([])
            trace = own
        for event in unit.events:
            event.task_id = trace
        turns[-1] += unit.events
    return turns


def _add_up(turn: Sequence[Event]) -> list[Event]:
    """Return a turn's events with one route for each arm and one outcome, at the end."""
    outcomes: dict[str, Event] = {}
    routes: dict[object, Event] = {}
    kept: list[Event] = []
    failed = {_part(event).call_id for event in turn if event.kind == "error"}
    for event in turn:
        if event.kind == "outcome":
            known = outcomes.get(_part(event).call_id)
            if known is None or _size(event) >= _size(known):
                outcomes[_part(event).call_id] = event
        elif event.kind == "route" and (first := routes.setdefault(event.payload["arm"], event)) is not event:
            _fold(first, event)
        else:
            kept.append(event)
    if not outcomes:
        return kept
    last = in_order(turn)[-1]
    counted = list(outcomes.values())
    closing = counted[-1]
    for event in turn:
        if event.kind == "outcome" and event is not closing:
            _fold(closing, event)
    summed = {name: _sum(name, counted, failed) for name in _ADDED_UP}
    ordinal = last.ordinal + (last.kind != "outcome")
    place = {"at": last.at, "source_id": last.source_id, "line_number": last.line_number, "ordinal": ordinal}
    kept.append(replace(closing, payload={**UNKNOWN_OUTCOME, **summed}, **place))  # type: ignore[arg-type]  # names of fields
    return kept


def _size(outcome: Event) -> float:
    """Return how much of a call an outcome has seen: a usage that is logged while the answer streams counts fewer tokens."""
    count = outcome.payload.get("output_tokens")
    return count if isinstance(count, int) else -1


def _sum(name: str, outcomes: Sequence[Event], failed: set[str]) -> float | None:
    """Return a turn's total of one amount; null where a call that did not fail lacks it, or none has it."""
    known = [value for event in outcomes if isinstance(value := event.payload[name], int | float) and is_amount(value)]
    lacking = [e for e in outcomes if e.payload[name] is None and _part(e).call_id not in failed]
    return sum(known) if known and not lacking else None
