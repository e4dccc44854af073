"""Landing: raw logs copied byte for byte before anything is read from them.

A source is one log file as it was first seen. Its content tells what a file is to it, not its name: the same bytes or their beginning are
nothing new, bytes that go on where a source ends are appended to it, anything else opens another source. What a line means is the
readers' business, how events are cut that of ``segments``, which statements keep the index that of ``log_index``.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from memloop_assets.errors import CorruptData
from memloop_assets.state import State
from memloop_assets.store import MISSING, make_folder
from memloop_assets.trajectories.forget_index import ForgetIndex
from memloop_assets.trajectories.formats.catalogue import LINE_BY_LINE, reader_for
from memloop_assets.trajectories.formats.reader import Event, Rejected, date_in_name
from memloop_assets.trajectories.keeping_out import blank_out, find_owned, keep_out
from memloop_assets.trajectories.log_index import HEAD_BYTES, Known, LogIndex, Source, sha256
from memloop_assets.trajectories.ownership import Hasher, OwnedLine, Tie
from memloop_assets.trajectories.rejected_lines import recall, remember
from memloop_assets.trajectories.sources import (
    FileReport,
    ReadOptions,
    Span,
    fallback_stamp,
    logged_name,
    scan,
    stamp_after,
)
from memloop_assets.trajectories.static_copy import (
    CHUNK,
    FileStat,
    adopt,
    append_tail,
    begins_alike,
    copy_log,
    is_whole,
)
from memloop_assets.weeks import IsoWeek

__all__ = ["Landing", "Source"]

_INCOMING, _BLANKED = ".incoming", ".blanked"
_LAND_AGAIN = "restore it from a backup, or ingest the original file into a fresh home"


class Landing:
    """The landed logs of one home."""

    def __init__(self, folder: Path, state: State) -> None:
        """Keep the folder of raw copies and the index over them."""
        self.folder = folder
        self.index = LogIndex(state)
        self.forgotten = ForgetIndex(state, folder.with_suffix(".key"))

    def ingest(self, path: Path, options: ReadOptions) -> FileReport:
        """Copy a file's bytes and index its lines; of a file whose beginning is landed already, only what is new.

        Rotated, renamed, compressed, truncated and repeated files add no line twice; lines of forgotten people are blanked on the way in.
        Raises BadInput or OSError, and CorruptData where the key by which forgotten people are known is gone.
        """
        options.check()
        found = FileStat.of(path.stat())
        if found.byte_count == 0:
            return FileReport(path, "empty")
        if self.index.is_seen(place_of(path), options, found):
            return FileReport(path, "unchanged")
        make_folder(self.folder)
        content = self.folder / _INCOMING
        with _sole_ingest(self.folder.with_suffix(".lock")):
            try:
                stat = copy_log(path, content)
                return self._land(path, content, options, stat)
            finally:
                content.unlink(missing_ok=True)

    def sources(self, week: IsoWeek) -> list[Source]:
        """Return the sources with lines in a week, in the order of their names."""
        return self.index.sources(week)

    def weeks(self) -> list[IsoWeek]:
        """Return the weeks that hold any line, in order."""
        return list(self.index.digests())

    def digest(self, week: IsoWeek) -> str:
        """Return a digest that changes exactly when lines of the week are landed; MISSING where there are none."""
        return self.index.digests(week).get(week, MISSING)

    def landed_lines(self) -> dict[str, str]:
        """Return the digest of every week that holds lines, under the names by which tables record them as inputs."""
        return {landed_label(week): digest for week, digest in self.index.digests().items()}

    def read_week(self, source: Source, week: IsoWeek) -> Iterator[Event | Rejected]:
        """Yield what a source's lines of a week say; raises CorruptData where the landing copy is gone or short."""
        reader = reader_for(source.format)
        facts = source.options.facts(source.source_id, source.file_name, source.fallback_at)
        path = self.path_of(source.source_id)
        start, end, rejected = week.start, week.end, list[Rejected]()
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
                    if isinstance(found, Rejected):
                        if start <= found.at < end:
                            rejected.append(found)
                            yield found
                    else:
                        for event in found:
                            if start <= event.at < end:
                                yield event
        except OSError as error:
            raise CorruptData(
                f"landing copy of {source.file_name}", f"it cannot be read ({error.strerror})", _LAND_AGAIN
            ) from error
        remember(path, source, week, rejected)

    def read_rejected(self, source: Source, week: IsoWeek) -> Iterable[Rejected]:
        """Return a source's lines of a week that could not be read; where this process has read them already, without reading again."""
        known = recall(self.path_of(source.source_id), source, week)
        return known if known is not None else [i for i in self.read_week(source, week) if isinstance(i, Rejected)]

    def span_digest(self, source: Source) -> str:
        """Return the SHA-256 of the bytes between which a source's lines of a week lie; raises CorruptData where they cannot be read."""
        digest = hashlib.sha256()
        left = source.span.end_offset - source.span.start_offset
        try:
            with self.path_of(source.source_id).open("rb") as file:
                file.seek(source.span.start_offset)
                while left > 0 and (chunk := file.read(min(left, CHUNK))):
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

    def find_owned(self, hashed: Hasher, user_hash: str) -> tuple[list[OwnedLine], dict[str, set[Tie]]]:
        """Return the landed lines of a person, and by hashed stream what ties lines without a user id to them; raises CorruptData."""
        lines: list[OwnedLine] = []
        ties: dict[str, set[Tie]] = {}
        streams: dict[str, list[tuple[Known, ReadOptions, Path]]] = {}
        for known, options in self.index.landed():
            streams.setdefault(known.stream, []).append((known, options, self._whole_copy(known)))
        for stream, sources in streams.items():
            stream_hash = hashed("stream", stream)
            found, learned = find_owned(hashed, {user_hash}, self.forgotten.ties(stream_hash), sources)
            lines += found
            if learned:
                ties[stream_hash] = learned
        return lines, ties

    def forget(self, hashed: Hasher, user_hash: str) -> list[OwnedLine]:
        """Blank the lines of a person whose forgetting has begun, those that were noted and those that lie there; return them.

        No ingest runs meanwhile, and none lands a line of theirs from here on. What a killed ingest left lying is removed.
        """
        make_folder(self.folder)
        with _sole_ingest(self.folder.with_suffix(".lock")):
            for name in (_INCOMING, _BLANKED):
                (self.folder / name).unlink(missing_ok=True)
            found, ties = self.find_owned(hashed, user_hash)
            self.forgotten.note_lines(user_hash, found, ties)
            lines = self.forgotten.noted_lines(user_hash)
            for known, options in self.index.landed():
                if numbers := {line.line_number for line in lines if line.source_id == known.source_id}:
                    self._blank(known, options, numbers)
        return lines

    def _blank_tied(self, stream: str) -> None:
        """Blank what earlier files and growths of a stream hold without a user id and now turns out to be a forgotten person's."""
        if not stream:
            return
        hashed = self.forgotten.hasher()
        sources = [(known, options, self._whole_copy(known)) for known, options in self.index.landed(stream)]
        ties = self.forgotten.ties(hashed("stream", stream))
        found, _ = find_owned(hashed, self.forgotten.users(), ties, sources)
        for known, options, _ in sources:
            if numbers := {line.line_number for line in found if line.source_id == known.source_id}:
                self._blank(known, options, numbers)

    def _blank(self, known: Known, options: ReadOptions, numbers: set[int]) -> None:
        """Blank lines of one source in a new copy, give it its place and write what the index says of it."""
        copy, blanked = self._whole_copy(known), self.folder / _BLANKED
        told = options.facts(known.source_id, known.file_name, known.fallback_at)
        blank_out(copy, blanked, known, options, numbers)
        report = scan(blanked, options, told, known.byte_count, "grown")
        adopt(blanked, copy)
        self.index.write(replace(known, line_count=report.line_count, resume=report.resume), options, report.spans)

    def _whole_copy(self, known: Known) -> Path:
        copy = self.path_of(known.source_id)
        if not is_whole(copy, known.byte_count):
            raise CorruptData(
                f"landing copy of {known.file_name}", "it is gone or shorter than when it was landed", _LAND_AGAIN
            )
        return copy

    def path_of(self, source_id: str) -> Path:
        """Return where a source's raw bytes lie."""
        return self.folder / f"{source_id}.log"

    def _land(self, path: Path, content: Path, options: ReadOptions, stat: FileStat) -> FileReport:
        """Land what is new of a static copy."""
        size = content.stat().st_size
        if size == 0:
            return FileReport(path, "empty")
        with content.open("rb") as file:
            head = file.read(HEAD_BYTES)
        alike = [known for known in self.index.alike(options, head) if not _is_of_another_day(known, path.name)]
        digests = _digests(content, {size, *(known.byte_count for known in alike if known.byte_count < size)})
        found = _Incoming(path, content, options, stat, size, digests[size], sha256(head))
        for known in alike:
            if self._begins_with(known, found):
                self.index.write_file(found.place, stat, options, known.source_id)
                return FileReport(path, "unchanged")
        shorter = [known for known in alike if known.byte_count < size and digests[known.byte_count] == known.sha256]
        if shorter:
            return self._grow(max(shorter, key=lambda known: known.byte_count), found)
        return self._open(found)

    def _begins_with(self, known: Known, found: "_Incoming") -> bool:
        if known.byte_count == found.byte_count:
            return known.sha256 == found.sha256
        copy = self.path_of(known.source_id)
        if known.byte_count < found.byte_count or not copy.is_file():
            return False
        if _digests(copy, {found.byte_count}).get(found.byte_count) == found.sha256:
            return True
        return bool(self.forgotten.users()) and begins_alike(found.content, copy)

    def _open(self, found: "_Incoming") -> FileReport:
        """Land a file as a source of its own."""
        stream = _stream_of(found.path, found.options)
        told = found.options.facts("", found.path.name, fallback_stamp(found.path, found.options, found.content))
        kept_out = keep_out(self.forgotten, found.content, found.options, told, stream)
        source_id = self._new_source_id(found)
        fallback_at = fallback_stamp(found.path, found.options, found.content)
        told = found.options.facts(source_id, found.path.name, fallback_at)
        report = scan(found.content, found.options, told, found.byte_count, "new")
        known = Known(
            source_id=source_id,
            stream=stream,
            file_name=found.path.name,
            byte_count=found.byte_count,
            line_count=report.line_count,
            sha256=found.sha256,
            fallback_at=fallback_at,
            head_sha256=found.head_sha256,
            resume=report.resume,
        )
        adopt(found.content, self.path_of(source_id))
        self.index.write(known, found.options, report.spans, (found.place, found.stat))
        self._blank_tied(kept_out.tied_stream)
        return replace(report, path=found.path, forgotten_count=kept_out.line_count)

    def _grow(self, known: Known, found: "_Incoming") -> FileReport:
        """Append to a source what a file holds beyond it, and read that alone where the format allows it.

        Name, stream and the stamp of lines without one stay: what was read before must not move to another week.
        """
        resume = known.resume if found.options.format in LINE_BY_LINE else None
        spans: dict[IsoWeek, Span] = {}
        line_count = 0
        if resume:
            closed = {**self.index.spans(known.source_id), **resume.open_spans}
            spans = {week: span for week, span in closed.items() if span}
            line_count = known.line_count - bool(resume.open_spans)
        told = found.options.facts(known.source_id, known.file_name, known.fallback_at)
        copy = self.path_of(known.source_id)
        start = resume if is_whole(copy, known.byte_count) else None
        kept_out = keep_out(self.forgotten, found.content, found.options, told, known.stream, start)
        report = scan(found.content, found.options, told, found.byte_count, "grown", start=resume, known=spans)
        grown = replace(
            known,
            byte_count=found.byte_count,
            line_count=line_count + report.line_count,
            sha256=found.sha256,
            head_sha256=found.head_sha256,
            resume=report.resume,
        )
        # where somebody is forgotten, the last line may have been blanked only now that it is whole
        write_from = None if not self.forgotten.users() else start.offset if start else 0
        append_tail(found.content, copy, known.byte_count, write_from)
        self.index.write(grown, found.options, report.spans, (found.place, found.stat))
        self._blank_tied(kept_out.tied_stream)
        return replace(report, path=found.path, forgotten_count=kept_out.line_count)

    def _new_source_id(self, found: "_Incoming") -> str:
        """Return an id from the file's name and first line, which stay as they are while it grows."""
        with found.content.open("rb") as file:
            first = file.readline(4096)
        name = logged_name(found.path.name)
        base = sha256(f"{found.options.format}|{found.options.origin}|{name}|".encode() + first)[:16]
        number, source_id = 1, base
        while self.index.is_taken(source_id):
            number += 1
            source_id = f"{base}-{number}"
        return source_id


@dataclass(frozen=True, slots=True)
class _Incoming:
    """One file on its way in: where it lies, its static copy, and what is known of its bytes."""

    path: Path
    content: Path
    options: ReadOptions
    stat: FileStat
    byte_count: int
    sha256: str
    head_sha256: str

    @property
    def place(self) -> str:
        return place_of(self.path)


def landed_label(week: IsoWeek) -> str:
    """Return how manifests name the landed lines of a week among a table's inputs."""
    return f"landed lines {week}"


def place_of(path: Path) -> str:
    """Return a file's absolute path as the index keeps it; a link keeps its own, for it may lead elsewhere tomorrow."""
    return os.path.abspath(path)  # noqa: PTH100  # Path.resolve would follow the link


@contextmanager
def _sole_ingest(lock_path: Path) -> Iterator[None]:
    """Let one process ingest at a time; the kernel releases the lock however the process ends."""
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_of_another_day(known: Known, file_name: str) -> bool:
    """Tell whether a source's lines without a stamp take theirs from another date than a file's would.

    Two days' logs without stamps may begin alike and are still two logs.
    """
    here, there = date_in_name(file_name), date_in_name(known.file_name)
    return here is not None and there is not None and here != there and known.leans_on_name


def _digests(path: Path, sizes: Iterable[int]) -> dict[int, str]:
    """Return the SHA-256 of a file's beginnings of these sizes, in one reading; a size that it does not reach is left out."""
    digest, count, found = hashlib.sha256(), 0, {}
    with path.open("rb") as file:
        for size in sorted(set(sizes)):
            while count < size and (chunk := file.read(min(CHUNK, size - count))):
                digest.update(chunk)
                count += len(chunk)
            if count == size:
                found[size] = digest.hexdigest()
    return found


def _stream_of(path: Path, options: ReadOptions) -> str:
    """Return the stream of a file: its folder, origin and name without dates and counters, so that one agent's days belong together.

    Where ids hold across a folder, its files are one stream whatever their names: a session may go on in another file.
    """
    name = Path(logged_name(path.name))
    is_any_name = reader_for(options.format).has_global_ids
    stem = "" if is_any_name else re.sub(r"[\d._-]+", "", name.name.removesuffix(name.suffix))
    return f"{path.resolve().parent}|{stem}|{options.format}|{options.origin}"
