"""Log files before they are landed: how to read them, and what reading them would find.

Nothing here stores anything: ``ingest --check`` is this module alone, and ``landing`` builds on it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import (
    CONTENT_MISSING,
    Event,
    Origin,
    Rejected,
    SourceFacts,
    date_in_name,
)
from memloop_assets.weeks import IsoWeek

Status = Literal["new", "grown", "unchanged", "empty", "checked"]

_SHOWN_REJECTS = 20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a path: its format, and what the format does not log."""

    format: str = "native"
    timezone: str = "UTC"
    origin: Origin = "live"
    arm: str | None = None
    start_week: IsoWeek | None = None

    def check(self) -> None:
        """Refuse options that the format cannot do without; raises BadInput."""
        reader = reader_for(self.format)
        if reader.needs_arm and not self.arm:
            raise BadInput(f"format {self.format}", "it does not log the model that answered", "name it with --arm")
        if reader.needs_start_week and not self.start_week:
            raise BadInput(
                f"format {self.format}", "it does not log when it ran", "give a week with --start-week 2026-W12"
            )

    def facts(self, source_id: str, file_name: str, fallback_at: datetime) -> SourceFacts:
        """Return what a reader needs to know of a source."""
        start_at = self.start_week.start if self.start_week else None
        return SourceFacts(source_id, file_name, ZoneInfo(self.timezone), fallback_at, self.origin, self.arm, start_at)


@dataclass(slots=True)
class Span:
    """The bytes of a source between which all lines of one week lie."""

    start_offset: int
    end_offset: int
    start_line: int
    line_count: int = 0


@dataclass(slots=True)
class FileReport:
    """What reading one file found: counts of events by kind, rejected lines with their reasons, lines per week."""

    path: Path
    status: Status
    line_count: int = 0
    events: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    spans: dict[IsoWeek, Span] = field(default_factory=dict)
    has_ids: bool = False
    is_synthetic_time: bool = False
    contentless_count: int = 0

    @property
    def rejected_count(self) -> int:
        """Count the lines that could not be read."""
        return sum(self.reasons.values())

    def gaps(self) -> list[str]:
        """Return what the log does not hold and what memloop therefore leaves out, in words."""
        found = []
        if not self.events["route"]:
            found.append("no route events: nothing tells which arm served, so a router cannot learn from these lines")
        if not self.events["outcome"]:
            found.append("no outcome events: no known reward, so a router cannot learn from these lines")
        if not self.has_ids:
            found.append("no session_id or task_id: trajectories are cut by silence")
        if self.is_synthetic_time:
            found.append("the format logs no time: stamps are synthetic")
        if self.contentless_count:
            found.append(
                f"{self.contentless_count:,} model calls log no content, or only one side of it: switch its capture on where they are made"
            )
        return found


def find_logs(path: Path) -> list[Path]:
    """Return the log files that a path names: itself, or the .jsonl and .json files below a folder. Raises BadInput."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix in (".jsonl", ".json") and p.is_file())
        if not found:
            raise BadInput(
                str(path), "no .jsonl or .json file lies in this folder", "name a log file or a folder of them"
            )
        return found
    if not path.exists():
        raise BadInput(str(path), "there is no such file", "check the path")
    if not path.is_file():
        raise BadInput(str(path), "it is not a regular file", "name a log file or a folder of them")
    return [path]


def scan(path: Path, options: ReadOptions, facts: SourceFacts, size: int, status: Status = "checked") -> FileReport:
    """Read the first ``size`` bytes of a file without storing anything: what its lines say, and which bytes fall in which week."""
    reader = reader_for(options.format)
    report = FileReport(path, status)
    before = facts.fallback_at
    with path.open("rb") as file:
        for line in reader.lines(file, 0, 1, size):
            found = reader.read_line(line, facts, before)
            report.line_count += 1
            if isinstance(found, Rejected):
                report.reasons[found.reason] += 1
                if len(report.rejected) < _SHOWN_REJECTS:
                    report.rejected.append(found)
                stamps: Iterable[datetime] = (found.at,)
            else:
                report.events.update(event.kind for event in found)
                report.has_ids |= found[0].session_id is not None or found[0].task_id is not None
                report.is_synthetic_time |= found[0].is_synthetic_time
                report.contentless_count += sum(CONTENT_MISSING in event.extra for event in found)
                stamps = (event.at for event in found)
            for week in {IsoWeek.of(at) for at in stamps}:
                span = report.spans.setdefault(week, Span(line.start_offset, line.end_offset, line.number))
                span.end_offset = max(span.end_offset, line.end_offset)
                span.line_count += 1
            before = stamp_after(found)
    return report


def check_file(path: Path, options: ReadOptions) -> FileReport:
    """Tell what ingesting a file would read; stores nothing."""
    options.check()
    size = path.stat().st_size
    if size == 0:
        return FileReport(path, "empty")
    return scan(path, options, options.facts("", path.name, fallback_stamp(path, options)), size)


def fallback_stamp(path: Path, options: ReadOptions) -> datetime:
    """Return the stamp for lines before the first readable one: the date in the file's name, else its first stamp, else its mtime."""
    named = date_in_name(path.name)
    zone = ZoneInfo(options.timezone)
    if named:
        return datetime.combine(named, time(), tzinfo=zone).astimezone(UTC)
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    reader = reader_for(options.format)
    facts = options.facts("", path.name, written)
    with path.open("rb") as file:
        for line in reader.lines(file, 0, 1, path.stat().st_size):
            found = reader.read_line(line, facts, written)
            if not isinstance(found, Rejected) and found[0].at != written:
                return found[0].at
    return written


def stamp_after(found: list[Event] | Rejected) -> datetime:
    """Return the stamp that the next line takes where it has none of its own."""
    return found.at if isinstance(found, Rejected) else found[0].at
