"""Log files before they are landed: how to read them, and what reading them would find.

Nothing here stores anything: ``ingest --check`` is this module alone, and ``landing`` builds on it.
"""

import os
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import BinaryIO, Literal
from zoneinfo import ZoneInfo

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import (
    CONTENT_MISSING,
    Event,
    Line,
    Origin,
    Rejected,
    SourceFacts,
    date_in_name,
)
from memloop_assets.trajectories.static_copy import copy_log, is_compressed
from memloop_assets.weeks import IsoWeek

Status = Literal["new", "grown", "unchanged", "empty", "checked"]

_SHOWN_REJECTS = 20
_CHUNK = 1 << 20
_LOG_NAME = re.compile(r"\.jsonl?((\.\d+)|([.-]\d{8}))?(\.gz|\.zst)?$")
_ROTATED = re.compile(r"([.-]\d+)*(\.gz|\.zst)?$")


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
    """The bytes of a source between which all lines of one week lie; ``checksum`` is a CRC-32 over these lines alone, in order."""

    start_offset: int
    end_offset: int
    start_line: int
    line_count: int = 0
    checksum: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """Where reading a grown source goes on: after its last whole line, or at its last line where that has no end yet.

    ``before`` is the stamp that the next line takes where it has none of its own. ``open_spans`` holds the spans that a last line without
    an end has widened, as they were before it (None: there was none). ``is_undated`` where a line so far took the source's fallback stamp.
    """

    offset: int
    line_number: int
    before: datetime
    open_spans: Mapping[IsoWeek, Span | None] = field(default_factory=dict)
    is_undated: bool = False


@dataclass(slots=True)
class FileReport:
    """What reading one file found: counts of events by kind, rejected lines with their reasons, the weeks that lines fall in.

    The report of a file that has grown counts what is new, and ``weeks`` are those of new lines; ``spans`` are those of the whole file.
    ``resume`` says where its reading will go on, ``forgotten_count`` how many lines of forgotten people were not landed.
    """

    path: Path
    status: Status
    line_count: int = 0
    events: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    spans: dict[IsoWeek, Span] = field(default_factory=dict)
    weeks: set[IsoWeek] = field(default_factory=set)
    has_ids: bool = False
    is_synthetic_time: bool = False
    contentless_count: int = 0
    forgotten_count: int = 0
    resume: Resume | None = None

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


def find_logs(path: Path, apart_from: Path | None = None) -> list[Path]:
    """Return the log files that a path names: itself, or the .jsonl and .json files below a folder, rotated and compressed ones too.

    ``apart_from``: a folder that is passed over where it lies below that path: what memloop writes is no log. Raises BadInput.
    """
    if path.is_dir():
        passed = apart_from if apart_from and not path.resolve().is_relative_to(apart_from) else None
        found = sorted(
            p
            for p in path.rglob("*")
            if is_log_name(p.name) and p.is_file() and not (passed and p.resolve().is_relative_to(passed))
        )
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


def is_log_name(name: str) -> bool:
    """Tell whether a file is named like a log: .jsonl or .json, then perhaps a rotation's number or date, then perhaps .gz or .zst."""
    return _LOG_NAME.search(name) is not None


def logged_name(name: str) -> str:
    """Return the name under which a file was written, before it was rotated or compressed: ``session.jsonl.2.gz`` is session.jsonl."""
    return _ROTATED.sub("", name, count=1) or name


def scan(  # noqa: PLR0913  # where, how, from which line, up to which byte: all of them are facts of one reading
    path: Path,
    options: ReadOptions,
    facts: SourceFacts,
    size: int,
    status: Status = "checked",
    *,
    start: Resume | None = None,
    known: Mapping[IsoWeek, Span] | None = None,
) -> FileReport:
    """Read the first ``size`` bytes of a file without storing anything: what its lines say, and which bytes fall in which week.

    With a ``start``, only what lies after it, and the spans of what lies before it (``known``) are widened. The file must not change.
    """
    reader = reader_for(options.format)
    report = FileReport(path, status, spans={week: replace(span) for week, span in (known or {}).items()})
    begin = replace(start, open_spans={}) if start else Resume(0, 1, facts.fallback_at)
    before, point, is_undated = begin.before, begin, begin.is_undated
    last: Line | None = None
    with path.open("rb") as file:
        ends_at = _end_of_last_line(file, size)
        for line in reader.lines(file, begin.offset, begin.line_number, size):
            found = reader.read_line(line, facts, before)
            weeks = _count(report, found)
            if line.end_offset > ends_at:
                point = Resume(line.start_offset, line.number, before, {w: _kept(report.spans.get(w)) for w in weeks})
            else:
                last = line
            for week in weeks:
                _widen(report.spans, week, line)
            before = stamp_after(found)
            is_undated |= before == facts.fallback_at
        if last and not point.open_spans:
            point = Resume(last.end_offset, last.number + 1, before)
        report.resume = replace(
            point if point.open_spans else _after_blank_lines(file, point, ends_at), is_undated=is_undated
        )
    return report


def _count(report: FileReport, found: list[Event] | Rejected) -> set[IsoWeek]:
    """Count what one line says; return the weeks in which it lies."""
    report.line_count += 1
    if isinstance(found, Rejected):
        report.reasons[found.reason] += 1
        if len(report.rejected) < _SHOWN_REJECTS:
            report.rejected.append(found)
        weeks = {IsoWeek.of(found.at)}
    else:
        report.has_ids |= found[0].session_id is not None or found[0].task_id is not None
        report.is_synthetic_time |= found[0].is_synthetic_time
        weeks = set()
        for event in found:
            report.events[event.kind] += 1
            report.contentless_count += CONTENT_MISSING in event.extra
            weeks.add(IsoWeek.of(event.at))
    report.weeks |= weeks
    return weeks


def _widen(spans: dict[IsoWeek, Span], week: IsoWeek, line: Line) -> None:
    span = spans.get(week)
    if span is None:
        span = spans[week] = Span(line.start_offset, line.end_offset, line.number)
    span.end_offset = max(span.end_offset, line.end_offset)
    span.line_count += 1
    span.checksum = zlib.crc32(b"\n", zlib.crc32(line.raw, span.checksum))


def _kept(span: Span | None) -> Span | None:
    return replace(span) if span else None


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Return the offset after the last line end of the first ``size`` bytes, 0 where there is none."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _after_blank_lines(file: BinaryIO, point: Resume, end: int) -> Resume:
    """Return the point moved over the blank lines that end a file."""
    number, left = point.line_number, end - point.offset
    file.seek(point.offset)
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        number += chunk.count(b"\n")
        left -= len(chunk)
    return Resume(max(point.offset, end), number, point.before)


def check_file(path: Path, options: ReadOptions) -> FileReport:
    """Tell what ingesting a file would read; stores nothing."""
    options.check()
    with tempfile.TemporaryDirectory() as folder:
        content = path
        if is_compressed(path):
            content = Path(folder) / "content"
            copy_log(path, content)
        size = content.stat().st_size
        if size == 0:
            return FileReport(path, "empty")
        facts = options.facts("", path.name, fallback_stamp(path, options, content))
        return replace(scan(content, options, facts, size), path=path)


def fallback_stamp(path: Path, options: ReadOptions, content: Path | None = None) -> datetime:
    """Return the stamp for lines before the first readable one: the date in the file's name, else its first stamp, else its mtime.

    ``content`` is where the file's bytes can be read where they are compressed.
    """
    named = date_in_name(path.name)
    zone = ZoneInfo(options.timezone)
    if named:
        return datetime.combine(named, time(), tzinfo=zone).astimezone(UTC)
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    reader = reader_for(options.format)
    facts = options.facts("", path.name, written)
    with (content or path).open("rb") as file:
        for line in reader.lines(file, 0, 1, os.fstat(file.fileno()).st_size):
            found = reader.read_line(line, facts, written)
            if not isinstance(found, Rejected) and found[0].at != written:
                return found[0].at
    return written


def stamp_after(found: list[Event] | Rejected) -> datetime:
    """Return the stamp that the next line takes where it has none of its own."""
    return found.at if isinstance(found, Rejected) else found[0].at
