"""Whose a log line is: lines of forgotten people, known by keyed hashes of the ids that they were logged with.

Nothing here knows files of a home, tables or SQL. A line is somebody's where one of its events carries their user id, or carries none and
shares a session, task or decision id with a line of theirs without naming another session or task.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from memloop_assets.trajectories.formats.reader import Event, Line, Reader, Rejected, SourceFacts
from memloop_assets.trajectories.sources import Resume, stamp_after

_USER_NAMES = ("user_id", "userId", "user", "end_user", "user.id", "enduser.id")
_NAMED_USER = re.compile(r'"(?:user_id|userId|user|end_user|user\.id|enduser\.id)"\s*:\s*"?([^"\s,}\]]+)')
_WORD = re.compile(r"[^\s\"',;:{}\[\]()<>\\]+")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SHORTEST_WORD = 3

USER_GROUP_COUNT = 64

Hasher = Callable[[str, str], str]
"""Returns the keyed hash of an id; the first argument says of what kind it is, so that a session and a user of one name differ."""


def hasher(key: bytes) -> Hasher:
    """Return the hash of ids under a key: 32 hex digits of HMAC-SHA256; an id that is missing has the empty hash."""
    known: dict[tuple[str, str], str] = {}

    def hashed(kind: str, value: str) -> str:
        if not value:
            return ""
        found = known.get((kind, value))
        if found is None:
            text = f"{kind}|{normal_user(value) if kind == 'user' else value}"
            found = hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
            known[kind, value] = found
        return found

    return hashed


def normal_user(user: str) -> str:
    """Return a user id as it is compared: without white space around it, mail addresses without case."""
    user = user.strip()
    return user.casefold() if "@" in user else user


def user_group(user: str | None) -> int | None:
    """Return the group of a logged user, 0 to 63; None where none is logged.

    The same user has the same group in every week and home, and nobody can be told from it: a 64th of all ids share each.
    """
    if user is None:
        return None
    return (
        hashlib.sha256(f"user group|{normal_user(user)}".encode("utf-8", "surrogatepass")).digest()[0]
        % USER_GROUP_COUNT
    )


@dataclass(frozen=True, slots=True)
class Tie:
    """The hashed session, task and decision of one line of a forgotten person; empty where it names none."""

    session: str
    task: str
    decision: str


class Ties:
    """What ties lines without a user id to a forgotten person."""

    def __init__(self, known: Iterable[Tie] = ()) -> None:
        """Take what is known already."""
        self.all: set[Tie] = set()
        self._tasks: dict[str, set[str]] = {}
        self._sessions: dict[str, set[str]] = {}
        self._decisions: dict[str, set[tuple[str, str]]] = {}
        for tie in known:
            self.add(tie)

    def add(self, tie: Tie) -> None:
        """Add the ids of a line."""
        if tie == Tie("", "", ""):
            return
        self.all.add(tie)
        if tie.session:
            self._tasks.setdefault(tie.session, set()).add(tie.task)
        if tie.task:
            self._sessions.setdefault(tie.task, set()).add(tie.session)
        if tie.decision:
            self._decisions.setdefault(tie.decision, set()).add((tie.session, tie.task))

    def holds(self, tie: Tie) -> bool:
        """Tell whether a line with these ids and without a user belongs to them."""
        tasks = self._tasks.get(tie.session, ()) if tie.session else ()
        if tasks and (not tie.task or "" in tasks or tie.task in tasks):
            return True
        sessions = self._sessions.get(tie.task, ()) if tie.task else ()
        if sessions and (not tie.session or "" in sessions or tie.session in sessions):
            return True
        named = self._decisions.get(tie.decision, ()) if tie.decision else ()
        return any(agree(tie.session, session) and agree(tie.task, task) for session, task in named)


def agree(one: str, other: str) -> bool:
    """Tell whether two ids do not name two things: an empty one agrees with all."""
    return not one or not other or one == other


@dataclass(frozen=True, slots=True)
class OwnedLine:
    """One line that is to go: its place, the stamps and weeks of its events, and the hashed ids of those that are theirs."""

    source_id: str
    line_number: int
    first_at: datetime
    last_at: datetime
    ties: tuple[Tie, ...]
    weeks: tuple[str, ...] = ()
    is_shared: bool = False


class Ownership:
    """Tells the lines of some people in one stream; it learns what ties other lines to them as it reads theirs."""

    def __init__(self, hashed: Hasher, users: Collection[str], ties: Iterable[Tie] = ()) -> None:
        """Keep the hash of ids, the hashed ids of the people, and what is known of their lines."""
        self._hashed, self._users = hashed, users
        self.ties = Ties(ties)

    def learn(self, found: list[Event] | Rejected) -> None:
        """Learn what ties other lines to theirs: the ids of lines that carry their user id."""
        for user, tie in self._ids_of(found):
            if user in self._users:
                self.ties.add(tie)

    def learn_decisions(self, found: list[Event] | Rejected) -> None:
        """Learn the decisions that lines without a user id name which are theirs."""
        for user, tie in self._ids_of(found):
            if not user and tie.decision and self.ties.holds(tie):
                self.ties.add(Tie("", "", tie.decision))

    def owned(self, found: list[Event] | Rejected) -> tuple[tuple[Tie, ...], bool] | None:
        """Return the ids of what is theirs in a line, and whether it also holds what is not; None where nothing of it is theirs."""
        told = [(tie, user in self._users or (not user and self.ties.holds(tie))) for user, tie in self._ids_of(found)]
        own = tuple(dict.fromkeys(tie for tie, is_own in told if is_own))
        if not own and isinstance(found, Rejected) and self._is_named(found.raw):
            own = (Tie("", "", ""),)
        return (own, not all(is_own for _, is_own in told)) if own else None

    def _ids_of(self, found: list[Event] | Rejected) -> list[tuple[str, Tie]]:
        """Return the hashed user and ids of every event of a line."""
        items = _fields_of(found.raw) if isinstance(found, Rejected) else map(_ids_of_event, found)
        names = ("user", "session", "task", "decision")
        hashed = [tuple(map(self._hashed, names, ids)) for ids in items]
        return [(user, Tie(session, task, decision)) for user, session, task, decision in hashed]

    def _is_named(self, raw: bytes) -> bool:
        """Tell whether a line that cannot be read names one of the people, under a field for users or as a word of its own."""
        text = raw.decode("utf-8", "backslashreplace")
        words = (word for word in _WORD.findall(text) if len(word) >= _SHORTEST_WORD and not word.isdigit())
        named = {*_NAMED_USER.findall(text), *words, *map(_unquoted, _STRING.findall(text))}
        return any(self._hashed("user", name) in self._users for name in named)


def _ids_of_event(event: Event) -> tuple[str, str, str, str]:
    ids = (event.user_id, event.session_id, event.task_id, event.decision_id)
    return tuple(value or "" for value in ids)  # type: ignore[return-value]  # four in, four out


def _fields_of(raw: bytes) -> Iterator[tuple[str, str, str, str]]:
    """Yield the ids of a line that could not be read but is a JSON object: those right below it."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        user = next((value for name in _USER_NAMES if (value := _text(found.get(name)))), "")
        session = _text(found.get("session_id")) or _text(found.get("sessionId"))
        yield user, session, _text(found.get("task_id")), _text(found.get("decision_id"))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def read_lines(
    path: Path, reader: Reader, facts: SourceFacts, size: int, start: Resume | None = None
) -> Iterator[tuple[Line, list[Event] | Rejected]]:
    """Yield the lines of a file from its start, or from where its reading goes on, each with what it says."""
    begin = start or Resume(0, 1, facts.fallback_at)
    before = begin.before
    with path.open("rb") as file:
        for line in reader.lines(file, begin.offset, begin.line_number, size):
            found = reader.read_line(line, facts, before)
            before = stamp_after(found)
            yield line, found


def blank_lines(path: Path, lines: Iterable[Line]) -> None:
    """Overwrite lines of a file with spaces; line ends stay, so that no other line moves or gets another number."""
    with path.open("r+b") as file:
        for line in lines:
            file.seek(line.start_offset)
            content = file.read(line.end_offset - line.start_offset)
            file.seek(line.start_offset)
            file.write(b"\n".join(b" " * len(part) for part in content.split(b"\n")))
