"""A week's tables from the landed logs: reading each week's lines once, cutting every stream, keeping what could not be read.

The joint between ``landing`` (bytes), ``segments`` (the cut) and ``tables`` (rows); no rule of its own.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain

import pyarrow as pa

from memloop_assets.settings import ArmPrice, LogSettings
from memloop_assets.trajectories.calls import join_calls
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import Event, Origin, Rejected
from memloop_assets.trajectories.landing import Landing, landed_label
from memloop_assets.trajectories.ownership import user_group
from memloop_assets.trajectories.redaction import Redactor, redact_attempts, redact_rejected
from memloop_assets.trajectories.secret_rules import RULES, Rule
from memloop_assets.trajectories.segments import (
    WEEKS_AFTER,
    WEEKS_BEFORE,
    CutRules,
    Lane,
    Lanes,
    cut_attempts,
    join_sources,
    sort_lanes,
)
from memloop_assets.trajectories.tables import QUARANTINED_LINES, TRAJECTORIES, quarantined_row, trajectory_row
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_assets.weeks import IsoWeek, weeks_between

_Stream = tuple[str, Origin]

_BATCH = 256  # attempts that are redacted together
_ROWS = 1024  # rows that become columns together


@dataclass(slots=True)
class _WeekRead:
    """One week as it was read: its streams' events by lane, how many events are repeats, the digest of its lines.

    Events that no call ties together are packed; once ``is_slim``, they hold no more than how they are cut, and some lanes may be
    ``forgotten``.
    """

    streams: dict[_Stream, Lanes]
    repeated_count: int
    digest: str
    is_slim: bool = False
    forgotten: Mapping[_Stream, frozenset[Lane]] = field(default_factory=dict)

    def has_lane(self, stream: _Stream, lane: Lane) -> bool:
        """Tell whether any event of the week lies in a lane, kept or not."""
        lanes = self.streams.get(stream)
        return (lanes is not None and lane in lanes.named) or lane in self.forgotten.get(stream, ())


class CutWeek:
    """Reads weeks for cutting; walking them in order, it reads each week's lines once and keeps only the five that a cut looks at.

    Of these, the weeks before the one that is cut are kept without what their events say.
    """

    def __init__(self, landing: Landing, settings: LogSettings) -> None:
        """Keep where to read and how long a silence must be."""
        self._landing = landing
        self._read: dict[IsoWeek, _WeekRead] = {}
        self._repeats = 0
        self.file_names: dict[str, str] = {}
        self.rules = CutRules(
            silence_gap=timedelta(minutes=settings.silence_gap_minutes),
            id_silence=timedelta(days=settings.id_silence_days),
        )

    def streams(self, week: IsoWeek) -> dict[_Stream, list[Event]]:
        """Return the events of the week's window, by stream and origin, with their calls joined."""
        found = {
            stream: [event for lanes in stretches for event in lanes.events]
            for stream, stretches in self._stretches(week).items()
        }
        for event in chain.from_iterable(found.values()):
            event.unpack()
        return found

    def cut(self, week: IsoWeek) -> Iterator[tuple[Origin, list[list[Event]]]]:
        """Yield the events of the trajectories that start in the week, some at a time, with the origin of these.

        What the events of one batch say is gone, or packed again, once the next is asked for.
        """
        stretches = self._stretches(week)
        for other, read in self._read.items():
            read.is_slim |= other <= week
        for (_, origin), lanes in sorted(stretches.items(), key=lambda item: item[0]):
            attempts = cut_attempts(lanes, week, self.rules)
            for place in range(0, len(attempts), _BATCH):
                batch = attempts[place : place + _BATCH]
                for event in chain.from_iterable(batch):
                    event.unpack()
                yield origin, batch
                for event in chain.from_iterable(batch):
                    event.slim() if event.at < week.end or event.call else event.pack()

    def repeated_count(self, week: IsoWeek) -> int:
        """Return how many events of the week are repeats of what another source or an earlier call holds, for the week cut last."""
        return self._read[week].repeated_count + self._repeats

    def landed_lines(self, week: IsoWeek) -> dict[str, str]:
        """Return the digest of the lines of each week that the cut looks at, as they were when they were read, as named inputs."""
        return {landed_label(other): read.digest for other, read in self._look_at(week).items()}

    def _stretches(self, week: IsoWeek) -> dict[_Stream, list[Lanes]]:
        """Return the lanes of the week's window, by stream and origin: a stretch for each week, or one where calls are joined over all."""
        found: dict[_Stream, list[Lanes]] = {}
        for read in self._look_at(week).values():
            for stream, lanes in read.streams.items():
                found.setdefault(stream, []).append(lanes)
        self._repeats = 0
        for stream, stretches in found.items():
            if any(lanes.has_calls for lanes in stretches):
                said = [event for lanes in stretches for event in lanes.events]
                for event in said:
                    event.unpack()
                events, repeats = join_calls(said)
                self._repeats += sum(IsoWeek.of(event.at) == week for event in repeats)
                found[stream] = [sort_lanes(events)]
        return found

    def _look_at(self, week: IsoWeek) -> dict[IsoWeek, _WeekRead]:
        """Return the week's window, reading what is not read yet and forgetting what lies outside."""
        kept = {other: read for other, read in self._read.items() if other < week or not read.is_slim}
        self._read = {}
        for other, read in kept.items():
            if other < week and not read.is_slim:
                _slim_week(read)
        with _without_collection():
            for other in _window(week):
                self._read[other] = kept.get(other) or self._read_week(other, week)
                before = self._read.get(other.shift(-1))
                if before and other <= week:
                    _prune(before, self._read[other])
        return self._read

    def _read_week(self, week: IsoWeek, cut: IsoWeek) -> _WeekRead:
        digest = self._landing.digest(week)  # first: lines that are landed meanwhile make it old, never too new
        parts: dict[_Stream, list[list[Event]]] = {}
        for source in self._landing.sources(week):
            self.file_names[source.source_id] = source.file_name
            events = list(_packed(self._landing.read_week(source, week)))
            # where stamps are synthetic, no session goes on in another file: they only look simultaneous
            is_whole = reader_for(source.format).needs_start_week
            stream = source.source_id if is_whole else source.stream
            parts.setdefault((stream, source.options.origin), []).append(events)
        joined = {stream: join_sources(sources) for stream, sources in parts.items()}
        repeated_count = sum(count for _, count in joined.values())
        read = _WeekRead({stream: sort_lanes(events) for stream, (events, _) in joined.items()}, repeated_count, digest)
        if week < cut:
            _slim_week(read)
        return read


def _packed(items: Iterable[Event | Rejected]) -> Iterator[Event]:
    """Yield the events, packed where no call ties them to others."""
    for item in items:
        if isinstance(item, Event):
            if item.call is None:
                item.pack()
            yield item


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python from looking for cycles among events while they are read: there are none, and it looks at each many times."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _slim_week(read: _WeekRead) -> None:
    read.is_slim = True
    for lanes in read.streams.values():
        for event in lanes.events:
            if event.call is None:
                event.packed = None
                event.slim()


def _prune(read: _WeekRead, later: _WeekRead) -> None:
    """Forget the lanes with ids that are silent in all of the week after: seven days end a run, so nothing of them matters from then on.

    Lanes that decisions may be tied to stay, and streams whose calls are joined.
    """
    if read.forgotten:
        return
    forgotten = {}
    for stream, lanes in read.streams.items():
        after = later.streams.get(stream)
        if lanes.has_calls or (after and after.has_calls):
            continue
        tied = {lane for one in (lanes, after) if one for ties in one.ties.values() for _, lane in ties}
        gone = frozenset(
            lane
            for lane in lanes.named
            if lane[0] != "silence" and lane not in tied and not later.has_lane(stream, lane)
        )
        forgotten[stream] = gone
        read.streams[stream] = replace(
            lanes, named={lane: events for lane, events in lanes.named.items() if lane not in gone}
        )
    read.forgotten = forgotten


def cut_week(
    reading: CutWeek,
    week: IsoWeek,
    arms: Mapping[str, ArmPrice],
    rules: Sequence[Rule] = RULES,
    finds: Counter[str] | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Return the trajectories that start in a week as rows, redacted, and the counts that a person asks for.

    What the rules of redaction found is added to ``finds``, by rule. The cut and the group of the user are made by what was logged; every
    hash over content, the trajectory's and the task's identity, is made after redaction.
    """
    rows: list[dict[str, object]] = []
    tables: list[pa.Table] = []
    known: set[str] = set()
    finds = Counter() if finds is None else finds
    before = finds.total()
    counts = {"duplicate_count": 0, "duplicate_event_count": 0}
    names: dict[str, str] = {}
    for origin, logged, events, found in _redacted(reading.cut(week), rules):
        trajectory = Trajectory(events, origin)
        first = events[0].source_id
        if first not in names:
            names[first] = Redactor(rules).redact_text(reading.file_names[first])
        if trajectory.trajectory_id in known:
            counts["duplicate_count"] += 1
            counts["duplicate_event_count"] += len(trajectory.events)
            continue
        known.add(trajectory.trajectory_id)
        owner = next((event.user_id for event in logged if event.user_id is not None), None)
        rows.append({**trajectory_row(trajectory, week, names, arms), "user_group": user_group(owner)})
        finds.update(found)
        if len(rows) == _ROWS:
            tables.append(TRAJECTORIES.table(rows))
            rows = []
    counts["duplicate_event_count"] += reading.repeated_count(week)
    table = pa.concat_tables([*tables, TRAJECTORIES.table(rows)])
    counts["event_count"] = sum(table["event_count"].to_pylist())
    counts["redacted_count"] = finds.total() - before
    counts["labelled_count"] = table.num_rows - table["reward"].null_count
    return table, counts


def _redacted(
    batches: Iterable[tuple[Origin, list[list[Event]]]], rules: Sequence[Rule]
) -> Iterator[tuple[Origin, Sequence[Event], Sequence[Event], Counter[str]]]:
    for origin, attempts in batches:
        for logged, (events, found) in zip(attempts, redact_attempts(attempts, rules), strict=True):
            yield origin, logged, events, found


def quarantine_week(
    landing: Landing, week: IsoWeek, rules: Sequence[Rule] = RULES, finds: Counter[str] | None = None
) -> tuple[pa.Table, Counter[str]]:
    """Return the week's lines that could not be read as rows, redacted, and how often each reason occurs.

    What the rules of redaction found is added to ``finds``, by rule.
    """
    finds = Counter() if finds is None else finds
    rows = []
    for source in landing.sources(week):
        file_name = Redactor(rules).redact_text(source.file_name)
        for item in landing.read_rejected(source, week):
            raw_text, reason, found = redact_rejected(item, rules)
            finds.update(found)
            rows.append(quarantined_row(item, week, file_name) | {"raw_text": raw_text, "reason": reason})
    return QUARANTINED_LINES.table(rows), Counter(str(row["reason"]) for row in rows)


def _window(week: IsoWeek) -> list[IsoWeek]:
    return list(weeks_between(week.shift(-WEEKS_BEFORE), week.shift(WEEKS_AFTER)))
