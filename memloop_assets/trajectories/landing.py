"""Landing: raw logs copied byte for byte before anything is read from them, and the index that says which bytes fall in which week.

A source is one log file as it was first seen; a file that has only grown is appended to its source, any other content opens a new one.
What a line means is the readers' business, how events are cut that of ``segments``.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from memloop_assets.errors import BadInput, CorruptData
from memloop_assets.state import LOG_SOURCES, LOG_SPANS, State
from memloop_assets.store import make_folder
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import Event, Rejected
from memloop_assets.trajectories.sources import FileReport, ReadOptions, Span, fallback_stamp, scan, stamp_after
from memloop_assets.weeks import IsoWeek

_CHUNK = 1 << 20
_LAND_AGAIN = "restore it from a backup, or ingest the original file into a fresh home"


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


class Landing:
    """The landed logs of one home."""

    def __init__(self, folder: Path, state: State) -> None:
        """Keep the folder of raw copies and the database of the index."""
        self.folder = folder
        self._state = state

    def ingest(self, path: Path, options: ReadOptions) -> FileReport:
        """Copy a file's bytes and index its lines; a file seen before adds only what is new. Raises BadInput or OSError."""
        options.check()
        digest, size = _digest(path)
        if size == 0:
            return FileReport(path, "empty")
        stream = _stream_of(path, options)
        with self._state.transaction() as connection:
            known = list(
                connection.execute(sa.select(LOG_SOURCES).where(LOG_SOURCES.c.format == options.format)).mappings()
            )
            options_json = _options_json(options)
            same = [row for row in known if row["options_json"] == options_json]
            if any(row["sha256"] == digest and row["byte_count"] == size for row in same):
                return FileReport(path, "unchanged")
            named = [row for row in same if row["stream"] == stream and row["file_name"] == path.name]
            grown = [
                row
                for row in named
                if row["byte_count"] < size and _digest(path, row["byte_count"])[0] == row["sha256"]
            ]
            taken = {row["source_id"] for row in known}
            source_id = grown[0]["source_id"] if grown else _new_source_id(path, options, taken)
            # a file that has grown keeps its stamp for lines without one: what was read before must not move to another week
            fallback_at = datetime.fromisoformat(grown[0]["fallback_at"]) if grown else fallback_stamp(path, options)
            told = options.facts(source_id, path.name, fallback_at)
            report = scan(path, options, told, size, status="grown" if grown else "new")
            self._copy(path, source_id, size, digest)
            facts = {
                "stream": stream,
                "file_name": path.name,
                "format": options.format,
                "origin": options.origin,
                "options_json": options_json,
                "byte_count": size,
                "line_count": report.line_count,
                "sha256": digest,
                "fallback_at": fallback_at.isoformat(),
            }
            if grown:
                connection.execute(sa.update(LOG_SOURCES).where(LOG_SOURCES.c.source_id == source_id).values(**facts))
                connection.execute(sa.delete(LOG_SPANS).where(LOG_SPANS.c.source_id == source_id))
            else:
                connection.execute(sa.insert(LOG_SOURCES).values(source_id=source_id, **facts))
            if report.spans:
                connection.execute(sa.insert(LOG_SPANS), _span_rows(source_id, report.spans))
        return report

    def sources(self, week: IsoWeek) -> list[Source]:
        """Return the sources with lines in a week, in the order of their names."""
        joined = sa.select(LOG_SOURCES, LOG_SPANS).join(LOG_SPANS, LOG_SOURCES.c.source_id == LOG_SPANS.c.source_id)
        wanted = joined.where(LOG_SPANS.c.week == str(week)).order_by(LOG_SOURCES.c.file_name, LOG_SOURCES.c.source_id)
        with self._state.engine.connect() as connection:
            return [_source_of(row) for row in connection.execute(wanted).mappings()]

    def weeks(self) -> list[IsoWeek]:
        """Return the weeks that hold any line, in order."""
        with self._state.engine.connect() as connection:
            found = connection.execute(sa.select(LOG_SPANS.c.week).distinct().order_by(LOG_SPANS.c.week))
            return [IsoWeek.parse(week) for (week,) in found]

    def read_week(self, source: Source, week: IsoWeek) -> Iterator[Event | Rejected]:
        """Yield what a source's lines of a week say; raises CorruptData where the landing copy is gone or short."""
        reader = reader_for(source.format)
        facts = source.options.facts(source.source_id, source.file_name, source.fallback_at)
        path = self.path_of(source.source_id)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < source.span.end_offset:
                    raise CorruptData(
                        f"landing copy of {source.file_name}", "it is shorter than when it was landed", _LAND_AGAIN
                    )
                before = source.fallback_at
                for line in reader.lines(
                    file, source.span.start_offset, source.span.start_line, source.span.end_offset
                ):
                    found = reader.read_line(line, facts, before)
                    before = stamp_after(found)
                    for item in [found] if isinstance(found, Rejected) else found:
                        if IsoWeek.of(item.at) == week:
                            yield item
        except OSError as error:
            raise CorruptData(
                f"landing copy of {source.file_name}", f"it cannot be read ({error.strerror})", _LAND_AGAIN
            ) from error

    def span_digest(self, source: Source) -> str:
        """Return the SHA-256 of the bytes between which a source's lines of a week lie; raises CorruptData where they cannot be read."""
        digest = hashlib.sha256()
        left = source.span.end_offset - source.span.start_offset
        try:
            with self.path_of(source.source_id).open("rb") as file:
                file.seek(source.span.start_offset)
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    digest.update(chunk)
                    left -= len(chunk)
        except OSError as error:
            raise CorruptData(
                f"landing copy of {source.file_name}", f"it cannot be read ({error.strerror})", _LAND_AGAIN
            ) from error
        if left:
            raise CorruptData(
                f"landing copy of {source.file_name}", "it is shorter than when it was landed", _LAND_AGAIN
            )
        return digest.hexdigest()

    def path_of(self, source_id: str) -> Path:
        """Return where a source's raw bytes lie."""
        return self.folder / f"{source_id}.log"

    def _copy(self, path: Path, source_id: str, size: int, digest: str) -> None:
        """Copy the first ``size`` bytes durably; an interrupted copy is simply made again, the index still naming the old length.

        Raises BadInput where these are no longer the bytes that were read: a log that is rotated at this very moment.
        """
        make_folder(self.folder)
        target = self.path_of(source_id)
        new = target.with_suffix(".new")
        with path.open("rb") as reading, new.open("wb") as writing:
            shutil.copyfileobj(_Limited(reading, size), writing, _CHUNK)
            writing.flush()
            os.fsync(writing.fileno())
        if _digest(new) != (digest, size):
            new.unlink()
            raise BadInput(str(path), "it changed while it was read", "ingest it again once its writer is done")
        new.replace(target)


class _Limited:
    """A file that ends after so many bytes: a live log may grow while it is copied."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(chunk)
        return chunk


def _digest(path: Path, size: int | None = None) -> tuple[str, int]:
    """Return the SHA-256 and length of a file, or of its first ``size`` bytes."""
    digest, count = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK if size is None else min(_CHUNK, size - count)):
            digest.update(chunk)
            count += len(chunk)
    return digest.hexdigest(), count


def _stream_of(path: Path, options: ReadOptions) -> str:
    """Return the stream of a file: its folder, origin and name without dates and counters, so that one agent's days belong together.

    Where ids hold across a folder, its files are one stream whatever their names: a session may go on in another file.
    """
    is_any_name = reader_for(options.format).has_global_ids
    stem = "" if is_any_name else re.sub(r"[\d._-]+", "", path.name.removesuffix(path.suffix))
    return f"{path.resolve().parent}|{stem}|{options.format}|{options.origin}"


def _new_source_id(path: Path, options: ReadOptions, taken: set[str]) -> str:
    """Return an id from the file's name and first line, which stay as they are while it grows."""
    with path.open("rb") as file:
        first = file.readline(4096)
    text = f"{options.format}|{options.origin}|{path.name}|".encode() + first
    base = hashlib.sha256(text).hexdigest()[:16]
    number = 1
    while (found := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return found


def _span_rows(source_id: str, spans: Mapping[IsoWeek, Span]) -> list[dict[str, object]]:
    return [
        {
            "source_id": source_id,
            "week": str(week),
            "start_offset": span.start_offset,
            "end_offset": span.end_offset,
            "start_line": span.start_line,
            "line_count": span.line_count,
        }
        for week, span in spans.items()
    ]


def _options_json(options: ReadOptions) -> str:
    start = str(options.start_week) if options.start_week else None
    facts = {"timezone": options.timezone, "origin": options.origin, "arm": options.arm, "start_week": start}
    return json.dumps(facts, sort_keys=True)


def _source_of(row: sa.RowMapping) -> Source:
    facts = json.loads(row["options_json"])
    start = IsoWeek.parse(facts["start_week"]) if facts["start_week"] else None
    options = ReadOptions(row["format"], facts["timezone"], facts["origin"], facts["arm"], start)
    span = Span(row["start_offset"], row["end_offset"], row["start_line"], row[LOG_SPANS.c.line_count])
    return Source(
        row["source_id"],
        row["stream"],
        row["file_name"],
        row["format"],
        options,
        datetime.fromisoformat(row["fallback_at"]),
        span,
    )
