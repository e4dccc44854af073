"""The log index: which sources are landed, which of their bytes fall in which week, which files were seen, which weeks were asked for.

The only statements on these tables. What makes two files one source is decided in ``landing``, which weeks to ask for in ``orchestration``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from memloop_assets.state import LOG_FILES, LOG_SOURCES, LOG_SPANS, WEEK_REQUESTS, State
from memloop_assets.trajectories.sources import ReadOptions, Resume, Span
from memloop_assets.trajectories.static_copy import UNKNOWN, FileStat
from memloop_assets.weeks import IsoWeek

HEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class Known:
    """One landed source as the index has it; ``resume`` is None where it must be read whole to go on."""

    source_id: str
    stream: str
    file_name: str
    byte_count: int
    line_count: int
    sha256: str
    fallback_at: datetime
    head_sha256: str | None
    resume: Resume | None

    @property
    def leans_on_name(self) -> bool:
        """Tell whether a line may have taken its stamp from the file's name rather than from a line."""
        return self.resume is None or self.resume.is_undated


@dataclass(frozen=True, slots=True)
class Source:
    """One landed source with its span of one week."""

    source_id: str
    stream: str
    file_name: str
    format: str
    options: ReadOptions
    fallback_at: datetime
    span: Span


@dataclass(frozen=True, slots=True)
class WeekRequest:
    """One week that was asked for because of the lines that its digest stands for; settled once nothing more is to be asked."""

    week: IsoWeek
    digest: str
    try_number: int = 1
    is_settled: bool = False

    @property
    def run_key(self) -> str:
        """Return the key under which one run is started, however often it is asked for."""
        return f"{self.week} {self.digest}" + (f" try {self.try_number}" if self.try_number > 1 else "")


class LogIndex:
    """Reads and writes the log index of one home."""

    def __init__(self, state: State) -> None:
        """Keep the database."""
        self._state = state

    def alike(self, options: ReadOptions, head: bytes) -> list[Known]:
        """Return the sources, read with the same options, that may begin as a file does or go on where it ends."""
        c = LOG_SOURCES.c
        statement = sa.select(LOG_SOURCES).where(c.format == options.format, c.options_json == options_json(options))
        if len(head) == HEAD_BYTES:
            is_short = c.byte_count < HEAD_BYTES
            statement = statement.where(sa.or_(c.head_sha256 == sha256(head), c.head_sha256.is_(None), is_short))
        with self._state.engine.connect() as connection:
            return [_known_of(row) for row in connection.execute(statement.order_by(c.source_id)).mappings()]

    def is_taken(self, source_id: str) -> bool:
        """Tell whether a source has this id already."""
        with self._state.engine.connect() as connection:
            found = connection.execute(sa.select(LOG_SOURCES.c.source_id).where(LOG_SOURCES.c.source_id == source_id))
            return found.first() is not None

    def landed(self, stream: str | None = None) -> list[tuple[Known, ReadOptions]]:
        """Return every landed source, or those of a stream, with how it is read, in the order of their ids."""
        statement = sa.select(LOG_SOURCES).order_by(LOG_SOURCES.c.source_id)
        if stream is not None:
            statement = statement.where(LOG_SOURCES.c.stream == stream)
        with self._state.engine.connect() as connection:
            return [(_known_of(row), _options_of(row)) for row in connection.execute(statement).mappings()]

    def file_paths(self) -> list[str]:
        """Return the path of every file that was read."""
        with self._state.engine.connect() as connection:
            return list(connection.execute(sa.select(LOG_FILES.c.path).distinct()).scalars())

    def spans(self, source_id: str) -> dict[IsoWeek, Span]:
        """Return the span of every week of a source."""
        with self._state.engine.connect() as connection:
            rows = connection.execute(sa.select(LOG_SPANS).where(LOG_SPANS.c.source_id == source_id)).mappings()
            return {IsoWeek.parse(row["week"]): _span_of(row) for row in rows}

    def write(
        self,
        known: Known,
        options: ReadOptions,
        spans: Mapping[IsoWeek, Span],
        seen: tuple[str, FileStat] | None = None,
    ) -> None:
        """Write a source, new or changed, with its spans and the file that it was read from (path and stat), in one transaction."""
        facts = {
            "source_id": known.source_id,
            "stream": known.stream,
            "file_name": known.file_name,
            "format": options.format,
            "origin": options.origin,
            "options_json": options_json(options),
            "byte_count": known.byte_count,
            "line_count": known.line_count,
            "sha256": known.sha256,
            "fallback_at": known.fallback_at.isoformat(),
            "head_sha256": known.head_sha256,
            "resume_json": _resume_json(known.resume),
        }
        with self._state.transaction() as connection:
            connection.execute(sa.delete(LOG_SOURCES).where(LOG_SOURCES.c.source_id == known.source_id))
            connection.execute(sa.delete(LOG_SPANS).where(LOG_SPANS.c.source_id == known.source_id))
            connection.execute(sa.insert(LOG_SOURCES).values(**facts))
            if spans:
                rows = [{"source_id": known.source_id, "week": str(w), **_span_facts(s)} for w, s in spans.items()]
                connection.execute(sa.insert(LOG_SPANS), rows)
            if seen:
                _write_file(connection, *seen, reading_of(options), known.source_id)

    def write_file(self, path: str, stat: FileStat, options: ReadOptions, source_id: str) -> None:
        """Remember a file as it was seen; its content is that of a source or the beginning of it."""
        with self._state.transaction() as connection:
            _write_file(connection, path, stat, reading_of(options), source_id)

    def is_seen(self, path: str, options: ReadOptions, stat: FileStat) -> bool:
        """Tell whether a file was read before and its stat is still the same."""
        c = LOG_FILES.c
        wanted = sa.select(c.byte_count, c.modified_ns, c.inode).where(c.path == path, c.reading == reading_of(options))
        with self._state.engine.connect() as connection:
            row = connection.execute(wanted).first()
        return row is not None and FileStat(*row) == stat and stat.modified_ns != UNKNOWN

    def seen_files(self) -> dict[str, dict[str, FileStat]]:
        """Return the stat of every file that was read, by its path and then by how it was read."""
        c = LOG_FILES.c
        found: dict[str, dict[str, FileStat]] = {}
        with self._state.engine.connect() as connection:
            for path, reading, *stat in connection.execute(
                sa.select(c.path, c.reading, c.byte_count, c.modified_ns, c.inode)
            ):
                found.setdefault(path, {})[reading] = FileStat(*stat)
        return found

    def sources(self, week: IsoWeek) -> list[Source]:
        """Return the sources with lines in a week, in the order of their names."""
        joined = sa.select(LOG_SOURCES, LOG_SPANS).join(LOG_SPANS, LOG_SOURCES.c.source_id == LOG_SPANS.c.source_id)
        wanted = joined.where(LOG_SPANS.c.week == str(week)).order_by(LOG_SOURCES.c.file_name, LOG_SOURCES.c.source_id)
        with self._state.engine.connect() as connection:
            return [_source_of(row) for row in connection.execute(wanted).mappings()]

    def digests(self, week: IsoWeek | None = None) -> dict[IsoWeek, str]:
        """Return per week (of all, or of the one named) a digest that changes exactly when lines of that week are landed."""
        c = LOG_SPANS.c
        statement = sa.select(c.week, c.line_count, c.checksum).order_by(c.week, c.line_count, c.checksum)
        if week:
            statement = statement.where(c.week == str(week))
        lines: dict[str, list[str]] = {}
        with self._state.engine.connect() as connection:
            for name, count, checksum in connection.execute(statement):
                lines.setdefault(name, []).append(f"{count} {checksum}")
        return {IsoWeek.parse(name): sha256("|".join(parts).encode())[:32] for name, parts in lines.items()}

    def requests(self) -> dict[IsoWeek, WeekRequest]:
        """Return the last request for each week that was ever asked for."""
        with self._state.engine.connect() as connection:
            rows = connection.execute(sa.select(WEEK_REQUESTS)).mappings()
            return {
                IsoWeek.parse(row["week"]): WeekRequest(**{**row, "week": IsoWeek.parse(row["week"])}) for row in rows
            }

    def write_requests(self, requests: Sequence[WeekRequest]) -> None:
        """Remember the last request of some weeks."""
        if not requests:
            return
        rows = [
            {"week": str(r.week), "digest": r.digest, "try_number": r.try_number, "is_settled": r.is_settled}
            for r in requests
        ]
        with self._state.transaction() as connection:
            connection.execute(sa.delete(WEEK_REQUESTS).where(WEEK_REQUESTS.c.week.in_([r["week"] for r in rows])))
            connection.execute(sa.insert(WEEK_REQUESTS), rows)


def options_json(options: ReadOptions) -> str:
    """Return how a source is read, as the index keeps it beside the format."""
    start = str(options.start_week) if options.start_week else None
    facts = {"timezone": options.timezone, "origin": options.origin, "arm": options.arm, "start_week": start}
    return json.dumps(facts, sort_keys=True)


def reading_of(options: ReadOptions) -> str:
    """Return a short name of how a file is read, its format included."""
    return sha256(f"{options.format} {options_json(options)}".encode())[:16]


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hex."""
    return hashlib.sha256(content).hexdigest()


def _write_file(connection: sa.Connection, path: str, stat: FileStat, reading: str, source_id: str) -> None:
    connection.execute(sa.delete(LOG_FILES).where(LOG_FILES.c.path == path, LOG_FILES.c.reading == reading))
    connection.execute(
        sa.insert(LOG_FILES).values(
            path=path,
            reading=reading,
            byte_count=stat.byte_count,
            modified_ns=stat.modified_ns,
            inode=stat.inode,
            source_id=source_id,
        )
    )


def _span_facts(span: Span) -> dict[str, int]:
    return {
        "start_offset": span.start_offset,
        "end_offset": span.end_offset,
        "start_line": span.start_line,
        "line_count": span.line_count,
        "checksum": span.checksum,
    }


def _span_of(row: sa.RowMapping) -> Span:
    c = LOG_SPANS.c
    return Span(row[c.start_offset], row[c.end_offset], row[c.start_line], row[c.line_count], row[c.checksum] or 0)


def _resume_json(resume: Resume | None) -> str | None:
    if resume is None:
        return None
    spans = {str(week): _span_facts(span) if span else None for week, span in resume.open_spans.items()}
    facts = {"offset": resume.offset, "line_number": resume.line_number, "before": resume.before.isoformat()}
    return json.dumps({**facts, "open_spans": spans, "is_undated": resume.is_undated}, sort_keys=True)


def _resume_of(text: str | None) -> Resume | None:
    if text is None:
        return None
    facts = json.loads(text)
    spans = {IsoWeek.parse(week): Span(**span) if span else None for week, span in facts["open_spans"].items()}
    before = datetime.fromisoformat(facts["before"])
    return Resume(facts["offset"], facts["line_number"], before, spans, facts["is_undated"])


def _known_of(row: sa.RowMapping) -> Known:
    return Known(
        row["source_id"],
        row["stream"],
        row["file_name"],
        row["byte_count"],
        row["line_count"],
        row["sha256"],
        datetime.fromisoformat(row["fallback_at"]),
        row["head_sha256"],
        _resume_of(row["resume_json"]),
    )


def _options_of(row: sa.RowMapping) -> ReadOptions:
    facts = json.loads(row["options_json"])
    start = IsoWeek.parse(facts["start_week"]) if facts["start_week"] else None
    return ReadOptions(row["format"], facts["timezone"], facts["origin"], facts["arm"], start)


def _source_of(row: sa.RowMapping) -> Source:
    return Source(
        row["source_id"],
        row["stream"],
        row["file_name"],
        row["format"],
        _options_of(row),
        datetime.fromisoformat(row["fallback_at"]),
        _span_of(row),
    )
