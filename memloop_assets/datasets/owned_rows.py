"""Whose a row is: the rows of the weekly tables that are, or may be, made from the lines of one person.

Rows say less than lines: an address is a placeholder in them, and an old generation may have been cut by other rules. So a trajectory is
theirs where nothing in its row contradicts it: same stream, no other session or task, about the same time. Rows of the other tables
follow by id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pyarrow as pa

from memloop_assets.contracts import TableContract
from memloop_assets.datasets.tables import (
    DATASET_SNAPSHOT,
    PREFERENCE_PAIRS,
    ROUTER_SAMPLES,
    SFT_EXAMPLES,
    TEACHING_TABLES,
)
from memloop_assets.trajectories.ownership import Hasher, OwnedLine, Tie
from memloop_assets.trajectories.tables import QUARANTINED_LINES, SESSION_LOGS, TRAJECTORIES, TRAJECTORY_QUALITY
from memloop_assets.weeks import IsoWeek

TABLES_OF_PEOPLE: tuple[TableContract, ...] = (
    SESSION_LOGS,
    TRAJECTORIES,
    QUARANTINED_LINES,
    TRAJECTORY_QUALITY,
    *TEACHING_TABLES,
    DATASET_SNAPSHOT,
)
"""The weekly tables whose rows are somebody's, in the order in which they follow from each other."""

_NEARBY = timedelta(days=7)
"""How far from its trajectory's first and last event a line with ids may lie: bookkeeping of calls is folded into its neighbours."""

_READ: Mapping[str, Sequence[str]] = {
    SESSION_LOGS.name: ("source_id",),
    TRAJECTORIES.name: (
        *("trajectory_id", "source_id", "session_id", "task_id", "user_id"),
        *("started_at", "ended_at", "task_key"),
    ),
    QUARANTINED_LINES.name: ("source_id", "line_number"),
    TRAJECTORY_QUALITY.name: ("trajectory_id",),
    SFT_EXAMPLES.name: ("example_id", "trajectory_id"),
    PREFERENCE_PAIRS.name: ("example_id", "chosen_trajectory_id", "rejected_trajectory_id"),
    ROUTER_SAMPLES.name: ("example_id", "task_key", "near_duplicate_of"),
    DATASET_SNAPSHOT.name: ("table_name", "example_week", "example_id"),
}


@dataclass
class OwnedRows:
    """Tells which rows are one person's; ``trajectory_ids`` and ``examples`` grow as generations are looked at, in the order of tables.

    ``streams`` maps source ids to the stream that they belong to.
    """

    hashed: Hasher
    user_hash: str
    lines: Sequence[OwnedLine]
    streams: Mapping[str, str]
    trajectory_ids: set[str] = field(default_factory=set)
    examples: set[str] = field(default_factory=set)
    task_keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Sort the lines by what rows are asked for."""
        self._places = {(line.source_id, line.line_number) for line in self.lines}
        self._files = {(line.source_id, week) for line in self.lines for week in line.weeks}
        self._by_session: dict[tuple[str, str], list[tuple[OwnedLine, Tie]]] = {}
        for line in self.lines:
            for tie in line.ties:
                key = (self.streams.get(line.source_id, ""), tie.session)
                self._by_session.setdefault(key, []).append((line, tie))

    def collect(self, name: str, week: IsoWeek, rows: pa.Table) -> None:
        """Take in the ids of their rows in one generation of ``trajectories`` or of a table that teaches."""
        for row, is_own in zip(_told(name, rows), self._own(name, week, rows), strict=True):
            if is_own and name == TRAJECTORIES.name:
                self.trajectory_ids.add(str(row["trajectory_id"]))
                self.task_keys.add(str(row["task_key"]))
            elif is_own:
                self.examples.add(f"{name} {week} {row['example_id']}")

    def mask(self, name: str, week: IsoWeek, rows: pa.Table) -> list[bool]:
        """Return for every row of a generation whether it has to go; raises KeyError where it lacks a column to tell by."""
        own = list(self._own(name, week, rows))
        if name != ROUTER_SAMPLES.name or not any(own):
            return own
        told = list(_told(name, rows))
        kept = {row["task_key"] for row, is_own in zip(told, own, strict=True) if not is_own}
        gone = {row["task_key"] for row in told} - kept
        return [is_own or row["near_duplicate_of"] in gone for row, is_own in zip(told, own, strict=True)]

    def sample_weeks(self) -> set[str]:
        """Return the weeks of their router samples, in any generation."""
        named = (example.split(" ") for example in self.examples)
        return {week for name, week, _ in named if name == ROUTER_SAMPLES.name}

    def _own(self, name: str, week: IsoWeek, rows: pa.Table) -> Iterator[bool]:
        for row in _told(name, rows):
            if name == TRAJECTORIES.name:
                yield self._is_own_trajectory(row)
            elif name == SESSION_LOGS.name:
                yield (row["source_id"], str(week)) in self._files
            elif name == QUARANTINED_LINES.name:
                yield (row["source_id"], row["line_number"]) in self._places
            elif name == DATASET_SNAPSHOT.name:
                yield f"{row['table_name']} {row['example_week']} {row['example_id']}" in self.examples
            else:
                ids = (value for column, value in row.items() if column.endswith("trajectory_id"))
                named = (row["example_id"],) if name == ROUTER_SAMPLES.name else ids
                yield not self.trajectory_ids.isdisjoint(named)

    def _is_own_trajectory(self, row: Mapping[str, Any]) -> bool:
        session, task, user = (row[f"{name}_id"] or "" for name in ("session", "task", "user"))
        if row["trajectory_id"] in self.trajectory_ids or (user and self.hashed("user", user) == self.user_hash):
            return True
        ids = tuple(_known(self.hashed(name, value), value) for name, value in (("session", session), ("task", task)))
        is_other = bool(user) and "<" not in user
        near = self._lines_near(self.streams.get(row["source_id"], ""), ids[0])
        return any(_may_hold(row, ids, line, tie, is_other_user=is_other) for line, tie in near)

    def _lines_near(self, stream: str, session: str | None) -> Iterable[tuple[OwnedLine, Tie]]:
        if session is None:
            return (pair for (of, _), pairs in self._by_session.items() if of == stream for pair in pairs)
        named = self._by_session.get((stream, session), ())
        return (*named, *self._by_session.get((stream, ""), ())) if session else named


def read_columns(name: str) -> list[str]:
    """Return the columns that tell whose a row of a table is."""
    return list(_READ[name])


def _told(name: str, rows: pa.Table) -> Iterator[Mapping[str, Any]]:
    """Yield the rows as mappings of the columns that tell whose they are; raises KeyError where one is missing."""
    columns = [rows[column].to_pylist() for column in _READ[name]]
    for values in zip(*columns, strict=True):
        yield dict(zip(_READ[name], values, strict=True))


def _known(hashed: str, value: str) -> str | None:
    """Return the hash of an id of a row; None where redaction has taken something out of it."""
    return None if "<" in value else hashed


def _may_hold(
    row: Mapping[str, Any], ids: tuple[str | None, ...], line: OwnedLine, tie: Tie, *, is_other_user: bool
) -> bool:
    """Tell whether a trajectory may have been cut from a line of its stream; ``ids`` are its hashed session and task, None if unknown.

    Within a session the task does not tell: a turn that goes on in a trace of its own takes the trace of the turn.
    """
    session, task = ids
    reach = _NEARBY if tie != Tie("", "", "") else timedelta(0)
    if not (row["started_at"] - reach <= line.last_at and line.first_at <= row["ended_at"] + reach):
        return False
    if tie.session:
        return session in (None, tie.session)
    if tie.task:
        return session in (None, "") and task in (None, tie.task)
    return bool(tie.decision) or (session in (None, "") and task in (None, "") and not is_other_user)
