"""Small logs and how a test reads them: what the tests of this room start from. Plain functions; no rule is tested here."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memloop_assets.state import State
from memloop_assets.trajectories.formats.reader import Event, EventKind, Line, Reader, Rejected, SourceFacts
from memloop_assets.trajectories.landing import Landing
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2026, 12)
NOON = datetime(2026, 3, 17, 12, tzinfo=UTC)
"""A Tuesday of that week."""

FACTS = SourceFacts(
    source_id="source",
    file_name="session_2026-03-17.jsonl",
    timezone=UTC,
    fallback_at=datetime(2026, 3, 17, tzinfo=UTC),
    arm="small-model",
    start_at=WEEK.start,
)

_PAYLOADS: Mapping[EventKind, Mapping[str, object]] = {
    "message": {"role": "user", "content": "Where is my parcel?"},
    "tool_call": {"tool": "track", "args": {}, "result": "in transit"},
    "error": {"error": "timeout", "context": None},
    "decision": {"decision": "ask the carrier", "rationale": None},
    "route": {"arm": "small-model", "candidate_arms": None, "propensity": None, "policy_version": None, "domain": None},
    "outcome": {
        "success": True,
        "reward": 1.0,
        "cost_usd": None,
        "latency_ms": None,
        "input_tokens": None,
        "output_tokens": None,
        "label_source": "checker",
    },
}


def event(kind: EventKind, at: datetime, line_number: int = 1, **facts: object) -> Event:
    """Return an event; facts named like an id or ``source_id`` go there, the others into its payload."""
    own = ("session_id", "task_id", "user_id", "decision_id", "source_id", "extra", "ordinal")
    told = {name: value for name, value in facts.items() if name not in own}
    ids = {name: value for name, value in facts.items() if name in own}
    return Event(kind, at, line_number, {**_PAYLOADS[kind], **told}, **ids)  # type: ignore[arg-type]  # a test says what it means


def after(minutes: float = 0, *, days: float = 0, seconds: float = 0) -> datetime:
    """Return a moment so long after noon of the Tuesday."""
    return NOON + timedelta(days=days, minutes=minutes, seconds=seconds)


def logged(kind: EventKind, at: datetime | str | None = NOON, **fields: object) -> dict[str, object]:
    """Return an event as the native log writes it, without the fields that are not known."""
    stamp = at.isoformat() if isinstance(at, datetime) else at
    known = {name: value for name, value in {**_PAYLOADS[kind], **fields}.items() if value is not None}
    return {"type": kind, **known, **({"timestamp": stamp} if stamp else {})}


def as_lines(records: Iterable[object]) -> bytes:
    """Return records as JSON lines; bytes are taken as they are."""
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)


def lines_of(reader: Reader, content: bytes, start: int = 0, start_line: int = 1, end: int | None = None) -> list[Line]:
    """Return the lines that a reader finds in a file of these bytes."""
    return list(reader.lines(io.BytesIO(content), start, start_line, len(content) if end is None else end))


def read_all(reader: Reader, content: bytes, facts: SourceFacts = FACTS) -> list[list[Event] | Rejected]:
    """Return what each line says, one after the other, as ingesting reads them."""
    found, before = [], facts.fallback_at
    for line in lines_of(reader, content):
        said = reader.read_line(line, facts, before)
        before = said.at if isinstance(said, Rejected) else said[0].at
        found.append(said)
    return found


def landing_at(folder: Path) -> Landing:
    """Return an empty landing with its own database."""
    return Landing(folder / "landing", State(folder / "state.sqlite"))


def events_of(landing: Landing, weeks: Sequence[IsoWeek] | None = None) -> list[Event]:
    """Return every event that the landed sources hold in some weeks (all of them where none are named)."""
    return [item for item in items_of(landing, weeks) if isinstance(item, Event)]


def items_of(landing: Landing, weeks: Sequence[IsoWeek] | None = None) -> list[Event | Rejected]:
    """Return every event and rejected line that the landed sources hold in some weeks."""
    return [
        item
        for week in (landing.weeks() if weeks is None else weeks)
        for source in landing.sources(week)
        for item in landing.read_week(source, week)
    ]
