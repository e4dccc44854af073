"""Who was forgotten: the append-only events, what ties lines without a user id to these people, and the notes of one that goes on.

The only statements on these tables. Ids stand here as keyed hashes; the key lies in a file of its own beside the landing.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from memloop_assets.errors import CorruptData
from memloop_assets.state import FORGET_EVENTS, FORGET_NOTES, FORGOTTEN_TIES, State
from memloop_assets.store import write_atomically
from memloop_assets.trajectories.ownership import Hasher, OwnedLine, Tie, hasher

Action = Literal["begun", "finished"]


@dataclass(frozen=True, slots=True)
class ForgetEvent:
    """One event: who (a keyed hash), what, what had gone by then, and when."""

    seq: int
    user_hash: str
    action: Action
    counts: Mapping[str, Any]
    at: str


class ForgetIndex:
    """Reads and writes who was forgotten in one home."""

    def __init__(self, state: State, key_path: Path) -> None:
        """Keep the database and the place of the key, which is made when somebody is forgotten for the first time."""
        self._state, self.key_path = state, key_path

    def events(self) -> list[ForgetEvent]:
        """Return the events in their order."""
        with self._state.engine.connect() as connection:
            rows = connection.execute(sa.select(FORGET_EVENTS).order_by(FORGET_EVENTS.c.seq)).mappings()
            return [
                ForgetEvent(r["seq"], r["user_hash"], r["action"], json.loads(r["counts_json"]), r["at"]) for r in rows
            ]

    def users(self) -> frozenset[str]:
        """Return the hashes of everybody whose forgetting has begun."""
        with self._state.engine.connect() as connection:
            return frozenset(connection.execute(sa.select(FORGET_EVENTS.c.user_hash).distinct()).scalars())

    def unfinished(self) -> frozenset[str]:
        """Return the hashes of those whose forgetting began and did not end."""
        last = {event.user_hash: event.action for event in self.events()}
        return frozenset(user for user, action in last.items() if action == "begun")

    def hasher(self) -> Hasher:
        """Return the hash of ids under the home's key, or where there is none yet, under one that nobody keeps.

        Raises CorruptData where people were forgotten and the key is gone.
        """
        try:
            return hasher(self.key_path.read_bytes())
        except FileNotFoundError:
            if not self.users():
                return hasher(secrets.token_bytes(32))
        raise CorruptData(
            self.key_path.name,
            "the key by which forgotten people are known is gone, so their lines cannot be kept out",
            "restore it from a backup of the data home",
        )

    def make_key(self) -> None:
        """Make the key of the home, readable by its owner alone, unless there is one or somebody was forgotten under another."""
        if not self.key_path.exists() and not self.users():
            write_atomically(self.key_path, secrets.token_bytes(32))
            self.key_path.chmod(0o600)

    def ties(self, stream_hash: str) -> list[Tie]:
        """Return what ties lines of a stream to forgotten people."""
        c = FORGOTTEN_TIES.c
        wanted = sa.select(c.session_hash, c.task_hash, c.decision_hash).where(c.stream_hash == stream_hash)
        with self._state.engine.connect() as connection:
            return [Tie(*row) for row in connection.execute(wanted)]

    def write_ties(self, stream_hash: str, ties: Collection[Tie]) -> None:
        """Remember what ties lines of a stream to forgotten people."""
        with self._state.transaction() as connection:
            _write_ties(connection, stream_hash, ties)

    def begin(self, user_hash: str, counts: Mapping[str, Any], at: datetime) -> None:
        """Write that somebody is being forgotten."""
        with self._state.transaction() as connection:
            _write_event(connection, user_hash, "begun", counts, at)

    def note_lines(self, user_hash: str, lines: Iterable[OwnedLine], ties: Mapping[str, Collection[Tie]]) -> None:
        """Remember lines that are about to be blanked, and by hashed stream what ties others to them, in one transaction."""
        with self._state.transaction() as connection:
            for stream_hash, found in ties.items():
                _write_ties(connection, stream_hash, found)
            _write_notes(connection, user_hash, "line", (_line_json(line) for line in lines))

    def note(self, user_hash: str, kind: str, values: Iterable[str]) -> None:
        """Remember ids of rows that are to go."""
        with self._state.transaction() as connection:
            _write_notes(connection, user_hash, kind, values)

    def notes(self, user_hash: str, kind: str) -> set[str]:
        """Return the ids that are remembered."""
        c = FORGET_NOTES.c
        wanted = sa.select(c.value).where(c.user_hash == user_hash, c.kind == kind)
        with self._state.engine.connect() as connection:
            return set(connection.execute(wanted).scalars())

    def noted_lines(self, user_hash: str) -> list[OwnedLine]:
        """Return the lines that are remembered, in their order."""
        found = (_line_of(text) for text in self.notes(user_hash, "line"))
        return sorted(found, key=lambda line: (line.source_id, line.line_number))

    def finish(self, user_hash: str, counts: Mapping[str, Any], at: datetime) -> None:
        """Write that somebody was forgotten, and drop the notes."""
        with self._state.transaction() as connection:
            _write_event(connection, user_hash, "finished", counts, at)
            connection.execute(sa.delete(FORGET_NOTES).where(FORGET_NOTES.c.user_hash == user_hash))


def _write_event(
    connection: sa.Connection, user_hash: str, action: Action, counts: Mapping[str, Any], at: datetime
) -> None:
    facts = {"user_hash": user_hash, "action": action, "counts_json": json.dumps(counts, sort_keys=True)}
    connection.execute(sa.insert(FORGET_EVENTS).values(**facts, at=at.isoformat()))


def _write_ties(connection: sa.Connection, stream_hash: str, ties: Iterable[Tie]) -> None:
    rows = [
        {"stream_hash": stream_hash, "session_hash": t.session, "task_hash": t.task, "decision_hash": t.decision}
        for t in ties
    ]
    if rows:
        connection.execute(sa.insert(FORGOTTEN_TIES).prefix_with("OR IGNORE"), rows)


def _write_notes(connection: sa.Connection, user_hash: str, kind: str, values: Iterable[str]) -> None:
    rows = [{"user_hash": user_hash, "kind": kind, "value": value} for value in values]
    if rows:
        connection.execute(sa.insert(FORGET_NOTES).prefix_with("OR IGNORE"), rows)


def _line_json(line: OwnedLine) -> str:
    ties = [[tie.session, tie.task, tie.decision] for tie in line.ties]
    stamps = [line.first_at.isoformat(), line.last_at.isoformat()]
    return json.dumps([line.source_id, line.line_number, stamps, ties, line.weeks, line.is_shared])


def _line_of(text: str) -> OwnedLine:
    source_id, number, stamps, ties, weeks, is_shared = json.loads(text)
    first_at, last_at = map(datetime.fromisoformat, stamps)
    return OwnedLine(source_id, number, first_at, last_at, tuple(Tie(*tie) for tie in ties), tuple(weeks), is_shared)
