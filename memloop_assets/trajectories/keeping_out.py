"""Keeping forgotten people out of the landing: their lines are found in landed copies, and blanked in files on their way in.

The joint between ``ownership`` (whose a line is), ``forget_index`` (who was forgotten) and the bytes of files; ``landing`` says when.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memloop_assets.trajectories.forget_index import ForgetIndex
from memloop_assets.trajectories.formats.catalogue import reader_for
from memloop_assets.trajectories.formats.reader import Event, Rejected, SourceFacts
from memloop_assets.trajectories.log_index import Known
from memloop_assets.trajectories.ownership import Hasher, OwnedLine, Ownership, Tie, blank_lines, read_lines
from memloop_assets.trajectories.sources import ReadOptions, Resume
from memloop_assets.weeks import IsoWeek

LandedCopy = tuple[Known, ReadOptions, Path]


@dataclass(frozen=True, slots=True)
class KeptOut:
    """How many lines of a file were blanked, and the stream of which more is known now than before; empty where nothing is."""

    line_count: int = 0
    tied_stream: str = ""


def keep_out(  # noqa: PLR0913, PLR0917  # a file, how it is read, and from where
    index: ForgetIndex,
    content: Path,
    options: ReadOptions,
    facts: SourceFacts,
    stream: str,
    start: Resume | None = None,
) -> KeptOut:
    """Blank the lines of forgotten people in a file that is about to be landed, from where its reading goes on.

    Raises CorruptData where people were forgotten and the key is gone: nothing is landed then.
    """
    users = index.users()
    if not users:
        return KeptOut()
    hashed = index.hasher()
    stream_hash = hashed("stream", stream)
    known = index.ties(stream_hash)
    own = Ownership(hashed, users, known)
    reader, size = reader_for(options.format), content.stat().st_size
    for _, found in read_lines(content, reader, facts, size, start):
        own.learn(found)
    for _, found in read_lines(content, reader, facts, size, start):
        own.learn_decisions(found)
    lines = [line for line, found in read_lines(content, reader, facts, size, start) if own.owned(found)]
    blank_lines(content, lines)
    learned = own.ties.all - set(known)
    index.write_ties(stream_hash, learned)
    return KeptOut(len(lines), stream if learned else "")


def find_owned(
    hashed: Hasher, users: Collection[str], ties: Iterable[Tie], sources: Sequence[LandedCopy]
) -> tuple[list[OwnedLine], set[Tie]]:
    """Return the lines of some people in the landed copies of one stream, and what was learned that ties lines to them."""
    own = Ownership(hashed, users, ties)
    known = set(own.ties.all)
    is_theirs = False
    for known_source, options, copy in sources:
        for _, found in _lines_of(known_source, options, copy):
            own.learn(found)
            is_theirs = is_theirs or own.owned(found) is not None
    if not is_theirs:
        return [], set()
    for known_source, options, copy in sources:
        for _, found in _lines_of(known_source, options, copy):
            own.learn_decisions(found)
    lines = []
    for known_source, options, copy in sources:
        for number, found in _lines_of(known_source, options, copy):
            if (owned := own.owned(found)) is not None:
                stamps = [found.at] if isinstance(found, Rejected) else [event.at for event in found]
                weeks = tuple(sorted({str(IsoWeek.of(at)) for at in stamps}))
                place = (known_source.source_id, number, min(stamps), max(stamps))
                lines.append(OwnedLine(*place, owned[0], weeks, owned[1]))
    return lines, own.ties.all - known


def _lines_of(known: Known, options: ReadOptions, copy: Path) -> Iterator[tuple[int, list[Event] | Rejected]]:
    facts = options.facts(known.source_id, known.file_name, known.fallback_at)
    for line, found in read_lines(copy, reader_for(options.format), facts, known.byte_count):
        yield line.number, found


def blank_out(copy: Path, target: Path, known: Known, options: ReadOptions, numbers: Collection[int]) -> None:
    """Write a landed copy to a new file with some of its lines blanked; what an interrupted append left behind them is left out."""
    shutil.copyfile(copy, target)
    target.chmod(0o600)
    with target.open("r+b") as file:
        file.truncate(known.byte_count)
    facts = options.facts(known.source_id, known.file_name, known.fallback_at)
    lines = read_lines(copy, reader_for(options.format), facts, known.byte_count)
    blank_lines(target, [line for line, _ in lines if line.number in numbers])
