"""A week's tables from the landed logs: reading each week's lines once, cutting every stream, keeping what could not be read.

The joint between ``landing`` (bytes), ``segments`` (the cut) and ``tables`` (rows); no rule of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pyarrow as pa

from memloop_assets.settings import ArmPrice, LogSettings
from memloop_assets.trajectories.calls import join_calls
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import Event, Origin, Rejected
from memloop_assets.trajectories.landing import Landing, landed_label
from memloop_assets.trajectories.ownership import user_group
from memloop_assets.trajectories.redaction import Redactor, redact_rejected, redact_trajectory
from memloop_assets.trajectories.secret_rules import RULES, Rule
from memloop_assets.trajectories.segments import (
    WEEKS_AFTER,
    WEEKS_BEFORE,
    CutRules,
    cut_trajectories,
    join_sources,
)
from memloop_assets.trajectories.tables import QUARANTINED_LINES, TRAJECTORIES, quarantined_row, trajectory_row
from memloop_assets.weeks import IsoWeek, weeks_between

_Streams = Mapping[tuple[str, Origin], list[Event]]


class CutWeek:
    """Reads weeks for cutting; walking them in order, it reads each week's lines once and keeps only the five that a cut looks at."""

    def __init__(self, landing: Landing, settings: LogSettings) -> None:
        """Keep where to read and how long a silence must be."""
        self._landing = landing
        self._read: dict[IsoWeek, tuple[_Streams, int, str]] = {}
        self._repeats = 0
        self.file_names: dict[str, str] = {}
        self.rules = CutRules(
            silence_gap=timedelta(minutes=settings.silence_gap_minutes),
            id_silence=timedelta(days=settings.id_silence_days),
        )

    def streams(self, week: IsoWeek) -> dict[tuple[str, Origin], list[Event]]:
        """Return the events of the week's window, by stream and origin."""
        joined: dict[tuple[str, Origin], list[Event]] = {}
        for streams, _, _ in self._look_at(week).values():
            for stream, events in streams.items():
                joined.setdefault(stream, []).extend(events)
        attempts = {stream: join_calls(events) for stream, events in joined.items()}
        dropped = [event for _, repeats in attempts.values() for event in repeats]
        self._repeats = sum(IsoWeek.of(event.at) == week for event in dropped)
        return {stream: events for stream, (events, _) in attempts.items()}

    def repeated_count(self, week: IsoWeek) -> int:
        """Return how many events of the week are repeats of what another source or an earlier call holds, for the week cut last."""
        return self._read[week][1] + self._repeats

    def landed_lines(self, week: IsoWeek) -> dict[str, str]:
        """Return the digest of the lines of each week that the cut looks at, as they were when they were read, as named inputs."""
        return {landed_label(other): digest for other, (_, _, digest) in self._look_at(week).items()}

    def _look_at(self, week: IsoWeek) -> dict[IsoWeek, tuple[_Streams, int, str]]:
        """Return the week's window, reading what is not read yet and forgetting what lies outside."""
        self._read = {other: self._read.get(other) or self._read_week(other) for other in _window(week)}
        return self._read

    def _read_week(self, week: IsoWeek) -> tuple[_Streams, int, str]:
        digest = self._landing.digest(week)  # first: lines that are landed meanwhile make it old, never too new
        parts: dict[tuple[str, Origin], list[list[Event]]] = {}
        for source in self._landing.sources(week):
            self.file_names[source.source_id] = source.file_name
            events = [item for item in self._landing.read_week(source, week) if isinstance(item, Event)]
            # where stamps are synthetic, no session goes on in another file: they only look simultaneous
            is_whole = reader_for(source.format).needs_start_week
            stream = source.source_id if is_whole else source.stream
            parts.setdefault((stream, source.options.origin), []).append(events)
        joined = {stream: join_sources(sources) for stream, sources in parts.items()}
        repeated_count = sum(count for _, count in joined.values())
        return {stream: events for stream, (events, _) in joined.items()}, repeated_count, digest


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
    rows: dict[str, dict[str, object]] = {}
    finds = Counter() if finds is None else finds
    before = finds.total()
    counts = {"duplicate_count": 0, "duplicate_event_count": 0}
    streams = reading.streams(week)
    names = {source_id: Redactor(rules).redact_text(name) for source_id, name in reading.file_names.items()}
    for (_, origin), events in sorted(streams.items()):
        for cut in cut_trajectories(events, week, reading.rules, origin):
            trajectory, found = redact_trajectory(cut, rules)
            if trajectory.trajectory_id in rows:
                counts["duplicate_count"] += 1
                counts["duplicate_event_count"] += len(trajectory.events)
            else:
                row = trajectory_row(trajectory, week, names, arms)
                rows[trajectory.trajectory_id] = {**row, "user_group": user_group(cut.first_id("user_id"))}
                finds.update(found)
    counts["duplicate_event_count"] += reading.repeated_count(week)
    table = TRAJECTORIES.table(rows.values())
    counts["event_count"] = sum(table["event_count"].to_pylist())
    counts["redacted_count"] = finds.total() - before
    counts["labelled_count"] = table.num_rows - table["reward"].null_count
    return table, counts


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
        for item in landing.read_week(source, week):
            if isinstance(item, Rejected):
                raw_text, reason, found = redact_rejected(item, rules)
                finds.update(found)
                rows.append(quarantined_row(item, week, file_name) | {"raw_text": raw_text, "reason": reason})
    return QUARANTINED_LINES.table(rows), Counter(str(row["reason"]) for row in rows)


def _window(week: IsoWeek) -> list[IsoWeek]:
    return list(weeks_between(week.shift(-WEEKS_BEFORE), week.shift(WEEKS_AFTER)))
